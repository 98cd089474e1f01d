"""What replies to the commands of a transaction amount to, alone and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio import (
    Reply,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
    Timeouts,
)
from smtplibaio.content.forms import Content
from smtplibaio.mail.result import SendResult
from smtplibaio.mail.terms import Body, Plan
from smtplibaio.mail.transaction import Transaction

NAMES = ("b@y.example", "c@y.example", "d@y.example")


def replies(*codes: int) -> list[Reply]:
    """Make replies, each with its place in its text."""
    return [Reply(code, f"number {place}") for place, code in enumerate(codes)]


def named(*codes: int) -> dict[str, Reply]:
    return dict(zip(NAMES, replies(*codes), strict=False))


class Settled:
    """A future that nobody waits for."""

    def done(self) -> bool:
        return True


def transaction(
    answers: Sequence[Reply],
    recipients: int,
    *,
    wanted: int = 1,
    is_whole: bool = False,
) -> Transaction:
    """Make a transaction that was answered so: MAIL, some RCPTs, and BDAT if whole."""
    plan = Plan(
        Body(Content(b"hi\r\n"), is_chunked=True),
        b"MAIL FROM:<a@x.example>\r\n",
        [b"RCPT TO:<%s>\r\n" % name.encode() for name in NAMES[:recipients]],
        NAMES[:recipients],
        is_grouped=True,
        all_or_nothing=wanted > 1,
        says_data=False,
    )
    made = Transaction(plan, Timeouts(), is_whole=is_whole)
    made.future = Settled()
    made.next_group()
    if is_whole:
        made.owe(is_last=True)
        made.is_all_said = made.is_all_sent = True
    for answer in answers:
        made.take([answer])
    return made


def judge(mail: Reply, verdicts: Mapping[str, Reply], wanted: int) -> None:
    answers = [mail, *verdicts.values()]
    transaction(answers, len(verdicts), wanted=wanted).judge()


# The table of outcomes


MAIL = b"MAIL FROM:<a@x.example>\r\n"
RCPTS = [b"RCPT TO:<%s>\r\n" % name.encode() for name in NAMES]
DATA = Plan(Body(Content(b"hi\r\n")), MAIL, RCPTS[:2], NAMES[:2], is_grouped=True)
BDAT = replace(DATA, body=Body(Content(b"hi\r\n"), is_chunked=True), says_data=False)
BY_HAND = replace(DATA, mail=b"", rcpts=(), recipients=())

#: Each way in which a mail is sent, to two recipients.
MODES: dict[str, tuple[Plan, dict[str, bool]]] = {
    "one by one": (replace(DATA, is_grouped=False), {}),
    "grouped": (DATA, {}),
    "all": (replace(DATA, all_or_nothing=True), {}),
    "after RSET": (DATA, {"resets": True}),
    "behind": (DATA, {"resets": True, "is_behind": True}),
    "BDAT": (BDAT, {}),
    "whole": (BDAT, {"is_whole": True}),
    "whole behind": (BDAT, {"is_whole": True, "resets": True, "is_behind": True}),
    "LMTP": (replace(DATA, is_lmtp=True), {}),
    "LMTP BDAT": (replace(BDAT, is_lmtp=True), {}),
    "data()": (BY_HAND, {}),
    "LMTP data()": (replace(BY_HAND, is_lmtp=True, accepted=2), {}),
    "LMTP data() for nobody": (replace(BY_HAND, is_lmtp=True), {}),
}

#: How the connection ended; none of them where every reply is in.
ENDS: dict[str, SMTPException] = {
    "lost": SMTPConnectionLostError("gone"),
    "late": SMTPTimeoutError("late"),
    "421": SMTPConnectionLostError("bye", Reply(421, "bye")),
    "junk": SMTPProtocolError("junk"),
}

NOBODY = SMTPNoRecipientError
ONE_NO = SMTPRecipientRefusedError
FAILED = SMTPCommandFailedError
LOST = SMTPConnectionLostError
LATE = SMTPTimeoutError
JUNK = SMTPProtocolError
UNKNOWN = SMTPDeliveryUnknownError

#: Replies to the commands, then "|" where all of the content has left or "/" where a
#: part of it has, then the replies to the content.
TABLE: list[tuple[str, str, str, str, type[SMTPException] | None, str]] = [
    # Accepted, for all or for some
    ("one by one", "250 250 250 354 | 250", "", "accepted", None, ""),
    ("one by one", "250 550 250 354 | 250", "", "partial", None, ""),
    ("grouped", "250 250 251 354 | 250", "", "accepted", None, ""),
    ("grouped", "250 250 450 354 | 250", "", "partial", None, ""),
    ("all", "250 250 250 354 | 250", "", "accepted", None, ""),
    ("after RSET", "250 250 250 250 354 | 250", "", "accepted", None, ""),
    ("behind", "250 250 250 550 354 | 250", "", "partial", None, ""),
    ("BDAT", "250 250 250 | 250", "", "accepted", None, ""),
    ("whole", "250 250 250 | 250", "", "accepted", None, ""),
    ("whole", "250 550 250 | 250", "", "partial", None, ""),
    ("whole behind", "250 250 250 250 | 250", "", "accepted", None, ""),
    ("LMTP", "250 250 250 354 | 250 250", "", "accepted", None, ""),
    ("LMTP", "250 250 250 354 | 250 550", "", "partial", None, ""),
    ("LMTP", "250 550 250 354 | 250", "", "partial", None, ""),
    ("LMTP BDAT", "250 250 250 | 450 250", "", "partial", None, ""),
    ("data()", "354 | 250", "", "accepted", None, ""),
    ("LMTP data()", "354 | 250 250", "", "accepted", None, ""),
    ("LMTP data() for nobody", "354 | 250", "", "accepted", None, ""),
    # MAIL was refused
    ("one by one", "550", "", "refused", FAILED, "RSET"),
    ("grouped", "550 503 503 503", "", "refused", FAILED, "RSET"),
    ("grouped", "450 250 250 503", "", "refused", FAILED, "RSET"),
    ("grouped", "550 250 250 354", "", "refused", FAILED, "hang up"),
    ("grouped", "550 503 503 354", "", "refused", FAILED, "hang up"),
    ("after RSET", "250 550 503 503 503", "", "refused", FAILED, "RSET"),
    ("behind", "250 550 503 503 503", "", "refused", FAILED, "RSET"),
    ("whole", "550 503 503 | 503", "", "refused", FAILED, "RSET"),
    ("whole", "550 250 250 | 554", "", "refused", FAILED, "RSET"),
    ("LMTP", "550 503 503 503", "", "refused", FAILED, "RSET"),
    # Every RCPT was
    ("one by one", "250 550 550", "", "refused", NOBODY, "RSET"),
    ("grouped", "250 550 450 503", "", "refused", NOBODY, "RSET"),
    ("grouped", "250 550 550 354", "", "refused", NOBODY, "lone dot, RSET"),
    ("behind", "250 250 550 550 354", "", "refused", NOBODY, "lone dot, RSET"),
    ("BDAT", "250 550 550", "", "refused", NOBODY, "RSET"),
    ("whole", "250 550 550 | 503", "", "refused", NOBODY, "RSET"),
    ("LMTP", "250 550 550 503", "", "refused", NOBODY, "RSET"),
    # One was, where all were wanted
    ("all", "250 550 250", "", "refused", ONE_NO, "RSET"),
    ("all", "250 550 550", "", "refused", NOBODY, "RSET"),
    # DATA was
    ("one by one", "250 250 250 451", "", "refused", FAILED, "RSET"),
    ("grouped", "250 250 250 554", "", "refused", FAILED, "RSET"),
    ("data()", "554", "", "refused", FAILED, ""),
    # The content was
    ("grouped", "250 250 250 354 | 554", "", "refused", FAILED, ""),
    ("grouped", "250 250 550 354 | 452", "", "refused", FAILED, ""),
    ("behind", "250 250 250 250 354 | 571", "", "refused", FAILED, ""),
    ("BDAT", "250 250 250 | 554", "", "refused", FAILED, "RSET"),
    ("whole", "250 250 250 | 471", "", "refused", FAILED, "RSET"),
    ("LMTP", "250 250 250 354 | 550 450", "", "refused", FAILED, ""),
    ("LMTP BDAT", "250 250 250 | 550 450", "", "refused", FAILED, "RSET"),
    ("data()", "354 | 554", "", "refused", FAILED, ""),
    ("grouped", "250 250 250 354 | 400", "", "refused", FAILED, ""),
    ("grouped", "250 250 250 354 / 552", "", "refused", FAILED, ""),
    # Nobody has judged it
    ("behind", "503 503 503 503 503", "", "not sent", FAILED, ""),
    ("behind", "250 503 503 503 503", "", "not sent", FAILED, "RSET"),
    ("behind", "503 250 550 550 354", "", "not sent", FAILED, "hang up"),
    ("behind", "503 250 250 250 354", "", "not sent", FAILED, "hang up"),
    ("whole behind", "503 503 503 503 | 503", "", "not sent", FAILED, "RSET"),
    ("whole behind", "250 503 503 503 | 503", "", "not sent", FAILED, "RSET"),
    ("after RSET", "500 250 250 250 503", "", "refused", FAILED, "hang up"),
    # A code that the command does not know
    ("grouped", "354 250 250 354", "", "not sent", JUNK, "hang up"),
    ("grouped", "250 354 250 354", "", "not sent", JUNK, "hang up"),
    ("grouped", "250 250 250 250", "", "not sent", JUNK, "hang up"),
    ("grouped", "250 250 250 334", "", "not sent", JUNK, "hang up"),
    ("grouped", "250 300 250 354", "", "not sent", JUNK, "hang up"),
    ("one by one", "250 354", "", "not sent", JUNK, "hang up"),
    ("whole", "250 354 250 | 554", "", "not sent", JUNK, "hang up"),
    ("data()", "250", "", "not sent", JUNK, "hang up"),
    # Replies that contradict each other once all has left
    ("grouped", "250 250 250 354 | 354", "", "unknown", UNKNOWN, "hang up"),
    ("grouped", "250 250 250 354 | 300", "", "unknown", UNKNOWN, "hang up"),
    ("grouped", "250 250 250 354 | 221", "", "unknown", UNKNOWN, "hang up"),
    ("data()", "354 | 334", "", "unknown", UNKNOWN, "hang up"),
    ("whole", "550 250 250 | 250", "", "unknown", UNKNOWN, "hang up"),
    ("whole", "250 550 550 | 250", "", "unknown", UNKNOWN, "hang up"),
    ("whole", "354 250 250 | 250", "", "unknown", UNKNOWN, "hang up"),
    ("whole behind", "503 250 250 250 | 250", "", "unknown", UNKNOWN, "hang up"),
    ("LMTP", "250 250 250 354 | 250 354", "", "unknown", UNKNOWN, "hang up"),
    # The connection ended before all had left
    ("one by one", "", "lost", "not sent", LOST, ""),
    ("one by one", "250", "late", "not sent", LATE, ""),
    ("grouped", "250 250", "lost", "not sent", LOST, ""),
    ("grouped", "250 354", "lost", "not sent", LOST, ""),
    ("grouped", "250 550", "lost", "not sent", LOST, ""),
    ("grouped", "250 550", "late", "not sent", LATE, ""),
    ("grouped", "250 250 250", "421", "not sent", LOST, ""),
    ("grouped", "250", "junk", "not sent", JUNK, ""),
    ("grouped", "250 250 250 354 /", "lost", "not sent", LOST, ""),
    ("grouped", "250 250 250 354 /", "late", "not sent", LATE, ""),
    ("behind", "250 250 250", "lost", "not sent", LOST, ""),
    ("BDAT", "250 250 250 /", "lost", "not sent", LOST, ""),
    ("whole", "250 250 250 /", "lost", "not sent", LOST, ""),
    ("LMTP", "250 250 250 354 /", "lost", "not sent", LOST, ""),
    ("data()", "", "lost", "not sent", LOST, ""),
    ("data()", "354 /", "lost", "not sent", LOST, ""),
    # A refusal that decides survives that
    ("one by one", "550", "lost", "refused", FAILED, ""),
    ("grouped", "550", "421", "refused", FAILED, ""),
    ("grouped", "550 503", "late", "refused", FAILED, ""),
    ("grouped", "250 550 550", "lost", "refused", NOBODY, ""),
    ("grouped", "250 250 250 554", "lost", "refused", FAILED, ""),
    ("grouped", "250 250 250 354 / 552", "lost", "refused", FAILED, ""),
    ("grouped", "250 250 250 354 | 552", "lost", "refused", FAILED, ""),
    ("all", "250 550 250", "421", "refused", ONE_NO, ""),
    ("all", "250 550", "421", "refused", ONE_NO, ""),
    ("all", "250 450", "lost", "refused", ONE_NO, ""),
    ("all", "250 400", "lost", "refused", ONE_NO, ""),
    ("all", "250 250", "lost", "not sent", LOST, ""),
    ("all", "550 550", "lost", "refused", FAILED, ""),
    ("BDAT", "250 250 250 / 552", "lost", "refused", FAILED, ""),
    ("whole", "550", "lost", "refused", FAILED, ""),
    ("whole", "550 |", "lost", "refused", FAILED, ""),
    ("whole", "250 550 550 |", "lost", "refused", NOBODY, ""),
    ("data()", "554", "lost", "refused", FAILED, ""),
    # But a refused RSET is no verdict on the mail
    ("behind", "503", "lost", "not sent", LOST, ""),
    ("behind", "250 503", "lost", "not sent", FAILED, ""),
    ("after RSET", "500", "421", "not sent", LOST, ""),
    # All has left, and no reply
    ("grouped", "250 250 250 354 |", "lost", "unknown", UNKNOWN, ""),
    ("grouped", "250 250 550 354 |", "late", "unknown", UNKNOWN, ""),
    ("grouped", "250 250 250 354 |", "junk", "unknown", UNKNOWN, ""),
    ("behind", "250 250 250 250 354 |", "lost", "unknown", UNKNOWN, ""),
    ("BDAT", "250 250 250 |", "lost", "unknown", UNKNOWN, ""),
    ("whole", "|", "lost", "unknown", UNKNOWN, ""),
    ("whole", "250 550 |", "late", "unknown", UNKNOWN, ""),
    ("whole", "250 354 250 |", "lost", "unknown", UNKNOWN, ""),
    ("whole behind", "250 250 |", "lost", "unknown", UNKNOWN, ""),
    ("LMTP", "250 250 250 354 |", "lost", "unknown", UNKNOWN, ""),
    ("LMTP", "250 250 250 354 | 250", "lost", "unknown", UNKNOWN, ""),
    ("LMTP", "250 250 250 354 | 550", "lost", "unknown", UNKNOWN, ""),
    ("LMTP", "250 250 250 354 | 250", "421", "unknown", UNKNOWN, ""),
    ("data()", "354 |", "lost", "unknown", UNKNOWN, ""),
    # A farewell is a reply: the server answers in order
    ("grouped", "250 250 250 354 |", "421", "refused", LOST, ""),
    ("whole", "250 250 250 |", "421", "refused", LOST, ""),
    ("whole", "250 250 |", "421", "not sent", LOST, ""),
    ("data()", "354 |", "421", "refused", LOST, ""),
]


def played(mode: str, said: str) -> Transaction:
    """Make a transaction to which the server has said something."""
    plan, options = MODES[mode]
    made = Transaction(plan, Timeouts(), **options)
    made.future = Settled()
    mark = next((mark for mark in "|/" if mark in said), "")
    before, _, after = said.partition(mark) if mark else (said, "", "")
    codes = [int(code) for code in before.split()]
    if options.get("is_whole"):
        made.next_group()
        made.owe(is_last=True)
        made.is_all_said = made.is_all_sent = mark != "/"
    while made.next_group() is not None or codes:
        while made.owed and codes:
            made.take([Reply(codes.pop(0), "hm")])
        if made.owed or made.is_asked:
            break
    if mark and not options.get("is_whole"):
        made.judge()
        made.owe(is_last=True)
        made.is_all_said = made.is_all_sent = mark == "|"
    for code in [*codes, *map(int, after.split())]:
        made.take([Reply(code, "hm")])
    return made


def outcome(made: Transaction, end: str) -> SMTPException | None:
    """Return what a transaction came to, as whoever runs it does."""
    try:
        if end:
            raise made.loss(ENDS[end])
        if not made.is_all_sent:
            made.judge()
        made.result()
    except SMTPException as exc:
        return exc
    return None


def remedy(made: Transaction, error: SMTPException | None) -> str:
    """Return what puts the session in order, in words."""
    if isinstance(error, (SMTPProtocolError, SMTPDeliveryUnknownError)):
        return "hang up"
    if error is None:
        return ""
    try:
        lines = made.remedy()
    except SMTPProtocolError:
        return "hang up"
    words = {b".\r\n": "lone dot", b"RSET\r\n": "RSET"}
    return ", ".join(words[line] for line in lines)


@pytest.mark.parametrize(
    ("mode", "said", "end", "status", "error", "then"),
    [pytest.param(*row, id=f"{row[0]}: {row[1]} {row[2]}") for row in TABLE],
)
def test_what_becomes_of_a_mail(
    mode: str,
    said: str,
    end: str,
    status: str,
    error: type[SMTPException] | None,
    then: str,
) -> None:
    """H01, E11, E30, E31, F12: one table for every way in which a mail is sent."""
    made = played(mode, said)
    exc = outcome(made, end)
    assert (made.status, None if exc is None else type(exc)) == (status, error)
    if exc is not None:
        assert exc.safe_to_retry is (status != "unknown")
    if not end:
        assert remedy(made, exc) == then


# What is said, and how long its reply may take


@pytest.mark.parametrize(
    ("mode", "said", "groups"),
    [
        ("one by one", "250 250 250 354", ["MAIL", "RCPT", "RCPT", "DATA"]),
        ("one by one", "550", ["MAIL"]),
        ("one by one", "250 550 550", ["MAIL", "RCPT", "RCPT"]),
        ("grouped", "550 503 503 503", ["MAIL RCPT RCPT DATA"]),
        ("all", "250 250 250 354", ["MAIL RCPT RCPT", "DATA"]),
        ("all", "250 550 250", ["MAIL RCPT RCPT"]),
        ("behind", "250 250 250 250 354", ["RSET MAIL RCPT RCPT DATA"]),
        ("BDAT", "250 250 250", ["MAIL RCPT RCPT"]),
        ("data()", "354", ["DATA"]),
    ],
)
def test_nothing_is_said_before_its_gate_is_open(
    mode: str, said: str, groups: list[str]
) -> None:
    """F04, F06: a group is judged when all of its replies are in."""
    plan, options = MODES[mode]
    made = Transaction(plan, Timeouts(), **options)
    made.future = Settled()
    codes = [int(code) for code in said.split()]
    seen = []
    while (group := made.next_group()) is not None:
        seen.append(" ".join(line.split()[0].decode() for line in group))
        while made.owed:
            made.take([Reply(codes.pop(0), "hm")])
    assert seen == groups
    assert codes == []


def test_a_new_transaction_has_said_and_heard_nothing() -> None:
    made = Transaction(DATA, Timeouts())
    assert made.status == "not sent"
    assert (made.is_asked, made.is_all_said, made.is_all_sent) == (False,) * 3
    assert (made.wants_news, made.is_content_owed) == (False,) * 2
    assert (made.replies, made.odd, made.owed) == ([], 0, 0)


@pytest.mark.parametrize(
    ("mode", "said", "expected"),
    [
        ("grouped", "", True),
        ("one by one", "250 250 250", True),
        ("one by one", "250 550 550", False),
        ("all", "", False),
        ("all", "250 250 250", True),
    ],
)
def test_a_transaction_is_asked_where_every_command_was_said(
    mode: str, said: str, *, expected: bool
) -> None:
    assert played(mode, said).is_asked is expected


@pytest.mark.parametrize(("code", "odd"), [(250, 0), (251, 1), (354, 1), (550, 1)])
def test_each_reply_that_is_not_250_is_counted(code: int, odd: int) -> None:
    """F12: those who sent more mails behind this one look no further without one."""
    assert played("grouped", f"250 {code}").odd == odd


class Bell:
    """A future that counts how often it is resolved."""

    rings = 0

    def done(self) -> bool:
        return False

    def set_result(self, result: None) -> None:
        self.rings += 1


@pytest.mark.parametrize(
    ("wants_news", "rings"), [(False, [0, 0, 1]), (True, [1, 2, 3])]
)
def test_who_waits_hears_of_the_last_reply_or_of_each(
    wants_news: bool, rings: list[int]
) -> None:
    """F13: a refusal of what is being sent ends it; other replies can wait."""
    made = Transaction(BDAT, Timeouts())
    made.future = bell = Bell()
    made.next_group()
    if wants_news:
        made.wants_news = True
    heard = []
    for _ in rings:
        made.take([Reply(250, "ok")])
        heard.append(bell.rings)
    assert heard == rings


LIMITS = Timeouts(reply=1, content=2, final=3)


@pytest.mark.parametrize(
    ("mode", "waits"),
    [
        ("grouped", ["MAIL 1", "RCPT 1", "RCPT 1", "DATA 1", "the final dot 3"]),
        ("behind", ["RSET 1", "MAIL 1", "RCPT 1", "RCPT 1", "DATA 1"]),
        ("BDAT", ["MAIL 1", "RCPT 1", "RCPT 1", "BDAT LAST 3"]),
        ("whole", ["MAIL 1", "RCPT 1", "RCPT 1", "BDAT LAST 3"]),
        ("data()", ["DATA 1", "the final dot 3"]),
    ],
)
def test_each_reply_has_the_limit_of_its_command(mode: str, waits: list[str]) -> None:
    """E32: the text of a time-out names the command."""
    plan, options = MODES[mode]
    made = Transaction(plan, LIMITS, **options)
    made.future = Settled()
    made.next_group()
    seen = []
    for _ in waits:
        if not made.owed or (options.get("is_whole") and not made.is_all_said):
            made.owe(is_last=True)
            made.is_all_said = True
        seen.append(f"{made.what} {made.timeout}")
        made.take([Reply(354 if made.what == "DATA" else 250, "hm")])
    assert seen == waits


def test_content_has_no_limit_before_its_end_was_said() -> None:
    """E32: the server may answer early, but it need not."""
    made = played("grouped", "250 250 250 354 /")
    assert (made.what, made.timeout) == ("the content", None)
    made.is_all_said = True
    assert (made.what, made.timeout) == ("the final dot", Timeouts().final)


def test_a_chunk_has_the_limit_of_a_block() -> None:
    plan, _ = MODES["BDAT"]
    made = Transaction(plan, LIMITS)
    made.future = Settled()
    made.next_group()
    for _ in range(3):
        made.take([Reply(250, "ok")])
    assert made.owe(is_last=False) is made  # it has to be queued again
    assert made.is_content_owed is False  # the reply to a part is not final
    assert made.owe(is_last=True) is None
    assert made.is_content_owed is True
    assert (made.what, made.timeout, made.owed) == ("BDAT", 2, 2)
    made.take([Reply(250, "a chunk")])
    made.is_all_said = made.is_all_sent = True
    assert (made.what, made.timeout) == ("BDAT LAST", 3)
    made.take([Reply(250, "all")])
    made.judge()
    assert made.result().reply == (250, "all")


@pytest.mark.parametrize(
    ("mode", "codes", "status", "error"),
    [
        ("BDAT", [250, 250], "accepted", None),
        ("BDAT", [354, 250], "unknown", UNKNOWN),
        ("BDAT", [221, 250], "unknown", UNKNOWN),
        ("BDAT", [552, 250], "unknown", UNKNOWN),
        ("BDAT", [354, 552], "refused", FAILED),
        ("BDAT", [552, 503], "refused", FAILED),
        ("LMTP BDAT", [250, 250, 550], "partial", None),
        ("LMTP BDAT", [552, 250, 550], "unknown", UNKNOWN),
        ("LMTP BDAT", [552, 503, 503], "refused", FAILED),
    ],
)
def test_every_chunk_counts(
    mode: str, codes: list[int], status: str, error: type[SMTPException] | None
) -> None:
    """F13: content of which a part is missing cannot have been accepted."""
    made = played(mode, "250 250 250")
    made.judge()
    made.owe(is_last=False)
    made.owe(is_last=True)
    made.is_all_said = made.is_all_sent = True
    for code in codes:
        made.take([Reply(code, "hm")])
    exc = outcome(made, "")
    assert (made.status, None if exc is None else type(exc)) == (status, error)


def test_the_first_reply_may_have_a_limit_of_its_own() -> None:
    """A session that may be gone is not waited for as long as others."""
    made = Transaction(DATA, LIMITS, first_reply=0.5)
    made.future = Settled()
    made.next_group()
    assert made.timeout == 0.5
    made.take([Reply(250, "ok")])
    assert made.timeout == 1


# What a result and an error have besides their class


def test_lmtp_has_the_reply_to_each_copy_in_its_result() -> None:
    """RFC 2033 4.2: and the last copy that was accepted has the final reply."""
    made = played("LMTP", "250 250 250 354 |")
    b, c = Reply(250, "copy for b"), Reply(251, "copy for c")
    for reply in (b, c):
        made.take([reply])
    result = made.result()
    assert result.replies == dict(zip(NAMES, (b, c), strict=False))
    assert result.reply == c


def test_lmtp_takes_the_final_reply_from_a_copy_that_was_accepted() -> None:
    made = played("LMTP", "250 250 250 354 |")
    b, c = Reply(250, "copy for b"), Reply(550, "copy for c")
    for reply in (b, c):
        made.take([reply])
    result = made.result()
    assert (dict(result), result.reply) == ({"c@y.example": c}, b)


@pytest.mark.parametrize(
    ("mode", "said", "reply"),
    [
        ("LMTP data()", "354 | 250 550", (250, "hm")),
        ("LMTP data() for nobody", "354 | 250", None),
    ],
)
def test_lmtp_has_a_final_reply_where_rcpt_was_given_by_hand(
    mode: str, said: str, reply: Reply | None
) -> None:
    result = played(mode, said).result()
    assert (result.replies, result.reply) == ({}, reply)


@pytest.mark.parametrize(
    ("mode", "said", "command"),
    [
        ("after RSET", "500 250 250 250 503", "RSET"),
        ("grouped", "550 503 503 503", "MAIL"),
        ("grouped", "250 250 250 554", "DATA"),
        ("grouped", "250 250 250 354 | 554", "DATA"),
        ("BDAT", "250 250 250 | 554", "BDAT"),
    ],
)
def test_a_refusal_names_its_command_and_has_its_reply(
    mode: str, said: str, command: str
) -> None:
    made = played(mode, said)
    exc = outcome(made, "")
    assert isinstance(exc, SMTPCommandFailedError)
    refusal = next(reply for reply in made.replies if reply.code >= 400)
    assert (exc.command, exc.reply) == (command, refusal)
    assert exc.reply is refusal


UNCLEAR = (
    "the mail may have been accepted: all of it was sent, and the replies contradict "
    "one another: "
)
HINT = (
    "; the commands were sent together (PIPELINING): with pipelining=False they are "
    "sent one by one"
)


@pytest.mark.parametrize(
    ("mode", "said", "end", "text"),
    [
        (
            "grouped",
            "250 250 250 354 |",
            "lost",
            "the mail may have been accepted: all of it was sent, then gone",
        ),
        (
            "grouped",
            "250 250 250 354 | 334",
            "",
            UNCLEAR + "250 250 250 354 334",
        ),
        ("one by one", "250", "late", "late"),
        (
            "grouped",
            "250",
            "late",
            "late" + HINT,
        ),
    ],
)
def test_an_error_says_what_is_known_of_the_mail(
    mode: str, said: str, end: str, text: str
) -> None:
    assert str(outcome(played(mode, said), end)) == text


@pytest.mark.parametrize(
    ("mode", "said", "text"),
    [
        ("after RSET", "500 250 250 250 503", "RSET was refused: 500 hm"),
        (
            "grouped",
            "550 250 250 354",
            "a 354 to DATA, but no content may follow it",
        ),
    ],
)
def test_a_session_that_cannot_be_put_in_order_says_why(
    mode: str, said: str, text: str
) -> None:
    with pytest.raises(SMTPProtocolError) as caught:
        played(mode, said).remedy()
    assert str(caught.value) == text


def test_lmtp_owes_a_reply_for_each_accepted_recipient() -> None:
    """RFC 2033 4.2: whether RCPT was given by hand or by the transaction."""
    assert played("LMTP", "250 250 250 354 |").owed == 2
    assert played("LMTP", "250 550 250 354 |").owed == 1
    by_hand = Plan(DATA.body, is_lmtp=True, accepted=3, says_data=False)
    made = Transaction(by_hand, Timeouts())
    made.owe(is_last=True)
    assert made.owed == 3


@pytest.mark.parametrize(
    ("mode", "said", "end", "result", "unknown"),
    [
        ("grouped", "250 250 250 354 |", "lost", None, NAMES[:2]),
        ("grouped", "250 550 250 354 |", "late", {"b@y.example"}, NAMES[1:2]),
        ("grouped", "250 550 250 354 | 354", "", {"b@y.example"}, NAMES[1:2]),
        ("LMTP", "250 250 250 354 | 250", "lost", set(), NAMES[1:2]),
        ("LMTP", "250 550 250 354 |", "lost", {"b@y.example"}, NAMES[1:2]),
        ("LMTP", "250 250 250 354 | 550", "lost", {"b@y.example"}, NAMES[1:2]),
        ("LMTP", "250 250 250 354 | 250 354", "", set(), NAMES[1:2]),
        ("LMTP", "250 250 250 354 | 354 250", "", set(), NAMES[:1]),
    ],
)
def test_an_unknown_mail_has_the_verdicts_that_came(
    mode: str, said: str, end: str, result: set[str] | None, unknown: tuple[str, ...]
) -> None:
    """Whoever was refused, or accepted, is not among the unknown."""
    exc = outcome(played(mode, said), end)
    assert isinstance(exc, SMTPDeliveryUnknownError)
    assert exc.unknown == list(unknown)
    assert (None if exc.result is None else set(exc.result)) == result


@pytest.mark.parametrize(
    ("mode", "said", "end", "is_answered", "is_hinted"),
    [
        ("grouped", "", "late", False, True),
        ("grouped", "250", "late", True, True),
        ("grouped", "250 250 250 354 /", "late", True, False),
        ("one by one", "250", "late", True, False),
        ("after RSET", "250", "lost", False, False),
        ("after RSET", "250 250", "lost", True, False),
    ],
)
def test_a_lost_mail_tells_whether_mail_was_answered(
    mode: str, said: str, end: str, *, is_answered: bool, is_hinted: bool
) -> None:
    """H14: and a time limit within a group tells what may help."""
    exc = outcome(played(mode, said), end)
    assert exc is not None
    assert exc.is_mail_answered is is_answered
    assert ("pipelining=False" in str(exc)) is is_hinted


@pytest.mark.parametrize(
    ("mode", "said", "end", "expected"),
    [
        ("grouped", "250 250 250 354 |", "421", True),
        ("whole", "250 250 250 |", "421", True),
        ("whole", "250 250 |", "421", False),
        ("grouped", "250 250 250 354 /", "421", False),
        ("grouped", "250 250", "lost", False),
    ],
)
def test_a_farewell_is_the_answer_to_the_content_where_only_that_was_owed(
    mode: str, said: str, end: str, *, expected: bool
) -> None:
    """421 behind all other replies is a refusal of the content; before, of nothing."""
    exc = outcome(played(mode, said), end)
    assert isinstance(exc, SMTPConnectionLostError)
    assert exc.is_content_refused is expected


def test_a_lost_mail_names_who_was_refused_before() -> None:
    """H01: one refusal of two decides nothing, and is told all the same."""
    exc = outcome(played("grouped", "250 550"), "lost")
    assert str(exc) == "gone; refused before: b@y.example: 550 hm"
    assert exc is not None
    assert exc.result == {"b@y.example": (550, "hm")}


# Mails that have to be sent once more, and sessions that have to be put in order


@pytest.mark.parametrize(
    ("mode", "said", "is_unjudged", "leaves_open"),
    [
        ("behind", "503 503 503 503 503", True, True),
        ("behind", "250 503 503 503 503", True, False),
        ("behind", "450 250 250 250 503", True, True),
        ("behind", "250 450 503 503 503", False, False),
        ("behind", "250 250 550 550 503", False, False),
        ("grouped", "503 503 503 503", False, False),
        ("after RSET", "503 503 503 503 503", False, True),
        ("grouped", "250 250 250 354 | 554", False, True),
        ("whole behind", "503 503 503 503 | 503", False, True),
    ],
)
def test_only_what_stood_behind_a_content_may_be_unjudged(
    mode: str, said: str, *, is_unjudged: bool, leaves_open: bool
) -> None:
    """Haraka: 503 to all of it; a 4yz to MAIL is a verdict."""
    made = played(mode, said)
    assert made.is_unjudged is is_unjudged
    assert made.leaves_open is leaves_open


@pytest.mark.parametrize(
    ("mode", "said", "expected"),
    [
        ("BDAT", "250 250 250 | 250", False),
        ("BDAT", "250 250 250 | 500", True),
        ("BDAT", "250 250 250 | 504", True),
        ("BDAT", "250 250 250 | 505", False),
        ("BDAT", "250 250 250 | 499", False),
        ("grouped", "250 250 250 354 | 500", False),
    ],
)
def test_a_server_that_knows_no_bdat_is_out_of_step(
    mode: str, said: str, *, expected: bool
) -> None:
    """It has not read the octets, and takes them for commands (RFC 3030 2)."""
    assert played(mode, said).is_out_of_step is expected


# Some of the replies


@pytest.mark.parametrize(
    ("codes", "recipients", "wanted", "expected"),
    [
        pytest.param([250], 3, 1, False, id="MAIL accepted"),
        pytest.param([451], 3, 1, True, id="MAIL refused for now"),
        pytest.param([550], 3, 1, True, id="MAIL refused"),
        pytest.param([354], 3, 1, True, id="no reply to MAIL"),
        pytest.param([550, 250, 250, 250], 3, 1, True, id="RCPT accepted without MAIL"),
        pytest.param([250, 550], 3, 1, False, id="two to come"),
        pytest.param([250, 550, 550], 3, 1, False, id="one to come"),
        pytest.param([250, 550, 550, 550], 3, 1, True, id="nobody"),
        pytest.param([250, 550, 354, 550], 3, 1, True, id="nobody, and no reply"),
        pytest.param([250, 550, 550, 251], 3, 1, False, id="one"),
        pytest.param([250, 250, 250, 250], 3, 3, False, id="all of all"),
        pytest.param([250, 550, 250], 3, 3, False, id="one more verdict to tell"),
        pytest.param([250, 250, 550, 250], 3, 3, True, id="two of all"),
    ],
)
def test_there_is_no_use_in_going_on_where_nobody_would_get_the_mail(
    codes: list[int], recipients: int, wanted: int, expected: bool
) -> None:
    """Every verdict is waited for, where every recipient is wanted, too."""
    made = transaction(replies(*codes), recipients, wanted=wanted)
    assert (made.refusal() is not None) is expected


# All of them


@pytest.mark.parametrize(
    ("mail", "codes", "wanted"),
    [
        (250, [250], 1),
        (250, [550, 250, 450], 1),
        (250, [251, 252, 250], 3),
    ],
)
def test_content_is_due_where_enough_are_accepted(
    mail: int, codes: list[int], wanted: int
) -> None:
    judge(Reply(mail, "ok"), named(*codes), wanted)


def test_a_refused_mail_is_an_error_whatever_rcpt_got() -> None:
    with pytest.raises(SMTPCommandFailedError) as info:
        judge(Reply(552, "full"), named(250, 503), 1)
    assert (info.value.command, info.value.reply) == ("MAIL", (552, "full"))


@pytest.mark.parametrize(
    ("codes", "is_transient"), [([450, 451], True), ([450, 550], False), ([550], False)]
)
@pytest.mark.parametrize("wanted", [1, 2])
def test_the_error_for_nobody_has_every_reply(
    codes: list[int], is_transient: bool, wanted: int
) -> None:
    """Though all were wanted: nobody is worse."""
    rcpts = named(*codes)
    with pytest.raises(SMTPNoRecipientError) as info:
        judge(Reply(250, "ok"), rcpts, wanted)
    assert info.value.refused == rcpts
    errors = [exc for exc in info.value.exceptions if hasattr(exc, "reply")]
    assert [exc.reply for exc in errors] == list(rcpts.values())
    assert info.value.is_transient is is_transient


def test_the_error_for_too_few_has_who_was_refused() -> None:
    with pytest.raises(SMTPRecipientRefusedError) as info:
        judge(Reply(250, "ok"), named(250, 450, 550), 3)
    assert info.value.refused == {
        "c@y.example": (450, "number 1"),
        "d@y.example": (550, "number 2"),
    }


@pytest.mark.parametrize(
    ("mail", "codes", "verb"),
    [
        (354, [250], "MAIL"),
        (250, [354], "RCPT"),
        (250, [250, 354], "RCPT"),
        (250, [550, 334], "RCPT"),
    ],
)
def test_a_reply_that_is_none_to_its_command_is_no_verdict(
    mail: int, codes: list[int], verb: str
) -> None:
    """D22: the dialogue is out of step."""
    with pytest.raises(SMTPProtocolError, match=f"answered {verb} with"):
        judge(Reply(mail, "x"), named(*codes), 1)


# Where all commands left together


def outcome_of(codes: Sequence[int]) -> SendResult | SMTPException:
    """Judge replies to MAIL, some RCPTs and BDAT LAST."""
    try:
        return transaction(replies(*codes), len(codes) - 2, is_whole=True).result()
    except SMTPException as exc:
        return exc


@pytest.mark.parametrize(
    ("codes", "refused"),
    [
        ([250, 250, 250], []),
        ([250, 251, 550, 250], ["c@y.example"]),
        ([250, 452, 550, 252, 250], ["b@y.example", "c@y.example"]),
    ],
)
def test_whom_the_server_has_accepted_gets_the_mail(
    codes: list[int], refused: list[str]
) -> None:
    result = outcome_of(codes)
    assert isinstance(result, SendResult)
    assert list(result) == refused
    assert result.reply.code == 250
    assert len(result.accepted) == len(codes) - 2 - len(refused)


@pytest.mark.parametrize(
    ("codes", "error", "command"),
    [
        ([550, 503, 503], SMTPCommandFailedError, "MAIL"),
        ([550, 250, 503], SMTPCommandFailedError, "MAIL"),
        ([250, 550, 450, 554], SMTPNoRecipientError, None),
        ([250, 250, 554], SMTPCommandFailedError, "BDAT"),
        ([250, 550, 250, 452], SMTPCommandFailedError, "BDAT"),
    ],
)
def test_the_first_refusal_is_the_reason_of_the_rest(
    codes: list[int], error: type[SMTPException], command: str | None
) -> None:
    """F12: a 503 to BDAT tells less than what it is for."""
    exc = outcome_of(codes)
    assert type(exc) is error
    assert getattr(exc, "command", None) == command
    assert exc.safe_to_retry


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param([250, 250, 354], id="3yz to the content"),
        pytest.param([250, 250, 221], id="221 to the content"),
        pytest.param([250, 550, 334], id="3yz to the content for nobody"),
        pytest.param([550, 550, 221], id="221 after no MAIL"),
        pytest.param([550, 250, 250], id="taken after no MAIL"),
        pytest.param([354, 250, 250], id="taken after a 3yz to MAIL"),
        pytest.param([250, 550, 450, 250], id="taken for nobody"),
        pytest.param([250, 354, 250], id="taken after a 3yz to the only RCPT"),
        pytest.param([250, 250, 354, 250], id="taken after a 3yz to the second RCPT"),
        pytest.param([250, 354, 550, 250, 250], id="taken after a 3yz to the first"),
    ],
)
def test_content_that_was_taken_for_nobody_knows_whom_is_unknown(
    codes: list[int],
) -> None:
    """E31: whoever sends it again may double it."""
    exc = outcome_of(codes)
    assert isinstance(exc, SMTPDeliveryUnknownError)
    assert not exc.safe_to_retry
    assert all(str(code) in str(exc) for code in codes)


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from([250, 251, 221, 334, 354, 450, 550]), min_size=3, max_size=5
    )
)
def test_no_mail_that_was_taken_is_safe_to_send_again(codes: list[int]) -> None:
    """Of all replies that there can be: it has a result, or nobody knows."""
    outcome = outcome_of(codes)
    mail, *rcpts, final = codes
    if isinstance(outcome, SendResult):
        assert final // 100 == 2
        assert mail // 100 == 2
        assert [code // 100 for code in rcpts].count(2) == len(outcome.accepted)
    elif outcome.safe_to_retry:
        assert final >= 400


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([250, 251, 354, 450, 550]), min_size=2, max_size=4),
    st.booleans(),
)
def test_what_is_hopeless_is_an_error_and_nothing_else_is(
    codes: list[int], is_all_wanted: bool
) -> None:
    """The two never contradict each other, but where a reply is none."""
    mail, *rcpts = replies(*codes)
    wanted = len(rcpts) if is_all_wanted else 1
    verdicts = dict(zip(NAMES, rcpts, strict=False))
    is_error = False
    try:
        judge(mail, verdicts, wanted)
    except SMTPProtocolError:
        return
    except SMTPException:
        is_error = True
    made = transaction([mail, *rcpts], len(rcpts), wanted=wanted)
    assert (made.refusal() is not None) is is_error

"""What replies to the commands of a transaction amount to, alone and together."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio import (
    Reply,
    SMTPCommandFailedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    Timeouts,
)
from smtplibaio.content.forms import Content
from smtplibaio.mail.result import SendResult
from smtplibaio.mail.terms import Body, Plan
from smtplibaio.mail.transaction import Transaction
from smtplibaio.mail.verdicts import check_data, check_reply, is_ok

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
        made.take(answer)
    return made


def judge(mail: Reply, verdicts: Mapping[str, Reply], wanted: int) -> None:
    answers = [mail, *verdicts.values()]
    transaction(answers, len(verdicts), wanted=wanted).judge()


# One reply


@pytest.mark.parametrize("code", range(200, 560, 10))
def test_only_2yz_completes_a_command(code: int) -> None:
    """D21, D22: 251 as well as 250; a 3yz is a no that nobody said."""
    reply = Reply(code, "text")
    assert is_ok(reply) is (code < 300)
    if code < 300:
        assert check_reply(reply, "RCPT") is reply
    elif code < 400:
        with pytest.raises(SMTPProtocolError, match=f"answered RCPT with {code}"):
            check_reply(reply, "RCPT")
    else:
        with pytest.raises(SMTPCommandFailedError) as info:
            check_reply(reply, "RCPT")
        assert info.value.command == "RCPT"
        assert info.value.reply is reply


@pytest.mark.parametrize("code", [200, 250, 334, 350, 353, 354, 355, 421, 451, 554])
def test_only_354_asks_for_content(code: int) -> None:
    """D22: 353 does not, nor does 250."""
    reply = Reply(code, "go")
    if code == 354:
        check_data(reply)
    elif code < 400:
        with pytest.raises(SMTPProtocolError, match=f"answered DATA with {code}"):
            check_data(reply)
    else:
        with pytest.raises(SMTPCommandFailedError) as info:
            check_data(reply)
        assert info.value.command == "DATA"
        assert info.value.reply is reply


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


# The result


def test_a_result_is_what_smtplib_gives_and_more() -> None:
    """F14: the recipients that were refused, with their replies; empty if none was."""
    rcpts = named(250, 550, 252)
    final = Reply(250, "2.0.0 Ok: queued as 4XyZ12")
    result = SendResult(rcpts, final)
    assert result == {"c@y.example": (550, "number 1")}
    assert result.accepted == ["b@y.example", "d@y.example"]
    assert result.replies == rcpts
    assert result.reply is final
    assert result.queue_id == "4XyZ12"
    assert SendResult(named(250), Reply(250, "ok")) == {}
    assert SendResult(named(250), Reply(250, "ok")).queue_id is None


def test_a_result_does_not_change_with_what_it_was_made_of() -> None:
    rcpts = named(250, 550)
    result = SendResult(rcpts, Reply(250, "ok"))
    rcpts.clear()
    assert len(result.replies) == 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_a_result_can_be_copied_and_pickled(copied: object) -> None:
    """A queue keeps it."""
    result = SendResult(named(250, 550), Reply(250, "ok"))
    assert callable(copied)
    other = copied(result)
    assert type(other) is SendResult
    assert (other, other.replies, other.reply, other.accepted) == (
        result,
        result.replies,
        result.reply,
        result.accepted,
    )

"""What is said for a mail, and with which command its content goes."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

import pytest
from conversation import client
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio import (
    Reply,
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPTLSError,
    Timeouts,
)
from smtplibaio.content.email import prepare
from smtplibaio.content.forms import Content, Stream
from smtplibaio.content.framing import Chunk, Chunks, Dots
from smtplibaio.grammar.commands import DATA, ends_group
from smtplibaio.grammar.extensions import Extensions
from smtplibaio.grammar.parameters import Parameters
from smtplibaio.mail.envelope import Envelope
from smtplibaio.mail.terms import Body, Plan, Terms
from smtplibaio.mail.transaction import Transaction

MAIL = b"MAIL FROM:<a@x.example>\r\n"
RCPT = b"RCPT TO:<b@y.example>\r\n"
RCPT2 = b"RCPT TO:<c@y.example>\r\n"

TEXT = b"Subject: x\r\n\r\nhi\r\n"
NUL = b"Subject: x\r\n\r\na\0b\n.\r"


def terms(
    *keywords: str,
    pipelining: bool = True,
    chunking: bool | None = None,
    is_verified: bool = False,
) -> Terms:
    """Make the terms of a session that offers what is named."""
    return with_parameters(
        dict.fromkeys(keywords, ()),
        pipelining=pipelining,
        chunking=chunking,
        is_verified=is_verified,
    )


def with_parameters(
    extensions: dict[str, tuple[str, ...]],
    *,
    pipelining: bool = True,
    chunking: bool | None = None,
    is_verified: bool = False,
) -> Terms:
    return Terms(
        Extensions(extensions),
        pipelining=pipelining,
        chunking=chunking,
        is_verified=is_verified,
    )


def plan_for(
    message: Any,
    its: Terms,
    options: tuple[str, ...] = (),
    recipients: Any = "b@y.example",
    **wanted: Any,
) -> Plan:
    """Plan a mail as `sendmail` does."""
    envelope = Envelope.of("a@x.example", recipients, options)
    fitted = prepare(message, is_binary=envelope.is_binary)
    return its.plan(envelope, message, fitted, **wanted)


class Settled:
    """A future that nobody waits for."""

    def done(self) -> bool:
        return True


def groups_of(plan: Plan) -> list[Any]:
    """List the commands before the content, as they leave where all are accepted."""
    transaction = Transaction(plan, Timeouts())
    transaction.future = Settled()
    groups = []
    while (group := transaction.next_group()) is not None:
        groups.append(group)
        for line in group:
            transaction.take([Reply(354 if line == DATA else 250, "ok")])
    return groups


def lines_of(plan: Plan) -> list[bytes]:
    """List MAIL and every RCPT."""
    return [plan.mail, *plan.rcpts]


def octets(plan: Plan) -> bytes:
    """Give all that leaves behind the commands."""
    content = plan.body.content
    assert isinstance(content, Content)
    *rest, last = content.blocks()
    framing = plan.body.framing()
    frames = [framing.frame(block, is_last=False) for block in rest]
    return b"".join([*frames, framing.frame(last, is_last=True)])


# Groups


@pytest.mark.parametrize(
    ("is_grouped", "is_chunked", "all_or_nothing", "groups"),
    [
        (True, False, False, [(MAIL, RCPT, RCPT2, DATA)]),
        (True, False, True, [(MAIL, RCPT, RCPT2), (DATA,)]),
        pytest.param(
            True, True, False, [(MAIL, RCPT, RCPT2)], id="F12-BDAT waits for verdicts"
        ),
        (True, True, True, [(MAIL, RCPT, RCPT2)]),
        (False, False, False, [(MAIL,), (RCPT,), (RCPT2,), (DATA,)]),
        (False, False, True, [(MAIL,), (RCPT,), (RCPT2,), (DATA,)]),
        (False, True, False, [(MAIL,), (RCPT,), (RCPT2,)]),
        (False, True, True, [(MAIL,), (RCPT,), (RCPT2,)]),
    ],
)
def test_commands_leave_together_where_they_may(
    is_grouped: bool, is_chunked: bool, all_or_nothing: bool, groups: list[Any]
) -> None:
    """A17: DATA is said where BDAT is not."""
    plan = Plan(
        Body(Content(TEXT), is_chunked),
        MAIL,
        [RCPT, RCPT2],
        ["b@y.example", "c@y.example"],
        is_grouped,
        all_or_nothing,
        says_data=not is_chunked,
    )
    assert [tuple(group) for group in groups_of(plan)] == groups
    assert not any(ends_group(line) for group in groups_of(plan) for line in group[:-1])


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("keywords", [(), ("PIPELINING",), ("pipelining",)])
def test_a_group_needs_pipelining_offered_and_wanted(
    pipelining: bool, keywords: tuple[str, ...]
) -> None:
    """F08: RFC 2920 3.1."""
    its = terms(*keywords, pipelining=pipelining)
    assert its.is_grouped is (pipelining and bool(keywords))
    plan = plan_for(TEXT, its)
    assert plan.is_grouped is plan.body.is_grouped is its.is_grouped


@pytest.mark.parametrize(
    ("keywords", "pipelining", "chunking", "expected"),
    [
        (("PIPELINING", "CHUNKING"), True, None, True),
        (("PIPELINING", "CHUNKING"), True, True, True),
        (("PIPELINING", "CHUNKING"), True, False, False),
        (("PIPELINING", "CHUNKING"), False, True, False),
        (("PIPELINING",), True, True, False),
        (("CHUNKING",), True, True, False),
        ((), True, None, False),
    ],
)
def test_a_window_needs_pipelining_and_chunking(
    keywords: tuple[str, ...], pipelining: bool, chunking: bool | None, expected: bool
) -> None:
    its = terms(*keywords, pipelining=pipelining, chunking=chunking)
    assert its.allow_window is expected


# DATA or BDAT

ALL = ("PIPELINING", "CHUNKING", "BINARYMIME", "8BITMIME")


@pytest.mark.parametrize(
    ("chunking", "keywords", "is_binary", "expected"),
    [
        (True, ("CHUNKING",), False, True),
        (True, (), False, False),
        (None, ("CHUNKING",), False, False),
        (None, (), False, False),
        (False, ("CHUNKING",), False, False),
        (True, ("CHUNKING",), True, True),
        (None, ("CHUNKING",), True, True),
        (True, (), True, SMTPCommandNotSupportedError),
        (None, (), True, SMTPCommandNotSupportedError),
        (False, ("CHUNKING",), True, SMTPArgumentError),
        (False, (), True, SMTPArgumentError),
    ],
)
def test_content_goes_with_bdat_where_that_is_wanted_or_the_only_way(
    chunking: bool | None, keywords: tuple[str, ...], is_binary: bool, expected: Any
) -> None:
    """A17: BINARYMIME never goes with DATA (RFC 3030 3)."""
    its = terms(*keywords, chunking=chunking)

    def settled() -> Body:
        return its.body(Content(TEXT), "BINARYMIME" if is_binary else None)

    if isinstance(expected, bool):
        assert settled().is_chunked is expected
        return
    with pytest.raises(expected, match="BODY=BINARYMIME needs BDAT") as caught:
        settled()
    if isinstance(caught.value, SMTPCommandNotSupportedError):
        assert caught.value.command == "CHUNKING"


@pytest.mark.parametrize("option", ["BODY=BINARYMIME", "body=binarymime"])
@pytest.mark.parametrize("chunking", [None, True])
def test_binary_content_has_bdat_and_no_data(option: str, chunking: bool) -> None:
    """A17, A18: as it is; in whatever case that was said."""
    plan = plan_for(NUL, terms(*ALL, chunking=chunking), (option,))
    (lines,) = groups_of(plan)
    assert tuple(lines) == (MAIL[:-2] + b" " + option.encode() + b"\r\n", RCPT)
    assert octets(plan) == b"BDAT 20 LAST\r\n" + NUL


@pytest.mark.parametrize(
    ("keywords", "chunking", "missing"),
    [
        (("CHUNKING", "8BITMIME"), None, "BINARYMIME"),
        (("BINARYMIME", "8BITMIME"), None, "CHUNKING"),
        (("8BITMIME",), True, "CHUNKING"),
    ],
)
@pytest.mark.parametrize("message", [NUL, [NUL], iter([NUL])], ids=["1", "list", "it"])
def test_binary_content_needs_both_extensions(
    message: Any, keywords: tuple[str, ...], chunking: bool | None, missing: str
) -> None:
    """A17: RFC 3030 3, "MUST NOT, under any circumstances, send binary data"."""
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        plan_for(message, terms(*keywords, chunking=chunking), ("BODY=BINARYMIME",))
    assert caught.value.command == missing


def test_binary_content_is_refused_where_bdat_is_forbidden() -> None:
    """A17: before MAIL."""
    with pytest.raises(SMTPArgumentError, match="chunking=False forbids"):
        plan_for(NUL, terms(*ALL, chunking=False), ("BODY=BINARYMIME",))


@pytest.mark.parametrize(
    ("options", "is_refused"),
    [
        ((), True),
        (("BODY=7BIT",), True),
        (("BODY=8BITMIME",), True),
        (("BODY=BINARYMIME",), False),
    ],
)
@pytest.mark.parametrize("chunking", [None, True])
def test_a_nul_is_binary_or_not_sent(
    options: tuple[str, ...], is_refused: bool, chunking: bool | None
) -> None:
    """A18: BDAT alone does not make binary content of it."""
    its = terms(*ALL, chunking=chunking)
    if not is_refused:
        assert octets(plan_for(NUL, its, options)).endswith(NUL)
        return
    with pytest.raises(SMTPArgumentError, match="NUL") as caught:
        plan_for(NUL, its, options)
    assert caught.value.offset == NUL.index(b"\0")


@pytest.mark.parametrize(
    ("content", "is_chunked", "framing"),
    [
        (Content(TEXT), False, Dots),
        (Content(TEXT), True, Chunk),
        (Stream([TEXT]), False, Dots),
        (Stream([TEXT]), True, Chunks),
    ],
)
def test_the_framing_is_that_of_what_is_known_of_the_content(
    content: Content | Stream, is_chunked: bool, framing: type
) -> None:
    """A16: a size that is not known is not claimed."""
    body = Body(content, is_chunked)
    assert type(body.framing()) is framing
    assert body.framing() is not body.framing()


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"a\n.\n", b"BDAT 6 LAST\r\na\r\n.\r\n"),
        (b"\na\r.", b"BDAT 8 LAST\r\n\r\na\r\n.\r\n"),
        (b"", b"BDAT 0 LAST\r\n"),
        ("é\n", b"BDAT 4 LAST\r\n\xc3\xa9\r\n"),
    ],
)
def test_a_chunk_has_the_size_of_the_canonical_form(
    message: bytes | str, wire: bytes
) -> None:
    """A16: of what is sent, and not of what was given."""
    plan = plan_for(message, terms(*ALL, "SIZE", chunking=True))
    assert octets(plan) == wire
    size = len(wire.partition(b"\n")[2])
    assert b" SIZE=%d" % size in lines_of(plan)[0]


@given(st.binary(max_size=60), st.booleans())
def test_the_declared_size_is_the_count_of_bdat(body: bytes, is_binary: bool) -> None:
    """A16: whatever the octets are."""
    options = ("BODY=BINARYMIME",) if is_binary else ()
    message = b"\n" + (body if is_binary else body.replace(b"\0", b""))
    plan = plan_for(message, terms(*ALL, "SIZE", chunking=True), options)
    command, _, sent = octets(plan).partition(b"\r\n")
    assert command == b"BDAT %d LAST" % len(sent)
    assert b" SIZE=%d" % len(sent) in lines_of(plan)[0]
    assert not is_binary or sent == message


# What fails before MAIL


@pytest.mark.parametrize(
    ("keywords", "options", "line", "is_8bit_ok"),
    [
        pytest.param((), (), b"", False, id="A19-not offered"),
        pytest.param(("8BITMIME",), (), b" BODY=8BITMIME", True, id="A19-offered"),
        pytest.param(
            ("8BITMIME",), ("BODY=7BIT",), b" BODY=7BIT", False, id="A19-7BIT"
        ),
        pytest.param(
            ("8BITMIME",), ("body=7bit",), b" body=7bit", False, id="A19-7bit"
        ),
        pytest.param(
            ("8BITMIME",), ("BODY=8BITMIME",), b" BODY=8BITMIME", True, id="A19-said"
        ),
    ],
)
def test_a_stream_may_be_8_bit_where_mail_says_so(
    keywords: tuple[str, ...], options: tuple[str, ...], line: bytes, is_8bit_ok: bool
) -> None:
    plan = plan_for(iter([TEXT]), terms(*keywords, "SIZE"), options)
    assert lines_of(plan) == [MAIL[:-2] + line + b"\r\n", RCPT]
    assert isinstance(plan.body.content, Stream)
    assert (plan.body.no_8bit is None) is is_8bit_ok


@pytest.mark.parametrize(
    ("message", "extensions", "error"),
    [
        pytest.param(b"\nx\n", {"SIZE": ("4",)}, SMTPArgumentError, id="A22-size"),
        pytest.param(b"\n\xe9", {}, SMTPCommandNotSupportedError, id="A19-8 bit"),
    ],
)
def test_what_the_server_cannot_take_has_no_plan(
    message: bytes, extensions: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        plan_for(message, with_parameters(extensions))


def test_a_stream_over_the_announced_size_shows_only_as_it_is_sent() -> None:
    """A22: neither is a size declared."""
    its = with_parameters({"SIZE": ("4",)})
    assert lines_of(plan_for(iter([TEXT]), its)) == [MAIL, RCPT]


@pytest.mark.parametrize("is_verified", [True, False])
def test_requiretls_needs_a_verified_connection(is_verified: bool) -> None:
    """B21: RFC 8689 2."""
    envelope = Envelope.of(
        "a@x.example", "b@y.example", wanted=Parameters(require_tls=True)
    )
    its = terms("REQUIRETLS", is_verified=is_verified)
    if is_verified:
        plan = its.plan(envelope, TEXT, prepare(TEXT))
        assert lines_of(plan)[0].endswith(b" REQUIRETLS\r\n")
        return
    with pytest.raises(SMTPTLSError):
        its.plan(envelope, TEXT, prepare(TEXT))


async def test_8_bit_content_that_mail_called_7_bit_is_refused_for_that() -> None:
    """A19: a stream like a whole; the server has announced 8BITMIME, after all."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-PIPELINING
        S: 250 8BITMIME
        C: MAIL FROM:<a@x.example> BODY=7BIT
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: <hangup>
        """) as smtp:
        for message in b"\n\xe9", iter([b"\n\xe9"]):
            with pytest.raises(SMTPArgumentError, match="BODY=7BIT says"):
                await smtp.sendmail(
                    "a@x.example", "b@y.example", message, ["BODY=7BIT"]
                )


# What a plan holds


def test_a_message_of_the_email_package_is_fitted_to_the_server() -> None:
    """A19: here, where it is known what that takes."""
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("é\n", cte="8bit")
    assert b" BODY=8BITMIME" in lines_of(plan_for(message, terms("8BITMIME")))[0]
    plan = plan_for(message, terms())
    assert lines_of(plan)[0] == MAIL
    assert octets(plan).isascii()


def test_content_that_was_fitted_is_not_fitted_again() -> None:
    envelope = Envelope.of("a@x.example", "b@y.example")
    content = Content(TEXT, needs_utf8=True)
    plan = terms("SMTPUTF8").plan(envelope, b"another", content)
    assert plan.body.content is content
    assert lines_of(plan)[0].endswith(b" SMTPUTF8\r\n")


def test_a_plan_keeps_what_the_caller_calls_the_recipients() -> None:
    names = ["b@b\u00fccher.example", "Postmaster"]
    told: list[int] = []
    plan = plan_for(
        TEXT,
        terms(*ALL, chunking=True),
        (),
        names,
        all_or_nothing=True,
        progress=lambda sent, _: told.append(sent),
    )
    assert plan.recipients == names
    assert lines_of(plan)[1:] == [
        b"RCPT TO:<b@xn--bcher-kva.example>\r\n",
        b"RCPT TO:<Postmaster>\r\n",
    ]
    assert plan.all_or_nothing
    assert plan.body.is_chunked
    assert plan.body.progress is not None
    plan.body.progress(5, None)
    assert told == [5]


def test_a_parameter_that_is_not_ascii_needs_smtputf8() -> None:
    """C02: RFC 6531 3.3; it is declared, or the mail is refused before a byte."""
    options = ["X=\N{GREEK SMALL LETTER PI}"]
    assert b" SMTPUTF8" in terms("SMTPUTF8", "X").mail("a@x.example", options)
    with pytest.raises(SMTPCommandNotSupportedError, match="not ASCII"):
        terms("X").mail("a@x.example", options)

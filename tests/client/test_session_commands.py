"""Commands that are given one by one: their lines, their replies, whose turn it is."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import client

from smtplibaio import (
    SMTP,
    Reply,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPProtocolError,
    SMTPTLSError,
)

Call = Callable[[SMTP], Awaitable[Any]]

SENDER, RECIPIENT = "a@x.example", "b@y.example"

ANNOUNCED = """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-SIZE 1000
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250-DSN
        S: 250-REQUIRETLS
        S: 250 PIPELINING"""


# One command, one method


COMMANDS: dict[str, tuple[str, Call]] = {
    "ehlo": ("EHLO client.example", lambda c: c.ehlo()),
    "helo": ("HELO client.example", lambda c: c.helo()),
    "rcpt": ("RCPT TO:<b@y.example>", lambda c: c.rcpt(RECIPIENT)),
    "rcpt-postmaster": ("RCPT TO:<Postmaster>", lambda c: c.rcpt("Postmaster")),
    "rcpt-option": (
        "RCPT TO:<b@y.example> XA=1",
        lambda c: c.rcpt(RECIPIENT, ["XA=1"]),
    ),
    "rcpt-none": ("RCPT TO:<b@y.example>", lambda c: c.rcpt(RECIPIENT, None)),
    "rset": ("RSET", lambda c: c.rset()),
    "noop": ("NOOP", lambda c: c.noop()),
    "noop-text": ("NOOP still here", lambda c: c.noop("still here")),
    "vrfy": ("VRFY Smith", lambda c: c.vrfy("Smith")),
    "expn": ("EXPN Example-People", lambda c: c.expn("Example-People")),
    "command": ("XCLIENT NAME=x", lambda c: c.command("xclient", "NAME=x")),
}


@pytest.mark.parametrize(("line", "call"), COMMANDS.values(), ids=COMMANDS)
async def test_a_command_is_a_method_that_gives_its_reply(
    line: str, call: Call
) -> None:
    async with client(f"""
        S: 220 hi
        C: {line}
        S: 250-first
        S: 250 second
        """) as smtp:
        reply = await call(smtp)
        assert reply == (250, "first\nsecond")
        assert isinstance(reply, Reply)


@pytest.mark.parametrize(("line", "call"), COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("code", [450, 550])
async def test_a_refused_command_raises_and_the_session_goes_on(
    line: str, call: Call, code: int
) -> None:
    async with client(f"""
        S: 220 hi
        C: {line}
        S: {code}-no
        S: {code} never
        C: NOOP
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError) as caught:
            await call(smtp)
        assert (caught.value.code, caught.value.message) == (code, "no\nnever")
        assert caught.value.command == line.split(maxsplit=1)[0]
        assert caught.value.is_transient == (code == 450)
        await smtp.noop()


@pytest.mark.parametrize(("line", "call"), COMMANDS.values(), ids=COMMANDS)
async def test_a_reply_that_wants_more_ends_the_session(line: str, call: Call) -> None:
    async with client(f"""
        S: 220 hi
        C: {line}
        S: 354 go on
        """) as smtp:
        with pytest.raises(SMTPProtocolError):
            await call(smtp)
        assert not smtp.is_connected


async def test_help_gives_the_text() -> None:
    async with client("""
        S: 220 hi
        C: HELP
        S: 214-commands:
        S: 214 all of them
        C: HELP MAIL
        S: 211 MAIL FROM:<...>
        """) as smtp:
        assert await smtp.help() == "commands:\nall of them"
        assert await smtp.help("MAIL") == "MAIL FROM:<...>"


@pytest.mark.parametrize("code", [251, 252])
async def test_any_2yz_is_a_success(code: int) -> None:
    async with client(f"""
        S: 220 hi
        C: VRFY b
        S: {code} perhaps
        C: RCPT TO:<b@y.example>
        S: {code} perhaps
        """) as smtp:
        assert (await smtp.vrfy("b")).code == code
        assert (await smtp.rcpt(RECIPIENT)).code == code


async def test_look_ups_are_in_utf8_where_the_server_reads_it() -> None:
    async with client(f"""{ANNOUNCED}
        C: VRFY J\u00f6rg SMTPUTF8
        S: 250 J\u00f6rg
        C: EXPN J\u00f6rg SMTPUTF8
        S: 250 J\u00f6rg
        """) as smtp:
        with pytest.raises(SMTPArgumentError, match="ASCII"):
            await smtp.vrfy("J\u00f6rg")
        await smtp.ehlo()
        assert await smtp.vrfy("J\u00f6rg") == (250, "J\u00f6rg")
        assert await smtp.expn("J\u00f6rg") == (250, "J\u00f6rg")


# One transaction, command by command


async def test_a_transaction_may_be_given_by_hand() -> None:
    async with client(
        f"""{ANNOUNCED}
        C: MAIL FROM:<a@x.example> RET=HDRS
        S: 250 ok
        C: RCPT TO:<b@y.example> NOTIFY=NEVER
        S: 250 ok
        C: DATA
        S: 354 go
        C: Subject: x
        C:
        C: ..
        C: .
        S: 250 taken
        C: NOOP
        S: 250 ok
        """.replace("C:\n", "C: \n")
    ) as smtp:
        options = ["RET=HDRS"]
        assert await smtp.mail(SENDER, options) == (250, "ok")
        assert options == ["RET=HDRS"]
        await smtp.rcpt(RECIPIENT, ["NOTIFY=NEVER"])
        assert await smtp.data("Subject: x\n\n.") == (250, "taken")
        await smtp.noop()


async def test_the_null_reverse_path_is_a_sender() -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: MAIL FROM:<>
        S: 250 ok
        """) as smtp:
        await smtp.mail("", None)


async def test_an_address_beyond_ascii_asks_for_smtputf8() -> None:
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<\u00fc@x.example> SMTPUTF8
        S: 250 ok
        C: RCPT TO:<\u00fc@y.example>
        S: 250 ok
        C: RSET
        S: 250 ok
        C: MAIL FROM:<\u00fc@x.example> SMTPUTF8
        S: 250 ok
        """) as smtp:
        await smtp.mail("\u00fc@x.example")
        await smtp.rcpt("\u00fc@y.example")
        await smtp.rset()
        await smtp.mail("\u00fc@x.example", ["SMTPUTF8"])


@pytest.mark.parametrize(
    "options", [["SMTPUTF8"], ["smtputf8"], ["SmtpUtf8"]], ids=lambda o: o[0]
)
async def test_smtputf8_is_said_once(options: list[str]) -> None:
    """A07: where the caller has said it already, in whatever case."""
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<\u00fc@x.example> {options[0]}
        S: 250 ok
        """) as smtp:
        assert await smtp.mail("\u00fc@x.example", options) == (250, "ok")
        assert len(options) == 1


@pytest.mark.parametrize(
    ("call", "extension"),
    [
        (lambda c: c.mail("\u00fc@x.example"), "SMTPUTF8"),
        (lambda c: c.rcpt("\u00fc@y.example"), "SMTPUTF8"),
        (lambda c: c.mail(SENDER, ["BODY=8BITMIME"]), "8BITMIME"),
        (lambda c: c.rcpt(RECIPIENT, ["NOTIFY=NEVER"]), "DSN"),
        (lambda c: c.data("\u00fc"), "8BITMIME"),
    ],
)
async def test_what_was_not_announced_is_not_sent(call: Call, extension: str) -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: NOOP
        S: 250 ok
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandNotSupportedError) as caught:
            await call(smtp)
        assert caught.value.command == extension
        await smtp.noop()


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.mail("a b"),
        lambda c: c.mail(SENDER, "SIZE=1"),
        lambda c: c.mail(SENDER, ["SIZE=1 X"]),
        lambda c: c.rcpt("b."),
        lambda c: c.rcpt(RECIPIENT, ["NOTIFY=NEVER\r\nDATA"]),
        lambda c: c.data("x" * 500 + "\n" + "x" * 500),
        lambda c: c.data("a\rb: c\n\n"),
        lambda c: c.noop("a\r\nb"),
        lambda c: c.vrfy(""),
        lambda c: c.expn(None),
        lambda c: c.help("a\nb"),
        lambda c: c.command("DATA"),
    ],
)
async def test_what_may_not_go_on_the_wire_is_refused(call: Call) -> None:
    async with client(f"""{ANNOUNCED}
        C: NOOP
        S: 250 ok
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPArgumentError):
            await call(smtp)
        await smtp.noop()


async def test_requiretls_by_hand_needs_verified_tls_too() -> None:
    """B21: a server that announces it in clear is not to be believed."""
    async with client(f"""{ANNOUNCED}
        C: NOOP
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPTLSError):
            await smtp.mail(SENDER, ["REQUIRETLS"])
        await smtp.noop()


@pytest.mark.parametrize(
    ("announced", "encoding", "body"),
    [
        ("8BITMIME", "8bit", "a little \u00fc in some ASCII"),
        ("X", "quoted-printable", "a little =C3=BC in some ASCII"),
    ],
)
async def test_data_encodes_a_message_as_the_server_needs_it(
    announced: str, encoding: str, body: str
) -> None:
    """A19: after EHLO it is known what the server takes; Bcc does not leave."""
    message = EmailMessage()
    message["Bcc"] = "hidden@y.example"
    message["MIME-Version"] = "1.0"
    message.set_content("a little \u00fc in some ASCII\n", cte="8bit")
    async with client(f"""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 {announced}
        C: DATA
        S: 354 go
        C: MIME-Version: 1.0
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: {encoding}
        C:
        C: {body}
        C: .
        S: 250 taken
        """) as smtp:
        await smtp.ehlo()
        assert await smtp.data(message) == (250, "taken")
    assert message["Bcc"] == "hidden@y.example"


async def test_a_broken_off_rcpt_ends_the_session() -> None:
    async with client("""
        S: 220 hi
        C: RCPT TO:<b@y.example>
        S: <silence>
        """) as smtp:
        task = asyncio.create_task(smtp.rcpt(RECIPIENT))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(SMTPConnectionLostError, match="RCPT was broken off"):
            await smtp.noop()


# Content that is read as it is sent


async def two_lines() -> AsyncIterator[bytes]:
    yield b".\r"
    yield b"\nhi"


class Reader:
    """Whatever has a `read`."""

    def __init__(self) -> None:
        self.chunks = [b".\n", memoryview(b"hi"), b""]

    def read(self, size: int) -> Any:
        return self.chunks.pop(0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: io.BytesIO(b".\nhi"),
        Reader,
        lambda: iter([b".", b"\n", bytearray(b"hi")]),
        lambda: (chunk for chunk in [b".\nhi\n"]),
        lambda: [b".\n", b"hi"],
        lambda: (b".\nhi",),
        two_lines,
    ],
    ids=["file", "read", "iterator", "generator", "list", "tuple", "async generator"],
)
async def test_data_takes_whatever_gives_octets(make: Callable[[], Any]) -> None:
    """A10, A20: in the same form as the whole."""
    async with client("""
        S: 220 hi
        C: DATA
        S: 354 go
        C: ..
        C: hi
        C: .
        S: 250 taken
        C: NOOP
        S: 250 ok
        """) as smtp:
        assert await smtp.data(make()) == (250, "taken")
        await smtp.noop()


@pytest.mark.parametrize("line", [b"\0", b"x" * 999, b"\xe9", "text"])
async def test_a_stream_that_cannot_be_sent_has_no_dot(line: Any) -> None:
    """A18, A19, E16: half of it has left, perhaps; so the connection ends."""
    async with client("""
        S: 220 hi
        C: DATA
        S: 354 go
        C: <hangup>
        """) as smtp:
        with pytest.raises((SMTPArgumentError, SMTPCommandNotSupportedError)):
            await smtp.data(iter([b"hi\r\n", line]))
        assert not smtp.is_connected


async def test_a_stream_is_not_read_where_data_is_refused() -> None:
    async with client("""
        S: 220 hi
        C: DATA
        S: 503 first MAIL
        """) as smtp:
        source = iter([b"hi"])
        with pytest.raises(SMTPCommandFailedError, match="503"):
            await smtp.data(source)
        assert list(source) == [b"hi"]


@pytest.mark.parametrize("option", ["BODY=BINARYMIME", "body=binarymime"])
@pytest.mark.parametrize("content", ["hi", iter([b"hi"])], ids=["whole", "stream"])
async def test_after_binarymime_there_is_no_data(option: str, content: Any) -> None:
    """A17: nothing is sent; another MAIL, or RSET, makes it possible again."""
    async with client(f"""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-CHUNKING
        S: 250 BINARYMIME
        C: MAIL FROM:<a@x.example> {option}
        S: 250 ok
        C: RSET
        S: 250 ok
        C: DATA
        S: 503 first MAIL
        C: MAIL FROM:<a@x.example> {option}
        S: 250 ok
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: DATA
        S: 503 first RCPT
        """) as smtp:
        await smtp.mail(SENDER, [option])
        with pytest.raises(SMTPArgumentError, match="BINARYMIME"):
            await smtp.data(content)
        await smtp.rset()
        with pytest.raises(SMTPCommandFailedError):
            await smtp.data("hi")
        await smtp.mail(SENDER, [option])
        with pytest.raises(SMTPArgumentError, match="BINARYMIME"):
            await smtp.data(content)
        await smtp.mail(SENDER)
        with pytest.raises(SMTPCommandFailedError):
            await smtp.data("hi")


@pytest.mark.parametrize(
    ("way_out", "call"),
    [
        ("RSET", lambda c: c.rset()),
        ("MAIL FROM:<a@x.example>", lambda c: c.mail(SENDER)),
    ],
)
async def test_after_the_chunks_of_a_pipeline_there_is_no_data(
    way_out: str, call: Call
) -> None:
    """A17: nothing is sent; RSET makes it possible again, or a MAIL that is taken."""
    async with client(f"""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 CHUNKING
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RCPT TO:<b@y.example>
        S: 250 ok
        C: BDAT 4
        C: hi
        S: 250 ok
        C: {way_out}
        S: 250 ok
        C: DATA
        S: 503 no
        """) as smtp:
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
            p.bdat(b"hi\r\n")
        with pytest.raises(SMTPArgumentError, match="BDAT"):
            await smtp.data("hi")
        await call(smtp)
        with pytest.raises(SMTPCommandFailedError):
            await smtp.data("hi")


# Whose content


MAIL, RCPT = "C: MAIL FROM:<a@x.example>", "C: RCPT TO:<b@y.example>"


async def test_data_after_a_refused_mail_sends_no_content() -> None:
    """H03: the 354 belongs to a transaction that somebody else has begun."""
    async with client(f"""{ANNOUNCED}
        {MAIL}
        S: 550 not you
        {RCPT}
        S: 250 recipient
        C: DATA
        S: 354 go
        C: <hangup>
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandFailedError):
            await smtp.mail(SENDER)
        await smtp.rcpt(RECIPIENT)
        with pytest.raises(SMTPCommandFailedError, match="MAIL failed: 550 not you"):
            await smtp.data("hi")
        assert not smtp.is_connected


async def test_data_after_refused_recipients_sends_no_content() -> None:
    """H03: MAIL was accepted and every RCPT refused, so that a dot is no mail."""
    async with client(f"""{ANNOUNCED}
        {MAIL}
        S: 250 sender
        {RCPT}
        S: 550 nobody
        C: DATA
        S: 354 go
        C: .
        S: 554 no recipients
        C: RSET
        S: 250 reset
        C: NOOP
        S: 250 in step
        """) as smtp:
        await smtp.ehlo()
        await smtp.mail(SENDER)
        with pytest.raises(SMTPCommandFailedError):
            await smtp.rcpt(RECIPIENT)
        with pytest.raises(SMTPCommandFailedError, match="RCPT failed: 550 nobody"):
            await smtp.data("hi")
        assert await smtp.noop() == (250, "in step")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("503 no recipients", SMTPCommandFailedError),
        ("250 what?", SMTPProtocolError),
    ],
)
async def test_a_server_that_wants_no_content_says_why(
    answer: str, error: type[Exception]
) -> None:
    """D22: and 250 to DATA ends the connection here, too."""
    async with client(f"""{ANNOUNCED}
        {MAIL}
        S: 250 sender
        {RCPT}
        S: 550 nobody
        C: DATA
        S: {answer}
        """) as smtp:
        await smtp.ehlo()
        await smtp.mail(SENDER)
        with pytest.raises(SMTPCommandFailedError):
            await smtp.rcpt(RECIPIENT)
        with pytest.raises(error, match=answer):
            await smtp.data("hi")
        assert smtp.is_connected is (error is SMTPCommandFailedError)


async def test_a_refused_mail_leaves_nothing_to_the_one_before() -> None:
    """H03: what follows would get into the transaction that was left unfinished."""
    async with client(f"""{ANNOUNCED}
        {MAIL}
        S: 250 sender
        {RCPT}
        S: 250 recipient
        C: MAIL FROM:<c@x.example>
        S: 503 nested MAIL
        C: RSET
        S: 250 reset
        C: RCPT TO:<d@y.example>
        S: 250 taken without MAIL
        C: DATA
        S: 354 go
        C: <hangup>
        """) as smtp:
        await smtp.ehlo()
        await smtp.mail(SENDER)
        await smtp.rcpt(RECIPIENT)
        with pytest.raises(SMTPCommandFailedError, match="nested"):
            await smtp.mail("c@x.example")
        await smtp.rcpt("d@y.example")
        with pytest.raises(SMTPCommandFailedError, match="MAIL failed: 503 nested"):
            await smtp.data("hi")
        assert not smtp.is_connected


@pytest.mark.parametrize("forget", ["RSET", "EHLO client.example"])
async def test_a_refusal_is_forgotten_with_its_transaction(forget: str) -> None:
    """Then it is the server's affair what DATA means."""
    async with client(f"""{ANNOUNCED}
        {MAIL}
        S: 550 not you
        C: {forget}
        S: 250 forgotten
        C: DATA
        S: 354 go
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandFailedError):
            await smtp.mail(SENDER)
        await (smtp.rset() if forget == "RSET" else smtp.ehlo())
        assert await smtp.data("hi") == (250, "taken")


@pytest.mark.parametrize("is_of_mail", [True, False], ids=["MAIL", "RCPT"])
async def test_what_a_pipeline_was_refused_counts_behind_it(
    *, is_of_mail: bool
) -> None:
    """H03: the content of data() is of the transaction that the pipeline has begun."""
    mail, rcpt = (550, 250) if is_of_mail else (250, 550)
    rest = ["C: <hangup>"]
    if not is_of_mail:
        rest = ["C: .", "S: 554 no recipients", "C: RSET", "S: 250 reset"]
    end = "\n        ".join(rest)
    async with client(f"""{ANNOUNCED}
        {MAIL}
        {RCPT}
        S: {mail} sender
        S: {rcpt} recipient
        C: DATA
        S: 354 go
        {end}
        """) as smtp:
        await smtp.ehlo()
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
        with pytest.raises(SMTPCommandFailedError, match="failed: 550"):
            await smtp.data("hi")
        assert smtp.is_connected is not is_of_mail

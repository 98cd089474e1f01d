"""The commands and whole transactions, as a server sees them."""

from __future__ import annotations

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import client

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPLoginError,
    SMTPNoRecipientError,
    SMTPTLSError,
    Timeouts,
    sasl,
)
from smtplibaio.client import login
from smtplibaio.testing import SMTPServer

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
        S: 250-AUTH PLAIN LOGIN
        S: 250 PIPELINING"""


# The face


def test_every_documented_command_is_a_coroutine() -> None:
    documented = (
        "connect ehlo helo auth mail rcpt vrfy data expn noop quit help rset "
        "sendmail send_mail send_message command authenticate close "
        "ehlo_or_helo_if_needed"
    )
    for name in documented.split():
        assert inspect.iscoroutinefunction(getattr(SMTP, name)), name
    assert SMTP.send_mail is SMTP.sendmail


# Before the wire


@pytest.mark.parametrize(
    ("call", "extension"),
    [
        (lambda c: c.sendmail(SENDER, RECIPIENT, "\u00fc"), "8BITMIME"),
        (lambda c: c.sendmail("\u00fc@x.example", RECIPIENT, "hi"), "SMTPUTF8"),
        (lambda c: c.sendmail(SENDER, RECIPIENT, "hi", ["RET=FULL"]), "DSN"),
        (lambda c: c.auth("u", "p"), "AUTH"),
        (lambda c: c.authenticate(sasl.Plain("u", "p")), "AUTH"),
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
        lambda c: c.sendmail(SENDER, RECIPIENT, ["x"]),
        lambda c: c.sendmail(SENDER, RECIPIENT, "x" * 500 + "\n" + "x" * 500),
        lambda c: c.sendmail(SENDER, [], "hi"),
        lambda c: c.sendmail(SENDER, RECIPIENT, "a\0b"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_mail(call: Call) -> None:
    async with client(f"""{ANNOUNCED}
        C: NOOP
        S: 250 ok
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPArgumentError):
            await call(smtp)
        await smtp.noop()


async def test_a_size_within_the_limit_is_declared() -> None:
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<a@x.example> SIZE=1000
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 552 not now
        S: 503 what?
        S: 503 what?
        C: RSET
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="552"):
            await smtp.sendmail(SENDER, RECIPIENT, ("x" * 498 + "\n") * 2)


@pytest.mark.parametrize(
    "end",
    [
        "C: DATA\nS: 550 no",
        "C: DATA\nS: 354 go\nC: hi\nC: .\nS: 550 no",
        "C: NOOP\nS: 450 no",
    ],
    ids=["DATA refused", "content refused", "given up"],
)
async def test_a_transaction_that_was_left_is_reset_before_the_next(
    end: str,
) -> None:
    async with client(f"""
S: 220 hi
C: EHLO client.example
S: 250 mx
C: MAIL FROM:<a@x.example>
S: 250 ok
{end}
C: RSET
S: 250 ok
C: MAIL FROM:<a@x.example>
S: 250 ok
C: RCPT TO:<b@y.example>
S: 250 ok
C: DATA
S: 354 go
C: hi
C: .
S: 250 taken
""") as smtp:
        await smtp.mail(SENDER)
        with pytest.raises(SMTPCommandFailedError):
            await (smtp.data("hi") if "DATA" in end else smtp.noop())
        await smtp.sendmail(SENDER, RECIPIENT, "hi")


async def test_a_transaction_that_rset_ended_is_not_reset_again() -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RSET
        S: 250 ok
        C: MAIL FROM:<a@x.example>
        S: 450 later
        C: RSET
        S: 250 ok
        """) as smtp:
        await smtp.mail(SENDER)
        await smtp.rset()
        with pytest.raises(SMTPCommandFailedError):
            await smtp.sendmail(SENDER, RECIPIENT, "hi")


# Whole transactions


class AsBytes:
    """What the email package's messages have in common."""

    def as_bytes(self) -> bytes:
        return b"hi\n"


@pytest.mark.parametrize(
    "message", ["hi", b"hi\r\n", bytearray(b"hi\n"), memoryview(b"hi"), AsBytes()]
)
async def test_a_message_goes_out_in_two_turns(message: Any) -> None:
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<a@x.example> SIZE=4
        C: RCPT TO:<b@y.example>
        C: RCPT TO:<nobody@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 550 no such user
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        result = await smtp.sendmail(
            SENDER, [RECIPIENT, "nobody@y.example", RECIPIENT], message
        )
        assert result == {"nobody@y.example": (550, "no such user")}
        assert result.accepted == [RECIPIENT]
        assert result.reply == (250, "taken")


@pytest.mark.parametrize(
    ("announced", "pipelining"),
    [("", True), ("-X\nS: 250 PIPELINING", False)],
    ids=["not offered", "not wanted"],
)
async def test_without_pipelining_it_is_one_by_one(
    announced: str, pipelining: bool
) -> None:
    script = f"""
S: 220 hi
C: EHLO client.example
S: 250{announced or " mx"}
C: MAIL FROM:<a@x.example>
S: 250 ok
C: RCPT TO:<b@y.example>
S: 250 ok
C: DATA
S: 354 go ahead
C: hi
C: .
S: 250 taken
"""
    async with client(script, pipelining=pipelining) as smtp:
        assert await smtp.sendmail(SENDER, RECIPIENT, "hi", None, None) == {}


async def test_with_nobody_left_the_session_is_ready_for_the_next() -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<nobody@y.example>
        C: DATA
        S: 250 ok
        S: 550 no such user
        S: 354 go ahead
        C: .
        S: 554 no valid recipients
        C: RSET
        S: 250 ok
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        with pytest.raises(SMTPNoRecipientError) as caught:
            await smtp.sendmail(SENDER, "nobody@y.example", "hi")
        assert caught.value.refused == {"nobody@y.example": (550, "no such user")}
        assert await smtp.send_mail(SENDER, RECIPIENT, "hi") == {}


async def test_what_a_pipeline_leaves_open_sendmail_resets() -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: VRFY b
        S: 250 ok
        S: 250 b
        C: RSET
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        async with smtp.pipeline() as pipeline:
            mail, vrfy = pipeline.mail(SENDER), pipeline.vrfy("b")
        assert (mail.result(), vrfy.result()) == ((250, "ok"), (250, "b"))
        await smtp.sendmail(SENDER, RECIPIENT, "hi")


async def test_a_message_says_itself_who_sends_and_gets_it() -> None:
    message = EmailMessage()
    message["From"], message["To"] = SENDER, RECIPIENT
    message["Bcc"] = "hidden@y.example"
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<a@x.example> SIZE=38
        C: RCPT TO:<b@y.example>
        C: RCPT TO:<hidden@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: b@y.example
        C:
        C: .
        S: 250 taken
        C: MAIL FROM:<> SIZE=38
        C: RCPT TO:<c@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: b@y.example
        C:
        C: .
        S: 250 taken
        """) as smtp:
        result = await smtp.send_message(message)
        assert result.accepted == [RECIPIENT, "hidden@y.example"]
        assert await smtp.send_message(message, "", "c@y.example") == {}


async def test_require_tls_needs_a_verified_connection() -> None:
    """B21: before anything is sent."""
    async with client(f"""{ANNOUNCED.replace("DSN", "REQUIRETLS")}
        C: NOOP
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPTLSError, match="verified"):
            await smtp.send_message("hi", SENDER, RECIPIENT, require_tls=True)
        await smtp.noop()


# Many tasks


class StrictServer(asyncio.Protocol):
    """A server that lets no command pass at the wrong time."""

    def __init__(self, taken: list[tuple[str, list[str], str]], offer: bytes) -> None:
        self.taken = taken
        self._offer = offer
        self._received = b""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._content: list[str] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(b"220 strict\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\r\n")
        for line in lines:
            if (reply := self._answer(line.decode())) is not None:
                self._transport.write(reply + b"\r\n")

    def _answer(self, line: str) -> bytes | None:
        if self._content is not None:
            return self._take(line)
        verb, _, argument = line.partition(" ")
        match verb:
            case "EHLO":
                return self._offer
            case "NOOP" | "VRFY":
                return b"250 " + argument.encode()
            case "RSET" if self._sender is None:
                return b"250 nothing to reset"
            case "MAIL" if self._sender is None:
                self._sender = argument.removeprefix("FROM:")
            case "RCPT" if self._sender is not None:
                self._recipients.append(argument.removeprefix("TO:"))
            case "DATA" if self._recipients:
                self._content = []
                return b"354 go"
            case _:
                return b"503 not now"
        return b"250 ok"

    def _take(self, line: str) -> bytes | None:
        assert self._content is not None
        if line != ".":
            self._content.append(line)
            return None
        assert self._sender is not None
        self.taken.append((self._sender, self._recipients, "\n".join(self._content)))
        self._sender, self._recipients, self._content = None, [], None
        return b"250 taken"


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param(b"250-strict\r\n250 PIPELINING", id="E09-groups"),
        pytest.param(b"250 strict", id="E09-one-by-one"),
    ],
)
async def test_fifty_tasks_share_a_client_and_no_envelope(offer: bytes) -> None:
    taken: list[tuple[str, list[str], str]] = []

    async def use(smtp: SMTP, n: int) -> object:
        match n % 5:
            case 0:
                assert await smtp.rset() == (250, "nothing to reset")
            case 1:
                assert await smtp.noop(f"n{n}") == (250, f"n{n}")
            case 2:
                assert await smtp.vrfy(f"v{n}") == (250, f"v{n}")
            case _:
                recipients = [f"r{n}.{i}@y.example" for i in range(n % 3 + 1)]
                await smtp.sendmail(f"s{n}@x.example", recipients, f"m{n}")
                return (
                    f"<s{n}@x.example>",
                    [f"<{recipient}>" for recipient in recipients],
                    f"m{n}",
                )
        return None

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: StrictServer(taken, offer), "127.0.0.1", 0
    )
    async with server, SMTP(*server.sockets[0].getsockname()) as smtp:
        async with asyncio.timeout(10):
            sent = await asyncio.gather(*(use(smtp, n) for n in range(50)))
    assert sorted(taken) == sorted(filter(None, sent))  # type: ignore[type-var]
    assert len(taken) == 20


# Logging in


async def test_auth_logs_in_once() -> None:
    async with client(f"""{ANNOUNCED}
        C: AUTH PLAIN AHUAcA==
        S: 235 welcome
        C: NOOP
        S: 250 ok
        """) as smtp:
        assert await smtp.auth("u", "p") == (235, "welcome")
        for again in smtp.auth("u", "p"), smtp.authenticate(sasl.Plain("u", "p")):
            with pytest.raises(SMTPArgumentError, match="already"):
                await again
        await smtp.noop()


async def test_a_refused_auth_says_what_was_tried() -> None:
    async with client(f"""{ANNOUNCED}
        C: AUTH PLAIN AHUAcA==
        S: 535 wrong
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: dQ==
        S: 334 UGFzc3dvcmQ6
        C: cA==
        S: 235 welcome
        """) as smtp:
        with pytest.raises(SMTPLoginError) as caught:
            await smtp.auth("u", "p")
        assert [str(exc) for exc in caught.value.exceptions] == [
            "AUTH PLAIN failed: 535 wrong"
        ]
        await smtp.auth("u", "p", mechanisms=["login"])


async def test_a_mechanism_of_the_callers_logs_in() -> None:
    async with client(f"""{ANNOUNCED}
        C: AUTH PLAIN AHUAcA==
        S: 235 welcome
        """) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError, match="CRAM-MD5"):
            await smtp.authenticate(sasl.CramMD5("u", "p"))
        assert (await smtp.authenticate(sasl.Plain("u", "p"))).code == 235


async def test_within_a_transaction_nobody_logs_in() -> None:
    async with client(f"""{ANNOUNCED}
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RSET
        S: 250 ok
        C: AUTH PLAIN AHUAcA==
        S: 235 ok
        """) as smtp:
        await smtp.mail(SENDER)
        with pytest.raises(SMTPArgumentError, match="transaction"):
            await smtp.auth("u", "p")
        await smtp.rset()
        await smtp.auth("u", "p")


async def test_a_password_does_not_cross_the_network_in_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "is_local", lambda *_, **__: False)
    async with client(f"""{ANNOUNCED}
        C: NOOP
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPLoginError, match="others on the network"):
            await smtp.auth("u", "p")
        with pytest.raises(SMTPTLSError, match="others on the network"):
            await smtp.authenticate(sasl.Plain("u", "p"))
        await smtp.noop()


@pytest.mark.parametrize("encrypted", [True, False])
async def test_a_password_crosses_where_it_may(
    monkeypatch: pytest.MonkeyPatch,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    encrypted: bool,
) -> None:
    monkeypatch.setattr(login, "is_local", lambda *_, **__: False)
    options: dict[str, Any] = (
        {
            "make": SMTP_SSL,
            "tls": server_tls,
            "implicit_tls": True,
            "context": client_tls,
        }
        if encrypted
        else {"allow_cleartext_auth": True}
    )
    script = f"{ANNOUNCED}\n        C: AUTH PLAIN AHUAcA==\n        S: 235 ok"
    async with client(script, **options) as smtp:
        assert smtp.is_encrypted == encrypted
        assert (await smtp.auth("u", "p")).code == 235


# TLS from the first octet on


def test_smtp_ssl_is_on_port_465_and_verifies() -> None:
    smtp = SMTP_SSL()
    assert (smtp.hostname, smtp.port, smtp.timeout) == ("localhost", 465, Timeouts())
    context = smtp._settings.endpoint.context
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_smtp_ssl_takes_a_context_where_smtplibaio_2_did(
    client_tls: ssl.SSLContext,
) -> None:
    smtp = SMTP_SSL("mx.example", 466, "client.example", client_tls, 30)
    assert (smtp.port, smtp.fqdn) == (466, "client.example")
    assert smtp._settings.endpoint.context is client_tls
    assert smtp.timeout == Timeouts.of(30)


async def test_smtp_ssl_with_an_unknown_authority_is_a_tls_error(
    server_tls: ssl.SSLContext,
) -> None:
    """B11: by default, without a context of the caller's."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    complain = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=server_tls)
    async with server:
        smtp = SMTP_SSL(*server.sockets[0].getsockname())
        with pytest.raises(SMTPTLSError, match="certificate") as caught:
            await smtp.connect()
        await asyncio.sleep(0.01)  # for the complaint
    loop.set_exception_handler(complain)
    assert all("incoming connection" in c["message"] for c in complaints)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert not smtp.is_connected


# What smtplibaio 2 had besides


def test_extensions_can_be_read_from_a_text() -> None:
    assert SMTP.parse_esmtp_extensions("mx\nSIZE 1000\nAUTH=LOGIN PLAIN") == (
        {"size": "1000", "auth": "LOGIN PLAIN"},
        ["login", "plain"],
    )


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        ("a\n.b\r\n", b"a\r\n..b\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        ("", b".\r\n"),
        (b"x\n" * 100_000, b"x\r\n" * 100_000 + b".\r\n"),
    ],
)
def test_a_message_can_be_prepared(message: Any, wire: bytes) -> None:
    assert SMTP.prepare_message(message) == wire


# A server that somebody else wrote


async def test_a_message_arrives_octet_for_octet() -> None:
    message = EmailMessage()
    message["Subject"] = "\u00fcber"
    message["From"], message["To"] = SENDER, RECIPIENT
    message.set_content(".\n..\n.dot\n\u00fc\n\n" + "x" * 900 + "\n.", cte="8bit")
    octets = message.as_bytes().replace(b"\n", b"\r\n")
    with SMTPServer() as server:
        async with SMTP(server.hostname, server.port) as smtp:
            assert await smtp.sendmail(SENDER, [RECIPIENT], message) == {}
            assert await smtp.sendmail("", RECIPIENT, octets) == {}
            with pytest.raises(SMTPException):
                await smtp.expn("staff")
            assert (await smtp.quit()).code == 221
    mails = server.messages
    assert [mail.content for mail in mails] == [octets, octets]
    assert [mail.recipients for mail in mails] == [[RECIPIENT], [RECIPIENT]]
    assert [mail.sender for mail in mails] == [SENDER, ""]
    assert "BODY=8BITMIME" in mails[0].mail_options

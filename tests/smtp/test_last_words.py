"""What a server has said is what its client tells, whatever ends the connection then.

H01: the most frequent complaint about SMTP clients is "the server closed the
connection" in place of the reason that the server had given.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

import pytest
from conversation import reset
from pipelining import raising

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Mail,
    SMTPCommandFailedError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPLoginError,
    SMTPNoRecipientError,
)

SENDER, RECIPIENT, TEXT = "a@x.example", "b@y.example", b"hi\r\n"

#: How a connection ends right behind a reply.
End = Literal["FIN", "RST", "421"]
ends = pytest.mark.parametrize("end", ["FIN", "RST", "421"])
over = pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])

PLAIN = "AUTH PLAIN " + b64encode(b"\0me\0pw").decode()


class Server:
    """Answer each command in order, and end the connection behind the last reply.

    Args:
        greeting: The greeting, which is the last reply where there are no others.
        replies: Those to EHLO and to what comes behind it.
        end: What the connection ends with.
    """

    def __init__(self, greeting: str, replies: list[str], end: End) -> None:
        self._greeting = greeting
        self._replies = replies
        self._end = end

    async def play(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        replies = [self._greeting, *self._replies]
        while True:
            reply = replies.pop(0)
            writer.write(reply.encode() + b"\r\n")
            if not replies:
                break
            if reply.startswith("354"):
                await reader.readuntil(b"\r\n.\r\n")
                continue
            line = await reader.readuntil(b"\r\n")
            if line.startswith(b"BDAT"):
                await reader.readexactly(int(line.split()[1]))
        self._leave(writer)

    def _leave(self, writer: asyncio.StreamWriter) -> None:
        if self._end == "RST":
            reset(writer.transport)
            return
        if self._end == "421":
            writer.write(b"421 bye\r\n")
        writer.close()


Connect = Callable[..., AbstractAsyncContextManager[SMTP]]


@pytest.fixture
def connected(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, *, is_tls: bool
) -> Connect:
    """Connect a client to a server that answers so, and ends the connection then."""

    @asynccontextmanager
    async def connect(
        end: End, *replies: str, greeting: str = "220 hi"
    ) -> AsyncIterator[SMTP]:
        server = Server(greeting, [*replies], end)
        listener = await asyncio.start_server(
            server.play, "127.0.0.1", 0, ssl=server_tls if is_tls else None
        )
        host, port = listener.sockets[0].getsockname()
        where = (host, port, "client.example")
        smtp = SMTP_SSL(*where, client_tls) if is_tls else SMTP(*where)
        async with listener, asyncio.timeout(10):
            try:
                await smtp.connect()
                yield smtp
            finally:
                await smtp.close()

    return connect


def hello(*announced: str) -> str:
    return "\r\n".join(["250-mx", *(f"250-{name}" for name in announced), "250 HELP"])


# Before any mail


@ends
@over
@pytest.mark.parametrize("code", [421, 450, 554])
async def test_a_refusal_to_serve_is_told(
    end: End, code: int, connected: Connect
) -> None:
    with pytest.raises(SMTPConnectionRefusedError, match=f"{code} not you") as info:
        async with connected(end, greeting=f"{code} not you"):
            pass
    assert info.value.code == code
    assert info.value.is_transient is (code < 500)


@ends
@over
@pytest.mark.parametrize("code", [450, 550])
async def test_a_refused_ehlo_is_told(end: End, code: int, connected: Connect) -> None:
    """Whoever cannot say HELO any more has the reply to EHLO."""
    async with connected(end, f"{code} not you") as smtp:
        with pytest.raises(SMTPCommandFailedError, match=f"{code} not you") as info:
            await smtp.sendmail(SENDER, RECIPIENT, TEXT)
        assert (info.value.code, info.value.command) == (code, "EHLO")


@ends
@over
async def test_a_refused_login_is_told(end: End, connected: Connect) -> None:
    """Though another mechanism could not be tried any more."""
    async with connected(end, hello("AUTH CRAM-MD5 PLAIN"), "504 no", "535 no") as smtp:
        with pytest.raises(SMTPLoginError, match="535 no") as info:
            await smtp.auth("me", "pw")
        assert info.value.code == 535
        assert not info.value.is_transient


# Within a mail

#: The replies up to the refusal, and what its caller gets.
REFUSALS: dict[str, tuple[list[str], type[SMTPException]]] = {
    "MAIL": (["550 not you"], SMTPCommandFailedError),
    "MAIL for now": (["451 later"], SMTPCommandFailedError),
    "RCPT": (["250 ok", "550 nobody"], SMTPNoRecipientError),
    "DATA": (["250 ok", "250 ok", "554 no"], SMTPCommandFailedError),
    "content": (["250 ok", "250 ok", "354 go", "552 no"], SMTPCommandFailedError),
}
sendmail_or_run = pytest.mark.parametrize("way", ["sendmail", "run"])


async def send(smtp: SMTP, way: str) -> None:
    """Send a mail in one of the ways that there are."""
    if way == "sendmail":
        await smtp.sendmail(SENDER, RECIPIENT, TEXT)
        return
    mail = Mail(TEXT, SENDER, RECIPIENT)
    window = 8 if way == "window" else 1
    (outcome,) = [outcome async for outcome in smtp.send_many([mail], window=window)]
    assert outcome.status == "refused"
    assert outcome.error is not None
    raise outcome.error


async def judge(
    smtp: SMTP, way: str, replies: list[str], error: type[SMTPException]
) -> None:
    """See whether the caller is told what the server said last."""
    with pytest.raises(error, match=replies[-1]) as info:
        await send(smtp, way)
    assert info.value.safe_to_retry
    assert info.value.is_transient is replies[-1].startswith("4")


@ends
@over
@pytest.mark.parametrize("what", REFUSALS)
@pytest.mark.parametrize("announced", [[], ["PIPELINING"]], ids=["serial", "grouped"])
@sendmail_or_run
async def test_a_refused_mail_is_told(
    way: str, announced: list[str], what: str, end: End, connected: Connect
) -> None:
    replies, error = REFUSALS[what]
    async with connected(end, hello(*announced), *replies) as smtp:
        await judge(smtp, way, replies, error)


@ends
@over
@pytest.mark.parametrize("what", ["MAIL", "MAIL for now", "RCPT", "content"])
async def test_a_mail_refused_within_a_window_is_told(
    what: str, end: End, connected: Connect
) -> None:
    replies, error = REFUSALS[what]
    replies = [reply for reply in replies if reply != "354 go"]  # BDAT has none
    async with connected(end, hello("PIPELINING", "CHUNKING"), *replies) as smtp:
        await judge(smtp, "window", replies, error)


@ends
@over
@pytest.mark.parametrize("what", REFUSALS)
async def test_a_refusal_within_a_pipeline_is_told(
    what: str, end: End, connected: Connect
) -> None:
    """Each future has the reply to its own command."""
    replies, _ = REFUSALS[what]
    async with connected(end, hello("PIPELINING"), *replies) as smtp:
        async with raising(SMTPException, smtp) as p:
            futures = [p.mail(SENDER), p.rcpt(RECIPIENT), p.data(), p.content(TEXT)]
            p.noop()
        for future, reply in zip(futures, replies, strict=False):
            assert future.result() == (int(reply[:3]), reply[4:])


@ends
@over
async def test_a_refusal_that_decides_nothing_is_told_with_the_loss(
    end: End, connected: Connect
) -> None:
    """One RCPT of two: the text of the loss has it, and so has `.result`."""
    async with connected(end, hello("PIPELINING"), "250 ok", "550 nobody") as smtp:
        said = re.escape(f"{RECIPIENT}: 550 nobody")
        with pytest.raises(SMTPException, match=said) as info:
            await smtp.sendmail(SENDER, [RECIPIENT, "c@y.example"], TEXT)
        assert info.value.result == {RECIPIENT: (550, "nobody")}
        assert info.value.is_transient
        assert f"{smtp.hostname} port {smtp.port}" in str(info.value)

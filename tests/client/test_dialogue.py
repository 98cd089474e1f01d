"""Commands and content: what is known of the mail, how long it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from bare_server import Streams, streams
from conversation import client, reset, until

from smtplibaio import (
    SMTP,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    Timeouts,
)

HELLO = "S: 220 hi\nC: EHLO client.example\nS: 250 mx\n"

#: More than the buffers of two sockets and two transports hold.
LARGE = b"x" * 76 + b"\r\n"
LARGE *= 20_000_000 // len(LARGE)


def is_due(smtp: SMTP, what: str) -> Callable[[], bool]:
    """Make a test whether the reply that is due next is the one to something."""
    protocol = smtp._connection.session.protocol
    return lambda: protocol.awaited == what


# Replies


async def test_a_3yz_where_nobody_goes_on_ends_the_connection() -> None:
    """D22: the server waits for what nobody will send."""
    script = f"{HELLO}C: MAIL FROM:<a@x.example>\nS: 354 go ahead\nC: <hangup>"
    async with client(script) as smtp:
        with pytest.raises(SMTPProtocolError, match="answered MAIL with 354"):
            await smtp.mail("a@x.example")
        assert not smtp.is_connected


@pytest.mark.parametrize("call", ["mail", "data", "quit"])
async def test_a_reply_with_the_fin_behind_it_is_delivered(call: str) -> None:
    """D19: the next call tells that the server has closed."""

    async def play(server: Streams) -> None:
        await server.greet()
        if call == "data":
            await server.answer("354 go ahead")
            await server.reader.readline()
        await server.answer("250 last words")
        server.writer.write_eof()
        await server.take()

    async with streams(play) as smtp:
        await smtp.ehlo()
        argument = {"mail": ("a@x.example",), "data": ("hi\n",)}.get(call, ())
        assert await getattr(smtp, call)(*argument) == (250, "last words")
        await until(lambda: not smtp.is_connected)
        with pytest.raises(SMTPException, match=r"closed the connection|not connected"):
            await smtp.noop()


@pytest.mark.parametrize(
    "command",
    ["noop", "rset", "help", "vrfy", "expn", "ehlo", "helo", "mail", "rcpt", "data"],
)
async def test_a_421_to_any_command_is_the_end(command: str) -> None:
    """D14: it is no refusal of the command but the end of the session."""
    arguments = {
        "vrfy": ("x",),
        "expn": ("x",),
        "mail": ("a@x.example",),
        "rcpt": ("b@y.example",),
        "data": ("hi",),
    }.get(command, ())
    lines = {
        "vrfy": "VRFY x",
        "expn": "EXPN x",
        "ehlo": "EHLO client.example",
        "helo": "HELO client.example",
        "mail": "MAIL FROM:<a@x.example>",
        "rcpt": "RCPT TO:<b@y.example>",
    }
    script = f"""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: {lines.get(command, command.upper())}
        S: 421 bye
        C: <hangup>
        """
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPConnectionLostError) as info:
            await getattr(smtp, command)(*arguments)
        assert info.value.reply == (421, "bye")
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="421 bye"):
            await smtp.noop()


# What is known of the mail


def is_unknown(error: BaseException | None) -> bool:
    """Tell whether a caller learns that the mail may have been accepted."""
    if isinstance(error, asyncio.CancelledError):
        return any("may have been" in n for n in getattr(error, "__notes__", ()))
    assert isinstance(error, SMTPException)
    assert error.safe_to_retry is not isinstance(error, SMTPDeliveryUnknownError)
    return not error.safe_to_retry


@pytest.mark.parametrize("event", ["FIN", "RST", "timeout", "cancel", "garbage"])
@pytest.mark.parametrize("is_after_dot", [False, True], ids=["before", "after"])
async def test_only_what_happens_after_the_dot_leaves_the_mail_unknown(
    event: str, is_after_dot: bool
) -> None:
    """E11, E03, E04: the same events before the dot, and no dot is ever sent then."""
    go = asyncio.Event()
    content = bytearray()

    async def play(server: Streams) -> None:
        server.content = content
        await server.greet()
        await server.answer("354 go ahead")
        if is_after_dot:
            assert await server.reader.readline() == b"hi\r\n"
            assert await server.reader.readline() == b".\r\n"
        else:
            await server.take(1_000_000)
            server.writer.transport.pause_reading()
        go.set()
        match event:
            case "FIN":
                server.writer.write_eof()
            case "RST":
                reset(server.writer.transport)
            case "garbage":
                server.say("oops")
        if event in ("timeout", "cancel") and not is_after_dot:
            await until(lambda: is_over)
        with suppress(RuntimeError):
            server.writer.transport.resume_reading()
        await server.take()

    is_over = False
    limits = Timeouts(content=0.1, final=0.1) if event == "timeout" else Timeouts()
    async with streams(play, timeout=limits) as smtp:
        await smtp.ehlo()
        message = b"hi\r\n" if is_after_dot else LARGE
        sending = asyncio.create_task(smtp.data(message))
        await go.wait()
        if event == "cancel":
            sending.cancel()
        await asyncio.wait((sending,))
        is_over = True
        with pytest.raises((SMTPException, asyncio.CancelledError)) as info:
            await sending
        assert is_unknown(info.value) is is_after_dot
        if event == "timeout" and not is_after_dot:
            assert isinstance(info.value, SMTPTimeoutError)
        assert not smtp.is_connected
    if not is_after_dot:
        assert b"\r\n.\r\n" not in content


async def test_the_unknown_has_its_reason_as_its_cause() -> None:
    """E11: and says so."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: hi\nC: .\nS: <close>"
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(
            SMTPDeliveryUnknownError, match="before its reply to the final dot"
        ) as info:
            await smtp.data("hi\r\n")
        assert isinstance(info.value.__cause__, SMTPConnectionLostError)


async def test_a_421_to_the_dot_is_a_no() -> None:
    """E11, D14: the server has answered."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: hi\nC: .\nS: 421 bye\nC: <hangup>"
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPConnectionLostError, match="421 bye") as info:
            await smtp.data("hi\r\n")
        assert not is_unknown(info.value)


@pytest.mark.parametrize("final", ["300 x", "334 x", "354 x", "221 bye"])
async def test_a_final_reply_that_is_none_leaves_the_mail_unknown(final: str) -> None:
    """E31: neither 3yz nor an answer to QUIT tells whether the mail was accepted."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: hi\nC: .\nS: {final}\nC: <hangup>"
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPDeliveryUnknownError, match=f"354 {final[:3]}$"):
            await smtp.data("hi\r\n")
        assert not smtp.is_connected


@pytest.mark.parametrize("final", ["451 later", "554 spam"])
async def test_a_final_reply_that_refuses_is_raised(final: str) -> None:
    """E31: and the session stands."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: hi\nC: .\nS: {final}\nC: NOOP\nS: 250 ok"
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandFailedError) as info:
            await smtp.data("hi\r\n")
        assert (info.value.code, info.value.command) == (int(final[:3]), "DATA")
        await smtp.noop()


async def test_a_reset_in_the_middle_of_a_line_is_no_unknown() -> None:
    """E30: half a command, or half a content, was not accepted."""

    async def play(server: Streams) -> None:
        await server.greet()
        await server.reader.readexactly(3)
        reset(server.writer.transport)

    async with streams(play) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPConnectionLostError) as info:
            await smtp.data("hi")
        assert not is_unknown(info.value)


# How long it takes


@pytest.mark.parametrize(
    ("call", "said", "due", "limit"),
    [
        pytest.param("noop", [], "NOOP", 20, id="E32-NOOP"),
        pytest.param("mail", [], "MAIL", 20, id="E32-MAIL"),
        pytest.param("rcpt", [], "RCPT", 20, id="E32-RCPT"),
        pytest.param("data", [], "DATA", 20, id="E32-DATA"),
        pytest.param("large", ["354 go"], "", 30, id="E32-block"),
        pytest.param("data", ["354 go"], "the final dot", 40, id="E32-dot"),
        pytest.param("quit", [], "QUIT", 50, id="E32-QUIT"),
    ],
)
async def test_each_phase_has_its_own_limit(
    call: str, said: list[str], due: str, limit: float, clock: Any
) -> None:
    """E32: that of its reply, or of the block that nobody takes. QUIT never fails."""
    is_over = asyncio.Event()

    async def play(server: Streams) -> None:
        await server.greet()
        await server.answer(*said)
        server.writer.transport.pause_reading()
        await is_over.wait()

    limits = Timeouts(connect=10, reply=20, content=30, final=40, quit=50)
    async with streams(play, timeout=limits) as smtp:
        await smtp.ehlo()
        calls = {
            "mail": lambda: smtp.mail("a@x.example"),
            "rcpt": lambda: smtp.rcpt("b@y.example"),
            "data": lambda: smtp.data("hi\r\n"),
            "large": lambda: smtp.data(LARGE),
        }
        protocol = smtp._connection.session.protocol
        task = asyncio.create_task(calls.get(call, getattr(smtp, call, None))())
        blocked = lambda: protocol._is_writable is not None  # noqa: E731
        await until(is_due(smtp, due) if due else blocked)
        await asyncio.sleep(0)
        await clock(limit - 0.1)
        assert not task.done()
        await clock(0.2)
        await asyncio.wait((task,))
        is_over.set()
        if call == "quit":
            assert (await task).code == 221
            return
        error = task.exception()
        is_dot = due == "the final dot"
        assert isinstance(
            error, SMTPDeliveryUnknownError if is_dot else SMTPTimeoutError
        )
        assert f"{limit} s" in str(error)
        assert f"{smtp.hostname} port {smtp.port}" in str(error)


async def test_the_greeting_has_the_limit_of_connecting(clock: Any) -> None:
    """E32: connected, and then nothing."""
    is_over = asyncio.Event()
    is_there = asyncio.Event()

    async def play(server: Streams) -> None:
        is_there.set()
        await is_over.wait()

    async def connect() -> None:
        async with streams(play, timeout=Timeouts(connect=10)):
            pass

    task = asyncio.create_task(connect())
    await is_there.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    await clock(9.9)
    assert not task.done()
    await clock(0.2)
    is_over.set()
    with pytest.raises(SMTPTimeoutError, match=r"no greeting .* within 10 s"):
        await task

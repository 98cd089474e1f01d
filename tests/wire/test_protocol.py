"""The connection: the order of replies, the deadlines, and the one end of it all."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from conversation import Cut, client, reset, serve, until

from smtplibaio import (
    SMTP_SSL,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
)
from smtplibaio.events import Listener
from smtplibaio.wire.protocol import SMTPProtocol
from smtplibaio.wire.replyqueue import Waiter

NOOP = b"NOOP\r\n"


@asynccontextmanager
async def connected(
    script: str,
    *,
    cut: Cut = "whole",
    greeting_timeout: float | None = None,
    listener: Listener | None = None,
) -> AsyncIterator[SMTPProtocol]:
    """Open a bare protocol to a server that plays the script."""
    loop = asyncio.get_running_loop()
    make = partial(SMTPProtocol, loop, greeting_timeout, listener)
    async with serve(script, cut=cut) as server:
        _, protocol = await loop.create_connection(make, server.host, server.port)
        try:
            yield protocol
        finally:
            await protocol.close()


@asynccontextmanager
async def streams(
    play: Any, greeting_timeout: float | None = None
) -> AsyncIterator[SMTPProtocol]:
    """Open a bare protocol to a server that a coroutine plays."""
    loop = asyncio.get_running_loop()
    playing: list[asyncio.Task[None]] = []

    async def play_and_leave(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        try:
            await play(r, w)
        finally:
            w.close()

    listener = await asyncio.start_server(
        lambda r, w: playing.append(loop.create_task(play_and_leave(r, w))),
        "127.0.0.1",
        0,
    )
    host, port = listener.sockets[0].getsockname()
    make = partial(SMTPProtocol, loop, greeting_timeout)
    _, protocol = await loop.create_connection(make, host, port)
    try:
        yield protocol
        await protocol.close()
        async with asyncio.timeout(5):
            await asyncio.gather(*playing)
    finally:
        listener.close()
        for task in playing:
            task.cancel()
        await asyncio.wait(playing)
        await protocol.close()


def root(exc: BaseException) -> BaseException:
    """Find the first cause."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return exc


# The order of replies


async def test_the_greeting_is_the_first_reply() -> None:
    async with client("S: 220 hi") as smtp:
        assert smtp.greeting == (220, "hi")


@pytest.mark.parametrize("cut", ["whole", "line", "octet"])
async def test_replies_come_in_the_order_of_their_commands(cut: Cut) -> None:
    """F04: however replies are glued, split or folded over lines, none is shifted."""
    async with connected(
        """
        S: 220 hi
        C: NOOP 1
        C: NOOP 2
        C: NOOP 3
        S: 250-one
        S: 250-250 one and a half
        S: 250 one and three quarters
        S: 550 two
        S: 250-three
        S: 250
        """,
        cut=cut,
    ) as protocol:
        await protocol.greeting
        asked = [protocol.ask(b"NOOP %d\r\n" % n, None, "NOOP") for n in (1, 2, 3)]
        replies = await asyncio.gather(*asked)
        assert [reply.code for reply in replies] == [250, 550, 250]
        assert [len(reply.lines) for reply in replies] == [3, 1, 2]
        assert replies[1] == (550, "two")


async def test_a_cancelled_caller_does_not_shift_replies() -> None:
    """E01: the reply to a cancelled command is read and dropped."""
    async with client("""
        S: 220 hi
        C: NOOP first
        S: 250 first
        C: NOOP second
        S: 250 second
        """) as smtp:
        protocol = smtp._connection.protocol
        task = asyncio.create_task(smtp.noop("first"))
        await until(lambda: protocol.awaited)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert protocol.awaited == "NOOP"
        assert await smtp.noop("second") == (250, "second")


async def test_whoever_waits_for_the_turn_may_be_cancelled() -> None:
    """E01: nor does a caller shift replies that never got to write."""
    async with client("""
        S: 220 hi
        C: NOOP first
        S: 250 first
        C: NOOP third
        S: 250 third
        """) as smtp:
        protocol = smtp._connection.protocol
        first = asyncio.create_task(smtp.noop("first"))
        await until(lambda: protocol.awaited)
        first.cancel()
        second = asyncio.create_task(smtp.noop("second"))
        await until(lambda: protocol._owed._is_settled)
        second.cancel()
        await asyncio.wait((first, second))
        assert first.cancelled()
        assert second.cancelled()
        assert await smtp.noop("third") == (250, "third")


@pytest.mark.parametrize("order", ["the reply first", "the cancellation first"])
async def test_a_reply_and_a_cancellation_in_one_tick(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E08: whichever comes first, the next command gets its own reply."""
    read = SMTPProtocol.buffer_updated
    tasks: list[asyncio.Task[Any]] = []

    def read_and_cancel(self: SMTPProtocol, nbytes: int) -> None:
        if order == "the reply first":
            read(self, nbytes)
        for task in tasks:
            task.cancel()
        tasks.clear()
        if order == "the cancellation first":
            read(self, nbytes)

    monkeypatch.setattr(SMTPProtocol, "buffer_updated", read_and_cancel)
    async with client("""
        S: 220 hi
        C: NOOP 0
        S: 250 reply 0
        C: NOOP 1
        S: 250 reply 1
        C: NOOP 2
        S: 250 reply 2
        C: NOOP 3
        S: 250 reply 3
        """) as smtp:
        for number in (0, 2):
            task = asyncio.create_task(smtp.noop(f"{number}"))
            tasks.append(task)
            await asyncio.wait((task,))
            assert task.cancelled()
            assert await smtp.noop(f"{number + 1}") == (250, f"reply {number + 1}")


# Replies that nobody asked for


@pytest.mark.parametrize(
    ("unsolicited", "told"),
    [
        pytest.param("250 ok", "nobody asked for: 250 ok", id="D11-reply"),
        pytest.param("421 see you", "ends the session: 421 see you", id="D11-421"),
        pytest.param("hello there", 'not an SMTP reply: "hello there"', id="D11-none"),
        pytest.param("250 \x1b[2J", r"250 \x1b[2J", id="D11-escaped"),
    ],
)
async def test_a_reply_while_idle_ends_the_connection(
    unsolicited: str, told: str
) -> None:
    """D11: the next call tells, with the text; and so does each one after it."""
    async with client(f"""
        S: 220 hi
        C: NOOP
        S: 250 ok
        S: {unsolicited}
        C: <hangup>
        """) as smtp:
        await smtp.noop()
        await until(lambda: not smtp.is_connected)
        for _ in range(2):
            with pytest.raises(SMTPConnectionLostError) as info:
                await smtp.noop()
            assert told in str(info.value)


async def test_a_second_reply_in_the_same_segment_is_not_the_next_one() -> None:
    """D12: the NOOP has its reply, nobody has the other."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 a
        S: 250 b
        C: <hangup>
        """) as smtp:
        assert await smtp.noop() == (250, "a")
        with pytest.raises(SMTPConnectionLostError, match="nobody asked for: 250 b"):
            await smtp.noop()


@pytest.mark.parametrize("early", ["25", "250-a\r\n", "250 o", "250-a\r\n250 b"])
async def test_a_part_of_a_reply_that_came_early_is_no_beginning_of_the_next(
    early: str,
) -> None:
    """D12: nobody asked for it; nothing more is written on such a connection."""
    seen = bytearray()

    async def play(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readline()
        w.write(b"250 ok\r\n" + early.encode())
        seen.extend(await r.read())

    async with streams(play) as protocol:
        await protocol.greeting
        assert await protocol.ask(NOOP, 5, "NOOP") == (250, "ok")
        with pytest.raises(SMTPException, match="a part of a reply that nobody asked"):
            await protocol.ask(NOOP, 5, "NOOP")
        assert isinstance(protocol.cause, SMTPProtocolError)
    assert seen == b""


async def test_a_server_that_talks_first_is_not_listened_to() -> None:
    """D13: a greeting with the reply to EHLO behind it ends the connection."""
    async with serve("""
        S: 220 hi
        S: 250-mx
        S: 250 PIPELINING
        C: <hangup>
        """) as server:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(
            lambda: SMTPProtocol(loop, None), server.host, server.port
        )
        assert (await protocol.greeting).code == 220
        await until(lambda: protocol.cause)
        assert isinstance(protocol.cause, SMTPProtocolError)
        with pytest.raises(SMTPConnectionLostError) as info:
            protocol.ask(b"EHLO client.example\r\n", None, "EHLO")
        assert info.value.__cause__ is protocol.cause
        await protocol.close()


async def test_connect_refuses_a_greeting_with_more_behind_it() -> None:
    """D13: glued in one segment, `connect` itself fails."""
    script = """
        S: 220 hi
        S: 250 mx
        C: <hangup>
        """
    with pytest.raises(SMTPConnectionLostError, match="nobody asked for"):
        async with client(script):
            pass


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param("250-" + "x" * 9000, id="D07-line"),
        pytest.param("250-x\r\n" * 1024 + "250 x", id="D07-lines"),
    ],
)
async def test_after_a_reply_beyond_all_bounds_there_is_no_session(
    endless: str,
) -> None:
    """D07: the tail of the reply is nobody's reply; the connection has ended."""

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readline()
        w.write(endless.encode() + b"\r\n250 the tail\r\n")
        with suppress(ConnectionError):
            assert await r.read() == b""
        w.close()

    async with streams(serve_it) as protocol:
        await protocol.greeting
        with pytest.raises(SMTPProtocolError, match="of more than"):
            await protocol.ask(NOOP, None, "NOOP")
        with pytest.raises(SMTPConnectionLostError, match="of more than"):
            protocol.ask(NOOP, None, "NOOP")


# The server's farewell, and other ends


@pytest.mark.parametrize("then", ["S: <close>", "C: <hangup>"])
async def test_a_421_is_the_cause_whatever_follows(then: str) -> None:
    """D14: with a FIN or silence behind it; its text is kept."""
    async with client(f"""
        S: 220 hi
        C: NOOP
        S: 421-too many
        S: 421 messages
        {then}
        """) as smtp:
        with pytest.raises(SMTPConnectionLostError) as info:
            await smtp.noop()
        assert info.value.reply == (421, "too many\nmessages")
        assert info.value.is_transient
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="421 too many messages"):
            await smtp.noop()


async def test_a_reply_with_the_fin_behind_it_is_delivered() -> None:
    """D19: the reply counts; the next call fails."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: 250 last words
        S: <close>
        """) as smtp:
        assert await smtp.noop() == (250, "last words")
        await until(lambda: not smtp.is_connected)
        with pytest.raises(SMTPConnectionLostError, match="closed the conn"):
            await smtp.noop()


@pytest.mark.parametrize("part", [b"250 o", b"250-ok\r\n", b"250 ok\r"])
async def test_half_a_reply_is_none(part: bytes) -> None:
    """A reply counts only when its CRLF is in, of its last line."""

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readline()
        w.write(part)

    async with streams(serve_it) as protocol:
        with pytest.raises(SMTPConnectionLostError, match="in the middle of its reply"):
            await protocol.ask(NOOP, None, "NOOP")


async def test_a_server_that_shuts_its_half_has_ended_the_connection() -> None:
    """E18: whoever waits for a reply is told, though the server still reads."""

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readline()
        w.write_eof()
        with suppress(ConnectionResetError):
            assert await r.read() == b""

    async with streams(serve_it) as protocol:
        await protocol.greeting
        with pytest.raises(SMTPConnectionLostError, match="closed the connection"):
            await protocol.ask(NOOP, None, "NOOP")


@pytest.mark.parametrize("end", ["<close>", "<reset>", "421 bye", "nonsense"])
async def test_every_waiter_fails_once_with_the_same_cause(end: str) -> None:
    """E10: a hundred of them, and the loop has nothing to complain of."""
    commands = "".join(f"C: NOOP {n}\n" for n in range(100))
    script = f"S: 220 hi\n{commands}S: 250 only one\nS: {end}\n"
    async with connected(script) as protocol:
        await protocol.greeting
        calls: list[int] = []
        futures = [protocol.ask(b"NOOP %d\r\n" % n, None, "NOOP") for n in range(100)]
        for n, future in enumerate(futures):
            future.add_done_callback(lambda _, n=n: calls.append(n))
        await asyncio.wait(futures)
        await until(lambda: len(calls) == 100)
        assert sorted(calls) == list(range(100))
        assert futures[0].result() == (250, "only one")
        failures = [future.exception() for future in futures[1:]]
        assert {type(exc) for exc in failures} == {type(protocol.cause)}
        assert {id(exc.__cause__) for exc in failures if exc} == {id(protocol.cause)}
        assert len({id(exc) for exc in failures}) == 99


async def test_waiters_that_nobody_watches_fail_in_silence() -> None:
    """E10: a dropped future does not end as "exception was never retrieved"."""
    async with connected("S: 220 hi\nC: NOOP\nC: NOOP\nS: <reset>") as protocol:
        await protocol.greeting
        protocol.ask(NOOP, None, "NOOP")
        protocol.ask(NOOP, None, "NOOP").cancel()
        await until(protocol.is_lost.done)
    gc.collect()


async def test_a_reset_in_the_middle_of_a_command_is_a_loss_like_any_other() -> None:
    """E30: nothing was accepted, and the caller may try again."""

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readexactly(3)
        reset(w.transport)

    async with streams(serve_it) as protocol:
        await protocol.greeting
        future = protocol.ask(b"VRFY " + b"x" * 4_000_000 + b"\r\n", None, "VRFY")
        with pytest.raises(SMTPConnectionLostError) as info:
            await future
        assert isinstance(root(info.value), ConnectionError)
        assert info.value.safe_to_retry


async def test_the_first_cause_wins() -> None:
    """What happens to a connection that has ended is not why it ended."""
    async with connected("S: 220 hi\nC: <hangup>") as protocol:
        await protocol.greeting
        first = SMTPProtocolError("first")
        protocol.end(first)
        protocol.end(SMTPProtocolError("second"))
        protocol.resume_writing()
        protocol.connection_lost(OSError("third"))
        protocol.connection_lost(None)
        assert str(protocol.cause) == str(first)
        assert protocol.cause is not first  # which collects the frames of its callers
        with pytest.raises(SMTPConnectionLostError, match="ended: first") as info:
            protocol.ask(b"x", None, "x")
        assert str(info.value.__cause__) == "first"


async def test_a_transport_that_somebody_aborts_is_a_lost_connection() -> None:
    async with client("S: 220 hi\nC: <hangup>") as smtp:
        smtp.transport.abort()
        await until(lambda: not smtp.is_connected)
        with pytest.raises(SMTPConnectionLostError) as info:
            await smtp.noop()
        assert "None" not in str(info.value)


# Deadlines


async def test_a_greeting_that_never_comes_has_a_deadline(clock: Any) -> None:
    """D16: the deadline is that of the greeting."""
    async with connected("C: <hangup>", greeting_timeout=30) as protocol:
        await clock(29.9)
        assert not protocol.greeting.done()
        await clock(0.2)
        with pytest.raises(SMTPTimeoutError, match="no greeting from"):
            await protocol.greeting


async def test_dripping_a_reply_does_not_extend_its_deadline(clock: Any) -> None:
    """D16: the deadline is one for the whole reply, not one for each octet."""
    drip = asyncio.Queue[bytes]()

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        while octet := await drip.get():
            w.write(octet)

    async with streams(serve_it, greeting_timeout=30) as protocol:
        for octet in b"220-", b"hello ", b"hell":
            await clock(9)
            drip.put_nowait(octet)
            fed = len(protocol._parser._rest) + len(octet)
            await until(lambda fed=fed: len(protocol._parser._rest) == fed)
            assert not protocol.greeting.done()
        await clock(3.1)
        with pytest.raises(SMTPTimeoutError, match="within 30 s"):
            await protocol.greeting
        protocol.end(SMTPTimeoutError("whoever waited for it ends the connection"))
        drip.put_nowait(b"")


async def test_the_deadline_of_a_reply_starts_when_it_is_its_turn(clock: Any) -> None:
    """D16, F05: each reply of a group has its time; the missing one runs out of it."""
    async with connected("""
        S: 220 hi
        C: NOOP 1
        C: NOOP 2
        C: NOOP 3
        C: NOOP 4
        S: 250 one
        S: <silence>
        """) as protocol:
        await protocol.greeting
        waiters: list[Waiter] = [
            Waiter(asyncio.get_running_loop().create_future(), timeout, f"NOOP {n}")
            for n, timeout in enumerate((10.0, None, 1.0, 1.0), 1)
        ]
        lines = b"NOOP 1\r\nNOOP 2\r\nNOOP 3\r\nNOOP 4\r\n"
        for waiter in waiters:
            protocol.say(b"", waiter)
        protocol.say(lines)
        protocol.flush()
        assert await waiters[0].future == (250, "one")
        await clock(1000)
        assert not waiters[1].future.done()
        waiters[1].timeout = 5
        protocol.watch()
        await clock(3)
        protocol.watch()
        await clock(4)
        assert not waiters[1].future.done()
        await clock(2)
        with pytest.raises(
            SMTPTimeoutError, match=r"no reply from .* to NOOP 2 within 5 s"
        ):
            await waiters[1].future
        assert [type(w.future.exception()) for w in waiters[2:]] == [
            SMTPTimeoutError
        ] * 2


async def test_a_shorter_deadline_is_not_hidden_by_a_longer_one(clock: Any) -> None:
    async with connected("""
        S: 220 hi
        C: NOOP 1
        S: 250 one
        C: NOOP 2
        C: NOOP 3
        S: <silence>
        """) as protocol:
        await protocol.greeting
        await protocol.ask(b"NOOP 1\r\n", 600, "NOOP")
        late = protocol.ask(b"NOOP 2\r\n", 5, "NOOP")
        await clock(4)
        protocol.ask(b"NOOP 3\r\n", 5, "NOOP")  # does not extend it either
        await clock(1.1)
        with pytest.raises(SMTPTimeoutError):
            await late


async def test_a_reply_that_comes_too_late_is_nobodys() -> None:
    """E07: a timeout ends the connection; the next command cannot get that reply."""
    late = asyncio.Event()

    async def serve_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(b"220 hi\r\n")
        await r.readline()
        await late.wait()
        w.write(b"250 late\r\n")
        with suppress(ConnectionResetError):
            assert await r.read() == b""

    async with streams(serve_it) as protocol:
        await protocol.greeting
        with pytest.raises(SMTPTimeoutError, match=r"no reply from .* to NOOP within"):
            await protocol.ask(NOOP, 0.05, "NOOP")
        late.set()
        with pytest.raises(
            SMTPConnectionLostError, match=r"no reply from .* to NOOP"
        ) as info:
            protocol.ask(NOOP, None, "NOOP")
        assert isinstance(info.value.__cause__, SMTPTimeoutError)


# Flow control


@asynccontextmanager
async def stuffed(then: Any) -> AsyncIterator[tuple[SMTPProtocol, asyncio.Event]]:
    """Open a protocol whose transport takes no more; the event has the server act."""
    go = asyncio.Event()

    async def play(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.transport.pause_reading()
        w.write(b"220 hi\r\n")
        await go.wait()
        await then(r, w)

    async with streams(play) as protocol:
        await protocol.greeting
        while protocol._is_writable is None:
            protocol.say(b"x" * 65536)
            protocol.flush()
            await asyncio.sleep(0)
        yield protocol, go
        go.set()


async def reset_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
    reset(w.transport)


async def read_it(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
    w.transport.resume_reading()
    with suppress(ConnectionError):
        while await r.read(65536):
            pass


async def test_a_reset_wakes_who_waits_to_write() -> None:
    """E17: the transport will never say that it takes more."""
    async with stuffed(reset_it) as (protocol, go):
        reply = protocol.ask(b"", None, "the final dot")
        waiting = asyncio.create_task(protocol.drain(reply, None))
        await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        await waiting
        with pytest.raises(SMTPConnectionLostError):
            protocol.ask(b"more", None, "more")
        with pytest.raises(SMTPConnectionLostError):
            await reply


async def test_who_waits_to_write_goes_on_when_the_server_reads() -> None:
    async with stuffed(read_it) as (protocol, go):
        reply = protocol.ask(b"", None, "the final dot")
        waiting = asyncio.create_task(protocol.drain(reply, None))
        await asyncio.sleep(0)
        assert not waiting.done()
        go.set()
        await waiting
        assert protocol._is_writable is None
        assert not reply.done()
        await protocol.drain(reply, None)


async def test_a_server_that_takes_nothing_is_not_waited_for() -> None:
    """E32: a block of content has a deadline too."""
    async with stuffed(read_it) as (protocol, _):
        reply = protocol.ask(b"", None, "the final dot")
        with pytest.raises(SMTPTimeoutError, match=r"took no content .* 0\.05 s"):
            await protocol.drain(reply, 0.05)
        assert isinstance(reply.exception(), SMTPTimeoutError)


# Closing


async def test_close_says_its_last_words_where_no_reply_is_owed() -> None:
    async with connected("S: 220 hi\nC: QUIT") as protocol:
        await protocol.greeting
        await protocol.close(b"QUIT\r\n")
        with pytest.raises(SMTPConnectionError, match="closed by the client"):
            protocol.ask(NOOP, None, "NOOP")
        await protocol.close()


async def test_close_says_nothing_where_a_reply_is_owed() -> None:
    """Whoever waits for it is told; QUIT could be taken for something else."""
    async with connected("S: 220 hi\nC: NOOP\nC: <hangup>") as protocol:
        await protocol.greeting
        owed = protocol.ask(NOOP, None, "NOOP")
        await protocol.close(b"QUIT\r\n")
        with pytest.raises(SMTPConnectionError, match="closed by the client"):
            await owed
        assert protocol.has_lost_replies


async def test_what_comes_after_the_end_is_not_even_kept() -> None:
    """A TLS transport goes on delivering while it closes."""
    async with connected("S: 220 hi") as protocol:
        await protocol.greeting
        await protocol.close()
        protocol.get_buffer(-1)[:4] = b"250 "
        protocol.buffer_updated(4)
        assert protocol._parser.is_empty


async def test_close_does_not_wait_for_a_server_that_reads_nothing() -> None:
    async with stuffed(read_it) as (protocol, _), asyncio.timeout(1.5):
        await protocol.close(b"QUIT\r\n")


async def test_a_cancelled_close_closes_all_the_same() -> None:
    async with stuffed(read_it) as (protocol, _):
        closing = asyncio.create_task(protocol.close())
        await asyncio.sleep(0)
        assert not closing.done()
        closing.cancel()
        await asyncio.wait((closing,))
        assert closing.cancelled()
        await until(protocol.is_lost.done)


async def test_tls_is_no_different(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """D11: a farewell within TLS, and the end of it."""
    told: list[str] = []
    async with client(
        """
        S: 220 hi
        C: NOOP
        S: 250 ok
        S: 421 bye
        C: <hangup>
        """,
        make=SMTP_SSL,
        tls=server_tls,
        implicit_tls=True,
        context=client_tls,
        on_event=lambda event: told.append(str(event)),
    ) as smtp:
        await smtp.noop()
        assert told[1].startswith("-- TLSv1.")
        await until(lambda: not smtp.is_connected)
        with pytest.raises(SMTPConnectionLostError, match="421 bye"):
            await smtp.noop()


# What may not be broken off


@pytest.mark.parametrize(
    ("raised", "ends"),
    [
        (SMTPException("in step"), False),
        (SMTPProtocolError("out of step"), True),
        (asyncio.CancelledError(), True),
        (ValueError("the caller's"), True),
    ],
)
async def test_what_is_indivisible_ends_the_connection_if_broken_off(
    raised: BaseException, ends: bool
) -> None:
    async with connected("S: 220 hi\nC: <hangup>") as protocol:
        await protocol.greeting
        with pytest.raises(type(raised)) as info, protocol.indivisible("a thing"):
            raise raised
        assert info.value is raised
        assert (protocol.cause is not None) is ends


# Telling what happens


async def test_a_listener_is_told_what_happens_and_shown_no_secret() -> None:
    told: list[str] = []
    async with connected(
        """
        S: 220 hi
        C: AUTH X c2VjcmV0
        S: 334 c2VjcmV0
        C: c2VjcmV0
        S: 535-no c2VjcmV0
        S: 535 no
        S: 250 c2VjcmV0
        C: <hangup>
        """,
        listener=lambda event: told.append(str(event)),
    ) as protocol:
        await protocol.greeting
        with protocol.narrator.redacting(
            lambda text: text.replace("c2VjcmV0", "(cut)")
        ):
            await protocol.ask(b"AUTH X c2VjcmV0\r\n", None, "AUTH", b"AUTH X ***")
            reply = await protocol.ask(b"c2VjcmV0\r\n", None, "AUTH", b"***")
            assert reply.lines == ["no c2VjcmV0", "no"]
            await until(lambda: protocol.cause)
        assert "(cut)" in str(protocol.cause)
        peer = protocol.peer
    told[0] = told[0].rpartition(" ")[0]
    assert told == [
        "-- connected to 127.0.0.1 port",
        "S: 220 hi",
        "C: AUTH X ***",
        "S: 334 ***",
        "C: ***",
        "S: 535-no (cut)\nS: 535 no",
        "S: 250 (cut)",
        f"-- closed: {peer} sent a reply that nobody asked for: 250 (cut)",
    ]

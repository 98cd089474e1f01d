"""Whose turn it is, in which state; opening and closing, loops and processes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import ssl
import threading
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conversation import Peer, Server, client, serve, until

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
    sasl,
)
from smtplibaio.client.turns import Turns
from smtplibaio.wire import opening

Call = Callable[[SMTP], Awaitable[Any]]


class Waiting:
    """Who has the turn, and does not wait for itself."""

    def is_waiting_for_itself(self) -> bool:
        return False


@asynccontextmanager
async def serve_in_turn(*scripts: str) -> AsyncIterator[int]:
    """Play the first script to the first client that comes, and so on."""
    loop = asyncio.get_running_loop()
    waiting = [Server(script, "whole", None) for script in scripts]
    played: list[tuple[Server, asyncio.Task[None]]] = []

    class Stage(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            server = waiting.pop(0)
            played.append((server, loop.create_task(server.perform(self))))

    listener = await loop.create_server(Stage, "127.0.0.1", 0)
    async with listener, asyncio.timeout(10):
        yield listener.sockets[0].getsockname()[1]
        for server, performance in played:
            await performance
            if server.mismatch is not None:
                raise server.mismatch


# States and methods


async def pipelined_noop(smtp: SMTP) -> None:
    async with smtp.pipeline() as pipeline:
        await pipeline.noop()


METHODS: dict[str, Call] = {
    "ehlo": lambda smtp: smtp.ehlo(),
    "helo": lambda smtp: smtp.helo(),
    "ehlo_or_helo_if_needed": lambda smtp: smtp.ehlo_or_helo_if_needed(),
    "auth": lambda smtp: smtp.auth("user", "password"),
    "authenticate": lambda smtp: smtp.authenticate(sasl.Plain("user", "password")),
    "mail": lambda smtp: smtp.mail("a@x.example"),
    "rcpt": lambda smtp: smtp.rcpt("b@y.example"),
    "data": lambda smtp: smtp.data("hi"),
    "rset": lambda smtp: smtp.rset(),
    "noop": lambda smtp: smtp.noop(),
    "vrfy": lambda smtp: smtp.vrfy("b"),
    "expn": lambda smtp: smtp.expn("staff"),
    "help": lambda smtp: smtp.help(),
    "command": lambda smtp: smtp.command("XCLIENT"),
    "sendmail": lambda smtp: smtp.sendmail("a@x.example", "b@y.example", "hi"),
    "pipeline": pipelined_noop,
    "quit": lambda smtp: smtp.quit(),
}


async def stay_away(_: SMTP) -> None:
    """Do nothing."""


async def close(smtp: SMTP) -> None:
    await smtp.connect()
    await smtp.close()


async def quit_(smtp: SMTP) -> None:
    await smtp.connect()
    await smtp.quit()


async def fail(smtp: SMTP) -> None:
    with pytest.raises(SMTPException):
        await smtp.connect()


async def cancel(smtp: SMTP) -> None:
    task = asyncio.create_task(smtp.connect())
    await until(lambda: smtp.transport is not None)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def lose(smtp: SMTP) -> None:
    await smtp.connect()
    await until(lambda: not smtp.is_connected)


async def hear_farewell(smtp: SMTP) -> None:
    await smtp.connect()
    with pytest.raises(SMTPConnectionLostError, match="421 later"):
        await smtp.noop()


STATES: dict[str, tuple[list[str], Call]] = {
    "never connected": ([], stay_away),
    "closed": (["S: 220 hi"], close),
    "said goodbye": (["S: 220 hi\nC: QUIT\nS: 221 bye"], quit_),
    "failed": (["S: 554 no\nS: <close>"], fail),
    "cancelled": (["S: <silence>"], cancel),
    "server gone": (["S: 220 hi\nS: <close>"], lose),
    "server reset": (["S: 220 hi\nS: <reset>"], lose),
    "said farewell": (["S: 220 hi\nC: NOOP\nS: 421 later"], hear_farewell),
}

IN_EVERY_STATE = pytest.mark.parametrize(
    ("scripts", "enter"),
    [pytest.param(*state, id=f"E23-{name}") for name, state in STATES.items()],
)


@IN_EVERY_STATE
@pytest.mark.parametrize("call", METHODS.values(), ids=METHODS)
async def test_without_a_connection_every_method_says_so(
    scripts: list[str], enter: Call, call: Call
) -> None:
    async with serve_in_turn(*scripts) as port:
        smtp = SMTP("127.0.0.1", port)
        await enter(smtp)
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionError):
            await call(smtp)
        assert not smtp.is_connected
        await smtp.close()


@IN_EVERY_STATE
async def test_in_every_state_the_object_can_connect_again(
    scripts: list[str], enter: Call
) -> None:
    async with serve_in_turn(
        *scripts, "S: 220 again\nC: NOOP\nS: 250 ok\nC: QUIT\nS: 221 bye"
    ) as port:
        smtp = SMTP("127.0.0.1", port)
        await enter(smtp)
        assert await smtp.connect() == (220, "again")
        assert await smtp.noop() == (250, "ok")
        assert await smtp.quit() == (221, "bye")


@IN_EVERY_STATE
async def test_closing_twice_is_closing(scripts: list[str], enter: Call) -> None:
    async with serve_in_turn(*scripts) as port:
        smtp = SMTP("127.0.0.1", port)
        await enter(smtp)
        await smtp.close()
        await asyncio.gather(smtp.close(), smtp.close())
        assert not smtp.is_connected
        assert (smtp.greeting, smtp.transport) == (None, None)


async def test_connecting_twice_is_an_error_that_leaves_the_session() -> None:
    """E23: connected, connect."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 SIZE
        C: NOOP
        S: 250 ok
        """) as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPConnectionError, match="already connected to 127"):
            await smtp.connect()
        assert smtp.greeting == (220, "hi")
        assert "SIZE" in smtp.extensions
        await smtp.noop()


async def test_of_two_tasks_that_connect_one_does() -> None:
    """E23: the other one is told."""
    async with serve_in_turn("S: 220 hi") as port:
        smtp = SMTP("127.0.0.1", port)
        results = await asyncio.gather(
            smtp.connect(), smtp.connect(), return_exceptions=True
        )
        assert results[0] == (220, "hi")
        assert isinstance(results[1], SMTPConnectionError)
        assert smtp.is_connected
        await smtp.close()


# Closing what is under way


async def test_closing_ends_a_connect_that_waits_for_the_greeting() -> None:
    """E23: close, connecting in another task."""
    async with serve_in_turn("S: <silence>", "S: 220 hi") as port:
        smtp = SMTP("127.0.0.1", port)
        connecting = asyncio.create_task(smtp.connect())
        await until(lambda: smtp.transport is not None)
        await smtp.close()
        with pytest.raises(SMTPConnectionError, match="closed by the client"):
            await connecting
        await smtp.connect()
        await smtp.close()


@pytest.fixture
def tcp_begins(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Have TCP get no answer, and tell when it has begun to wait for one."""
    begins = asyncio.Event()

    async def wait(*_: object) -> None:
        begins.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", wait)
    return begins


async def test_closing_ends_a_connect_that_waits_for_tcp(
    tcp_begins: asyncio.Event,
) -> None:
    """E23: close, connecting in another task to a host that does not answer."""
    smtp = SMTP("127.0.0.1", timeout=None)
    connecting = asyncio.create_task(smtp.connect())
    await tcp_begins.wait()
    await smtp.close()
    done, _ = await asyncio.wait((connecting,), timeout=1)
    connecting.cancel()
    assert done
    with pytest.raises(SMTPConnectionError, match="closed before"):
        await connecting
    assert not smtp.is_connected


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_connect_that_is_cancelled_while_it_waits_for_tcp_leaves_nothing(
    tcp_begins: asyncio.Event, is_closed: bool
) -> None:
    """E23: and the cancellation passes unchanged, where it meets a close too."""
    smtp = SMTP("127.0.0.1", timeout=None)
    connecting = asyncio.create_task(smtp.connect())
    await tcp_begins.wait()
    if is_closed:
        await smtp.close()
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert not smtp.is_connected


async def test_a_connect_that_was_closed_when_tcp_answered_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E23: close, in the very turn of the loop in which the connection is there."""
    real = opening.open_connection
    closing: list[asyncio.Task[None]] = []

    async def close_as_it_opens(*arguments: Any) -> Any:
        protocol = await real(*arguments)
        closing.append(asyncio.create_task(smtp.close()))
        return protocol

    monkeypatch.setattr(opening, "open_connection", close_as_it_opens)
    async with serve_in_turn("S: 220 hi") as port:
        smtp = SMTP("127.0.0.1", port)
        with pytest.raises(SMTPConnectionError, match="closed"):
            await smtp.connect()
        await closing[0]
        assert not smtp.is_connected


async def test_a_connection_that_is_there_as_its_caller_is_cancelled_is_closed() -> (
    None
):
    """E23: both in one tick; nothing is left behind."""
    async with serve("S: 220 hi\nC: <hangup>") as server:
        smtp = SMTP(server.host, server.port)
        connecting = asyncio.create_task(smtp.connect())
        await until(lambda: (opening := smtp._connection._opening) and opening.done())
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not smtp.is_connected


async def test_closing_ends_what_another_task_waits_for() -> None:
    """E23: close takes no turn."""
    async with client("""
        S: 220 hi
        C: NOOP
        S: <silence>
        """) as smtp:
        under_way, in_line = (asyncio.create_task(smtp.noop()) for _ in range(2))
        await asyncio.sleep(0)
        await smtp.close()
        for task in under_way, in_line:
            with pytest.raises(SMTPConnectionError):
                await task


async def test_a_task_is_told_that_it_would_wait_for_itself() -> None:
    """E23: within a pipeline's block, every method of the client."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: NOOP
        S: 250 ok
        """) as smtp:
        async with smtp.pipeline() as pipeline:
            for call in [*METHODS.values(), SMTP.connect]:
                with pytest.raises(SMTPConnectionError, match="this task"):
                    async with asyncio.timeout(5):
                        await call(smtp)
            await pipeline.noop()


async def test_a_turn_begins_when_no_reply_is_owed() -> None:
    """E23: what a cancelled caller left is read first."""
    async with client("""
        S: 220 hi
        C: VRFY one
        S: 250 one
        C: VRFY two
        S: 250 two
        """) as smtp:
        task = asyncio.create_task(smtp.vrfy("one"))
        await asyncio.sleep(0)
        task.cancel()
        assert (await smtp.vrfy("two")).message == "two"
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_turn_that_finds_the_connection_ended_is_not_given() -> None:
    """E23: the server leaves while the cancelled caller's reply is due."""
    async with client("""
        S: 220 hi
        C: VRFY one
        S: <close>
        """) as smtp:
        task = asyncio.create_task(smtp.vrfy("one"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()


# Greetings


@pytest.mark.parametrize(
    ("script", "kind", "text"),
    [
        ("S: 554 no", SMTPConnectionRefusedError, "connection: 554"),
        ("S: 450 busy", SMTPConnectionRefusedError, "connection: 450"),
        ("S: 421 busy", SMTPConnectionRefusedError, "connection: 421"),
        (
            "S: 421 busy\nS: <close>",
            SMTPConnectionRefusedError,
            "connection: 421",
        ),
        ("S: 250 hi", SMTPConnectionRefusedError, "connection: 250"),
        ("S: 220 hi\nS: 250 mx", SMTPConnectionLostError, "nobody asked for"),
        ("S: +OK POP3", SMTPProtocolError, "POP3"),
        ("S: <close>", SMTPConnectionLostError, "closed the connection"),
        ("S: <reset>", SMTPConnectionLostError, "connection"),
    ],
)
async def test_a_session_begins_with_220_and_nothing_else(
    script: str, kind: type[SMTPException], text: str
) -> None:
    async with serve_in_turn(script, "S: 220 again") as port:
        smtp = SMTP("127.0.0.1", port, timeout=Timeouts(connect=0.2))
        with pytest.raises(kind, match=text) as caught:
            await smtp.connect()
        assert type(caught.value) is kind
        assert (smtp.is_connected, smtp.greeting) == (False, None)
        assert await smtp.connect() == (220, "again")
        await smtp.close()


async def test_a_refusing_greeting_is_told_with_code_and_text() -> None:
    async with serve("""
        S: 554-no mail here
        S: 554 go away
        """) as server:
        with pytest.raises(SMTPConnectionRefusedError) as caught:
            await SMTP(server.host, server.port).connect()
    assert (caught.value.code, caught.value.message) == (554, "no mail here\ngo away")
    assert f"{server.host} port {server.port}" in str(caught.value)


async def test_a_server_that_says_nothing_at_all_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        smtp = SMTP(*listener.getsockname(), timeout=0.1)
        with pytest.raises(SMTPTimeoutError, match="no greeting from"):
            await smtp.connect()
    assert (smtp.is_connected, smtp.greeting) == (False, None)


async def test_a_port_that_waits_for_tls_is_told_from_one_that_is_silent(
    server_tls: ssl.SSLContext,
) -> None:
    # In debug mode a loop reports every handshake that its clients break off.
    asyncio.get_running_loop().set_debug(False)
    async with serve("S: 220 hi", tls=server_tls, implicit_tls=True) as server:
        client = SMTP(server.host, server.port, timeout=0.2)
        with pytest.raises(
            SMTPTLSError, match="greet: the server waits for TLS"
        ) as caught:
            await client.connect()
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert isinstance(caught.value.__context__, SMTPTimeoutError)
    assert not client.is_connected


async def test_a_server_that_speaks_tls_and_does_not_greet_is_just_silent(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with serve("S: <silence>", tls=server_tls, implicit_tls=True) as server:
        client = SMTP_SSL(server.host, server.port, context=client_tls, timeout=0.2)
        with pytest.raises(SMTPTimeoutError):
            await client.connect()


# Closing, whatever the peer does


@asynccontextmanager
async def silent_peer() -> AsyncIterator[tuple[SMTP, socket.socket]]:
    """Give a connected client, and the other end of its connection: a bare socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        smtp = SMTP(*listener.getsockname())
        peer = await connect(smtp, listener)
        with peer:
            yield smtp, peer


async def connect(smtp: SMTP, listener: socket.socket) -> socket.socket:
    """Connect a client to a bare socket, which says 220."""
    listener.setblocking(False)
    connecting = asyncio.create_task(smtp.connect())
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    await loop.sock_sendall(peer, b"220 hi\r\n")
    await connecting
    return peer


async def test_leaving_the_block_says_quit_and_does_not_wait() -> None:
    async with silent_peer() as (smtp, peer):
        before = time.monotonic()
        await smtp.__aexit__(None, None, None)
        assert time.monotonic() - before < 0.5
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(peer, 100) == b"QUIT\r\n"
        assert await loop.sock_recv(peer, 100) == b""


async def test_closing_says_nothing() -> None:
    async with silent_peer() as (smtp, peer):
        await smtp.close()
        assert await asyncio.get_running_loop().sock_recv(peer, 100) == b""


async def test_a_peer_that_never_reads_is_not_waited_for() -> None:
    async with silent_peer() as (smtp, _):
        assert smtp.transport is not None
        smtp.transport.write(bytes(16_000_000))
        before = time.monotonic()
        await smtp.__aexit__(None, None, None)
        assert time.monotonic() - before < 2


async def test_a_content_that_nobody_reads_is_broken_off_at_once() -> None:
    async with silent_peer() as (smtp, peer):
        task = asyncio.create_task(smtp.data(b"a line\r\n" * 2_000_000))
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(peer, 100) == b"DATA\r\n"
        await loop.sock_sendall(peer, b"354 go\r\n")
        transport = smtp.transport
        assert transport is not None
        await until(lambda: transport.get_write_buffer_size() > 0)
        before = time.monotonic()
        await smtp.close()
        assert time.monotonic() - before < 0.5
        with pytest.raises(SMTPConnectionError):
            await task


async def test_a_peer_that_never_answers_close_notify_is_not_waited_for(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    may_leave = threading.Event()

    def serve_stubbornly(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with server_tls.wrap_socket(sock, server_side=True) as tls:
            tls.sendall(b"220 hi\r\n")
            may_leave.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(asyncio.to_thread(serve_stubbornly, listener))
        smtp = SMTP_SSL(*listener.getsockname(), context=client_tls)
        await smtp.connect()
        before = time.monotonic()
        await smtp.__aexit__(None, None, None)
        assert time.monotonic() - before < 2
        may_leave.set()
        await serving


def number_of_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_nothing_is_left_when_the_block_is_left(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """E25: no descriptor, task, thread, or warning of a garbage collector."""
    gc.collect()
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    descriptors = number_of_descriptors()
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        async with client("""
            S: 220 hi
            C: NOOP
            S: 250 ok
            """) as smtp:
            await smtp.noop()
        tls = {"tls": server_tls, "implicit_tls": True, "context": client_tls}
        async with client("S: 220 hi", make=SMTP_SSL, **tls) as smtp:
            pass
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()
    assert complaints == []
    assert (asyncio.all_tasks(), threading.active_count()) == (tasks, threads)
    assert number_of_descriptors() == descriptors


# Loops


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Give a Unix socket that listens whatever loops come and go."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "smtp"))
        sock.listen()
        yield sock


@pytest.fixture
def smtp(listener: socket.socket) -> SMTP:
    """Give a client that was made outside every loop."""
    return SMTP(path=listener.getsockname(), fqdn="client.example", timeout=5)


@pytest.fixture
def loops() -> Iterator[list[asyncio.AbstractEventLoop]]:
    """Give two loops."""
    pair = [asyncio.new_event_loop(), asyncio.new_event_loop()]
    yield pair
    for loop in pair:
        loop.close()


async def noop(smtp: SMTP, peer: socket.socket) -> None:
    """Show that a session is usable, and that nothing else was written to it."""
    loop = asyncio.get_running_loop()

    async def answer() -> bytes:
        said = await loop.sock_recv(peer, 100)
        await loop.sock_sendall(peer, b"250 ok\r\n")
        return said

    async with asyncio.TaskGroup() as group:
        reply, said = group.create_task(smtp.noop()), group.create_task(answer())
    assert (said.result(), reply.result()) == (b"NOOP\r\n", (250, "ok"))


def test_one_object_serves_one_loop_after_the_other(
    listener: socket.socket, smtp: SMTP
) -> None:
    """E24: made outside a loop; asyncio.run twice."""

    async def session() -> None:
        with await connect(smtp, listener) as peer:
            # Two at a time, so that one waits for the lock of this loop.
            await asyncio.gather(noop(smtp, peer), asyncio.sleep(0))
            await smtp.close()

    asyncio.run(session())
    asyncio.run(session())


def test_what_a_closed_loop_left_gives_back_no_turn_of_another(
    listener: socket.socket, smtp: SMTP, loops: list[asyncio.AbstractEventLoop]
) -> None:
    """H02: a mail in flight is collected with its task; its turn was its own."""
    first, second = loops
    kept: list[asyncio.Task[Any]] = []

    async def begin() -> socket.socket:
        peer = await connect(smtp, listener)
        kept.append(asyncio.create_task(smtp.noop("old")))
        assert await first.sock_recv(peer, 100) == b"NOOP old\r\n"
        return peer

    async def go_on() -> None:
        peer = await connect(smtp, listener)
        helo = asyncio.create_task(smtp.helo())
        await second.sock_recv(peer, 100)
        await second.sock_sendall(peer, b"250 mx\r\n")
        await helo
        async with smtp.pipeline():  # it has the turn, and no reply is owed
            waiting = asyncio.create_task(smtp.noop("new"))
            await asyncio.sleep(0)
            kept.clear()
            gc.collect()
            for _ in range(10):
                await asyncio.sleep(0)
            peer.setblocking(False)
            with pytest.raises(BlockingIOError):
                peer.recv(100)
        assert await second.sock_recv(peer, 100) == b"NOOP new\r\n"
        await second.sock_sendall(peer, b"250 new\r\n")
        assert await waiting == (250, "new")
        await smtp.close()
        peer.close()

    old = first.run_until_complete(begin())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        first.set_exception_handler(lambda *_: None)  # it complains of the task
        first.close()
        second.run_until_complete(go_on())
    old.close()


class Text(str):
    """A sender that is known to be gone."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("end", ["<close>", "354 what?", "oops", "421 bye"])
@pytest.mark.parametrize("way", ["mail", "sendmail"])
async def test_an_ended_connection_keeps_nothing_of_who_has_used_it(
    way: str, end: str
) -> None:
    """H13: neither the frames of its calls nor what they were given."""
    script = f"""
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
        C: MAIL FROM:<a@x.example>
        S: {end}
        """
    async with client(script) as smtp:

        async def send() -> weakref.ref[Text]:
            sender = Text("a@x.example")
            rest = ("b@y.example", "hi") if way == "sendmail" else ()
            with pytest.raises(SMTPException):
                await getattr(smtp, way)(sender, *rest)
            return weakref.ref(sender)

        await smtp.ehlo()
        sender = await send()
        await asyncio.sleep(0)  # a loop that is debugged keeps what it is running
        gc.collect()
        assert sender() is None
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()


def test_a_connection_whose_loop_is_closed_is_none(
    listener: socket.socket, smtp: SMTP
) -> None:
    """E24: somebody forgot to close; the object is not lost for it."""
    with asyncio.run(connect(smtp, listener)):
        assert not smtp.is_connected

        async def use() -> None:
            with pytest.raises(SMTPConnectionError):
                await smtp.noop()

        asyncio.run(use())

        async def again() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                peer = await connect(smtp, listener)
                gc.collect()
            with peer:
                await noop(smtp, peer)
                await smtp.close()

        asyncio.run(again())


def test_closing_what_a_closed_loop_left_is_no_error(
    listener: socket.socket, smtp: SMTP
) -> None:
    """E24: there is nothing to be written, and nobody to write it."""
    with asyncio.run(connect(smtp, listener)) as peer, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(smtp.close())
        gc.collect()
        assert peer.recv(100) == b""


@pytest.mark.parametrize(
    "call",
    [*METHODS.values(), SMTP.connect, SMTP.close],
    ids=[*METHODS, "connect", "close"],
)
def test_another_loop_is_refused_and_the_session_goes_on(
    listener: socket.socket,
    smtp: SMTP,
    loops: list[asyncio.AbstractEventLoop],
    call: Call,
) -> None:
    """E24: the connection belongs to the loop that opened it."""
    mine, other = loops

    async def use() -> None:
        with pytest.raises(SMTPConnectionError, match=r"another event loop|already"):
            await call(smtp)

    with mine.run_until_complete(connect(smtp, listener)) as peer:
        other.run_until_complete(use())
        assert smtp.greeting == (220, "hi")
        mine.run_until_complete(noop(smtp, peer))
        mine.run_until_complete(smtp.close())


def test_another_loop_is_refused_while_the_session_is_in_use(
    listener: socket.socket, smtp: SMTP, loops: list[asyncio.AbstractEventLoop]
) -> None:
    """E24: and does not wait for a lock that its own loop will never see released."""
    mine, other = loops

    async def connect_too() -> None:
        async with asyncio.timeout(1):
            await smtp.connect()

    with mine.run_until_complete(connect(smtp, listener)):
        task = mine.create_task(smtp.noop())
        mine.run_until_complete(asyncio.sleep(0))
        with pytest.raises(SMTPConnectionError):
            other.run_until_complete(connect_too())
        mine.run_until_complete(smtp.close())
        with pytest.raises(SMTPConnectionError):
            mine.run_until_complete(task)


def test_after_the_server_has_left_another_loop_may_connect(
    listener: socket.socket, smtp: SMTP, loops: list[asyncio.AbstractEventLoop]
) -> None:
    """E24: a connection that has ended belongs to nobody."""
    mine, other = loops
    mine.run_until_complete(connect(smtp, listener)).close()
    with pytest.raises(SMTPConnectionLostError):
        mine.run_until_complete(smtp.noop())
    with other.run_until_complete(connect(smtp, listener)) as peer:
        other.run_until_complete(noop(smtp, peer))
        other.run_until_complete(smtp.close())


# Processes


async def in_child(listener: socket.socket, smtp: SMTP) -> str:
    """Do what a forked child may be tempted to do; tell what is wrong with it."""
    if smtp.is_connected:
        return "the child is connected"
    for name, call in METHODS.items():
        try:
            await call(smtp)
        except SMTPConnectionError as exc:
            if "parent" not in str(exc):
                return f"{name}: {exc}"
        else:
            return f"{name} is not refused"
    await smtp.__aexit__(None, None, None)
    with await connect(smtp, listener) as peer:
        await noop(smtp, peer)
        await smtp.close()
    return ""


async def test_a_forked_child_is_refused_and_the_parent_goes_on(
    listener: socket.socket, smtp: SMTP
) -> None:
    """E26: no method writes from the child, and no goodbye does."""
    peer = await connect(smtp, listener)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(10)
        verdict = "the child has failed"
        warnings.simplefilter("ignore")
        try:
            verdict = asyncio.run(in_child(listener, smtp))
        finally:
            os.write(writer, verdict.encode())
            os._exit(0)
    os.close(writer)
    with peer:
        assert os.read(reader, 1000) == b""
        os.waitpid(child, 0)  # noqa: ASYNC222
        os.close(reader)
        assert smtp.is_connected
        await noop(smtp, peer)
        await smtp.close()


async def test_a_connection_of_another_process_is_none(
    listener: socket.socket, smtp: SMTP, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E26: as the child sees it."""
    with await connect(smtp, listener) as peer:
        with monkeypatch.context() as patch:
            patch.setattr(smtp._connection, "_pid", 0)
            assert not smtp.is_connected
            with pytest.raises(SMTPConnectionError, match="parent process"):
                await smtp.noop()
        await noop(smtp, peer)
        await smtp.close()


async def test_a_client_that_two_tasks_have_entered_stays_open_for_the_second() -> None:
    """E15: one session for both, and QUIT behind the last of them."""
    async with serve("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        C: QUIT
        S: 221 bye
        """) as server:
        smtp = SMTP(server.host, server.port, "client.example")
        async with smtp:
            async with smtp:
                assert smtp.is_connected
            assert await smtp.noop() == (250, "ok")
        assert not smtp.is_connected


async def test_a_turn_that_comes_as_its_wait_is_cancelled_goes_to_the_next() -> None:
    """E01: nobody waits for ever."""
    holder: Any = Waiting()
    turns = Turns()
    await turns.take(holder)
    cancelled, following = (asyncio.create_task(turns.take(holder)) for _ in range(2))
    await asyncio.sleep(0)
    turns.give_back()
    cancelled.cancel()
    async with asyncio.timeout(5):
        await following
    assert cancelled.cancelled()
    assert not turns.take_at_once(holder)


def test_a_client_shows_where_it_connects_to() -> None:
    assert repr(SMTP("mx.example", 25)) == "<SMTP('mx.example', 25): not connected>"
    assert repr(SMTP(path="/run/smtp")) == "<SMTP(path='/run/smtp'): not connected>"

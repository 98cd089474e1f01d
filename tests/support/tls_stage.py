"""Servers whose TLS is made by hand, the ways to reach them, and the loops to use."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trustme
import uvloop
from conversation import Peer

from smtplibaio import SMTP, SMTP_SSL

Act = Callable[["Hand"], Awaitable[object]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]


class Hand:
    """A server's end with TLS made by hand, so that every octet leaves when it is told.

    asyncio's own servers send no alert when a handshake fails.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.raw = bytearray()  # what came since the last line in clear
        self.said = bytearray()  # what came inside TLS
        self.tls: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()

    async def hello(self) -> None:
        """Wait for some octets."""
        while not self.peer.received and not self.peer.has_left:
            self.peer._news.clear()
            await self.peer._news.wait()

    async def _more(self) -> None:
        await self.hello()
        if not self.peer.received:
            raise ConnectionResetError
        self.raw += self.peer.received
        self._incoming.write(bytes(self.peer.received))
        self.peer.received.clear()

    def flush(self) -> None:
        self.peer.transport.write(self._outgoing.read())

    async def handshake(self, context: ssl.SSLContext, then: bytes = b"") -> None:
        """Shake hands; what follows at once leaves in the same write."""
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.flush()
                await self._more()
            except ssl.SSLError:
                self.flush()
                await self.peer.everything()
                raise
        self.write(then)

    def write(self, data: bytes) -> None:
        if data:
            assert self.tls is not None
            self.tls.write(data)
        self.flush()

    async def line(self) -> bytes:
        """Read one line inside TLS; none where the client has left."""
        assert self.tls is not None
        while b"\n" not in self.said:
            try:
                said = self.tls.read(65536)
            except ssl.SSLWantReadError:
                await self._more()
                continue
            if not said:
                raise ConnectionResetError
            self.said += said
        line, _, rest = bytes(self.said).partition(b"\n")
        self.said[:] = rest
        return line + b"\n"

    async def answer(self, **replies: str) -> None:
        """Give each command its reply, until one has none."""
        while True:
            verb = (await self.line()).split()[0].decode()
            if verb not in replies:
                return
            self.write(f"{replies[verb]}\r\n".encode())


@asynccontextmanager
async def stage(*acts: Act) -> AsyncIterator[int]:
    """Listen on a port of 127.0.0.1; the n-th client that comes gets the n-th act."""
    loop = asyncio.get_running_loop()
    to_come = list(acts)
    peers: list[Peer] = []
    played: list[asyncio.Task[None]] = []

    async def play(act: Act, peer: Peer) -> None:
        with suppress(OSError):  # the client has left, as it may
            await act(Hand(peer))
        peer.transport.close()

    class Stage(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            peers.append(self)
            played.append(loop.create_task(play(to_come.pop(0), self)))

    listener = await loop.create_server(Stage, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
        async with asyncio.timeout(5):
            await asyncio.gather(*played)
    finally:
        for task in played:
            task.cancel()
        await asyncio.gather(*played, return_exceptions=True)
        for peer in peers:
            peer.transport.abort()
        listener.close()


class StartTLS:
    """The way by STARTTLS."""

    @staticmethod
    def make(port: int, context: ssl.SSLContext | None, **options: Any) -> SMTP:
        options = {"hostname": "127.0.0.1", "fqdn": "client.example"} | options
        return SMTP(port=port, starttls="required", tls_context=context, **options)

    @staticmethod
    async def prelude(hand: Hand) -> None:
        hand.peer.transport.write(b"220 mx\r\n")
        await hand.peer.line()
        hand.peer.transport.write(b"250-mx\r\n250 STARTTLS\r\n")
        await hand.peer.line()
        hand.peer.transport.write(b"220 go\r\n")

    greeting = b""


class ImplicitTLS:
    """The way by TLS from the first octet on."""

    @staticmethod
    def make(port: int, context: ssl.SSLContext | None, **options: Any) -> SMTP:
        options = {"hostname": "127.0.0.1", "fqdn": "client.example"} | options
        return SMTP_SSL(port=port, context=context, **options)

    @staticmethod
    async def prelude(hand: Hand) -> None:
        """Say nothing."""

    greeting = b"220 mx\r\n"


Way = type[StartTLS] | type[ImplicitTLS]
both_ways = pytest.mark.parametrize("way", [StartTLS, ImplicitTLS])


def honest(way: Way, context: ssl.SSLContext, **replies: str) -> Act:
    """Be a server that does what it should."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(context, way.greeting)
        await hand.answer(**{"EHLO": "250 mx", "NOOP": "250 ok"} | replies)
        hand.peer.transport.close()

    return act


on_each_loop = pytest.mark.parametrize(
    "new_loop",
    [asyncio.new_event_loop, uvloop.new_event_loop],
    ids=["asyncio", "uvloop"],
)


def run(
    new_loop: NewLoop,
    scenario: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Run a scenario in a fresh loop, and want nothing left behind."""
    complaints: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        loop.slow_callback_duration = 10
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(10):
            await scenario()
        for _ in range(20):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    gc.collect(1)  # a future that nobody has looked at complains as it goes
    assert complaints == []


def server_context(
    authority: trustme.CA, *names: str, **details: Any
) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, **details).configure_cert(context)
    return context

"""Floors: what the same octets cost where nothing is checked and nothing is parsed.

Each writes octets that were prepared beforehand and counts the lines that come back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable

from .meter import Result, repeat, repeat_blocking
from .work import SENDER, Work, bulk, client_context, letter, stuffed

__all__ = [
    "bulk_write",
    "connecting",
    "one_turn",
    "socket_loop",
    "streaming",
    "two_turns",
]

_EHLO = b"EHLO client.example\r\n"
_EHLO_LINES = 8
_WARM_UP = 200
_SLICE = 256 * 1024


def _group(size: int) -> bytes:
    return b"MAIL FROM:<%s> SIZE=%d\r\nRCPT TO:<user1@recipient.example>\r\n" % (
        SENDER.encode(),
        size,
    )


class Floor(asyncio.BufferedProtocol):
    """Count the lines that arrive."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(4096)
        self._owed = 0
        self._waiter: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self.closed = self._loop.create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Tell who waits for it."""
        self.closed.set_result(None)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002
        """Give the one buffer there is."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Count lines."""
        self._owed -= self._buffer.count(b"\n", 0, nbytes)
        if self._owed <= 0 and self._waiter is not None:
            self._waiter.set_result(None)
            self._waiter = None

    def pause_writing(self) -> None:
        """Stop."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Go on."""
        self._may_write.set()

    async def lines(self, count: int) -> None:
        """Wait until `count` further lines have come."""
        self._owed += count
        if self._owed > 0:
            self._waiter = self._loop.create_future()
            await self._waiter

    async def closing(self, measuring: Awaitable[Result]) -> Result:
        """Close when all is measured."""
        try:
            return await measuring
        finally:
            self.transport.close()

    async def stream(self, content: bytes) -> None:
        """Write slices, as fast as they are taken."""
        view = memoryview(content)
        for start in range(0, len(content), _SLICE):
            await self._may_write.wait()
            self.transport.write(view[start : start + _SLICE])


async def _connect(work: Work) -> Floor:
    context = client_context(work) if work.tls else None
    loop = asyncio.get_running_loop()
    _, floor = await loop.create_connection(Floor, work.host, work.to, ssl=context)
    await floor.lines(1)
    floor.transport.write(_EHLO)
    await floor.lines(_EHLO_LINES)
    return floor


async def two_turns(work: Work) -> Result:
    """Write MAIL, RCPT and DATA, wait, write the content, wait."""
    content = letter(work.size) + b".\r\n"
    group = _group(work.size) + b"DATA\r\n"
    floor = await _connect(work)

    async def one(_: int) -> None:
        floor.transport.write(group)
        await floor.lines(3)
        floor.transport.write(content)
        await floor.lines(1)

    return await floor.closing(repeat(work, one, _WARM_UP))


async def one_turn(work: Work) -> Result:
    """Write content and the next MAIL, RCPT and DATA at once, wait."""
    group = _group(work.size) + b"DATA\r\n"
    both = letter(work.size) + b".\r\n" + group
    floor = await _connect(work)
    floor.transport.write(group)
    await floor.lines(3)

    async def one(_: int) -> None:
        floor.transport.write(both)
        await floor.lines(4)

    return await floor.closing(repeat(work, one, _WARM_UP))


async def streaming(work: Work) -> Result:
    """Write MAIL, RCPT and BDAT of `work.window` messages at once, wait."""
    content = letter(work.size)
    message = _group(work.size) + b"BDAT %d LAST\r\n" % len(content) + content
    batch = message * work.window
    floor = await _connect(work)

    async def one(_: int) -> None:
        floor.transport.write(batch)
        await floor.lines(3 * work.window)

    return await floor.closing(repeat(work, one, 10, work.window))


async def bulk_write(work: Work) -> Result:
    """Write one large message, already stuffed, with DATA."""
    content = stuffed(bulk(work.size)) + b".\r\n"
    group = _group(work.size) + b"DATA\r\n"
    floor = await _connect(work)

    async def one(_: int) -> None:
        floor.transport.write(group)
        await floor.lines(3)
        await floor.stream(content)
        await floor.lines(1)

    return await floor.closing(repeat(work, one, 1))


async def connecting(work: Work) -> Result:
    """Connect, say EHLO, say QUIT and close without waiting for its reply."""

    async def one(_: int) -> None:
        floor = await _connect(work)
        floor.transport.write(b"QUIT\r\n")
        floor.transport.close()
        await floor.closed

    return await repeat(work, one, 20, 0)


def socket_loop(work: Work) -> Result:
    """Do two turns a message with a blocking socket."""
    content = letter(work.size) + b".\r\n"
    group = _group(work.size) + b"DATA\r\n"
    with socket.create_connection((work.host, work.to)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def lines(owed: int) -> None:
            while owed > 0:
                owed -= sock.recv(4096).count(b"\n")

        def one(_: int) -> None:
            sock.sendall(group)
            lines(3)
            sock.sendall(content)
            lines(1)

        lines(1)
        sock.sendall(_EHLO)
        lines(_EHLO_LINES)
        return repeat_blocking(work, one, _WARM_UP)

"""A slow link that counts turns: a proxy which delays each way by half a round trip.

A logical clock counts, so that a late scheduler changes nothing. The client's clock
starts at 1, the turn of TCP's connect. What it writes carries its clock to the server;
what the server says then carries the greatest clock that it has seen, and one more;
and that is the client's clock once it arrives. So a turn is a wait of the client for
something that the server could not have said before.
"""

from __future__ import annotations

import asyncio
from typing import Self

__all__ = ["Link", "Proxy"]


class Link:
    """Hold one connection through the slow link; `turns` is the client's clock."""

    def __init__(self, port: int, seconds: float) -> None:
        self.turns = 0
        self.port = 0
        self._delay = seconds / 2
        self._server_port = port
        self._server_clock = 0
        self._has_left = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.turns = self._server_clock = 1
        # Until the client's last step of TCP's handshake arrives, a server is silent.
        await asyncio.sleep(2 * self._delay)
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", self._server_port
        )
        there = asyncio.create_task(self._there(reader, far_writer))
        back = asyncio.create_task(self._back(far_reader, writer))
        self._tasks |= {there, back}

    async def _there(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while data := await _read(reader):
            loop.call_later(self._delay, self._arrive_there, self.turns, data, writer)
        self._has_left = True
        loop.call_later(self._delay, writer.close)

    def _arrive_there(
        self, clock: int, data: bytes, writer: asyncio.StreamWriter
    ) -> None:
        self._server_clock = max(self._server_clock, clock)
        writer.write(data)

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while data := await _read(reader):
            clock = self._server_clock + 1
            loop.call_later(self._delay, self._arrive_back, clock, data, writer)
        loop.call_later(self._delay, writer.close)

    def _arrive_back(
        self, clock: int, data: bytes, writer: asyncio.StreamWriter
    ) -> None:
        if not self._has_left:
            self.turns = max(self.turns, clock)
            writer.write(data)


class Proxy:
    """A slow link for any number of connections, which counts nothing.

    Args:
        port: The server's.
        seconds: A round trip.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self.port = 0
        self._delay = seconds / 2
        self._server_port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(2 * self._delay)
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", self._server_port
        )
        self._tasks |= {
            asyncio.create_task(self._carry(reader, far_writer)),
            asyncio.create_task(self._carry(far_reader, writer)),
        }

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while data := await _read(reader):
            loop.call_later(self._delay, writer.write, data)
        loop.call_later(self._delay, writer.close)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(262144)
    except OSError:
        return b""

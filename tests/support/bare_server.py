"""A server that a coroutine plays, with no script: it reads and writes as it likes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from conversation import reset

from smtplibaio import SMTP


class Streams:
    """A server's end: reads and writes, and what it has read."""

    def __init__(self, r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        self.reader = r
        self.writer = w
        self.content = bytearray()

    def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def answer(self, *replies: str) -> None:
        for reply in replies:
            await self.reader.readline()
            self.say(*reply.split("\n"))

    async def greet(self, *extensions: str) -> None:
        self.say("220 hi")
        lines = ["mx", *extensions]
        marks = [*["-"] * len(extensions), " "]
        await self.answer(
            "\n".join(f"250{m}{line}" for m, line in zip(marks, lines, strict=True))
        )

    async def begin(self, *, is_chunked: bool, is_grouped: bool = False) -> None:
        """Take all commands of a transaction before its content."""
        await self.greet(
            "8BITMIME",
            *["CHUNKING"] * is_chunked,
            *["PIPELINING"] * is_grouped,
        )
        await self.answer("250 ok", "250 ok", *["354 go"] * (not is_chunked))

    async def take(self, limit: float = float("inf")) -> None:
        """Read content, up to a limit, or until the client leaves."""
        with suppress(ConnectionError):
            while len(self.content) < limit and (data := await self.reader.read(65536)):
                self.content += data

    async def chunk(self) -> bytes:
        """Read a BDAT with its octets; give the command."""
        command = await self.reader.readline()
        match = re.fullmatch(rb"BDAT (\d+)( LAST)?\r\n", command)
        assert match is not None, command
        self.content += await self.reader.readexactly(int(match[1]))
        return command

    def strike(self, event: str) -> None:
        """End the connection, or say something."""
        if event == "FIN":
            self.writer.write_eof()
        elif event == "RST":
            reset(self.writer.transport)
        else:
            self.say(event)


@asynccontextmanager
async def streams(play: Any, **options: Any) -> AsyncIterator[SMTP]:
    """Connect a client to a server that a coroutine plays."""
    playing: list[asyncio.Task[None]] = []

    async def play_and_leave(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        try:
            await play(Streams(r, w))
        finally:
            w.close()

    listener = await asyncio.start_server(
        lambda r, w: playing.append(asyncio.create_task(play_and_leave(r, w))),
        "127.0.0.1",
        0,
    )
    host, port = listener.sockets[0].getsockname()
    try:
        async with SMTP(host, port, "client.example", **options) as smtp:
            yield smtp
        async with asyncio.timeout(5):
            await asyncio.gather(*playing)
    finally:
        listener.close()
        for task in playing:
            task.cancel()
        await asyncio.wait(playing)

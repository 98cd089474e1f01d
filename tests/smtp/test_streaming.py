"""What it costs to send a huge message: neither memory nor the loop's time."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from server_process import process_of

from smtplibaio import SMTP

BLOCK = b"x" * 62 + b"\r\n"
BLOCK *= 1024

MIB = 1024 * 1024

#: Octets that sending a huge message may take.
MEMORY = 8 * MIB

#: Blocks that may leave in one turn of the loop.
LIMIT = 4


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // len(BLOCK)):
        yield bytes(bytearray(BLOCK))


async def chunks_over_time(size: int) -> AsyncIterator[bytes]:
    for chunk in chunks(size):
        await asyncio.sleep(0)
        yield chunk


class File:
    """A file that is as large."""

    def __init__(self, size: int) -> None:
        self._chunks = chunks(size)

    def read(self, size: int, /) -> bytes:
        return next(self._chunks, b"")


SOURCES: dict[str, Any] = {"sync": chunks, "async": chunks_over_time, "file": File}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Start a server that reads slowly, in a process of its own; give its port."""
    with process_of("slow") as (number,):
        yield number


async def send(port: int, kind: str, size: int, *, chunking: bool = False) -> None:
    async with SMTP("127.0.0.1", port, "client.example", chunking=chunking) as smtp:
        source = SOURCES[kind](size)
        result = await smtp.sendmail("a@x.example", "b@y.example", source)
        assert result.reply == (250, f"{size} octets")


@pytest.mark.parametrize(
    ("kind", "chunking", "size"),
    [("sync", False, 64), ("async", True, 24), ("file", False, 24)],
)
async def test_a_huge_message_is_never_in_memory(
    kind: str, chunking: bool, size: int, port: int
) -> None:
    """E16: however slowly the server takes it."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await send(port, kind, size * MIB, chunking=chunking)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MEMORY


class Counted:
    """A source of which is counted how many blocks were read."""

    def __init__(self, size: int) -> None:
        self._chunks = chunks(size)
        self.count = 0

    def sync(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += 1
            yield chunk

    async def over_time(self) -> AsyncIterator[bytes]:
        for chunk in self.sync():
            yield chunk


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_huge_message_does_not_hold_the_loop_up(kind: str, port: int) -> None:
    """E16: other tasks get their turn between two blocks."""
    counted = Counted(24 * MIB)
    source = counted.sync() if kind == "sync" else counted.over_time()
    most = 0
    async with SMTP("127.0.0.1", port, "client.example") as smtp:
        task = asyncio.create_task(smtp.sendmail("a@x.example", "b@y.example", source))
        while not task.done():
            before = counted.count
            await asyncio.sleep(0)
            most = max(most, counted.count - before)
        await task
    assert most <= LIMIT

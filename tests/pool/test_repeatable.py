"""Content that may have to be read again."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from smtplibaio.pool.repeatable import Repeatable


class Again:
    """An iterable that can be iterated over as often as one likes."""

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one\r\n", b"two\r\n"])


@pytest.mark.parametrize(
    "message",
    [b"octets", "text", EmailMessage(), [b"a", b"list"], bytearray(b"more"), Again()],
    ids=lambda message: type(message).__name__,
)
def test_what_is_whole_or_iterable_can_be_sent_again(message: Any) -> None:
    content = Repeatable(message)
    assert content.message is message
    assert content.can_be_read_twice()
    assert content.rewind()


def test_a_file_is_put_back_to_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "message"
    path.write_bytes(b"not of the message; content")
    with path.open("rb") as file:
        file.read(20)
        content = Repeatable(file)
        assert content.message is file
        for _ in range(3):
            assert content.message.read() == b"content"
            assert content.rewind()
    assert Repeatable(BytesIO()).can_be_read_twice()


def test_a_pipe_can_be_sent_again_only_while_nothing_was_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"content")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        content = Repeatable(file)
        assert not content.can_be_read_twice()
        assert content.rewind()
        assert content.message.fileno() == reading
        assert content.message.read(3) == b"con"
        assert not content.rewind()


def test_a_generator_can_be_sent_again_only_while_nothing_was_read() -> None:
    content = Repeatable(chunk for chunk in [b"one", b"two"])
    assert not content.can_be_read_twice()
    assert content.rewind()
    assert [*content.message] == [b"one", b"two"]
    assert not content.rewind()


async def test_so_can_an_asynchronous_one() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    content = Repeatable(chunks())
    assert content.rewind()
    assert [chunk async for chunk in content.message] == [b"one", b"two"]
    assert not content.rewind()


async def test_a_file_that_is_read_asynchronously_is_not_put_back() -> None:
    class File:
        def seekable(self) -> bool:
            return True

        async def read(self, size: int = -1) -> bytes:
            return b"content"

    content = Repeatable(File())
    assert not content.can_be_read_twice()
    assert await content.message.read(7) == b"content"
    assert not content.rewind()

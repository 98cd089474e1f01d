"""Reading content from a file or an iterable, while it is being sent.

Rules:

1. An asynchronous source is read in the task of the caller, one chunk after another,
   so that all chunks are read in the same context (`contextvars`).
2. A file is read in a thread, because a disk or a pipe must not block the loop.
3. Chunks are put together to blocks. If chunks come slowly, a block may be smaller.
4. A source that gives nothing for too long is given up, before the server hangs up.
5. An exception of the source is raised unchanged. A generator is closed at the end.
6. A read in a thread cannot be broken off: it would take octets that the next reader of
   the file should have. So a cancellation ends the connection at once, and then waits
   for the read. A second cancellation does not wait.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,
)
from contextlib import aclosing
from typing import Any, TypeVar

from ..content.canonical import BLOCK, Canonicaliser
from ..content.forms import Readable, Stream, is_readable, octets_of
from ..exceptions import SMTPException, SMTPTimeoutError

__all__ = ["SourceStoppedError", "blocks_of"]

T = TypeVar("T")

#: Seconds after which a block is sent although it is not full.
PATIENCE = 1.0

_END: Any = object()


class SourceStoppedError(Exception):
    """Reading was broken off, because the rest of the content is not wanted."""


async def blocks_of(
    stream: Stream,
    *,
    no_8bit: SMTPException | None,
    stop: asyncio.Future[Any],
    timeout: float | None,
    on_break: Callable[[], object],
) -> AsyncGenerator[bytes, None]:
    """Read a stream, and give its octets as they are sent, in blocks; none is empty.

    Args:
        stream: What to read.
        no_8bit: The error for an octet above 127; None if such octets can be sent.
        stop: Reading is broken off when this future is done.
        timeout: Seconds that the source may take for a chunk.
        on_break: Called when reading is broken off, before a read that is under way in
            a thread is waited for.

    Raises:
        SMTPArgumentError: The content cannot be sent.
        SMTPException: The stream has an octet above 127, and `no_8bit` is given.
        SMTPTimeoutError: The source took too long.
        SourceStoppedError: `stop` is done.
    """
    loop = asyncio.get_running_loop()
    canonicaliser = Canonicaliser(no_8bit=no_8bit)
    held = bytearray()
    since = loop.time()
    async with aclosing(_chunks(stream.source, stop, timeout, on_break)) as chunks:
        async for chunk in chunks:
            held += chunk
            is_due = loop.time() - since >= PATIENCE
            while len(held) >= BLOCK or (held and is_due):
                block = bytes(held[:BLOCK])
                del held[:BLOCK]
                if not stream.is_binary:
                    block = canonicaliser.feed(block)
                if block:
                    yield block
                since = loop.time()
    block = bytes(held)
    if not stream.is_binary:
        # If the last line has no line end, it gets one.
        block = canonicaliser.feed(block) + canonicaliser.finish()
    if block:
        yield block


async def _chunks(
    source: Any,
    stop: asyncio.Future[Any],
    timeout: float | None,
    on_break: Callable[[], object],
) -> AsyncGenerator[bytes, None]:
    if isinstance(source, AsyncIterable):
        chunks = aiter(source)
        try:
            pull = _Pull(stop, timeout)
            while (chunk := await pull.of(anext(chunks, _END))) is not _END:
                if octets := octets_of(chunk):
                    yield octets
                    pull.gave()
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
    elif is_readable(source):
        pull = _Pull(stop, timeout)
        while chunk := octets_of(await pull.of(_read(source, on_break))):
            yield chunk
            pull.gave()
    else:
        chunks = iter(source)
        try:
            for chunk in chunks:
                yield octets_of(chunk)
        finally:
            if isinstance(chunks, Generator):
                chunks.close()


async def _read(file: Readable, on_break: Callable[[], object]) -> Any:
    if isinstance(file, io.BytesIO):
        return file.read(BLOCK)
    # Of a pipe, read what it has, and do not wait for a whole block.
    read = getattr(file, "read1", file.read)
    reading = asyncio.get_running_loop().run_in_executor(None, read, BLOCK)
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        on_break()
        await asyncio.wait((reading,))
        raise


class _Pull:
    """Wait for a source, until the time is up or the content is not wanted."""

    def __init__(self, stop: asyncio.Future[Any], timeout: float | None) -> None:
        self._stop = stop
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self.gave()

    def gave(self) -> None:
        """Note that octets have come: the time for the next octets begins now."""
        self._when = None
        if self._timeout is not None:
            self._when = self._loop.time() + self._timeout

    async def of(self, awaitable: Awaitable[T]) -> T:
        """Return what the source gives.

        Raises:
            SourceStoppedError: `stop` was done first.
            SMTPTimeoutError: It took too long.
        """
        is_waiting = True
        task = asyncio.current_task()
        cancellations = task.cancelling() if task else 0

        def interrupt(_: object) -> None:
            # A cancelled task has ended the connection, and waits for the read in the
            # thread: the end of the connection must not interrupt this wait. A limit
            # that has passed is a cancellation, too, and cannot be moved any more.
            is_cancelled = task is not None and task.cancelling() > cancellations
            if is_waiting and not is_cancelled:
                limit.reschedule(self._loop.time())

        try:
            async with asyncio.timeout_at(self._when) as limit:
                self._stop.add_done_callback(interrupt)
                try:
                    return await awaitable
                finally:
                    is_waiting = False
                    self._stop.remove_done_callback(interrupt)
        except TimeoutError:
            if not limit.expired():
                raise  # a TimeoutError of the source
            if self._stop.done():
                raise SourceStoppedError from None
            raise SMTPTimeoutError(
                f"the source of the content gave nothing for {self._timeout} s"
            ) from None

"""Reading content from where it comes: in which form, by whom, and for how long."""

from __future__ import annotations

import asyncio
import codecs
import contextvars
import io
import os
import tempfile
import threading
import time
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smtplibaio import (
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPTimeoutError,
)
from smtplibaio.client import sources
from smtplibaio.client.sources import SourceStoppedError, blocks_of
from smtplibaio.content.canonical import BLOCK
from smtplibaio.content.forms import Content, Stream, content_of

#: What an octet beyond ASCII raises without 8BITMIME.
NO_8BIT = SMTPCommandNotSupportedError(
    "8BITMIME", "the content has octets beyond ASCII"
)

HEADER = b"Subject: x\r\n\r\n"
LINE = b"x" * 62 + b"\r\n"

#: What an octet beyond ASCII raises without 8BITMIME.
NO_8BIT = SMTPCommandNotSupportedError("8BITMIME", "the content is 8-bit")


class Source:
    """A generator of chunks that notes whether it was closed, and by what."""

    def __init__(self, *steps: Any) -> None:
        self._steps = steps
        self.is_closed = False
        self.seen: BaseException | None = None

    def _step(self, step: Any) -> Any:
        if isinstance(step, BaseException):
            raise step
        return step() if callable(step) else step

    def sync(self) -> Iterator[Any]:
        """Give the chunks; raise what is an exception; call what can be called."""
        try:
            for step in self._steps:
                yield self._step(step)
        except BaseException as exc:
            self.seen = exc
            raise
        finally:
            self.is_closed = True

    async def over_time(self) -> AsyncIterator[Any]:
        """Do the same, and await what can be awaited."""
        try:
            for step in self._steps:
                chunk = self._step(step)
                yield await chunk if asyncio.iscoroutine(chunk) else chunk
        except BaseException as exc:
            self.seen = exc
            raise
        finally:
            self.is_closed = True

    def file(self) -> File:
        """Do the same as a file."""
        return File(self.sync())


class File:
    """A file of which `read` gives the chunks, whatever their size."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks
        self.threads: set[threading.Thread] = set()
        self.sizes: set[int] = set()

    def read(self, size: int, /) -> Any:
        self.threads.add(threading.current_thread())
        self.sizes.add(size)
        return next(self._chunks, b"")


class Cursor:
    """An iterator that is no generator."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Any:
        return next(self._chunks)


class AsyncCursor:
    """The same over time."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks

    def __aiter__(self) -> AsyncCursor:
        return self

    async def __anext__(self) -> Any:
        await asyncio.sleep(0)
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None


#: Each makes a source of chunks.
KINDS: dict[str, Callable[..., Any]] = {
    "generator": lambda *chunks: Source(*chunks).sync(),
    "async-generator": lambda *chunks: Source(*chunks).over_time(),
    "iterator": lambda *chunks: Cursor(iter(chunks)),
    "async-iterator": lambda *chunks: AsyncCursor(iter(chunks)),
    "file": lambda *chunks: Source(*chunks).file(),
    "in-memory-file": lambda *chunks: io.BytesIO(b"".join(map(bytes, chunks))),
}
kinds = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)

#: Those that are told when nobody wants more.
GENERATORS: dict[str, Callable[[Source], Any]] = {
    "sync": Source.sync,
    "async": Source.over_time,
    "file": Source.file,
}
generators = pytest.mark.parametrize("kind", GENERATORS.values(), ids=GENERATORS)


def blocks(source: Any, **options: Any) -> Any:
    """Read a source that nobody breaks off."""
    stream = Stream(source, is_binary=options.pop("is_binary", False))
    defaults = {
        "no_8bit": None,
        "stop": asyncio.get_running_loop().create_future(),
        "timeout": 5,
        "on_break": lambda: None,
    }
    return blocks_of(stream, **{**defaults, **options})


async def read(source: Any, **options: Any) -> list[bytes]:
    async with asyncio.timeout(5):
        return [block async for block in blocks(source, **options)]


# What comes out


@kinds
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param((), id="nothing"),
        pytest.param((HEADER, b"a line"), id="no end"),
        pytest.param((HEADER + b"a\r", b"\nb\n.", b"\nc\r", b"d\r"), id="cut"),
        pytest.param((HEADER, LINE * 5000), id="large chunk"),
        pytest.param((HEADER, *[LINE] * 1200), id="many chunks"),
    ],
)
async def test_a_source_gives_what_the_same_content_gives_whole(
    make: Any, chunks: Sequence[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "PATIENCE", 60.0)  # the machine may be slow
    whole = b"".join(chunks)
    read_blocks = await read(make(*chunks))
    assert b"".join(read_blocks) == b"".join(Content.of(whole).blocks())
    assert len(read_blocks) <= len(whole) // BLOCK + 2
    assert all(read_blocks)


@kinds
async def test_binary_content_is_not_touched(make: Any) -> None:
    """A bare LF, a bare CR, a NUL and an endless line are octets like others."""
    chunks = (b"\0\n\r\xff", b"x" * 5000)
    out = await read(make(*chunks), is_binary=True, no_8bit=NO_8BIT)
    assert b"".join(out) == b"".join(chunks)


async def test_blocks_are_full_however_small_or_large_the_chunks_are() -> None:
    for chunks in ([LINE] * 3000, [LINE * 3000], [LINE * 1000, LINE * 2000]):
        sizes = [len(block) for block in await read(iter(chunks))]
        assert max(sizes) == BLOCK
        assert sum(sizes) == 3000 * len(LINE)
        assert len(sizes) <= 3000 * len(LINE) // BLOCK + 2


async def test_a_slow_source_is_sent_in_blocks_that_are_not_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An octet does not wait for a block to be full for longer than a second."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    def wait(seconds: float) -> bytes:
        nonlocal now
        now += seconds
        return LINE

    source = Source(LINE, lambda: wait(0.9), lambda: wait(0.2), LINE, lambda: wait(2))
    sizes = [len(block) // len(LINE) for block in await read(source.over_time())]
    assert sizes == [3, 2]


async def test_no_block_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CR waits for what follows it, and binary content for nothing."""
    monkeypatch.setattr(sources, "PATIENCE", 0)
    chunks = [HEADER, b"a", b"\r", b"", b"\r", b"\n", b"b"]
    lines = [HEADER, b"a", b"\r\n", b"\r\n", b"b", b"\r\n"]
    assert await read(Source(*chunks).over_time()) == lines
    chunks = [chunk for chunk in chunks if chunk]
    assert await read(Source(*chunks).over_time(), is_binary=True) == chunks


@pytest.mark.parametrize(
    ("chunk", "octets"),
    [
        pytest.param(b"hi\r\n", b"hi\r\n", id="E06-bytes"),
        pytest.param(bytearray(b"hi\r\n"), b"hi\r\n", id="E06-bytearray"),
        pytest.param(memoryview(b"hi\r\n"), b"hi\r\n", id="E06-memoryview"),
        pytest.param(memoryview(b"h-i-")[::2], b"hi\r\n", id="E06-memoryview-steps"),
        pytest.param(memoryview(array("H", [0x6868])), b"hh\r\n", id="E06-words"),
        pytest.param(b"", b"", id="E06-empty"),
        pytest.param("hi\r\n", None, id="E06-str"),
        pytest.param(None, None, id="E06-None"),
        pytest.param(104, None, id="E06-int"),
        pytest.param([b"hi"], None, id="E06-list"),
    ],
)
@generators
async def test_a_chunk_is_octets(
    kind: Callable[[Source], Any], chunk: Any, octets: bytes | None
) -> None:
    """E06: in any form that octets have; nothing is guessed of what else there is."""
    source = Source(chunk)
    if octets is not None:
        assert b"".join(await read(kind(source))) == octets
        return
    with pytest.raises(SMTPArgumentError, match=f"bytes, not {type(chunk).__name__}"):
        await read(kind(source))
    assert source.is_closed or kind is Source.file


@pytest.fixture
def text_file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Open a file in text mode, in one of the ways that there are."""
    path = tmp_path / "mail"
    path.write_text("hi")
    ways: dict[str, Callable[[], Any]] = {
        "open": path.open,
        "StringIO": partial(io.StringIO, "hi"),
        "codecs": lambda: codecs.open(str(path), "r", "utf-8"),  # noqa: SIM115
        "temporary": partial(tempfile.NamedTemporaryFile, "w+"),
    }
    with ways[request.param]() as file:
        yield file


@pytest.mark.parametrize(
    "text_file", ["open", "StringIO", "codecs", "temporary"], indirect=True
)
def test_a_file_in_text_mode_is_known_before_the_first_word(text_file: Any) -> None:
    """E06: it is refused with the call, and not after the 354."""
    with pytest.raises(SMTPArgumentError, match="binary mode"):
        content_of(text_file)


@pytest.mark.parametrize(
    "thing", [["hi"], {"a": b"hi"}, 7, None, Path("mail"), Source(b"hi").sync]
)
def test_what_is_no_source_is_known_before_the_first_word(thing: Any) -> None:
    """E06: as far as one can tell without reading it."""
    with pytest.raises(SMTPArgumentError, match=f"not .*{type(thing).__name__}|str"):
        content_of(thing)


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_source_may_use_one_buffer_over_and_over(kind: str) -> None:
    """E06: what was given stays as it was."""
    buffer = bytearray(4)

    def fill(line: bytes) -> Callable[[], bytearray]:
        def step() -> bytearray:
            buffer[:] = line
            return buffer

        return step

    source = Source(fill(b"11\r\n"), fill(b"22\r\n"), fill(b"33\r\n"))
    out = await read(GENERATORS[kind](source))
    assert b"".join(out) == b"11\r\n22\r\n33\r\n"


@generators
async def test_what_cannot_be_sent_is_found_as_it_comes(kind: Any) -> None:
    source = Source(HEADER, b"caf\xc3\xa9\r\n", b"more\r\n")
    with pytest.raises(SMTPCommandNotSupportedError, match="8BITMIME"):
        await read(kind(source), no_8bit=NO_8BIT)
    with pytest.raises(SMTPArgumentError, match="NUL") as info:
        await read(kind(Source(HEADER, b"a\0b\r\n")))
    assert info.value.offset == len(HEADER) + 1


# What the source raises


@generators
@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(ValueError("its own"), id="E05-ValueError"),
        pytest.param(OSError("its own"), id="E05-OSError"),
        pytest.param(TimeoutError("its own"), id="E05-TimeoutError"),
        pytest.param(SMTPCommandFailedError(550, "its own"), id="E05-SMTP"),
        pytest.param(asyncio.CancelledError("its own"), id="E05-CancelledError"),
    ],
)
async def test_what_a_source_raises_comes_out_as_it_is(
    kind: Any, at: int, error: BaseException
) -> None:
    """E05: the very object, and what was read before came out."""
    if kind is Source.file and type(error) in (TimeoutError, asyncio.CancelledError):
        error = SMTPTimeoutError("its own")  # a thread makes another of those
    source = Source(*[LINE * 1024] * at, error)
    came: list[bytes] = []

    async def collect() -> None:
        async for block in blocks(kind(source)):
            came.append(block)  # noqa: PERF401

    with pytest.raises(type(error)) as info:
        await collect()
    assert info.value is error
    assert source.is_closed
    assert b"".join(came) == LINE * 1024 * at


async def test_a_deadline_of_the_sources_own_works_within_it() -> None:
    """It is run in one task, so `asyncio.timeout` around a wait means what it says."""

    async def source() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            yield b"in time"
        with suppress(asyncio.CancelledError):
            task = asyncio.create_task(asyncio.Event().wait())
            task.cancel()
            await task
        async with asyncio.timeout(5):
            yield b", and "
            yield b"across chunks\r\n"

    assert await read(source()) == [b"in time, and across chunks\r\n"]


# Who reads it


async def test_an_asynchronous_source_is_read_in_the_task_of_the_caller() -> None:
    """What it has of a context holds for all of its chunks, and its end."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    tasks = set()
    values = []

    async def source() -> AsyncIterator[bytes]:
        try:
            for number in range(3):
                tasks.add(asyncio.current_task())
                values.append(variable.get())
                variable.set(f"set for {number}")
                await asyncio.sleep(0)
                yield LINE
        finally:
            tasks.add(asyncio.current_task())
            values.append(variable.get())

    variable.set("the caller's")
    await read(source())
    assert tasks == {asyncio.current_task()}
    assert values == ["the caller's", "set for 0", "set for 1", "set for 2"]


async def test_a_file_is_read_in_a_thread() -> None:
    """And one in memory is not worth the trouble."""
    file = File(iter([LINE, LINE]))
    assert b"".join(await read(file)) == LINE * 2
    assert threading.main_thread() not in file.threads
    assert file.sizes == {BLOCK}


@pytest.fixture
def pipe() -> Iterator[tuple[io.FileIO, io.FileIO]]:
    """Give the two ends of a pipe."""
    descriptors = os.pipe()
    with (
        os.fdopen(descriptors[0], "rb", buffering=0) as reading,
        os.fdopen(descriptors[1], "wb", buffering=0) as writing,
    ):
        yield reading, writing
        writing.close()  # whoever still reads from it comes to its end


async def test_a_pipe_that_gives_nothing_does_not_hold_the_loop_up(pipe: Any) -> None:
    """E06: the loop goes on, and what is then written is read."""
    reading, writing = pipe
    task = asyncio.create_task(read(reading))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()
    writing.write(b"at ")
    writing.write(b"last")
    writing.close()
    assert b"".join(await task) == b"at last\r\n"


async def test_what_a_pipe_has_does_not_wait_for_a_full_block() -> None:
    """E06: a file with a buffer of its own waits for all that it is asked for."""

    async def write(descriptor: int) -> None:
        with os.fdopen(descriptor, "wb", buffering=0) as writing:
            for _ in range(10):
                writing.write(LINE)
                await asyncio.sleep(0.02)

    descriptors = os.pipe()
    writing = asyncio.create_task(write(descriptors[1]))
    with os.fdopen(descriptors[0], "rb") as reading:
        try:
            assert b"".join(await read(reading, timeout=0.1)) == LINE * 10
        finally:
            await writing


# For how long


async def never() -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("at", [0, 1])
async def test_a_source_that_gives_nothing_for_too_long_is_given_up(at: int) -> None:
    """E06: and closed, where it is a generator."""
    source = Source(*[LINE] * at, never)
    with pytest.raises(SMTPTimeoutError, match=r"gave nothing for 0\.02 s"):
        await read(source.over_time(), timeout=0.02)
    assert source.is_closed
    assert isinstance(source.seen, asyncio.CancelledError)


async def test_a_file_that_gives_nothing_for_too_long_is_given_up(pipe: Any) -> None:
    """E06, H08: the read that is under way in a thread is waited for all the same."""
    with pytest.raises(SMTPTimeoutError, match=r"gave nothing for 0\.02 s"):
        await read(pipe[0], timeout=0.02, on_break=pipe[1].close)


async def test_each_chunk_has_the_whole_time() -> None:
    """The limit is for a chunk and not for the content."""

    async def slow() -> bytes:
        await asyncio.sleep(0.03)
        return LINE

    source = Source(slow, slow, slow, slow)
    assert b"".join(await read(source.over_time(), timeout=0.09)) == LINE * 4


async def test_empty_chunks_are_nothing() -> None:
    """E06: the server waits for octets, so a source that has none is given up."""

    async def source() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.005)
            yield b""

    async with aclosing(source()) as chunks:
        with pytest.raises(SMTPTimeoutError, match="gave nothing"):
            async with asyncio.timeout(1):
                await read(chunks, timeout=0.05)


async def test_a_source_may_take_for_ever_where_there_is_no_limit() -> None:
    source = Source(LINE, lambda: asyncio.sleep(0.01, LINE))
    assert b"".join(await read(source.over_time(), timeout=None)) == LINE * 2


# Breaking it off


async def step() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("at", [0, 1])
async def test_reading_stops_when_nobody_wants_the_rest(at: int) -> None:
    """E13: at once, though the source gives nothing; a generator is closed."""
    source = Source(*[LINE] * at, never)
    stop = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(read(source.over_time(), stop=stop))
    await step()
    assert not task.done()
    stop.set_result(None)
    await step()
    assert source.is_closed
    with pytest.raises(SourceStoppedError):
        await task


async def test_reading_a_file_stops_when_nobody_wants_the_rest(pipe: Any) -> None:
    """E13, H08: the connection ends first; then the read under way is waited for."""
    stop = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(read(pipe[0], stop=stop, on_break=pipe[1].close))
    await step()
    assert not task.done()
    stop.set_result(None)
    with pytest.raises(SourceStoppedError):
        await task


async def test_what_nobody_wants_is_not_waited_for() -> None:
    """E13: nor does a wait begin, and what is there without one comes out."""
    source = Source(LINE, never)
    stop = asyncio.get_running_loop().create_future()
    stop.set_result(None)
    with pytest.raises(SourceStoppedError):
        await read(source.over_time(), stop=stop)
    assert source.is_closed


@pytest.mark.parametrize("is_stop_first", [True, False])
async def test_a_stop_in_the_tick_in_which_the_time_is_up_is_no_trouble(
    *, is_stop_first: bool
) -> None:
    """Asyncio complains of a limit that is moved as it expires."""
    loop = asyncio.get_running_loop()
    complaints: list[Any] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    stop = loop.create_future()
    start = loop.time()
    reading = asyncio.create_task(
        read(Source(never).over_time(), stop=stop, timeout=0.05)
    )
    await step()
    loop.call_at(start + (0.04 if is_stop_first else 0.06), stop.set_result, None)
    loop.call_at(start + 0.03, time.sleep, 0.1)  # so that both are due in one tick
    with pytest.raises((SMTPTimeoutError, SourceStoppedError)):
        await reading
    assert complaints == []


async def test_a_chunk_that_comes_with_the_stop_is_not_lost() -> None:
    """The reader is not struck later, when it waits for something else."""
    loop = asyncio.get_running_loop()
    stop = loop.create_future()
    chunk = loop.create_future()

    async def source() -> AsyncIterator[bytes]:
        yield await chunk

    async def read_and_wait() -> list[bytes]:
        out = await read(source(), stop=stop)
        await step()
        return out

    task = asyncio.create_task(read_and_wait())
    await step()
    chunk.set_result(LINE)
    stop.set_result(None)
    assert b"".join(await task) == LINE


@pytest.mark.parametrize("has_stopped", [False, True])
async def test_a_cancellation_passes_unchanged(has_stopped: bool) -> None:
    """E05: also in the tick in which nobody wants the rest."""
    source = Source(LINE, never)
    stop = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(read(source.over_time(), stop=stop))
    await step()
    if has_stopped:
        stop.set_result(None)
    task.cancel("the caller's")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_closed


# Closing it


class HandsOut:
    """An iterable that hands out a generator, and keeps it."""

    def __init__(self, source: Source) -> None:
        self._chunks = source.sync()
        self._chunks_over_time = source.over_time()

    def __iter__(self) -> Iterator[Any]:
        return self._chunks


class HandsOutOverTime(HandsOut):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self._chunks_over_time


@pytest.mark.parametrize(
    "kind", [Source.sync, Source.over_time, HandsOut, HandsOutOverTime]
)
async def test_a_generator_is_closed_with_the_mail(kind: Any) -> None:
    """Whoever holds a lock or a file in it need not wait for the garbage collector."""
    source = Source(LINE * 2000, LINE)
    chunks = kind(source)
    async with aclosing(blocks(chunks)) as reading:
        await anext(reading)
        assert not source.is_closed
    assert source.is_closed
    assert isinstance(source.seen, GeneratorExit)


@pytest.mark.parametrize("make", [Cursor, AsyncCursor])
async def test_what_is_no_generator_can_be_read_on(make: Any) -> None:
    chunks = iter([LINE * 2000, b"the rest"])
    async with aclosing(blocks(make(chunks))) as reading:
        await anext(reading)
    assert next(chunks) == b"the rest"

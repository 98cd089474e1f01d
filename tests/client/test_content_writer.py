"""Content on its way: what stops it, what is known afterwards, and what it costs."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import product
from typing import Any

import pytest
from bare_server import Streams, streams
from conversation import client, until

from smtplibaio import (
    SMTP,
    Mail,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    Timeouts,
)
from smtplibaio.client import sources
from smtplibaio.client.content_writer import MAX_CHUNKS
from smtplibaio.content.canonical import BLOCK
from smtplibaio.content.forms import Content, Stream
from smtplibaio.mail.terms import Body, Plan
from smtplibaio.mail.transaction import Transaction
from smtplibaio.wire.replyqueue import Waiter

HELLO = "S: 220 hi\nC: EHLO client.example\nS: 250 mx\n"
LINE = b"x" * 62 + b"\r\n"
FULL_BLOCK = LINE * (BLOCK // len(LINE))

#: More than the buffers of two sockets and two transports hold.
LARGE = FULL_BLOCK * 320

ADDRESSES = ("a@x.example", "b@y.example")


def is_unknown(error: BaseException | None) -> bool:
    """Tell whether a caller learns that the mail may have been accepted."""
    if isinstance(error, asyncio.CancelledError):
        return any("may have been" in n for n in getattr(error, "__notes__", ()))
    assert isinstance(error, SMTPException)
    assert error.safe_to_retry is not isinstance(error, SMTPDeliveryUnknownError)
    return not error.safe_to_retry


# Sources


class Source:
    """Chunks, and what was done with them; a callable among them is called."""

    def __init__(self, *steps: Any) -> None:
        self._steps = iter(steps)
        self.given = 0
        self.is_closed = False
        self.is_waiting = asyncio.Event()

    def _next(self) -> Iterator[Any]:
        for step in self._steps:
            if isinstance(step, BaseException):
                raise step
            yield step
            self.given += 1

    def sync(self) -> Iterator[Any]:
        try:
            yield from self._next()
        finally:
            self.is_closed = True

    async def over_time(self) -> AsyncIterator[Any]:
        try:
            for step in self._next():
                if callable(step):
                    self.is_waiting.set()
                    await step()
                else:
                    yield step
        finally:
            self.is_closed = True

    def file(self) -> File:
        return File(self.sync())


class File:
    """A file of which `read` gives the chunks, whatever their size."""

    def __init__(self, chunks: Iterator[Any]) -> None:
        self._chunks = chunks

    def read(self, size: int, /) -> Any:
        return next(self._chunks, b"")


async def for_ever() -> None:
    await asyncio.Event().wait()


kinds = pytest.mark.parametrize(
    "kind",
    [Source.sync, Source.over_time, Source.file],
    ids=["sync", "async", "file"],
)
chunkings = pytest.mark.parametrize("is_chunked", [False, True], ids=["DATA", "BDAT"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each chunk of a source be a block."""
    monkeypatch.setattr(sources, "PATIENCE", 0)


# How it looks


def begun(*extensions: str) -> str:
    """Give the script of a transaction up to its content."""
    mail, rcpt = "C: MAIL FROM:<a@x.example>\n", "C: RCPT TO:<b@y.example>\n"
    if "PIPELINING" not in extensions:
        mail += "S: 250 ok\n"
    else:
        rcpt += "S: 250 ok\n"
    announced = "".join(f"S: 250-{name}\n" for name in extensions)
    hello = f"S: 220 hi\nC: EHLO client.example\nS: 250-mx\n{announced}S: 250 HELP\n"
    return f"{hello}{mail}{rcpt}S: 250 ok\n"


async def test_a_stream_is_sent_as_its_content_would_be_whole() -> None:
    """Dots are doubled and lines are ended wherever the chunks are cut."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: a\nC: ..\nC: ..b\nC: .\nS: 250 taken"
    async with client(script) as smtp:
        await smtp.ehlo()
        source = Source(b"a", b"\n", b".", b"\r", b"\n", b"", b".b")
        assert await smtp.data(source.over_time()) == (250, "taken")
        assert source.is_closed


@pytest.mark.usefixtures("impatient")
async def test_each_block_is_stuffed_from_where_the_last_one_ended() -> None:
    script = f"{HELLO}C: DATA\nS: 354 go\nC: a.\nC: ..\nC: .\nS: 250 taken"
    async with client(script) as smtp:
        await smtp.ehlo()
        await smtp.data(Source(b"a", b".", b"\r\n", b".", b"\r\n").sync())


@pytest.mark.parametrize("make", [str, bytes, list, lambda: iter(()), io.BytesIO])
@chunkings
async def test_content_may_be_empty(is_chunked: bool, make: Any) -> None:
    """E06: a source may give nothing at all."""
    end = "C: BDAT 0 LAST" if is_chunked else "C: DATA\nS: 354 go\nC: ."
    script = f"{begun('CHUNKING')}{end}\nS: 250 taken"
    async with client(script, chunking=is_chunked) as smtp:
        result = await smtp.sendmail(*ADDRESSES, make())
        assert result.reply == (250, "taken")


@pytest.mark.usefixtures("impatient")
async def test_without_pipelining_each_chunk_waits_for_its_reply() -> None:
    script = f"""{begun("CHUNKING")}\
C: BDAT 3
C: a
S: 250 3 octets
C: BDAT 3 LAST
C: b
S: 250 taken"""
    async with client(script, chunking=True) as smtp:
        chunks = Source(b"a\r\n", b"b\r\n").over_time()
        assert (await smtp.sendmail(*ADDRESSES, chunks)).reply.message == "taken"


@pytest.mark.usefixtures("impatient")
async def test_chunks_do_not_wait_for_each_other_but_some_do() -> None:
    """No more are on their way than the server has been seen to answer, and a few."""
    chunk, reply = "C: BDAT 3\nC: a\n", "S: 250 3 octets\n"
    script = "".join(
        (
            begun("CHUNKING", "PIPELINING"),
            chunk * MAX_CHUNKS + reply,
            chunk + reply * 2,
            chunk * 2 + reply,
            "C: BDAT 3 LAST\nC: a\n" + reply * (MAX_CHUNKS - 1),
            "S: 250 taken",
        )
    )
    async with client(script, chunking=True) as smtp:
        chunks = Source(*[b"a\r\n"] * (MAX_CHUNKS + 4)).over_time()
        assert (await smtp.sendmail(*ADDRESSES, chunks)).reply.message == "taken"


@pytest.mark.parametrize("is_whole", [True, False], ids=["one block", "stream"])
async def test_what_is_said_behind_a_content_leaves_with_its_dot(
    *, is_whole: bool
) -> None:
    """RFC 2920 3.1: and its replies come after the final one."""
    script = "S: 220 hi\nC: DATA\nS: 354 go\nC: hi\nC: .\nC: NOOP\nS: 250 a\nS: 250 b"
    async with client(script) as smtp:
        session = smtp._connection.session
        protocol = session.protocol
        asked = Waiter(asyncio.get_running_loop().create_future(), 5, "NOOP")
        content = (
            Content(b"hi\r\n") if is_whole else Stream(Source(b"hi", b"\n").sync())
        )
        transaction = Transaction(Plan(Body(content)), session.timeouts)
        await session.transfer.result_of(
            transaction, lambda: protocol.say(b"NOOP\r\n", asked)
        )
        assert transaction.replies[-1] == (250, "a")
        assert await asked.future == (250, "b")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("replies", "error", "is_in_order"),
    [
        (["552 no", "503 what"], SMTPCommandFailedError, True),
        (["552 no", "552 no"], SMTPCommandFailedError, True),
        (["250 ok", "552 no"], SMTPCommandFailedError, True),
        (["500 what", "500 what"], SMTPCommandFailedError, False),
        (["503 what", "503 what"], SMTPCommandFailedError, False),
        (["504 what", "552 no"], SMTPCommandFailedError, False),
        (["505 what", "552 no"], SMTPCommandFailedError, True),
        (["354 go", "552 no"], SMTPCommandFailedError, True),
        (["354 go", "250 ok"], SMTPDeliveryUnknownError, False),
        (["552 no", "250 ok"], SMTPDeliveryUnknownError, False),
        (["552 no", "354 go"], SMTPDeliveryUnknownError, False),
        (["250 ok", "221 bye"], SMTPDeliveryUnknownError, False),
        (["250 ok", "421 bye"], SMTPConnectionLostError, False),
        (["552 no", "421 bye"], SMTPCommandFailedError, False),
    ],
)
async def test_the_replies_to_all_chunks_say_what_became_of_the_content(
    replies: list[str], error: type[SMTPException], is_in_order: bool
) -> None:
    """F13: a chunk that was refused is missing, so nothing can be taken.

    A server that knows no BDAT takes the octets for commands: the connection ends.
    """
    script = begun("CHUNKING", "PIPELINING") + "C: BDAT 3\nC: a\nC: BDAT 3 LAST\nC: b\n"
    script += "".join(f"S: {reply}\n" for reply in replies)
    script += "C: RSET\nS: 250 ok\nC: NOOP\nS: 250 ok" * is_in_order
    async with client(script, chunking=True) as smtp:
        with pytest.raises(error) as info:
            await smtp.sendmail(*ADDRESSES, Source(b"a\r\n", b"b\r\n").sync())
        assert is_unknown(info.value) is (error is SMTPDeliveryUnknownError)
        if isinstance(info.value, SMTPCommandFailedError):
            refusal = next(reply for reply in replies if reply[0] in "45")
            assert info.value.reply == (int(refusal[:3]), refusal[4:])
            assert info.value.command == "BDAT"
        if is_in_order:
            await smtp.noop()
        else:
            assert not smtp.is_connected


# What the source does wrong

ERRORS = [
    ValueError("its own"),
    SMTPCommandFailedError(550, "its own"),
    SMTPProtocolError("its own"),
    asyncio.CancelledError("its own"),
]


async def send(smtp: SMTP, source: Any, how: str) -> Any:
    """Send a mail in one of the ways that there are."""
    if how in ("data", "pipeline"):
        await smtp.ehlo()
        await smtp.mail(ADDRESSES[0])
        await smtp.rcpt(ADDRESSES[1])
    if how == "data":
        return await smtp.data(source)
    if how == "pipeline":
        async with smtp.pipeline() as pipeline:
            pipeline.data()
            content = pipeline.content(source)
            return await content
    return await smtp.sendmail(*ADDRESSES, source)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("at", [0, 1, 4])
@pytest.mark.parametrize("how", ["data", "pipeline", "sendmail", "BDAT", "BDATs"])
@kinds
async def test_a_source_that_raises_ends_the_connection_without_a_dot(
    kind: Any, how: str, at: int, error: BaseException
) -> None:
    """E05: half a message is not delivered; the source's own exception comes out."""
    if kind is Source.file and isinstance(error, asyncio.CancelledError):
        error = OSError("its own")  # a thread makes another of that
    seen = bytearray()
    is_chunked = how.startswith("BDAT")

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=is_chunked, is_grouped=how == "BDATs")
        with suppress(asyncio.IncompleteReadError, ConnectionError, AssertionError):
            while is_chunked:
                seen.extend(await server.chunk())
                server.say("250 ok")
        server.content = seen
        await server.take()

    async with streams(play, chunking=is_chunked) as smtp:
        source = Source(*[FULL_BLOCK] * at, error)
        with pytest.raises(BaseException) as info:  # noqa: PT011
            await send(smtp, kind(source), how)
        if how == "pipeline" and isinstance(error, asyncio.CancelledError):
            assert isinstance(info.value, asyncio.CancelledError)  # that of its task
        else:
            assert info.value is error
        assert source.is_closed
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="broken off"):
            await smtp.noop()
    assert b"LAST" not in seen
    assert not seen.endswith(b".\r\n")


CAFE = b"\r\ncaf\xc3\xa9\r\n"


@kinds
@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        pytest.param("a", SMTPArgumentError, id="E06-str"),
        pytest.param(b"\0", SMTPArgumentError, id="E06-NUL"),
        pytest.param(b"x" * 999, SMTPArgumentError, id="E06-long-line"),
        pytest.param(CAFE, SMTPCommandNotSupportedError, id="E06-8-bit"),
    ],
)
async def test_what_turns_out_not_to_be_fit_ends_the_connection(
    kind: Any, chunk: Any, error: type[SMTPException]
) -> None:
    """E06: what is found only after the 354 is half a message like any other."""
    script = f"{HELLO}C: DATA\nS: 354 go\nC: <hangup>"
    async with client(script) as smtp:
        await smtp.ehlo()
        source = Source(b"a\r\n", chunk, b"b\r\n")
        with pytest.raises(error) as info:
            await smtp.data(kind(source))
        assert info.value.safe_to_retry
        assert not smtp.is_connected


@chunkings
async def test_a_source_that_never_gives_anything_is_given_up(is_chunked: bool) -> None:
    """E06: before the server gives the client up."""
    content = bytearray()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=is_chunked)
        server.content = content
        await server.take()

    limits = Timeouts(content=0.05)
    async with streams(play, chunking=is_chunked, timeout=limits) as smtp:
        source = Source(b"a\r\n", for_ever)
        with pytest.raises(SMTPTimeoutError, match=r"gave nothing for 0\.05 s"):
            await smtp.sendmail(*ADDRESSES, source.over_time())
        assert source.is_closed
        assert not smtp.is_connected
    assert content == b""


# What the server does meanwhile


@pytest.mark.parametrize("form", ["whole", "sync", "async", "file"])
@pytest.mark.parametrize("how", ["DATA", "BDAT", "BDATs"])
@pytest.mark.parametrize(
    ("early", "error"),
    [
        ("552 too much", SMTPCommandFailedError),
        ("452 no space", SMTPCommandFailedError),
        ("250 taken", SMTPProtocolError),
        ("354 go on", SMTPProtocolError),
        ("421 bye", SMTPConnectionLostError),
    ],
)
async def test_a_reply_while_the_content_is_on_its_way_stops_it(
    early: str, error: type[SMTPException], how: str, form: str
) -> None:
    """E13: of 100 MB, less than 1 MB follows; no dot, and the reply is in the error."""
    if how != "DATA" and form != "whole" and early == "250 taken":
        early, error = "334 what", SMTPProtocolError  # 250 is the reply to a chunk
    rest = bytearray()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=how != "DATA", is_grouped=how == "BDATs")
        await server.take(BLOCK)
        server.say(early)
        server.content = rest
        await server.take()

    source = Source(*[FULL_BLOCK] * 1600)
    kinds = {"sync": source.sync, "async": source.over_time, "file": source.file}
    async with streams(play, chunking=how != "DATA") as smtp:
        large = LARGE * 5 if early == "552 too much" else LARGE
        message = large if form == "whole" else kinds[form]()
        with pytest.raises(error, match=early[:3]) as info:
            await smtp.sendmail(*ADDRESSES, message)
        assert not is_unknown(info.value)
        if isinstance(info.value, SMTPCommandFailedError):
            assert info.value.reply == (int(early[:3]), early[4:])
        assert not smtp.is_connected
        assert source.is_closed is (form in ("sync", "async"))
    assert len(rest) < 1_000_000
    assert b"\r\n.\r\n" not in rest
    assert b"LAST" not in rest


@pytest.mark.parametrize(
    ("early", "error"),
    [("452 no space", SMTPCommandFailedError), ("354 go on", SMTPProtocolError)],
)
async def test_a_reply_during_a_read_in_a_thread_is_in_the_error(
    early: str, error: type[SMTPException]
) -> None:
    """E13: the read ends only after the connection, and hides nothing."""
    has_begun, may_end = threading.Event(), threading.Event()

    class Slow(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            has_begun.set()
            may_end.wait(10)
            return b""

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await asyncio.to_thread(has_begun.wait)
        server.say(early)
        await server.take()
        may_end.set()

    async with streams(play) as smtp:
        with pytest.raises(error, match=early):
            await smtp.sendmail(*ADDRESSES, Slow())


EVENTS: list[tuple[str, type[SMTPException]]] = [
    ("552 too much", SMTPCommandFailedError),
    ("250 taken", SMTPProtocolError),
    ("421 bye", SMTPConnectionLostError),
    ("nonsense", SMTPProtocolError),
    ("FIN", SMTPConnectionLostError),
    ("RST", SMTPConnectionLostError),
]


@pytest.mark.parametrize("given", [0, 1, 5], ids="given-{}".format)
@pytest.mark.parametrize(("event", "error"), EVENTS)
async def test_a_source_is_not_waited_for_once_the_server_has_said_no(
    event: str, error: type[SMTPException], given: int
) -> None:
    """E13: wherever the content is, it is told at once, and the source is closed."""
    source = Source(*[FULL_BLOCK] * given, for_ever)

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        while not source.is_waiting.is_set():
            await server.take(len(server.content) + 1 if given > 1 else 0)
            await asyncio.sleep(0)
        server.strike(event)
        await server.take()

    async with streams(play) as smtp, asyncio.timeout(2):
        with pytest.raises(error) as info:
            await smtp.sendmail(*ADDRESSES, source.over_time())
        assert not is_unknown(info.value)
        assert source.is_closed
        assert not smtp.is_connected


@pytest.mark.parametrize("given", [0, 1, 3], ids="given-{}".format)
@pytest.mark.parametrize("answered", ["none", "all"])
@pytest.mark.parametrize(("event", "error"), EVENTS)
async def test_nor_is_it_between_chunks(
    event: str, error: type[SMTPException], answered: str, given: int
) -> None:
    """E13: also when every chunk has been answered, and no reply is owed."""
    source = Source(*[FULL_BLOCK] * given, for_ever)

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=True, is_grouped=True)
        chunks = max(given - 1, 0)  # the last one is kept for the LAST
        for _ in range(chunks):
            await server.chunk()
        if answered == "all":
            server.say(*["250 ok"] * chunks)
        await source.is_waiting.wait()
        server.strike(event)
        await server.take()

    owes = answered == "none" and given > 1
    if event == "250 taken" and owes:
        return  # it is the reply to a chunk
    if event[0] in "25" and not owes:
        error = SMTPException  # nobody has asked for it
    async with streams(play, chunking=True) as smtp, asyncio.timeout(2):
        with pytest.raises(error) as info:
            await smtp.sendmail(*ADDRESSES, source.over_time())
        assert not is_unknown(info.value)
        assert source.is_closed
        assert not smtp.is_connected


@pytest.mark.parametrize("given", [[b"a\r\n"], [FULL_BLOCK] * 2], ids=["one", "two"])
async def test_no_dot_follows_a_reply_that_came_with_the_end_of_the_source(
    given: list[bytes],
) -> None:
    """E13: the source ends in the very tick in which the server says no."""
    content = bytearray()
    replied = False

    def on_event(event: object) -> None:
        nonlocal replied
        replied |= str(event).startswith("S: 552")

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await source.is_waiting.wait()
        server.say("552 too much")
        server.content = content
        await server.take()

    source = Source(*given, partial(until, lambda: replied))
    async with streams(play, on_event=on_event) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="552"):
            await smtp.sendmail(*ADDRESSES, source.over_time())
        assert not smtp.is_connected
    assert not content.endswith(b".\r\n")


async def test_what_a_source_raises_as_it_is_left_does_not_hide_the_refusal() -> None:
    """H01: its cleanup fails, because the server has said no."""
    is_waiting = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield FULL_BLOCK
        try:
            is_waiting.set()
            await for_ever()
        finally:
            raise OSError("no such file")

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await is_waiting.wait()
        server.say("552 too much")
        await server.take()

    async with streams(play) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="552") as info:
            await smtp.sendmail(*ADDRESSES, source())
        assert isinstance(info.value.__cause__, OSError)
        assert not smtp.is_connected


async def test_a_chunk_that_is_not_answered_ends_the_connection() -> None:
    """E32: each BDAT has the limit of a block."""

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=True)
        await server.chunk()
        await server.take()

    async with streams(play, chunking=True, timeout=Timeouts(content=0.05)) as smtp:
        with pytest.raises(
            SMTPTimeoutError, match=r"no reply from .* to BDAT within 0\.05 s"
        ):
            await smtp.sendmail(*ADDRESSES, Source(*[FULL_BLOCK] * 3).sync())
        assert not smtp.is_connected


@pytest.mark.parametrize(
    ("where", "how"),
    [
        *product(["source", "drain", "final"], ["DATA", "BDAT", "BDATs"]),
        *product(["chunk"], ["BDAT", "BDATs"]),
    ],
)
async def test_a_cancelled_caller_closes_the_source_and_says_no_more(
    where: str, how: str
) -> None:
    """E03: whatever it was waiting for."""
    is_chunked = how != "DATA"
    seen = bytearray()
    is_there = asyncio.Event()
    is_over = asyncio.Event()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=is_chunked, is_grouped=how == "BDATs")
        if where == "drain":
            server.writer.transport.pause_reading()
            server.writer.transport.set_write_buffer_limits(0)
        elif where == "final":
            command = b""
            while is_chunked and b"LAST" not in command:
                command = await server.chunk()
                if b"LAST" not in command:
                    server.say("250 ok")
            if not is_chunked:
                while not server.content.endswith(b"\r\n.\r\n"):
                    await server.take(len(server.content) + 1)
        else:
            await server.take(BLOCK)
        is_there.set()
        await is_over.wait()
        with suppress(RuntimeError):
            server.writer.transport.resume_reading()
        server.content = seen
        await server.take()

    chunks: list[Any] = [FULL_BLOCK] * {"drain": 1000, "final": 3}.get(where, 20)
    if where == "source":
        chunks = [*chunks[:3], for_ever]
    async with streams(play, chunking=is_chunked) as smtp:
        source = Source(*chunks)
        task = asyncio.create_task(smtp.sendmail(*ADDRESSES, source.over_time()))
        await is_there.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError) as info:
            task.result()
        assert is_unknown(info.value) is (where == "final")
        assert source.is_closed
        assert not smtp.is_connected
        is_over.set()
    assert not seen.endswith(b".\r\n")
    assert b"LAST" not in seen


# What is known of the mail


@pytest.mark.parametrize("event", ["FIN", "RST", "timeout", "cancel", "nonsense"])
@chunkings
async def test_what_happens_after_all_was_sent_leaves_the_mail_unknown(
    is_chunked: bool, event: str
) -> None:
    """E11, E04: of a stream as of any content."""
    is_there = asyncio.Event()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=is_chunked)
        await server.take(len(b"BDAT 4 LAST\r\nhi\r\n") if is_chunked else 7)
        is_there.set()
        if event not in ("timeout", "cancel"):
            server.strike(event)
        await server.take()

    limits = Timeouts(final=0.05) if event == "timeout" else Timeouts()
    async with streams(play, chunking=is_chunked, timeout=limits) as smtp:
        source = Source(b"hi\r\n").over_time()
        task = asyncio.create_task(smtp.sendmail(*ADDRESSES, source))
        await is_there.wait()
        if event == "cancel":
            task.cancel()
        with pytest.raises((SMTPDeliveryUnknownError, asyncio.CancelledError)) as info:
            await task
        assert is_unknown(info.value)
        assert not smtp.is_connected


@pytest.mark.parametrize("final", ["300 x", "334 x", "354 x", "221 bye"])
@chunkings
async def test_a_final_reply_that_is_none_leaves_the_mail_unknown(
    is_chunked: bool, final: str
) -> None:
    """E31: neither 3yz nor an answer to QUIT tells whether the mail was accepted."""
    begin = begun("CHUNKING")
    script = f"{begin}C: BDAT 4 LAST\nC: hi\n" if is_chunked else f"{begin}C: DATA\n"
    script += "" if is_chunked else "S: 354 go\nC: hi\nC: .\n"
    async with client(f"{script}S: {final}\nC: <hangup>", chunking=is_chunked) as smtp:
        with pytest.raises(SMTPDeliveryUnknownError, match=f" {final[:3]}$"):
            await smtp.sendmail(*ADDRESSES, b"hi\r\n")
        assert not smtp.is_connected


@pytest.mark.parametrize("is_whole", [True, False], ids=["one block", "stream"])
async def test_no_content_follows_a_354_with_a_part_of_a_reply_behind_it(
    *, is_whole: bool
) -> None:
    """D12: it would be taken for the beginning of the reply to the content."""
    content = bytearray()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        server.content = content
        await server.take()

    def begin(server: Streams) -> Any:
        server.say = lambda *lines: server.writer.write(  # type: ignore[method-assign]
            "".join(f"{line}\r\n" for line in lines).encode()
            + b"25" * lines[0].startswith("354")
        )
        return play(server)

    async with streams(begin) as smtp:
        message = b"hi\r\n" if is_whole else Source(b"hi\r\n").over_time()
        with pytest.raises(SMTPException, match="a part of a reply") as info:
            await smtp.sendmail(*ADDRESSES, message)
        assert not is_unknown(info.value)
        assert not smtp.is_connected
    assert content == b""


# A file that is read in a thread


class Pipe:
    """A file that gives what is given to it.

    Attributes:
        is_waiting: Whether somebody reads it.
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.is_waiting = False

    def read(self, size: int, /) -> bytes:
        self.is_waiting = True
        return os.read(self._reading, size)

    def give(self, octets: bytes) -> None:
        os.write(self._writing, octets)

    def close(self) -> None:
        os.close(self._writing)
        os.close(self._reading)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """Open a pipe."""
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.mark.parametrize("event", ["cancel", "552 too much", "FIN"])
async def test_no_read_of_a_file_goes_on_after_sendmail_has_ended(
    event: str, pipe: Pipe
) -> None:
    """H08: else it would take octets from whoever reads the file next.

    The connection ends first, and then the read that is under way is waited for.
    """
    is_left = asyncio.Event()

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await until(lambda: pipe.is_waiting)
        if event != "cancel":
            server.strike(event)
        await server.take()
        is_left.set()

    async with streams(play) as smtp:
        sending = asyncio.create_task(smtp.sendmail(*ADDRESSES, pipe))
        await until(lambda: pipe.is_waiting)
        if event == "cancel":
            sending.cancel()
        await is_left.wait()
        assert not sending.done()
        assert not smtp.is_connected
        pipe.give(b"taken by the read that was under way")
        await asyncio.wait((sending,))
        pipe.give(b"whole")
        assert pipe.read(100) == b"whole"
        with pytest.raises((SMTPException, asyncio.CancelledError)) as info:
            await sending
        if event.startswith("552"):
            assert isinstance(info.value, SMTPCommandFailedError)


async def test_a_second_cancellation_leaves_without_the_read(pipe: Pipe) -> None:
    """H08: a file may give nothing for ever."""

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await server.take()

    async with streams(play) as smtp:
        sending = asyncio.create_task(smtp.sendmail(*ADDRESSES, pipe))
        await until(lambda: pipe.is_waiting)
        for _ in range(2):
            for _ in range(50):
                await asyncio.sleep(0)
            assert not sending.done()
            sending.cancel()
        await asyncio.wait((sending,))
        assert sending.cancelled()
        pipe.give(b"the end of a read that nobody waits for")


# What a source raises as it is left


@pytest.mark.parametrize("way", ["sendmail", "run", "pipeline"])
async def test_a_cleanup_that_raises_does_not_mask_the_refusal(way: str) -> None:
    """H10: what the server has said counts for more."""
    source_is_left = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield FULL_BLOCK
        finally:
            source_is_left.append(True)
            raise OSError("cleanup")

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await server.take(BLOCK)
        server.say("552 too much")
        await server.take()

    async with streams(play) as smtp, asyncio.timeout(5):
        if way == "run":
            mail = Mail(chunks(), *ADDRESSES)
            (outcome,) = [outcome async for outcome in smtp.send_many([mail])]
            assert outcome.status == "refused"
            error: BaseException | None = outcome.error
        elif way == "sendmail":
            with pytest.raises(SMTPException) as info:
                await smtp.sendmail(*ADDRESSES, chunks())
            error = info.value
        else:
            with suppress(SMTPException, OSError):
                async with smtp.pipeline() as p:
                    p.mail(ADDRESSES[0])
                    p.rcpt(ADDRESSES[1])
                    p.data()
                    content = p.content(chunks())
            assert content.result() == (552, "too much")
            error = None
        if error is not None:
            assert isinstance(error, SMTPCommandFailedError)
            assert error.reply == (552, "too much")
    assert source_is_left == [True]


async def test_a_source_that_is_cancelled_leaves_no_future_waiting() -> None:
    """H10: all that was given to the pipeline is settled."""

    async def chunks() -> AsyncIterator[bytes]:
        yield FULL_BLOCK
        raise asyncio.CancelledError

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        await server.take()

    async with streams(play) as smtp, asyncio.timeout(5):
        futures: list[Any] = []
        with suppress(SMTPException, asyncio.CancelledError):
            async with smtp.pipeline() as p:
                futures += p.mail(ADDRESSES[0]), p.rcpt(ADDRESSES[1]), p.data()
                futures += p.content(chunks()), p.noop(), p.rset()
                await asyncio.wait(futures)
        assert all(future.done() for future in futures)
        assert not smtp.is_connected


# Progress


@asynccontextmanager
async def taking(final: str = "250 taken") -> AsyncIterator[SMTP]:
    """Connect a client to a server that takes a mail after DATA."""

    async def play(server: Streams) -> None:
        await server.begin(is_chunked=False)
        while not server.content.endswith(b"\r\n.\r\n"):
            await server.take(len(server.content) + 1)
        server.say(final)
        await server.take()

    async with streams(play) as smtp:
        yield smtp


@pytest.mark.parametrize("is_whole", [False, True], ids=["stream", "whole"])
async def test_progress_is_told_now_and_then_and_at_the_end(
    is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 20 times a second; the last time with all of the octets."""
    loop = asyncio.get_running_loop()
    now = start = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    calls: list[tuple[float, int, int | None]] = []

    def note(sent: int, total: int | None) -> None:
        calls.append((now, sent, total))

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal now
        for _ in range(300):
            now += 0.01
            yield FULL_BLOCK

    size = 300 * BLOCK
    async with taking() as smtp:
        message = FULL_BLOCK * 300 if is_whole else chunks()
        await smtp.send_message(message, *ADDRESSES, progress=note)
    assert calls[-1][1:] == (size, size if is_whole else None)
    assert [sent for _, sent, _ in calls] == sorted(sent for _, sent, _ in calls)
    assert len({total for _, _, total in calls}) == 1
    for when, _, _ in calls:
        assert sum(when <= other < when + 1 for other, _, _ in calls) <= 20
    if not is_whole:
        assert now - start == pytest.approx(3)
        assert len(calls) > 40


async def test_a_callback_that_raises_does_no_harm() -> None:
    """It is the loop that hears of it."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    error = ValueError("the caller's")

    def fail(sent: int, total: int | None) -> None:
        raise error

    try:
        async with taking() as smtp:
            result = await smtp.send_message(b"hi\r\n", *ADDRESSES, progress=fail)
            assert result.reply == (250, "taken")
            assert smtp.is_connected
    finally:
        loop.set_exception_handler(handler)
    assert {context["exception"] for context in complaints} == {error}

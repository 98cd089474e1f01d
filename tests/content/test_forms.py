"""What a message is: whole and known to be fit, or read as it is sent."""

from __future__ import annotations

import array
import io
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import client
from hypothesis import given
from messages import (
    SOUND_MESSAGES,
    canonical,
    unhurried,
    wire,
)

from smtplibaio import (
    SMTPArgumentError,
)
from smtplibaio.content.canonical import BLOCK
from smtplibaio.content.forms import (
    Content,
    Stream,
    content_of,
    octets_of,
)

# What a message is


def as_email() -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "x"
    message.set_content("hi\n.\n")
    return message


class Printed:
    """Have `as_bytes()`, as messages of other packages do."""

    def as_bytes(self) -> bytes:
        return b"a\n"


@pytest.mark.parametrize(
    ("message", "ending"),
    [
        ("a\n", b"a\r\n"),
        (b"a\n", b"a\r\n"),
        (bytearray(b"a\n"), b"a\r\n"),
        (memoryview(b"-a\n")[1:], b"a\r\n"),
        (Printed(), b"a\r\n"),
        (as_email(), b"\r\n\r\nhi\r\n..\r\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_message_comes_in_many_forms(message: Any, ending: bytes) -> None:
    out = b"".join(Content.of(message).wire())
    assert out.endswith(ending + b".\r\n")


@pytest.mark.parametrize("message", [None, 5, {"a": 1}, ...], ids=repr)
def test_what_is_no_message_is_refused(message: Any) -> None:
    """E06: before DATA, where there is no way back."""
    with pytest.raises(SMTPArgumentError, match="a message must be str, bytes"):
        Content.of(message)


def test_text_that_is_none_is_refused_by_its_offset() -> None:
    with pytest.raises(SMTPArgumentError, match="lone surrogate") as caught:
        Content.of("é\n\ud800")
    assert caught.value.offset == 3


def test_later_changes_of_a_buffer_do_not_reach_the_wire() -> None:
    message = bytearray(b"a\r\n")
    content = Content.of(message)
    message[:] = b"a\r."
    assert b"".join(content.wire()) == b"a\r\n.\r\n"


@pytest.mark.parametrize("place", [0, BLOCK - 1, BLOCK, 10 * BLOCK])
def test_one_octet_beyond_ascii_makes_content_8_bit(place: int) -> None:
    """A19: wherever it stands."""
    message = bytearray(b"\r\n" + b"x" * 62) * (11 * BLOCK // 64)
    message[:2] = b"\r\n"
    assert not Content.of(message).is_8bit
    assert Content.of(message[:place] + b"\xe9" + message[place:]).is_8bit


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b""])
def test_a_short_message_is_8_bit_as_well(end: bytes) -> None:
    """A19: in canonical form, and in any other."""
    assert Content.of(b"\r\n\xe9" + end).is_8bit
    assert not Content.of(b"\r\ne" + end).is_8bit


@pytest.mark.parametrize(
    ("message", "size"),
    [
        ("", 0),
        ("a", 3),
        ("a\n", 3),
        ("é\n", 4),
        (b"a\nb\r\nc", 9),
        ("\n.\n..\n", 9),
    ],
)
def test_the_size_is_that_of_the_canonical_form(
    message: bytes | str, size: int
) -> None:
    """A22: neither stuffed dots nor the final one count (RFC 1870 5)."""
    assert Content.of(message).size == size


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_the_wire_form_comes_in_blocks(blocks: int) -> None:
    """And the final dot with the last of them."""
    message = (b"." * 62 + b"\r\n") * (blocks * BLOCK // 64)
    wire = list(Content.of(message).wire())
    assert len(wire) == blocks
    assert b"".join(wire) == message.replace(b"\r\n.", b"\r\n..").join((b".", b".\r\n"))


def test_content_can_be_sent_twice() -> None:
    content = Content.of(b"\na\n.\n")
    assert list(content.wire()) == list(content.wire())


_ENCODERS: list[Callable[[str], bytes | str]] = [str, str.encode]


@pytest.mark.parametrize("form", _ENCODERS, ids=["str", "bytes"])
def test_text_and_its_octets_are_the_same_message(
    form: Callable[[str], bytes | str],
) -> None:
    """A12: nothing is transmitted as is because it was given in octets."""
    assert wire(form("\né\n.\r.\n")) == b"\r\n\xc3\xa9\r\n..\r\n..\r\n.\r\n"


async def test_what_a_message_raises_comes_out_before_a_byte_is_written() -> None:
    """E05: and the session goes on."""

    class Unreadable:
        def as_bytes(self) -> bytes:
            raise OSError("the attachment is gone")

    async with client("S: 220 hi\nC: NOOP\nS: 250 ok") as smtp:
        with pytest.raises(OSError, match="the attachment is gone"):
            await smtp.sendmail("a@x.example", "b@y.example", Unreadable())
        assert await smtp.noop() == (250, "ok")


# Octets


@pytest.mark.parametrize(
    "chunk",
    [
        b"a\r\n",
        bytearray(b"a\r\n"),
        memoryview(b"a\r\n"),
        memoryview(b"-a\r\n-")[1:4],
        memoryview(b"a-\r-\n-")[::2],
        memoryview(b"a\r\n").cast("c"),
    ],
    ids=["bytes", "bytearray", "memoryview", "slice", "strides", "characters"],
)
def test_octets_are_bytes_whatever_holds_them(chunk: Any) -> None:
    assert type(octets_of(chunk)) is bytes
    assert octets_of(chunk) == b"a\r\n"


@pytest.mark.parametrize("chunk", ["a", "", 5, None, [b"a"], [97], ...], ids=repr)
def test_what_is_no_octets_is_refused(chunk: object) -> None:
    """E06: the error names its type."""
    with pytest.raises(SMTPArgumentError, match=f"not {type(chunk).__name__}$"):
        octets_of(chunk)


def test_octets_are_not_copied_where_nobody_can_change_them() -> None:
    """E16: and are where somebody can."""
    chunk = b"a\r\n"
    assert octets_of(chunk) is chunk
    buffer = bytearray(chunk)
    octets = octets_of(buffer)
    buffer[:] = b"QUIT"
    assert octets == chunk


class Liar(bytes):
    """Say of itself that it is something else."""

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter(b"x")

    def isascii(self) -> bool:
        return True


@pytest.mark.parametrize(
    "message",
    [Liar(b"\xe9\n.\n"), [Liar(b"\xe9\n"), Liar(b".\n")]],
    ids=["whole", "list"],
)
def test_octets_are_what_they_are_and_not_what_they_say(message: Any) -> None:
    """A16: their number, above all."""
    content = content_of(message)
    assert isinstance(content, Content)
    assert (content.size, content.is_8bit) == (6, True)
    assert b"".join(content.blocks()) == b"\xe9\r\n.\r\n"


# What is whole, and what is read as it is sent


class Chunks:
    """Be iterable in one of two ways, and nothing else."""

    def __iter__(self) -> Any:
        return iter([b"a"])


class AsyncChunks:
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"a"


class File:
    def read(self, size: int, /) -> bytes:
        return b""


class Wrapped:
    """Pass on what a file can do, as what `tempfile` makes does."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Any:
        raise AssertionError("nobody asks for lines")


@pytest.mark.parametrize(
    "message",
    [
        *("a", b"a", bytearray(b"a"), memoryview(b"a"), [b"a"], (b"a",), []),
        *(Printed(), Wrapped(Printed())),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_whole_is_checked_before_it_is_sent(message: Any) -> None:
    """E06: where there is a way back."""
    content = content_of(message)
    assert isinstance(content, Content)
    assert content.size in (0, 3)


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(
    "source",
    [File(), io.BytesIO(b"a"), iter([b"a"]), Chunks(), AsyncChunks(), map(bytes, [])],
    ids=lambda value: type(value).__name__,
)
def test_a_source_is_left_alone_until_it_is_sent(source: Any, is_binary: bool) -> None:
    """E16: neither its size is known nor whether it is 8-bit."""
    stream = content_of(source, is_binary=is_binary)
    assert isinstance(stream, Stream)
    assert stream.source is source
    assert stream.size is None
    assert stream.is_8bit is None
    assert stream.is_binary is is_binary


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(None, id="None"),
        pytest.param(5, id="number"),
        pytest.param(object(), id="object"),
        pytest.param({"a": b"b"}, id="mapping"),
        pytest.param(io.StringIO("a"), id="text"),
        pytest.param(io.TextIOWrapper(io.BytesIO(b"a")), id="text file"),
        pytest.param(Wrapped(io.StringIO("a")), id="wrapped text file"),
        pytest.param(["a"], id="list of text"),
        pytest.param((b"a", 5), id="tuple with a number"),
    ],
)
def test_what_cannot_be_content_is_refused_at_once(
    message: Any, is_binary: bool
) -> None:
    """E06: and not when the server waits for it."""
    with pytest.raises(SMTPArgumentError, match="bytes, not"):
        content_of(message, is_binary=is_binary)


def test_a_buffer_of_another_kind_is_no_source_of_numbers() -> None:
    """E06: it is content, or it is refused, before the server waits for it."""
    try:
        content: object = content_of(array.array("B", b"a\n"))  # type: ignore[arg-type]
    except SMTPArgumentError:
        return
    assert isinstance(content, Content)
    assert content.size == 3


async def test_a_file_is_read_and_not_iterated_however_it_is_wrapped() -> None:
    """E16: in pieces of one size, and where a slow disk holds nobody up."""
    async with client("""
        S: 220 hi
        C: DATA
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        assert await smtp.data(Wrapped(io.BytesIO(b"hi\r\n"))) == (250, "taken")


# Blocks


@unhurried
@given(SOUND_MESSAGES)
def test_blocks_are_the_canonical_form(message: bytes) -> None:
    """A16: no dot is doubled, none stands at the end, and the size is theirs."""
    content = Content.of(message)
    blocks = list(content.blocks())
    assert b"".join(blocks) == canonical([message])
    assert content.size == sum(map(len, blocks))
    assert list(content.blocks()) == blocks


@pytest.mark.parametrize("octets", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize(
    "filling", [b"\0", b"\r", b"\n", b".", b"x", b"\xff"], ids=repr
)
def test_binary_content_is_octets_and_not_lines(octets: int, filling: bytes) -> None:
    """A18: a NUL, a bare line end and a line without end travel (RFC 3030 3)."""
    message = filling * octets
    content = content_of(message, is_binary=True)
    assert isinstance(content, Content)
    blocks = list(content.blocks())
    assert b"".join(blocks) == message
    assert content.size == octets
    assert not content.is_8bit
    assert max(map(len, blocks)) <= BLOCK


def test_text_is_never_binary() -> None:
    """A18: its line ends are those of its lines."""
    assert list(content_of("a\n", is_binary=True).blocks()) == [b"a\r\n"]
    with pytest.raises(SMTPArgumentError, match="NUL"):
        content_of("a\0", is_binary=True)

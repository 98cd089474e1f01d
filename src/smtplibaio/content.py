"""Mail content in canonical form: whole, or read as it is sent.

Rules:

1. Neither a bare CR nor a bare LF leaves (RFC 5321 2.3.8, 4.1.1.4). Both become CRLF,
   in `bytes` as in `str`, and before dots are stuffed: a server that takes "LF . LF"
   for the end of the content would execute the rest of it as commands.
2. In the header block a bare CR is an error and not a line end: making it one would
   make a header field of what stands behind it. A NUL is an error everywhere.
   Binary content (RFC 3030 3) is octets, not lines, and leaves as it is.
3. A line of more than 998 octets is an error (RFC 5321 4.5.3.1.6).
4. The size of a message is that of its canonical form: neither stuffed dots nor the
   final one count (RFC 1870 5).
5. All of it holds wherever the content is cut into chunks.
"""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

from .exceptions import SMTPArgumentError, SMTPException
from .framing import Dots

__all__ = [
    "AsBytes",
    "Canonicaliser",
    "Content",
    "Message",
    "Octets",
    "Readable",
    "Stream",
    "content_of",
    "find_long_line",
    "is_readable",
    "octets_of",
]

#: Octets of content that are worked on and written at a time.
BLOCK = 65536

#: RFC 5321 4.5.3.1.6: 1000 octets with the CRLF, not counting a stuffed dot.
MAX_LINE = 998

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BEYOND_ASCII = re.compile(rb"[^\x00-\x7f]")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_EMPTY_FIRST_LINE = re.compile(rb"\r?\n")


class AsBytes(Protocol):
    """Anything with `as_bytes()`, the messages of the `email` package among them."""

    def as_bytes(self) -> bytes:
        """Give the message as octets."""


class Readable(Protocol):
    """A binary file, or anything that is read like one."""

    def read(self, size: int, /) -> bytes:
        """Give up to so many octets; none at the end."""


Octets: TypeAlias = bytes | bytearray | memoryview

#: What `data`, `sendmail` and `Pipeline.content` take for a message.
Message: TypeAlias = (
    str | Octets | AsBytes | Readable | Iterable[Octets] | AsyncIterable[Octets]
)


def octets_of(chunk: object) -> bytes:
    """Give octets as `bytes` that nobody else can change, or that lie of their length.

    Raises:
        SMTPArgumentError: They are none.
    """
    if type(chunk) is bytes:
        return chunk
    try:
        return memoryview(cast(bytes, chunk)).tobytes()
    except TypeError:
        raise SMTPArgumentError(
            f"the content of a mail is read as bytes, not {type(chunk).__name__}"
        ) from None


class Canonicaliser:
    """Bring content into canonical form, chunk by chunk.

    Attributes:
        is_8bit: Whether an octet above 127 has come by.
        has_changed: Whether what came out differs from what went in.

    Args:
        no_8bit: What such an octet raises, if it cannot travel.
    """

    def __init__(self, *, no_8bit: SMTPException | None = None) -> None:
        self._no_8bit = no_8bit
        self.is_8bit = False
        self.has_changed = False
        self._held = b""  # a CR whose LF may be the first octet of the next chunk
        self._in_header = True
        self._column = 0  # octets that came out since the last line end
        self._consumed = 0  # octets that were converted before this chunk

    def feed(self, chunk: bytes) -> bytes:
        """Give the canonical form of the chunk, as far as it is certain.

        Raises:
            SMTPArgumentError: The content cannot be sent. Its `offset` counts the
                octets that were fed before the fault.
            SMTPException: `no_8bit`.
        """
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if chunk.endswith(b"\r"):
            self._held = b"\r"
            chunk = chunk[:-1]
        return self._convert(chunk) if chunk else b""

    def finish(self) -> bytes:
        """Give what is left; where the last line lacks its CRLF, that too."""
        out = self._convert(self._held) if self._held else b""
        if self._column:
            self.has_changed = True
            out += b"\r\n"
        return out

    def _convert(self, chunk: bytes) -> bytes:
        is_canonical = _is_canonical(chunk)
        self.is_8bit |= not chunk.isascii()
        faults = self._find_forbidden(chunk, is_canonical=is_canonical)
        if self._no_8bit is not None and (match := _BEYOND_ASCII.search(chunk)):
            faults.append((match.start(), self._no_8bit))
        if faults:
            # A line that is too long before it comes first, as it would were the
            # chunk cut in between.
            index, fault = min(faults, key=itemgetter(0))
            self._convert_lines(chunk[:index], is_canonical=False)
            raise fault
        out, last_line = self._convert_lines(chunk, is_canonical=is_canonical)
        self._column = len(out) - last_line + (0 if last_line else self._column)
        self._consumed += len(chunk)
        return out

    def _convert_lines(self, chunk: bytes, *, is_canonical: bool) -> tuple[bytes, int]:
        out = chunk
        if not is_canonical:
            self.has_changed = True
            out = _LINE_END.sub(b"\r\n", chunk)
        long_line = find_long_line(out, self._column)
        if long_line is not None:
            lines_before = out.count(b"\n", 0, max(long_line, 0))
            starts = [m.end() for m in _LINE_END.finditer(chunk)]
            start = starts[lines_before - 1] if lines_before else long_line
            raise self._fault(_TOO_LONG, start)
        return out, out.rfind(b"\n") + 1

    def _find_forbidden(
        self, chunk: bytes, *, is_canonical: bool
    ) -> list[tuple[int, SMTPException]]:
        faults: list[tuple[int, SMTPException]] = []
        if (nul := chunk.find(b"\0")) >= 0:
            faults.append((nul, self._fault("has a NUL, which SMTP cannot carry", nul)))
        if self._in_header and is_canonical:
            is_end_first = not self._column and chunk.startswith(b"\r\n")
            self._in_header = not is_end_first and b"\r\n\r\n" not in chunk
        elif self._in_header:
            end = None if self._column else _EMPTY_FIRST_LINE.match(chunk)
            end = end or _EMPTY_LINE.search(chunk)
            bare_cr = _BARE_CR.search(chunk, 0, end.end() if end else len(chunk))
            if bare_cr is not None:
                at = bare_cr.start()
                faults.append(
                    (at, self._fault("has a bare CR in its header block", at))
                )
            self._in_header = end is None
        return faults

    def _fault(self, what: str, index: int) -> SMTPArgumentError:
        offset = self._consumed + index
        return SMTPArgumentError(f"the content {what}, at octet {offset}", offset)


_TOO_LONG = f"has a line of more than {MAX_LINE} octets"


def _is_canonical(chunk: bytes) -> bool:
    # The newline decoder notes which line ends it has seen, at five times the speed of
    # a regular expression; Latin-1 makes a character of every octet.
    decoder = io.IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(chunk.decode("latin-1"), final=True)
    return decoder.newlines is None or decoder.newlines == "\r\n"


def find_long_line(
    chunk: bytes, column: int = 0, *, line_end: bytes = b"\r\n"
) -> int | None:
    """Find where a line of more than `MAX_LINE` octets starts.

    The line that is unfinished at the end counts with what is there of it. It may have
    started `column` octets before the chunk, so the answer may be negative.

    Args:
        chunk: Octets that have no line end but one.
        column: See there.
        line_end: Which one.
    """
    if len(chunk) + column <= MAX_LINE:
        return None
    reach = MAX_LINE + len(line_end)
    # From the start of a line, the last line end within reach: a step of up to a
    # thousand octets rather than one a line.
    last = chunk.rfind(b"\n", 0, max(reach - column, 0))
    if last < 0:
        return -column
    enough = len(chunk) - MAX_LINE - 1
    while last < enough:
        found = chunk.rfind(b"\n", last + 1, last + 1 + reach)
        if found < 0:
            return last + 1
        last = found
    return None


class Content:
    """Hold one message that is known to be fit to be sent.

    Attributes:
        size: Octets of the canonical form (RFC 1870 5).
        is_8bit: Whether it needs 8BITMIME (RFC 6152).

    Args:
        octets: The message.
        is_binary: Whether it is BINARYMIME, and nothing in it is a line.
    """

    __slots__ = ("_is_canonical", "_octets", "is_8bit", "size")

    def __init__(self, octets: bytes, *, is_binary: bool = False) -> None:
        self._octets = octets
        self._is_canonical = True
        self.size = len(octets)
        self.is_8bit = False
        if not is_binary:
            self._check()

    def _check(self) -> None:
        if len(self._octets) <= BLOCK and _is_plain(self._octets):
            self.is_8bit = not self._octets.isascii()
            return
        canonicaliser = Canonicaliser()
        try:
            self.size = sum(map(len, _canonical(self._octets, canonicaliser)))
        except SMTPArgumentError as exc:
            line = len(_LINE_END.findall(self._octets, 0, exc.offset or 0)) + 1
            raise SMTPArgumentError(f"{exc}, in line {line}", exc.offset) from None
        self._is_canonical = not canonicaliser.has_changed
        self.is_8bit = canonicaliser.is_8bit

    @classmethod
    def of(cls, message: object, *, is_binary: bool = False) -> Content:
        """Take a whole message in any of the forms that callers have it in.

        Text is encoded as UTF-8, and never binary.

        Raises:
            SMTPArgumentError: It is no whole message, or one that cannot be sent.
        """
        if isinstance(message, str):
            return cls(_encoded(message))
        if isinstance(message, (list, tuple)):
            message = b"".join(map(octets_of, message))
        elif not _is_buffer(message):
            if not _is_as_bytes(message):
                raise SMTPArgumentError(
                    "a message is str, bytes, an object with as_bytes(), a binary file "
                    f"or an iterable of bytes, not {type(message).__name__}"
                )
            message = message.as_bytes()
        return cls(octets_of(message), is_binary=is_binary)

    def blocks(self) -> Iterator[bytes]:
        """Give the canonical form in blocks; of an empty message, none or empty ones.

        The end that the last line lacks is part of the last block.
        """
        if self._is_canonical:
            return _blocks(self._octets)
        return iter(_canonical(self._octets, Canonicaliser()))

    def wire(self) -> Iterator[bytes]:
        """Give what follows the 354, in blocks: stuffed dots, and the final dot.

        The final dot never stands alone in a block unless the message is empty.
        """
        dots = Dots()
        held: bytes | None = None
        for block in self.blocks():
            if held is not None:
                yield dots.frame(held, is_last=False)
            held = block
        yield dots.frame(held or b"", is_last=True)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        offset = len(text[: exc.start].encode("utf-8"))
        raise SMTPArgumentError(
            f"the content has a lone surrogate, at octet {offset}", offset
        ) from exc


class Stream:
    """Hold content that is read as it is sent: what is in it shows only then.

    Args:
        source: A binary file, or an iterable of octets, asynchronous or not.
        is_binary: Whether it is BINARYMIME, and nothing in it is a line.
    """

    __slots__ = ("is_binary", "source")

    size = None
    is_8bit = None

    def __init__(self, source: Any, *, is_binary: bool = False) -> None:
        self.source = source
        self.is_binary = is_binary


def content_of(message: object, *, is_binary: bool = False) -> Content | Stream:
    """Take a message in any of the forms that callers have it in.

    Raises:
        SMTPArgumentError: It is no message, or a whole one that cannot be sent.
    """
    if type(message) is bytes:
        return Content(message, is_binary=is_binary)
    is_whole = isinstance(message, (str, list, tuple)) or _is_as_bytes(message)
    is_file = not is_whole and is_readable(message)
    if not is_file and (
        is_whole
        or _is_buffer(message)
        or not isinstance(message, (Iterable, AsyncIterable))
    ):
        return Content.of(message, is_binary=is_binary)
    if (is_file and hasattr(message, "encoding")) or isinstance(message, Mapping):
        raise SMTPArgumentError(
            "a message is read from a file in binary mode or from an iterable of "
            f"bytes, not from {type(message).__name__}"
        )
    return Stream(message, is_binary=is_binary)


def is_readable(source: object) -> TypeGuard[Readable]:
    """Tell whether something is read like a file."""
    # Since Python 3.12 `isinstance` with a protocol does not find what stands behind
    # `__getattr__`, where the files of `tempfile` have all that they can do.
    return hasattr(source, "read")


def _is_as_bytes(message: object) -> TypeGuard[AsBytes]:
    return hasattr(message, "as_bytes")


def _is_buffer(message: Any) -> bool:
    try:
        memoryview(message).release()
    except TypeError:
        return False
    return True


def _is_plain(octets: bytes) -> bool:
    """Tell whether a small message is fit to be sent as it is, as nearly all are."""
    return (
        octets.endswith(b"\r\n")
        and b"\0" not in octets
        and _is_canonical(octets)
        and find_long_line(octets) is None
    )


def _blocks(octets: bytes) -> Iterator[bytes]:
    if len(octets) <= BLOCK:
        return iter((octets,))
    return (octets[i : i + BLOCK] for i in range(0, len(octets), BLOCK))


def _canonical(octets: bytes, canonicaliser: Canonicaliser) -> Iterable[bytes]:
    chunk = b""
    for block in _blocks(octets):
        if chunk:
            yield chunk
        chunk = canonicaliser.feed(block)
    # The end that the last line lacks leaves with it, not in a write of its own.
    if chunk := chunk + canonicaliser.finish():
        yield chunk

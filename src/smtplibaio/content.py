"""Mail content as it goes on the wire: canonical form, then transparency.

Rules:

1. Neither a bare CR nor a bare LF leaves (RFC 5321 2.3.8, 4.1.1.4). Both become CRLF,
   in `bytes` as in `str`, and before dots are stuffed: a server that takes "LF . LF"
   for the end of the content would execute the rest of it as commands.
2. In the header block a bare CR is an error and not a line end: making it one would
   make a header field of what stands behind it. A NUL is an error everywhere.
3. A line of more than 998 octets is an error (RFC 5321 4.5.3.1.6).
4. The size of a message is that of its canonical form: neither stuffed dots nor the
   final one count (RFC 1870 5).
5. All of it holds wherever the content is cut into chunks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from .exceptions import SMTPArgumentError

__all__ = ["AsBytes", "Canonicaliser", "Content", "Message", "stuff_dots"]

#: Octets of content that are worked on and written at a time.
BLOCK = 65536

#: RFC 5321 4.5.3.1.6: 1000 octets with the CRLF, not counting a stuffed dot.
MAX_LINE = 998

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_EMPTY_FIRST_LINE = re.compile(rb"\r?\n")
_DOT_LINE = re.compile(rb"\n\.")


@runtime_checkable
class AsBytes(Protocol):
    """Anything with `as_bytes()`, the messages of the `email` package among them."""

    def as_bytes(self) -> bytes:
        """Give the message as octets."""


#: What `data`, `sendmail` and `Pipeline.content` take for a message.
Message = str | bytes | bytearray | memoryview | AsBytes


class Canonicaliser:
    """Bring content into canonical form, chunk by chunk.

    Attributes:
        is_8bit: Whether an octet above 127 has come by.
        has_changed: Whether what came out differs from what went in.
    """

    def __init__(self) -> None:
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
        fault = self._find_forbidden(chunk)
        if fault is not None:
            # A line that is too long before it comes first, as it would were the
            # chunk cut in between.
            index, what = fault
            self._convert_lines(chunk[:index])
            raise self._fault(what, index)
        if not chunk.isascii():
            self.is_8bit = True
        out, last_line = self._convert_lines(chunk)
        self._column = len(out) - last_line + (0 if last_line else self._column)
        self._consumed += len(chunk)
        return out

    def _convert_lines(self, chunk: bytes) -> tuple[bytes, int]:
        out = chunk
        if not _is_canonical(chunk):
            self.has_changed = True
            out = _LINE_END.sub(b"\r\n", chunk)
        long_line = _find_long_line(out, self._column)
        if long_line is not None:
            lines_before = out.count(b"\n", 0, max(long_line, 0))
            starts = [m.end() for m in _LINE_END.finditer(chunk)]
            start = starts[lines_before - 1] if lines_before else long_line
            raise self._fault(_TOO_LONG, start)
        return out, out.rfind(b"\n") + 1

    def _find_forbidden(self, chunk: bytes) -> tuple[int, str] | None:
        faults = []
        if (nul := chunk.find(b"\0")) >= 0:
            faults.append((nul, "has a NUL, which SMTP cannot carry"))
        if self._in_header:
            end = None if self._column else _EMPTY_FIRST_LINE.match(chunk)
            end = end or _EMPTY_LINE.search(chunk)
            bare_cr = _BARE_CR.search(chunk, 0, end.end() if end else len(chunk))
            if bare_cr is not None:
                faults.append((bare_cr.start(), "has a bare CR in its header block"))
            self._in_header = end is None
        return min(faults, default=None)

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


def _find_long_line(chunk: bytes, column: int) -> int | None:
    """Find where a line of more than `MAX_LINE` octets starts in a canonical chunk.

    The line that is unfinished at the end counts with what is there of it. It may have
    started `column` octets before the chunk, so the answer may be negative.
    """
    start = -column
    while len(chunk) - start > MAX_LINE:
        # From the start of a line, the last line end within reach: a step of up to
        # a thousand octets rather than one a line.
        line_end = chunk.rfind(b"\n", max(start, 0), start + MAX_LINE + 2)
        if line_end < 0:
            return start
        start = line_end + 1
    return None


def stuff_dots(chunk: bytes, *, at_line_start: bool) -> bytes:
    """Double the dot of every line of a canonical chunk that starts with one.

    RFC 5321 4.5.2: "If it is a period, one additional period is inserted at the
    beginning of the line."

    Args:
        chunk: Octets whose line ends are CRLF.
        at_line_start: Whether what came before the chunk ended in CRLF, or was nothing.
    """
    if at_line_start and chunk.startswith(b"."):
        chunk = b"." + chunk
    return _DOT_LINE.sub(b"\n..", chunk)


class Content:
    """Hold one message that is known to be fit for DATA.

    Attributes:
        size: Octets of the canonical form (RFC 1870 5).
        is_8bit: Whether it needs 8BITMIME (RFC 6152).
    """

    __slots__ = ("_is_canonical", "_octets", "is_8bit", "size")

    def __init__(self, octets: bytes) -> None:
        canonicaliser = Canonicaliser()
        try:
            chunks = list(map(len, _canonical(octets, canonicaliser)))
        except SMTPArgumentError as exc:
            line = len(_LINE_END.findall(octets, 0, exc.offset or 0)) + 1
            raise SMTPArgumentError(f"{exc}, in line {line}", exc.offset) from None
        self._octets = octets
        self._is_canonical = not canonicaliser.has_changed
        self.size = sum(chunks)
        self.is_8bit = canonicaliser.is_8bit

    @classmethod
    def of(cls, message: Message) -> Content:
        """Take a message in any of the forms that callers have it in.

        Text is encoded as UTF-8.

        Raises:
            SMTPArgumentError: It is no message, or one that cannot be sent.
        """
        if isinstance(message, str):
            try:
                return cls(message.encode("utf-8"))
            except UnicodeEncodeError as exc:
                offset = len(message[: exc.start].encode("utf-8"))
                raise SMTPArgumentError(
                    f"the content has a lone surrogate, at octet {offset}", offset
                ) from exc
        if isinstance(message, (bytes, bytearray, memoryview)):
            return cls(bytes(message))
        if isinstance(message, AsBytes):
            return cls(message.as_bytes())
        raise SMTPArgumentError(
            "a message is str, bytes or an object with as_bytes(), not "
            f"{type(message).__name__}"
        )

    def wire(self) -> Iterator[bytes]:
        """Give what follows the 354, in blocks: stuffed dots, and the final dot.

        The final dot never stands alone in a block unless the message is empty.
        """
        chunks = (
            _blocks(self._octets)
            if self._is_canonical
            else _canonical(self._octets, Canonicaliser())
        )
        block = b""
        at_line_start = True
        for chunk in chunks:
            if block:
                yield block
            block = stuff_dots(chunk, at_line_start=at_line_start)
            at_line_start = chunk.endswith(b"\n")
        yield block + b".\r\n"


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

"""The canonical form of mail content, which is given chunk by chunk.

Rules:

1. No bare CR and no bare LF is sent (RFC 5321 2.3.8, 4.1.1.4). Each of them becomes
   CRLF, in `bytes` and in `str`, before dots are doubled: a server that takes "LF . LF"
   for the end of the content would read the rest of the content as commands.
2. In the header block a bare CR is an error: as a line end it would turn the text
   behind it into a header field of its own. A NUL is an error everywhere.
3. A line of more than 998 octets is an error (RFC 5321 4.5.3.1.6).
4. The result does not depend on where the content is cut into chunks.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from operator import itemgetter

from ..exceptions import SMTPArgumentError, SMTPException

__all__ = [
    "LINE_END",
    "Canonicaliser",
    "canonical_blocks",
    "cut",
    "find_long_line",
    "is_plain",
]

#: How many octets of content are converted and written at a time.
BLOCK = 65536

#: RFC 5321 4.5.3.1.6: 1000 octets with the CRLF, not counting a stuffed dot.
MAX_LINE = 998

#: The line ends that callers may use.
LINE_END = re.compile(rb"\r\n|\r|\n")
_BARE_CR = re.compile(rb"\r(?!\n)")
_BEYOND_ASCII = re.compile(rb"[^\x00-\x7f]")
_EMPTY_LINE = re.compile(rb"\n\r?\n")
_EMPTY_FIRST_LINE = re.compile(rb"\r?\n")


class Canonicaliser:
    """Bring content into canonical form, chunk by chunk.

    Attributes:
        has_changed: Whether the canonical form differs from the content so far.

    Args:
        no_8bit: The exception to raise for an octet above 127; None if the server
            takes such octets.
    """

    def __init__(self, *, no_8bit: SMTPException | None = None) -> None:
        self._no_8bit = no_8bit
        self.has_changed = False
        self._held = b""  # a CR whose LF may be the first octet of the next chunk
        self._in_header = True
        self._column = 0  # octets of the unfinished line, in canonical form
        self._consumed = 0  # octets of the chunks before this one

    def feed(self, chunk: bytes) -> bytes:
        """Convert a chunk.

        A CR at its end is kept for the next call, because an LF may follow it.

        Raises:
            SMTPArgumentError: The content cannot be sent. Its `offset` counts octets
                from the start of the content.
            SMTPException: `no_8bit`, for an octet above 127.
        """
        if self._held:
            chunk = self._held + chunk
            self._held = b""
        if chunk.endswith(b"\r"):
            self._held = b"\r"
            chunk = chunk[:-1]
        return self._convert(chunk) if chunk else b""

    def finish(self) -> bytes:
        """Convert what is left, and end the last line with CRLF if it lacks one."""
        if self._held:
            return self._convert(self._held)  # a CR alone is a line end
        if not self._column:
            return b""
        self.has_changed = True
        return b"\r\n"

    def _convert(self, chunk: bytes) -> bytes:
        is_canonical = _is_canonical(chunk)
        faults = self._find_forbidden(chunk, is_canonical=is_canonical)
        if self._no_8bit is not None and (match := _BEYOND_ASCII.search(chunk)):
            faults.append((match.start(), self._no_8bit))
        if faults:
            # A line before this fault may be too long. That is then the first fault, as
            # it would be if the chunk were cut between the two.
            index, fault = min(faults, key=itemgetter(0))
            self._convert_lines(chunk[:index], is_canonical=False)
            try:
                raise fault
            finally:
                del fault, faults  # a frame that its own exception holds would stay
        out, last_line = self._convert_lines(chunk, is_canonical=is_canonical)
        self._column = len(out) - last_line + (0 if last_line else self._column)
        self._consumed += len(chunk)
        return out

    def _convert_lines(self, chunk: bytes, *, is_canonical: bool) -> tuple[bytes, int]:
        out = chunk
        if not is_canonical:
            self.has_changed = True
            out = LINE_END.sub(b"\r\n", chunk)
        long_line = find_long_line(out, self._column)
        if long_line is not None:
            lines_before = out.count(b"\n", 0, max(long_line, 0))
            starts = [m.end() for m in LINE_END.finditer(chunk)]
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
    # a regular expression. Latin-1 decodes every octet to one character.
    decoder = io.IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(chunk.decode("latin-1"), final=True)
    seen = decoder.newlines
    return seen is None or seen == "\r\n"


def find_long_line(
    chunk: bytes, column: int = 0, *, line_end: bytes = b"\r\n"
) -> int | None:
    """Find the first line of more than `MAX_LINE` octets.

    The last line counts even if its end is not in the chunk.

    Args:
        chunk: Octets in which `line_end` is the only line end.
        column: How many octets of the first line stand before the chunk.
        line_end: The line end of the chunk.

    Returns:
        The index in the chunk at which that line starts, which is negative where it
        starts before the chunk; None if no line is too long.
    """
    if len(chunk) + column <= MAX_LINE:
        return None
    reach = MAX_LINE + len(line_end)
    # Look from the start of a line for the last line end that is near enough. One such
    # step passes over up to a thousand octets, and over many short lines.
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


def is_plain(octets: bytes) -> bool:
    """Return whether a small message needs no change, as most messages do not."""
    return (
        octets.endswith(b"\r\n")
        and 0 not in octets
        and _is_canonical(octets)
        and find_long_line(octets) is None
    )


def cut(octets: bytes) -> Iterator[bytes]:
    """Cut octets into blocks."""
    if len(octets) <= BLOCK:
        return iter((octets,))
    return (octets[i : i + BLOCK] for i in range(0, len(octets), BLOCK))


def canonical_blocks(octets: bytes, canonicaliser: Canonicaliser) -> Iterator[bytes]:
    """Convert octets block by block, and end the last line with CRLF."""
    chunk = b""
    for block in cut(octets):
        if chunk:
            yield chunk
        chunk = canonicaliser.feed(block)
    if chunk := chunk + canonicaliser.finish():
        yield chunk

"""How content is marked off on the wire: by a dot after DATA, by counts with BDAT.

Rules:

1. After DATA the dot of every line that starts with one is doubled, and a line with
   nothing but a dot ends the content (RFC 5321 4.5.2).
2. BDAT says how many octets follow (RFC 3030 2). They are counted when they are there
   to be written, so the count is true whatever their source claimed; no dot is doubled.
3. DATA and BDAT are never mixed in one transaction (RFC 3030 2).
"""

from __future__ import annotations

import re
from typing import Protocol

from ..grammar.commands import bdat

__all__ = ["Chunk", "Chunks", "Dots", "Framing", "stuff_dots"]

_DOT_LINE = re.compile(rb"\r\n\.")


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
    elif chunk.startswith(b"\n."):  # the cut is within a CRLF
        chunk = b"\n." + chunk[1:]
    return _DOT_LINE.sub(b"\r\n..", chunk)


class Framing(Protocol):
    """Make of each block of canonical content what is written for it.

    Attributes:
        verb: The command that the content goes with.
        end: What the final reply is to.
        asks_each_time: Whether the server answers each block, or only the last.
    """

    verb: str
    end: str
    asks_each_time: bool

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Give what is written for a block."""


class Dots:
    """Frame content for DATA."""

    verb = "DATA"
    end = "the final dot"
    asks_each_time = False

    def __init__(self) -> None:
        self._at_line_start = True

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Give a block with its dots doubled, and the final dot behind the last."""
        stuffed = stuff_dots(block, at_line_start=self._at_line_start)
        if is_last:
            return stuffed + b".\r\n"
        if block:
            self._at_line_start = block.endswith(b"\n")
        return stuffed


class Chunk:
    """Frame content whose size is known, for one BDAT.

    Args:
        size: The octets of all blocks together.
        is_last: Whether no chunk follows.
    """

    verb = "BDAT"
    asks_each_time = False

    def __init__(self, size: int, *, is_last: bool = True) -> None:
        self._opening = bdat(size, is_last=is_last)
        self.end = "BDAT LAST" if is_last else "BDAT"

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Give a block, the first one with its BDAT."""
        opening, self._opening = self._opening, b""
        return opening + block


class Chunks:
    """Frame content whose size is not known: a BDAT for each block."""

    verb = "BDAT"
    end = "BDAT LAST"
    asks_each_time = True

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Give a block with its BDAT."""
        return bdat(len(block), is_last=is_last) + block

"""How the server finds the end of content: by a dot after DATA, by a size with BDAT.

Rules:

1. After DATA the dot of every line that starts with one is doubled, and a line with
   nothing but a dot ends the content (RFC 5321 4.5.2).
2. BDAT says how many octets follow (RFC 3030 2). They are counted when they are
   written, so the count is right whatever their source has claimed. No dot is doubled.
3. DATA and BDAT are never mixed in one transaction (RFC 3030 2).
"""

from __future__ import annotations

from typing import Protocol

from ..grammar.commands import bdat

__all__ = [
    "Chunk",
    "Chunks",
    "Dots",
    "Framing",
    "bdat_last",
    "dotted",
    "stuff_dots",
]


def stuff_dots(chunk: bytes, *, at_line_start: bool) -> bytes:
    """Double the dot of every line of a canonical chunk that starts with one.

    RFC 5321 4.5.2: "If it is a period, one additional period is inserted at the
    beginning of the line."

    Args:
        chunk: Octets whose line ends are CRLF.
        at_line_start: Whether the chunk begins a line: it is the first chunk, or the
            chunk before it ends in CRLF.
    """
    if at_line_start and chunk.startswith(b"."):
        chunk = b"." + chunk
    elif chunk.startswith(b"\n."):  # the cut between the chunks is inside a CRLF
        chunk = b"\n." + chunk[1:]
    return chunk.replace(b"\r\n.", b"\r\n..")


def dotted(octets: bytes) -> bytes:
    """Frame the whole of a canonical content for DATA."""
    return stuff_dots(octets, at_line_start=True) + b".\r\n"


def bdat_last(octets: bytes) -> bytes:
    """Frame the whole of a content as one BDAT LAST."""
    return bdat(len(octets), is_last=True) + octets


class Framing(Protocol):
    """A way to write the blocks of canonical content.

    Attributes:
        verb: The command that announces the content: "DATA" or "BDAT".
        end: The name, in error texts, of what the final reply answers.
        asks_each_time: Whether the server replies to each block, not only to the last.
    """

    verb: str
    end: str
    asks_each_time: bool

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Make the octets to write for one block."""


class Dots:
    """The framing of content after DATA."""

    verb = "DATA"
    end = "the final dot"
    asks_each_time = False

    def __init__(self) -> None:
        self._at_line_start = True

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Double the dots of a block; after the last block, add the final dot."""
        stuffed = stuff_dots(block, at_line_start=self._at_line_start)
        if is_last:
            return stuffed + b".\r\n"
        if block:
            self._at_line_start = block.endswith(b"\n")
        return stuffed


class Chunk:
    """The framing of content that goes with one BDAT, because its size is known.

    Args:
        size: How many octets all blocks have together.
        is_last: Whether this is the last BDAT of the message.
    """

    verb = "BDAT"
    asks_each_time = False

    def __init__(self, size: int, *, is_last: bool = True) -> None:
        self._opening = bdat(size, is_last=is_last)
        self.end = "BDAT LAST" if is_last else "BDAT"

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Put the BDAT before the first block; leave the others as they are."""
        opening, self._opening = self._opening, b""
        return opening + block


class Chunks:
    """The framing of content whose size is not known: each block has its own BDAT."""

    verb = "BDAT"
    end = "BDAT LAST"
    asks_each_time = True

    def frame(self, block: bytes, *, is_last: bool) -> bytes:
        """Put a BDAT before the block."""
        return bdat(len(block), is_last=is_last) + block

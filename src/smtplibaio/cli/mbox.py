"""Messages in an mbox (RFC 4155): where each stands, and its octets.

Rules:

1. A message begins at a line "From " that is the first line or follows an empty line.
   A line "From " in the middle of a paragraph is text that was not quoted; the
   `mailbox` module of the standard library would begin a message there.
2. The empty line in front of the next message, or at the end, is not part of a message.
3. A quoted line (">From ", ">>From ") loses one ">", as the format mboxrd has it.
"""

from __future__ import annotations

import re
from typing import BinaryIO, NamedTuple

__all__ = ["Part", "begins_like_mbox", "parts_of", "read_part"]

_MARK = b"From "
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class Part(NamedTuple):
    """Where a message stands in the file: without its "From " line."""

    start: int
    size: int


def begins_like_mbox(octets: bytes) -> bool:
    """Tell whether a file that begins with these octets is an mbox, not a message."""
    return octets.startswith(_MARK)


def parts_of(file: BinaryIO) -> list[Part]:
    """Find the messages of an mbox.

    Args:
        file: It is read to its end, line by line.
    """
    starts: list[int] = []
    ends: list[int] = []
    at, end, is_empty = 0, 0, True  # what stands before the first line counts as empty
    file.seek(0)
    for line in file:
        if is_empty and line.startswith(_MARK):
            ends.append(end)
            starts.append(at + len(line))
        is_empty = line in (b"\n", b"\r\n")
        end = at if is_empty else at + len(line)
        at += len(line)
    # The first end is that of what stands before the first message. Without a message
    # the last end is left over.
    return [
        Part(start, max(end - start, 0))
        for start, end in zip(starts, [*ends[1:], end], strict=False)
    ]


def read_part(file: BinaryIO, part: Part) -> bytes:
    """Read one message."""
    file.seek(part.start)
    return _QUOTED.sub(rb"\1", file.read(part.size))

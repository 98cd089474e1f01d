"""The peak of memory while large mails are sent."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import BULK, MIB, Row, figure
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    sizes = (25, 100)
    whole = [replace(base, client="ours-held", size=size * MIB) for size in sizes]
    parts = [replace(base, client="ours-streamed", size=size * MIB) for size in sizes]
    peer = replace(base, client="aiosmtplib-held", size=BULK)
    peak, scale = "memory", 1 / MIB
    return Row(
        "memory",
        "peak of memory",
        (
            figure("above a body of 25 MiB", whole[0], peak, 2, "MiB", scale),
            figure("above a body of 100 MiB", whole[1], peak, 2, "MiB", scale),
            figure("25 MiB from a file", parts[0], peak, 4, "MiB", scale),
            figure("100 MiB from a file", parts[1], peak, 4, "MiB", scale),
            figure("above 25 MiB, aiosmtplib", peer, peak, None, "MiB", scale),
        ),
        rounds=3,
    )

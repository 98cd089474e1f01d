"""Connect, EHLO, QUIT."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="ours-connecting")
    floor = replace(base, client="floor-connecting")
    peer = replace(base, client="aiosmtplib-connecting")
    return Row(
        "connect",
        "connect, EHLO, QUIT",
        (
            ratio("CPU / bare floor", ours, floor, 1.3),
            ratio("CPU / aiosmtplib", ours, peer),
            uvloop(ours),
        ),
    )

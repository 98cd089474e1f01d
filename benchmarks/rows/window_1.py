"""Many mails with `send_many`, window 1."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="ours-many", window=1)
    floor = replace(base, client="floor-one-turn")
    return Row(
        "window-1",
        "send_many, window 1",
        (
            ratio("CPU / one-turn floor", ours, floor, 2.2),
            ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.14),
            uvloop(ours),
        ),
    )

"""Many mails with `send_many`, 32 of them on their way."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="ours-many", window=32)
    floor = replace(base, client="floor-streaming", window=32)
    return Row(
        "window-32",
        "send_many, window 32 (BDAT)",
        (
            ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.06),
            ratio("CPU / streaming floor", ours, floor),
            uvloop(ours),
        ),
    )

"""One mail of 25 MiB."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import BULK, Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    bulk = replace(base, size=BULK)
    ours = replace(bulk, client="ours")
    return Row(
        "bulk",
        "25 MiB of text lines, bytes, DATA",
        (
            ratio("CPU / aiosmtplib", ours, replace(bulk, client="aiosmtplib"), 0.05),
            ratio("CPU / smtplib", ours, replace(bulk, client="smtplib"), 0.2),
            ratio("CPU / bare write", ours, replace(bulk, client="floor-bulk")),
            uvloop(ours),
        ),
    )

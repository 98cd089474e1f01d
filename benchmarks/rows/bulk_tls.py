"""One mail of 25 MiB over TLS."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import BULK, Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    bulk = replace(base, size=BULK, tls=True)
    ours = replace(bulk, client="ours")
    floor = replace(bulk, client="floor-bulk")
    return Row(
        "bulk-tls",
        "25 MiB of text lines over TLS",
        (
            ratio("rate / bare write", ours, floor, 0.85, key="wall", is_rate=True),
            ratio("octets a CPU second / bare", ours, floor, is_rate=True),
            uvloop(ours),
        ),
    )

"""Mails with fifty recipients."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Comparison, Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    one = replace(base, client="ours-many", window=1)
    fifty = replace(one, recipients=50)
    peer = replace(base, client="aiosmtplib", recipients=50)
    further = Comparison(
        "CPU of a further recipient",
        (fifty, one),
        lambda results: (results[fifty]["cpu"] - results[one]["cpu"]) / 49,
        1.0,
        unit="us",
    )
    return Row(
        "recipients",
        "50 recipients a message, window 1",
        (ratio("CPU / aiosmtplib", fifty, peer, 0.03), further, uvloop(fifty)),
    )

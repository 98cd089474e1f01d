"""One mail after another with `sendmail`."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="ours")
    floor = replace(base, client="floor-two-turns")
    return Row(
        "sendmail",
        "sendmail in a loop, 2 KiB, 1 recipient",
        (
            ratio("CPU / two-turn floor", ours, floor, 1.6),
            ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.25),
            ratio("CPU / smtplib", ours, replace(base, client="smtplib"), 0.65),
            ratio("CPU / nodemailer", ours, replace(base, client="nodemailer")),
            ratio("CPU / smtp-source", ours, replace(base, client="smtp-source")),
            ratio("CPU / bare socket", ours, replace(base, client="floor-socket")),
            uvloop(ours),
        ),
    )

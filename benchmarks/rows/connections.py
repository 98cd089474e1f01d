"""A hundred connections at a time: CPU, and memory of each."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, figure, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    many = replace(base, connections=100, messages=5000)
    ours = replace(many, client="ours-connections", window=1)
    peer = replace(many, client="aiosmtplib-connections")
    return Row(
        "connections",
        "100 connections, 5,000 messages",
        (
            ratio("CPU / aiosmtplib", ours, peer, 0.15),
            figure("memory of a connection", ours, "memory", 20, "KiB", 1 / 1024),
            figure("the same, aiosmtplib", peer, "memory", None, "KiB", 1 / 1024),
            uvloop(ours),
        ),
    )

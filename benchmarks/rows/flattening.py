"""A message object to octets."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Results, Row, ratio
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="flatten-ours")
    peer = replace(base, client="flatten-stdlib")
    speed = ratio("speed / as_bytes, same octets", ours, peer, 2.5, is_rate=True)

    def value(results: Results) -> float:
        if results[ours]["digest"] != results[peer]["digest"]:
            raise ValueError("the octets differ")
        return speed.value(results)

    return Row(
        "flatten",
        "flattening a message with a 5 MiB attachment",
        (replace(speed, value=value),),
    )

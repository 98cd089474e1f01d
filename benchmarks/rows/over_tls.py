"""`sendmail` and window 1 over TLS."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Row, ratio, uvloop
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    over = replace(base, tls=True)
    one = replace(over, client="ours")
    many = replace(over, client="ours-many", window=1)
    two_turns = replace(over, client="floor-two-turns")
    one_turn = replace(over, client="floor-one-turn")
    return Row(
        "tls",
        "the first two over TLS",
        (
            ratio("sendmail, CPU / floor over TLS", one, two_turns, 1.75),
            ratio("window 1, CPU / floor over TLS", many, one_turn, 1.75),
            uvloop(one, "sendmail, "),
            uvloop(many, "window 1, "),
        ),
    )

"""Round trips of whole sessions on a slow link."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import Comparison, Row, figure
from ..work import Work

__all__ = ["row"]

_UNIT = "round trips"


def row(base: Work, link: float) -> Row:
    """The row, for loops as `base` says and a link of so many seconds."""
    ours = replace(base, client="turns-ours", link=link)
    peer = replace(base, client="turns-aiosmtplib", link=link)
    many = [replace(ours, client="turns-many", window=window) for window in (1, 32)]

    def both(key: str, name: str, goal: float) -> tuple[Comparison, Comparison]:
        return (
            figure(name, ours, key, goal, _UNIT),
            figure(f"{name}, aiosmtplib", peer, key, None, _UNIT),
        )

    return Row(
        "turns",
        "round trips of a session, all of it",
        (
            *both("plain", "one message", 5),
            *both("starttls", "one, STARTTLS and AUTH", 9),
            *both("implicit", "one, implicit TLS and AUTH", 7),
            *both("plain, time", "one message, by time", 5.4),
            *both("starttls, time", "one, STARTTLS and AUTH, by time", 9.6),
            *both("implicit, time", "one, implicit TLS and AUTH, by time", 7.6),
            *both("recipients", "one to 100 recipients", 5),
            *both("hundred", "100 messages, sendmail", 206),
            figure("100 messages, window 1", many[0], "hundred", 106, _UNIT),
            figure("100 messages, window 32", many[1], "hundred", 12, _UNIT),
        ),
        rounds=1,
    )

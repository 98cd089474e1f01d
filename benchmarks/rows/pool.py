"""Mails through a pool of connections, on loopback and on a slow link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..comparing import Comparison, Row, ratio
from ..work import Work

__all__ = ["row"]

_SIZES = (1, 2, 5, 10)
_MAILS = 20_000
#: For each connection: on a slow link a mail takes a round trip or more.
_MAILS_ON_LINK = 40
#: Shorter loops are those of `--quick`, which sends a twentieth.
_QUICK = 0.5

#: The most CPU of a message, in parts of a bare client's.
_MOST_CPU = 1.15
#: The fewest messages a second, in parts of those of as many bare clients.
_FEWEST = 0.9


def row(base: Work, link: float) -> Row:
    """The row, for loops as `base` says and a link of so many seconds."""
    return Row(
        "pool",
        "20,000 messages through a pool",
        (*_on_loopback(base), *_on_link(base, link)),
        rounds=1,
    )


def _on_loopback(base: Work) -> Iterator[Comparison]:
    count = _MAILS // 20 if base.seconds < _QUICK else _MAILS
    for size in _SIZES:
        ours = replace(base, client="pool-ours", connections=size, messages=count)
        peer = replace(ours, client="pool-aiosmtplib")
        other = replace(ours, client="pool-nodemailer")
        bare = replace(ours, client="pool-bare")
        yield ratio(f"{size}, CPU / bare clients", ours, bare, _MOST_CPU)
        yield _rate(f"{size}, messages a second / bare clients", ours, bare)
        yield ratio(f"{size}, CPU / aiosmtplib and a semaphore", ours, peer)
        yield ratio(f"{size}, time / aiosmtplib", ours, peer, key="wall")
        yield ratio(f"{size}, time / nodemailer's pool", ours, other, key="wall")


def _on_link(base: Work, link: float) -> Iterator[Comparison]:
    for size in _SIZES:
        count = size * _MAILS_ON_LINK
        ours = replace(base, client="pool-ours", connections=size, messages=count)
        ours = replace(ours, link=link)
        peer = replace(ours, client="pool-aiosmtplib")
        bare = replace(ours, client="pool-bare")
        yield _rate(f"{size}, slow link, messages a second / bare clients", ours, bare)
        yield ratio(f"{size}, slow link, time / aiosmtplib", ours, peer, key="wall")


def _rate(name: str, ours: Work, bare: Work) -> Comparison:
    return ratio(name, ours, bare, _FEWEST, key="wall", is_rate=True)

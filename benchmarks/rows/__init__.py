"""The table: a module a row, in the order of the table."""

from __future__ import annotations

from ..comparing import Row
from ..work import Work
from . import (
    bulk,
    bulk_tls,
    connecting,
    connections,
    flattening,
    importing,
    memory,
    over_tls,
    pool,
    recipients,
    round_trips,
    sendmail,
    window_1,
    window_32,
)

__all__ = ["rows"]

_ORDER = (
    sendmail,
    window_1,
    window_32,
    recipients,
    connections,
    pool,
    over_tls,
    bulk,
    bulk_tls,
    memory,
    round_trips,
    importing,
    connecting,
    flattening,
)


def rows(*, seconds: float, link: float) -> list[Row]:
    """The rows, for loops of so many seconds and round trips of so many."""
    base = Work("", seconds=seconds)
    return [module.row(base, link) for module in _ORDER]

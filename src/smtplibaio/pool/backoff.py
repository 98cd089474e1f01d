"""How a pool slows down if its server is overloaded: fewer connections, and pauses.

Additive increase, multiplicative decrease (AIMD), as TCP does it. The figures:

* Each refusal that is about load halves the number of connections, rounded down, but
  not below 1.
* After a refusal nothing more is tried for `backoff` seconds; for twice as long after
  each further refusal in a row, up to `backoff_max`. Of each of these times a random
  part is used, between one half and the whole, so that many clients do not come back
  together. A refusal that comes within such a time belongs to the one before it: a
  server that says goodbye to ten sessions has refused once.
* When no refusal has come for `GROW_EVERY` seconds (30) after such a time, one more
  connection is allowed, and so on every 30 seconds, up to the size of the pool.

There are two such times: one for opening connections, one for sending mails.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

__all__ = ["GROW_EVERY", "Backoff", "Gate", "pause"]

#: Seconds without a refusal after which one more connection is allowed.
GROW_EVERY = 30.0

#: Doublings after which the longest pause is reached in any case.
_MOST_DOUBLINGS = 60


def pause(
    first: float, most: float, number: int, jitter: Callable[[], float] = random.random
) -> float:
    """Calculate the seconds to wait after so many failures in a row.

    Args:
        first: The seconds after one failure.
        most: The most seconds.
        number: The failures, from 1 on.
        jitter: A function that returns a number from 0 to 1.
    """
    whole = min(most, first * 2.0 ** min(number - 1, _MOST_DOUBLINGS))
    return whole * (0.5 + jitter() / 2)


class Gate:
    """A pause in which something is not tried; longer with every failure.

    Attributes:
        failures: The failures in a row.
        opens_at: The time from which on it may be tried.

    Args:
        first: See `pause`.
        most: See `pause`.
        jitter: See `pause`.
    """

    def __init__(self, first: float, most: float, jitter: Callable[[], float]) -> None:
        self.failures = 0
        self.opens_at = float("-inf")
        self._pause = partial(pause, first, most, jitter=jitter)

    def close(self, now: float) -> bool:
        """Close the gate for a while; say whether it was open."""
        if now < self.opens_at:
            return False
        self.failures += 1
        self.opens_at = now + self._pause(self.failures)
        return True

    def succeeded(self) -> None:
        """Forget the failures; a gate that is closed stays closed until its time."""
        self.failures = 0


class Backoff:
    """How many connections are allowed now, and when the next attempt may be made.

    Attributes:
        limit: The number of connections that are allowed.
        opening: When a connection may be opened.
        sending: When a mail may be sent.

    Args:
        size: The number of connections while the server refuses nothing.
        first: Seconds of the first pause.
        most: Seconds of the longest one.
        jitter: See `pause`.
    """

    def __init__(
        self,
        size: int,
        first: float,
        most: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.limit = size
        self.opening = Gate(first, most, jitter)
        self.sending = Gate(first, most, jitter)
        self._size = size
        self._grows_at = float("inf")

    def connect_refused(self, now: float) -> None:
        """Take note that the server refused a connection because of its load."""
        if self.opening.close(now):
            self._shrink(self.opening.opens_at)

    def mail_refused(self, now: float) -> None:
        """Take note that the server refused a mail because of its load."""
        if self.sending.close(now):
            self.opening.close(now)
            self._shrink(self.sending.opens_at)

    def connect_failed(self, now: float) -> None:
        """Take note that no connection could be opened, for any other reason."""
        self.opening.close(now)

    def _shrink(self, until: float) -> None:
        self.limit = max(1, self.limit // 2)
        self._grows_at = until + GROW_EVERY

    def grow(self, now: float) -> None:
        """Allow one connection more for each time without a refusal."""
        while self.limit < self._size and now >= self._grows_at:
            self.limit += 1
            self._grows_at += GROW_EVERY

    @property
    def grows_at(self) -> float:
        """The time at which one connection more is allowed."""
        return self._grows_at if self.limit < self._size else float("inf")

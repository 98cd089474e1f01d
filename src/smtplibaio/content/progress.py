"""Calls of `progress=`, which say how much of a message has been sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Progress", "ProgressCallback"]

#: Called with the number of octets sent, and their total or None if it is not known.
ProgressCallback = Callable[[int, int | None], object]

#: Least time between two calls, in seconds. With the call at the end, which does not
#: wait, there are at most 20 calls in any second.
INTERVAL = 1 / 18


class Progress:
    """Count the octets of one message, and report them to the caller.

    Args:
        callback: The function that the caller passed as `progress=`.
        total: How many octets the message has, or None if that is not known.
        clock: A function that returns the time in seconds.
        complain: The function to call if the callback raises, with a context as for
            `loop.call_exception_handler`. The mail goes on.
    """

    def __init__(
        self,
        callback: ProgressCallback,
        total: int | None,
        clock: Callable[[], float],
        complain: Callable[[dict[str, Any]], object],
    ) -> None:
        self._callback = callback
        self._total = total
        self._clock = clock
        self._complain = complain
        self._sent = 0
        self._told = float("-inf")

    def sent(self, octets: int) -> None:
        """Count octets that were written, and report unless that was done just now."""
        self._sent += octets
        if (now := self._clock()) - self._told >= INTERVAL:
            self._told = now
            self._tell()

    def done(self) -> None:
        """Report that the whole message has been written."""
        self._tell()

    def _tell(self) -> None:
        try:
            self._callback(self._sent, self._total)
        except Exception as exc:
            self._complain({"message": "progress has raised", "exception": exc})

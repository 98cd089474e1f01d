"""Telling a caller how much of a message has been sent, now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Progress", "ProgressCallback"]

#: Called with the octets sent, and their total or None where it is not known.
ProgressCallback = Callable[[int, int | None], object]

#: Seconds between two calls. With one more at the end, there are at most 20 in any
#: second.
INTERVAL = 1 / 18


class Progress:
    """Count the octets of one message, and tell of them.

    Args:
        callback: Whom to tell.
        total: The octets of the message, or None where that is not known.
        clock: What gives the time, in seconds.
        complain: What to call with a context (as `loop.call_exception_handler`) where
            the callback raises: that is its own affair, and not the mail's.
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
        """Count octets that were handed over; tell, unless that was done just now."""
        self._sent += octets
        if (now := self._clock()) - self._told >= INTERVAL:
            self._told = now
            self._tell()

    def done(self) -> None:
        """Tell that everything has been taken."""
        self._tell()

    def _tell(self) -> None:
        try:
            self._callback(self._sent, self._total)
        except Exception as exc:
            self._complain({"message": "progress has raised", "exception": exc})

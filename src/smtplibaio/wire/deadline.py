"""One timer for a deadline that moves all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """Call a function once a deadline has passed without having been moved.

    Moving it is cheap: the timer is left where it is, and looks when it goes off
    whether the deadline has moved on meanwhile.

    Attributes:
        when: The loop's time at which it passes; None for never.

    Args:
        loop: The running loop.
        on_passed: What to call.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_passed: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._on_passed = on_passed
        self.when: float | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_when = 0.0  # not of the timer: uvloop's may be a plain Handle

    def set(self, timeout: float | None) -> None:
        """Let it pass so many seconds from now, or never."""
        if timeout is None:
            self.when = None
            return
        self.when = self._loop.time() + timeout
        if self._timer is None or self._timer_when > self.when:
            self._arm(self.when)

    def cancel(self) -> None:
        """Let it never pass, and leave no timer behind."""
        self.when = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look)
        self._timer_when = when

    def _look(self) -> None:
        self._timer = None
        if self.when is None:
            return
        if self._loop.time() < self.when:
            self._arm(self.when)
        else:
            self.when = None
            self._on_passed()

"""One timer for a deadline that moves all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Deadline"]


class Deadline:
    """Call a function once a deadline has passed without having been moved.

    Moving the deadline is cheap, because the timer of the loop is not moved. When the
    timer goes off, and the deadline is later now, a new timer is started.

    Attributes:
        when: The time of the loop at which the deadline passes; None for never.

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
        self._timer_when = 0.0  # a timer of uvloop may not tell it

    def set(self, timeout: float | None) -> None:
        """Let the deadline pass after these seconds from now, or never."""
        if timeout is None:
            self.when = None
            return
        self.when = self._loop.time() + timeout
        if self._timer is None or self._timer_when > self.when:
            self._arm(self.when)

    def cancel(self) -> None:
        """Let the deadline never pass, and cancel the timer."""
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

"""A loop whose clock jumps: where no socket is ready, the next timer is due at once.

Sockets, transports and threads are real. What is sent over loopback is there when the
call that sends it returns, but for rare cases that a millisecond of patience covers.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

__all__ = ["Deadlock", "VirtualLoop"]

_PATIENCE = 0.002
#: No thread of a world takes longer than this.
_THREADS = 5.0


class Deadlock(Exception):
    """Nothing is ready, no timer is set, and somebody waits."""


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.loop.threads:
            return super().select(_THREADS)
        ready = super().select(_PATIENCE)
        if ready:
            return ready
        if timeout is None:
            raise Deadlock
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of asyncio with a virtual clock.

    Attributes:
        now: The time, in seconds.
        threads: How many calls are under way in threads; the clock waits for them.
    """

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 1000.0
        self.threads = 0
        super().__init__(selector)

    def time(self) -> float:
        """The virtual time."""
        return self.now

    def run_in_executor(
        self, executor: Any, function: Callable[..., Any], *arguments: Any
    ) -> asyncio.Future[Any]:
        """Call in a thread, for which the clock waits."""
        future = super().run_in_executor(executor, function, *arguments)
        self.threads += 1
        future.add_done_callback(self._thread_ends)
        return future

    def _thread_ends(self, _: object) -> None:
        self.threads -= 1

"""Every moment that an operation has, and what goes wrong at one of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Literal

import pytest
from strict_server import Event, StrictServer

#: What happens: cancel, that the operation is; hang-up, that another task closes the
#: client; anything else is done by the server.
Strike = Event | Literal["cancel", "hang-up"]


class Counted:
    """Await a coroutine, and tell of each of its suspensions."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], suspended: Callable[[Any], None]
    ) -> None:
        self._coroutine = coroutine
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        try:
            awaited = next(inner)
            while True:
                self._suspended(awaited)
                try:
                    yield awaited
                except BaseException as exc:
                    awaited = inner.throw(exc)
                else:
                    awaited = next(inner)
        except StopIteration as stop:
            return stop.value


When = Literal["as-it-waits", "as-it-wakes"]


class Moments:
    """Count the suspensions of an operation, and strike at one of them.

    "As it waits" is before anybody else has had a turn; "as it wakes" is when that
    which was waited for has come, and the operation has not seen it yet.
    """

    def __init__(self, number: int, when: When, *, again: bool = False) -> None:
        self.strike: Callable[[], object]  # to be set before the loop's next turn
        self._number = number
        self._when = when
        self._again = again
        self._count = 0
        self._loop = asyncio.get_running_loop()
        self.has_come = False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Drive the operation in a task; those that it starts count as well."""
        self._loop.set_task_factory(self._task)
        return self._loop.create_task(coroutine)

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        if asyncio.current_task() is None:  # asyncio's, which accepts a connection
            return asyncio.Task(coroutine, loop=loop, **options)

        async def counted() -> Any:
            return await Counted(coroutine, self._suspended)

        task = asyncio.Task(counted(), loop=loop, **options)
        # A task that is cancelled before its first step never awaits its coroutine.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def stop(self) -> None:
        """Count no more."""
        self._loop.set_task_factory(None)
        self._number = -1

    def _suspended(self, awaited: Any) -> None:
        count, self._count = self._count, self._count + 1
        if count == self._number:
            self.has_come = True
            if self._again:
                self._number += 1
            if self._when == "as-it-waits":
                self.strike()
            elif isinstance(awaited, asyncio.Future):
                awaited.add_done_callback(lambda _: self.strike())
            else:
                self._loop.call_soon(self.strike)


class Clock:
    """The loop's time, which can be put forward."""

    def __init__(self) -> None:
        self._offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds


#: Seconds of every timeout.
TIMEOUT = 20.0

#: Turns of the loop in which whatever can happen without a timeout has happened.
TURNS = 40


Silence = asyncio.Future[None]


async def finish(task: asyncio.Task[Any], clock: Clock, silence: Silence) -> None:
    """Wait for the operation; once the server is silent, only time goes by."""
    await asyncio.wait((task, silence), timeout=5, return_when="FIRST_COMPLETED")
    loop = asyncio.get_running_loop()
    for _ in range(10):
        for turn in range(TURNS):
            if task.done():
                return
            if turn % 4 == 0:  # the one thread has read by then what it was asked for
                await loop.run_in_executor(None, int)
            await asyncio.sleep(0)
        if silence.done():
            clock.advance(TIMEOUT)
    task.cancel()
    await asyncio.wait((task,))
    pytest.fail("the operation hangs")


def arm(server: StrictServer, event: Event) -> tuple[Callable[[], None], Silence]:
    """Give the strike, and the future of the silence that it may begin."""
    silence: Silence = asyncio.get_running_loop().create_future()

    def strike() -> None:
        server.strike(event)
        if event in ("mute", "stall"):
            silence.set_result(None)

    return strike, silence

"""Measure the CPU and the time of a loop, and of nothing around it."""

from __future__ import annotations

import resource
import time
from collections.abc import Awaitable, Callable, Iterator

from .work import Work

__all__ = ["Meter", "Result", "repeat", "repeat_blocking", "ticks"]

#: What one client process found out; `sent` is what the sink must have counted.
Result = dict[str, float]


class Meter:
    """Measure from `start` to `stop`."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = _cpu()

    def stop(self, units: int, *, sent: int | None = None) -> Result:
        """Give microseconds a unit."""
        cpu = _cpu() - self._cpu
        wall = time.perf_counter() - self._wall
        result: Result = {
            "cpu": cpu / units * 1e6,
            "wall": wall / units * 1e6,
            "units": units,
        }
        return result if sent is None else {**result, "sent": sent}


def ticks(work: Work) -> Iterator[int]:
    """Count up to `work.messages`, or for `work.seconds` where that is none."""
    if work.messages:
        yield from range(work.messages)
        return
    count = 0
    end = time.perf_counter() + work.seconds
    while time.perf_counter() < end:
        yield count
        count += 1


async def repeat(
    work: Work, one: Callable[[int], Awaitable[object]], warm_up: int, each: int = 1
) -> Result:
    """Await `one`, which sends `each` messages, again and again."""
    for n in range(warm_up):
        await one(n)
    count = 0
    meter = Meter()
    for n in ticks(work):
        await one(n)
        count += 1
    return meter.stop(count * (each or 1), sent=(count + warm_up) * each)


def repeat_blocking(work: Work, one: Callable[[int], object], warm_up: int) -> Result:
    """Call `one` again and again."""
    for n in range(warm_up):
        one(n)
    count = 0
    meter = Meter()
    for n in ticks(work):
        one(n)
        count += 1
    return meter.stop(count, sent=count + warm_up)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

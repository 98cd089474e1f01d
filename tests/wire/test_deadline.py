"""One timer for a deadline that moves all the time, on either event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from smtplibaio.wire.deadline import Deadline

Scenario = Callable[[asyncio.AbstractEventLoop], Awaitable[None]]
Run = Callable[[Scenario], None]


@pytest.fixture(
    params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def run(request: pytest.FixtureRequest) -> Run:
    """Give what runs a scenario in a fresh loop, and wants no complaint of it."""

    def run(scenario: Scenario) -> None:
        complaints: list[dict[str, object]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_debug(True)
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            await scenario(loop)

        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(main())
        assert complaints == []

    return run


class Watch:
    """A deadline, and when it passed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.deadline = Deadline(loop, self._passed)
        self.passed: list[float] = []
        self.has_passed = asyncio.Event()
        self._loop = loop
        self._start = loop.time()

    def _passed(self) -> None:
        # To the microsecond: the sums of floats differ in their last bits.
        self.passed.append(round(self._loop.time() - self._start, 6))
        self.has_passed.set()


def test_a_deadline_passes_once_and_not_before_its_time(run: Run) -> None:
    """B08: what bounds a wait is a deadline of ours."""

    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        watch = Watch(loop)
        watch.deadline.set(0.02)
        async with asyncio.timeout(5):
            await watch.has_passed.wait()
        await asyncio.sleep(0.03)
        assert len(watch.passed) == 1
        assert watch.passed[0] >= 0.02

    run(scenario)


@pytest.mark.parametrize(
    ("settings", "at_least"),
    [
        pytest.param([0.01, 0.05], 0.05, id="later: the timer looks again"),
        pytest.param([10, 0.02], 0.02, id="sooner: the timer is set anew"),
        pytest.param([0.01, None, 0.04], 0.04, id="never, and then later"),
        pytest.param([0.0001, 0.05], 0.05, id="hardly any time, and then more"),
        pytest.param([0.05, 0.0001], 0.0001, id="then hardly any time"),
    ],
)
def test_the_last_setting_counts(
    run: Run, settings: list[float | None], at_least: float
) -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        watch = Watch(loop)
        for seconds in settings:
            watch.deadline.set(seconds)
        async with asyncio.timeout(5):
            await watch.has_passed.wait()
        assert watch.passed[0] >= at_least
        watch.deadline.cancel()

    run(scenario)


def test_a_deadline_that_was_lifted_never_passes(run: Run) -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        watch = Watch(loop)
        watch.deadline.set(0.01)
        watch.deadline.set(None)
        await asyncio.sleep(0.03)
        assert watch.passed == []

    run(scenario)


def test_a_deadline_can_be_set_again_after_it_has_passed_or_was_cancelled(
    run: Run,
) -> None:
    async def scenario(loop: asyncio.AbstractEventLoop) -> None:
        watch = Watch(loop)
        for _ in range(2):
            watch.has_passed.clear()
            watch.deadline.set(0.005)
            async with asyncio.timeout(5):
                await watch.has_passed.wait()
        watch.deadline.cancel()  # without a timer: nothing to do
        watch.deadline.set(0.01)
        watch.deadline.cancel()
        await asyncio.sleep(0.03)
        assert len(watch.passed) == 2

    run(scenario)


async def test_moving_a_deadline_makes_no_new_timer() -> None:
    """E32: every reply moves it, so it has to cost next to nothing."""

    class Counting:
        made = 0

        def time(self) -> float:
            return asyncio.get_running_loop().time()

        def call_at(
            self, when: float, callback: Callable[[], object]
        ) -> asyncio.TimerHandle:
            self.made += 1
            return asyncio.get_running_loop().call_at(when, callback)

    loop = Counting()
    deadline = Deadline(loop, lambda: None)  # type: ignore[arg-type]
    for _ in range(1000):
        deadline.set(60)
        deadline.set(None)
    deadline.cancel()
    assert loop.made == 1

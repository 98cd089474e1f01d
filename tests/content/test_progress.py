"""How often a caller is told of progress, and that its own faults are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio.content.progress import Progress, ProgressCallback


class Clock:
    """Give the time that a test says it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def unexpected(context: dict[str, Any]) -> None:
    pytest.fail(f"a complaint: {context}")


def test_the_octets_add_up() -> None:
    """And the total is told with them."""
    told: list[tuple[int, int | None]] = []
    clock = Clock()
    progress = Progress(lambda *now: told.append(now), 30, clock, unexpected)
    for octets in 5, 0, 25:
        progress.sent(octets)
        clock.now += 1
    progress.done()
    assert told == [(5, 30), (5, 30), (30, 30), (30, 30)]


def test_an_unknown_total_is_none() -> None:
    told: list[tuple[int, int | None]] = []
    progress = Progress(lambda *now: told.append(now), None, Clock(), unexpected)
    progress.sent(5)
    progress.done()
    assert told == [(5, None), (5, None)]


def test_what_is_sent_in_between_is_told_at_the_end() -> None:
    """However soon that comes."""
    told: list[int] = []
    progress = Progress(lambda sent, _: told.append(sent), None, Clock(), unexpected)
    for _ in range(1000):
        progress.sent(1)
    assert told == [1]
    progress.done()
    assert told == [1, 1000]


def test_the_first_block_is_told_at_once_whatever_the_clock_says() -> None:
    told: list[int] = []
    clock = Clock()
    clock.now = 0.0
    Progress(lambda sent, _: told.append(sent), None, clock, unexpected).sent(7)
    assert told == [7]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.049, 0.05, 0.06, 1 / 18, 0.5, 1.0]))
)
def test_a_caller_is_told_at_most_20_times_in_any_second(pauses: list[float]) -> None:
    """The end included; and at least as often as there is time for it."""
    clock = Clock()
    times: list[float] = []
    progress = Progress(lambda *_: times.append(clock.now), None, clock, unexpected)
    for pause in pauses:
        clock.now += pause
        progress.sent(1)
        assert clock.now - times[-1] < 0.1
    progress.done()
    for first in times:
        assert sum(first <= time <= first + 1 for time in times) <= 20


def test_a_thousand_blocks_a_second_are_told_19_times_and_at_the_end() -> None:
    """The worst second there is."""
    clock = Clock()
    times: list[float] = []
    progress = Progress(lambda *_: times.append(clock.now), None, clock, unexpected)
    for _ in range(1001):
        progress.sent(1)
        clock.now += 0.001
    progress.done()
    assert 15 <= len(times) <= 20


def once_failing(error: BaseException, told: list[int]) -> ProgressCallback:
    def callback(sent: int, total: int | None) -> None:
        told.append(sent)
        if len(told) == 1:
            raise error

    return callback


@pytest.mark.parametrize("call", [lambda p: p.sent(5), lambda p: p.done()])
def test_what_a_callback_raises_is_a_complaint_and_not_the_mails(
    call: Callable[[Progress], None],
) -> None:
    """And it is called again."""
    complaints: list[dict[str, Any]] = []
    told: list[int] = []
    clock = Clock()
    error = ValueError("no bar to draw")
    progress = Progress(once_failing(error, told), 9, clock, complaints.append)
    call(progress)
    assert [c["exception"] for c in complaints] == [error]
    assert "progress" in complaints[0]["message"]
    clock.now += 1
    progress.sent(4)
    progress.done()
    assert len(told) == 3
    assert len(complaints) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_what_ends_the_program_is_not_held_up(error: BaseException) -> None:
    progress = Progress(once_failing(error, []), None, Clock(), unexpected)
    with pytest.raises(type(error)):
        progress.sent(1)

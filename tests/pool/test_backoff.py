"""Fewer connections and pauses, when a server has too much to do."""

from __future__ import annotations

import pytest

from smtplibaio.pool.backoff import GROW_EVERY, Backoff, pause


def whole() -> float:
    return 1.0


def test_a_pause_doubles_with_each_failure_up_to_the_most() -> None:
    pauses = [pause(1.0, 300.0, number, whole) for number in range(1, 11)]
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert pause(1.0, 300.0, 10**9, whole) == 300


@pytest.mark.parametrize(("jitter", "seconds"), [(0.0, 4.0), (0.5, 6.0), (1.0, 8.0)])
def test_a_random_part_of_up_to_half_of_a_pause_is_left_out(
    jitter: float, seconds: float
) -> None:
    assert pause(1.0, 300.0, 4, lambda: jitter) == seconds


def test_each_refusal_halves_the_connections_but_one_is_always_left() -> None:
    backoff = Backoff(10, 1.0, 300.0, whole)
    now, limits = 0.0, []
    for _ in range(5):
        backoff.connect_refused(now)
        limits.append(backoff.limit)
        now = backoff.opening.opens_at
    assert limits == [5, 2, 1, 1, 1]
    assert now == 1 + 2 + 4 + 8 + 16


def test_refusals_within_a_pause_belong_to_the_one_before_it() -> None:
    """A server that says goodbye to ten sessions has refused once."""
    backoff = Backoff(10, 1.0, 300.0, whole)
    for _ in range(10):
        backoff.mail_refused(7.0)
    assert backoff.limit == 5
    assert backoff.sending.opens_at == backoff.opening.opens_at == 8.0


def test_one_connection_more_is_allowed_after_each_time_without_a_refusal() -> None:
    backoff = Backoff(4, 1.0, 300.0, whole)
    assert backoff.grows_at == float("inf")
    backoff.connect_refused(0.0)
    assert backoff.grows_at == 1.0 + GROW_EVERY
    backoff.grow(1.0 + GROW_EVERY - 0.1)
    assert backoff.limit == 2
    backoff.grow(1.0 + GROW_EVERY)
    assert backoff.limit == 3
    backoff.grow(1000.0)
    assert backoff.limit == 4
    assert backoff.grows_at == float("inf")


def test_a_connection_that_fails_for_another_reason_takes_none_away() -> None:
    backoff = Backoff(4, 1.0, 300.0, whole)
    backoff.connect_failed(0.0)
    assert backoff.limit == 4
    assert backoff.opening.opens_at == 1.0
    assert backoff.sending.opens_at < 0


def test_pauses_are_short_again_after_a_success() -> None:
    backoff = Backoff(4, 1.0, 300.0, whole)
    backoff.connect_failed(0.0)
    backoff.connect_failed(1.0)
    backoff.opening.succeeded()
    backoff.connect_failed(10.0)
    assert backoff.opening.opens_at == 11.0

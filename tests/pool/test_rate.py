"""A token bucket of one token."""

from __future__ import annotations

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.pool.rate import Rate


def test_the_first_message_leaves_at_once_and_the_next_after_the_interval() -> None:
    rate = Rate(10)
    assert rate.take(5.0)
    assert not rate.take(5.09)
    assert rate.take(5.11)


def test_time_without_messages_earns_no_burst() -> None:
    rate = Rate(2)
    assert rate.take(0.0)
    assert rate.take(100.0)
    assert not rate.take(100.4)


def test_a_token_that_is_given_back_can_be_taken_at_once() -> None:
    rate = Rate(1)
    assert rate.take(1.0)
    rate.give_back()
    assert rate.take(1.0)


def test_without_a_rate_there_is_always_a_token() -> None:
    rate = Rate(None)
    assert all(rate.take(0.0) for _ in range(100))


@pytest.mark.parametrize("wrong", [0, -1, "10", float("nan")])
def test_a_rate_is_a_positive_number(wrong: object) -> None:
    with pytest.raises(SMTPArgumentError, match="rate must be a number of messages"):
        Rate(wrong)  # type: ignore[arg-type]  # that is what it is about

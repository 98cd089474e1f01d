"""How many mails a server takes in one session."""

from __future__ import annotations

from smtplibaio.pool.learning import FIRST_TRIAL, SessionLength


def opened(length: SessionLength, sessions: int) -> list[bool]:
    return [length.is_trial() for _ in range(sessions)]


def test_the_first_session_that_ends_early_teaches_the_number() -> None:
    length = SessionLength()
    assert length.limit is None
    length.ended_after(5)
    assert length.limit == 5
    assert not any(opened(length, FIRST_TRIAL))


def test_without_a_number_no_session_is_a_trial() -> None:
    assert not any(opened(SessionLength(), 100))


def test_a_session_that_ends_earlier_teaches_the_smaller_number() -> None:
    length = SessionLength()
    length.ended_after(50)
    length.ended_after(5)
    length.ended_after(7)
    assert length.limit == 5


def test_now_and_then_one_session_tries_to_go_on() -> None:
    length = SessionLength()
    length.ended_after(5)
    assert opened(length, FIRST_TRIAL + 1) == [False] * FIRST_TRIAL + [True]
    length.ended_after(5)
    assert opened(length, 2 * FIRST_TRIAL + 1) == [False] * 2 * FIRST_TRIAL + [True]
    for _ in range(20):
        length.ended_after(5)
    assert sum(opened(length, 641)) == 1


def test_a_session_that_goes_on_disproves_the_number() -> None:
    """A server that restarted looked as if it had a limit."""
    length = SessionLength()
    length.ended_after(5)
    length.took(5)
    assert length.limit == 5
    length.took(6)
    assert length.limit is None
    length.took(7)

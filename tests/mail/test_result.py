"""What a caller is told of a mail that was accepted."""

from __future__ import annotations

import copy
import pickle

import pytest

from smtplibaio import Reply, SendResult

NAMES = ("b@y.example", "c@y.example", "d@y.example")


def named(*codes: int) -> dict[str, Reply]:
    """Make replies, each with its place in its text."""
    replies = [Reply(code, f"number {place}") for place, code in enumerate(codes)]
    return dict(zip(NAMES, replies, strict=False))


def test_a_result_is_what_smtplib_gives_and_more() -> None:
    """F14: the recipients that were refused, with their replies; empty if none was."""
    rcpts = named(250, 550, 252)
    final = Reply(250, "2.0.0 Ok: queued as 4XyZ12")
    result = SendResult(rcpts, final)
    assert result == {"c@y.example": (550, "number 1")}
    assert result.accepted == ["b@y.example", "d@y.example"]
    assert result.replies == rcpts
    assert result.reply is final
    assert result.queue_id == "4XyZ12"
    assert SendResult(named(250), Reply(250, "ok")) == {}
    assert SendResult(named(250), Reply(250, "ok")).queue_id is None


def test_a_result_does_not_change_with_what_it_was_made_of() -> None:
    rcpts = named(250, 550)
    result = SendResult(rcpts, Reply(250, "ok"))
    rcpts.clear()
    assert len(result.replies) == 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_a_result_can_be_copied_and_pickled(copied: object) -> None:
    """A queue keeps it."""
    result = SendResult(named(250, 550), Reply(250, "ok"))
    assert callable(copied)
    other = copied(result)
    assert type(other) is SendResult
    assert (other, other.replies, other.reply, other.accepted) == (
        result,
        result.replies,
        result.reply,
        result.accepted,
    )

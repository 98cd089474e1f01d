"""The replies that are owed: each goes to the oldest waiter, and has its own limit."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from smtplibaio import Reply, SMTPConnectionLostError, SMTPTimeoutError
from smtplibaio.wire.replyqueue import GroupWaiter, Owed, Waiter

OK = Reply(250, "ok")
NO = Reply(550, "no")

LINES = (b"MAIL FROM:<a@x.example>\r\n", b"RCPT TO:<b@y.example>\r\n", b"DATA\r\n")


def one(timeout: float | None = None, what: str = "NOOP") -> Waiter:
    return Waiter(asyncio.get_running_loop().create_future(), timeout, what)


def group(timeout: float | None = None, last_timeout: float | None = None) -> Any:
    future = asyncio.get_running_loop().create_future()
    return GroupWaiter(future, LINES, timeout, last_timeout)


@pytest.fixture
async def late() -> list[tuple[str, float | None]]:
    """List what was too late."""
    return []


@pytest.fixture
async def owed(late: list[tuple[str, float | None]]) -> Owed:
    return Owed(
        asyncio.get_running_loop(), lambda what, limit: late.append((what, limit))
    )


# To whom


async def test_each_reply_goes_to_the_oldest_waiter(owed: Owed) -> None:
    waiters = [one(), one(), one()]
    owed.add(waiters[:1])
    owed.add(waiters[1:])
    for number, waiter in enumerate(waiters):
        assert owed
        assert owed.due is waiter
        assert owed.take(Reply(250, f"{number}"))
    assert not owed
    assert owed.due is None
    assert [w.future.result().message for w in waiters] == ["0", "1", "2"]


async def test_a_reply_that_nobody_waits_for_is_not_taken(owed: Owed) -> None:
    """D11: and nothing changes."""
    assert not owed.take(OK)
    waiter = one()
    owed.add((waiter,))
    assert not waiter.future.done()


async def test_a_group_has_all_of_its_replies_or_none(owed: Owed) -> None:
    """F04: whoever judges one has seen the others."""
    first, second = group(), one()
    owed.add((first, second))
    for reply, what in zip((OK, NO, OK), ("MAIL", "RCPT", "DATA"), strict=True):
        assert not first.future.done()
        assert owed.due is first
        assert first.what == what
        assert owed.take(reply)
    assert first.future.result() == [OK, NO, OK]
    assert owed.due is second


@pytest.mark.parametrize("make", [one, group])
async def test_a_cancelled_waiter_keeps_its_place(owed: Owed, make: Any) -> None:
    """E01: its replies are read and dropped, and the next one gets its own."""
    cancelled, following = make(), one()
    owed.add((cancelled, following))
    cancelled.future.cancel()
    for _ in range(3 if make is group else 1):
        assert owed.due is cancelled
        owed.take(NO)
    owed.take(OK)
    assert cancelled.future.cancelled()
    assert following.future.result() is OK


# By when


async def test_only_the_reply_that_is_due_has_a_deadline(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    """E32: the others wait for their turn, however long it takes."""
    waiters = [one(10, "NOOP 1"), one(5, "NOOP 2"), one(None, "NOOP 3")]
    owed.add(waiters)
    await clock(9)
    owed.take(OK)
    owed.watch()
    await clock(4)
    assert late == []
    await clock(2)
    assert late == [("NOOP 2", 5)]
    owed.take(OK)
    owed.watch()
    await clock(10_000)
    assert len(late) == 1


async def test_each_reply_of_a_group_has_its_own_time(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    """E32: and the last one a time of its own."""
    owed.add((group(10, 100),))
    for _ in range(2):
        await clock(9)
        owed.take(OK)
        owed.watch()
    await clock(99)
    assert late == []
    await clock(2)
    assert late == [("DATA", 100)]


async def test_who_is_queued_behind_others_does_not_move_their_deadline(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    owed.add((one(5, "first"),))
    await clock(4)
    owed.add((one(1, "second"),))
    await clock(0.9)
    assert late == []
    await clock(0.2)
    assert late == [("first", 5)]


async def test_what_is_queued_after_all_was_answered_starts_anew(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    owed.add((one(5),))
    owed.take(OK)
    owed.watch()
    await clock(100)
    assert late == []
    owed.add((one(5, "again"),))
    await clock(4)
    assert late == []
    await clock(2)
    assert late == [("again", 5)]


async def test_a_limit_can_be_given_later(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    """E32: the time for the final reply begins when all of the content is sent."""
    final = one(None, "the final dot")
    owed.add((final,))
    await clock(10_000)
    owed.limit(final, 7)
    await clock(6)
    assert late == []
    await clock(2)
    assert late == [("the final dot", 7)]


async def test_a_limit_given_before_its_turn_begins_with_it(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    """E32: of a group it is that of the last reply."""
    first, second, third = one(None, "first"), one(None, "second"), group(3, None)
    owed.add((first, second, third))
    owed.limit(second, 5)
    owed.limit(third, 7)
    await clock(100)
    assert late == []
    owed.take(OK)
    owed.watch()
    await clock(6)
    assert late == [("second", 5)]
    for _ in range(3):
        owed.take(OK)
        owed.watch()
    await clock(6)
    assert len(late) == 1
    await clock(2)
    assert late[1:] == [("DATA", 7)]


async def test_a_limit_of_one_does_not_move_the_deadline_of_another(
    owed: Owed, late: list[Any], clock: Any
) -> None:
    """E32: it says nothing of the reply that is due."""
    first, second = one(5, "first"), one(None, "second")
    owed.add((first, second))
    await clock(4)
    owed.limit(second, 100)
    await clock(2)
    assert late == [("first", 5)]


# The end


@pytest.mark.parametrize("make", [one, group])
async def test_the_end_fails_everybody_once(
    owed: Owed, late: list[Any], make: Any, clock: Any
) -> None:
    """E10: each with an exception of its own, of one cause."""
    waiters = [make(5), make(5), make(5)]
    owed.add(waiters)
    waiters[1].future.cancel()
    cause = SMTPConnectionLostError("gone")
    assert owed.fail(cause)
    errors = [waiters[0].future.exception(), waiters[2].future.exception()]
    assert [str(error) for error in errors] == ["gone", "gone"]
    assert errors[0] is not errors[1]
    assert {id(error.__cause__) for error in errors} == {id(cause)}
    assert waiters[1].future.cancelled()
    assert not owed
    assert not owed.fail(SMTPTimeoutError("again"))
    await clock(100)
    assert late == []


async def test_a_failure_that_nobody_looks_at_is_silent(owed: Owed) -> None:
    """E10: the loop does not complain of an exception that was never retrieved."""
    owed.add((one(), group()))
    owed.fail(SMTPConnectionLostError("gone"))
    gc.collect()


# Until nothing is owed


@pytest.mark.parametrize("end", ["replies", "failure"])
async def test_who_waits_until_all_is_settled_goes_on_then(
    owed: Owed, end: str
) -> None:
    owed.add((one(), group()))
    settling = asyncio.create_task(owed.settled())
    await asyncio.sleep(0)
    for _ in range(3):
        owed.take(OK)
    await asyncio.sleep(0)
    assert not settling.done()
    if end == "replies":
        owed.take(OK)
    else:
        owed.fail(SMTPConnectionLostError("gone"))
    await asyncio.sleep(0)
    assert settling.done()
    await settling


async def test_where_nothing_is_owed_nobody_waits(owed: Owed) -> None:
    await owed.settled()
    owed.add((one(),))
    owed.take(OK)
    await owed.settled()


async def test_who_gave_up_waiting_is_not_woken(owed: Owed) -> None:
    owed.add((one(),))
    settling = asyncio.create_task(owed.settled())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait((settling,))
    owed.take(OK)
    assert settling.cancelled()
    await owed.settled()

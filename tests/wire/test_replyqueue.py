"""The replies that are owed: each goes to the oldest waiter, and has its own limit."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from smtplibaio import Reply, SMTPConnectionLostError, SMTPTimeoutError
from smtplibaio.wire.replyqueue import ReplyQueue, Waiter

OK = Reply(250, "ok")
NO = Reply(550, "no")


def one(timeout: float | None = None, what: str = "NOOP") -> Waiter:
    return Waiter(asyncio.get_running_loop().create_future(), timeout, what)


class Three:
    """Wait for three replies, each with its own limit, as a mail transaction does."""

    def __init__(self, *timeouts: float | None) -> None:
        self.future: Any = asyncio.get_running_loop().create_future()
        self.timeouts = list(timeouts) or [None] * 3
        self.replies: list[Reply] = []

    @property
    def timeout(self) -> float | None:
        return self.timeouts[len(self.replies)]

    @property
    def what(self) -> str:
        return ("MAIL", "RCPT", "DATA")[len(self.replies)]

    def take(self, replies: list[Reply]) -> list[Reply] | None:
        owed = 3 - len(self.replies)
        self.replies += replies[:owed]
        if len(self.replies) < 3:
            return None
        if not self.future.done():
            self.future.set_result(None)
        return replies[owed:]


def three(timeout: float | None = None) -> Three:
    return Three(timeout, timeout, timeout)


@pytest.fixture
async def late() -> list[tuple[str, float | None]]:
    """List what was too late."""
    return []


@pytest.fixture
async def owed(late: list[tuple[str, float | None]]) -> ReplyQueue:
    """Owe no reply yet."""
    return ReplyQueue(
        asyncio.get_running_loop(), lambda what, limit: late.append((what, limit))
    )


# To whom


async def test_each_reply_goes_to_the_oldest_waiter(owed: ReplyQueue) -> None:
    waiters = [one(), one(), one()]
    owed.add(waiters[:1])
    owed.add(waiters[1:])
    for number, waiter in enumerate(waiters):
        assert owed.due is waiter
        assert owed.take([Reply(250, f"{number}")]) is None
    assert owed.due is None
    assert [w.future.result().message for w in waiters] == ["0", "1", "2"]


async def test_the_replies_of_one_read_go_to_as_many_waiters(owed: ReplyQueue) -> None:
    waiters = [one(), three(), one(), one()]
    owed.add(waiters)
    assert owed.take([OK, OK, NO, OK, NO]) is None
    assert waiters[0].future.result() is OK
    assert waiters[1].replies == [OK, NO, OK]
    assert waiters[2].future.result() is NO
    assert owed.due is waiters[3]


@pytest.mark.parametrize("before", [0, 1])
async def test_a_reply_that_nobody_waits_for_is_not_taken(
    owed: ReplyQueue, before: int
) -> None:
    """D11: it comes back, and nothing changes."""
    owed.add([one() for _ in range(before)])
    unasked, behind = Reply(250, "unasked"), Reply(250, "behind")
    assert owed.take([*[OK] * before, unasked, behind]) is unasked
    waiter = one()
    owed.add((waiter,))
    assert not waiter.future.done()


async def test_a_waiter_for_several_replies_stays_until_the_last(
    owed: ReplyQueue,
) -> None:
    """F04: whoever judges one has seen the others."""
    first, second = three(), one()
    owed.add((first, second))
    for reply, what in zip((OK, NO, OK), ("MAIL", "RCPT", "DATA"), strict=True):
        assert not first.future.done()
        assert owed.due is first
        assert first.what == what
        assert owed.take([reply]) is None
    assert first.replies == [OK, NO, OK]
    assert owed.due is second


@pytest.mark.parametrize("make", [one, three])
async def test_a_cancelled_waiter_keeps_its_place(owed: ReplyQueue, make: Any) -> None:
    """E01: its replies are read and dropped, and the next one gets its own."""
    cancelled, following = make(), one()
    owed.add((cancelled, following))
    cancelled.future.cancel()
    for _ in range(3 if make is three else 1):
        assert owed.due is cancelled
        owed.take([NO])
    owed.take([OK])
    assert cancelled.future.cancelled()
    assert following.future.result() is OK


# By when


async def test_only_the_reply_that_is_due_has_a_deadline(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    """E32: the others wait for their turn, however long it takes."""
    waiters = [one(10, "NOOP 1"), one(5, "NOOP 2"), one(None, "NOOP 3")]
    owed.add(waiters)
    await clock(9)
    owed.take([OK])
    await clock(4)
    assert late == []
    await clock(2)
    assert late == [("NOOP 2", 5)]
    owed.take([OK])
    await clock(10_000)
    assert len(late) == 1


async def test_each_of_several_replies_has_its_own_time(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    """E32: and the last one a time of its own."""
    owed.add((Three(10, 10, 100),))
    for _ in range(2):
        await clock(9)
        owed.take([OK])
    await clock(99)
    assert late == []
    await clock(2)
    assert late == [("DATA", 100)]


async def test_a_part_of_a_reply_does_not_begin_its_time_anew(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    """E32: a server that sends an octet now and then is late all the same."""
    owed.add((one(10),))
    for _ in range(3):
        await clock(3)
        assert owed.take([]) is None
    assert late == []
    await clock(2)
    assert late == [("NOOP", 10)]


async def test_who_is_queued_behind_others_does_not_move_their_deadline(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    owed.add((one(5, "first"),))
    await clock(4)
    owed.add((one(1, "second"),))
    await clock(0.9)
    assert late == []
    await clock(0.2)
    assert late == [("first", 5)]


async def test_what_is_queued_after_all_was_answered_starts_anew(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    owed.add((one(5),))
    owed.take([OK])
    await clock(100)
    assert late == []
    owed.add((one(5, "again"),))
    await clock(4)
    assert late == []
    await clock(2)
    assert late == [("again", 5)]


async def test_a_limit_can_be_given_later(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    """E32: the time for the final reply begins when all of the content is sent."""
    final = one(None, "the final dot")
    owed.add((final,))
    await clock(10_000)
    final.timeout = 7
    owed.watch()
    await clock(6)
    assert late == []
    await clock(2)
    assert late == [("the final dot", 7)]


async def test_a_limit_given_before_its_turn_begins_with_it(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    """E32: of several replies each has the limit that it has when it is due."""
    first, second, third = one(None, "first"), one(None, "second"), Three(3, 3, None)
    owed.add((first, second, third))
    second.timeout = 5
    third.timeouts[-1] = 7
    owed.watch()
    await clock(100)
    assert late == []
    owed.take([OK])
    await clock(6)
    assert late == [("second", 5)]
    for _ in range(3):
        owed.take([OK])
    await clock(6)
    assert len(late) == 1
    await clock(2)
    assert late[1:] == [("DATA", 7)]


async def test_without_anything_owed_there_is_no_deadline(
    owed: ReplyQueue, late: list[Any], clock: Any
) -> None:
    owed.add((one(5),))
    owed.take([OK])
    owed.watch()
    await clock(100)
    assert late == []


# The end


@pytest.mark.parametrize("make", [one, three])
async def test_the_end_fails_everybody_once(
    owed: ReplyQueue, late: list[Any], make: Any, clock: Any
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
    assert owed.due is None
    assert not owed.fail(SMTPTimeoutError("again"))
    await clock(100)
    assert late == []


async def test_a_failure_that_nobody_looks_at_is_silent(owed: ReplyQueue) -> None:
    """E10: the loop does not complain of an exception that was never retrieved."""
    owed.add((one(), three()))
    owed.fail(SMTPConnectionLostError("gone"))
    gc.collect()


# Until nothing is owed


@pytest.mark.parametrize("end", ["replies", "failure"])
async def test_who_waits_until_all_is_settled_goes_on_then(
    owed: ReplyQueue, end: str
) -> None:
    owed.add((one(), three()))
    settling = asyncio.create_task(owed.settled())
    await asyncio.sleep(0)
    for _ in range(3):
        owed.take([OK])
    await asyncio.sleep(0)
    assert not settling.done()
    if end == "replies":
        owed.take([OK])
    else:
        owed.fail(SMTPConnectionLostError("gone"))
    await asyncio.sleep(0)
    assert settling.done()
    await settling


async def test_where_nothing_is_owed_nobody_waits(owed: ReplyQueue) -> None:
    await owed.settled()
    owed.add((one(),))
    owed.take([OK])
    await owed.settled()


async def test_who_gave_up_waiting_is_not_woken(owed: ReplyQueue) -> None:
    owed.add((one(),))
    settling = asyncio.create_task(owed.settled())
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait((settling,))
    owed.take([OK])
    assert settling.cancelled()
    await owed.settled()

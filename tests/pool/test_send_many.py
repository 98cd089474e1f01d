"""Mails from one source over all sessions of a pool."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import until
from pool_server import CONTENT, PoolServer, Session, numbers, send, served

from smtplibaio import (
    SMTP,
    Mail,
    Outcome,
    SMTPArgumentError,
    SMTPConnectionError,
    SMTPDeliveryUnknownError,
    SMTPPool,
)


def mail(number: int, *recipients: str, **options: Any) -> Mail:
    return Mail(
        CONTENT, f"m{number}@x.example", [*recipients] or ["b@y.example"], **options
    )


def mails(count: int) -> Iterator[Mail]:
    return (mail(number) for number in range(count))


async def slowly(count: int) -> AsyncIterator[Mail]:
    for number in range(count):
        for _ in range(number % 4 * 3):
            await asyncio.sleep(0)
        yield mail(number)


async def collect(outcomes: Any, seen: list[Outcome]) -> None:
    async for outcome in outcomes:
        seen.append(outcome)  # noqa: PERF401  # an error must not lose them


async def statuses(pool: SMTPPool, source: Any, **options: Any) -> dict[Any, str]:
    return {
        outcome.mail.sender: outcome.status
        async for outcome in pool.send_many(source, **options)
    }


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("source", [mails, slowly], ids=["plain", "asynchronous"])
async def test_each_mail_has_one_outcome_and_is_stored_once(
    source: Any, window: int
) -> None:
    async with served(size=3, max_messages=20) as (server, pool):
        found = await statuses(pool, source(100), window=window)
        assert sorted(found) == numbers(100)
        assert {*found.values()} == {"accepted"}
        assert pool.statistics().accepted == 100
    assert server.most_open <= 3
    assert server.senders() == numbers(100)
    assert max(session.mails for session in server.sessions) == 20


async def test_the_mails_are_spread_over_the_sessions() -> None:
    async with served(size=3) as (server, pool):
        await statuses(pool, mails(60))
        assert pool.statistics().open == 3
    assert min(session.mails for session in server.sessions) > 5


async def test_one_mail_needs_one_session() -> None:
    async with served() as (server, pool):
        await statuses(pool, [mail(0)])
        await statuses(pool, [])
    assert len(server.sessions) == 1


async def test_a_message_that_names_its_recipients_is_a_mail() -> None:
    message = EmailMessage()
    message["From"] = "m0@x.example"
    message["To"] = "b@y.example"
    async with served() as (_, pool):
        [outcome] = [outcome async for outcome in pool.send_many([message])]
        assert outcome.mail == Mail(message)
        assert outcome.result is not None
        assert outcome.result.queue_id == "Q1"


async def test_outcomes_come_as_they_are_known() -> None:
    is_slow = asyncio.Event()

    async def later() -> None:
        await is_slow.wait()

    def say(session: Session, line: str) -> Any:
        return later() if line == "." and session.sender == "m0@x.example" else None

    async with served(say, size=2) as (_, pool):
        outcomes = pool.send_many(mails(6))
        seen = [(await anext(outcomes)).mail.sender for _ in range(4)]
        assert "m0@x.example" not in seen  # nor the one that is pipelined behind it
        is_slow.set()
        assert (await anext(outcomes)).mail.sender == "m0@x.example"
        assert (await anext(outcomes)).mail.sender not in seen
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


@pytest.mark.parametrize("window", [1, 3])
async def test_no_more_is_taken_than_was_promised(window: int) -> None:
    """The memory has a bound, however long the source is."""
    taken = 0

    def endless() -> Iterator[Mail]:
        nonlocal taken
        while True:
            taken += 1
            yield mail(taken)

    async with served(size=2) as (_, pool):
        seen = 0
        async for outcome in pool.send_many(endless(), window=window):
            assert outcome.status == "accepted"
            seen += 1
            for _ in range(30):
                await asyncio.sleep(0)
            assert taken - seen <= 2 * 2 * (window + 1)
            if seen == 50:
                break


async def test_mails_are_tried_again_without_holding_others_up() -> None:
    refused: set[str] = set()

    def say(session: Session, line: str) -> str | None:
        if not line.startswith("MAIL") or line in refused:
            return None
        if "m3@" in line:
            return "550 5.1.0 no"
        refused.add(line)
        return "451 4.3.0 later"

    async with served(say, size=2, backoff=0.01) as (server, pool):
        found = await statuses(pool, mails(20))
        assert found.pop("m3@x.example") == "refused"
        assert {*found.values()} == {"accepted"}
        now = pool.statistics()
        assert (now.accepted, now.refused, now.retries) == (19, 1, 19)
        assert now.connects == 2
    assert len(server.stored) == 19


@pytest.mark.parametrize("window", [1, 4])
@pytest.mark.parametrize("how", ["FIN", "RST", "421 too many messages"])
async def test_a_limit_of_mails_is_learnt_and_obeyed(how: str, window: int) -> None:
    """E21: without an attempt being counted."""

    def say(session: Session, line: str) -> str | None:
        return how if line.startswith("MAIL") and session.mails == 5 else None

    async with served(say, size=1, attempts=1) as (server, pool):
        found = await statuses(pool, mails(50), window=window)
        assert {*found.values()} == {"accepted"}
        now = pool.statistics()
        assert now.retries == 0
        assert now.replaced <= 2 * window
    assert server.senders() == numbers(50)
    assert [session.mails for session in server.sessions] == [5] * 10


async def test_a_farewell_to_the_content_is_a_refusal_as_it_is_of_one_client() -> None:
    """The pool names it as `SMTP.send_many` does."""

    def say(_session: Session, line: str) -> str | None:
        return "421 4.3.2 not this one" if line == "." else None

    async with served(say, size=1, attempts=1) as (server, pool):
        assert {*(await statuses(pool, mails(2))).values()} == {"refused"}
        assert pool.statistics().refused == 2
        async with SMTP("127.0.0.1", server.port) as client:
            alone = [outcome.status async for outcome in client.send_many(mails(1))]
        assert alone == ["refused"]
    assert not server.stored


async def test_what_may_have_been_accepted_is_unknown_and_not_sent_again() -> None:
    def say(session: Session, line: str) -> str | None:
        return "FIN" if line == "." and session.sender == "m3@x.example" else None

    async with served(say, size=2) as (server, pool):
        found = await statuses(pool, mails(20))
        assert found.pop("m3@x.example") == "unknown"
        assert {*found.values()} == {"accepted"}
    assert len(server.stored) == 19


async def test_recipients_go_into_further_transactions() -> None:
    """F14, RFC 9422."""
    names = [f"{n}@{d}.example" for n in range(2) for d in "xyz"]
    for extension in ("LIMITS RCPTMAX=2", "LIMITS RCPTDOMAINMAX=1", "SIZE"):

        def say(session: Session, line: str) -> str | None:
            is_full = line.startswith("RCPT") and len(session.recipients) == 4
            return "452 4.5.3 too many" if is_full else None

        async with served(say, extension, size=2) as (server, pool):
            source = [mail(n, *names) for n in range(5)]
            async for outcome in pool.send_many(source):
                assert outcome.status == "accepted"
                assert outcome.result is not None
                assert sorted(outcome.result.accepted) == sorted(names)
        for sender in numbers(5):
            got = [r for m in server.stored if m.sender == sender for r in m.recipients]
            assert sorted(got) == sorted(names)


async def test_mails_leave_no_faster_than_the_rate(clock: Any) -> None:
    async with served(rate=0.1, size=2) as (server, pool):
        task = asyncio.ensure_future(statuses(pool, mails(4)))
        for count in range(1, 5):
            await until(lambda c=count: len(server.stored) == c)  # type: ignore[misc]  # which mypy cannot infer
            await clock(9.9)
            assert len(server.stored) == count
            await clock(0.11)
        await task


async def test_others_have_their_turn_within_a_long_run() -> None:
    async with served(size=1) as (server, pool):
        task = asyncio.ensure_future(statuses(pool, mails(100)))
        await until(lambda: server.stored)
        await send(pool, 1000)
        assert len(server.stored) < 50
        await task
    assert len(server.stored) == 101


async def test_when_no_connection_can_be_had_every_mail_is_told() -> None:
    def say(session: Session, line: str) -> str | None:
        return "554 no service" if line == "" else None

    async with served(say, size=2) as (_, pool):
        found = await statuses(pool, mails(5))
        assert {*found.values()} == {"not sent"}
        assert len(found) == 5


async def test_a_connection_that_fails_is_one_attempt_of_each_mail() -> None:
    """However many wait for it."""

    def say(session: Session, line: str) -> str | None:
        return "421 later" if line == "" and session.number == 1 else None

    async with served(say, size=5, attempts=2) as (_, pool):
        pool._connections.policy.backoff.opening.failures = 1  # one at a time
        found = await statuses(pool, mails(5))
        assert {*found.values()} == {"accepted"}
        assert len(found) == 5


async def test_a_mail_is_charged_once_for_a_connection_that_many_wait_for() -> None:
    """Two workers wait, and one mail is left: the others went over a first session."""

    async def refuse() -> str:
        await until(lambda: len(server.stored) == 2 and not pool.statistics().busy)
        return "421 later"

    def say(session: Session, line: str) -> Any:
        if session.number == 1:
            return "FIN" if session.mails == 2 and line.startswith("RCPT") else None
        return refuse() if session.number in (2, 3) and line == "" else None

    async with served(say, size=3, attempts=3) as (server, pool):
        found = await statuses(pool, mails(3))
        assert {*found.values()} == {"accepted"}
        assert len(server.sessions) == 4
        assert pool.statistics().retries == 2


async def test_a_server_that_comes_back_gets_them_all() -> None:
    def say(session: Session, line: str) -> str | None:
        return "421 later" if line == "" and session.number <= 2 else None

    async with served(say, size=2, attempts=9) as (_, pool):
        found = await statuses(pool, mails(10))
        assert {*found.values()} == {"accepted"}
        assert len(found) == 10


async def test_a_session_that_ended_meanwhile_costs_no_mail() -> None:
    """E19: nobody has looked since the server hung up."""
    async with served(size=1) as (_server, pool):
        await send(pool)
        member = pool._connections.policy.members[0]
        member.protocol.end(SMTPConnectionError("it has ended"))
        found = await statuses(pool, mails(3))
        assert {*found.values()} == {"accepted"}


# Errors of the caller's


async def test_what_a_source_raises_comes_behind_the_outcomes() -> None:
    def source() -> Iterator[Mail]:
        yield from mails(5)
        raise KeyError("no more")

    async def asource() -> AsyncIterator[Mail]:
        for each in source():
            yield each

    for given in (source(), asource()):
        async with served(size=2) as (_server, pool):
            seen: list[Outcome] = []
            with pytest.raises(KeyError):
                await collect(pool.send_many(given), seen)
            assert [outcome.status for outcome in seen] == ["accepted"] * 5


@pytest.mark.parametrize("error", [None, KeyError("no more")])
async def test_a_source_may_end_while_somebody_waits_for_it(
    error: Exception | None,
) -> None:
    is_over = asyncio.Event()

    async def source() -> AsyncIterator[Mail]:
        yield mail(0)
        await is_over.wait()
        if error is not None:
            raise error

    async with served() as (_, pool):
        outcomes = pool.send_many(source())
        assert (await anext(outcomes)).status == "accepted"
        waiting = asyncio.ensure_future(collect(outcomes, []))
        await asyncio.sleep(0)
        is_over.set()
        [result] = await asyncio.gather(waiting, return_exceptions=True)
        assert result is error


async def test_leaving_while_connections_fail_blames_nobody() -> None:
    answer = asyncio.Event()

    async def refuse() -> str:
        await answer.wait()
        return "554 no service"

    async with served(lambda *_: refuse(), size=1) as (server, pool):
        outcomes: Any = pool.send_many(mails(3))
        waiting = asyncio.ensure_future(outcomes.__anext__())
        await until(lambda: server.sessions)
        waiting.cancel()
        await asyncio.wait([waiting])
        await outcomes.aclose()
        answer.set()
        await until(lambda: pool.statistics().reasons)
        await pool.close()
        assert pool.statistics().not_sent == 0


async def test_a_content_that_cannot_be_read_costs_a_session_and_no_other_mail() -> (
    None
):
    def content() -> Iterator[bytes]:
        yield b"Subject: x\r\n"
        raise KeyError("no more")

    async with served(size=1, attempts=1) as (_, pool):
        source = [*mails(4), Mail(content(), "bad@x.example", "b@y.example"), mail(4)]
        found = await statuses(pool, source)
        assert found.pop("bad@x.example") == "not sent"
        assert found == dict.fromkeys(numbers(5), "accepted")
        assert pool._connections.policy.length.limit is None


async def test_an_idle_session_that_the_network_has_forgotten_is_replaced(
    clock: Any,
) -> None:
    """E19: the first reply has five seconds, once a session has idled for ten."""

    def say(session: Session, line: str) -> str | None:
        is_gone = session.number == 1 and session.mails == 1
        return "SILENCE" if is_gone and line.startswith("MAIL") else None

    async with served(say, size=1, attempts=1) as (server, pool):
        await send(pool)
        await clock(11.0)
        task = asyncio.ensure_future(statuses(pool, mails(3)))
        await until(lambda: server.sessions[0].said[-1].startswith("MAIL"))
        await clock(4.9)
        assert len(server.sessions) == 1
        await clock(0.2)
        assert {*(await task).values()} == {"accepted"}
        assert pool.statistics().replaced == 1
        assert pool.statistics().retries == 0


async def test_an_idle_session_that_ends_at_mail_is_replaced(clock: Any) -> None:
    def say(session: Session, line: str) -> str | None:
        is_first = session.number == 1 and session.mails == 1
        return "FIN" if is_first and line.startswith("MAIL") else None

    async with served(say, size=1, attempts=1) as (_, pool):
        await send(pool)
        await clock(11.0)
        assert {*(await statuses(pool, mails(3))).values()} == {"accepted"}
        assert pool.statistics().replaced == 1


async def test_a_run_that_was_left_waits_for_no_session(clock: Any) -> None:
    async with served(rate=0.05, size=3) as (server, pool):
        await send(pool)
        outcomes: Any = pool.send_many(mails(3))
        waiting = asyncio.ensure_future(outcomes.__anext__())
        await until(lambda: pool.statistics().waiting == 3)
        waiting.cancel()
        await asyncio.wait([waiting])
        other = asyncio.ensure_future(send(pool))
        await until(lambda: pool.statistics().waiting == 4)
        await outcomes.aclose()
        await until(lambda: pool.statistics().waiting == 1)
        await clock(20.1)
        await other
    assert len(server.stored) == 2


async def test_nobody_is_blamed_when_others_have_sent_all_mails() -> None:
    """The second connection fails when its mail has gone over the first one."""

    async def refuse() -> str:
        await until(lambda: len(server.open) == 1)
        return "554 no service"

    def say(session: Session, line: str) -> Any:
        return refuse() if session.number == 2 else None

    async with served(say, size=2, max_messages=2) as (server, pool):
        found = await statuses(pool, mails(2))
        assert {*found.values()} == {"accepted"}
        assert len(found) == 2
        assert pool.statistics().reasons == {"554": 1}


async def test_an_idle_session_that_stands_is_used_for_all(clock: Any) -> None:
    answers = iter([None, None, None, None, "550 5.1.0 no"])

    def say(session: Session, line: str) -> str | None:
        return next(answers, None) if line.startswith("MAIL") else None

    async with served(say, size=1) as (server, pool):
        await send(pool)
        for expected in ({"accepted"}, {"refused", "accepted"}):
            await clock(11.0)
            assert {*(await statuses(pool, mails(3))).values()} == expected
        await clock(11.0)
        assert await statuses(pool, []) == {}
    assert len(server.sessions) == 1


async def test_what_a_token_raises_is_raised() -> None:
    async def token(refresh: bool) -> str:
        raise KeyError("no token")

    async with served(None, "AUTH XOAUTH2", username="u", token=token) as (_, pool):
        with pytest.raises(KeyError):
            await statuses(pool, mails(5))


async def test_a_mail_that_cannot_be_sent_is_an_outcome() -> None:
    async with served(size=1) as (_, pool):
        found = await statuses(pool, [mail(0, "not one"), mail(1)])
        assert found == {"m0@x.example": "not sent", "m1@x.example": "accepted"}


def test_messages_and_window_are_checked_at_once() -> None:
    pool = SMTPPool()
    with pytest.raises(SMTPArgumentError, match="window must be a whole number"):
        pool.send_many([], window=0)
    with pytest.raises(SMTPArgumentError, match="messages must be an iterable"):
        pool.send_many(b"octets")  # type: ignore[arg-type]  # that is what it is about


# Leaving


@pytest.mark.parametrize("source", [mails, slowly], ids=["plain", "asynchronous"])
@pytest.mark.parametrize("window", [1, 4])
async def test_leaving_the_loop_leaks_nothing(source: Any, window: int) -> None:
    async with served(size=2) as (server, pool):
        async for _ in pool.send_many(source(1000), window=window):
            break
        gc.collect()
        await until(lambda: pool.statistics().busy == 0)
        assert pool.statistics().idle == pool.statistics().connects
        taken = len(server.stored)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(server.stored) == taken < 20
        await send(pool, 5000)


async def test_leaving_finishes_what_was_begun_and_begins_no_other() -> None:
    async with served(size=2) as (server, pool):
        outcomes = pool.send_many(mails(100))
        await anext(outcomes)
        await outcomes.aclose()  # type: ignore[attr-defined]  # as of a generator
        await until(lambda: pool.statistics().busy == 0)
        assert pool.statistics().accepted == len(server.stored)
        with pytest.raises(StopAsyncIteration):
            await anext(outcomes)


async def test_a_run_that_nobody_started_is_left_without_a_trace() -> None:
    async with served() as (server, pool):
        pool.send_many(mails(3))
        gc.collect()
    assert server.sessions == []


async def test_leaving_while_an_outcome_is_waited_for_is_done_then() -> None:
    async with served(size=1) as (server, pool):
        outcomes: Any = pool.send_many(mails(100))
        waiting = asyncio.ensure_future(outcomes.__anext__())
        await asyncio.sleep(0)
        with pytest.raises(SMTPConnectionError, match="another task is waiting"):
            await anext(outcomes)
        with pytest.raises(SMTPConnectionError, match="another task is waiting"):
            await outcomes.aclose()
        del outcomes
        gc.collect()
        assert (await waiting).status == "accepted"
        await until(lambda: pool.statistics().busy == 0)
        assert len(server.stored) < 10


async def test_who_is_cancelled_while_waiting_may_go_on() -> None:
    async with served(size=1) as (server, pool):
        outcomes = pool.send_many(mails(10))
        waiting = asyncio.ensure_future(anext(outcomes))  # type: ignore[arg-type]  # a coroutine
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert len([outcome async for outcome in outcomes]) == 10
    assert server.senders() == numbers(10)


# Closing the pool


async def test_closing_tells_of_every_mail_that_was_taken() -> None:
    taken: list[Mail] = []

    def source() -> Iterator[Mail]:
        for each in mails(1000):
            taken.append(each)
            yield each

    def say(session: Session, line: str) -> str | None:
        is_refused = line.startswith("MAIL") and "m1@" in line
        return "451 4.3.0 later" if is_refused else None

    async with served(say, size=2, backoff=100.0) as (server, pool):
        outcomes = pool.send_many(source())
        seen = [await anext(outcomes)]
        await until(lambda: pool.statistics().retries == 1)
        closing = asyncio.ensure_future(pool.close())
        with pytest.raises(SMTPConnectionError, match="before the last mail"):
            await collect(outcomes, seen)
        await closing
        assert len(seen) == len(taken)
        assert {outcome.status for outcome in seen} == {"accepted", "not sent"}
        accepted = [o.mail.sender for o in seen if o.status == "accepted"]
        assert server.senders() == sorted(map(str, accepted))
        with pytest.raises(SMTPConnectionError, match="the pool is closed"):
            await anext(pool.send_many(mails(1)))


async def test_a_source_that_is_waited_for_holds_up_no_closing() -> None:
    async def source() -> AsyncIterator[Mail]:
        yield mail(0)
        await asyncio.get_running_loop().create_future()

    async with served() as (_, pool):
        outcomes = pool.send_many(source())
        assert (await anext(outcomes)).status == "accepted"
        waiting = asyncio.ensure_future(anext(outcomes))  # type: ignore[arg-type]  # a coroutine
        await asyncio.sleep(0)
        await pool.close()
        with pytest.raises(SMTPConnectionError, match="before the last mail"):
            await waiting


async def test_a_source_that_was_not_asked_yet_holds_up_no_closing() -> None:
    """E03: the task that reads it is cancelled before its first step."""

    async def source() -> AsyncIterator[Mail]:
        await asyncio.get_running_loop().create_future()
        yield mail(0)

    async with served() as (_, pool):
        outcomes = pool.send_many(source())
        waiting = asyncio.ensure_future(anext(outcomes))  # type: ignore[arg-type]  # a coroutine
        await asyncio.sleep(0)
        await pool.close()
        async with asyncio.timeout(5):
            with pytest.raises(SMTPConnectionError, match="before the last mail"):
                await waiting


async def test_closing_finishes_a_failure_that_is_under_way() -> None:
    is_closing = asyncio.Event()

    async def later() -> str:
        await is_closing.wait()
        return "451 4.3.0 later"

    def say(session: Session, line: str) -> Any:
        return later() if line.startswith("MAIL") else None

    async with served(say, size=1) as (server, pool):
        outcomes = pool.send_many([mail(0)])
        waiting = asyncio.ensure_future(anext(outcomes))  # type: ignore[arg-type]  # a coroutine
        await until(lambda: server.sessions and len(server.sessions[0].said) > 1)
        closing = asyncio.ensure_future(pool.close())
        await asyncio.sleep(0)
        is_closing.set()
        assert (await waiting).status == "refused"
        await closing


def test_a_run_that_outlives_its_loop_does_nothing() -> None:
    """E24."""
    kept = []

    async def main() -> None:
        async with PoolServer() as server:
            pool = SMTPPool(server.host, server.port)
            kept.append(pool.send_many(mails(3)))
            await anext(kept[0])
            await until(lambda: pool.statistics().busy == 0)
            await pool.close()

    asyncio.run(main())
    kept.clear()
    gc.collect()


async def test_a_pool_that_is_being_closed_begins_no_run() -> None:
    async with served() as (_, pool):
        async with pool.session():
            closing = asyncio.ensure_future(pool.close())
            await asyncio.sleep(0)
            with pytest.raises(SMTPConnectionError, match="the pool is closed"):
                await anext(pool.send_many(mails(1)))
        await closing


async def test_a_mail_whose_worker_is_cancelled_may_have_left() -> None:
    """H05: as when `asyncio.run` ends, which cancels every task."""

    async def never() -> str:
        return await asyncio.get_running_loop().create_future()

    def say(session: Session, line: str) -> Any:
        return never() if line.startswith("MAIL") else None

    async with served(say, size=1) as (server, pool):
        outcomes = pool.send_many([mail(0)])
        waiting = asyncio.ensure_future(anext(outcomes))  # type: ignore[arg-type]  # a coroutine
        await until(lambda: server.sessions and len(server.sessions[0].said) > 1)
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") == "Spread._work":
                task.cancel()
        outcome = await waiting
        assert outcome.status == "unknown"
        assert isinstance(outcome.error, SMTPDeliveryUnknownError)


class EarlyLoop(asyncio.SelectorEventLoop):
    """A loop whose timers go off a little early, as those of uvloop do.

    What is due already is no timer, but a plain handle.
    """

    def call_at(self, when: float, *args: Any, **options: Any) -> Any:
        if when <= self.time():
            return self.call_soon(*args, **options)
        return super().call_at(when - 0.001, *args, **options)


def test_a_mail_is_sent_again_though_its_timer_goes_off_early() -> None:
    """E32: the clock of the loop has not come to its time yet."""
    refusals = ["451 4.3.0 later"]

    def say(session: Session, line: str) -> str | None:
        return refusals.pop() if refusals and line.startswith("MAIL") else None

    async def main() -> dict[Any, str]:
        async with asyncio.timeout(5), served(say, backoff=0.002) as (_, pool):
            return await statuses(pool, [mail(0)])

    with asyncio.Runner(loop_factory=EarlyLoop) as runner:
        assert runner.run(main()) == {"m0@x.example": "accepted"}

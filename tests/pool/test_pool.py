"""A pool: sessions that are lent and shared, failing servers, cancelled callers."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from itertools import pairwise
from typing import Any

import pytest
from conversation import until
from pool_server import CONTENT, PoolServer, Session, numbers, send, served

from smtplibaio import (
    LMTP,
    SMTP,
    SMTP_SSL,
    Mail,
    PoolStatistics,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionRefusedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPLoginError,
    SMTPPool,
    Timeouts,
)
from smtplibaio.events import Event, PoolChanged


async def test_a_mail_goes_over_a_session_that_is_kept() -> None:
    async with served() as (server, pool):
        assert pool.statistics() == PoolStatistics(limit=10)
        assert (await send(pool, 0)).queue_id == "Q1"
        assert (await send(pool, 1)).queue_id == "Q2"
        assert (
            await pool.send_message(
                b"Subject: x\r\n\r\n", "m2@x.example", "b@y.example", ret=None
            )
            == {}
        )
        assert pool.statistics() == PoolStatistics(
            open=1, idle=1, limit=10, accepted=3, connects=1
        )
    assert server.senders() == numbers(3)
    assert len(server.sessions) == 1
    assert server.sessions[0].said[-1] == "QUIT"
    assert pool.statistics().open == 0


async def test_a_thousand_tasks_share_five_connections() -> None:
    """E22: no connection more, nothing lost, nothing doubled."""
    async with served(size=5) as (server, pool):
        await asyncio.gather(*(send(pool, n) for n in range(1000)))
        now = pool.statistics()
        assert (now.accepted, now.connects, now.retries) == (1000, 10, 0)
    assert server.most_open <= 5
    assert server.senders() == numbers(1000)
    assert max(session.mails for session in server.sessions) == 100


async def test_callers_are_served_in_the_order_in_which_they_came() -> None:
    async with served(size=1) as (server, pool):
        await asyncio.gather(*(send(pool, n) for n in range(20)))
    assert [mail.sender for mail in server.stored] == [
        f"m{n}@x.example" for n in range(20)
    ]


@pytest.mark.parametrize("how", ["FIN", "RST", "421 4.7.0 bye"])
async def test_reconnect_storms_end(how: str) -> None:
    """E22: every second mail ends its session, before MAIL or after the content."""
    count = 0

    def say(session: Session, line: str) -> str | None:
        nonlocal count
        if line.startswith("MAIL"):
            count += 1
            return how if count % 2 else None
        return None

    async with served(say, size=5, attempts=50) as (server, pool):
        await asyncio.gather(*(send(pool, n) for n in range(50)))
    assert server.most_open <= 5
    assert server.senders() == numbers(50)


# Sessions that are of no use


@pytest.mark.parametrize("how", ["FIN", "RST", "421 4.4.2 time-out"])
async def test_a_session_that_ends_while_it_idles_is_evicted_at_once(how: str) -> None:
    """E19."""
    async with served() as (server, pool):
        await send(pool, 0)
        if how.startswith("421"):
            server.sessions[0].say(how)
            server.sessions[0].end()
        else:
            server.sessions[0].end(how)
        await until(lambda: pool.statistics().open == 0)
        await send(pool, 1)
        now = pool.statistics()
        assert (now.connects, now.retries, now.replaced, now.limit) == (2, 0, 0, 10)


@pytest.mark.parametrize(
    "how",
    ["FIN", "RST", "421 too many messages", "451 4.5.3 no more transactions"],
)
async def test_a_session_that_is_of_no_use_before_mail_is_replaced(how: str) -> None:
    """E19, E21: without an attempt being counted."""

    def say(session: Session, line: str) -> str | None:
        return how if line.startswith("MAIL") and session.mails == 3 else None

    async with served(say, attempts=1, size=1) as (server, pool):
        for n in range(4):
            await send(pool, n)
        now = pool.statistics()
        assert (now.replaced, now.retries, now.limit) == (1, 0, 1)
        for n in range(4, 40):
            await send(pool, n)
        assert pool.statistics().replaced <= 2  # it was learnt, and tried once more
    assert server.senders() == numbers(40)
    assert [s.mails for s in server.sessions][:10] == [3] * 10


async def test_a_session_that_the_server_ends_after_its_mails_is_no_failure() -> None:
    """E21: the server closes behind its last 250."""

    async def end(session: Session) -> None:
        session.end()

    def say(session: Session, line: str) -> Any:
        if line == "." and session.mails == 1:
            asyncio.get_running_loop().call_soon(session.writer.close)
        return None

    async with served(say, attempts=1, size=1) as (server, pool):
        for n in range(10):
            await send(pool, n)
        assert pool.statistics().retries == 0
    assert server.senders() == numbers(10)


async def test_an_idle_session_that_the_network_has_forgotten_is_replaced(
    clock: Any,
) -> None:
    """E19: the first reply has five seconds, once a session has idled for ten."""

    def say(session: Session, line: str) -> str | None:
        is_gone = session.number == 1 and session.mails == 1
        return "SILENCE" if is_gone and line.startswith("MAIL") else None

    async with served(say, attempts=1) as (server, pool):
        await send(pool)
        await clock(11.0)
        task = asyncio.ensure_future(send(pool, 1))
        await until(lambda: server.sessions[0].said[-1].startswith("MAIL"))
        await clock(4.9)
        assert not task.done()
        await clock(0.2)
        await task
        now = pool.statistics()
        assert (now.replaced, now.retries, now.accepted) == (1, 0, 2)


async def test_a_session_that_is_lost_after_mail_costs_an_attempt() -> None:
    def say(session: Session, line: str) -> str | None:
        return "FIN" if session.mails == 1 and line.startswith("RCPT") else None

    async with served(say) as (_, pool):
        await send(pool, 0)
        await send(pool, 1)
        now = pool.statistics()
        assert (now.replaced, now.retries) == (0, 1)


@pytest.mark.parametrize("is_run", [False, True], ids=["sendmail", "send_many"])
@pytest.mark.parametrize("reply", ["421 4.3.2 going down", "421 bye", "FIN", "RST"])
@pytest.mark.parametrize("step", ["", "EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_a_server_that_goes_at_any_step_costs_an_attempt_and_no_mail(
    step: str, reply: str, is_run: bool
) -> None:
    """F06: but for a connection that ends behind the dot, the mails are sent again."""

    def say(session: Session, line: str) -> str | None:
        is_due = line.partition(" ")[0] == step and session.mails == 0
        return reply if is_due and session.number <= 2 else None

    async with served(say, size=2) as (server, pool):
        mails = [Mail(CONTENT, sender, "b@y.example") for sender in numbers(4)]
        if is_run:
            outcomes = [outcome async for outcome in pool.send_many(mails)]
            unknown = sum(outcome.status == "unknown" for outcome in outcomes)
        else:
            results = await asyncio.gather(
                *(send(pool, n) for n in range(4)), return_exceptions=True
            )
            unknown = sum(isinstance(r, SMTPDeliveryUnknownError) for r in results)
        now = pool.statistics()
        assert (now.accepted, now.unknown) == (4 - unknown, unknown)
        assert now.limit == (1 if reply.startswith("421") else 2)
        assert sum(now.reasons.values()) >= 1
    assert unknown == (2 if step == "." and not reply.startswith("421") else 0)
    assert len(server.stored) == len({*server.senders()}) == 4 - unknown


@pytest.mark.parametrize("text", ["421 4.3.2 shutting down", "421 4.7.0 later"])
async def test_a_farewell_about_the_load_halves_the_pool(text: str) -> None:
    def say(session: Session, line: str) -> str | None:
        is_first = session.number == 1
        return text if is_first and line.startswith("MAIL") else None

    async with served(say, size=8) as (_, pool):
        await send(pool)
        now = pool.statistics()
        assert (now.limit, now.retries, now.reasons) == (4, 1, {"421": 1})


async def test_a_refused_connection_halves_the_pool_and_the_others_serve_all() -> None:
    def say(session: Session, line: str) -> str | None:
        if line == "" and len(server.open) > 2:
            return "421 4.7.0 too many connections"
        return None

    async with served(say, size=8) as (server, pool):
        await asyncio.gather(*(send(pool, n) for n in range(50)))
        now = pool.statistics()
        assert 1 <= now.limit <= 4
        assert (now.accepted, now.retries) == (50, 0)
    assert server.senders() == numbers(50)


# Attempts


async def test_a_transient_refusal_is_tried_again_and_a_permanent_one_is_not() -> None:
    answers = iter(["451 4.3.0 later", "451 4.3.0 later", None, "550 no"])

    def say(session: Session, line: str) -> str | None:
        return next(answers) if line.startswith("MAIL") else None

    async with served(say) as (server, pool):
        await send(pool)
        with pytest.raises(SMTPCommandFailedError, match="550 no"):
            await send(pool)
        now = pool.statistics()
        assert (now.retries, now.accepted, now.refused) == (2, 1, 1)
        assert now.reasons == {"451": 2, "550": 1}
        assert now.connects == 1
    assert len(server.stored) == 1


async def test_attempts_are_used_up() -> None:
    def say(session: Session, line: str) -> str | None:
        return "450 4.2.0 greylisted" if line.startswith("RCPT") else None

    async with served(say, attempts=4) as (server, pool):
        with pytest.raises(SMTPException, match="greylisted"):
            await send(pool)
        assert pool.statistics().retries == 3
    assert sum(line.startswith("MAIL") for line in server.sessions[0].said) == 4


async def test_the_pause_before_an_attempt_is_waited_for(clock: Any) -> None:
    answers = iter(["451 later", "451 later", None])

    def say(session: Session, line: str) -> str | None:
        return next(answers) if line.startswith("MAIL") else None

    async with served(say, backoff=100.0) as (_server, pool):
        task = asyncio.ensure_future(send(pool))
        for number in (1, 2):
            await until(
                lambda n=number: pool.statistics().retries == n  # type: ignore[misc]  # which mypy cannot infer
            )
            await clock(49.0 * 2 ** (number - 1))
            assert pool.statistics().retries == number
            await clock(51.0 * 2 ** (number - 1))
        await task


@pytest.mark.parametrize("how", ["FIN", "RST"])
async def test_what_may_have_been_accepted_is_never_sent_again(how: str) -> None:
    """D02: nobody knows, so nobody resends."""

    def say(session: Session, line: str) -> str | None:
        return how if line == "." else None

    async with served(say) as (_server, pool):
        with pytest.raises(SMTPDeliveryUnknownError):
            await send(pool)
        now = pool.statistics()
        assert (now.unknown, now.retries, now.connects) == (1, 0, 1)


async def test_refused_recipients_are_the_callers_to_see() -> None:
    def say(session: Session, line: str) -> str | None:
        return "450 4.2.0 greylisted" if "slow@" in line else None

    async with served(say) as (server, pool):
        result = await pool.sendmail(
            "m0@x.example", ["b@y.example", "slow@y.example"], CONTENT
        )
        assert [*result] == ["slow@y.example"]
        now = pool.statistics()
        assert (now.partial, now.retries) == (1, 0)
    assert len(server.stored) == 1


async def test_an_error_before_the_wire_costs_no_session() -> None:
    async with served(size=1) as (_, pool):
        with pytest.raises(SMTPArgumentError):
            await pool.sendmail("m0@x.example", "not one", CONTENT)
        await send(pool)
        assert pool.statistics().not_sent == 1
        assert pool.statistics().connects == 1


# Recipients


async def test_recipients_over_rcptmax_go_into_further_transactions() -> None:
    """RFC 9422."""
    names = [f"{n}@y.example" for n in range(5)]
    async with served(None, "LIMITS RCPTMAX=2 MAILMAX=2") as (server, pool):
        result = await pool.sendmail("m0@x.example", names, CONTENT)
        assert result == {}
        assert result.accepted == names
        assert result.queue_id == "Q3"
        assert pool.statistics().accepted == 1
    assert [len(mail.recipients) for mail in server.stored] == [2, 2, 1]
    assert [mail.session for mail in server.stored] == [1, 1, 2]


async def test_recipients_that_were_one_too_many_go_into_a_further_one() -> None:
    """F14."""

    def say(session: Session, line: str) -> str | None:
        is_full = line.startswith("RCPT") and len(session.recipients) == 3
        return "452 4.5.3 too many recipients" if is_full else None

    names = [f"{n}@y.example" for n in range(10)]
    async with served(say) as (server, pool):
        result = await pool.sendmail("m0@x.example", names, CONTENT)
        assert result == {}
        assert result.accepted == names
    assert [len(mail.recipients) for mail in server.stored] == [3, 3, 3, 1]
    assert sorted(r for mail in server.stored for r in mail.recipients) == names


async def test_a_session_has_no_more_domains_than_it_may() -> None:
    """RFC 9422: RCPTDOMAINMAX counts over a session."""
    names = ["a@x.example", "b@y.example", "c@x.example", "d@z.example"]
    async with served(None, "LIMITS RCPTDOMAINMAX=1", size=2) as (server, pool):
        await send(pool)
        await pool.sendmail("m1@x.example", names, CONTENT)
        await pool.sendmail("m2@x.example", names, CONTENT)
    seen = {
        session.number: {
            line.rpartition("@")[2] for line in session.said if "RCPT" in line
        }
        for session in server.sessions
    }
    assert all(len(domains) == 1 for domains in seen.values())
    for sender in ("m1@x.example", "m2@x.example"):
        mails = [mail for mail in server.stored if mail.sender == sender]
        assert sorted(r for m in mails for r in m.recipients) == sorted(names)


async def test_a_caller_that_waited_before_that_was_known_gets_another_session() -> (
    None
):
    async with served(None, "LIMITS RCPTDOMAINMAX=1", size=1) as (server, pool):
        await asyncio.gather(
            *(
                pool.sendmail(f"m{n}@x.example", [f"b@{n}.example"], CONTENT)
                for n in range(2)
            )
        )
    assert [mail.session for mail in server.stored] == [1, 2]


async def test_a_later_transaction_that_is_lost_says_what_was_accepted() -> None:
    def say(session: Session, line: str) -> str | None:
        return "FIN" if line == "." and len(server.stored) else None

    names = [f"{n}@y.example" for n in range(4)]
    async with served(say, "LIMITS RCPTMAX=2") as (server, pool):
        with pytest.raises(SMTPDeliveryUnknownError) as caught:
            await pool.sendmail("m0@x.example", names, CONTENT)
        assert caught.value.result is not None
        assert caught.value.result.accepted == names[:2]
    assert len(server.stored) == 1


# Connecting


async def test_all_who_wait_are_told_when_no_connection_can_be_had() -> None:
    """E22: three attempts for a thousand tasks, not three thousand."""

    def say(session: Session, line: str) -> str | None:
        return "554 no service" if line == "" else None

    async with served(say, size=5) as (server, pool):
        results = await asyncio.gather(
            *(send(pool, n) for n in range(100)), return_exceptions=True
        )
        assert {type(r) for r in results} == {SMTPConnectionRefusedError}
        assert len({id(r) for r in results}) == 100
        assert pool.statistics().not_sent == 100
    assert len(server.sessions) == 5


async def test_a_server_that_comes_back_is_found_again() -> None:
    def say(session: Session, line: str) -> str | None:
        return "421 later" if line == "" and session.number <= 2 else None

    async with served(say, size=5) as (server, pool):
        await send(pool)
        assert pool.statistics().reasons["421"] == 2
    assert len(server.stored) == 1


async def test_nobody_is_asked_twice_within_a_pause(clock: Any) -> None:
    async with served(lambda *_: "421 later", size=2, backoff=100.0) as (server, pool):
        task = asyncio.ensure_future(send(pool))
        await until(lambda: len(server.sessions) == 1)
        await until(lambda: pool.statistics().retries == 1)
        await clock(49.0)
        assert len(server.sessions) == 1
        await clock(51.0)
        await until(lambda: len(server.sessions) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_wrong_password_is_no_sign_of_load() -> None:
    def say(session: Session, line: str) -> str | None:
        return "535 5.7.8 wrong" if line.startswith("AUTH") else None

    options: dict[str, Any] = {"username": "u", "password": "p", "size": 4}
    async with served(say, "AUTH PLAIN", **options) as (_, pool):
        with pytest.raises(SMTPLoginError):
            await send(pool)
        assert pool.statistics().limit == 4


async def test_a_login_that_is_refused_for_now_is_one() -> None:
    def say(session: Session, line: str) -> str | None:
        is_first = session.number == 1 and line.startswith("AUTH")
        if is_first:
            return "454 4.7.0 later"
        return "235 ok" if line.startswith("AUTH") else None

    options: dict[str, Any] = {"username": "u", "password": "p", "size": 4}
    async with served(say, "AUTH PLAIN", **options) as (_, pool):
        await send(pool)
        assert pool.statistics().limit == 2


async def test_what_a_token_raises_is_raised() -> None:
    async def token(refresh: bool) -> str:
        raise KeyError("no token")

    async with served(None, "AUTH XOAUTH2", username="u", token=token) as (_, pool):
        results = await asyncio.gather(
            *(send(pool, n) for n in range(3)), return_exceptions=True
        )
        assert [type(r) for r in results] == [KeyError] * 3


async def test_a_session_that_ends_right_after_ehlo_is_a_failed_connection() -> None:
    def say(session: Session, line: str) -> str | None:
        if line.startswith("EHLO"):
            session.say("250 mx.example")
            return "421 sorry"
        return None

    async with served(say, attempts=2) as (server, pool):
        with pytest.raises(SMTPConnectionError):
            await send(pool)
    assert len(server.sessions) == 2


# Age


async def test_idle_sessions_are_closed_in_time(clock: Any) -> None:
    async with served(max_idle=60.0, max_age=200.0) as (server, pool):
        for n in range(4):  # at 0, 50, 100 and 150 seconds
            await send(pool, n)
            await clock(50.0)
        await until(lambda: not server.open)
        assert server.sessions[0].said[-1] == "QUIT"
        await send(pool)
        await clock(60.0)
        await until(lambda: not server.open)
    assert len(server.sessions) == 2


async def test_a_session_may_idle_for_ever(clock: Any) -> None:
    options: dict[str, Any] = {"max_messages": None, "max_age": None, "max_idle": None}
    async with served(**options) as (server, pool):
        await send(pool)
        await clock(1e6)
        await send(pool)
    assert len(server.sessions) == 1


async def test_mails_leave_no_faster_than_the_rate(clock: Any) -> None:
    async with served(rate=0.1) as (server, pool):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(4)]
        for count in range(1, 5):
            await until(lambda c=count: pool.statistics().accepted == c)  # type: ignore[misc]  # which mypy cannot infer
            await clock(9.9)
            assert len(server.stored) == count
            await clock(0.11)
        await asyncio.gather(*tasks)


async def test_what_is_due_first_is_looked_after_first(clock: Any) -> None:
    """The session would idle for longer than the next mail has to wait."""
    async with served(rate=0.1, max_idle=60.0) as (server, pool):
        await send(pool)
        task = asyncio.ensure_future(send(pool))
        await asyncio.sleep(0)
        await clock(10.1)
        await task
    assert len(server.sessions) == 1


# Cancelled callers (after asyncpg's tests of its pool)


async def test_a_caller_that_is_cancelled_while_it_waits_takes_nothing() -> None:
    async with served(size=1) as (server, pool):
        async with pool.session():
            tasks = [asyncio.ensure_future(send(pool, n)) for n in range(3)]
            await until(lambda: pool.statistics().waiting == 3)
            tasks[1].cancel()
            await asyncio.wait(tasks[1:2])
            assert pool.statistics().waiting == 2
        await asyncio.gather(tasks[0], tasks[2])
        assert pool.statistics().idle == 1
    assert server.senders() == ["m0@x.example", "m2@x.example"]


async def test_a_caller_that_is_cancelled_as_it_gets_a_session_passes_it_on() -> None:
    async with served(size=1) as (server, pool):
        async with pool.session() as client:
            tasks = [asyncio.ensure_future(send(pool, n)) for n in range(2)]
            await until(lambda: pool.statistics().waiting == 2)
        # The session is put in order first; then the first task is given it.
        await until(lambda: pool.statistics().waiting == 1)
        tasks[0].cancel()
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert client.is_connected
        assert pool.statistics().connects == 1
    assert server.senders() == ["m1@x.example"]


async def test_a_caller_that_is_cancelled_while_connecting_leaves_a_session() -> None:
    """The connection is opened for whoever comes next."""
    is_open = asyncio.Event()

    async def later() -> None:
        await is_open.wait()

    def say(session: Session, line: str) -> Any:
        return later() if line == "" else None

    async with served(say, size=1) as (server, pool):
        task = asyncio.ensure_future(send(pool))
        await until(lambda: server.sessions)
        task.cancel()
        await asyncio.wait([task])
        is_open.set()
        await until(lambda: pool.statistics().idle == 1)
        await send(pool)
    assert len(server.sessions) == 1


async def test_a_caller_that_is_cancelled_when_connecting_fails_is_just_gone() -> None:
    answer = asyncio.Event()

    async def refuse() -> str:
        await answer.wait()
        return "554 no service"

    async with served(lambda *_: refuse(), size=1) as (server, pool):
        task = asyncio.ensure_future(send(pool))
        await until(lambda: server.sessions)
        answer.set()
        loop = asyncio.get_running_loop()
        connections = pool._connections
        original = connections.policy.opening_failed

        def failing(*args: Any) -> None:
            original(*args)
            loop.call_soon(task.cancel)  # in the step in which the error is told

        connections.policy.opening_failed = failing  # type: ignore[method-assign]
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_caller_that_is_cancelled_within_a_mail_costs_its_session() -> None:
    async with served(lambda _, line: "SILENCE" if line == "." else None) as (_, pool):
        task = asyncio.ensure_future(send(pool))
        await until(lambda: pool.statistics().busy == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert pool.statistics().open == 0


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_whenever_callers_are_cancelled_the_pool_goes_on(steps: int) -> None:
    """E22: no session is leaked, whatever the step."""
    async with served(size=2) as (server, pool):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(8)]
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks[1::2]:
            task.result()
        now = pool.statistics()
        assert (now.busy, now.waiting) == (0, 0)
        await asyncio.gather(*(send(pool, n) for n in range(8, 12)))
    assert server.most_open <= 2
    assert len({m.sender for m in server.stored}) == len(server.stored)


# Blocks of the caller's own commands


async def test_a_block_has_a_client_that_has_said_ehlo() -> None:
    async with served(None, "SIZE 1000") as (_, pool):
        async with pool.session() as client:
            assert isinstance(client, SMTP)
            assert client.extensions.size == 1000
            assert (await client.noop()).code == 250
            assert pool.statistics().busy == 1
        await until(lambda: pool.statistics().idle == 1)


async def test_a_transaction_that_a_block_has_begun_is_forgotten() -> None:
    """E20."""
    async with served(size=1) as (server, pool):
        async with pool.session() as client:
            await client.mail("half@x.example")
        await send(pool)
    said = server.sessions[0].said
    assert said.index("RSET") < said.index("MAIL FROM:<m0@x.example>")


@pytest.mark.parametrize("reply", ["421 bye", "500 what?", "FIN"])
async def test_a_session_that_cannot_be_put_in_order_is_not_used_again(
    reply: str,
) -> None:
    """E20."""
    async with served(lambda _, line: reply if line == "RSET" else None, size=1) as (
        server,
        pool,
    ):
        async with pool.session() as client:
            await client.noop()
        await send(pool)
        assert pool.statistics().connects == 2
    assert len(server.sessions) == 2


@pytest.mark.parametrize("is_reopened", [False, True])
async def test_a_session_that_a_block_has_closed_is_replaced(
    is_reopened: bool,
) -> None:
    async with served(size=1) as (server, pool):
        async with pool.session() as client:
            await client.quit()
            if is_reopened:
                await client.connect()
        await until(lambda: pool.statistics().open == 0)
        await until(lambda: not server.open)
        await send(pool)
        assert pool.statistics().connects == 2


async def test_an_error_within_a_block_passes_and_the_session_is_kept() -> None:
    async with served(size=1) as (_, pool):
        with pytest.raises(KeyError):
            async with pool.session():
                raise KeyError
        await send(pool)
        assert pool.statistics().connects == 1


async def test_an_operation_that_a_block_has_left_behind_costs_its_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smtplibaio.pool.connections.LAST_WORDS", 0.02)
    async with served(
        lambda _, line: "SILENCE" if line == "NOOP" else None, size=1
    ) as (_, pool):
        async with pool.session() as client:
            task = asyncio.ensure_future(client.noop())
            await asyncio.sleep(0)
        await until(lambda: pool.statistics().open == 0)
        with pytest.raises(SMTPConnectionError):
            await task


# Closing


async def test_closing_waits_for_what_was_begun_and_for_those_who_wait() -> None:
    async with served(size=1) as (server, pool):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(5)]
        await until(lambda: pool.statistics().waiting)
        await pool.close()
        assert all(task.done() for task in tasks)
        for call in (send(pool), pool.session().__aenter__()):
            with pytest.raises(SMTPConnectionError, match="the pool is closed"):
                await call
        await pool.close()
    assert server.senders() == numbers(5)


async def test_closing_waits_for_a_block_but_not_for_its_own() -> None:
    async with served() as (_, pool):
        async with pool.session() as client:
            with pytest.raises(SMTPConnectionError, match="leave the block"):
                await pool.close()
            closing = asyncio.ensure_future(pool.close())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not closing.done()
            await client.noop()
        await closing


async def test_closing_gives_up_what_waits_for_better_times(clock: Any) -> None:
    async with served(lambda *_: "421 later", backoff=100.0) as (_server, pool):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(2)]
        await until(lambda: pool.statistics().retries == 2)
        await pool.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(r, SMTPConnectionError) for r in results)


async def test_closing_ends_the_pause_before_an_attempt(clock: Any) -> None:
    def say(session: Session, line: str) -> str | None:
        return "451 later" if line.startswith("MAIL") else None

    async with served(say, backoff=100.0) as (_, pool):
        first = asyncio.ensure_future(send(pool))
        await until(lambda: pool.statistics().retries == 1)
        second = asyncio.ensure_future(send(pool))
        await until(lambda: pool.statistics().busy == 1)
        await pool.close()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [str(r) for r in results] == ["MAIL failed: 451 later"] * 2


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_what_takes_too_long_is_broken_off(is_cancelled: bool) -> None:
    async with served(lambda _, line: "SILENCE" if line == "." else None, size=1) as (
        _,
        pool,
    ):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(3)]
        await until(lambda: pool.statistics().busy == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(pool.close(None if is_cancelled else 0.01))
        await asyncio.sleep(0)
        if is_cancelled:
            closing.cancel()
            tasks[2].cancel()
        await asyncio.wait([closing, *tasks])
        assert closing.cancelled() == tasks[2].cancelled() == is_cancelled
        assert isinstance(tasks[0].exception(), SMTPDeliveryUnknownError)
        for task in tasks[1:2] if is_cancelled else tasks[1:]:
            assert isinstance(task.exception(), SMTPConnectionError)
        assert pool.statistics().open == 0
        with pytest.raises(SMTPConnectionError, match="the pool is closed"):
            await pool._connections.acquire()


async def test_connecting_is_broken_off_as_well() -> None:
    async with served(lambda *_: "SILENCE", size=2) as (server, pool):
        tasks = [asyncio.ensure_future(send(pool, n)) for n in range(2)]
        await until(lambda: server.sessions)
        await pool.close(0.0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(r, SMTPConnectionError) for r in results)


async def test_a_server_that_does_not_answer_quit_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("smtplibaio.pool.connections.LAST_WORDS", 0.02)
    async with served(lambda _, line: "SILENCE" if line == "QUIT" else None) as (
        _,
        pool,
    ):
        await send(pool)


def test_a_loop_that_ends_takes_its_connections_with_it() -> None:
    """E25: also those that are being opened."""

    async def main() -> None:
        async with PoolServer(lambda *_: "SILENCE") as server:
            pool = SMTPPool(server.host, server.port)
            task = asyncio.ensure_future(send(pool))
            await until(lambda: server.sessions)
            connections = pool._connections
            [opening] = connections._tasks
            opening.cancel()
            await asyncio.wait([opening])
            assert connections.policy.members == [] or not task.done()
            task.cancel()
            await asyncio.wait([task])
            await pool.close(0.0)

    asyncio.run(main())


# Whose pool it is


def test_a_pool_belongs_to_one_loop() -> None:
    """E24."""

    async def first() -> None:
        async with PoolServer() as server:
            pools.append(SMTPPool(server.host, server.port))
            await send(pools[0])
            await pools[0].close()

    async def second() -> None:
        for call in (send(pools[0]), pools[0].close(), pools[0].__aenter__()):
            with pytest.raises(SMTPConnectionError, match="another event loop"):
                await call

    pools: list[SMTPPool] = []
    asyncio.run(first())
    asyncio.run(second())


async def test_a_pool_belongs_to_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """E26."""
    async with served() as (_, pool):
        await send(pool)
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(SMTPConnectionError, match="parent process"):
                await send(pool)
        await send(pool)


async def test_a_forked_child_is_refused_and_the_parent_goes_on() -> None:
    """E26: no method of the pool works in the child, nor writes anything."""
    async with served() as (server, pool):
        await send(pool, 0)
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            signal.alarm(10)
            warnings.simplefilter("ignore")
            told = "the child has failed"
            try:
                told = asyncio.run(in_child(pool))
            finally:
                os.write(writer, told.encode())
                os._exit(0)
        os.close(writer)
        assert os.read(reader, 1000) == b"refused"
        os.waitpid(child, 0)  # noqa: ASYNC222  # it has ended
        os.close(reader)
        await send(pool, 2)
        assert pool.statistics().connects == 1
    assert server.senders() == ["m0@x.example", "m2@x.example"]


async def in_child(pool: SMTPPool) -> str:
    """Try what a child may not do; say how that went."""
    calls: list[Any] = [
        send(pool, 1),
        pool.session().__aenter__(),
        anext(pool.send_many([Mail(CONTENT, "a@x.example", "b@y.example")])),
        pool.__aenter__(),
        pool.close(),
    ]
    for call in calls:
        with pytest.raises(SMTPConnectionError, match="make one after the fork"):
            await call
    return "refused"


# What it is made with


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 0}, "size must be a whole number above 0, not 0"),
        ({"size": True}, "size must be a whole number"),
        ({"attempts": 0}, "attempts must be a whole number"),
        ({"max_messages": -1}, "max_messages must be a whole number"),
        ({"max_age": "1"}, "max_age must be a number of seconds"),
        ({"max_idle": -1.0}, "max_idle must be a number of seconds"),
        ({"backoff": None}, "backoff must be a number of seconds"),
        ({"backoff_max": float("nan")}, "backoff_max must be a number of seconds"),
        ({"rate": 0}, "rate must be a number of messages"),
        ({"sock": ...}, "sock is one connection"),
        ({"tls": "no"}, "tls must be True or False, not 'no'"),
        ({"client": 5}, "client must be a class of clients, such as LMTP, not 5"),
        ({"client": int}, "client must be a class of clients"),
        ({"starttls": "perhaps"}, "starttls"),
    ],
    ids=str,
)
def test_what_is_wrong_shows_when_the_pool_is_made(
    options: dict[str, Any], match: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=match):
        SMTPPool("localhost", 25, **options)


async def test_a_listener_hears_all_sessions_and_the_pool() -> None:
    events: list[Event] = []
    async with served(size=1, on_event=events.append) as (_, pool):
        await asyncio.gather(send(pool, 0), send(pool, 1))
    changes = [event for event in events if isinstance(event, PoolChanged)]
    assert len(changes) < len(events)
    shown = [str(event) for event in changes]
    assert shown[0] == "-- pool: 0 busy, 0 idle, 1 waiting, limit 1"
    assert "-- pool: 1 busy, 0 idle, 1 waiting, limit 1" in shown
    assert shown[-1] == "-- pool: 0 busy, 0 idle, 0 waiting, limit 1"
    assert all(a != b for a, b in pairwise(changes))


async def test_a_listener_that_raises_is_no_affair_of_the_pool() -> None:
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, PoolChanged):
            raise KeyError("no such gauge")

    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: told.append(context["message"]))
    try:
        async with served(on_event=listen) as (server, pool):
            await send(pool)
    finally:
        loop.set_exception_handler(handler)
    assert len(server.stored) == 1
    assert {*told} == {"on_event has raised"}


async def test_a_pool_of_lmtp_clients_has_a_reply_for_each_recipient() -> None:
    """F16."""
    names = [f"{n}@y.example" for n in range(3)]
    async with served(None, "LIMITS RCPTMAX=2", client=LMTP) as (server, pool):
        result = await pool.sendmail("m0@x.example", names, CONTENT)
        assert result.accepted == names
        mails = [Mail(CONTENT, f"m{n}@x.example", names) for n in range(1, 5)]
        outcomes = [outcome async for outcome in pool.send_many(mails)]
        assert {outcome.status for outcome in outcomes} == {"accepted"}
        assert pool.statistics().accepted == 5
    assert len(server.stored) == 10
    assert sorted({mail.sender for mail in server.stored}) == numbers(5)


async def test_a_recipient_without_a_reply_is_unknown_and_not_sent_to_again() -> None:
    """F16: the LMTP server has one reply for two recipients."""

    def say(session: Session, line: str) -> str | None:
        return "250 2.0.0 one" if line == "." and session.number == 1 else None

    names = ["b@y.example", "c@y.example"]
    timeout = Timeouts(final=0.1)
    async with served(say, client=LMTP, timeout=timeout) as (server, pool):
        with pytest.raises(SMTPDeliveryUnknownError) as caught:
            await pool.sendmail("m0@x.example", names, CONTENT)
        assert caught.value.result is not None
        assert caught.value.result.accepted == names[:1]
        assert caught.value.unknown == names[1:]
        await pool.sendmail("m1@x.example", names, CONTENT)
        now = pool.statistics()
        assert (now.unknown, now.accepted, now.retries, now.connects) == (1, 1, 0, 2)
    assert server.senders() == ["m1@x.example"]


async def test_a_session_with_a_reply_too_many_is_not_used_again() -> None:
    """F16: nobody can tell which replies belong to what follows."""

    def say(session: Session, line: str) -> str | None:
        replies = "250 2.0.0 one\r\n250 2.0.0 two\r\n250 2.0.0 three"
        return replies if line == "." and session.number == 1 else None

    names = ["b@y.example", "c@y.example"]
    async with served(say, client=LMTP) as (server, pool):
        result = await pool.sendmail("m0@x.example", names, CONTENT)
        assert [reply.message for reply in result.replies.values()] == [
            "2.0.0 one",
            "2.0.0 two",
        ]
        await pool.sendmail("m1@x.example", names, CONTENT)
        now = pool.statistics()
        assert (now.accepted, now.retries, now.connects) == (2, 0, 2)
    assert server.senders() == ["m1@x.example"]


async def test_a_url_is_enough() -> None:
    async with PoolServer() as server:
        url = f"smtp://{server.host}:{server.port}?size=2&max_age=none&rate=1000"
        async with SMTPPool.from_url(url, attempts=1) as pool:
            await asyncio.gather(*(send(pool, n) for n in range(5)))
            assert pool.statistics().limit == 2
    assert server.senders() == numbers(5)


def test_a_url_says_which_clients_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, kind, port in (
        ("smtp://mx.example", SMTP, 25),
        ("smtps://mx.example", SMTP, 465),
        ("lmtp://mx.example", LMTP, 24),
    ):
        client = SMTPPool.from_url(url)._connections._make()
        assert (type(client), client.port) == (kind, port)
        monkeypatch.setenv("MAIL_URL", url)
        client = SMTPPool.from_env("MAIL_")._connections._make()
        assert (type(client), client.port) == (kind, port)
    monkeypatch.setenv("OTHER_HOST", "mx.example")
    monkeypatch.setenv("OTHER_SIZE", "3")
    assert SMTPPool.from_env("OTHER_").statistics().limit == 3
    for wrong in ("smtp://mx.example?size=many", "smtp://mx.example?rate=0"):
        with pytest.raises(SMTPArgumentError):
            SMTPPool.from_url(wrong)
    assert SMTPPool(client=LMTP)._connections._make().port == 24


async def test_implicit_tls_has_its_context_and_port(
    server_tls: Any, client_tls: Any
) -> None:
    from strict_server import StrictServer

    async with StrictServer(tls=server_tls) as server:
        async with SMTPPool(
            "localhost", server.port, tls=True, tls_context=client_tls
        ) as pool:
            async with pool.session() as client:
                assert client.is_encrypted
    for options, port in (
        ({"tls": True}, 465),
        ({"tls": True, "client": SMTP_SSL}, 465),
        ({"client": SMTP_SSL}, 465),
        ({}, 25),
    ):
        pool = SMTPPool("localhost", **options)  # type: ignore[arg-type]  # a flag
        assert pool._connections._make().port == port

"""A run of mails as its caller sees it: begun, shared, left, lost, at any point."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from itertools import repeat
from typing import Any

import pytest
from conversation import client, session

from smtplibaio import (
    SMTP,
    Mail,
    Outcome,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
)
from smtplibaio.events import ContentSent, ReplyReceived

HELLO = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-PIPELINING
    S: 250 CHUNKING
"""
GROUP = "C: MAIL FROM:<a{0}@x.example>\nC: RCPT TO:<b{0}@y.example>\n"
GO = "S: 250 ok\nS: 250 ok\nS: 354 go\n"
NOOP = "C: NOOP\nS: 250 in step\n"
RSET = "C: RSET\nS: 250 reset\n"


def turns(*numbers: int) -> str:
    """Write mails that are taken at window 1, as they leave one behind another."""
    script = GROUP.format(numbers[0]) + "C: DATA\n"
    before = ""  # the reply to the RSET that stands behind a content
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        group = "C: RSET\n" + GROUP.format(following) + "C: DATA\n" if following else ""
        content = f"C: mail {number}\nC: .\n"
        script += before + GO + content + group + f"S: 250 taken {number}\n"
        before = "S: 250 reset\n"
    return script


def together(*numbers: int) -> str:
    """Write mails that are taken at a window that holds all of them."""
    said = "C: RSET\n".join(
        f"{GROUP.format(n)}C: BDAT 8 LAST\nC: mail {n}\n" for n in numbers
    )
    taken = (f"S: 250 ok\nS: 250 ok\nS: 250 taken {n}\n" for n in numbers)
    return said + "S: 250 reset\n".join(taken)


def mail(number: int) -> Mail:
    return Mail(f"mail {number}\r\n", f"a{number}@x.example", f"b{number}@y.example")


def mails(count: int) -> list[Mail]:
    return [mail(number) for number in range(1, count + 1)]


class Source:
    """Give mails, and note whether it was left in order."""

    def __init__(self, count: int = 3) -> None:
        self.is_closed = False
        self.given = 0
        self.items = self._items(count)

    async def _items(self, count: int) -> AsyncIterator[Mail]:
        try:
            for item in mails(count):
                self.given += 1
                yield item
        finally:
            await asyncio.sleep(0)
            self.is_closed = True


async def steps(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def send(smtp: SMTP, number: int) -> None:
    """Send a mail that is no part of the run."""
    await smtp.sendmail(
        f"a{number}@x.example", f"b{number}@y.example", f"mail {number}\r\n"
    )


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


class Failure(Exception):
    """What the body of a loop raises."""


# The arguments, and the beginning


@pytest.mark.parametrize("messages", [3, None, "text", b"octets", mail(1)])
async def test_what_is_no_run_is_refused_before_anything_begins(messages: Any) -> None:
    with pytest.raises(SMTPArgumentError, match="messages"):
        SMTP().send_many(messages)
    gc.collect()  # a destructor that fails is heard of here


@pytest.mark.parametrize("window", [0, -1, True, 1.5, None, "8"])
async def test_a_window_is_a_number_from_one_on(window: Any) -> None:
    with pytest.raises(SMTPArgumentError, match="window"):
        SMTP().send_many([], window=window)
    gc.collect()


@pytest.mark.parametrize("window", [1, 8])
async def test_without_a_connection_there_is_no_run(window: int) -> None:
    source = Source()
    run = SMTP().send_many(source.items, window=window)
    with pytest.raises(SMTPConnectionError, match="not connected"):
        await anext(run)
    with pytest.raises(StopAsyncIteration):
        await anext(run)
    assert source.given == 0


async def test_a_run_that_nobody_begins_is_none() -> None:
    source = Source()
    async with session(HELLO, NOOP) as smtp:
        await smtp.ehlo()
        smtp.send_many(source.items)
        run = smtp.send_many(source.items)
        await run.aclose()
        assert [outcome async for outcome in run] == []
        await smtp.noop()
    assert source.given == 0


async def test_a_server_that_knows_neither_hello_ends_the_run() -> None:
    """And the session is free: it is the server that refuses."""
    no = "C: EHLO client.example\nS: 502 no\nC: HELO client.example\nS: 502 no\n"
    async with session("S: 220 hi", no, no) as smtp:
        for _ in range(2):
            with pytest.raises(SMTPCommandFailedError):
                await anext(smtp.send_many(mails(1)))


@pytest.mark.parametrize(
    ("window", "script"), [(1, turns(1, 2)), (8, together(1, 2))], ids=["1", "8"]
)
async def test_at_its_end_the_run_is_over(window: int, script: str) -> None:
    """The session is free, and the source has been left."""
    source = Source(2)
    async with session(HELLO, script, NOOP) as smtp:
        run = smtp.send_many(source.items, window=window)
        assert [outcome.status async for outcome in run] == ["accepted", "accepted"]
        assert source.is_closed
        with pytest.raises(StopAsyncIteration):
            await anext(run)
        assert (await smtp.noop()).message == "in step"
        await run.aclose()


async def test_a_transaction_that_somebody_left_is_forgotten_first() -> None:
    begun = "C: MAIL FROM:<z@x.example>\nS: 250 ok\n"
    group, replies = turns(1).split("C: DATA\n")
    reset = f"C: RSET\n{group}C: DATA\nS: 250 reset\n{replies}"
    async with session(HELLO, begun, reset) as smtp:
        await smtp.mail("z@x.example")
        assert [o.status async for o in smtp.send_many(mails(1))] == ["accepted"]


# Whose turn it is


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda smtp: send(smtp, 9), id="sendmail"),
        pytest.param(lambda smtp: smtp.noop(), id="noop"),
        pytest.param(lambda smtp: smtp.quit(), id="quit"),
        pytest.param(lambda smtp: smtp.connect(), id="connect"),
        pytest.param(lambda smtp: anext(smtp.send_many(mails(1))), id="send_many"),
    ],
)
async def test_within_the_loop_the_session_cannot_be_used(
    window: int, call: Callable[[SMTP], Awaitable[Any]]
) -> None:
    """It is told, and not waited for; and the run goes on."""
    script = turns(1, 2, 3) if window == 1 else together(1, 2, 3)
    outcomes = []
    async with session(HELLO, script, NOOP) as smtp:
        async for outcome in smtp.send_many(mails(3), window=window):
            outcomes.append(outcome)
            with pytest.raises(SMTPConnectionError, match="send_many"):
                await call(smtp)
        await smtp.noop()
    assert statuses(outcomes) == ["accepted"] * 3


@pytest.mark.parametrize(
    ("window", "script"), [(1, turns(1, 2)), (8, together(1, 2))], ids=["1", "8"]
)
async def test_another_task_waits_until_the_run_is_over(
    window: int, script: str
) -> None:
    async with session(HELLO, script, turns(9)) as smtp:
        other = None
        async for _ in smtp.send_many(mails(2), window=window):
            other = other or asyncio.create_task(send(smtp, 9))
            await steps()
            assert not other.done()
        assert other is not None
        await other


async def test_a_run_waits_for_the_operation_of_another_task() -> None:
    async with session(HELLO, turns(9), turns(1, 2)) as smtp:
        other = asyncio.create_task(send(smtp, 9))
        await asyncio.sleep(0)
        outcomes = [outcome async for outcome in smtp.send_many(mails(2))]
        assert other.done()
        await other
    assert statuses(outcomes) == ["accepted", "accepted"]


async def test_being_cancelled_while_it_waits_for_its_turn_the_run_never_began() -> (
    None
):
    source = Source()
    async with session(HELLO, turns(9), NOOP) as smtp:
        other = asyncio.create_task(send(smtp, 9))
        await asyncio.sleep(0)
        waiting = asyncio.ensure_future(anext(smtp.send_many(source.items)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await other
        await smtp.noop()
    assert source.given == 0


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda smtp: smtp.noop(), id="noop"),
        pytest.param(lambda smtp: send(smtp, 9), id="sendmail"),
        pytest.param(lambda smtp: anext(smtp.send_many(mails(1))), id="send_many"),
    ],
)
async def test_a_source_that_uses_its_own_client_is_told_so(
    window: int, call: Callable[[SMTP], Awaitable[Any]]
) -> None:
    """H06: the run waits for its source, and the source would wait for the run."""
    script = turns(1) if window == 1 else together(1)
    outcomes: list[Outcome] = []

    async def given(smtp: SMTP) -> AsyncIterator[Mail]:
        yield mail(1)
        await call(smtp)

    async with session(HELLO, script, NOOP) as smtp:
        run = smtp.send_many(given(smtp), window=window)
        outcomes.append(await anext(run))
        with pytest.raises(SMTPConnectionError, match="wait for itself for ever"):
            await anext(run)
        await smtp.noop()
    assert statuses(outcomes) == ["accepted"]


@pytest.mark.parametrize("window", [1, 8])
async def test_a_content_that_uses_its_own_client_is_told_so(window: int) -> None:
    """H06: the mail is not sent, and the connection ends in its middle."""

    async def content(smtp: SMTP) -> AsyncIterator[bytes]:
        yield b"mail 1\r\n"
        await smtp.noop()

    script = GROUP.format(1) + "C: DATA\n" + GO + "C: <hangup>"
    async with session(HELLO, script) as smtp:
        given = Mail(content(smtp), "a1@x.example", "b1@y.example")
        run = smtp.send_many([given], window=window)
        (outcome,) = [outcome async for outcome in run]
    assert outcome.status == "not sent"
    assert isinstance(outcome.error, SMTPConnectionError)
    assert "wait for itself" in str(outcome.error)


@pytest.mark.parametrize("window", [1, 8])
async def test_who_waits_for_an_outcome_with_a_limit_is_the_one_that_runs(
    window: int,
) -> None:
    """H06: before Python 3.12 `wait_for` makes a task of its own for it."""
    script = turns(1, 2) if window == 1 else together(1, 2)
    async with session(HELLO, script, NOOP) as smtp:
        run = smtp.send_many(mails(2), window=window)
        outcomes = [await asyncio.wait_for(anext(run), 5)]
        with pytest.raises(SMTPConnectionError, match="wait for itself"):
            await smtp.noop()
        outcomes.append(await asyncio.wait_for(anext(run), 5))
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(run), 5)
        await smtp.noop()
    assert statuses(outcomes) == ["accepted", "accepted"]


async def test_two_tasks_cannot_wait_for_one_run_at_a_time() -> None:
    """The second is told so, and the first one has its outcome."""
    async with session(HELLO, turns(1, 2)) as smtp:
        run = smtp.send_many(mails(2))
        first = asyncio.ensure_future(anext(run))
        await asyncio.sleep(0)
        with pytest.raises(SMTPConnectionError, match="another task"):
            await anext(run)
        assert (await first).mail == mail(1)
        assert [outcome.mail async for outcome in run] == [mail(2)]


async def test_two_tasks_may_take_turns_with_one_run() -> None:
    found: list[Mail] = []
    lock = asyncio.Lock()

    async def take(run: AsyncIterator[Outcome]) -> None:
        while True:
            async with lock:
                outcome = await anext(run, None)
            if outcome is None:
                return
            found.append(outcome.mail)

    async with session(HELLO, turns(1, 2, 3), NOOP) as smtp:
        run = smtp.send_many(mails(3))
        await asyncio.gather(take(run), take(run))
        await smtp.noop()
    assert found == mails(3)


async def test_a_run_that_another_task_waits_for_cannot_be_left() -> None:
    """D01: a mail of a third task would become part of the content."""
    is_asked, may_go_on = asyncio.Event(), asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        is_asked.set()
        await may_go_on.wait()
        yield b"mail 1\r\n"

    async with session(HELLO, turns(1), turns(9)) as smtp:
        run = smtp.send_many([Mail(content(), "a1@x.example", "b1@y.example")])
        waiting = asyncio.ensure_future(anext(run))
        await is_asked.wait()
        with pytest.raises(SMTPConnectionError, match="another task"):
            await run.aclose()
        other = asyncio.create_task(send(smtp, 9))
        await steps()
        may_go_on.set()
        assert (await waiting).status == "accepted"
        await steps()
        assert not other.done()
        await run.aclose()
        await other


# Leaving it early


async def by_break(smtp: SMTP, given: Any, window: int) -> None:
    async for _outcome in smtp.send_many(given, window=window):
        break


async def by_an_exception(smtp: SMTP, given: Any, window: int) -> None:
    with suppress(Failure):
        async for _ in smtp.send_many(given, window=window):
            raise Failure


async def by_return(smtp: SMTP, given: Any, window: int) -> None:
    async def first() -> Outcome | None:
        async for outcome in smtp.send_many(given, window=window):
            return outcome
        return None

    assert await first() is not None


async def by_a_cancellation(smtp: SMTP, given: Any, window: int) -> None:
    task = asyncio.current_task()
    assert task is not None
    with suppress(asyncio.CancelledError):
        async for _ in smtp.send_many(given, window=window):
            task.cancel()
            await asyncio.sleep(0)
    assert task.uncancel() == 0


async def by_aclose(smtp: SMTP, given: Any, window: int) -> None:
    async with aclosing(smtp.send_many(given, window=window)) as run:
        await anext(run)


async def by_dropping_it(smtp: SMTP, given: Any, window: int) -> None:
    run = smtp.send_many(given, window=window)
    await anext(run)
    del run


async def by_losing_it(smtp: SMTP, given: Any, window: int) -> None:
    run: Any = [smtp.send_many(given, window=window)]
    await anext(run[0])
    run.append(run)  # a cycle, which nobody but the collector breaks
    del run
    gc.collect()


each_way = pytest.mark.parametrize(
    "leave",
    [
        by_break,
        by_an_exception,
        by_return,
        by_a_cancellation,
        by_aclose,
        by_dropping_it,
        by_losing_it,
    ],
)


@each_way
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_window_that_is_left_leaves_a_session_in_step(
    leave: Callable[..., Awaitable[None]], is_async: bool
) -> None:
    """What was on its way is delivered; then the session is put in order."""
    source = Source()
    async with session(HELLO, together(1, 2, 3), RSET, turns(9), NOOP) as smtp:
        await leave(smtp, source.items if is_async else mails(3), 8)
        await send(smtp, 9)  # at once, and by the same task
        assert (await smtp.noop()).message == "in step"
    assert source.is_closed is is_async


@each_way
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_run_that_is_left_with_a_mail_begun_leaves_no_session(
    leave: Callable[..., Awaitable[None]], is_async: bool
) -> None:
    """After a 354 the only way out is to hang up."""
    source = Source()
    async with session(HELLO, turns(1, 2).split(GO + "C: mail 2")[0]) as smtp:
        await leave(smtp, source.items if is_async else mails(3), 1)
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="left before its end"):
            await smtp.noop()
        await steps()
    assert source.is_closed is is_async


@each_way
@pytest.mark.parametrize(
    ("window", "script"), [(1, turns(1)), (8, together(1))], ids=["1", "8"]
)
async def test_a_run_that_is_left_with_no_mail_begun_leaves_a_clean_session(
    leave: Callable[..., Awaitable[None]],
    window: int,
    script: str,
) -> None:
    async with session(HELLO, script, turns(9)) as smtp:
        await leave(smtp, mails(1), window)
        await send(smtp, 9)


def unsendable_ahead() -> Iterator[Mail]:
    yield from (mail(1), Mail(b"a\0b", "a2@x.example", "b2@y.example"), mail(3))


def failing_ahead() -> Iterator[Mail]:
    yield mail(1)
    raise Failure


def unsendable() -> Iterator[Mail]:
    yield Mail(b"a\0b", "a2@x.example", "b2@y.example")


REFUSED = (
    "C: MAIL FROM:<a1@x.example>\nC: RCPT TO:<b1@y.example>\n{}"
    "S: 550 no\nS: 503 no\nS: 503 no\n"
)


WITH_AN_ERROR = [
    pytest.param(1, unsendable_ahead, turns(1), id="1-unsendable ahead"),
    pytest.param(1, unsendable, "", id="1-unsendable"),
    pytest.param(
        1, lambda: mails(1), REFUSED.format("C: DATA\n") + RSET, id="1-refused"
    ),
    pytest.param(8, unsendable_ahead, together(1, 3) + RSET, id="8-unsendable ahead"),
    pytest.param(8, unsendable, "", id="8-unsendable"),
    pytest.param(
        8,
        lambda: mails(1),
        REFUSED.format("C: BDAT 8 LAST\nC: mail 1\n") + RSET,
        id="8-refused",
    ),
]


@each_way
@pytest.mark.parametrize(
    ("window", "given", "script"),
    [
        *WITH_AN_ERROR,
        pytest.param(1, failing_ahead, turns(1), id="1-failing ahead"),
        pytest.param(8, failing_ahead, together(1), id="8-failing ahead"),
    ],
)
async def test_an_error_that_is_kept_does_not_keep_the_session(
    leave: Callable[..., Awaitable[None]], window: int, given: Any, script: str
) -> None:
    """What an exception holds, frames above all, must not hold the run."""
    async with session(HELLO, script, turns(9)) as smtp:
        await leave(smtp, given(), window)
        await send(smtp, 9)


@pytest.mark.parametrize(("window", "given", "script"), WITH_AN_ERROR)
async def test_an_outcome_that_is_kept_does_not_keep_its_caller(
    window: int, given: Any, script: str
) -> None:
    """Who had a name for the run."""

    async def first(smtp: SMTP) -> Outcome | None:
        run = smtp.send_many(given(), window=window)
        async for outcome in run:
            return outcome
        return None

    async with session(HELLO, script, turns(9)) as smtp:
        outcome = await first(smtp)
        await send(smtp, 9)
    assert outcome is not None


def fail() -> None:
    raise Failure


@pytest.mark.parametrize(("window", "given", "script"), WITH_AN_ERROR)
async def test_the_exception_that_a_caller_handles_keeps_its_traceback(
    window: int, given: Any, script: str
) -> None:
    """H12: mails are sent in an `except` block, and one of them fails."""

    async def send_while_handling(smtp: SMTP) -> None:
        try:
            fail()
        except Failure:
            async for _ in smtp.send_many(given(), window=window):
                break
            raise

    async with session(HELLO, script, turns(9)) as smtp:
        with pytest.raises(Failure) as info:
            await send_while_handling(smtp)
        assert info.traceback[-1].name == "fail"
        await send(smtp, 9)


@pytest.mark.parametrize("end", ["close", "421"])
@pytest.mark.parametrize("window", [1, 8])
async def test_an_outcome_that_is_kept_does_not_keep_the_session(
    window: int, end: str
) -> None:
    """The client can be connected again, by the same task."""
    script = turns(1, 2, 3) if window == 1 else together(1, 2, 3)
    script = ending_at(script, 3 if window == 1 else 2, end)
    async with session(HELLO, script) as smtp:
        async for outcome in smtp.send_many(mails(3), window=window):
            assert outcome.error is not None
            break
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()
        assert outcome.error is not None


@each_way
@pytest.mark.parametrize("window", [1, 8])
async def test_leaving_a_run_gives_the_next_task_its_turn(
    leave: Callable[..., Awaitable[None]], window: int
) -> None:
    script = turns(1) if window == 1 else together(1)
    async with session(HELLO, script, turns(9)) as smtp:
        leaving = asyncio.create_task(leave(smtp, mails(1), window))
        await asyncio.sleep(0)
        async with asyncio.timeout(2):
            await send(smtp, 9)
        await leaving


@pytest.mark.parametrize(
    ("script", "note"),
    [
        pytest.param(GROUP.format(1) + "C: DATA", "", id="before the 354"),
        pytest.param(
            turns(1).split("S: 250 taken")[0],
            "The mail may have been accepted: all of it was sent.",
            id="before the final reply",
        ),
    ],
)
async def test_being_cancelled_within_a_mail_ends_the_connection(
    script: str, note: str
) -> None:
    """D04: and the cancellation tells where the mail may have been accepted."""
    is_there = asyncio.Event()
    source = Source(1)

    def heard(event: object) -> None:
        if isinstance(event, ContentSent) or (not note and str(event) == "C: DATA"):
            is_there.set()

    async with session(HELLO, script, "C: <hangup>", on_event=heard) as smtp:
        waiting = asyncio.ensure_future(anext(smtp.send_many(source.items)))
        await is_there.wait()
        await steps(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert getattr(caught.value, "__notes__", []) == ([note] if note else [])
        assert source.is_closed
        with pytest.raises(SMTPConnectionLostError, match="broken off"):
            await smtp.noop()


@pytest.mark.parametrize("message", [None, 5, ...])
async def test_a_mail_without_a_message_is_not_sent(message: Any) -> None:
    """H05: and the run goes on."""
    given = [Mail(message, "a@x.example", "b@y.example"), *mails(1)]
    async with session(HELLO, turns(1)) as smtp:
        outcomes = [outcome async for outcome in smtp.send_many(given)]
    assert statuses(outcomes) == ["not sent", "accepted"]
    assert "a message must be" in str(outcomes[0].error)


async def test_a_source_that_fails_at_its_end_hides_no_cancellation() -> None:
    """H01, D04: the cancellation, with what it tells of the mail, is what is raised."""
    is_there = asyncio.Event()

    def source() -> Iterator[Mail]:
        try:
            yield from mails(1)
        finally:
            raise OSError("no room for the log")

    def heard(event: object) -> None:
        if isinstance(event, ContentSent):
            is_there.set()

    hello = HELLO.replace(
        "    S: 250-PIPELINING\n", ""
    )  # so that no mail is taken ahead
    script = """
        C: MAIL FROM:<a1@x.example>
        S: 250 ok
        C: RCPT TO:<b1@y.example>
        S: 250 ok
        C: DATA
        S: 354 go
        C: mail 1
        C: .
        C: <hangup>
    """
    async with session(hello, script, on_event=heard) as smtp:
        waiting = asyncio.ensure_future(anext(smtp.send_many(source())))
        await is_there.wait()
        await steps(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert caught.value.__notes__ == [
            "The mail may have been accepted: all of it was sent.",
            "Closing the iterable of mails failed, too: OSError('no room for the log')",
        ]


async def test_being_cancelled_at_a_window_leaves_the_answers_to_be_read() -> None:
    """D04: the session is in step, and the cancellation tells of the mails."""
    is_there = asyncio.Event()
    source = Source(2)

    def heard(event: object) -> None:
        if isinstance(event, ReplyReceived) and event.reply.message == "first":
            is_there.set()

    script = together(1, 2).replace("S: 250 ok", "S: 250 first", 1)
    async with session(HELLO, script, RSET, turns(9), on_event=heard) as smtp:
        waiting = asyncio.ensure_future(anext(smtp.send_many(source.items, window=8)))
        await is_there.wait()
        assert waiting.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await waiting
        assert "may have been accepted" in caught.value.__notes__[0]
        assert source.is_closed
        await send(smtp, 9)


async def test_being_cancelled_while_the_source_is_waited_for_leaves_it_clean() -> None:
    is_asked = asyncio.Event()
    is_closed = False

    async def source() -> AsyncIterator[Mail]:
        nonlocal is_closed
        try:
            yield mail(1)
            is_asked.set()
            await asyncio.Event().wait()
        finally:
            is_closed = True

    for window, script in ((1, turns(1)), (8, together(1))):
        is_asked.clear()
        async with session(HELLO, script, turns(9)) as smtp:
            run = smtp.send_many(source(), window=window)
            assert (await anext(run)).status == "accepted"
            waiting = asyncio.ensure_future(anext(run))
            await is_asked.wait()
            await steps()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert is_closed
            await send(smtp, 9)


def test_a_run_that_outlives_its_loop_is_no_trouble() -> None:
    async def begin() -> AsyncIterator[Outcome]:
        async with session(HELLO, turns(1)) as smtp:
            run = smtp.send_many(mails(1))
            await anext(run)
            return run

    loop = asyncio.new_event_loop()
    run = loop.run_until_complete(begin())
    loop.close()
    del run
    gc.collect()


# The end of the connection, at every reply


def expected(window: int, end: str, reply: int) -> list[str]:
    """Give what becomes of three mails where a certain reply does not come."""
    first = 4 if window == 1 else 3  # replies; one more for each RSET that follows
    number = 0 if reply < first else 1 + (reply - first) // (first + 1)
    is_final = (reply + 1 - first) % (first + 1) == 0
    found = ["accepted"] * number
    if end == "421":
        found.append("refused" if is_final else "not sent")
        rest = "not sent"
    elif window == 1:
        found.append("unknown" if is_final else "not sent")
        rest = "not sent"
    else:
        found.append("unknown")
        rest = "unknown"
    return found + [rest] * (3 - len(found))


def ending_at(script: str, reply: int, end: str) -> str:
    """Write a script to a certain reply of the server, in whose place it ends."""
    lines = script.splitlines()
    replies = [n for n, line in enumerate(lines) if line.startswith("S:")]
    last = {
        "close": ["S: <close>"],
        "reset": ["S: <reset>"],
        "421": ["S: 421 bye", "C: <hangup>"],
    }
    return "\n".join(lines[: replies[reply]] + last[end])


@pytest.mark.parametrize("end", ["close", "reset", "421"])
@pytest.mark.parametrize(
    ("window", "reply"),
    [(1, reply) for reply in range(14)] + [(8, reply) for reply in range(11)],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_wherever_the_connection_ends_each_mail_has_its_true_outcome(
    window: int, reply: int, end: str, is_async: bool
) -> None:
    """D12, D14: nothing that was answered is lost, and nothing is guessed."""
    script = turns(1, 2, 3) if window == 1 else together(1, 2, 3)
    source = Source()
    async with session(HELLO, ending_at(script, reply, end)) as smtp:
        given: Any = source.items if is_async else mails(3)
        outcomes = [outcome async for outcome in smtp.send_many(given, window=window)]
        with pytest.raises(SMTPConnectionError):
            await smtp.noop()
    assert [outcome.mail for outcome in outcomes] == mails(3)
    assert statuses(outcomes) == expected(window, end, reply)
    for outcome in outcomes:
        is_unknown = isinstance(outcome.error, SMTPDeliveryUnknownError)
        assert is_unknown is (outcome.status == "unknown")
        assert (outcome.error is None) is (outcome.status == "accepted")
        assert (outcome.result is None) is (outcome.status != "accepted")


async def test_after_a_loss_the_rest_comes_out_until_the_loop_is_left() -> None:
    source = Source(1000)
    outcomes = []
    async with session(HELLO, ending_at(turns(1, 2), 3, "close")) as smtp:
        async with aclosing(smtp.send_many(source.items)) as run:
            async for outcome in run:
                outcomes.append(outcome)
                if len(outcomes) == 20:
                    break
    assert statuses(outcomes) == ["unknown"] + ["not sent"] * 19
    assert source.is_closed
    assert source.given < 25


@pytest.mark.parametrize("window", [1, 8])
async def test_mails_that_cannot_be_sent_do_not_hold_the_loop_up(window: int) -> None:
    """There may be no end of them, and a time limit has to have its turn."""

    async def send_all(smtp: SMTP) -> None:
        async for outcome in smtp.send_many(repeat(None), window=window):
            assert outcome.status == "not sent"

    async with client("S: 220 hi\nC: EHLO client.example\nS: 250 mx") as smtp:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_all(smtp), 0.05)

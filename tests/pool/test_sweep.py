"""Every coroutine of a pool, with something going wrong at every moment that it has.

As in the sweep of the sessions (`tests/smtp/test_sweep.py`), each operation is driven
again and again, and struck at its k-th suspension, for k = 0, 1, 2, ... Afterwards:

1. what the caller was told of each mail is true of what the server has stored;
2. no mail is stored twice, and the server has seen nothing that a client may not do;
3. the figures of the pool count each mail once, and no session or caller is left over;
4. the pool sends the next mail, unless it was closed;
5. after closing, no task runs on, and no connection is open.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pytest
from moments import TIMEOUT, Clock, Moments, Silence, Strike, When, arm, finish
from operations import SMALL_BUFFER
from strict_server import Event, StrictServer

from smtplibaio import (
    Mail,
    SMTPConnectionError,
    SMTPException,
    SMTPPool,
    SMTPTimeoutError,
)

CONTENT = b"Subject: hello\r\n\r\n.a dot\r\nthe last line\r\n"

#: Content that no buffer takes as a whole.
LARGE = b"Subject: hello\r\n\r\n" + b"0123456789 and so on\r\n" * 20_000
RECIPIENTS = ("b@y.example", "c@y.example")
FRESH = "fresh@x.example"

#: What a caller knows of a mail.
Known = Literal["accepted", "not accepted", "unknown"]


@dataclass
class Run:
    """One operation of one pool on one server, and what other tasks do meanwhile."""

    pool: SMTPPool
    server: StrictServer
    known: dict[str, Known] = field(default_factory=dict)
    others: list[asyncio.Task[None]] = field(default_factory=list)

    def mail(self, number: int) -> Mail:
        """Make a mail, of which nothing is known as yet."""
        sender = f"m{number}@x.example"
        self.known[sender] = "unknown"
        return Mail(CONTENT, sender, RECIPIENTS)

    async def send(self, sending: Coroutine[Any, Any, Any], mail: Mail) -> None:
        """Await what sends a mail, and note what that tells."""
        try:
            result = await sending
        except SMTPException as exc:
            self.learn(mail, exc)
        else:
            assert result == {}
            self.learn(mail, None)

    def learn(self, mail: Mail, error: SMTPException | None) -> None:
        """Note what became of a mail."""
        assert isinstance(mail.sender, str)
        if error is None:
            self.known[mail.sender] = "accepted"
        elif error.safe_to_retry:
            self.known[mail.sender] = "not accepted"


async def sendmail(run: Run) -> None:
    mail = run.mail(1)
    await run.send(run.pool.sendmail(mail.sender, RECIPIENTS, CONTENT), mail)  # type: ignore[arg-type]  # it has a sender


async def sendmail_large(run: Run) -> None:
    sender = str(run.mail(1).sender)
    sending = run.pool.sendmail(sender, RECIPIENTS, LARGE)
    await run.send(sending, Mail(LARGE, sender, RECIPIENTS))


async def send_message(run: Run) -> None:
    mail = run.mail(1)
    sending = run.pool.send_message(CONTENT, mail.sender, RECIPIENTS)
    await run.send(sending, mail)


async def _send_many(run: Run, window: int) -> None:
    def mails() -> Iterator[Mail]:
        for number in range(3):
            yield run.mail(number)

    outcomes: Any = run.pool.send_many(mails(), window=window)
    try:
        async for outcome in outcomes:
            run.learn(outcome.mail, outcome.error)
    finally:
        await outcomes.aclose()


async def send_many(run: Run) -> None:
    await _send_many(run, 1)


async def send_many_in_a_window(run: Run) -> None:
    await _send_many(run, 3)


async def session(run: Run) -> None:
    with suppress(SMTPConnectionError, SMTPTimeoutError):
        async with run.pool.session() as client:
            await client.noop()
            await client.mail("half@x.example")


async def enter_and_leave(run: Run) -> None:
    async with run.pool:
        await sendmail(run)


async def close(run: Run) -> None:
    """Close the pool while other tasks send their mails."""
    loop = asyncio.get_running_loop()
    for mail in [run.mail(number) for number in range(3)]:
        sending = run.pool.send_message(CONTENT, mail.sender, RECIPIENTS)
        run.others.append(asyncio.Task(run.send(sending, mail), loop=loop))
    await asyncio.sleep(0)
    await run.pool.close()


Operation = Callable[[Run], Coroutine[Any, Any, None]]
OPERATIONS: dict[str, Operation] = {
    each.__name__: each
    for each in (
        sendmail,
        send_message,
        send_many,
        send_many_in_a_window,
        session,
        enter_and_leave,
        close,
    )
}
CLOSING = (enter_and_leave, close)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop a clock of the test's, so that no test waits for a timeout."""
    loop = asyncio.get_running_loop()
    loop.set_debug(False)  # most of the time would go into tracebacks of callbacks
    loop.set_default_executor(ThreadPoolExecutor(1))
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


@asynccontextmanager
async def opened(operation: Operation, *, is_used: bool) -> AsyncIterator[Run]:
    """Start a server and a pool, which may have an idle session from the start."""
    is_window = operation is send_many_in_a_window
    server = StrictServer(
        chunking=is_window, windows=is_window, receive_buffer=SMALL_BUFFER
    )
    before = asyncio.all_tasks()
    async with server:
        pool = SMTPPool(
            server.host,
            server.port,
            size=2,
            backoff=0.0,
            fqdn="client.example",
            timeout=TIMEOUT,
        )
        if is_used:
            await pool.sendmail("first@x.example", RECIPIENTS, CONTENT)
        yield Run(pool, server)
        await pool.close()
        assert asyncio.all_tasks() <= before
        await server.all_gone()
        assert server.violations == []


def judge_mails(run: Run, struck: Strike | None) -> None:
    """See whether what is known is true."""
    stored = [mail.sender for mail in run.server.stored]
    assert len(stored) == len({*stored})
    assert {mail.recipients for mail in run.server.stored} <= {RECIPIENTS}
    assert {mail.content for mail in run.server.stored} <= {CONTENT, LARGE}
    for sender, known in run.known.items():
        if known != "unknown":
            assert (sender in stored) == (known == "accepted"), sender
        assert struck or known == "accepted"


def judge_figures(run: Run, others: int) -> None:
    """See whether each mail that was begun counts once, and nobody is left over."""
    now = run.pool.statistics()
    assert (now.busy, now.waiting) == (0, 0)
    ended = now.accepted + now.partial + now.refused + now.unknown + now.not_sent
    assert ended + now.cancelled == len(run.known) + others
    known = [*run.known.values()]
    assert now.accepted >= known.count("accepted") + others


async def at_rest(run: Run) -> None:
    """Wait until the pool has done what it does behind its callers' backs."""
    connections = run.pool._connections
    async with asyncio.timeout(TIMEOUT + 5):
        await asyncio.gather(*run.others)
        while connections._tasks:
            await asyncio.wait({*connections._tasks})


def cancel(task: asyncio.Task[None], cancelled: list[bool]) -> None:
    """Cancel an operation, and note whether that was in time."""
    cancelled.append(task.cancel())


def hang_up(pool: SMTPPool) -> None:
    """Have another task close every client of the pool."""
    for member in pool._connections.policy.members:
        pool._connections.spawn(member.client.close())


async def sweep(
    clock: Clock,
    operation: Operation,
    what: Strike,
    when: When,
    *,
    is_used: bool,
    again: bool = False,
) -> None:
    """Let it happen at every suspension."""
    for number in itertools.count():
        try:
            async with opened(operation, is_used=is_used) as run:
                cancelled: list[bool] = []  # what a task does behind it, it is not
                moments = Moments(number, when, again=again)
                task = moments.start(operation(run))
                silence: Silence = asyncio.get_running_loop().create_future()
                if what == "cancel":
                    moments.strike = partial(cancel, task, cancelled)
                elif what == "hang-up":
                    moments.strike = partial(hang_up, run.pool)
                else:
                    moments.strike, silence = arm(run.server, what)
                await finish(task, clock, silence)
                moments.stop()
                struck = what if moments.has_come else None
                error = None if task.cancelled() else task.exception()
                run.server.recover()
                await at_rest(run)
                assert task.cancelled() == any(cancelled)
                assert error is None
                judge_mails(run, struck)
                judge_figures(run, int(is_used))
                is_closed = run.pool._connections.is_closing
                assert is_closed == (operation in CLOSING) or any(cancelled)
                if is_closed:
                    with pytest.raises(SMTPConnectionError, match="is closed"):
                        await run.pool.sendmail(FRESH, RECIPIENTS, CONTENT)
                else:
                    await run.pool.sendmail(FRESH, RECIPIENTS, CONTENT)
                    assert FRESH in {mail.sender for mail in run.server.stored}
        except BaseException as exc:
            exc.add_note(f"{what} {when} for the {number}th time")
            raise
        if not moments.has_come:
            assert number > 0
            return


every_operation = pytest.mark.parametrize(
    "operation", [pytest.param(each, id=name) for name, each in OPERATIONS.items()]
)
every_start = pytest.mark.parametrize("is_used", [False, True], ids=["new", "used"])


@pytest.mark.parametrize("when", ["as-it-waits", "as-it-wakes"])
@every_start
@every_operation
async def test_a_cancelled_caller_takes_nothing_from_the_pool(
    clock: Clock, operation: Operation, is_used: bool, when: When
) -> None:
    """E22."""
    await sweep(clock, operation, "cancel", when, is_used=is_used)


@every_start
@every_operation
async def test_a_caller_may_be_cancelled_while_it_deals_with_that(
    clock: Clock, operation: Operation, is_used: bool
) -> None:
    """E22: from its k-th suspension on it is cancelled at each."""
    await sweep(clock, operation, "cancel", "as-it-wakes", is_used=is_used, again=True)


@pytest.mark.parametrize(
    "event", ["close", "drop", "reset", "mute", "stall", "farewell", "hang-up"]
)
@every_start
@every_operation
async def test_whatever_ends_the_sessions_no_mail_is_lost_or_doubled(
    clock: Clock, operation: Operation, is_used: bool, event: Event
) -> None:
    """E10, E11, E19, E22, F06."""
    await sweep(clock, operation, event, "as-it-waits", is_used=is_used)


@pytest.mark.parametrize("when", ["as-it-waits", "as-it-wakes"])
@every_start
async def test_a_content_may_be_refused_before_it_has_ended(
    clock: Clock, is_used: bool, when: When
) -> None:
    """E13, F13: a 552 is permanent, so the mail is not sent again."""
    await sweep(clock, sendmail_large, "refuse", when, is_used=is_used)

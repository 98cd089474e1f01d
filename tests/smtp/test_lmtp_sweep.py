"""Every coroutine of an LMTP client, with something going wrong at every moment.

As in `test_sweep`, each operation is driven again and again, and struck at its k-th
suspension, or as the server's k-th reply is due. The server has a final reply for each
recipient (RFC 2033 4.2), so that it may end between two of them. Afterwards:

1. what the caller was told of each recipient is true of what the server has stored;
2. nothing is stored twice, and the server has seen nothing that a client may not do;
3. the session is clean (the next command gets its own reply), or dead, and the client
   can connect again and send the next mail.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import pytest
from moments import TIMEOUT, Clock, Moments, Silence, Strike, When, arm, finish
from strict_server import Event, StrictServer

from smtplibaio import (
    LMTP,
    Mail,
    SendResult,
    SMTPConnectionError,
    SMTPDeliveryUnknownError,
    SMTPException,
)

CONTENT = b"Subject: hello\r\n\r\n.a dot\r\nthe last line\r\n"
ACCEPTED = ("b@y.example", "c@y.example")
RECIPIENTS = ("b@y.example", "nobody@y.example", "c@y.example")

Known = Literal["accepted", "not accepted", "unknown"]


@dataclass
class Run:
    """One operation of one client on one server, and what it tells of each copy."""

    client: LMTP
    server: StrictServer
    known: dict[tuple[str, str], Known] = field(default_factory=dict)

    def mail(self, sender: str = "m@x.example") -> Mail:
        """Make a mail, of which nothing is known as yet."""
        for recipient in RECIPIENTS:
            self.known[sender, recipient] = "unknown"
        return Mail(CONTENT, sender, RECIPIENTS)

    def learn(
        self, sender: str, result: SendResult | None, error: BaseException | None
    ) -> None:
        """Note what a caller is told."""
        if isinstance(error, SMTPException) and result is None:
            result = error.result
        for recipient in RECIPIENTS:
            if result is not None and recipient in result.accepted:
                self.known[sender, recipient] = "accepted"
            elif result is not None and recipient in result:
                self.known[sender, recipient] = "not accepted"
            elif isinstance(error, SMTPDeliveryUnknownError):
                assert recipient in error.unknown
            elif isinstance(error, SMTPException) and error.safe_to_retry:
                self.known[sender, recipient] = "not accepted"


async def send(run: Run, sending: Awaitable[SendResult], mail: Mail) -> None:
    result, error = None, None
    try:
        result = await sending
    except SMTPException as exc:
        error = exc
    run.learn(str(mail.sender), result, error)


async def sendmail(run: Run) -> None:
    mail = run.mail()
    sending = run.client.sendmail("m@x.example", RECIPIENTS, CONTENT)
    await send(run, sending, mail)


async def send_message(run: Run) -> None:
    mail = run.mail()
    sending = run.client.send_message(CONTENT, "m@x.example", RECIPIENTS)
    await send(run, sending, mail)


async def send_many(run: Run) -> None:
    mails = [run.mail(f"m{number}@x.example") for number in range(3)]
    outcomes: Any = run.client.send_many(mails)
    try:
        async for outcome in outcomes:
            run.learn(outcome.mail.sender, outcome.result, outcome.error)
    except SMTPConnectionError:
        run.known = dict.fromkeys(run.known, "not accepted")
    finally:
        await outcomes.aclose()


async def data(run: Run) -> None:
    run.mail()
    await run.client.mail("m@x.example")
    for recipient in ACCEPTED:
        await run.client.rcpt(recipient)
    await run.client.data(CONTENT)


async def pipeline(run: Run) -> None:
    run.mail()
    async with run.client.pipeline() as pipeline:
        futures = [pipeline.mail("m@x.example")]
        futures += [pipeline.rcpt(recipient) for recipient in ACCEPTED]
        futures += [pipeline.data(), pipeline.content(CONTENT)]
        await asyncio.gather(*futures, return_exceptions=True)


async def connect(run: Run) -> None:
    await run.client.close()
    await run.client.connect()


def call(name: str, *arguments: str) -> Operation:
    async def run_it(run: Run) -> None:
        await getattr(run.client, name)(*arguments)

    return run_it


Operation = Callable[[Run], Coroutine[Any, Any, None]]
MAILS: dict[str, Operation] = {
    "sendmail": sendmail,
    "send_message": send_message,
    "send_many": send_many,
    "data": data,
    "pipeline": pipeline,
}
COMMANDS: dict[str, Operation] = {
    "connect": connect,
    "ehlo": call("ehlo"),
    "auth": call("auth", "user", "secret"),
    "rset": call("rset"),
    "noop": call("noop", "swept"),
    "vrfy": call("vrfy", "b"),
    "expn": call("expn", "list"),
    "help": call("help"),
    "quit": call("quit"),
    "close": call("close"),
}


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop a clock of the test's, so that no test waits for a timeout."""
    loop = asyncio.get_running_loop()
    loop.set_debug(False)
    loop.set_default_executor(ThreadPoolExecutor(1))
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    return clock


@asynccontextmanager
async def opened(*, chunking: bool) -> AsyncIterator[Run]:
    """Start a server, and a client that has said LHLO."""
    before = asyncio.all_tasks()
    async with StrictServer(chunking=chunking) as server:
        client = LMTP(
            server.host, server.port, "client.example", TIMEOUT, chunking=chunking
        )
        await client.connect()
        await client.ehlo()
        yield Run(client, server)
        await client.close()
        assert asyncio.all_tasks() <= before
    assert server.violations == []


async def judge(
    run: Run, task: asyncio.Task[None], struck: Strike | None, cancelled: list[bool]
) -> None:
    """See whether everything is as it should be."""
    run.server.recover()
    assert task.cancelled() == any(cancelled)
    if not task.cancelled() and (error := task.exception()) is not None:
        assert struck
        assert isinstance(error, SMTPException)
    await judge_session(run, may_die=struck not in (None, "cancel"))
    await run.client.quit()
    await run.server.all_gone()
    stored = Counter((m.sender, *m.recipients) for m in run.server.stored)
    assert stored["fresh@x.example", "b@y.example"] == 1
    assert max(stored.values()) == 1
    assert {mail.content for mail in run.server.stored} == {CONTENT}
    for copy, known in run.known.items():
        assert known == "unknown" or (known == "accepted") == (copy in stored)


async def judge_session(run: Run, *, may_die: bool) -> None:
    """See whether the session is clean or dead, and the client of use afterwards."""
    client = run.client
    if client.is_connected:
        try:
            reply = await client.noop("afterwards")
            assert reply.message.endswith("NOOP afterwards")
        except SMTPConnectionError:
            assert may_die
    if not client.is_connected:
        await client.connect()
    result = await client.sendmail("fresh@x.example", ACCEPTED, CONTENT)
    assert result.accepted == [*ACCEPTED]


def cancel(task: asyncio.Task[None], cancelled: list[bool]) -> None:
    """Cancel an operation, and note whether that was in time."""
    cancelled.append(task.cancel())


def hang_up(client: LMTP) -> None:
    """Have another task close the client."""
    asyncio.Task(client.close(), loop=asyncio.get_running_loop())


async def sweep(
    clock: Clock,
    operation: Operation,
    what: Strike,
    when: When | Literal["at-replies"],
    *,
    chunking: bool = False,
    again: bool = False,
) -> None:
    """Let it happen at every suspension, or as every reply is due."""
    for number in itertools.count():
        try:
            async with opened(chunking=chunking) as run:
                cancelled: list[bool] = []
                silence: Silence = asyncio.get_running_loop().create_future()
                moment = "as-it-waits" if when == "at-replies" else when
                at = -1 if when == "at-replies" else number
                moments = Moments(at, moment, again=again)
                task = moments.start(operation(run))
                if what == "cancel":
                    moments.strike = partial(cancel, task, cancelled)
                elif what == "hang-up":
                    moments.strike = partial(hang_up, run.client)
                else:
                    moments.strike, silence = arm(run.server, what)
                if when == "at-replies":
                    run.server.strike_at_reply(number, moments.strike)
                await finish(task, clock, silence)
                moments.stop()
                has_come = moments.has_come or run.server.struck_at is not None
                await judge(run, task, what if has_come else None, cancelled)
        except BaseException as exc:
            exc.add_note(f"{what} {when} for the {number}th time")
            raise
        if not has_come:
            assert number > 0 or operation is COMMANDS["close"]
            return


every_operation = pytest.mark.parametrize(
    "operation", [pytest.param(f, id=name) for name, f in (MAILS | COMMANDS).items()]
)


@pytest.mark.parametrize("when", ["as-it-waits", "as-it-wakes"])
@every_operation
async def test_a_cancelled_operation_leaves_a_session_clean_or_dead(
    clock: Clock, operation: Operation, when: When
) -> None:
    """E01, E02, F16."""
    await sweep(clock, operation, "cancel", when)


@every_operation
async def test_an_operation_may_be_cancelled_while_it_deals_with_that(
    clock: Clock, operation: Operation
) -> None:
    """E01, E09."""
    await sweep(clock, operation, "cancel", "as-it-wakes", again=True)


@pytest.mark.parametrize(
    "event", ["close", "drop", "reset", "mute", "stall", "farewell", "hang-up"]
)
@every_operation
async def test_whatever_ends_the_session_each_recipient_is_told_the_truth(
    clock: Clock, operation: Operation, event: Event
) -> None:
    """E10, E11, F06, F16."""
    await sweep(clock, operation, event, "as-it-waits")


@pytest.mark.parametrize("chunking", [False, True], ids=["DATA", "BDAT"])
@pytest.mark.parametrize("event", ["close", "reset", "mute", "farewell"])
@pytest.mark.parametrize("operation", [sendmail, send_message, send_many])
async def test_any_of_the_final_replies_may_be_the_one_that_does_not_come(
    clock: Clock, operation: Operation, event: Event, chunking: bool
) -> None:
    """F16: only recipients without a reply are unknown."""
    await sweep(clock, operation, event, "at-replies", chunking=chunking)

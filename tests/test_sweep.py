"""Every operation, with something going wrong at every moment that it has.

The sweep finds the moments itself: an operation is driven through `Moments`, which
counts each suspension of the operation, and of the tasks that it starts, and strikes at
the k-th, for k = 0, 1, 2, ... until the operation ends before. A second sweep strikes
as the server's n-th reply is due, instead of it. Afterwards:

1. the operation has given its own result, or raised what it should;
2. the session is clean (the next command gets its own reply, the next mail is stored
   for its own recipients), or dead (every call raises at once, `connect` works again);
3. the server has seen nothing that a client may not do;
4. no mail is lost, doubled or mixed up, and none is stored in part.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pytest
from operations import (
    EHLO,
    FRESH,
    INTRODUCED,
    ONE,
    OPERATIONS,
    SMALL_BUFFER,
    TEXT,
    Mode,
    Operation,
    Run,
    Step,
    call,
    pipeline,
    sendmail,
    sweep_operations,
)
from strict_server import Event, StrictServer

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Reply,
    SMTPConnectionError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPTimeoutError,
    SMTPTLSError,
    connecting,
)

# Moments


class Counted:
    """Await a coroutine, and tell of each of its suspensions."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], suspended: Callable[[Any], None]
    ) -> None:
        self._coroutine = coroutine
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        try:
            awaited = next(inner)
            while True:
                self._suspended(awaited)
                try:
                    yield awaited
                except BaseException as exc:
                    awaited = inner.throw(exc)
                else:
                    awaited = next(inner)
        except StopIteration as stop:
            return stop.value


When = Literal["as-it-waits", "as-it-wakes"]


class Moments:
    """Count the suspensions of an operation, and strike at one of them.

    "As it waits" is before anybody else has had a turn; "as it wakes" is when that
    which was waited for has come, and the operation has not seen it yet.
    """

    def __init__(self, number: int, when: When, *, again: bool = False) -> None:
        self.strike: Callable[[], object]  # to be set before the loop's next turn
        self._number = number
        self._when = when
        self._again = again
        self._count = 0
        self._loop = asyncio.get_running_loop()
        self.has_come = False

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Drive the operation in a task; those that it starts count as well."""
        self._loop.set_task_factory(self._task)
        return self._loop.create_task(coroutine)

    def _task(
        self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any
    ) -> asyncio.Task[Any]:
        if asyncio.current_task() is None:  # asyncio's, which accepts a connection
            return asyncio.Task(coroutine, loop=loop, **options)

        async def counted() -> Any:
            return await Counted(coroutine, self._suspended)

        task = asyncio.Task(counted(), loop=loop, **options)
        # A task that is cancelled before its first step never awaits its coroutine.
        task.add_done_callback(lambda _: coroutine.close())
        return task

    def stop(self) -> None:
        """Count no more."""
        self._loop.set_task_factory(None)
        self._number = -1

    def _suspended(self, awaited: Any) -> None:
        count, self._count = self._count, self._count + 1
        if count == self._number:
            self.has_come = True
            if self._again:
                self._number += 1
            if self._when == "as-it-waits":
                self.strike()
            elif isinstance(awaited, asyncio.Future):
                awaited.add_done_callback(lambda _: self.strike())
            else:
                self._loop.call_soon(self.strike)


class Clock:
    """The loop's time, which can be put forward."""

    def __init__(self) -> None:
        self._offset = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._offset

    def advance(self, seconds: float) -> None:
        self._offset += seconds


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop a clock of the test's, so that no test waits for a timeout."""
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


#: Seconds of every timeout.
TIMEOUT = 20.0

#: Turns of the loop in which whatever can happen without a timeout has happened.
TURNS = 40


Silence = asyncio.Future[None]


async def finish(task: asyncio.Task[Any], clock: Clock, silence: Silence) -> None:
    """Wait for the operation; once the server is silent, only time goes by."""
    await asyncio.wait((task, silence), timeout=5, return_when="FIRST_COMPLETED")
    for _ in range(10):
        for _ in range(TURNS):
            if task.done():
                return
            await asyncio.sleep(0)
        if silence.done():
            clock.advance(TIMEOUT)
    task.cancel()
    await asyncio.wait((task,))
    pytest.fail("the operation hangs")


def arm(server: StrictServer, event: Event) -> tuple[Callable[[], None], Silence]:
    """Give the strike, and the future of the silence that it may begin."""
    silence: Silence = asyncio.get_running_loop().create_future()

    def strike() -> None:
        server.strike(event)
        if event in ("mute", "stall"):
            silence.set_result(None)

    return strike, silence


# The judge


CallOutcome = tuple[Any, BaseException | None]


def outcome_of(task: asyncio.Task[Any]) -> CallOutcome:
    try:
        return task.result(), None
    except (Exception, asyncio.CancelledError) as exc:
        return None, exc


def judge_result(operation: Operation, result: Any) -> None:
    """See whether the result is the operation's own."""
    assert operation.error is None
    replies = result if isinstance(result, list) else [getattr(result, "reply", result)]
    texts = [r if isinstance(r, str) else r.message.split("\n")[0] for r in replies]
    if operation is OPERATIONS["quit"] and texts[0] in (
        "4.3.2 going down",
        "the server closed the connection",
    ):
        return
    shown = " ".join(text.partition(" ")[2] for text in texts)
    assert shown.startswith(operation.shown)
    if hasattr(result, "accepted"):
        (mail,) = operation.mails
        assert result.accepted == list(mail.accepted)
        assert list(result) == [r for r in mail.recipients if r not in mail.accepted]
        for recipient, reply in result.replies.items():
            assert reply.message.endswith(f"RCPT <{recipient}>")


def judge_error(operation: Operation, mode: Mode, error: BaseException) -> None:
    """See whether the error is one that a dying server explains."""
    explained: tuple[type[BaseException], ...] = (
        SMTPConnectionError,
        SMTPTimeoutError,
        SMTPDeliveryUnknownError,
    )
    if operation.error is not None:
        explained += (operation.error,)
    if mode == "tls" and operation.run is not None:
        explained += (SMTPTLSError,)
    if not isinstance(error, explained):
        raise AssertionError("an error that nothing explains") from error


def permitted(outcome: CallOutcome, was_begun: bool) -> set[int]:
    """Say how often a mail may be stored after what its sender was told."""
    _, error = outcome
    if isinstance(error, SMTPDeliveryUnknownError):
        assert was_begun, "unknown, though not an octet of the content was sent"
        assert not error.safe_to_retry
        return {0, 1}
    if isinstance(error, asyncio.CancelledError):
        return {0, 1}
    if isinstance(error, SMTPException):
        assert error.safe_to_retry
        return {0}
    return {1}


def judge_mails(operation: Operation, run: Run, outcome: CallOutcome) -> None:
    """See whether what is stored is what the caller was told."""
    stored = run.server.stored
    for mail in operation.mails:
        told = outcome
        if run.futures:
            # A mail that was never given to the pipeline was not sent.
            future = run.futures.get(mail)
            unsent = (None, SMTPException())
            told = unsent if future is None else outcome_of(future)  # type: ignore[arg-type]
        count = stored.count(mail.stored)
        assert count in permitted(told, mail.sender in run.server.begun)
        is_told = isinstance(told[1], asyncio.CancelledError)
        if is_told and count and operation.run in ALONE:
            assert "may have been accepted" in str(getattr(told[1], "__notes__", ""))
    known = [mail.stored for mail in (*operation.mails, FRESH)]
    assert [mail for mail in stored if mail not in known] == []


#: Operations of which a cancellation tells that the mail may have been accepted.
ALONE = [OPERATIONS[name].run for name in OPERATIONS if name[:4] in ("data", "send")]

#: Operations that end the session, whatever happens.
ENDING = [OPERATIONS["quit"], OPERATIONS["whole-session"]]

CALLS: list[Step] = [
    *(call(name) for name in ("ehlo", "helo", "rset", "noop", "help", "quit")),
    *(call(name, "b@y.example") for name in ("mail", "rcpt", "vrfy", "expn")),
    *(call("data", TEXT), call("auth", "user", "secret"), sendmail(FRESH)),
    pipeline(FRESH),
]


def judge_dead(run: Run) -> None:
    """See whether every call raises at once, without a single suspension."""
    for step in CALLS:
        coroutine = step(Run(run.client, run.server))
        try:
            with pytest.raises(SMTPConnectionError):
                coroutine.send(None)
        finally:
            coroutine.close()


async def judge_session(run: Run, *, may_die: bool) -> None:
    """See whether the session is clean or dead, and the client of use afterwards."""
    if run.client.is_connected:
        try:
            reply = await run.client.noop("afterwards")
            assert reply.message.endswith("NOOP afterwards")
        except SMTPConnectionError:
            assert may_die
            assert not run.client.is_connected
    if not run.client.is_connected:
        judge_dead(run)
        await run.client.connect()
    result = await run.client.sendmail(FRESH.sender, FRESH.recipients, FRESH.content)
    assert result.accepted == ["c@y.example"]
    assert result.replies["nobody@y.example"].message.endswith("<nobody@y.example>")
    assert result.reply.message.endswith("CONTENT <fresh@x.example>")
    await run.client.quit()
    await run.server.all_gone()
    assert run.server.stored.count(FRESH.stored) == 1


# The sweep


@dataclass(frozen=True)
class Stage:
    """What the runs of one test have in common."""

    clock: Clock
    server_tls: ssl.SSLContext
    client_tls: ssl.SSLContext

    @asynccontextmanager
    async def open(self, operation: Operation, mode: Mode) -> AsyncIterator[Run]:
        """Start a server, and bring a client to where the operation begins."""
        server = StrictServer(
            pipelining=mode != "one-by-one",
            tls=self.server_tls if mode == "tls" else None,
            receive_buffer=SMALL_BUFFER,
            **operation.server,
        )
        async with server:
            where = (server.host, server.port, "client.example")
            client = (
                SMTP_SSL(*where, self.client_tls, TIMEOUT)
                if mode == "tls"
                else SMTP(*where, TIMEOUT)
            )
            run = Run(client, server)
            try:
                for step in operation.before:
                    await step(run)
                yield run
            finally:
                await client.close()
        assert server.violations == []


@pytest.fixture(scope="module", autouse=True)
def only_the_garbage_of_these_tests() -> Iterator[None]:
    """Keep what is older out of the collections after each test: it takes long."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
async def stage(
    clock: Clock, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> AsyncIterator[Stage]:
    # Debugging takes a traceback of each callback: two thirds of the time.
    asyncio.get_running_loop().set_debug(False)
    yield Stage(clock, server_tls, client_tls)
    gc.collect()  # tasks and futures whose errors nobody has seen complain now


async def judge(
    operation: Operation,
    mode: Mode,
    run: Run,
    task: asyncio.Task[Any],
    *,
    cancelled: bool,
) -> None:
    """See whether everything is as it should be after a strike."""
    outcome = result, error = outcome_of(task)
    run.server.recover()
    if cancelled:
        assert isinstance(error, asyncio.CancelledError)
    elif error is None:
        judge_result(operation, result)
    else:
        judge_error(operation, mode, error)
    if operation in ENDING or (operation == OPERATIONS["connect"] and error):
        assert not run.client.is_connected
    await judge_session(run, may_die=not cancelled)
    pending = [f for f in (*run.futures.values(), *run.others) if not f.done()]
    assert pending == [], "futures that nobody settles"
    judge_mails(operation, run, outcome)
    for future in (*run.futures.values(), *run.others):
        if not future.cancelled() and future.exception() is not None:
            judge_error(operation, mode, future.exception())  # type: ignore[arg-type]


async def sweep(
    stage: Stage,
    operation: Operation,
    mode: Mode,
    event: Event | None,
    when: When,
    *,
    again: bool = False,
) -> None:
    """Let the event happen at every suspension; None cancels the operation."""
    for number in itertools.count():
        try:
            async with stage.open(operation, mode) as run:
                moments = Moments(number, when, again=again)
                task = moments.start(operation.run(run))
                moments.strike, silence = arm(run.server, event or "close")
                if event is None:
                    moments.strike = task.cancel
                await finish(task, stage.clock, silence)
                moments.stop()
                cancelled = event is None and moments.has_come
                await judge(operation, mode, run, task, cancelled=cancelled)
        except BaseException as exc:
            exc.add_note(f"{event or 'cancelled'} {when} for the {number}th time")
            raise
        if not moments.has_come:
            assert number > 0
            return


every_moment = pytest.mark.parametrize("when", ["as-it-waits", "as-it-wakes"])


@every_moment
@sweep_operations
async def test_a_cancelled_operation_leaves_a_session_clean_or_dead(
    stage: Stage, operation: Operation, mode: Mode, when: When
) -> None:
    """E01, E02, E03, E04, C22: no stale reply, no command in content, no half mail."""
    await sweep(stage, operation, mode, None, when)


@sweep_operations
async def test_an_operation_may_be_cancelled_while_it_deals_with_that(
    stage: Stage, operation: Operation, mode: Mode
) -> None:
    """E01: from its k-th suspension on it is cancelled at each."""
    await sweep(stage, operation, mode, None, "as-it-wakes", again=True)


@pytest.mark.parametrize(
    ("event", "when"),
    [("close", "as-it-waits"), ("close", "as-it-wakes"), ("drop", "as-it-waits")],
)
@sweep_operations
async def test_a_server_that_closes_leaves_nobody_in_the_dark(
    stage: Stage, operation: Operation, mode: Mode, event: Event, when: When
) -> None:
    """E10, E11: every future is settled; who may have sent a mail is told so."""
    await sweep(stage, operation, mode, event, when)


@every_moment
@sweep_operations
async def test_a_server_that_resets_leaves_nobody_in_the_dark(
    stage: Stage, operation: Operation, mode: Mode, when: When
) -> None:
    """E10, E11: as where it closes; no bare OSError comes out."""
    await sweep(stage, operation, mode, "reset", when)


@pytest.mark.parametrize(
    ("event", "when"), [("mute", "as-it-waits"), ("stall", "as-it-wakes")]
)
@sweep_operations
async def test_a_server_that_falls_silent_is_given_up_in_time(
    stage: Stage, operation: Operation, mode: Mode, event: Event, when: When
) -> None:
    """E07, E11: the session has ended, so that no late reply finds a command."""
    await sweep(stage, operation, mode, event, when)


@every_moment
@sweep_operations
async def test_a_421_ends_the_session_for_everybody(
    stage: Stage, operation: Operation, mode: Mode, when: When
) -> None:
    """F06: it may come at any time, and is nobody's reply."""
    await sweep(stage, operation, mode, "farewell", when)


# What a sweep of suspensions does not reach


@pytest.mark.parametrize("mode", ["pipelining", "one-by-one"])
@pytest.mark.parametrize("event", ["close", "reset", "mute", "farewell"])
@pytest.mark.parametrize(
    "name",
    ["auth-LOGIN", "sendmail", "sendmail-to-nobody", "pipeline", "pipeline-awaited"],
)
async def test_any_reply_may_be_the_one_that_does_not_come(
    stage: Stage, name: str, event: Event, mode: Mode
) -> None:
    """F06, E07, E11: only who waits for the final reply is told "unknown"."""
    operation = OPERATIONS[name]
    for number in itertools.count():
        async with stage.open(operation, mode) as run:
            strike, silence = arm(run.server, event)
            run.server.strike_at_reply(number, strike)
            task = asyncio.create_task(operation.run(run))
            await finish(task, stage.clock, silence)
            await judge(operation, mode, run, task, cancelled=False)
            errors = [outcome_of(task)[1]]
            errors += [outcome_of(future)[1] for future in run.futures.values()]
        is_unknown = any(isinstance(e, SMTPDeliveryUnknownError) for e in errors)
        assert is_unknown == (
            run.server.struck_at == "CONTENT"
            and event != "farewell"
            and operation.error is None
        )
        if run.server.struck_at is None:
            assert number > 2
            return


@pytest.mark.parametrize("event", ["close", "drop", "reset", "farewell"])
async def test_a_lost_connection_settles_every_future_once(
    stage: Stage, event: Event
) -> None:
    """E10: a hundred are pending; each fails, for the same cause."""
    async with stage.open(Operation(EHLO, "", INTRODUCED), "pipelining") as run:
        run.server.strike_at_reply(50, partial(run.server.strike, event))
        futures: list[asyncio.Future[Reply]] = []
        settled: list[asyncio.Future[Reply]] = []

        async def give() -> None:
            async with run.client.pipeline() as p:
                futures.append(p.mail(ONE.sender))
                futures.extend(p.rcpt(f"r{n}@y.example") for n in range(99))
                for future in futures:
                    future.add_done_callback(settled.append)

        with pytest.raises(SMTPConnectionError):
            await give()
        await run.server.all_gone()
        assert settled == futures
        answered = [future for future in futures if future.exception() is None]
        errors = [future.exception() for future in futures[len(answered) :]]
        assert answered == futures[: len(answered)]
        assert {type(error.__cause__) for error in errors if error} != {type(None)}
        assert len({id(error.__cause__) for error in errors if error}) == 1
        assert len({id(error) for error in errors}) == len(errors) >= 50


@every_moment
@pytest.mark.parametrize("again", [False, True], ids=["once", "again-and-again"])
async def test_a_cancelled_race_of_addresses_leaves_no_socket(
    stage: Stage, when: When, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E01: the first address never answers, the second does."""
    monkeypatch.setattr(connecting, "HAPPY_EYEBALLS_DELAY", 0.01)
    for number in itertools.count():
        async with StrictServer() as server:
            with mute_address(server.port):
                addresses = [("127.0.0.2", server.port), (server.host, server.port)]
                resolve_to(addresses, monkeypatch)
                client = SMTP("two.example", server.port, "client.example", TIMEOUT)
                run = Run(client, server)
                moments = Moments(number, when, again=again)
                task = moments.start(client.connect())
                moments.strike = task.cancel
                await asyncio.wait((task,))
                moments.stop()
                assert task.cancelled() == moments.has_come
                await judge_session(run, may_die=False)
        if not moments.has_come:
            assert number > 3
            return


@contextmanager
def mute_address(port: int) -> Iterator[None]:
    """Have a listener at 127.0.0.2 whose backlog is full: it drops every SYN."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.2", port))
        yield


def resolve_to(
    addresses: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(*arguments: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", a) for a in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)

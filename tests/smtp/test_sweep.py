"""Every operation, with something going wrong at every moment that it has.

The sweep finds the moments itself: an operation is driven through `Moments`, which
counts each suspension of the operation, and of the tasks that it starts, and strikes at
the k-th, for k = 0, 1, 2, ... until the operation ends before. A second sweep strikes
as the server's n-th reply is due, instead of it. Afterwards:

1. the operation has given its own result, or raised what it should;
2. the session is clean (the next command gets its own reply, the next mail is stored
   for its own recipients), or dead (every call raises at once, `connect` works again);
3. the server has seen nothing that a client may not do;
4. no mail is lost, doubled or mixed up, and none is stored in part;
5. what its server has told, its caller has been told;
6. no task runs on, and what the client has read from is closed.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import pytest
from moments import TIMEOUT, Clock, Moments, Silence, Strike, When, arm, finish
from operations import (
    BOTH,
    EVERY_OPERATION,
    FRESH,
    HOPELESS,
    INTRODUCED,
    LARGE,
    LARGE_TEXT,
    ONE,
    OPERATIONS,
    SMALL_BUFFER,
    TEXT,
    TWO,
    UNLOVED,
    WINDOWS,
    Form,
    Mail,
    Mode,
    Operation,
    Run,
    Step,
    call,
    many,
    pipeline,
    pipeline_chunks,
    send_message,
    sendmail,
    sweep_contents,
    sweep_moments,
    sweep_operations,
    turns,
)
from strict_server import PATIENCE, Event, StrictServer

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Outcome,
    Reply,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
)
from smtplibaio.wire import dialling


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop a clock of the test's, so that no test waits for a timeout."""
    clock = Clock()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", clock)
    return clock


# The judge


CallOutcome = tuple[Any, BaseException | None]


def outcome_of(task: asyncio.Task[Any]) -> CallOutcome:
    try:
        return task.result(), None
    except (Exception, asyncio.CancelledError) as exc:
        return None, exc


def judge_result(operation: Operation, run: Run, result: Any) -> None:
    """See whether the result is the operation's own."""
    if operation.is_many or operation.has_futures:
        return  # which the outcomes tell, and the futures
    assert operation.error is None
    if hasattr(result, "accepted"):
        (mail,) = operation.mails
        judge_verdicts(result, mail)
        return
    text = result if isinstance(result, str) else result.message.split("\n")[0]
    if operation is OPERATIONS["quit"]:
        said = ("going down", "closed the connection", "no reply from", "was closed by")
        if any(part in text for part in said):
            return
    assert text.partition(" ")[2].startswith(operation.shown)


def judge_error(
    operation: Operation, mode: Mode, error: BaseException, struck: Strike | None
) -> None:
    """See whether the error is one that the strike explains."""
    explained: tuple[type[BaseException], ...] = ()
    if operation.error is not None:
        explained += (operation.error,)
    if struck is not None:
        explained += (SMTPConnectionError, SMTPTimeoutError, SMTPDeliveryUnknownError)
    if struck is not None and operation is OPERATIONS["auth-from-scratch"]:
        explained += (SMTPLoginError,)  # the first mechanism was refused
    if struck is not None and operation is OPERATIONS["auth-withdrawn"]:
        explained += (SMTPProtocolError,)  # the mechanism had failed before
    if struck == "refuse":
        explained += (SMTPCommandFailedError,)
    if mode == "tls" and struck is not None:
        explained += (SMTPTLSError,)
    if not isinstance(error, explained):
        raise AssertionError("an error that nothing explains") from error
    if struck in ("farewell", "refuse") and mode != "tls":
        assert not isinstance(error, SMTPDeliveryUnknownError)


def judge_outcome(
    outcome: Outcome, mail: Mail, mode: Mode, struck: Strike | None
) -> None:
    """See whether the outcome is the mail's own, and true to itself."""
    error, result = outcome.error, outcome.result
    if error is None:
        assert result is not None
        assert mail.error is None
        assert outcome.status == ("partial" if result else "accepted")
        judge_verdicts(result, mail)
        return
    assert result is None
    assert outcome.status in ("refused", "unknown", "not sent")
    assert error.safe_to_retry == (outcome.status != "unknown")
    if struck in ("farewell", "refuse") and mode != "tls":
        assert outcome.status != "unknown"
    if mail.form.endswith("fails") and type(error.__cause__) is mail.error:
        assert outcome.status == "not sent"
        return
    is_own = mail.error is not None and type(error) is mail.error
    assert struck or is_own, "an error that nothing explains"
    if is_own and isinstance(error, SMTPConnectionError):
        assert outcome.status == "not sent"
    elif is_own:
        assert outcome.status == "refused"
        replies: dict[str, Reply] = getattr(error, "refused", {})
        for recipient, reply in replies.items():
            assert reply.message.endswith(f"RCPT <{recipient}>")
        if isinstance(error, SMTPCommandFailedError):
            assert error.message.endswith(f"CONTENT <{mail.sender}>")


def judge_verdicts(result: Any, mail: Mail) -> None:
    """See whether the replies are those to this mail."""
    assert result.accepted == list(mail.accepted)
    assert list(result) == [r for r in mail.recipients if r not in mail.accepted]
    assert result.reply.message.endswith(f"CONTENT <{mail.sender}>")
    for recipient, reply in result.replies.items():
        assert reply.message.endswith(f"RCPT <{recipient}>")


def judge_outcomes(operation: Operation, run: Run, call: CallOutcome) -> None:
    """See whether each mail has its outcome, in order."""
    assert run.outcomes is not None
    senders = [outcome.mail.sender for outcome in run.outcomes]
    assert senders == [mail.sender for mail in run.pulled[: len(senders)]]
    if call[1] is None and not operation.is_left:
        assert senders == [mail.sender for mail in operation.mails]
    if isinstance(call[1], SMTPException):
        assert run.pulled == []


def judge_progress(run: Run, mail: Mail, told: Told) -> None:
    """See whether the caller was told the truth of how much was sent."""
    steps = run.progress.get(mail.sender, [])
    size = len(mail.content)
    sent = [octets for octets, _ in steps]
    assert sent == sorted(sent)
    assert all(octets <= size for octets in sent)
    assert {total for _, total in steps} <= {size, None}
    if mail.sender in run.progress and told == "accepted":
        assert sent[-1] == size


Told = Literal["accepted", "refused", "unknown", "nothing"]


def told_of(operation: Operation, run: Run, mail: Mail, call: CallOutcome) -> Told:
    """Give what the caller was told of a mail."""
    error: BaseException | None = call[1]
    if run.outcomes is not None:
        for outcome in run.outcomes:
            if outcome.mail.sender == mail.sender:
                return told_by(outcome.error)
        if mail not in run.pulled:
            return "refused"
        # Between two mails of a run the next one's content is not on its way.
        is_between = error is None and not operation.is_window
        return "refused" if is_between else told_by(error or asyncio.CancelledError())
    if operation.has_futures:
        # A mail that was never given to the pipeline was not sent.
        future = run.futures.get(mail)
        if future is None:
            return "refused"
        reply, error = outcome_of(future)  # type: ignore[arg-type]
        if error is None and reply.code >= 400:
            where = "RCPT <nobody@y.example>" if mail.error else "CONTENT too much"
            assert reply.message.endswith(where)
            return "refused"
        assert error or reply.message.endswith(f"CONTENT <{mail.sender}>")
    return told_by(error)


def told_by(error: BaseException | None) -> Told:
    if error is None:
        return "accepted"
    if isinstance(error, SMTPDeliveryUnknownError):
        return "unknown"
    return "nothing" if isinstance(error, asyncio.CancelledError) else "refused"


#: How often a mail may be stored after what its sender was told.
PERMITTED: dict[Told, set[int]] = {
    "accepted": {1},
    "refused": {0},
    "unknown": {0, 1},
    "nothing": {0, 1},
}


def judge_mails(
    operation: Operation, run: Run, call: CallOutcome, answered: list[str]
) -> None:
    """See whether what is stored is what the caller was told."""
    stored = run.server.stored
    for mail in operation.mails:
        told = told_of(operation, run, mail, call)
        count = stored.count(mail.stored)
        assert count in PERMITTED[told], f"{mail.sender}: {told}, stored {count} times"
        if told == "unknown" and not operation.server.get("chunking"):
            assert mail.sender in run.server.begun, "unknown, though DATA got no 354"
        if mail.sender in answered:
            assert told in ("accepted", "nothing"), "the server had said yes"
        source = run.sources.get(mail.sender)
        if told == "unknown" and source is not None:
            assert source.is_exhausted, "unknown, though not all of it was read"
        judge_progress(run, mail, told)
        is_cancelled = isinstance(call[1], asyncio.CancelledError)
        is_in_doubt = is_cancelled and told == "nothing" and count > 0
        if is_in_doubt and operation.tells_cancelled:
            assert "may have been accepted" in "".join(notes_of(call[1]))
    known = [mail.stored for mail in (*operation.mails, FRESH)]
    assert [mail for mail in stored if mail not in known] == []


def notes_of(error: BaseException | None) -> list[str]:
    """List the notes of an error, and of what it came out of."""
    if error is None:
        return []
    return [*getattr(error, "__notes__", ()), *notes_of(error.__context__)]


def judge_own(operation: Operation, run: Run, call: CallOutcome) -> None:
    """See whether an operation that nothing has struck did what it should."""
    assert type(call[1]) is (operation.error or type(None))
    if operation.error is None and not operation.is_left:
        wanted = [mail.stored for mail in operation.mails if mail.error is None]
        assert [mail for mail in run.server.stored if mail != FRESH.stored] == wanted


def judge_remains(run: Run, tasks: set[asyncio.Task[Any]]) -> None:
    """See whether nothing runs on, and nothing is left open."""
    pending = [f for f in (*run.futures.values(), *run.others) if not f.done()]
    assert pending == [], "futures that nobody settles"
    assert asyncio.all_tasks() <= tasks
    is_open = [name for name, source in run.sources.items() if source.is_left_open]
    assert is_open == [], "sources that nobody closes"


#: Operations that end the session, whatever happens.
ENDING = [OPERATIONS["quit"], OPERATIONS["whole-session"]]

CALLS: list[Step] = [
    *(call(name) for name in ("ehlo", "helo", "rset", "noop", "help", "quit")),
    *(call(name, "b@y.example") for name in ("mail", "rcpt", "vrfy", "expn")),
    *(call("data", TEXT), call("auth", "user", "secret"), sendmail(FRESH)),
    *(pipeline(FRESH), send_message(FRESH), many(FRESH), many(FRESH, window=3)),
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


async def judge(
    operation: Operation,
    mode: Mode,
    run: Run,
    task: asyncio.Task[Any],
    struck: Strike | None,
) -> None:
    """See whether everything is as it should be, after a strike or without one."""
    outcome = result, error = outcome_of(task)
    answered = [] if struck in ("cancel", "hang-up") else list(run.server.answered)
    run.server.recover()
    if struck == "cancel":
        assert isinstance(error, asyncio.CancelledError)
    elif error is None:
        judge_result(operation, run, result)
    else:
        judge_error(operation, mode, error, struck)
    if operation in ENDING or (operation == OPERATIONS["connect"] and error):
        assert not run.client.is_connected
    async with asyncio.timeout(5):
        await judge_session(run, may_die=struck not in (None, "cancel"))
    if run.outcomes is not None:
        judge_outcomes(operation, run, outcome)
        for one in run.outcomes:
            (mail,) = (m for m in operation.mails if m.sender == one.mail.sender)
            judge_outcome(one, mail, mode, struck)
    judge_mails(operation, run, outcome, answered)
    for future in (*run.futures.values(), *run.others):
        if not future.cancelled() and (exc := future.exception()) is not None:
            judge_error(operation, mode, exc, struck)
    if struck is None:
        judge_own(operation, run, outcome)


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
        tasks = asyncio.all_tasks()
        async with server:
            where = (server.host, server.port, "client.example")
            client = (
                SMTP_SSL(*where, self.client_tls, TIMEOUT, **operation.client)
                if mode == "tls"
                else SMTP(*where, TIMEOUT, **operation.client)
            )
            run = Run(client, server)
            try:
                for step in operation.before:
                    await step(run)
                yield run
                judge_remains(run, tasks)
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
    loop = asyncio.get_running_loop()
    # Debugging takes a traceback of each callback: two thirds of the time.
    loop.set_debug(False)
    # With one thread, what is done in it later waits for what was read in it before.
    loop.set_default_executor(ThreadPoolExecutor(1))
    yield Stage(clock, server_tls, client_tls)
    gc.collect()  # tasks and futures whose errors nobody has seen complain now


async def sweep(
    stage: Stage,
    operation: Operation,
    mode: Mode,
    what: Strike,
    when: When,
    *,
    again: bool = False,
    has_neighbour: bool = False,
) -> None:
    """Let it happen at every suspension.

    A neighbour is another task, which waits meanwhile for its turn.
    """
    for number in itertools.count():
        try:
            async with stage.open(operation, mode) as run:
                moments = Moments(number, when, again=again)
                task = moments.start(operation.run(run))
                closing: list[asyncio.Task[None]] = []
                silence: Silence = asyncio.get_running_loop().create_future()
                if what == "cancel":
                    moments.strike = task.cancel
                elif what == "hang-up":
                    moments.strike = partial(hang_up, run.client, closing)
                else:
                    moments.strike, silence = arm(run.server, what)
                neighbour = use_meanwhile(run.client) if has_neighbour else None
                await finish(task, stage.clock, silence)
                moments.stop()
                await asyncio.gather(*closing)
                if neighbour is not None:
                    await judge_neighbour(neighbour)
                await judge(
                    operation, mode, run, task, what if moments.has_come else None
                )
        except BaseException as exc:
            exc.add_note(f"{what} {when} for the {number}th time")
            raise
        if not moments.has_come:
            assert number > 0
            return


def use_meanwhile(client: SMTP) -> asyncio.Task[Reply]:
    """Have another task use the client, one whose moments do not count."""
    loop = asyncio.get_running_loop()
    return asyncio.Task(client.noop("neighbour"), loop=loop)


async def judge_neighbour(neighbour: asyncio.Task[Reply]) -> None:
    """See whether it gets its own reply, or is told that there is none."""
    async with asyncio.timeout(5):
        await asyncio.wait((neighbour,))
    reply, error = outcome_of(neighbour)
    assert isinstance(error, SMTPConnectionError) or reply.message.endswith(
        "NOOP neighbour"
    )


def hang_up(client: SMTP, closing: list[asyncio.Task[None]]) -> None:
    """Have another task close the client, one whose moments do not count."""
    loop = asyncio.get_running_loop()
    closing.append(asyncio.Task(client.close(), loop=loop))


every_moment = pytest.mark.parametrize("when", ["as-it-waits", "as-it-wakes"])


@every_moment
@sweep_operations
async def test_a_cancelled_operation_leaves_a_session_clean_or_dead(
    stage: Stage, operation: Operation, mode: Mode, when: When
) -> None:
    """E01, E02, E03, E04, C22: no stale reply, no command in content, no half mail."""
    await sweep(stage, operation, mode, "cancel", when)


@sweep_operations
async def test_an_operation_may_be_cancelled_while_it_deals_with_that(
    stage: Stage, operation: Operation, mode: Mode
) -> None:
    """E01, E09: from its k-th suspension on it is cancelled at each."""
    await sweep(
        stage,
        operation,
        mode,
        "cancel",
        "as-it-wakes",
        again=True,
        has_neighbour=True,
    )


@sweep_operations
async def test_another_task_may_close_the_client_at_any_time(
    stage: Stage, operation: Operation, mode: Mode
) -> None:
    """E10, E11: the operation fails, and tells of mails that may have been accepted."""
    await sweep(stage, operation, mode, "hang-up", "as-it-waits", has_neighbour=True)


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


@sweep_moments
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


@sweep_moments
async def test_a_421_ends_the_session_for_everybody(
    stage: Stage, operation: Operation, mode: Mode, when: When
) -> None:
    """F06: it may come at any time, and is nobody's reply."""
    await sweep(stage, operation, mode, "farewell", when)


@sweep_contents
async def test_a_content_may_be_refused_before_it_has_ended(
    stage: Stage, operation: Operation, mode: Mode
) -> None:
    """E13, F13: the refusal is what the caller gets, and nothing is stored."""
    await sweep(stage, operation, mode, "refuse", "as-it-waits")


# What a sweep of suspensions does not reach


ANSWERED = [
    "auth-LOGIN",
    "sendmail",
    "sendmail-to-nobody",
    "sendmail-file-chunked",
    "send_message-async-chunked",
    "pipeline",
    "pipeline-awaited",
    "pipeline-bdat",
    "many",
    "many-short",
    "many-chunked",
    "many-window",
]


@pytest.mark.parametrize("event", ["close", "reset", "mute", "farewell"])
@pytest.mark.parametrize(
    ("operation", "mode"),
    [p for p in EVERY_OPERATION if p.values[0].name in ANSWERED and "tls" not in p.id],
)
async def test_any_reply_may_be_the_one_that_does_not_come(
    stage: Stage, operation: Operation, event: Event, mode: Mode
) -> None:
    """F06, E07, E11: only who waits for the final reply is told "unknown"."""
    for number in itertools.count():
        async with stage.open(operation, mode) as run:
            strike, silence = arm(run.server, event)
            run.server.strike_at_reply(number, strike)
            task = asyncio.create_task(operation.run(run))
            await finish(task, stage.clock, silence)
            struck = event if run.server.struck_at is not None else None
            await judge(operation, mode, run, task, struck)
            errors: list[BaseException | None] = [outcome_of(task)[1]]
            errors += [outcome_of(future)[1] for future in run.futures.values()]
            errors += [outcome.error for outcome in run.outcomes or ()]
        is_unknown = any(isinstance(e, SMTPDeliveryUnknownError) for e in errors)
        was_due = run.server.struck_sender is not None and event != "farewell"
        if was_due:
            assert is_unknown
        elif event == "farewell" or not operation.server.get("chunking"):
            # All of what goes with BDAT may be sent while earlier replies are due.
            assert not is_unknown
        if run.server.struck_at is None:
            assert number > 2
            return


async def test_of_a_window_only_what_was_sent_whole_is_unknown(stage: Stage) -> None:
    """E11: the second mail fits into no buffer, and the third waits for it."""
    huge = replace(LARGE, content=LARGE_TEXT * 4)
    mails = (ONE, huge, TWO)
    operation = Operation(
        "many-huge",
        many(*mails, window=3, form="iterated"),
        "",
        INTRODUCED,
        mails,
        **WINDOWS,
    )
    async with stage.open(operation, "pipelining") as run:
        strike, silence = arm(run.server, "stall")
        strike()
        task = asyncio.create_task(operation.run(run))
        await finish(task, stage.clock, silence)
        outcomes = task.result()
        statuses = [outcome.status for outcome in outcomes]
        assert statuses == ["unknown", "not sent", "not sent"]
        assert all(
            isinstance(
                o.error.__cause__ or o.error, SMTPTimeoutError | SMTPConnectionError
            )
            for o in outcomes
        )


async def one_by_one(run: Run) -> None:
    await run.client.mail(FRESH.sender)
    await run.client.rcpt("c@y.example")
    await run.client.data(FRESH.content)


@pytest.mark.parametrize(
    "afterwards",
    [
        pytest.param(sendmail(FRESH), id="sendmail"),
        pytest.param(many(FRESH), id="many"),
        pytest.param(many(FRESH, window=3), id="window"),
        pytest.param(pipeline(FRESH), id="pipeline"),
        pytest.param(pipeline_chunks(FRESH), id="bdat"),
        pytest.param(one_by_one, id="one-by-one"),
        pytest.param(call("auth", "user", "secret"), id="auth"),
    ],
)
@pytest.mark.parametrize(
    ("form", "is_slow"), [("async", False), ("iterated", True), ("async", True)]
)
@pytest.mark.parametrize("window", [1, 3])
async def test_a_run_may_be_left_after_any_outcome(
    stage: Stage, window: int, form: Form, is_slow: bool, afterwards: Step
) -> None:
    """F12: what is left on its way harms neither the next mail nor the session."""
    mails = (ONE, HOPELESS, TWO, UNLOVED, BOTH)
    for number in range(1, len(mails) + 1):
        step = many(*mails, window=window, form=form, leave_after=number)
        operation = Operation(
            "many-left", step, "", INTRODUCED, mails, is_left=True, **WINDOWS
        )
        async with stage.open(operation, "pipelining") as run:
            await operation.run(run)
            if is_slow:
                await turns(3 * PATIENCE)
            was_connected = run.client.is_connected
            if was_connected:
                async with asyncio.timeout(5):
                    await afterwards(Run(run.client, run.server))
            stored = run.server.stored
            assert stored.count(ONE.stored) == 1
            assert HOPELESS.stored not in stored
            assert UNLOVED.stored not in stored
            if number >= 3:
                assert stored.count(TWO.stored) == 1
            if number == 5:
                assert stored.count(BOTH.stored) == 1
                assert was_connected
            await turns(PATIENCE)


@pytest.mark.parametrize("event", ["close", "drop", "reset", "farewell"])
async def test_a_lost_connection_settles_every_future_once(
    stage: Stage, event: Event
) -> None:
    """E10: a hundred are pending; each fails, for the same cause."""
    async with stage.open(OPERATIONS["noop"], "pipelining") as run:
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
    monkeypatch.setattr(dialling, "HAPPY_EYEBALLS_DELAY", 0.01)
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

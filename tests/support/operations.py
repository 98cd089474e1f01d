"""What the sweep strikes: every operation of a client, with the mails that it sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from email import message_from_bytes, policy
from typing import Any, Literal

import pytest
from strict_server import PATIENCE, Stored, StrictServer, after

import smtplibaio
from smtplibaio import (
    SMTP,
    Outcome,
    Reply,
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPLoginError,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
    sasl,
)

# Mails. Each has a sender of its own, which tells them apart wherever they turn up.


#: What a mail is given as: octets, a message of the `email` package, a file, or a
#: generator, asynchronous or not. Those that "fail" raise where half is read.
Form = Literal[
    "octets", "message", "file", "iterated", "async", "iterated-fails", "async-fails"
]


class SourceError(Exception):
    """Say that a source has failed."""


class Source:
    """What a generator or a file of chunks is, and what has become of it.

    Attributes:
        is_open: Whether it was begun, and neither ended nor was closed.
        is_exhausted: Whether all of it was read.
        given: What the client was given. Held, for a generator that nobody holds is
            closed by itself.
    """

    def __init__(self, chunks: Sequence[Any], form: Form) -> None:
        self.is_open = self.is_exhausted = False
        self._chunks = chunks
        self._fails = form.endswith("fails")
        self._is_async = form.startswith("async")
        self._read = 0
        self.given: Any = self
        if form.startswith("iterated"):
            self.given = self._iterated()
        elif self._is_async:
            self.given = self._iterated_asynchronously()

    def read(self, size: int) -> bytes:
        chunk: bytes = self._chunks[0][self._read : self._read + min(size, 50_000)]
        self._read += len(chunk)
        self.is_exhausted = not chunk
        return chunk

    def _iterated(self) -> Iterator[Any]:
        self.is_open = True
        try:
            for number in range(len(self._chunks)):
                if self._fails and number > len(self._chunks) // 2:
                    raise SourceError
                yield self._chunks[number]
            self.is_exhausted = True
        finally:
            self.is_open = False

    @property
    def is_left_open(self) -> bool:
        """Tell whether the client has left open what it has to close.

        An iterable of mails that is not asynchronous is the caller's, as in any `for`.
        """
        is_callers = isinstance(self._chunks, Mails) and not self._is_async
        return self.is_open and not is_callers

    async def _iterated_asynchronously(self) -> AsyncIterator[Any]:
        chunks = self._iterated()
        try:
            for chunk in chunks:
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.is_open = True
            try:
                await asyncio.sleep(0)  # as closing a file or a cursor may take
            finally:
                chunks.close()  # type: ignore[attr-defined]
                self.is_open = False


@dataclass(frozen=True)
class Mail:
    """A mail to two recipients, of whom the server refuses one.

    Attributes:
        error: Its own outcome, where that is an exception.
    """

    sender: str
    content: bytes
    recipients: tuple[str, ...] = ("b@y.example", "nobody@y.example")
    accepted: tuple[str, ...] = ("b@y.example",)
    form: Form = "octets"
    all_or_nothing: bool = False
    error: type[Exception] | None = None

    @property
    def stored(self) -> Stored:
        """Give what the server should make of it."""
        return Stored(self.sender, self.accepted, self.content)


TEXT = b"Subject: hello\r\n\r\n.a dot\r\nthe last line\r\n"
LINE = b".%069d\r\n"
LARGE_TEXT = b"Subject: hello\r\n\r\n" + b"".join(LINE % n for n in range(3000))

ONE = Mail("one@x.example", TEXT)
TWO = Mail("two@x.example", TEXT)
THREE = Mail("three@x.example", TEXT)
LARGE = Mail("large@x.example", LARGE_TEXT)
LARGE_TOO = Mail("large.too@x.example", LARGE_TEXT)
HOPELESS = Mail(
    "hopeless@x.example", TEXT, ("nobody@y.example",), (), error=SMTPNoRecipientError
)
UNLOVED = Mail("unloved@x.example", TEXT, error=SMTPCommandFailedError)
FRESH = Mail(
    "fresh@x.example", TEXT, ("nobody@y.example", "c@y.example"), ("c@y.example",)
)
MESSAGE = Mail(
    "message@x.example",
    b"From: message@x.example\r\nTo: b@y.example, nobody@y.example\r\n" + TEXT,
    form="message",
)
BOTH = Mail(
    "both@x.example",
    TEXT,
    ("b@y.example", "c@y.example"),
    ("b@y.example", "c@y.example"),
    all_or_nothing=True,
)
ALL = replace(ONE, all_or_nothing=True, error=SMTPRecipientRefusedError)
ALL_TWO = replace(ALL, sender="all.two@x.example")
FILE = replace(LARGE, form="file")
ITERATED = replace(LARGE, form="iterated")
ASYNC = replace(LARGE, form="async")
FAILING = replace(LARGE, form="async-fails", error=SourceError)
TOO_LATE = replace(THREE, error=SMTPConnectionLostError)  # behind half a content

#: Octets of the sockets' buffers, so that LARGE does not fit.
SMALL_BUFFER = 16384


# Operations


@dataclass
class Run:
    """One operation of one client on one server.

    Attributes:
        client: The client.
        server: The server.
        futures: What a pipeline has given for the content of each mail.
        others: What it has given for everything else.
        sources: What contents, and mails, are read from.
        pulled: The mails that `send_many` has taken.
        outcomes: What it has given for them; None in other operations.
        progress: What was told of the progress of each mail, by sender.
    """

    client: SMTP
    server: StrictServer
    futures: dict[Mail, asyncio.Future[Reply]] = field(default_factory=dict)
    others: list[asyncio.Future[Reply]] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    pulled: list[Mail] = field(default_factory=list)
    outcomes: list[Outcome] | None = None
    progress: dict[str, list[tuple[int, int | None]]] = field(default_factory=dict)

    def message(self, mail: Mail) -> Any:
        """Give the content as the mail wants it to be given."""
        if mail.form == "octets":
            return mail.content
        if mail.form == "message":
            return message_from_bytes(mail.content, policy=policy.SMTP)
        step = len(mail.content) if mail.form == "file" else 45_001
        chunks = [
            mail.content[at : at + step] for at in range(0, len(mail.content), step)
        ]
        source = self.sources[mail.sender] = Source(chunks, mail.form)
        return source.given

    def told_progress(self, mail: Mail) -> Callable[[int, int | None], None]:
        """Give what notes the progress of a mail."""
        told = self.progress.setdefault(mail.sender, [])
        return lambda sent, total: told.append((sent, total))


Step = Callable[[Run], Coroutine[Any, Any, Any]]
Mode = Literal["pipelining", "one-by-one", "tls"]


@dataclass(frozen=True)
class Operation:
    """What is done, what has to be done before, and what comes out.

    Attributes:
        name: What it is called.
        run: The operation that the sweep strikes.
        shown: What its result has to show, the command that was answered.
        before: What is done before, undisturbed.
        mails: The mails that it sends.
        error: Its own outcome, where that is an exception.
        server: Options of the server.
        client: Options of the client.
        modes: Where it is struck.
        is_window: Whether mails leave before what stands before them was answered.
        is_left: Whether mails may be left unsent.
    """

    name: str
    run: Step
    shown: str = ""
    before: tuple[Step, ...] = ()
    mails: tuple[Mail, ...] = ()
    error: type[Exception] | None = None
    server: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    modes: tuple[Mode, ...] = ("pipelining", "one-by-one")
    is_window: bool = False
    is_left: bool = False

    @property
    def is_many(self) -> bool:
        """Tell whether its result is a list of outcomes."""
        return self.name.startswith("many")

    @property
    def tells_cancelled(self) -> bool:
        """Tell whether who cancels it is told what may have been accepted."""
        is_waiting = not self.name.endswith("slow")  # it is cancelled elsewhere, too
        return is_waiting and self.name.startswith(("data", "send", "many"))

    @property
    def is_long(self) -> bool:
        """Tell whether it has many suspensions."""
        return self.is_many or any(mail.form == "async" for mail in self.mails)

    @property
    def has_futures(self) -> bool:
        """Tell whether it gives a future for each mail."""
        return self.name.startswith("pipeline")


async def connect(run: Run) -> Reply:
    reply = await run.client.connect()
    transport = run.client.transport
    assert transport is not None
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    return reply


def call(method: str, *arguments: Any, **keywords: Any) -> Step:
    async def step(run: Run) -> Any:
        return await getattr(run.client, method)(*arguments, **keywords)

    return step


def auth(*mechanisms: str) -> Step:
    return call("auth", "user", "secret", mechanisms=mechanisms or None)


def sendmail(mail: Mail) -> Step:
    async def step(run: Run) -> Any:
        message = run.message(mail)
        return await run.client.sendmail(mail.sender, mail.recipients, message)

    return step


def send_message(mail: Mail) -> Step:
    """Leave the envelope to the message, where it names one; hear of the progress."""

    async def step(run: Run) -> Any:
        is_named = mail.form == "message"
        return await run.client.send_message(
            run.message(mail),
            None if is_named else mail.sender,
            None if is_named else mail.recipients,
            all_or_nothing=mail.all_or_nothing,
            progress=run.told_progress(mail),
        )

    return step


def data(mail: Mail) -> Step:
    async def step(run: Run) -> Any:
        return await run.client.data(run.message(mail))

    return step


class Speechless(sasl.Login):
    """A mechanism that has no answer to the second challenge."""

    def next(self, challenge: bytes) -> bytes:
        if self._prompts:
            raise ValueError("speechless")
        return super().next(challenge)


def authenticate_speechlessly(run: Run) -> Coroutine[Any, Any, Reply]:
    return run.client.authenticate(Speechless("user", "secret"))


def pipeline(*mails: Mail, noops: int = 0) -> Step:
    """Give everything at once; leaving the block waits."""

    async def step(run: Run) -> list[Reply]:
        async with run.client.pipeline() as p:
            for mail in mails:
                run.others.append(p.mail(mail.sender))
                run.others += [p.rcpt(recipient) for recipient in mail.recipients]
                run.others.append(p.data())
                run.futures[mail] = p.content(run.message(mail))
            run.others += [p.noop(str(n)) for n in range(noops)]
        return [future.result() for future in run.futures.values()]

    return step


def pipeline_awaited(*mails: Mail) -> Step:
    """Wait for every content within the block."""

    async def step(run: Run) -> list[Reply]:
        async with run.client.pipeline() as p:
            for mail in mails:
                run.others.append(p.mail(mail.sender))
                run.others += [p.rcpt(recipient) for recipient in mail.recipients]
                run.others.append(p.data())
                run.futures[mail] = p.content(mail.content)
                await run.futures[mail]
        return [future.result() for future in run.futures.values()]

    return step


def pipeline_judged(*mails: Mail) -> Step:
    """Wait for the replies of the group, whatever they are, then give the content."""

    async def step(run: Run) -> list[Reply]:
        async with run.client.pipeline() as p:
            for mail in mails:
                group = [p.mail(mail.sender), *map(p.rcpt, mail.recipients), p.data()]
                run.others += group
                await asyncio.gather(*group, return_exceptions=True)
                run.futures[mail] = p.content(mail.content)
                await run.futures[mail]
        return [future.result() for future in run.futures.values()]

    return step


def pipeline_chunks(*mails: Mail, noops: int = 0) -> Step:
    """Give content in three chunks each, the last of them empty."""

    async def step(run: Run) -> list[Reply]:
        async with run.client.pipeline() as p:
            for mail in mails:
                run.others.append(p.mail(mail.sender))
                run.others += [p.rcpt(recipient) for recipient in mail.recipients]
                half = len(mail.content) // 2
                run.others.append(p.bdat(mail.content[:half]))
                run.others.append(p.bdat(mail.content[half:]))
                run.futures[mail] = p.bdat(b"", last=True)
                if mail.error is not None:
                    run.others.append(p.rset())
            run.others += [p.noop(str(n)) for n in range(noops)]
        return [future.result() for future in run.futures.values()]

    return step


def many(
    *mails: Mail,
    form: Form = "async",
    window: int = 1,
    leave_after: int | None = None,
    is_slow: bool = False,
) -> Step:
    """Send a run of mails; leave it early, or take time for each outcome."""

    async def step(run: Run) -> list[Outcome]:
        source = run.sources["mails"] = Source(Mails(run, mails), form)
        outcomes = run.outcomes = []
        async for outcome in run.client.send_many(source.given, window=window):
            outcomes.append(outcome)
            assert len(run.pulled) - len(outcomes) <= 2 * window
            if len(outcomes) == leave_after:
                break
            if is_slow:
                await turns(3 * PATIENCE)
        return outcomes

    return step


class Mails(Sequence[Any]):
    """Give mails as `send_many` takes them, and note which were taken."""

    def __init__(self, run: Run, mails: tuple[Mail, ...]) -> None:
        self._run = run
        self._mails = mails

    def __len__(self) -> int:
        return len(self._mails)

    def __getitem__(self, index: Any) -> Any:
        mail = self._mails[index]
        self._run.pulled.append(mail)
        return smtplibaio.Mail(
            self._run.message(mail),
            mail.sender,
            mail.recipients,
            all_or_nothing=mail.all_or_nothing,
        )


async def turns(number: int) -> None:
    """Wait for so many turns of the loop, in one suspension."""
    have_passed = asyncio.get_running_loop().create_future()
    after(number, lambda: have_passed.done() or have_passed.set_result(None))
    await have_passed


async def whole_session(run: Run) -> Any:
    async with run.client as client:
        return await client.sendmail(ONE.sender, ONE.recipients, ONE.content)


EHLO = call("ehlo")
INTRODUCED = (connect, EHLO)
MAIL = call("mail", ONE.sender)
RCPT = call("rcpt", "b@y.example")
LARGE_MAIL = call("mail", LARGE.sender)

CHUNKING: dict[str, Any] = {
    "server": {"chunking": True, "always_354": True},
    "client": {"chunking": True},
}
WINDOWS: dict[str, Any] = {
    "server": {
        "chunking": True,
        "windows": True,
        "refused_contents": ["unloved@x.example"],
    },
    "is_window": True,
}

_OPERATIONS = [
    Operation("connect", call("connect"), "GREETING"),
    Operation("ehlo", EHLO, "EHLO", (connect,)),
    Operation("helo", call("helo"), "HELO", (connect,)),
    Operation("helo-after-ehlo", call("helo"), "HELO", INTRODUCED),
    Operation("auth-CRAM-MD5", auth("CRAM-MD5"), "AUTH CRAM-MD5", INTRODUCED),
    Operation("auth-PLAIN", auth("PLAIN"), "AUTH PLAIN", INTRODUCED),
    Operation("auth-LOGIN", auth("LOGIN"), "AUTH LOGIN", INTRODUCED),
    Operation(
        "auth-from-scratch",
        auth(),
        "AUTH PLAIN",
        (connect,),
        server={"refused_mechanisms": ["CRAM-MD5"]},
    ),
    Operation(
        "auth-refused",
        call("auth", "user", "wrong"),
        "",
        INTRODUCED,
        error=SMTPLoginError,
    ),
    Operation(
        "auth-withdrawn",
        authenticate_speechlessly,
        "",
        INTRODUCED,
        error=SMTPAuthenticationError,
    ),
    Operation("mail", MAIL, "MAIL <one@x.example>", INTRODUCED),
    Operation("rcpt", RCPT, "RCPT <b@y.example>", (*INTRODUCED, MAIL)),
    Operation(
        "data",
        call("data", TEXT),
        "CONTENT <one@x.example>",
        (*INTRODUCED, MAIL, RCPT),
        mails=(ONE,),
    ),
    Operation(
        "data-large",
        call("data", LARGE_TEXT),
        "CONTENT <large@x.example>",
        (*INTRODUCED, LARGE_MAIL, RCPT),
        mails=(LARGE,),
    ),
    Operation("rset", call("rset"), "RSET", (*INTRODUCED, MAIL)),
    Operation("noop", call("noop", "swept"), "NOOP swept", INTRODUCED),
    Operation("vrfy", call("vrfy", "b"), "VRFY <b>", INTRODUCED),
    Operation("expn", call("expn", "list"), "EXPN list", INTRODUCED),
    Operation("help", call("help", "MAIL"), "HELP MAIL", INTRODUCED),
    Operation("quit", call("quit"), "QUIT", INTRODUCED),
    Operation(
        "sendmail", sendmail(ONE), "CONTENT <one@x.example>", INTRODUCED, mails=(ONE,)
    ),
    Operation(
        "sendmail-from-scratch",
        sendmail(TWO),
        "CONTENT <two@x.example>",
        (connect,),
        mails=(TWO,),
    ),
    Operation(
        "sendmail-after-mail",
        sendmail(TWO),
        "CONTENT <two@x.example>",
        (*INTRODUCED, MAIL),
        mails=(TWO,),
    ),
    Operation(
        "sendmail-large",
        sendmail(LARGE),
        "CONTENT <large@x.example>",
        INTRODUCED,
        mails=(LARGE,),
    ),
    Operation(
        "sendmail-to-nobody",
        sendmail(HOPELESS),
        "",
        INTRODUCED,
        mails=(HOPELESS,),
        error=SMTPNoRecipientError,
        server={"always_354": True},
    ),
    Operation(
        "pipeline",
        pipeline(ONE, TWO, noops=2),
        "",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    Operation(
        "pipeline-large",
        pipeline(LARGE, LARGE_TOO),
        "",
        (connect,),
        mails=(LARGE, LARGE_TOO),
    ),
    Operation(
        "pipeline-awaited",
        pipeline_awaited(ONE, TWO),
        "",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    Operation(
        "pipeline-judged",
        pipeline_judged(ONE, TWO),
        "",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    Operation("whole-session", whole_session, "CONTENT <one@x.example>", mails=(ONE,)),
    Operation(
        "send_message",
        send_message(MESSAGE),
        "CONTENT <message@x.example>",
        INTRODUCED,
        mails=(MESSAGE,),
        modes=("pipelining",),
    ),
    Operation(
        "send_message-both",
        send_message(BOTH),
        "CONTENT <both@x.example>",
        (connect,),
        mails=(BOTH,),
        modes=("pipelining",),
    ),
    Operation(
        "send_message-all",
        send_message(ALL),
        "",
        INTRODUCED,
        mails=(ALL,),
        error=SMTPRecipientRefusedError,
    ),
    Operation(
        "send_message-async",
        send_message(ASYNC),
        "CONTENT <large@x.example>",
        INTRODUCED,
        mails=(ASYNC,),
        modes=("pipelining",),
    ),
    Operation(
        "send_message-async-chunked",
        send_message(ASYNC),
        "CONTENT <large@x.example>",
        INTRODUCED,
        mails=(ASYNC,),
        modes=("pipelining", "one-by-one", "tls"),
        **CHUNKING,
    ),
    Operation(
        "sendmail-large-chunked",
        sendmail(LARGE),
        "CONTENT <large@x.example>",
        INTRODUCED,
        mails=(LARGE,),
        modes=("pipelining",),
        **CHUNKING,
    ),
    Operation(
        "sendmail-file-chunked",
        sendmail(FILE),
        "CONTENT <large@x.example>",
        INTRODUCED,
        mails=(FILE,),
        modes=("pipelining",),
        **CHUNKING,
    ),
    Operation(
        "sendmail-fails",
        sendmail(FAILING),
        "",
        INTRODUCED,
        mails=(FAILING,),
        error=SourceError,
        modes=("pipelining",),
    ),
    Operation(
        "sendmail-fails-chunked",
        sendmail(replace(FAILING, form="iterated-fails")),
        "",
        INTRODUCED,
        mails=(FAILING,),
        error=SourceError,
        modes=("pipelining",),
        **CHUNKING,
    ),
    Operation(
        "data-iterated",
        data(ITERATED),
        "CONTENT <large@x.example>",
        (*INTRODUCED, LARGE_MAIL, RCPT),
        mails=(ITERATED,),
        modes=("one-by-one",),
    ),
    Operation(
        "pipeline-async",
        pipeline(ASYNC, TWO),
        "",
        INTRODUCED,
        mails=(ASYNC, TWO),
        modes=("pipelining",),
    ),
    Operation(
        "pipeline-bdat",
        pipeline_chunks(HOPELESS, ONE, LARGE, noops=1),
        "",
        INTRODUCED,
        mails=(HOPELESS, ONE, LARGE),
        **CHUNKING,
    ),
    Operation(
        "many",
        many(ONE, HOPELESS, ASYNC, ALL_TWO, THREE),
        "",
        INTRODUCED,
        mails=(ONE, HOPELESS, ASYNC, ALL_TWO, THREE),
        modes=("pipelining",),
        server={"always_354": True},
    ),
    Operation(
        "many-short",
        many(ONE, HOPELESS, TWO),
        "",
        INTRODUCED,
        mails=(ONE, HOPELESS, TWO),
        modes=("one-by-one", "tls"),
    ),
    Operation(
        "many-left",
        many(ONE, TWO, HOPELESS, THREE, window=3, form="iterated", leave_after=2),
        "",
        INTRODUCED,
        mails=(ONE, TWO, HOPELESS, THREE),
        modes=("pipelining",),
        is_left=True,
        **WINDOWS,
    ),
    Operation(
        "many-chunked",
        many(ONE, HOPELESS, FILE, THREE, form="iterated"),
        "",
        (connect,),
        mails=(ONE, HOPELESS, FILE, THREE),
        modes=("pipelining",),
        **CHUNKING,
    ),
    Operation(
        "many-fails",
        many(ONE, TWO, FAILING, TOO_LATE, form="iterated"),
        "",
        INTRODUCED,
        mails=(ONE, TWO, FAILING, TOO_LATE),
        modes=("pipelining",),
    ),
    Operation(
        "many-window",
        many(ONE, HOPELESS, TWO, LARGE, UNLOVED, THREE, window=3),
        "",
        INTRODUCED,
        mails=(ONE, HOPELESS, TWO, LARGE, UNLOVED, THREE),
        modes=("pipelining",),
        **WINDOWS,
    ),
    Operation(
        "many-window-slow",
        many(ONE, TWO, HOPELESS, ASYNC, THREE, window=3, form="iterated", is_slow=True),
        "",
        INTRODUCED,
        mails=(ONE, TWO, HOPELESS, ASYNC, THREE),
        modes=("pipelining",),
        **WINDOWS,
    ),
    Operation(
        "many-window-fails",
        many(ONE, TWO, THREE, BOTH, window=3, form="async-fails"),
        "",
        INTRODUCED,
        mails=(ONE, TWO, THREE, BOTH),
        error=SourceError,
        modes=("pipelining",),
        **WINDOWS,
    ),
]
OPERATIONS = {operation.name: operation for operation in _OPERATIONS}

EVERY_OPERATION: list[Any] = [
    pytest.param(operation, mode, id=f"{name}-{mode}")
    for name, operation in OPERATIONS.items()
    for mode in operation.modes
] + [
    pytest.param(OPERATIONS[name], "tls", id=f"{name}-tls")
    for name in ("connect", "quit", "sendmail", "sendmail-large", "whole-session")
]
sweep_operations = pytest.mark.parametrize(("operation", "mode"), EVERY_OPERATION)

#: At both moments of each suspension, or at one where a run has too many of them.
sweep_moments = pytest.mark.parametrize(
    ("operation", "mode", "when"),
    [
        pytest.param(*p.values, when, id=f"{p.id}-{when}")
        for p in EVERY_OPERATION
        for when in ("as-it-waits", "as-it-wakes")
        if when == "as-it-wakes" or not p.values[0].is_long
    ],
)

#: Those that have content on its way for a while.
sweep_contents = pytest.mark.parametrize(
    ("operation", "mode"),
    [
        p
        for p in EVERY_OPERATION
        if any(len(m.content) > SMALL_BUFFER for m in p.values[0].mails)
    ],
)

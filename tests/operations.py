"""What the sweep strikes: every operation of a client, with the mails that it sends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from strict_server import Stored, StrictServer

from smtplibaio import (
    SMTP,
    Reply,
    SMTPException,
    SMTPLoginError,
    SMTPNoRecipientError,
    sasl,
)

# Mails. Each has a sender of its own, which tells them apart wherever they turn up.


@dataclass(frozen=True)
class Mail:
    """A mail to two recipients, of whom the server refuses one."""

    sender: str
    content: bytes
    recipients: tuple[str, ...] = ("b@y.example", "nobody@y.example")
    accepted: tuple[str, ...] = ("b@y.example",)

    @property
    def stored(self) -> Stored:
        """Give what the server should make of it."""
        return Stored(self.sender, self.accepted, self.content)


TEXT = b"Subject: hello\r\n\r\n.a dot\r\nthe last line\r\n"
LINE = b".%069d\r\n"
LARGE_TEXT = b"Subject: hello\r\n\r\n" + b"".join(LINE % n for n in range(3000))

ONE = Mail("one@x.example", TEXT)
TWO = Mail("two@x.example", TEXT)
LARGE = Mail("large@x.example", LARGE_TEXT)
LARGE_TOO = Mail("large.too@x.example", LARGE_TEXT)
HOPELESS = Mail("hopeless@x.example", TEXT, ("nobody@y.example",), ())
FRESH = Mail(
    "fresh@x.example", TEXT, ("nobody@y.example", "c@y.example"), ("c@y.example",)
)

#: Octets of the sockets' buffers, so that LARGE does not fit.
SMALL_BUFFER = 16384


# Operations


@dataclass
class Run:
    """One operation of one client on one server."""

    client: SMTP
    server: StrictServer
    futures: dict[Mail, asyncio.Future[Reply]] = field(default_factory=dict)
    others: list[asyncio.Future[Reply]] = field(default_factory=list)


Step = Callable[[Run], Coroutine[Any, Any, Any]]


@dataclass(frozen=True)
class Operation:
    """What is done, what has to be done before, and what comes out.

    Attributes:
        run: The operation that the sweep strikes.
        shown: What its result has to show, the command that was answered.
        before: What is done before, undisturbed.
        mails: The mails that it sends.
        error: Its own outcome, where that is an exception.
        server: Options of the server.
    """

    run: Step
    shown: str = ""
    before: tuple[Step, ...] = ()
    mails: tuple[Mail, ...] = ()
    error: type[SMTPException] | None = None
    server: dict[str, Any] = field(default_factory=dict)


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
    return call("sendmail", mail.sender, mail.recipients, mail.content)


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
                run.futures[mail] = p.content(mail.content)
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


async def whole_session(run: Run) -> Any:
    async with run.client as client:
        return await client.sendmail(ONE.sender, ONE.recipients, ONE.content)


EHLO = call("ehlo")
INTRODUCED = (connect, EHLO)
MAIL = call("mail", ONE.sender)
RCPT = call("rcpt", "b@y.example")
LARGE_MAIL = call("mail", LARGE.sender)

OPERATIONS = {
    "connect": Operation(call("connect"), "GREETING"),
    "ehlo": Operation(EHLO, "EHLO", (connect,)),
    "helo": Operation(call("helo"), "HELO", (connect,)),
    "helo-after-ehlo": Operation(call("helo"), "HELO", INTRODUCED),
    "auth-CRAM-MD5": Operation(auth("CRAM-MD5"), "AUTH CRAM-MD5", INTRODUCED),
    "auth-PLAIN": Operation(auth("PLAIN"), "AUTH PLAIN", INTRODUCED),
    "auth-LOGIN": Operation(auth("LOGIN"), "AUTH LOGIN", INTRODUCED),
    "auth-from-scratch": Operation(
        auth(), "AUTH PLAIN", (connect,), server={"refused_mechanisms": ["CRAM-MD5"]}
    ),
    "auth-refused": Operation(
        call("auth", "user", "wrong"), "", INTRODUCED, error=SMTPLoginError
    ),
    "auth-withdrawn": Operation(
        authenticate_speechlessly, "", INTRODUCED, error=SMTPException
    ),
    "mail": Operation(MAIL, "MAIL <one@x.example>", INTRODUCED),
    "rcpt": Operation(RCPT, "RCPT <b@y.example>", (*INTRODUCED, MAIL)),
    "data": Operation(
        call("data", TEXT),
        "CONTENT <one@x.example>",
        (*INTRODUCED, MAIL, RCPT),
        mails=(ONE,),
    ),
    "data-large": Operation(
        call("data", LARGE_TEXT),
        "CONTENT <large@x.example>",
        (*INTRODUCED, LARGE_MAIL, RCPT),
        mails=(LARGE,),
    ),
    "rset": Operation(call("rset"), "RSET", (*INTRODUCED, MAIL)),
    "noop": Operation(call("noop", "swept"), "NOOP swept", INTRODUCED),
    "vrfy": Operation(call("vrfy", "b"), "VRFY <b>", INTRODUCED),
    "expn": Operation(call("expn", "list"), "EXPN list", INTRODUCED),
    "help": Operation(call("help", "MAIL"), "HELP MAIL", INTRODUCED),
    "quit": Operation(call("quit"), "QUIT", INTRODUCED),
    "sendmail": Operation(
        sendmail(ONE), "CONTENT <one@x.example>", INTRODUCED, mails=(ONE,)
    ),
    "sendmail-from-scratch": Operation(
        sendmail(TWO), "CONTENT <two@x.example>", (connect,), mails=(TWO,)
    ),
    "sendmail-after-mail": Operation(
        sendmail(TWO), "CONTENT <two@x.example>", (*INTRODUCED, MAIL), mails=(TWO,)
    ),
    "sendmail-large": Operation(
        sendmail(LARGE), "CONTENT <large@x.example>", INTRODUCED, mails=(LARGE,)
    ),
    "sendmail-to-nobody": Operation(
        sendmail(HOPELESS),
        "",
        INTRODUCED,
        mails=(HOPELESS,),
        error=SMTPNoRecipientError,
        server={"always_354": True},
    ),
    "pipeline": Operation(
        pipeline(ONE, TWO, noops=2),
        "CONTENT <one@x.example> CONTENT <two@x.example>",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    "pipeline-large": Operation(
        pipeline(LARGE, LARGE_TOO),
        "CONTENT <large@x.example> CONTENT <large.too@x.example>",
        (connect,),
        mails=(LARGE, LARGE_TOO),
    ),
    "pipeline-awaited": Operation(
        pipeline_awaited(ONE, TWO),
        "CONTENT <one@x.example> CONTENT <two@x.example>",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    "pipeline-judged": Operation(
        pipeline_judged(ONE, TWO),
        "CONTENT <one@x.example> CONTENT <two@x.example>",
        INTRODUCED,
        mails=(ONE, TWO),
    ),
    "whole-session": Operation(whole_session, "CONTENT <one@x.example>", mails=(ONE,)),
}

Mode = Literal["pipelining", "one-by-one", "tls"]
EVERY_OPERATION: list[Any] = [
    pytest.param(operation, mode, id=f"{name}-{mode}")
    for name, operation in OPERATIONS.items()
    for mode in ("pipelining", "one-by-one")
] + [
    pytest.param(OPERATIONS[name], "tls", id=f"{name}-tls")
    for name in ("connect", "quit", "sendmail", "sendmail-large", "whole-session")
]
sweep_operations = pytest.mark.parametrize(("operation", "mode"), EVERY_OPERATION)

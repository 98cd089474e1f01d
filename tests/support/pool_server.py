"""A server for pools: many sessions, and a say in each of its replies.

It is a plain server with PIPELINING that stores what it accepts. A test gives it a
function that is asked before each reply: with the session, and the line that the
client has said ("" for the greeting, "." for the end of the content). What the function
returns is done instead of the plain answer:

* text: that reply, and nothing happens; a 421 ends the session;
* "FIN", "RST": the server ends the session without a word;
* "SILENCE": it never answers this line, nor any other;
* an awaitable: the reply waits for it, and is plain if that returns None;
* None: the plain answer.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Self

from conversation import reset

from smtplibaio import SMTPPool


@dataclass
class Stored:
    """A mail that was accepted, and the session that brought it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    session: int


@dataclass
class Session:
    """One connection of a client.

    Attributes:
        number: From 1 on.
        mails: The mails that were accepted.
        said: The lines that the client has said.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    mails: int = 0
    said: list[str] = field(default_factory=list)
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)

    @property
    def is_lmtp(self) -> bool:
        """Whether the client speaks LMTP: one reply for each copy (RFC 2033 4.2)."""
        return self.said[0].startswith("LHLO")

    def say(self, text: str) -> None:
        self.writer.write(f"{text}\r\n".encode())

    def end(self, how: str = "FIN") -> None:
        """End the session now."""
        if how == "RST":
            reset(self.writer.transport)
        else:
            self.writer.close()


def _nothing(session: Session, line: str) -> None:
    """Leave it at the plain answer."""


#: What a test has to say to a line of a client.
Say = Callable[[Session, str], Any]


class PoolServer:
    """Listen on a loopback port while its block runs.

    Attributes:
        stored: What was accepted.
        sessions: Every session that was opened.
        open: The sessions that are open.
        most_open: The most that were open at a time.

    Args:
        say: What the test has to say; see above.
        extensions: What is announced besides PIPELINING and 8BITMIME.
    """

    def __init__(self, say: Say | None = None, *extensions: str) -> None:
        self.say: Say = say or _nothing
        self.extensions = ("PIPELINING", "8BITMIME", *extensions)
        self.stored: list[Stored] = []
        self.sessions: list[Session] = []
        self.open: list[Session] = []
        self.most_open = 0
        self.host, self.port = "127.0.0.1", 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, self.host, self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def senders(self) -> list[str]:
        """List the senders of what was accepted, in order."""
        return sorted(mail.sender for mail in self.stored)

    def _accept(self, r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        session = Session(len(self.sessions) + 1, r, w)
        self.sessions.append(session)
        self.open.append(session)
        self.most_open = max(self.most_open, len(self.open))
        task = asyncio.get_running_loop().create_task(self._serve(session))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, session: Session) -> None:
        try:
            with suppress(ConnectionError):
                if await self._answer(session, ""):
                    while line := (await session.reader.readline()).decode():
                        session.said.append(line.strip())
                        if not await self._answer(session, line.strip()):
                            return
        finally:
            self.open.remove(session)
            session.writer.close()

    async def _answer(self, session: Session, line: str) -> bool:
        """Answer a line; say whether the session goes on."""
        if line.startswith("MAIL"):
            session.sender, session.recipients = None, []
        reply = self.say(session, line)
        if inspect.isawaitable(reply):
            reply = await reply
        if reply in ("FIN", "RST"):
            session.end(reply)
            return False
        if reply == "SILENCE":
            await session.reader.read()
            return False
        if reply is not None:
            session.say(reply)
            return not reply.startswith("421")
        verb = line.partition(" ")[0].upper()
        handler = getattr(self, f"_{verb.lower() or 'greet'}", None)
        if handler is None:
            session.say("500 what?")
            return True
        await handler(session, line)
        return verb != "QUIT"

    async def _greet(self, session: Session, line: str) -> None:
        session.say("220 mx.example")

    async def _ehlo(self, session: Session, line: str) -> None:
        *others, last = ("mx.example", *self.extensions)
        session.say("\r\n".join([*(f"250-{each}" for each in others), f"250 {last}"]))

    _lhlo = _ehlo

    async def _mail(self, session: Session, line: str) -> None:
        session.sender = re.findall("<(.*?)>", line)[0]
        session.say("250 2.1.0 ok")

    async def _rcpt(self, session: Session, line: str) -> None:
        if session.sender is None:
            session.say("503 5.5.1 MAIL first")
            return
        session.recipients += re.findall("<(.*?)>", line)
        session.say("250 2.1.5 ok")

    async def _data(self, session: Session, line: str) -> None:
        if not session.recipients:
            session.say("554 no valid recipients")
            return
        session.say("354 go ahead")
        content = b""
        while (line_read := await session.reader.readline()) != b".\r\n":
            if not line_read:
                return
            content += line_read
        reply = self.say(session, ".")
        if inspect.isawaitable(reply):
            reply = await reply
        if reply in ("FIN", "RST", "SILENCE"):
            if reply == "SILENCE":
                await session.reader.read()
            session.end(reply)
        elif reply is not None:
            session.say(reply)
            if reply.startswith("421"):
                session.end()
        else:
            session.mails += 1
            recipients = tuple(session.recipients)
            sender, session.sender = session.sender or "", None
            self.stored.append(Stored(sender, recipients, content, session.number))
            copies = len(recipients) if session.is_lmtp else 1
            for _ in range(copies):
                session.say(f"250 2.0.0 queued as Q{len(self.stored)}")

    async def _rset(self, session: Session, line: str) -> None:
        session.say("250 2.0.0 ok")

    async def _noop(self, session: Session, line: str) -> None:
        session.say("250 2.0.0 ok")

    async def _quit(self, session: Session, line: str) -> None:
        session.say("221 2.0.0 bye")


CONTENT = b"Subject: hi\r\n\r\nhello\r\n"


@asynccontextmanager
async def served(
    say: Say | None = None, *extensions: str, **options: Any
) -> AsyncIterator[tuple[PoolServer, SMTPPool]]:
    """Give a server, and a pool of its sessions that has no pauses."""
    options = {"backoff": 0.0, "fqdn": "client.example"} | options
    is_clock_stopped = "time" in vars(asyncio.get_running_loop())
    patience = asyncio.timeout(None if is_clock_stopped else 30)
    async with patience, PoolServer(say, *extensions) as server:
        async with SMTPPool(server.host, server.port, **options) as pool:
            yield server, pool


async def send(pool: SMTPPool, number: int = 0) -> Any:
    """Send a mail that its sender tells from others."""
    return await pool.sendmail(f"m{number}@x.example", ["b@y.example"], CONTENT)


def numbers(count: int) -> list[str]:
    """List the senders of the first mails of `send`, in order."""
    return sorted(f"m{number}@x.example" for number in range(count))

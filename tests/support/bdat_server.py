"""A strict peer for CHUNKING and BINARYMIME (RFC 3030), and DATA to compare with.

Rules:

1. Of a BDAT exactly the announced octets are content. Whatever stands behind them is
   executed as commands; none may be wrong, out of place, or have been content.
2. What may not come before a reply is waited for: the server lets some turns of the
   loop pass before it answers, and notes what comes meanwhile.
3. A BDAT without an accepted recipient is noted. A server that swallows its octets is
   one that keeps to RFC 3030; one that does not takes them for commands.
4. A mail is stored as its final reply is due; a server that dies then has stored it,
   unless it says farewell.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self, cast

from conversation import PATIENCE, reset

EXTENSIONS = ("PIPELINING", "CHUNKING", "BINARYMIME", "8BITMIME", "SIZE 100000000")

#: What a test writes into content that looks like commands; no command may have it.
MARK = "smuggled"

_ANYWHERE_IN_GROUP = ("MAIL", "RCPT", "RSET")

End = Literal["close", "reset", "farewell"]


@dataclass(frozen=True)
class Stored:
    """A mail that was taken, and how it came."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    is_binary: bool
    verb: str


class BdatServer:
    """Listen on a loopback port.

    Attributes:
        address: Where.
        commands: Every line that was executed as a command.
        violations: What a client has done wrong; leaving the block fails if there is
            something.
        stored: The mails that were taken.

    Args:
        extensions: What EHLO announces.
        swallows: Whether the octets of a refused BDAT are read and dropped.
        refused: The mailboxes that MAIL and RCPT are refused for.
        refused_chunks: Which BDATs are refused, from 0 on, over all connections.
        end: What happens to the connection instead of a certain reply.
        end_at: The reply, from 0 (the greeting) on; None for never.
    """

    def __init__(
        self,
        *,
        extensions: tuple[str, ...] = EXTENSIONS,
        swallows: bool = True,
        refused: Collection[str] = (),
        refused_chunks: Collection[int] = (),
        end: End = "close",
        end_at: int | None = None,
    ) -> None:
        self.extensions = extensions
        self.swallows = swallows
        self.refused = refused
        self.refused_chunks = refused_chunks
        self.end = end
        self.end_at = end_at
        self.address: tuple[str, int]
        self.commands: list[str] = []
        self.violations: list[str] = []
        self.stored: list[Stored] = []
        self.chunks = 0
        self.replies = 0
        self._sessions: list[Session] = []

    def open_session(self) -> Session:
        """Serve one more client."""
        self._sessions.append(Session(self))
        return self._sessions[-1]

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self.open_session, "127.0.0.1", 0)
        self.address = self._listener.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        for session in self._sessions:
            async with asyncio.timeout(5):
                await session.is_gone.wait()
        if self.violations:
            raise AssertionError(self.violations) from exc


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: BdatServer) -> None:
        self.server = server
        self.is_gone = asyncio.Event()
        self.transport: asyncio.Transport
        self._received = bytearray()
        self._is_over = False
        self._dues: list[tuple[str, Callable[[], object] | None]] = []
        self._blocker: str | None = None
        self._is_grouping = False
        self._reads: Callable[[], bool] = self._read_command
        self._forget()

    def _forget(self) -> None:
        self._sender: str | None = None
        self._is_binary = False
        self._size: int | None = None
        self._recipients: list[str] = []
        self._content = b""
        self._has_chunks = self._has_failed = False

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._blocker = "the connection"
        self._reply("220 mx.example")

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._received += data
        while self._received and not self._is_over:
            if self._blocker is not None:
                self._note(f"before the reply to {self._blocker}", self._received)
                self._blocker = None
            if not self._reads():
                return

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self.is_gone.set()

    def _note(self, what: str, octets: bytes | str) -> None:
        self.server.violations.append(f"{what}: {octets[:60]!r}")

    # Replies

    def _reply(self, text: str, commit: Callable[[], object] | None = None) -> None:
        self._dues.append((text, commit))
        if len(self._dues) == 1:
            self._wait(PATIENCE)

    def _wait(self, turns: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._wait, turns - 1) if turns else self._flush()

    def _flush(self) -> None:
        self._blocker = None
        dues, self._dues = self._dues, []
        for text, commit in dues:
            if self._is_over:
                return
            is_end = self.server.replies == self.server.end_at
            self.server.replies += 1
            if commit is not None and not (is_end and self.server.end == "farewell"):
                commit()
            if is_end:
                self._end()
                return
            self.transport.write(f"{text}\r\n".encode())
            if text.startswith("221"):
                self._is_over = True
                self.transport.close()

    def _end(self) -> None:
        self.server.end_at = None
        self._is_over = True
        if self.server.end == "reset":
            reset(self.transport)
            return
        if self.server.end == "farewell":
            self.transport.write(b"421 going down\r\n")
        self.transport.close()

    # Commands

    def _read_command(self) -> bool:
        end = self._received.find(b"\n")
        if end < 0:
            return False
        line = bytes(self._received[: end + 1])
        del self._received[: end + 1]
        text = line.rstrip(b"\r\n").decode("utf-8", "backslashreplace")
        self.server.commands.append(text)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self._note("a bare CR or LF", line)
        if MARK in text:
            self._note("content as a command", line)
        verb, _, argument = text.partition(" ")
        # What blocks behind a BDAT does so when its octets are there.
        if verb != "BDAT" and not (self._is_grouping and verb in _ANYWHERE_IN_GROUP):
            self._blocker = text
        handler = getattr(self, f"_{verb.lower()}", None) if verb.isupper() else None
        if handler is None:
            self._note("no command", line)
            self._reply("500 what?")
        else:
            handler(argument)
        return True

    def _out_of_place(self, command: str) -> None:
        self._note("out of place", command)
        self._reply("503 out of place")

    def _ehlo(self, name: str) -> None:
        self._forget()
        self._is_grouping = "PIPELINING" in self.server.extensions
        *others, last = (name, *self.server.extensions)
        lines = [*(f"250-{line}" for line in others), f"250 {last}"]
        self._reply("\r\n".join(lines))

    def _mail(self, argument: str) -> None:
        match = re.fullmatch(r"FROM:<([^>]*)>((?: \S+)*)", argument)
        if match is None or self._sender is not None:
            self._out_of_place(f"MAIL {argument}")
            return
        mailbox, parameters = match.groups()
        if mailbox in self.server.refused:
            self._reply("550 not you")
            return
        self._sender = mailbox
        self._is_binary = " BODY=BINARYMIME" in parameters
        if size := re.search(r" SIZE=(\d+)", parameters):
            self._size = int(size[1])
        self._reply("250 sender")

    def _rcpt(self, argument: str) -> None:
        match = re.fullmatch(r"TO:<([^>]*)>", argument)
        if match is None:
            self._out_of_place(f"RCPT {argument}")
        elif self._sender is None or self._has_chunks:
            self._reply("503 not now")
        elif match[1] in self.server.refused:
            self._reply("550 no such user")
        else:
            self._recipients.append(match[1])
            self._reply("250 recipient")

    def _rset(self, argument: str) -> None:
        self._forget()
        self._reply("250 reset")

    def _noop(self, argument: str) -> None:
        self._reply("250 ok")

    def _quit(self, argument: str) -> None:
        self._reply("221 bye")

    # Content

    def _data(self, argument: str) -> None:
        if self._has_chunks or self._is_binary:
            self._out_of_place("DATA")
        elif not self._recipients:
            self._reply("554 no recipients")
        else:
            self._reads = self._read_data
            self._reply("354 go ahead")

    def _read_data(self) -> bool:
        end = (b"\r\n" + self._received).find(b"\r\n.\r\n")
        if end < 0:
            return False
        content = re.sub(rb"(?m)^\.", b"", bytes(self._received[:end]))
        del self._received[: end + 3]
        self._reads = self._read_command
        if not self._is_grouping:
            self._blocker = "the final dot"
        self._store(content, "DATA")
        return True

    def _bdat(self, argument: str) -> None:
        match = re.fullmatch(r"(\d+)( LAST)?", argument)
        number, self.server.chunks = self.server.chunks, self.server.chunks + 1
        if match is None or "CHUNKING" not in self.server.extensions:
            self._out_of_place(f"BDAT {argument}")
            return
        if not self._recipients:
            self._note("no recipient for", f"BDAT {argument}")
        refusal = "503 failed" if self._has_failed or not self._recipients else None
        if number in self.server.refused_chunks:
            refusal = "552 no room"
        self._has_chunks = True
        self._has_failed = refusal is not None
        size, is_last = int(match[1]), match[2] is not None
        if refusal is not None and not self.server.swallows:
            self._reply(refusal)
        else:
            self._reads = lambda: self._read_chunk(size, refusal, is_last=is_last)
            self._reads()  # which may be of no octets

    def _read_chunk(self, size: int, refusal: str | None, *, is_last: bool) -> bool:
        if len(self._received) < size:
            return False
        octets = bytes(self._received[:size])
        del self._received[:size]
        self._reads = self._read_command
        self._content += octets
        if is_last or not self._is_grouping:
            self._blocker = "BDAT LAST" if is_last else "BDAT"
        if refusal is not None:
            self._reply(refusal)
        elif is_last:
            self._store(self._content, "BDAT")
        else:
            self._reply("250 chunk")
        return True

    def _store(self, content: bytes, verb: str) -> None:
        if not self._is_binary and re.search(rb"\r(?!\n)|(?<!\r)\n", content):
            self._note("a bare CR or LF in", content)
        if self._size is not None and self._size != len(content):
            self._note(f"not the {self._size} octets of SIZE", content)
        assert self._sender is not None
        mail = Stored(
            self._sender, tuple(self._recipients), content, self._is_binary, verb
        )
        self._reply("250 taken", lambda: self.server.stored.append(mail))
        self._forget()

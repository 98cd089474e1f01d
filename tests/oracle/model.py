"""The model server: it may refuse, hang up, keep transactions; it does not lie.

It keeps the truth: a mail is stored in the step before its final reply is said, and
what it refuses is not stored. A reply of 250 that comes before the end of the content
(`early`) is true only of a content that ends: the mail is stored then.

Every reply names what it answers: the command's line, or the mail of a content.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from .letters import numbers_in
from .plan import Fault, Profile, Step

__all__ = ["Model", "Stored"]

_DUE = Fault()
_NUMBERED = re.compile(rb"\.m(\d+)@")
_LONGEST = 2000


@dataclass(frozen=True)
class Stored:
    """A mail that the server has taken.

    Attributes:
        sender: The path of MAIL.
        recipients: The paths of RCPT.
        content: The content, without stuffed dots.
    """

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass
class Transaction:
    """What MAIL and RCPT have come to."""

    sender: str
    recipients: list[str] = field(default_factory=list)
    chunks: bytearray = field(default_factory=bytearray)
    is_broken: bool = (
        False  # a chunk was refused: no other is taken before MAIL or RSET
    )


class Model:
    """Hold the truth of a world, over all connections.

    Args:
        profile: The habits.
        faults: What goes wrong once, by step.
        told: Called with each step before its reply is said.
        pace: What each second of the plan takes.
        is_lmtp: Whether there is a final reply for each recipient (RFC 2033 4.2).

    Attributes:
        stored: The mails.
        decided: The refusals of a mail that was decided by them, where all of that was
            said before the server hung up with FIN, by number.
        transcripts: What was said on each connection, in lines.
    """

    def __init__(
        self,
        profile: Profile,
        faults: dict[Step, Fault],
        told: Callable[[Step], None],
        pace: float = 1.0,
        *,
        is_lmtp: bool = False,
    ) -> None:
        self.profile = profile
        self.faults = dict(faults)
        self.told = told
        self.pace = pace
        self.is_lmtp = is_lmtp
        self._tasks: set[asyncio.Task[Any]] = set()
        self.stored: list[Stored] = []
        self.decided: dict[int, list[int]] = {}
        self.transcripts: list[list[str]] = []

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one connection until it ends."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.transcripts.append([])
        session = _Session(self, reader, writer, self.transcripts[-1])
        # Streams complain of a server's task that was cancelled, and uvloop of a
        # transport that is closed.
        with suppress(_Over, OSError, RuntimeError, asyncio.CancelledError):
            await session.play()
        writer.transport.abort()

    def store(self, mail: Stored) -> None:
        """Take the responsibility for a mail."""
        self.stored.append(mail)

    async def close(self) -> None:
        """End what connections there are."""
        loop = asyncio.get_running_loop()
        tasks = [task for task in self._tasks if task.get_loop() is loop]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Over(Exception):
    """The connection has ended."""


class _Session:
    def __init__(
        self,
        model: Model,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        transcript: list[str],
    ) -> None:
        self.model = model
        self.profile = model.profile
        self.reader = reader
        self.writer = writer
        self.transcript = transcript
        self.received = bytearray()
        self.held = bytearray()  # replies that leave together
        self.is_mute = False
        self.is_dropping = False
        self.transaction: Transaction | None = None
        self.latest = 0  # the number of the mail that MAIL or RCPT named last
        self.rcpts = 0
        self.refused: list[int] = []  # the refusals of the latest mail
        self.is_decided = False  # whether MAIL, DATA or content was refused
        self.is_reset = True  # whether no RSET was refused since the last MAIL

    # Octets

    async def more(self) -> None:
        """Read more; what was held leaves before."""
        self.flush()
        octets = await self.reader.read(1 << 20)
        if not octets:
            self.transcript.append("C: <end>")
            raise _Over
        if not self.is_dropping:
            self.received += octets

    async def line(self) -> bytes:
        while (at := self.received.find(b"\n")) < 0:
            await self.more()
        line = bytes(self.received[: at + 1])
        del self.received[: at + 1]
        self.transcript.append(f"C: {line[:70].decode(errors='replace').rstrip()}")
        return line.rstrip(b"\r\n")

    def flush(self) -> None:
        octets, self.held = bytes(self.held), bytearray()
        if octets and not self.is_mute:
            with suppress(OSError):
                self.writer.write(octets)

    def is_all_answered(self) -> bool:
        """Whether nothing stands in a buffer that the client has said already."""
        sock: socket.socket | None = self.writer.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return False
        waiting = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0" * 4)
        buffered = self.reader._buffer
        return not (struct.unpack("i", waiting)[0] or self.received or buffered)

    async def say(self, code: int, text: str, fault: Fault = _DUE) -> None:
        """Say a reply, with what the fault makes of it."""
        for _ in range(self.profile.turns):
            await asyncio.sleep(0)
        if fault.delay:
            self.flush()
            await asyncio.sleep(fault.delay * self.model.pace)
        if fault.mute:
            self.flush()
            self.note("<mute>")
            self.is_mute = True
        if not fault.instead:
            await self.write(code, text, fault.extra)
        # 421 is a farewell: who says it has not looked at what stands behind it.
        is_over = code == 421 and fault.then in ("", "deaf")
        await self.end("fin" if is_over else fault.then)

    async def write(self, code: int, text: str, extra: bytes) -> None:
        octets = f"{code} {text}\r\n".encode()
        if self.profile.cut == "line":
            octets = f"{code}-more\r\n".encode() + octets
        if extra and self.is_all_answered():
            octets += extra
        if not self.is_mute:
            self.note(octets.decode())
        if self.profile.cut == "octet" and not extra:
            self.flush()
            for at in range(len(octets)):
                self.held += octets[at : at + 1]
                self.flush()
                await asyncio.sleep(0)
            return
        # Octets that nobody asked for come in the write of the reply before them.
        # Behind it they might be taken for the reply to what the client says next, and
        # no client could know better.
        self.held += octets
        if not self.profile.batches or extra:
            self.flush()

    def note(self, octets: str) -> None:
        self.transcript.extend(f"    S: {line}" for line in octets.splitlines())

    async def end(self, then: str) -> None:
        """Hang up as the fault says."""
        if not then:
            return
        if then == "421":
            await self.write(421, "closing", b"")
        self.flush()
        self.note(f"<{then}>")
        if then in ("421", "fin", "deaf"):
            if not self.is_mute and then != "deaf" and self.is_decided:
                self.model.decided.setdefault(self.latest, self.refused)
            if self.writer.can_write_eof():
                with suppress(OSError):
                    self.writer.write_eof()
            else:
                self.writer.close()  # over TLS there is nothing else
            self.is_mute = True
            if then == "deaf":
                return
            self.is_dropping = True
            while True:
                await self.more()
        if then == "rst":
            sock: socket.socket = self.writer.get_extra_info("socket")
            linger = struct.pack("ii", 1, 0)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        self.writer.close()
        raise _Over

    # Commands

    async def play(self) -> None:
        await self.say(220, "model.example ESMTP")
        while True:
            line = await self.line()
            verb = line[:4].upper().rstrip()
            answer = _ANSWERS.get(verb, _Session.unknown)
            await answer(self, line)

    def fault(self, verb: str) -> Fault:
        step = (self.latest, verb)
        self.model.told(step)
        return self.model.faults.pop(step, _DUE)

    async def unknown(self, line: bytes) -> None:
        await self.say(500, f"unknown: {_text(line)}")

    async def noop(self, line: bytes) -> None:
        await self.say(250, f"ok: {_text(line)}")

    async def quit(self, line: bytes) -> None:
        await self.say(221, "bye")
        await self.end("fin")

    async def ehlo(self, line: bytes) -> None:
        self.transaction = None
        lines = ["model.example", *self.profile.extensions]
        for name in lines[:-1]:
            self.held += f"250-{name}\r\n".encode()
        await self.say(250, lines[-1])

    async def rset(self, line: bytes) -> None:
        fault = self.fault("RSET")
        code = fault.code or 250
        self.is_reset = code < 300
        if self.is_reset:
            self.transaction = None
        await self.say(code, "RSET", fault)

    async def mail(self, line: bytes) -> None:
        self.latest, self.rcpts = _number(line), 0
        self.refused, self.is_decided = [], False
        if self.transaction is not None:
            self.transaction.is_broken = False
        fault = self.fault("MAIL")
        code = fault.code or 250
        if self.transaction is not None and not fault.code:
            code = 503 if self.profile.nested == "refuse" else 250
        if code < 300:
            kept = self.transaction if self.profile.nested == "merge" else None
            recipients = kept.recipients if kept is not None else []
            self.transaction = Transaction(_path(line), recipients)
        # Behind a RSET that was refused nobody has judged a mail.
        self.count(code, decides=self.is_reset)
        self.is_reset = True
        await self.say(code, _text(line), fault)

    async def rcpt(self, line: bytes) -> None:
        fault = self.fault(f"RCPT{self.rcpts}")
        self.rcpts += 1
        code = fault.code or (250 if self.transaction is not None else 503)
        if code < 300 and self.transaction is not None:
            self.transaction.recipients.append(_path(line))
        self.count(code, decides=False)
        await self.say(code, _text(line), fault)

    async def data(self, line: bytes) -> None:
        fault = self.fault("DATA")
        is_ready = self.transaction is not None and bool(self.transaction.recipients)
        code = fault.code or (354 if is_ready or self.profile.always_354 else 503)
        self.count(code)
        if code != 354 and not self.profile.keeps:
            self.transaction = None
        await self.say(code, f"DATA of m{self.latest}", fault)
        if code == 354:
            await self.content()

    async def content(self) -> None:
        """Read to the dot, or answer before it."""
        fault = self.fault("CONTENT")
        content = bytearray()
        is_answered = False
        while True:
            while (at := self.received.find(b"\n")) < 0:
                if 0 <= fault.early <= len(content) and not is_answered:
                    is_answered = True
                    await self.verdict(bytes(content), fault, is_whole=False)
                await self.more()
            line = bytes(self.received[: at + 1])
            del self.received[: at + 1]
            if line == b".\r\n":
                break
            content += line.removeprefix(b".")
        self.transcript.append(f"C: <{len(content)} octets of {_names(content)}> .")
        if self.profile.buffered:
            self.received.clear()
        if not is_answered:
            await self.verdict(bytes(content), fault)
        elif fault.code < 300 and self.transaction is not None:
            self.store(self.transaction, bytes(content))

    async def bdat(self, line: bytes) -> None:
        words = line.split()
        size, is_last = int(words[1]), words[-1].upper() == b"LAST"
        fault = self.fault("CONTENT" if is_last else "CHUNK")
        transaction = self.transaction
        is_ready = (
            transaction is not None
            and bool(transaction.recipients)
            and not transaction.is_broken
        )
        is_refused = bool(fault.code and not 200 <= fault.code < 300) or not is_ready
        # Behind a chunk more may be on its way, which nobody could tell from commands.
        if is_refused and is_last and not self.profile.swallows:
            await self.refuse(fault.code or 503, f"BDAT of m{self.latest}", fault)
            return
        while len(self.received) < size:
            await self.more()
        chunk = bytes(self.received[:size])
        del self.received[:size]
        self.transcript.append(f"C: <{len(chunk)} octets of {_names(chunk)}>")
        if is_refused or transaction is None:
            await self.refuse(fault.code or 503, f"BDAT of m{self.latest}", fault)
        elif is_last:
            await self.verdict(bytes(transaction.chunks) + chunk, fault)
        else:
            transaction.chunks += chunk
            await self.say(fault.code or 250, f"BDAT of m{self.latest}", fault)

    async def verdict(
        self, content: bytes, fault: Fault, *, is_whole: bool = True
    ) -> None:
        """Store a mail, or do not, and say so."""
        if self.model.is_lmtp and self.transaction is not None:
            await self.verdicts(content, fault, self.transaction)
            return
        text = f"content of {_names(content)}"
        transaction = self.transaction
        is_ready = transaction is not None and bool(transaction.recipients)
        code = fault.code or (250 if is_ready else 554)
        if code >= 400 or transaction is None or not is_ready:
            await self.refuse(max(code, 400), text, fault)
            return
        if is_whole:
            self.store(transaction, content)
        await self.say(code, text, fault)

    def store(self, transaction: Transaction, content: bytes) -> None:
        self.transaction = None
        recipients = tuple(transaction.recipients)
        self.model.store(Stored(transaction.sender, recipients, content))
        self.transcript.append(f"    <stored for {', '.join(recipients)}>")

    async def verdicts(
        self, content: bytes, fault: Fault, transaction: Transaction
    ) -> None:
        """Store a mail for one recipient after the other, and say so for each."""
        self.transaction = None
        for n, recipient in enumerate(transaction.recipients):
            one = self.fault(f"FINAL{n}")
            code = one.code or fault.code or 250
            if code < 400:
                self.model.store(Stored(transaction.sender, (recipient,), content))
                self.transcript.append(f"    <stored for {recipient}>")
            if n + 1 < len(transaction.recipients):
                one = replace(one, extra=b"")  # it would be the next reply
            await self.say(code, f"content of {_names(content)} for {recipient}", one)
        await self.end(fault.then)

    def count(self, code: int, *, decides: bool = True) -> None:
        """Note a refusal of the latest mail."""
        if code >= 400:
            self.refused.append(code)
            self.is_decided = self.is_decided or decides

    async def refuse(self, code: int, text: str, fault: Fault) -> None:
        # What comes together with 354 may be a reply that nobody asked for.
        self.count(code, decides=fault.early != 0)
        if not self.profile.keeps:
            self.transaction = None
        elif self.transaction is not None:
            self.transaction.chunks.clear()
            self.transaction.is_broken = True
        await self.say(code, text, fault)


_ANSWERS = {
    b"EHLO": _Session.ehlo,
    b"HELO": _Session.ehlo,
    b"LHLO": _Session.ehlo,
    b"MAIL": _Session.mail,
    b"RCPT": _Session.rcpt,
    b"DATA": _Session.data,
    b"BDAT": _Session.bdat,
    b"RSET": _Session.rset,
    b"NOOP": _Session.noop,
    b"QUIT": _Session.quit,
}


def _text(line: bytes) -> str:
    return line[:200].decode("ascii", "replace").partition(" SIZE=")[0]


def _number(line: bytes) -> int:
    found = _NUMBERED.search(line)
    return int(found[1]) if found else 0


def _path(line: bytes) -> str:
    return line.partition(b"<")[2].partition(b">")[0].decode()


def _names(content: bytes | bytearray) -> str:
    numbers = numbers_in(bytes(content[:_LONGEST]))
    return ", ".join(f"m{number}" for number in sorted(numbers)) or "nothing"

"""A strict SMTP server (RFC 5321, 2920, 3030, 4954) that notes a client's mistakes.

Rules:

1. Every reply names its serial number and the command that it answers, so that one
   that is paired with another command is seen at once: ``250 3 RCPT <b@y.example>``.
2. What may not come before a reply is waited for: the server lets some turns of the
   loop pass before it answers, and notes what comes meanwhile.
3. A message is stored as its final reply is due; a server that dies then has stored it.
4. The server misbehaves once, when it is told to (`strike`), and never by itself.
5. BDAT takes as many octets as it says, also where it is refused; what is behind them
   is the next command, whatever it looks like.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Self, cast

from conversation import reset

#: close: FIN; drop: FIN of the server's half, and what comes is still taken and stored;
#: reset: RST; mute: half a reply, then none, but what comes is taken and stored;
#: stall: nothing is read any more; farewell: 421 and FIN; refuse: where content is on
#: its way, its final reply comes at once, and is 552; the rest is read for nothing.
Event = Literal["close", "drop", "reset", "mute", "stall", "farewell", "refuse"]

#: Turns of the loop between a command and its reply.
PATIENCE = 10

#: Lines that look like a command; no test sends such content or such credentials.
_COMMAND = re.compile(
    rb"(?:EHLO|LHLO|HELO|DATA|BDAT|RSET|NOOP|VRFY|EXPN|HELP|QUIT|AUTH)\b"
    rb"|MAIL FROM:|RCPT TO:"
)
_ANYWHERE_IN_GROUP = frozenset({"MAIL", "RCPT", "RSET"})
_VERDICTS = frozenset({"MAIL", "RCPT"})
_MAX_LINES = {"AUTH": 12288, "MAIL": 1184, "RCPT": 1042}


@dataclass(frozen=True)
class Stored:
    """A message that the server has taken the responsibility for."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


class StrictServer:
    """Listen on a loopback port while its block runs.

    Attributes:
        violations: What clients did that they may not, in words.
        stored: The messages that were accepted.
        begun: The senders whose DATA has got its 354, or whose BDAT has come.
        answered: The senders whose content was accepted, and who can read that.
        struck_at: What was due as the event struck, such as "CONTENT".
        struck_sender: Whose content was about to be accepted then.

    Args:
        chunking: Whether to announce CHUNKING.
        binarymime: Whether to announce BINARYMIME.
        windows: Whether BDAT may come before the verdicts that it depends on, and the
            next mail before the reply to BDAT LAST.
    """

    def __init__(
        self,
        *,
        pipelining: bool = True,
        mechanisms: Iterable[str] = ("CRAM-MD5", "PLAIN", "LOGIN"),
        refused: Iterable[str] = ("nobody@y.example",),
        refused_mechanisms: Iterable[str] = (),
        refused_contents: Iterable[str] = (),
        always_354: bool = False,
        chunking: bool = False,
        binarymime: bool = False,
        windows: bool = False,
        credentials: tuple[str, str] = ("user", "secret"),
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.pipelining = pipelining
        self.mechanisms = tuple(mechanisms)
        self.refused = frozenset(refused)
        self.refused_mechanisms = frozenset(refused_mechanisms)
        self.refused_contents = frozenset(refused_contents)
        self.always_354 = always_354
        self.chunking = chunking
        self.binarymime = binarymime
        self.windows = windows
        self.credentials = credentials
        self.violations: list[str] = []
        self.stored: list[Stored] = []
        self.begun: list[str] = []
        self.answered: list[str] = []
        self.sessions: list[Session] = []
        self.struck_at: str | None = None
        self.struck_sender: str | None = None
        self._tls = tls
        self._receive_buffer = receive_buffer
        self._replies = 0
        self._strike_at: tuple[int, Callable[[], object]] | None = None
        self._strike_next: Event | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: Session(self), "127.0.0.1", 0, ssl=self._tls
        )
        listening = self._listener.sockets[0]
        if self._receive_buffer is not None:
            so_rcvbuf = (socket.SOL_SOCKET, socket.SO_RCVBUF)
            listening.setsockopt(*so_rcvbuf, self._receive_buffer)
        self.host, self.port = listening.getsockname()[:2]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._listener.close()
        for session in self.sessions:
            session.transport.abort()
        await self.all_gone()

    async def all_gone(self) -> None:
        """Wait until every client has left, and what it left was read."""
        for session in self.sessions:
            async with asyncio.timeout(5):
                await session.is_gone.wait()

    # The trigger

    def strike(self, event: Event) -> None:
        """Let it happen now, to every open session, or to the next that opens."""
        is_open = [session for session in self.sessions if not session.is_over]
        for session in is_open:
            session.strike(event)
        if not is_open:
            self._strike_next = event

    def strike_at_reply(self, number: int, strike: Callable[[], object]) -> None:
        """Strike when so many more replies were sent, before the next."""
        self._strike_at = (self._replies + number, strike)

    def recover(self) -> None:
        """Strike no more; who was silent says now what was due."""
        self._strike_at = self._strike_next = None
        for session in self.sessions:
            session.recover()

    # What sessions tell

    def opened(self, session: Session) -> None:
        """Take a session in."""
        self.sessions.append(session)
        event, self._strike_next = self._strike_next, None
        if event is not None:
            session.strike(event)

    def reply_is_due(self, due: Due) -> None:
        """Count the replies, and strike before the one that was chosen."""
        number = self._replies
        self._replies += 1
        if self._strike_at is not None and self._strike_at[0] == number:
            self.struck_at, self.struck_sender = due.command, due.accepts
            _, strike = self._strike_at
            self._strike_at = None
            strike()


@dataclass
class Due:
    """A reply that will be sent, and what it commits the server to."""

    command: str
    octets: bytes
    commit: Callable[[], None] | None
    accepts: str | None = None  # the sender whose content it accepts


class Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: StrictServer) -> None:
        self.server = server
        self.is_gone = asyncio.Event()
        self.is_over = False  # nothing that comes counts any more
        self.transport: asyncio.Transport
        self._event: Event | None = None
        self._received = bytearray()
        self._searched = 0
        self._state = "command"
        self._serial = 0
        self._dues: list[Due] = []
        self._withheld = b""
        self._is_flushing = False
        self._blocker: str | None = None  # whose reply the client has to wait for
        self._is_esmtp: bool | None = None
        self._is_lmtp = False
        self._is_authenticated = False
        self._sender: str | None = None
        self._size: int | None = None
        self._recipients: list[str] = []
        self._exchange: Exchange | None = None
        self._is_binary = False
        self._chunk = 0  # octets of the BDAT that are still to come
        self._is_last = False
        self._content: bytearray | None = None  # what BDAT has brought
        self._is_early = False  # the content has had its final reply
        self._resets = 0  # and what calls for one
        self._must_reset = False

    # The transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._blocker = "the connection"
        self._reply("GREETING", 220, "mx.example")
        self.server.opened(self)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"\x16\x03"):
            # A client whose greeting did not come asks whether this is a TLS port.
            self.is_over = True
            self.transport.abort()
        if not self.is_over:
            self._received += data
            if self._event != "stall":
                self._read()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self.is_gone.set()

    def _violation(self, what: str, octets: bytes) -> None:
        shown = bytes(octets[:60])
        self.server.violations.append(f"{what}: {shown!r} after reply {self._serial}")

    # Input

    def _read(self) -> None:
        while self._received and not self.is_over:
            if self._blocker is not None:
                self._violation(f"before the reply to {self._blocker}", self._received)
                self._blocker = None
            if self._state == "content":
                if not self._read_content():
                    return
            elif self._state == "chunk":
                if not self._read_chunk():
                    return
            elif (line := self._line()) is not None:
                self._serial += 1
                self._take(line)
            else:
                return

    def _line(self) -> bytes | None:
        end = self._received.find(b"\n")
        if end < 0:
            return None
        line = bytes(self._received[: end + 1])
        del self._received[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            self._violation("a bare CR or LF", line)
        return line.rstrip(b"\r\n")

    def _take(self, line: bytes) -> None:
        verb = line.partition(b" ")[0].decode("latin-1").upper()
        if self._state == "auth":
            if _COMMAND.match(line):
                self._violation("a command within AUTH", line)
            verb = "AUTH"
        if len(line) + 2 > _MAX_LINES.get(verb, 512):
            self._violation("a line too long", line)
        # BDAT blocks, if it does, once its octets are there.
        if not (self._is_grouping and verb in _ANYWHERE_IN_GROUP) and verb != "BDAT":
            self._blocker = verb
        if self._state == "auth":
            assert self._exchange is not None
            self._exchange_goes_on(self._exchange, line)
            return
        handler = getattr(self, f"_{verb.lower()}", None)
        if handler is None or not _COMMAND.match(line):
            self._violation("no command", line)
            self._reply(verb, 500)
        else:
            handler(line.decode("utf-8", "surrogateescape").partition(" ")[2])

    @property
    def _is_grouping(self) -> bool:
        return self.server.pipelining and self._is_esmtp is True

    # Output

    def _reply(
        self,
        command: str,
        code: int,
        *lines: str,
        commit: Callable[[], None] | None = None,
        accepts: str | None = None,
    ) -> None:
        first, *others = lines or ("",)
        texts = [f"{self._serial} {command} {first}".rstrip(), *others]
        self._say(command, code, texts, commit, accepts)

    def _say(
        self,
        command: str,
        code: int,
        texts: list[str],
        commit: Callable[[], None] | None = None,
        accepts: str | None = None,
    ) -> None:
        separators = ["-"] * (len(texts) - 1) + [" "]
        octets = "".join(
            f"{code}{separator}{text}\r\n"
            for separator, text in zip(separators, texts, strict=True)
        )
        self._dues.append(Due(command, octets.encode(), commit, accepts))
        if not self._is_flushing:
            self._is_flushing = True
            after(PATIENCE, self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        self._blocker = None
        while self._dues and self._event not in ("stall", "farewell"):
            if self._event is None:
                self.server.reply_is_due(self._dues[0])
            if not self._dues or self._event in ("stall", "farewell"):
                return
            due = self._dues.pop(0)
            if due.commit is not None:
                due.commit()
            if self._event is None:
                self.transport.write(due.octets)
                if due.accepts is not None:
                    self.server.answered.append(due.accepts)
                if due.command == "QUIT":
                    self.is_over = True
                    self.transport.close()
            elif self._event == "mute":
                half = 0 if self._withheld else len(due.octets) // 2
                self.transport.write(due.octets[:half])
                self._withheld += due.octets[half:]

    # The trigger

    def strike(self, event: Event) -> None:
        """Let it happen to this session."""
        if event == "refuse":
            self._refuse_early()
            return
        self._event = event
        if event in ("close", "drop", "reset", "mute"):
            self._flush()  # nobody hears the replies, but what they say holds
        match event:
            case "close":
                self.is_over = True
                self.transport.close()
            case "drop" if self.transport.can_write_eof():
                self.transport.write_eof()
            case "reset" | "drop":  # TLS has no half-closed connections
                self.is_over = True
                reset(self.transport)
            case "farewell":
                self.is_over = True
                self._dues.clear()
                self.transport.write(b"421 4.3.2 going down\r\n")
                self.transport.close()
            case "stall":
                self.transport.pause_reading()

    def _refuse_early(self) -> None:
        is_begun = self._state == "chunk" or (
            self._state == "content" and bool(self._received)
        )
        if is_begun and not self._dues and not self._is_early:
            self._is_early = True
            self._serial += 1
            self._refuse_content(552, "too much")
            self._flush()

    def recover(self) -> None:
        """Say now what was due."""
        if self.is_over or self._event not in ("mute", "stall"):
            return
        was, self._event = self._event, None
        self.transport.write(self._withheld)
        self._withheld = b""
        if was == "stall":
            self.transport.resume_reading()
            self._read()
        self._flush()

    # Commands

    def _ehlo(self, name: str) -> None:
        self._reset()
        self._is_esmtp = True
        keywords = [
            "SIZE 1000000",
            "8BITMIME",
            f"AUTH {' '.join(self.server.mechanisms)}",
        ]
        if self.server.pipelining:
            keywords.append("PIPELINING")
        if self.server.chunking:
            keywords.append("CHUNKING")
        if self.server.binarymime:
            keywords.append("BINARYMIME")
        self._reply("EHLO", 250, name, *keywords)

    def _lhlo(self, name: str) -> None:
        """Speak LMTP from now on (RFC 2033)."""
        self._is_lmtp = True
        self._ehlo(name)

    def _helo(self, name: str) -> None:
        self._reset()
        self._is_esmtp = False
        self._reply("HELO", 250, name)

    def _reset(self) -> None:
        self._forget()
        self._resets += 1
        self._must_reset = False

    def _forget(self) -> None:
        self._sender = self._size = self._content = None
        self._recipients = []
        self._is_binary = False

    def _mail(self, argument: str) -> None:
        match = re.fullmatch(r"FROM:<([^>]*)>((?: \S+)*)", argument)
        if self._must_reset:
            self._violation("no RSET after a refused BDAT", argument.encode())
        if match is None or self._is_esmtp is None or self._sender is not None:
            why = "a nested MAIL" if self._sender is not None else "a wrong MAIL"
            self._violation(why, argument.encode())
            self._reply("MAIL", 503, argument)
            return
        sender, parameters = match.groups()
        if parameters and not self._is_esmtp:
            self._violation("a parameter without EHLO", argument.encode())
        self._is_binary = " BODY=BINARYMIME" in parameters
        if self._is_binary and not self.server.binarymime:
            self._violation("BINARYMIME is not offered", argument.encode())
        size = re.search(r" SIZE=(\d+)", parameters)
        self._size = int(size[1]) if size else None
        self._sender = sender
        self._reply("MAIL", 250, f"<{sender}>")

    def _rcpt(self, argument: str) -> None:
        match = re.fullmatch(r"TO:<([^>]*)>", argument)
        if match is None or self._sender is None:
            self._reply("RCPT", 503, argument)
        elif match[1] in self.server.refused:
            self._reply("RCPT", 550, f"<{match[1]}>")
        else:
            self._recipients.append(match[1])
            self._reply("RCPT", 250, f"<{match[1]}>")

    def _data(self, argument: str) -> None:
        if self._is_binary or self._content is not None:
            self._violation("DATA where only BDAT may be", argument.encode())
        if self._sender is None:
            self._reply("DATA", 503)
        elif not self._recipients and not self.server.always_354:
            self._reply("DATA", 554, "no valid recipients")
        else:
            self._state = "content"
            sender = self._sender
            self._reply("DATA", 354, commit=lambda: self.server.begun.append(sender))

    def _read_content(self) -> bool:
        """Take the content if all of it is there."""
        octets = self._received
        if octets.startswith(b".\r\n"):
            end = 0
        elif (dot := octets.find(b"\r\n.\r\n", self._searched)) >= 0:
            end = dot + 2
        else:
            self._searched = max(0, len(octets) - 4)
            return False
        content = bytes(octets[:end])
        del octets[: end + 3]
        self._searched = 0
        self._serial += 1
        self._state = "command"
        self._check_content(content)
        content = re.sub(rb"(?m)^\.", b"", content)
        if not self._is_grouping:
            self._blocker = "CONTENT"
        self._content_complete(content)
        return True

    def _content_complete(self, content: bytes) -> None:
        """Judge a message, and forget its transaction."""
        sender, is_early = self._sender, self._is_early
        if self._size is not None and content and len(content) != self._size:
            self._violation(f"not the {self._size} octets of SIZE", content)
        if is_early:
            self._blocker = None  # its reply is long since there
        elif sender is None or not self._recipients:
            self._refuse_content(554, "no valid recipients")
        elif sender in self.server.refused_contents:
            self._refuse_content(554, f"<{sender}>")
        elif self._is_lmtp:  # a reply for each accepted recipient (RFC 2033 4.2)
            for recipient in self._recipients:
                self._accept(Stored(sender, (recipient,), content))
        else:
            self._accept(Stored(sender, tuple(self._recipients), content))
        self._is_early = False
        self._forget()

    def _accept(self, mail: Stored) -> None:
        self._reply(
            "CONTENT",
            250,
            f"<{mail.sender}>",
            commit=lambda: self.server.stored.append(mail),
            accepts=mail.sender,
        )

    # BDAT

    def _bdat(self, argument: str) -> None:
        match = re.fullmatch(r"(\d+)( LAST)?", argument)
        if match is None or not self.server.chunking:
            self._violation("a wrong BDAT", argument.encode())
            self._reply("BDAT", 501, argument)
            return
        if self._must_reset:
            self._violation("a BDAT behind a refused one", argument.encode())
        is_early = any(due.command in _VERDICTS for due in self._dues)
        if is_early and not self.server.windows:
            self._violation("BDAT before the verdicts", argument.encode())
        if self._sender is not None and self._recipients and self._content is None:
            self.server.begun.append(self._sender)
        self._content = bytearray() if self._content is None else self._content
        self._chunk, self._is_last = int(match[1]), match[2] is not None
        self._state = "chunk"
        if not self._chunk:
            self._read_chunk()

    def _read_chunk(self) -> bool:
        """Take octets of a BDAT; tell whether all of them are there."""
        assert self._content is not None
        octets = self._received[: self._chunk]
        del self._received[: self._chunk]
        self._content += octets
        self._chunk -= len(octets)
        if self._chunk:
            return False
        self._state = "command"
        if not (self._is_grouping and (self.server.windows or not self._is_last)):
            self._blocker = "BDAT"
        if self._is_last:
            content = bytes(self._content)
            self._check_content(content)
            self._content_complete(content)
        elif self._is_early:
            self._forget()
            self._is_early, self._blocker = False, None
        elif self._sender is None or not self._recipients:
            self._refuse_content(503, "no valid recipients", command="BDAT")
        else:
            self._reply("BDAT", 250, f"<{self._sender}>")
        return True

    def _refuse_content(self, code: int, text: str, command: str = "CONTENT") -> None:
        """Say no, and want RSET for a refused BDAT, when the client knows of it.

        RFC 3030 2: "A RSET command MUST be issued to clear the transaction".
        """
        if self._content is None:
            self._reply(command, code, text)
            return
        self._resets += 1
        number = self._resets

        def demand() -> None:
            self._must_reset = self._resets == number

        # What was on its way already is no fault.
        patience = PATIENCE if self._is_grouping else 0
        self._reply(command, code, text, commit=lambda: after(patience, demand))

    def _check_content(self, content: bytes) -> None:
        if not self._is_binary and content and not content.endswith(b"\r\n"):
            self._violation("no end of the last line in the content", content[-60:])
        for line in content.split(b"\r\n"):
            if _COMMAND.match(line):
                self._violation("a command in the content", line)
            if self._is_binary:
                continue
            if b"\r" in line or b"\n" in line:
                self._violation("a bare CR or LF in the content", line)
            if len(line) > 998 + line.startswith(b"."):
                self._violation("a line too long in the content", line)

    def _rset(self, argument: str) -> None:
        self._reset()
        self._reply("RSET", 250)

    def _noop(self, argument: str) -> None:
        self._reply("NOOP", 250, argument)

    def _vrfy(self, argument: str) -> None:
        self._reply("VRFY", 250, f"<{argument}>")

    def _expn(self, argument: str) -> None:
        self._reply("EXPN", 250, argument, "<b@y.example>", "<c@y.example>")

    def _help(self, argument: str) -> None:
        self._reply("HELP", 214, argument)

    def _quit(self, argument: str) -> None:
        self._reply("QUIT", 221)

    # AUTH

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if self._sender is not None or self._is_authenticated:
            self._violation("AUTH out of place", argument.encode())
            self._reply("AUTH", 503)
        elif mechanism not in self.server.mechanisms or not self._is_esmtp:
            self._reply("AUTH", 504, mechanism)
        else:
            self._state = "auth"
            self._exchange = Exchange(mechanism, self.server.credentials)
            if initial:
                self._exchange_goes_on(self._exchange, initial.encode())
            else:
                self._challenge(self._exchange.challenge(self._serial))

    def _challenge(self, challenge: bytes) -> None:
        self._say("AUTH", 334, [b64encode(challenge).decode()])

    def _exchange_goes_on(self, exchange: Exchange, line: bytes) -> None:
        if line == b"*":
            self._state = "command"
            self._reply("AUTH", 501, "cancelled")
            return
        try:
            exchange.responses.append(
                b"" if line == b"=" else b64decode(line, validate=True)
            )
        except ValueError:
            self._violation("no base64 within AUTH", line)
            exchange.responses.append(b"")
        if not exchange.is_complete:
            self._challenge(exchange.challenge(self._serial))
            return
        self._state = "command"
        name = exchange.mechanism
        if exchange.is_right and name not in self.server.refused_mechanisms:
            self._is_authenticated = True
            self._reply("AUTH", 235, name)
        else:
            self._reply("AUTH", 535, name)


def after(turns: int, call: Callable[[], None]) -> None:
    """Call it when so many turns of the loop have passed."""
    loop = asyncio.get_running_loop()
    loop.call_soon(after, turns - 1, call) if turns else call()


class Exchange:
    """The server's side of one AUTH."""

    def __init__(self, mechanism: str, credentials: tuple[str, str]) -> None:
        self.mechanism = mechanism
        self.responses: list[bytes] = []
        self._user, self._password = (text.encode() for text in credentials)
        self._challenge = b""

    @property
    def is_complete(self) -> bool:
        """Tell whether everything was said."""
        return len(self.responses) == (2 if self.mechanism == "LOGIN" else 1)

    def challenge(self, serial: int) -> bytes:
        """Give the next challenge."""
        if self.mechanism == "CRAM-MD5":
            self._challenge = b"<%d@mx.example>" % serial
        elif self.mechanism == "LOGIN":
            self._challenge = (b"Username:", b"Password:")[len(self.responses)]
        return self._challenge

    @property
    def is_right(self) -> bool:
        """Tell whether the client knows the password."""
        if self.mechanism == "CRAM-MD5":
            digest = hmac.new(self._password, self._challenge, "md5").hexdigest()
            return self.responses == [b"%b %b" % (self._user, digest.encode())]
        if self.mechanism == "LOGIN":
            return self.responses == [self._user, self._password]
        return self.responses == [b"\0%b\0%b" % (self._user, self._password)]

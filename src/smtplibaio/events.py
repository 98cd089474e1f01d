"""What happens in a session, in a form that may be shown to anyone.

Credentials are masked by position, for the AUTH dialogue knows where they are; content
is told of as a number of octets; control characters are escaped. `str(event)` is what a
transcript shows, one line per line, its direction marked.

Each event carries `connection_id`, the number of its connection, for one listener may
hear many connections at a time (those of a pool). It is unique within the process and
takes no part in comparisons.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from .exceptions import SMTPException, printable
from .grammar.replies import Reply

__all__ = [
    "Closed",
    "CommandSent",
    "Connected",
    "ContentSent",
    "Event",
    "Listener",
    "MailEnded",
    "MailStarted",
    "Narrator",
    "ReplyReceived",
    "TLSStarted",
    "listener_of",
]

#: What stands where a secret stood.
MASK = "***"

_logger = logging.getLogger("smtplibaio")
_connection_ids = count(1)
_mail_ids = count(1)


@dataclass(frozen=True, slots=True)
class _OfConnection:
    connection_id: int = field(default=0, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class Connected(_OfConnection):
    """The connection was opened.

    Attributes:
        peer: The other end of the connection, as text.
        peer_address: Its IP address, or the path of a Unix socket.
        peer_port: Its port; None for a Unix socket.
        hostname: The server's name or address, as the client was given it; the peer's
            address where it was given a connected socket.
        port: The server's port; None for a Unix socket.
    """

    peer: str
    peer_address: str = ""
    peer_port: int | None = None
    hostname: str = ""
    port: int | None = None

    @classmethod
    def to(
        cls, peername: object, server: tuple[str, int | None] | None = None
    ) -> Connected:
        """Tell of a connection to what a socket calls its peer.

        Args:
            peername: An address as the `socket` module has it.
            server: The host and port that the client was given; None where they are
                the peer's.
        """
        if isinstance(peername, tuple):
            peer, (address, port) = f"{peername[0]} port {peername[1]}", peername[:2]
        else:
            peer, address, port = str(peername), str(peername), None
        return cls(peer, address, port, *(server or (address, port)))

    def __str__(self) -> str:
        return f"-- connected to {self.peer}"


@dataclass(frozen=True, slots=True)
class TLSStarted(_OfConnection):
    """From here on the connection is encrypted."""

    version: str
    cipher: str

    def __str__(self) -> str:
        return f"-- {self.version}, {self.cipher}"


@dataclass(frozen=True, slots=True)
class CommandSent(_OfConnection):
    """A command line was written, or a response within AUTH."""

    line: str

    def __str__(self) -> str:
        return f"C: {printable(self.line)}"


@dataclass(frozen=True, slots=True)
class ContentSent(_OfConnection):
    """The content was written, and the final dot; the size is the canonical one."""

    octets: int

    def __str__(self) -> str:
        return f"C: ({self.octets} octets of content)"


@dataclass(frozen=True, slots=True)
class ReplyReceived(_OfConnection):
    """A reply was read."""

    reply: Reply

    def __str__(self) -> str:
        code, lines = self.reply.code, [printable(line) for line in self.reply.lines]
        shown = [f"S: {code}-{line}" for line in lines[:-1]]
        return "\n".join([*shown, f"S: {code} {lines[-1]}".rstrip()])


@dataclass(frozen=True, slots=True)
class Closed(_OfConnection):
    """The connection has ended; `cause` is why, or None where the client closed it."""

    cause: SMTPException | None

    def __str__(self) -> str:
        return f"-- closed: {self.cause}" if self.cause else "-- closed"


@dataclass(frozen=True, slots=True)
class MailStarted(_OfConnection):
    """A mail is about to be sent: none of its commands has been written yet.

    Exactly one `MailEnded` with the same `mail_id` follows, whatever happens to the
    mail, its connection or its caller. The mails of a window start before the mails
    in front of them have ended. The event comes in the context of the task that sends,
    so that `contextvars` tell which request a mail belongs to.

    Attributes:
        mail_id: A number that is unique within the process.
        sender: The reverse-path; empty for the null reverse-path.
        recipients: The forward-paths, in the order of their RCPT commands.
    """

    mail_id: int
    sender: str
    recipients: tuple[str, ...]

    @classmethod
    def of(cls, sender: str, recipients: Iterable[str]) -> MailStarted:
        """Tell of a mail that has no number yet."""
        return cls(next(_mail_ids), sender, tuple(recipients))

    def __str__(self) -> str:
        to, others = ", ".join(self.recipients[:1]), len(self.recipients) - 1
        more = f" and {others} more" if others > 0 else ""
        text = f"mail {self.mail_id} from <{self.sender}> to <{to}>{more}"
        return f"-- {printable(text)}"


@dataclass(frozen=True, slots=True)
class MailEnded(_OfConnection):
    """What became of a mail is certain, or it is certain that nobody will ever know.

    It follows the last reply of the mail, the loss of the connection, or the
    cancellation of the caller, and it is told before the caller gets the result or the
    exception. A mail that is sent again (by a pool, or by the library where a server
    refused what was sent behind a dot) starts and ends once for each attempt.

    Attributes:
        mail_id: The number from `MailStarted`.
        status: "accepted", "partial", "refused", "unknown" or "not sent", with the
            meaning that they have in `Outcome`.
        seconds: The time since `MailStarted`.
        reply: The reply to the content; None where there was none.
        error: The exception that the caller gets; None where the caller gets a result.
    """

    mail_id: int
    status: str
    seconds: float
    reply: Reply | None = None
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"-- mail {self.mail_id}: {self.status}, {self.seconds:.3f} s"


Event = (
    Connected
    | TLSStarted
    | CommandSent
    | ContentSent
    | ReplyReceived
    | Closed
    | MailStarted
    | MailEnded
)

Listener = Callable[[Event], object]


def listener_of(on_event: Listener | None) -> Listener | None:
    """Give whom to tell: the caller's listener, the log if it is at DEBUG, or both.

    None where nobody listens, so that a session without listeners pays nothing. It is
    asked as a connection is opened.
    """
    if not _logger.isEnabledFor(logging.DEBUG):
        return on_event
    if on_event is None:
        return _log

    def both(event: Event) -> None:
        _log(event)
        on_event(event)

    return both


class Narrator:
    """Tell a listener what happens in one session, without its secrets.

    Attributes:
        is_heard: Whether there is a listener; without one an event need not be made.
        connection_id: The number that its events carry.

    Args:
        listener: Whom to tell, if anybody.
        complain: What to call with a context (as `loop.call_exception_handler`) where
            the listener raises: that is its own affair, and not the session's.
    """

    def __init__(
        self, listener: Listener | None, complain: Callable[[dict[str, Any]], object]
    ) -> None:
        self.is_heard = listener is not None
        self.connection_id = next(_connection_ids)
        self._listener = listener
        self._complain = complain
        self._redact: Callable[[str], str] | None = None

    def tell(self, event: Event) -> None:
        """Tell the listener, if there is one."""
        if self._listener is None:
            return
        try:
            self._listener(replace(event, connection_id=self.connection_id))
        except Exception as exc:
            self._complain({"message": "on_event has raised", "exception": exc})

    @contextmanager
    def redacting(self, redact: Callable[[str], str]) -> Iterator[None]:
        """Show no reply but through a function that cuts the secrets out."""
        self._redact = redact
        try:
            yield
        finally:
            self._redact = None

    @property
    def is_redacting(self) -> bool:
        """Tell whether the server may be repeating secrets now."""
        return self._redact is not None

    def shown(self, reply: Reply) -> Reply:
        """Give a reply as it may be shown: a challenge within AUTH not at all."""
        if self._redact is None:
            return reply
        is_challenge = reply.code == 334
        return Reply(reply.code, MASK if is_challenge else self._redact(reply.message))


def _log(event: Event) -> None:
    for line in str(event).split("\n"):
        _logger.debug("%s", line)

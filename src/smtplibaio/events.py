"""What happens in a session, as objects that have no secrets.

`on_event=` of a client or a pool calls a function with each of them. Credentials are
masked, content is only counted, control characters are escaped. `str(event)` is the
text for a transcript: a line for each line that was sent or received, with its
direction in front.

Each event has a `connection_id`, the number of its connection, because one listener may
get the events of many connections (those of a pool). The number is unique within the
process, and is not compared by `==`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from .exceptions import SMTPException, printable
from .grammar.replies import Reply

if TYPE_CHECKING:
    from .pool.statistics import PoolStatistics

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
    "PoolChanged",
    "ReplyReceived",
    "TLSStarted",
    "listener_of",
]

#: The text that takes the place of a secret.
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
        hostname: The host name or address that the client was given; the address of
            the peer if the client was given a connected socket.
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
        """Make the event from the address that a socket has for its peer.

        Args:
            peername: An address as the `socket` module has it.
            server: The host and port that the client was given; None for those of the
                peer.
        """
        if isinstance(peername, tuple):
            peer, (address, port) = f"{peername[0]} port {peername[1]}", peername[:2]
        else:
            # A Unix socket may have no name, and one that is not connected has no peer.
            peer, address, port = str(peername or ""), str(peername or ""), None
        return cls(peer, address, port, *(server or (address, port)))

    def __str__(self) -> str:
        return f"-- connected to {self.peer}"


@dataclass(frozen=True, slots=True)
class TLSStarted(_OfConnection):
    """The TLS handshake is done: the connection is encrypted from here on."""

    version: str
    cipher: str

    def __str__(self) -> str:
        return f"-- {self.version}, {self.cipher}"


@dataclass(frozen=True, slots=True)
class CommandSent(_OfConnection):
    """A command line was written, or a response of the AUTH dialogue."""

    line: str

    def __str__(self) -> str:
        return f"C: {printable(self.line)}"


@dataclass(frozen=True, slots=True)
class ContentSent(_OfConnection):
    """The content was written whole; `octets` is the size of its canonical form."""

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
    """The connection has ended; `cause` is why, or None if the client closed it."""

    cause: SMTPException | None

    def __str__(self) -> str:
        return f"-- closed: {self.cause}" if self.cause else "-- closed"


@dataclass(frozen=True, slots=True)
class MailStarted(_OfConnection):
    """A mail will be sent next: none of its commands has been written yet.

    Exactly one `MailEnded` with the same `mail_id` follows, whatever happens to the
    mail, its connection or its caller. In a window, a mail starts before the mails in
    front of it have ended. The listener is called in the context of the task that sends
    the mail, so that `contextvars` can say which request the mail belongs to.

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
        """Make the event, with a new number."""
        return cls(next(_mail_ids), sender, tuple(recipients))

    def __str__(self) -> str:
        to, others = ", ".join(self.recipients[:1]), len(self.recipients) - 1
        more = f" and {others} more" if others > 0 else ""
        text = f"mail {self.mail_id} from <{self.sender}> to <{to}>{more}"
        return f"-- {printable(text)}"


@dataclass(frozen=True, slots=True)
class MailEnded(_OfConnection):
    """It is certain what became of a mail, or that nobody will ever know.

    The event follows the last reply of the mail, the loss of the connection, or the
    cancellation of the caller. It comes before the caller gets the result or the
    exception. A mail that is sent again (by a pool, or by the library because a server
    refused commands that followed a dot) starts and ends once for each attempt.

    Attributes:
        mail_id: The number from `MailStarted`.
        status: "accepted", "partial", "refused", "unknown" or "not sent", with the
            meaning that they have in `Outcome`.
        seconds: The time since `MailStarted`.
        reply: The reply to the content; None if there was none.
        error: The exception that the caller gets; None if the caller gets a result.
    """

    mail_id: int
    status: str
    seconds: float
    reply: Reply | None = None
    error: BaseException | None = None

    def __str__(self) -> str:
        return f"-- mail {self.mail_id}: {self.status}, {self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class PoolChanged(_OfConnection):
    """The sessions of a pool, or the callers that wait for one, have changed.

    Attributes:
        statistics: The figures of the moment.
        pool_id: The number of the pool, unique within the process; it takes no part in
            comparisons. `connection_id` means nothing here.
    """

    statistics: PoolStatistics
    pool_id: int = field(default=0, compare=False, kw_only=True)

    def __str__(self) -> str:
        now = self.statistics
        return (
            f"-- pool: {now.busy} busy, {now.idle} idle, {now.waiting} waiting, "
            f"limit {now.limit}"
        )


Event = (
    Connected
    | TLSStarted
    | CommandSent
    | ContentSent
    | ReplyReceived
    | Closed
    | MailStarted
    | MailEnded
    | PoolChanged
)

Listener = Callable[[Event], object]


def listener_of(on_event: Listener | None) -> Listener | None:
    """Combine the caller's listener with the log, if the log is at DEBUG.

    Returns:
        None if there is neither, so that a session without listeners costs nothing.
        The answer is for one connection: the level of the log is read once.
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
    """The way of events to the listener, with secrets removed.

    Attributes:
        is_heard: Whether there is a listener; without one no event has to be made.
        connection_id: The number that its events carry.

    Args:
        listener: The function to call with each event, or None.
        complain: The function to call if the listener raises, with a context as for
            `loop.call_exception_handler`. The session goes on.
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
        """Call the listener, if there is one."""
        if self._listener is None:
            return
        try:
            self._listener(replace(event, connection_id=self.connection_id))
        except Exception as exc:
            self._complain({"message": "on_event has raised", "exception": exc})

    @contextmanager
    def redacting(self, redact: Callable[[str], str]) -> Iterator[None]:
        """Pass every reply through a function that removes secrets."""
        self._redact = redact
        try:
            yield
        finally:
            self._redact = None

    @property
    def is_redacting(self) -> bool:
        """Whether replies may have secrets in them now."""
        return self._redact is not None

    def shown(self, reply: Reply) -> Reply:
        """Return a reply without its secrets; a challenge of AUTH is masked whole."""
        if self._redact is None:
            return reply
        is_challenge = reply.code == 334
        return Reply(reply.code, MASK if is_challenge else self._redact(reply.message))


def _log(event: Event) -> None:
    for line in str(event).split("\n"):
        _logger.debug("%s", line)

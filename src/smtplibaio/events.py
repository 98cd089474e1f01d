"""What happens in a session, in a form that may be shown to anyone.

Credentials are masked by position, for the AUTH dialogue knows where they are; content
is told of as a number of octets; control characters are escaped. `str(event)` is what a
transcript shows, one line per line, its direction marked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    "Narrator",
    "ReplyReceived",
    "TLSStarted",
    "listener_of",
]

#: What stands where a secret stood.
MASK = "***"

_logger = logging.getLogger("smtplibaio")


@dataclass(frozen=True, slots=True)
class Connected:
    """The connection was opened."""

    peer: str

    @classmethod
    def to(cls, peername: object) -> Connected:
        """Tell of a connection to what a socket calls its peer."""
        if isinstance(peername, tuple):
            return cls(f"{peername[0]} port {peername[1]}")
        return cls(str(peername))

    def __str__(self) -> str:
        return f"-- connected to {self.peer}"


@dataclass(frozen=True, slots=True)
class TLSStarted:
    """From here on the connection is encrypted."""

    version: str
    cipher: str

    def __str__(self) -> str:
        return f"-- {self.version}, {self.cipher}"


@dataclass(frozen=True, slots=True)
class CommandSent:
    """A command line was written, or a response within AUTH."""

    line: str

    def __str__(self) -> str:
        return f"C: {printable(self.line)}"


@dataclass(frozen=True, slots=True)
class ContentSent:
    """The content was written, and the final dot; the size is the canonical one."""

    octets: int

    def __str__(self) -> str:
        return f"C: ({self.octets} octets of content)"


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """A reply was read."""

    reply: Reply

    def __str__(self) -> str:
        code, lines = self.reply.code, [printable(line) for line in self.reply.lines]
        shown = [f"S: {code}-{line}" for line in lines[:-1]]
        return "\n".join([*shown, f"S: {code} {lines[-1]}".rstrip()])


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection has ended; `cause` is why, or None where the client closed it."""

    cause: SMTPException | None

    def __str__(self) -> str:
        return f"-- closed: {self.cause}" if self.cause else "-- closed"


Event = Connected | TLSStarted | CommandSent | ContentSent | ReplyReceived | Closed

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

    Args:
        listener: Whom to tell, if anybody.
        complain: What to call with a context (as `loop.call_exception_handler`) where
            the listener raises: that is its own affair, and not the session's.
    """

    def __init__(
        self, listener: Listener | None, complain: Callable[[dict[str, Any]], object]
    ) -> None:
        self.is_heard = listener is not None
        self._listener = listener
        self._complain = complain
        self._redact: Callable[[str], str] | None = None

    def tell(self, event: Event) -> None:
        """Tell the listener, if there is one."""
        if self._listener is None:
            return
        try:
            self._listener(event)
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

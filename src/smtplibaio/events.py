"""What happens in a session, in a form that may be shown to anyone.

Credentials are masked by position, for the AUTH dialogue knows where they are; content
is told of as a number of octets; control characters are escaped. `str(event)` is what a
transcript shows, one line per line, its direction marked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from .exceptions import SMTPException, printable
from .replies import Reply

__all__ = [
    "Closed",
    "CommandSent",
    "Connected",
    "ContentSent",
    "Event",
    "Listener",
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


def _log(event: Event) -> None:
    for line in str(event).split("\n"):
        _logger.debug("%s", line)

"""The time limits of a session (RFC 5321 4.5.3.2)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

from .exceptions import SMTPArgumentError

__all__ = ["Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The time limits of a session, in seconds; None means no limit.

    Each limit is for a whole reply: octets that arrive slowly do not extend it.

    Attributes:
        connect: Limit for finding the address, connecting and the TLS handshake
            together; the greeting then has the same limit once more.
        reply: Limit for the reply to a command.
        content: Limit for the transport to take one block of content.
        final: Limit for the reply to the final dot. RFC 5321 4.5.3.2.6 asks for ten
            minutes, because the server may deliver the mail before it replies: a client
            that gives up early and sends the mail again doubles it.
        quit: Limit for the reply to QUIT, and for making a session usable again after
            an error.

    Raises:
        SMTPArgumentError: A limit is not a positive, finite number.
    """

    connect: float | None = 60.0
    reply: float | None = 60.0
    content: float | None = 180.0
    final: float | None = 600.0
    quit: float | None = 5.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            _check(getattr(self, limit.name), limit.name)

    @classmethod
    def of(cls, timeout: Timeouts | float | None) -> Timeouts:
        """Make `Timeouts` of one limit for everything; return `Timeouts` unchanged."""
        if isinstance(timeout, Timeouts):
            return timeout
        return cls(timeout, timeout, timeout, timeout, timeout)


def _check(seconds: float | None, name: str) -> None:
    if seconds is None:
        return
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= sys.float_info.max:
        raise SMTPArgumentError(
            f"the timeout {name!r} must be a positive number of seconds, or None for "
            f"no limit, not {seconds!r}"
        )

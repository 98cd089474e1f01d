"""How long to wait for what (RFC 5321 4.5.3.2)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

from .exceptions import SMTPArgumentError

__all__ = ["Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Hold the limits of a session, in seconds; None for no limit.

    Each reply has a deadline of its own, however slowly its octets come.

    Attributes:
        connect: To resolve the name, connect and, with TLS, shake hands; and then
            again for the greeting.
        reply: For the reply to a command.
        content: For the transport to take one block of content.
        final: For the reply to the final dot. RFC 5321 4.5.3.2.6 asks for ten minutes,
            since the server delivers meanwhile: who gives up early and sends the mail
            again doubles it.
        quit: For the reply to QUIT, and for putting a session in order after an error.

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
        """Take one number (or None) for all of the limits, or the limits themselves."""
        if isinstance(timeout, Timeouts):
            return timeout
        return cls(timeout, timeout, timeout, timeout, timeout)


def _check(seconds: float | None, name: str) -> None:
    if seconds is None:
        return
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= sys.float_info.max:
        raise SMTPArgumentError(
            f"the timeout {name!r} is a positive number of seconds, or None for no "
            f"limit, not {seconds!r}"
        )

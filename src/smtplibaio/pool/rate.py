"""A token bucket that holds one token: so many messages a second, and no burst.

Rules:

1. Two messages are never closer together than the interval, whatever happened before.
2. A token that was taken for nothing is given back.
"""

from __future__ import annotations

from ..exceptions import SMTPArgumentError

__all__ = ["Rate"]


class Rate:
    """The moments at which messages may leave.

    Attributes:
        ready_at: The time from which on the next message may leave.

    Args:
        per_second: Messages a second; None for no limit.

    Raises:
        SMTPArgumentError: `per_second` is not a positive number.
    """

    def __init__(self, per_second: float | None) -> None:
        is_number = isinstance(per_second, (int, float)) and per_second > 0
        if per_second is not None and not is_number:
            raise SMTPArgumentError(
                "rate must be a number of messages per second above 0, or None for no "
                f"limit, not {per_second!a}"
            )
        self._interval = 0.0 if per_second is None else 1.0 / per_second
        self.ready_at = float("-inf")
        self._before = self.ready_at

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        if now < self.ready_at:
            return False
        if self._interval:
            self._before, self.ready_at = self.ready_at, now + self._interval
        return True

    def give_back(self) -> None:
        """Undo the last `take`: no message has left."""
        self.ready_at = self._before

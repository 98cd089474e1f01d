"""How many mails a server accepts in one session, if it does not announce the number.

Providers end a session after 5, 50 or 5,000 mails, with a 421 or without a reply. The
pool learns the number from the first session that ends so, and closes later sessions
before they reach it.

Rules:

1. The number may be wrong, because a server that restarts looks the same. So one
   session in `FIRST_TRIAL` (10) tries to send more mails. If it ends at the number as
   well, the next trial comes after twice as many sessions; if it does not, the number
   is forgotten.
2. If a session ends earlier, the pool learns the smaller number.
"""

from __future__ import annotations

__all__ = ["FIRST_TRIAL", "SessionLength"]

#: Sessions that are closed in time before one session tries to go on.
FIRST_TRIAL = 10

#: The most sessions between two trials.
_LAST_TRIAL = 640


class SessionLength:
    """The number of mails that a session can have, as far as it is known.

    Attributes:
        limit: The number; None as long as no session ended early.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self._sessions = 0
        self._trial_after = FIRST_TRIAL

    def is_trial(self) -> bool:
        """Count a new session; return whether it tries to send more than the number."""
        if self.limit is None:
            return False
        self._sessions += 1
        if self._sessions <= self._trial_after:
            return False
        self._sessions = 0
        return True

    def ended_after(self, mails: int) -> None:
        """Take note that the server ended a session after this number of mails."""
        if mails == self.limit:
            self._trial_after = min(2 * self._trial_after, _LAST_TRIAL)
        elif self.limit is None or mails < self.limit:
            self.limit = mails
            self._sessions = 0
            self._trial_after = FIRST_TRIAL

    def took(self, mails: int) -> None:
        """Take note that the server has judged this number of mails in a session."""
        if self.limit is not None and mails > self.limit:
            self.limit = None

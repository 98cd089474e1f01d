"""The two events of one mail for a listener: `MailStarted`, then `MailEnded`.

Rules:

1. `MailStarted` comes before the first command of the mail is said, and `MailEnded`
   follows exactly once, however the mail ends.
2. Only a whole mail has a story: commands that a caller gives by hand, or puts into a
   pipeline, have none.
3. If there is no listener, there is no story, and it costs nothing.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress

from ..events import MailEnded, MailStarted, Narrator
from ..exceptions import SMTPException
from ..mail.terms import Plan
from ..mail.transaction import Transaction

__all__ = ["Story"]

# The path in MAIL and RCPT; a quoted local part may have a ">" in it.
_PATH = re.compile(rb'<((?:"(?:\\.|[^"\\])*"|[^">])*)>')


class Story:
    """The events of one mail; the constructor sends `MailStarted`.

    Args:
        narrator: The way to the listener.
        plan: What will be said.
    """

    __slots__ = ("_began", "_mail_id", "_narrator")

    def __init__(self, narrator: Narrator, plan: Plan) -> None:
        started = MailStarted.of(_path(plan.mail), map(_path, plan.rcpts))
        self._narrator = narrator
        self._mail_id = started.mail_id
        self._began = time.monotonic()
        narrator.tell(started)

    def end(self, transaction: Transaction, error: BaseException | None = None) -> None:
        """Send `MailEnded`, with `transaction.status`.

        Args:
            transaction: The transaction of the mail.
            error: The exception that the caller gets instead of a result.
        """
        seconds = time.monotonic() - self._began
        reply = transaction.replies[-1] if transaction.has_content_reply else None
        ended = MailEnded(self._mail_id, transaction.status, seconds, reply, error)
        self._narrator.tell(ended)

    def break_off(
        self, transaction: Transaction, error: BaseException | None = None
    ) -> None:
        """Send `MailEnded` for a mail that nobody waits for any more.

        Args:
            transaction: The transaction of the mail.
            error: The exception that has ended the wait.
        """
        if transaction.is_all_sent:
            transaction.status = "unknown"
            if transaction.owed == 0:
                with suppress(SMTPException):
                    transaction.result()  # its status is what counts here
        self.end(transaction, error)


def _path(line: bytes) -> str:
    match = _PATH.search(line)
    return match[1].decode() if match else ""

"""One mail of a pool: what is left to send, what became of it, and is it tried again?

Rules:

1. A mail is tried again only if it was certainly not accepted (`safe_to_retry`) and may
   succeed later (`is_transient`). A mail that may have been accepted is never tried
   again.
2. If some recipients are accepted, the refused ones are in the result, and are not
   tried again, whatever the reply.
3. Recipients that are too many for one transaction go into the next one, unless the
   mail has `all_or_nothing`. There is one result; its `.reply` is that of the last
   transaction that was accepted.
4. Recipients that were accepted in an earlier transaction are never tried again. If a
   later transaction fails, and not by a refusal, `.result` of the error has them.
5. If a session fails before MAIL, this costs no attempt, once for each attempt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ..exceptions import (
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
    without_frames,
)
from ..grammar.extensions import Limits
from ..grammar.replies import Reply
from ..mail.mail import Mail
from ..mail.result import SendResult, Status
from .repeatable import Repeatable
from .splitting import domain_of, is_one_too_many, next_recipients

__all__ = ["Delivery"]

_REPEATABLE = Repeatable(b"")  # as all octets are
_REFUSALS = (SMTPCommandFailedError, SMTPNoRecipientError, SMTPRecipientRefusedError)


class Delivery:
    """One mail on its way.

    Attributes:
        mail: The mail, as the caller gave it.
        is_over: Whether nothing more is to be done.
        tries: The attempts that have failed, since the last transaction that succeeded.
        error: Why it failed, if it is over.
        failure: Why the last attempt failed, if another one follows.
        result: The replies for the recipients; None if no transaction was accepted.

    Args:
        mail: The mail.
        attempts: The most attempts.
    """

    __slots__ = (
        "_attempts",
        "_content",
        "_frozen",
        "_left",
        "_now",
        "_was_replaced",
        "error",
        "failure",
        "is_over",
        "mail",
        "result",
        "tries",
    )

    def __init__(self, mail: Mail, attempts: int) -> None:
        self.mail = mail
        self.is_over = False
        self.tries = 0
        self.error: Exception | None = None
        self.failure: Exception | None = None
        self.result: SendResult | None = None
        self._attempts = attempts
        self._frozen = mail
        self._left: dict[str, str] | None = None  # None until they are needed
        self._now: Sequence[str] = ()  # the recipients of the current transaction
        self._was_replaced = False
        self._content = _REPEATABLE
        message = mail.message
        if not isinstance(message, bytes):
            self._content = Repeatable(message)
            message = self._content.message
        if message is not mail.message or _can_be_read_once(mail):
            self._frozen = _frozen(mail, message)

    # What is sent

    def domains(self) -> frozenset[str]:
        """Return the domains of the recipients that are left."""
        return frozenset(map(domain_of, self._recipients().values()))

    def _recipients(self) -> dict[str, str]:
        if self._left is None:
            try:
                envelope = self._frozen.envelope()
            except SMTPArgumentError:
                return {}  # the client will raise it, with a better text
            self._left = dict(envelope.recipients)
            if self._frozen.sender is None:
                # A mail with `recipients` must have a `sender`, too.
                self._frozen = replace(self._frozen, sender=envelope.sender)
        return self._left

    def part(self, limits: Limits, used: set[str]) -> Mail | None:
        """Return the mail for one transaction, and note the domains of its recipients.

        Args:
            limits: The limits of the session.
            used: The domains to which the session has sent.

        Returns:
            The mail, with these recipients; None if the session can take none of them.
        """
        is_limited = limits.rcptmax is not None or limits.rcptdomainmax is not None
        if self._left is None and not is_limited:
            return self._frozen
        may_split = self._content.can_be_read_twice() and not self.mail.all_or_nothing
        if self._left is None and not may_split:
            return self._frozen
        left = self._recipients()
        if not left:
            return self._frozen
        self._now = next_recipients(left, limits, used) if may_split else [*left]
        if not self._now:
            return None
        used.update(domain_of(left[name]) for name in self._now)
        orcpt = self._frozen.orcpt
        if orcpt is not None:
            orcpt = {name: orcpt[name] for name in self._now if name in orcpt}
        return replace(self._frozen, recipients=self._now, orcpt=orcpt)

    # What became of it

    def accepted(self, result: SendResult) -> None:
        """Take note that the server accepted a transaction."""
        if self._left is None and not result:  # the only one, and for every recipient
            self.result, self.is_over, self.failure = result, True, None
            return
        self.tries = 0
        self._was_replaced = False
        self.failure = None
        too_many = [name for name, reply in result.items() if is_one_too_many(reply)]
        if self.result is None:
            self.result = result
        else:
            self.result = SendResult(self.result.replies | result.replies, result.reply)
        is_all = (self._left is None and not too_many) or self.mail.all_or_nothing
        if is_all or not self._content.rewind():
            self.is_over = True
            return
        left = self._recipients()
        for name in result.replies:
            if name not in too_many:
                del left[name]
        self.is_over = not left

    def failed(self, error: Exception, *, is_session_at_fault: bool = False) -> None:
        """Take note that a transaction failed, or that there was no session for it.

        Args:
            error: Why.
            is_session_at_fault: Whether the session failed before MAIL. This costs no
                attempt, if it is the first time since the last attempt.
        """
        if (
            isinstance(error, SMTPException)
            and error.safe_to_retry
            and error.is_transient
        ):
            if (
                is_session_at_fault
                and not self._was_replaced
                and self._content.rewind()
            ):
                self._was_replaced = True
                self.failure = None
                return
            self._was_replaced = False
            self.tries += 1
            if self.tries < self._attempts and self._content.rewind():
                self.failure = without_frames(error)
                return
        self.end(error)

    @property
    def is_replaced(self) -> bool:
        """Whether the last failure cost no attempt."""
        return self._was_replaced and not self.is_over

    def end(self, error: Exception) -> None:
        """Take note that nothing more is done, because of an error."""
        self.is_over = True
        self.failure = None
        verdicts = {} if self.result is None else self._verdicts_of(error)
        if not verdicts:
            self.error = error
            if isinstance(error, SMTPException) and error.result is not None:
                verdicts = error.result.replies
        if self.result is not None:
            self.result = SendResult(self.result.replies | verdicts, self.result.reply)
            if isinstance(self.error, SMTPException):
                self.error.result = self.result

    def _verdicts_of(self, error: Exception) -> dict[str, Reply]:
        if isinstance(error, SMTPNoRecipientError):
            return error.refused
        if isinstance(error, SMTPCommandFailedError):
            reply = error.reply or Reply(error.code, error.message)
            return dict.fromkeys(self._now, reply)
        return {}

    # What the caller is told

    def settle(self) -> SendResult:
        """Return the result, or raise why there is none."""
        if self.error is not None:
            raise self.error
        return cast(SendResult, self.result)

    @property
    def status(self) -> Status:
        """What became of the mail, as `Outcome` names it."""
        if isinstance(self.error, SMTPDeliveryUnknownError):
            return "unknown"
        if self.result is not None:
            is_whole = self.error is None and not self.result
            return "accepted" if is_whole else "partial"
        if isinstance(self.error, _REFUSALS):
            return "refused"
        is_refused = isinstance(self.error, SMTPException) and (
            self.error.is_content_refused
        )
        return "refused" if is_refused else "not sent"


def _can_be_read_once(mail: Mail) -> bool:
    return hasattr(mail.recipients, "__next__") or (
        mail.has_options
        and (
            hasattr(mail.mail_options, "__next__")
            or hasattr(mail.rcpt_options, "__next__")
            or hasattr(mail.notify, "__next__")
        )
    )


def _frozen(mail: Mail, message: object) -> Mail:
    """Return a copy of a mail whose iterators can be read more than once."""
    once = {
        name: tuple(value)
        for name in ("recipients", "mail_options", "rcpt_options", "notify")
        if hasattr(value := getattr(mail, name), "__next__")
    }
    return replace(mail, message=message, **once)  # type: ignore[arg-type]  # their names

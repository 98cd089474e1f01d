"""Mails of a run, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Literal

from ..content.email import envelope_for
from ..content.forms import Message
from ..content.progress import ProgressCallback
from ..exceptions import (
    SMTPCommandFailedError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
    without_frames,
)
from ..grammar.parameters import Notify, Parameters
from .envelope import Envelope
from .result import SendResult

__all__ = ["Mail", "Outcome", "Status"]

Status = Literal["accepted", "partial", "refused", "unknown", "not sent"]


#: The typed parameters, which a mail has by the same names.
_NAMES = [parameter.name for parameter in fields(Parameters)]
_DEFAULTS = tuple(parameter.default for parameter in fields(Parameters))
_values_of = attrgetter(*_NAMES)


@dataclass(frozen=True, slots=True)
class Mail:
    """Hold one mail for `SMTP.send_many`; see `SMTP.send_message` for what it means."""

    message: Message
    sender: object = None
    recipients: object = None
    mail_options: Iterable[str] | None = ()
    rcpt_options: Iterable[str] | None = ()
    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    notify: Notify | Iterable[Notify] | None = None
    orcpt: Mapping[str, str] | None = None
    require_tls: bool = False
    deliver_by: tuple[int, str] | None = None
    mt_priority: int | None = None
    hold_for: int | None = None
    hold_until: datetime | None = None
    all_or_nothing: bool = False
    add_missing: bool = False
    progress: ProgressCallback | None = None

    def envelope(self) -> Envelope:
        """Give the envelope, from the message where it is not told.

        Raises:
            SMTPArgumentError: It may not go on the wire, or there is none.
        """
        sender, recipients = self.sender, self.recipients
        if sender is None or recipients is None:
            sender, recipients = envelope_for(self.message, sender, recipients)
        return Envelope.of(
            sender,
            recipients,
            self.mail_options or (),
            self.rcpt_options or (),
            self._parameters(),
        )

    def _parameters(self) -> Parameters | None:
        # Most mails have none, and a run has many of them.
        values = _values_of(self)
        if values == _DEFAULTS:
            return None
        return Parameters(**dict(zip(_NAMES, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Tell what became of one mail of `SMTP.send_many`.

    Attributes:
        mail: The mail.
        result: What was accepted, where some of it was.
        error: Why it was not, where it was not.
        status: "accepted" by the server for every recipient; "partial", for some;
            "refused", for none; "unknown", where all of it was sent and no answer came;
            "not sent", where it is certain that the server has not taken it.
    """

    mail: Mail
    result: SendResult | None
    error: SMTPException | None
    status: Status

    @classmethod
    def of_result(cls, mail: Mail, result: SendResult) -> Outcome:
        """Tell of a mail that was accepted, for some of the recipients at least."""
        return cls(mail, result, None, "partial" if result else "accepted")

    @classmethod
    def of_error(
        cls, mail: Mail, error: SMTPException, *, was_answered: bool = False
    ) -> Outcome:
        """Tell of a mail that was not, or may not have been.

        Args:
            mail: The mail.
            error: What its transaction raised.
            was_answered: Whether the error is the answer to all of the content, as a
                421 may be.
        """
        status: Status = "not sent"
        if isinstance(error, SMTPDeliveryUnknownError):
            status = "unknown"
        elif was_answered or isinstance(error, _REFUSALS):
            status = "refused"
        return cls(mail, None, without_frames(error), status)


_REFUSALS = (
    SMTPCommandFailedError,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
)

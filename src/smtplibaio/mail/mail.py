"""One mail: a message with its sender, its recipients and its options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from operator import attrgetter
from typing import Literal

from ..content.email import envelope_for
from ..content.forms import Message
from ..content.progress import ProgressCallback
from ..grammar.addresses import AddressLike
from ..grammar.parameters import Notify, Parameters
from .envelope import Envelope

__all__ = ["Mail"]

#: The names of the typed parameters, which are also fields of `Mail`.
_NAMES = [parameter.name for parameter in fields(Parameters)]
_DEFAULTS = tuple(parameter.default for parameter in fields(Parameters))
_values_of = attrgetter(*_NAMES)


@dataclass(frozen=True, init=False)
class Mail:
    """One mail for `SMTP.send_many`; its fields are the arguments of `send_message`."""

    message: Message
    sender: AddressLike | None = None
    recipients: AddressLike | Iterable[AddressLike] | None = None
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

    def __init__(
        self,
        message: Message,
        sender: AddressLike | None = None,
        recipients: AddressLike | Iterable[AddressLike] | None = None,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
        ret: Literal["FULL", "HDRS"] | None = None,
        envid: str | None = None,
        notify: Notify | Iterable[Notify] | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
        deliver_by: tuple[int, str] | None = None,
        mt_priority: int | None = None,
        hold_for: int | None = None,
        hold_until: datetime | None = None,
        all_or_nothing: bool = False,
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
    ) -> None:
        # A run has many mails, and most of them have no options: those stay in the
        # class, because it costs a call to set a field of a frozen class.
        values = vars(self)
        values["message"] = message
        values["sender"] = sender
        values["recipients"] = recipients
        options = (
            mail_options,
            rcpt_options,
            ret,
            envid,
            notify,
            orcpt,
            require_tls,
            deliver_by,
            mt_priority,
            hold_for,
            hold_until,
            all_or_nothing,
            add_missing,
            progress,
        )
        if options != _NO_OPTIONS:
            values.update(zip(_OPTIONS, options, strict=True))

    @property
    def has_options(self) -> bool:
        """Whether any field but the first three was given a value of its own."""
        return len(vars(self)) > _ALWAYS_SET

    def envelope(self) -> Envelope:
        """Return the envelope; if the sender or recipients are None, read the header.

        Raises:
            SMTPArgumentError: The envelope cannot be sent, or has no recipient.
        """
        sender: object = self.sender
        recipients: object = self.recipients
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
        if not self.has_options:
            return None
        values = _values_of(self)
        if values == _DEFAULTS:
            return None
        return Parameters(**dict(zip(_NAMES, values, strict=True)))


#: How many fields every mail sets: the message, the sender, the recipients.
_ALWAYS_SET = 3

_OPTIONS = [option.name for option in fields(Mail)[_ALWAYS_SET:]]
_NO_OPTIONS = tuple(option.default for option in fields(Mail)[_ALWAYS_SET:])

"""The envelope of a message: who sends it, who gets it, with which parameters.

Rules:

1. Everything that can fail without a server fails here: a text that is not a mailbox,
   a parameter that is misspelt or given twice.
2. A recipient that is given twice gets one RCPT and one verdict.
3. What the caller passed is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..exceptions import SMTPArgumentError
from ..grammar.addresses import address_of, forward_path, reverse_path
from ..grammar.commands import keyword_of, parameters
from ..grammar.parameters import Parameters

__all__ = ["Envelope", "body_of"]


class Envelope(NamedTuple):
    """A checked envelope.

    Attributes:
        sender: The mailbox of the reverse-path, "" for the null one.
        recipients: The mailbox of each recipient, by the text that the caller passed.
        mail_options: ESMTP parameters of MAIL.
        rcpt_options: ESMTP parameters of every RCPT.
        own_options: ESMTP parameters of the RCPT of one recipient, by mailbox.
    """

    sender: str
    recipients: Mapping[str, str]
    mail_options: tuple[str, ...] = ()
    rcpt_options: tuple[str, ...] = ()
    own_options: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    @classmethod
    def of(
        cls,
        sender: object,
        recipients: Any,
        mail_options: Iterable[str] = (),
        rcpt_options: Iterable[str] = (),
        wanted: Parameters | None = None,
    ) -> Envelope:
        """Check what a caller passed, and make an envelope of it.

        Args:
            sender: What `addresses.reverse_path` takes.
            recipients: One recipient or an iterable of them, each what
                `addresses.forward_path` takes.
            mail_options: Raw parameters such as "BODY=8BITMIME".
            rcpt_options: Raw parameters such as "NOTIFY=NEVER".
            wanted: Typed parameters, to be sent besides the raw ones.

        Raises:
            SMTPArgumentError: One of them may not go on the wire, there is no
                recipient, or a parameter is given twice.
        """
        mailbox_of_sender = reverse_path(sender)
        called = _called(recipients)
        if not called:
            raise SMTPArgumentError("there is no recipient: pass at least one mailbox")
        first = {names[0]: mailbox for mailbox, names in called.items()}
        if not (mail_options or rcpt_options or wanted):
            return cls(mailbox_of_sender, first)
        of_mail = parameters(mail_options, "mail_options")
        of_rcpt = parameters(rcpt_options, "rcpt_options")
        own: dict[str, tuple[str, ...]] = {}
        if wanted is not None:
            of_mail += tuple(wanted.of_mail())
            of_rcpt += tuple(wanted.of_rcpt())
            wanted.check_recipients(name for names in called.values() for name in names)
            own = {
                mailbox: tuple(o for name in names for o in wanted.of_one(name))
                for mailbox, names in called.items()
            }
        all_of_rcpt = (of_rcpt + its for its in own.values())
        for options in (of_mail, of_rcpt, *all_of_rcpt):
            _check_distinct(options)
        return cls(mailbox_of_sender, first, of_mail, of_rcpt, own)

    @property
    def is_binary(self) -> bool:
        """Whether the content is BINARYMIME (RFC 3030 3)."""
        return bool(self.mail_options) and body_of(self.mail_options) == "BINARYMIME"


def body_of(options: Iterable[str]) -> str | None:
    """Return what BODY says of the content, in capitals; None where it is not given."""
    for option in options:
        if keyword_of(option) == "BODY":
            return option.partition("=")[2].upper()
    return None


def _check_distinct(options: Iterable[str]) -> None:
    keywords = [keyword_of(option) for option in options]
    for keyword in keywords:
        if keywords.count(keyword) > 1:
            raise SMTPArgumentError(f"the parameter {keyword} is given twice")


def _called(recipients: Any) -> dict[str, list[str]]:
    """Check recipients; return each mailbox with every spelling of it."""
    is_one = type(recipients) is not list and (
        isinstance(recipients, str) or not isinstance(recipients, Iterable)
    )
    called: dict[str, list[str]] = {}
    for recipient in (recipients,) if is_one else recipients:
        mailbox = forward_path(recipient)
        is_text = type(recipient) is str
        name = recipient if is_text else str.__str__(address_of(recipient))
        if mailbox not in called:
            called[mailbox] = [name]
        elif name not in called[mailbox]:
            called[mailbox].append(name)
    return called

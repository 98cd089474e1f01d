"""The envelope of a message: who sends it, who gets it, with which parameters.

Rules:

1. Everything that can fail without a server fails here: a text that is not a mailbox,
   a parameter that is misspelt or given twice.
2. A recipient that is given twice gets one RCPT and one verdict.
3. What the caller passed is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..exceptions import SMTPArgumentError
from ..grammar.addresses import (
    address_of,
    are_mailboxes,
    forward_path,
    reverse_path,
)
from ..grammar.commands import keyword_of, parameters

if TYPE_CHECKING:
    from ..grammar.parameters import Parameters

__all__ = ["Envelope", "body_of"]


class Envelope:
    """A checked envelope.

    Attributes:
        sender: The mailbox of the reverse-path, "" for the null one.
        recipients: The mailbox of each recipient, by the text that the caller passed.
        mail_options: ESMTP parameters of MAIL.
        rcpt_options: ESMTP parameters of every RCPT.
        own_options: ESMTP parameters of the RCPT of one recipient, by mailbox.
    """

    def __init__(
        self,
        sender: str,
        recipients: Mapping[str, str],
        mail_options: tuple[str, ...] = (),
        rcpt_options: tuple[str, ...] = (),
        own_options: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.sender = sender
        self.recipients = recipients
        self.mail_options = mail_options
        self.rcpt_options = rcpt_options
        self.own_options = own_options or {}

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
        if type(recipients) is str:
            first = given = {recipients: forward_path(recipients)}
        elif are_mailboxes(recipients):
            first = given = dict(zip(recipients, recipients, strict=True))
        else:
            named = _named(recipients)
            names = {mailbox: name for name, mailbox in reversed(named)}
            given = dict(named)
            first = {n: mailbox for n, mailbox in named if names[mailbox] == n}
        if not first:
            raise SMTPArgumentError("there is no recipient: pass at least one mailbox")
        if not (mail_options or rcpt_options or wanted):
            return cls(mailbox_of_sender, first, (), (), None)
        of_mail = parameters(mail_options, "mail_options")
        of_rcpt = parameters(rcpt_options, "rcpt_options")
        own: dict[str, tuple[str, ...]] = {}
        if wanted is not None:
            of_mail += tuple(wanted.of_mail())
            of_rcpt += tuple(wanted.of_rcpt())
            wanted.check_recipients(given)
            for name, mailbox in given.items():
                own[mailbox] = own.get(mailbox, ()) + tuple(wanted.of_one(name))
        all_of_rcpt = (of_rcpt + its for its in own.values())
        for options in (of_mail, of_rcpt, *all_of_rcpt):
            _check_distinct(options)
        return cls(mailbox_of_sender, first, of_mail, of_rcpt, own)

    def all_options(self) -> Iterator[tuple[str, ...]]:
        """Return the parameters of MAIL, and those of RCPT."""
        yield self.mail_options
        yield self.rcpt_options
        yield from self.own_options.values()

    def options_of(self, mailbox: str) -> tuple[str, ...]:
        """Return the parameters of the RCPT of a mailbox."""
        return self.rcpt_options + self.own_options.get(mailbox, ())

    @property
    def is_binary(self) -> bool:
        """Whether the content is BINARYMIME (RFC 3030 3)."""
        return bool(self.mail_options) and body_of(self.mail_options) == "BINARYMIME"


def body_of(options: Iterable[str]) -> str | None:
    """Return what BODY says of the content, in capitals; None if it is not given."""
    for option in options:
        if keyword_of(option) == "BODY":
            return option.partition("=")[2].upper()
    return None


def _check_distinct(options: Iterable[str]) -> None:
    keywords = [keyword_of(option) for option in options]
    for keyword in keywords:
        if keywords.count(keyword) > 1:
            raise SMTPArgumentError(f"the parameter {keyword} is given twice")


def _named(recipients: Any) -> list[tuple[str, str]]:
    """Check recipients; return what the caller calls each, and its mailbox."""
    is_one = isinstance(recipients, (str, bytes, bytearray)) or not isinstance(
        recipients, Iterable
    )
    named: list[tuple[str, str]] = []
    for recipient in (recipients,) if is_one else recipients:
        mailbox = forward_path(recipient)
        is_text = type(recipient) is str
        name = recipient if is_text else str.__str__(address_of(recipient))
        named.append((name, mailbox))
    return named if len(named) < 2 else _spelt_once(named)


def _spelt_once(named: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Spell each mailbox as it was spelt first, whatever the case of its domain."""
    # RFC 5321 2.4: "The local-part of a mailbox MUST BE treated as case sensitive."
    # Domains are not.
    spelt: dict[str, str] = {}
    same: list[tuple[str, str]] = []
    for name, mailbox in named:
        key = mailbox
        if not mailbox.islower():
            local, at, domain = mailbox.rpartition("@")
            key = f"{local}@{domain.lower()}" if at else mailbox
        same.append((name, spelt.setdefault(key, mailbox)))
    return same

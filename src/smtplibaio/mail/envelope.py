"""The envelope of a message: who sends it, who gets it, with which parameters.

Rules:

1. Everything that can fail before the wire fails here, before MAIL: a mailbox that is
   none, a parameter that is none, a parameter whose extension was not announced,
   content that is too large or cannot travel (RFC 1870 6.1, RFC 6152 3, RFC 6531 3.4).
2. A recipient that is given twice gets one RCPT and one verdict.
3. What the caller passed is never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ..content.forms import Content, Stream
from ..exceptions import (
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPTLSError,
)
from ..grammar.addresses import address_of, forward_path, needs_smtputf8, reverse_path
from ..grammar.commands import keyword_of, mail, parameters, rcpt
from ..grammar.extensions import Announced, require
from ..grammar.parameters import Parameters

__all__ = [
    "Envelope",
    "check_announced",
    "check_content",
    "check_tls",
    "is_binarymime",
    "refusal_of_8bit",
]

#: Which extension announces a parameter of MAIL or RCPT, where its name differs.
_EXTENSION_OF = {
    "BODY": "8BITMIME",  # RFC 6152; RFC 3030 for BINARYMIME
    "RET": "DSN",  # RFC 3461, as the next three
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "BY": "DELIVERBY",  # RFC 2852
    "HOLDFOR": "FUTURERELEASE",  # RFC 4865
    "HOLDUNTIL": "FUTURERELEASE",
}

#: Parameters that share their extension's name. One that is in neither table belongs
#: to no extension known here, and the server is the judge of it.
_OWN_NAME = frozenset({"SIZE", "SMTPUTF8", "AUTH", "REQUIRETLS", "MT-PRIORITY"})


def check_announced(options: Iterable[str], announced: Announced) -> None:
    """Refuse a parameter whose extension the server has not announced.

    Raises:
        SMTPCommandNotSupportedError: The text names the extension.
    """
    for option in options:
        keyword = keyword_of(option)
        extension = _EXTENSION_OF.get(keyword, keyword)
        if is_binarymime(option):
            extension = "BINARYMIME"
        known = keyword in _OWN_NAME or extension != keyword
        if known and extension not in announced:
            raise SMTPCommandNotSupportedError(
                extension, f"the parameter {keyword} needs it"
            )


def is_binarymime(option: str) -> bool:
    """Tell whether a parameter of MAIL announces content that is no text (RFC 3030)."""
    return option.upper() == "BODY=BINARYMIME"


def _check_distinct(options: Iterable[str]) -> None:
    keywords = [keyword_of(option) for option in options]
    for keyword in keywords:
        if keywords.count(keyword) > 1:
            raise SMTPArgumentError(f"the parameter {keyword} is given twice")


def check_tls(options: Iterable[str], *, is_verified: bool) -> None:
    """Refuse REQUIRETLS on a connection that is not what it asks for (RFC 8689 2).

    Raises:
        SMTPTLSError: The server has not shown who it is.
    """
    if not is_verified and "REQUIRETLS" in map(keyword_of, options):
        raise SMTPTLSError("REQUIRETLS needs a connection with a verified certificate")


def refusal_of_8bit(body: str | None, announced: Announced) -> SMTPException | None:
    """Give the reason that content beyond ASCII cannot travel for, if there is one.

    Args:
        body: What BODY says of it, where it was given.
        announced: What the server announced.
    """
    if body == "7BIT":
        return SMTPArgumentError("the content is 8-bit, BODY=7BIT says it is not")
    if "8BITMIME" in announced:
        return None
    return SMTPCommandNotSupportedError(
        "8BITMIME", "the content has octets beyond ASCII"
    )


def check_content(
    content: Content | Stream, announced: Announced, limit: int | None
) -> None:
    """Refuse content that the server cannot take, as far as it is known.

    Args:
        content: What is to be sent.
        announced: What the server announced.
        limit: The largest content it takes, in octets; None for no limit.

    Raises:
        SMTPArgumentError: It is larger than that.
        SMTPCommandNotSupportedError: It is 8-bit, and 8BITMIME was not announced.
    """
    if limit is not None and content.size is not None and content.size > limit:
        raise SMTPArgumentError(
            f"the content has {content.size} octets, the server takes {limit} at most"
        )
    if content.is_8bit and (refusal := refusal_of_8bit(None, announced)) is not None:
        raise refusal


class Envelope(NamedTuple):
    """Hold a checked envelope.

    Attributes:
        sender: The mailbox of the reverse-path, "" for the null one.
        recipients: What the caller called each recipient, and its mailbox.
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
            sender: See `addresses.reverse_path`.
            recipients: One recipient or an iterable of them; see
                `addresses.forward_path`.
            mail_options: Raw parameters such as "BODY=8BITMIME".
            rcpt_options: Raw parameters such as "NOTIFY=NEVER".
            wanted: Typed parameters, to be sent besides the raw ones.

        Raises:
            SMTPArgumentError: One of them may not go on the wire, there is no
                recipient, or a parameter is given twice.
        """
        called = _called(recipients)
        if not called:
            raise SMTPArgumentError("there is no recipient")
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
        if of_mail or of_rcpt or own:
            all_of_rcpt = (of_rcpt + its for its in own.values())
            for options in (of_mail, of_rcpt, *all_of_rcpt):
                _check_distinct(options)
        first = {names[0]: mailbox for mailbox, names in called.items()}
        return cls(reverse_path(sender), first, of_mail, of_rcpt, own)

    def commands(
        self,
        announced: Announced,
        content: Content | Stream,
        *,
        needs_utf8: bool = False,
    ) -> list[bytes]:
        """Spell MAIL and the RCPTs, with the parameters that the mail needs.

        Args:
            announced: What the server announced.
            content: What is to be sent; its size is declared where SIZE is announced
                and the size is known.
            needs_utf8: Whether its header needs SMTPUTF8.

        Raises:
            SMTPCommandNotSupportedError: The mail needs what was not announced.
        """
        needs_utf8 = self._check_announced(announced) or needs_utf8
        options = [*self.mail_options]
        given = {*map(keyword_of, options)}
        if "SIZE" in announced and "SIZE" not in given and content.size is not None:
            options.append(f"SIZE={content.size}")
        is_8bit = content.is_8bit
        if is_8bit is None:  # it may be, and where that can travel it may say so
            is_8bit = "8BITMIME" in announced
        if is_8bit and "BODY" not in given:
            options.append("BODY=8BITMIME")
        if (
            content.is_8bit
            and (refusal := refusal_of_8bit(self.body, announced)) is not None
        ):
            raise refusal
        if needs_utf8 and "SMTPUTF8" not in given:
            options.append("SMTPUTF8")
        return [mail(self.sender, options), *self._rcpts()]

    def _check_announced(self, announced: Announced) -> bool:
        """Refuse what was not announced; tell whether a mailbox needs SMTPUTF8."""
        if self.mail_options or self.rcpt_options or self.own_options:
            for options in (
                self.mail_options,
                self.rcpt_options,
                *self.own_options.values(),
            ):
                check_announced(options, announced)
        mailboxes = (self.sender, *self.recipients.values())
        if all(map(str.isascii, mailboxes)):
            return False
        who = next(filter(needs_smtputf8, mailboxes))
        require("SMTPUTF8", announced, f"the local part of {who!a} is not ASCII")
        return True

    def _rcpts(self) -> list[bytes]:
        common, own = self.rcpt_options, self.own_options
        return [
            rcpt(mailbox, common + own.get(mailbox, ()))
            for mailbox in self.recipients.values()
        ]

    @property
    def body(self) -> str | None:
        """Give what BODY says of the content, in capitals, where it was given."""
        for option in self.mail_options:
            if keyword_of(option) == "BODY":
                return option.partition("=")[2].upper()
        return None

    @property
    def is_binary(self) -> bool:
        """Tell whether the content is BINARYMIME (RFC 3030 3)."""
        return any(map(is_binarymime, self.mail_options))


def _called(recipients: Any) -> dict[str, list[str]]:
    """Check recipients; give each mailbox with every spelling of it."""
    is_one = isinstance(recipients, str) or not isinstance(recipients, Iterable)
    called: dict[str, list[str]] = {}
    for recipient in (recipients,) if is_one else recipients:
        mailbox = forward_path(recipient)
        name = str.__str__(address_of(recipient))
        names = called.setdefault(mailbox, [name])
        if name not in names:
            names.append(name)
    return called

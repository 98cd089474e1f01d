"""Messages of the `email` package: their envelope, and content that a server can take.

Rules:

1. The caller's message is never changed.
2. Members of a group are recipients; a group does not send (RFC 6854 4).
3. SMTPUTF8 is for what has no spelling in ASCII: local parts of addresses, and what is
   signed in UTF-8. Everything else leaves in ASCII: names by RFC 2047, parameters by
   RFC 2231, domains as A-labels.

A signature over a header (DKIM, ARC) or over parts (S/MIME, PGP/MIME) stays valid, or
the message is refused; see `parts` for what the parser of the `email` package loses.
To relay signed mail without a change, pass its octets.

The writer of messages is imported when the first message has to be written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from ..exceptions import SMTPArgumentError
from ..grammar.extensions import Announced, require
from .forms import Content, Message, Stream, content_of

__all__ = [
    "envelope_for",
    "envelope_of",
    "fit",
    "is_email_message",
    "missing_fields",
    "prepare",
]

#: These stand above the fields that were there before (RFC 5322 3.6.7).
_TRACE_FIELDS = frozenset({"received", "return-path"})


def is_email_message(message: Any) -> bool:
    """Whether it is a message of the `email` package, old or new."""
    module = sys.modules.get("email.message")
    return module is not None and isinstance(message, module.Message)


# Who sends it, and who gets it


def envelope_for(
    message: Any, sender: object, recipients: object
) -> tuple[object, object]:
    """Find the sender and the recipients: the caller's, or those of the message.

    Raises:
        SMTPArgumentError: It names none, or not which one of several has sent it.
    """
    if not is_email_message(message):
        raise SMTPArgumentError(
            "only a message of the email package names its sender and recipients; "
            "pass sender= and recipients="
        )
    from .fieldvalues import faults_of_objects

    with faults_of_objects("read"):
        sender, recipients = envelope_of(message, sender, recipients)
    if sender is None:
        raise SMTPArgumentError(
            "the message has no Sender, and From does not have exactly one address; "
            "pass sender="
        )
    return sender, recipients


def envelope_of(
    message: Any, sender: object = None, recipients: object = None
) -> tuple[object, object]:
    """Read the sender and the recipients that a message itself names.

    Those of the newest block of Resent fields where there is one, which is the
    uppermost (RFC 5322 3.6.6); else those of Sender or From, and of To, Cc and Bcc.

    Args:
        message: It is not changed.
        sender: The caller's sender, which saves reading those fields; or None.
        recipients: The caller's recipients, or None.

    Returns:
        The sender, None if the message does not say which one it is, and the
        recipients.

    Raises:
        SMTPArgumentError: A field cannot be read, or a group is the sender.
    """
    fields = [*_newest_resent_block(message)] or [
        (name.lower(), value) for name, value in message.raw_items()
    ]
    if sender is None:
        senders = _senders(fields, "sender") or _senders(fields, "from")
        sender = senders[0] if len(senders) == 1 else None
    if recipients is None:
        names = ("to", "cc", "bcc")
        recipients = [each for name in names for each in _mailboxes(fields, name)]
    return sender, recipients


def _newest_resent_block(message: Any) -> Iterator[tuple[str, Any]]:
    """List the fields of the uppermost block, under their plain names.

    No field stands twice in a block, so the second of a name begins the next one; and
    so does what a relay has put on top in between.
    """
    seen: set[str] = set()
    for name, value in message.raw_items():
        prefix, resent, plain = name.lower().partition("resent-")
        if seen and name.lower() in _TRACE_FIELDS:
            return
        if prefix or not resent:
            continue
        if plain in seen:
            return
        seen.add(plain)
        yield plain, value


def _senders(fields: Iterable[tuple[str, Any]], wanted: str) -> list[str]:
    from .addresslist import addr_spec

    found: list[str] = []
    for entry in _entries(fields, wanted):
        if entry.members:
            raise SMTPArgumentError(
                f"the field {wanted.capitalize()} has the group {entry.name!a}, which "
                "cannot be a sender; pass sender="
            )
        found += [addr_spec(mailbox) for mailbox in entry.mailboxes]
    return found


def _mailboxes(fields: Iterable[tuple[str, Any]], wanted: str) -> Iterator[str]:
    from .addresslist import addr_spec

    for entry in _entries(fields, wanted):
        for mailbox in entry.mailboxes:
            yield addr_spec(mailbox)


def _entries(fields: Iterable[tuple[str, Any]], wanted: str) -> Iterator[Any]:
    from .fieldvalues import entries_of

    for name, value in fields:
        if name == wanted:
            yield from entries_of(name.capitalize(), value)


# What it is sent as


def prepare(message: Message, *, is_binary: bool = False) -> Content | Stream | None:
    """Check what can be checked before the server is known.

    Returns:
        The content; None of a message of the `email` package, which is for `fit`.

    Raises:
        SMTPArgumentError: It cannot be sent.
    """
    if type(message) is not bytes and is_email_message(message):
        return None
    return content_of(message, is_binary=is_binary)


def fit(
    message: Message,
    announced: Announced,
    *,
    add_missing: bool = False,
    sender: str = "",
) -> Content:
    """Write a message of the `email` package as the server needs it, without Bcc.

    Args:
        message: It is not changed.
        announced: What the server announced.
        add_missing: Whether the copy that leaves gets Date and Message-ID (RFC 5322
            3.6) where the message lacks them. A message that somebody has signed, or
            that has come from another host, stays as it is.
        sender: The mailbox of the envelope, whose domain a new Message-ID has.

    Raises:
        SMTPArgumentError: It cannot be sent.
        SMTPCommandNotSupportedError: It needs what was not announced.
    """
    from .fieldvalues import faults_of_objects
    from .headers import UTF8NeededError
    from .parts import write_message

    mail: Any = message
    with faults_of_objects("read"):
        added = missing_fields(mail, sender) if add_missing else []
    is_8bit_ok = "8BITMIME" in announced
    try:
        return Content(write_message(mail, is_8bit_ok=is_8bit_ok, added=added))
    except UTF8NeededError as exc:
        require("SMTPUTF8", announced, str(exc))
    octets = write_message(mail, utf8=True, is_8bit_ok=is_8bit_ok, added=added)
    return Content(octets, needs_utf8=True)


def missing_fields(message: Any, sender: str) -> list[tuple[str, str]]:
    """Make the fields Date and Message-ID that a new message lacks (RFC 5322 3.6).

    Args:
        message: It is not changed.
        sender: The mailbox whose domain the identifier has.
    """
    from email.utils import format_datetime, localtime, make_msgid

    from .parts import is_signed

    names = {name.lower() for name, value in message.raw_items() if value is not None}
    if names & _TRACE_FIELDS or is_signed(message):
        return []
    made: list[tuple[str, str]] = []
    if "date" not in names:
        made.append(("Date", format_datetime(localtime())))
    if "message-id" not in names:
        domain = sender.rpartition("@")[2] or "localhost"
        made.append(("Message-ID", make_msgid(domain=domain)))
    return made

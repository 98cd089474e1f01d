"""What a message is sent as: content that one server can take.

The `email` package is only imported where somebody has a message of it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from ..exceptions import SMTPArgumentError
from ..grammar.extensions import Announced, require
from .forms import Content, Message, Stream, content_of

__all__ = ["Fitted", "envelope_for", "fit", "prepare"]


def is_email_message(message: Any) -> bool:
    """Tell whether it is a message of the `email` package, old or new."""
    module = sys.modules.get("email.message")
    return module is not None and isinstance(message, module.Message)


def envelope_for(
    message: Any, sender: object, recipients: object
) -> tuple[object, object]:
    """Give a sender and recipients: the caller's, or those that the message names.

    Raises:
        SMTPArgumentError: It names none, or not which one of several has sent it.
    """
    if not is_email_message(message):
        raise SMTPArgumentError(
            "only a message of the email package names its sender and recipients; "
            "pass sender= and recipients="
        )
    from .message import envelope_of

    sender, recipients = envelope_of(message, sender, recipients)
    if sender is None:
        raise SMTPArgumentError(
            "the message has no Sender, and not one address in From; pass sender="
        )
    return sender, recipients


class Fitted(NamedTuple):
    """Content, and whether its header needs SMTPUTF8."""

    content: Content | Stream
    needs_utf8: bool = False


def prepare(message: Message, *, is_binary: bool = False) -> Fitted | None:
    """Check what can be checked before the server is known.

    Returns:
        The content; None of a message of the `email` package, which is for `fit`.

    Raises:
        SMTPArgumentError: It cannot be sent.
    """
    if not isinstance(message, (bytes, str)) and is_email_message(message):
        return None
    return Fitted(content_of(message, is_binary=is_binary))


def fit(
    message: Message,
    announced: Announced,
    *,
    add_missing: bool = False,
    sender: str = "",
) -> Fitted:
    """Encode a message of the `email` package as the server needs it, without Bcc.

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
    from .message import flatten, missing_fields, needs_smtputf8

    mail: Any = message
    utf8 = needs_smtputf8(mail)
    if utf8:
        require("SMTPUTF8", announced, "a header field has a mailbox beyond ASCII")
    added = missing_fields(mail, sender) if add_missing else []
    octets = flatten(mail, utf8=utf8, is_8bit_ok="8BITMIME" in announced, added=added)
    return Fitted(Content(octets), utf8)

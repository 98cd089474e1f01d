"""`send`: connect, send one mail and say QUIT, in one call."""

from __future__ import annotations

from typing import Any

from .content.forms import Message
from .mail.result import SendResult
from .smtp import SMTP
from .url import CLIENT_OPTIONS

__all__ = ["send"]


async def send(
    message: Message,
    url: str = "smtp://localhost",
    *,
    sender: Any = None,
    recipients: Any = None,
    **parameters: Any,
) -> SendResult:
    """Connect, send one message, and say QUIT.

    For more than one message, `SMTP.send_many` and `SMTPPool` keep their connections.

    Args:
        message: As for `SMTP.send_message`.
        url: The server, as for `SMTP.from_url`, such as
            "smtp://user:password@host:587".
        sender: The reverse-path; None for the message's own sender.
        recipients: The recipients; None for those that the message names.
        parameters: The other parameters of `SMTP.send_message`, and keyword arguments
            of `SMTP` that a URL cannot have, such as `tls_context`. `add_missing` is
            on: a message without Date or Message-ID gets one.

    Returns:
        What became of each recipient.

    Raises:
        SMTPArgumentError: The URL, the message or a parameter has a mistake.
        SMTPException: As `SMTP.connect` and `SMTP.send_message`.
    """
    options = {
        name: parameters.pop(name) for name in CLIENT_OPTIONS & parameters.keys()
    }
    parameters.setdefault("add_missing", True)
    async with SMTP.from_url(url, **options) as client:
        return await client.send_message(message, sender, recipients, **parameters)

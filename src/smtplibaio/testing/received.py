"""A mail as the server has received it."""

from __future__ import annotations

from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property

__all__ = ["ReceivedMail"]


@dataclass(frozen=True)
class ReceivedMail:
    """A mail that the server has accepted.

    Attributes:
        sender: The mailbox of MAIL; empty for the null reverse-path.
        recipients: The mailboxes of the RCPTs that were accepted.
        content: The content, with CRLF line ends, and without the dots that DATA adds.
        is_encrypted: Whether the mail came over TLS.
        username: The user name of the login; None without a login.
        mail_options: The parameters of MAIL.
        rcpt_options: The parameters of RCPT, for each of the recipients.
    """

    sender: str
    recipients: list[str]
    content: bytes = field(repr=False)
    is_encrypted: bool = False
    username: str | None = None
    mail_options: list[str] = field(default_factory=list, repr=False)
    rcpt_options: list[list[str]] = field(default_factory=list, repr=False)

    @cached_property
    def message(self) -> EmailMessage:
        r"""The parsed content. Its lines end with \n, as text does in Python."""
        lines = self.content.replace(b"\r\n", b"\n")
        return message_from_bytes(lines, policy=policy.default)

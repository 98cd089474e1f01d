"""A message that is made from the options of the command line."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Sequence
from email.message import EmailMessage
from pathlib import Path

from .letters import Letter

__all__ = ["composed"]


def composed(
    sender: str | None,
    recipients: Sequence[str],
    subject: str | None,
    text: str | None,
    html: str | None,
    attachments: Iterable[Path],
) -> Letter:
    """Make a message from its parts.

    Args:
        sender: The address for From.
        recipients: The addresses for To.
        subject: The subject, or None.
        text: The text, or None.
        html: The same text as HTML, or None.
        attachments: Files. The name of a file gives its media type.

    Raises:
        OSError: An attachment cannot be read.
        ValueError: A value cannot be a header field.
    """
    message = EmailMessage()
    digested = [subject or "", text or "", html or ""]
    fields = {"From": sender, "To": ", ".join(recipients), "Subject": subject}
    for name, value in fields.items():
        if value:
            message[name] = value
    if text is not None or html is None:
        message.set_content(text or "")
    if html is not None and text is not None:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    octets = "\0".join(digested).encode("utf-8", "surrogateescape")
    for path in attachments:
        content = path.read_bytes()
        maintype, subtype = _kind_of(path)
        message.add_attachment(
            content, maintype=maintype, subtype=subtype, filename=path.name
        )
        octets += b"\0" + path.name.encode("utf-8", "surrogateescape") + b"\0" + content
    size = len(message.as_bytes())
    return Letter("the message", size, lambda: (message, octets))


def _kind_of(path: Path) -> tuple[str, str]:
    """Return the media type of a file; for a compressed one, that of any octets."""
    kind, encoding = mimetypes.guess_type(path.name)
    maintype, _, subtype = (kind or "").partition("/")
    if encoding or maintype in ("", "message", "multipart"):
        return "application", "octet-stream"
    return maintype, subtype

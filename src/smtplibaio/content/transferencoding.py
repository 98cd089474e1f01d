"""The content of one part, and how it is encoded to travel (RFC 2045 6).

Rules:

1. A payload is octets, or text in which octets beyond ASCII are surrogates, as the
   `email` package keeps them. Text that nobody has encoded is an error.
2. Text that is encoded anew is quoted-printable where that is not longer than base64.
"""

from __future__ import annotations

import base64
import quopri
from email.message import Message
from typing import Any

from ..exceptions import SMTPArgumentError
from .canonical import LINE_END

__all__ = ["decoded", "encoded", "octets_of_payload"]


def octets_of_payload(kind: str, payload: Any) -> bytes:
    """Give the payload of a part as it stands."""
    if isinstance(payload, (bytes, bytearray)):
        return bytes(payload)
    if not isinstance(payload, str):
        raise SMTPArgumentError(
            f"a {kind} part has a payload of the type {type(payload).__name__}"
        )
    try:
        return payload.encode("ascii", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise SMTPArgumentError(
            f"a {kind} part has text that is not encoded; say its charset"
        ) from exc


def decoded(octets: bytes, encoding: str) -> bytes:
    """Undo a transfer encoding, as leniently as the email package does."""
    part: Message[Any, Any] = Message()
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(octets.decode("ascii", "surrogateescape"))
    content: Any = part.get_payload(decode=True)
    return bytes(content)


def encoded(octets: bytes, *, is_text: bool) -> tuple[str, bytes]:
    """Choose a transfer encoding, and encode content; with LF as line end."""
    if is_text and b"\0" not in octets:
        # RFC 2049 4: text is in canonical form, with CRLF, before it is encoded.
        text = LINE_END.sub(b"\n", octets)
        octets = text.replace(b"\n", b"\r\n")
        quoted = quopri.encodestring(text)
        if len(quoted) <= len(octets) * 4 / 3:
            return "quoted-printable", quoted
    return "base64", base64.encodebytes(octets)

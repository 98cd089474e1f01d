"""The content of one part, and how it is encoded to travel (RFC 2045 6).

Rules:

1. A payload is octets, or text in which octets beyond ASCII are surrogates, as the
   `email` package keeps them. Text that nobody has encoded is encoded in the charset
   that its part names; if it names none, such text is an error.
2. Text that is encoded anew is quoted-printable if that is not longer than base64.
"""

from __future__ import annotations

import base64
import quopri
from contextlib import suppress
from email.message import Message
from typing import Any

from ..exceptions import SMTPArgumentError
from .canonical import LINE_END
from .mimeparameters import read_parameters

__all__ = ["decoded", "encoded", "octets_of_payload"]


def octets_of_payload(kind: str, payload: Any, content_type: Any) -> tuple[bytes, bool]:
    """Give the payload of a part as it stands.

    Args:
        kind: What the part is called in an error.
        payload: Octets or text.
        content_type: The field of the part, for its charset.

    Returns:
        The octets, and whether nobody had encoded them before.
    """
    if isinstance(payload, (bytes, bytearray)):
        return bytes(payload), False
    if not isinstance(payload, str):
        raise SMTPArgumentError(
            f"a {kind} part has a payload of the type {type(payload).__name__}"
        )
    try:
        return payload.encode("ascii", "surrogateescape"), False
    except UnicodeEncodeError as exc:
        charset = read_parameters(str(content_type)).get("charset") or ""
        with suppress(LookupError, ValueError):
            return payload.encode(charset), True
        raise SMTPArgumentError(
            f"a {kind} part has text that is not encoded; name a charset that has all "
            "of its characters in Content-Type"
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

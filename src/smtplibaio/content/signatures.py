"""What the signatures in a message cover, and what proves that it is as it was signed.

Rules:

1. DKIM and ARC cover a message; multipart/signed and multipart/encrypted cover what is
   in them.
2. The `bh=` of a DKIM or ARC signature is a plain hash of the body (RFC 6376 3.7), and
   needs no key. Where the parser of the `email` package may have lost an empty line, it
   tells whether it has.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from email.message import Message
from typing import Any, TypeAlias

from ..exceptions import SMTPArgumentError

__all__ = [
    "SIGNED_KINDS",
    "Field",
    "covers",
    "doubts_of",
    "is_body_of",
    "is_exact",
    "is_sealed",
    "proves",
]

Field: TypeAlias = tuple[str, Any]

SIGNED_KINDS = frozenset({"multipart/signed", "multipart/encrypted"})

_SEALS = frozenset(
    {"arc-message-signature", "arc-seal", "dkim-signature", "domainkey-signature"}
)
#: Those that say what they are over, and in which form.
_WITH_TAGS = frozenset({"arc-message-signature", "dkim-signature"})

#: Where the parser has met these, it has dropped octets, or kept the line end that
#: belongs to the next boundary, or the writer adds some.
_LOSSES = frozenset(
    {
        "CloseBoundaryNotFoundDefect",
        "FirstHeaderLineIsContinuationDefect",
        "InvalidHeaderDefect",
        "MisplacedEnvelopeHeaderDefect",
        "MissingHeaderBodySeparatorDefect",
        "NoBoundaryInMultipartDefect",
        "StartBoundaryNotFoundDefect",
    }
)

_TAG = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*=\s*([^;]*)")
_BLANKS = re.compile(rb"[ \t]+")
_BLANKS_AT_END = re.compile(rb"[ \t]+(?=\r\n|$)")


def is_sealed(fields: Iterable[Field]) -> bool:
    """Whether a signature of DKIM or ARC is over a message with these fields."""
    return any(name.lower() in _SEALS for name, _ in fields)


def is_exact(fields: Iterable[Field]) -> bool:
    """Whether a signature is over the very blanks of header fields (RFC 6376 3.4.1)."""
    return any(
        not tags.get("c", "").strip().lower().startswith("relaxed")
        for tags in _tags_of(fields)
    )


def covers(fields: Iterable[Field], name: str) -> bool:
    """Whether a signature is over the field of that name, in lower case."""
    return any(
        name in re.split(r"[:\s]+", tags.get("h", "").lower())
        for tags in _tags_of(fields)
    )


def _tags_of(fields: Iterable[Field]) -> list[dict[str, str]]:
    return [_tags(str(value)) for name, value in fields if name.lower() in _WITH_TAGS]


def _tags(signature: str) -> dict[str, str]:
    return dict(_TAG.findall(signature))


def doubts_of(part: Message[Any, Any], *, is_top: bool) -> list[SMTPArgumentError]:
    """List the reasons to think that the parser has not kept every octet of a part."""
    doubts: list[SMTPArgumentError] = []
    lost = {type(defect).__name__ for defect in part.defects} & _LOSSES
    if lost or (part.get_unixfrom() and not is_top):
        what = ", ".join(sorted(lost)) or "a line that begins with From"
        doubts.append(
            SMTPArgumentError(
                "a signed part may not be as it was, for the parser has met what is "
                f"not MIME: {what}; send the message as octets"
            )
        )
    if vars(part)["_payload"] == "" and not is_top:
        doubts.append(
            SMTPArgumentError(
                "a signed part has no body, and the parser does not keep how many "
                "empty lines stand there; send the message as octets"
            )
        )
    return doubts


def proves(fields: Iterable[Field], body: bytes) -> bool:
    """Whether a signature among these fields is over this body.

    Args:
        fields: Those of the message.
        body: With CRLF; the last line may lack its end.
    """
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    return any(is_body_of(tags, ended) for tags in _tags_of(fields))


def is_body_of(tags: dict[str, str], body: bytes) -> bool:
    """Whether the hash of a signature is that of a body.

    Args:
        tags: The tags of DKIM-Signature or ARC-Message-Signature.
        body: With CRLF.
    """
    algorithm = tags.get("a", "").strip().rpartition("-")[2]
    if "bh" not in tags or algorithm not in ("sha1", "sha256"):
        return False
    canonical = _canonical(body, tags.get("c", "").strip().partition("/")[2])
    length = tags.get("l", "").strip()
    if length.isdecimal():
        canonical = canonical[: int(length)]
    try:
        signed = base64.b64decode(re.sub(r"\s+", "", tags["bh"]))
    except binascii.Error:
        return False
    return hashlib.new(algorithm, canonical).digest() == signed


def _canonical(body: bytes, form: str) -> bytes:
    """Bring a body into the form that is hashed (RFC 6376 3.4.3, 3.4.4)."""
    if form == "relaxed":
        body = _BLANKS.sub(b" ", _BLANKS_AT_END.sub(b"", body))
        body = body.rstrip(b"\r\n")
        return body and body + b"\r\n"
    return body.rstrip(b"\r\n") + b"\r\n"

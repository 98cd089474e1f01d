"""Messages of the `email` package, read and looked at."""

from __future__ import annotations

import email
from email import policy
from email.policy import Policy
from typing import Any

POLICIES = {
    "compat32": policy.compat32,
    "default": policy.default,
    "SMTP": policy.SMTP,
    "SMTPUTF8": policy.SMTPUTF8,
}


def read(octets: bytes, policy_: Policy[Any] = policy.default) -> Any:
    """Read a message."""
    return email.message_from_bytes(octets, policy=policy_)


def read_fields(text: str, policy_: Policy[Any] = policy.default) -> Any:
    """Read a message from its header fields, one a line, without a body."""
    return read(text.encode() + b"\n\n", policy_)


def state(message: Any) -> Any:
    """Give all that a caller can see of a message and its parts, unparsed."""
    kept = [(part.policy, list(part.raw_items())) for part in message.walk()]
    payloads = [vars(p)["_payload"] for p in message.walk() if not p.is_multipart()]
    parts = [id(part) for part in message.walk()]
    return kept, payloads, parts, [(p.preamble, p.epilogue) for p in message.walk()]

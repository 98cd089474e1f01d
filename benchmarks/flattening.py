"""Turn a message with a large attachment into octets."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from email.message import EmailMessage

from .meter import Result, repeat_blocking
from .work import Work

__all__ = ["ours", "stdlib"]


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "alice@sender.example"
    message["To"] = "bob@recipient.example"
    message["Subject"] = "With an attachment"
    message.set_content("See the attachment.\n")
    octets = random.Random(0).randbytes(5 << 20)  # noqa: S311
    message.add_attachment(
        octets, maintype="application", subtype="octet-stream", filename="noise"
    )
    message.set_boundary("=_benchmark")
    return message


def _run(work: Work, flatten: Callable[[EmailMessage], bytes]) -> Result:
    message = _message()
    octets = flatten(message)
    result = repeat_blocking(work, lambda _: flatten(message), 1)
    del result["sent"]
    return {**result, "digest": zlib.crc32(octets)}


def ours(work: Work) -> Result:
    """Flatten as the library does for a server with 8BITMIME."""
    from smtplibaio.content.parts import write_message

    return _run(work, lambda message: write_message(message, is_8bit_ok=True))


def stdlib(work: Work) -> Result:
    """Flatten as the email package does."""

    def flatten(message: EmailMessage) -> bytes:
        return message.as_bytes(policy=message.policy.clone(linesep="\r\n"))

    return _run(work, flatten)

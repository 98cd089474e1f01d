"""Mails that can be told from each other wherever a part of them turns up.

Sender, recipients, and each line of the content carry the number of the mail. The lines
look like commands and dots, as what must never be read as such.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Letter", "numbers_in"]

_NUMBER = re.compile(rb"\bm(\d+)\b")


@dataclass(frozen=True)
class Letter:
    """One mail.

    Attributes:
        number: Its number in its world.
        recipients: How many recipients it has.
        lines: How many lines of text it has.
        form: What the content is given as: "bytes", "str", "message", "generator",
            "iterable", "async", "file".
        failure: What its source does: "" nothing; "at once", "in the middle" raise;
            "cancelled" raises CancelledError; "cleanup" raises when it is
            closed early; "slow" waits; "unwritable" is a message object that raises.
        all_or_nothing: Whether one refused recipient is to stop it.
    """

    number: int
    recipients: int = 1
    lines: int = 3
    form: str = "bytes"
    failure: str = ""
    all_or_nothing: bool = False

    @property
    def sender(self) -> str:
        return f"s.m{self.number}@sender.example"

    @property
    def to(self) -> list[str]:
        return [
            f"r{n}.m{self.number}@recipient.example" for n in range(self.recipients)
        ]

    @cached_property
    def content(self) -> bytes:
        """The content as it has to arrive, in canonical form, without stuffed dots."""
        number = self.number
        head = f"Subject: m{number}\r\nFrom: {self.sender}\r\n\r\n"
        body = "".join(f"{n} of m{number} QUIT\r\n" for n in range(self.lines))
        return f"{head}.m{number}\r\n{body}.\x2e\r\nend of m{number}\r\n".encode()


def numbers_in(text: bytes | str) -> set[int]:
    """The numbers of all mails that a text names."""
    octets = text.encode() if isinstance(text, str) else text
    return {int(number) for number in _NUMBER.findall(octets)}

"""What a server announced in its reply to EHLO (RFC 5321 4.1.1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..exceptions import SMTPCommandNotSupportedError
from .replies import Reply

__all__ = ["Announced", "Extensions", "Limits", "require"]

#: What a server announced: keywords in capitals, each with its parameters.
Announced = Mapping[str, tuple[str, ...]]

#: Keywords that are kept. Real servers announce about a dozen.
MAX_KEYWORDS = 256

# RFC 5321 4.1.1.1:
#
#    ehlo-line      = ehlo-keyword *( SP ehlo-param )
#    ehlo-keyword   = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
#
# Deviations, each for servers in the field: "=" after AUTH ("AUTH=LOGIN PLAIN", from a
# draft of RFC 2554), "_" within keywords, tabs and several spaces between parameters.
_EHLO_LINE = r"([A-Za-z0-9][A-Za-z0-9_-]*)(?:[ \t=]+(.*))?"


class Limits(NamedTuple):
    """What a server takes within one session (RFC 9422); None if it does not say.

    Attributes:
        mailmax: Mails, that is, MAIL commands.
        rcptmax: Recipients of one mail.
        rcptdomainmax: Different domains of the recipients of all mails.
    """

    mailmax: int | None = None
    rcptmax: int | None = None
    rcptdomainmax: int | None = None


class Extensions(Mapping[str, tuple[str, ...]]):
    """Map each announced keyword, in capitals, to its parameters.

    Look-ups take a keyword in any case. A keyword that is announced twice has the
    parameters of both lines. What follows a "=" is a parameter, too:
    "XVERP=COURIER" in the reply is `extensions["XVERP"] == ("COURIER",)`, and found as
    `"XVERP=COURIER" in extensions`.

    Attributes:
        size: The largest message the server takes, in octets, or None for no limit.
        limits: What else it limits, by LIMITS (RFC 9422).
    """

    __slots__ = ("_announced", "limits", "size")

    def __init__(self, announced: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._announced = {k.upper(): v for k, v in (announced or {}).items()}
        self.size = _size(self._announced.get("SIZE", ()))
        self.limits = _limits(self._announced.get("LIMITS", ()))

    @classmethod
    def from_reply(cls, reply: Reply) -> Extensions:
        """Read the reply to EHLO.

        The first line is the server's name and a greeting, never a keyword, whatever
        it looks like. Lines that are no ehlo-line are passed over.
        """
        announced: dict[str, tuple[str, ...]] = {}
        for line in reply.lines[1:]:
            match = re.fullmatch(_EHLO_LINE, line.strip(), re.DOTALL)
            if match is None:
                continue
            keyword = match[1].upper()
            if keyword not in announced and len(announced) >= MAX_KEYWORDS:
                break
            known = announced.get(keyword, ())
            new = (match[2] or "").split()
            announced[keyword] = tuple(dict.fromkeys([*known, *new]))
        return cls(announced)

    def __getitem__(self, keyword: str) -> tuple[str, ...]:
        return self._announced[keyword.upper()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._announced)

    def __len__(self) -> int:
        return len(self._announced)

    def __contains__(self, keyword: object) -> bool:
        if not isinstance(keyword, str):
            return False
        name, equals, value = keyword.upper().partition("=")
        values = self._announced.get(name)
        if values is None or not equals:
            return values is not None
        return any(value == each.upper() for each in values)

    def __repr__(self) -> str:
        return f"Extensions({self._announced!r})"

    @property
    def auth(self) -> tuple[str, ...]:
        """The SASL mechanisms, in capitals, in the server's order."""
        return tuple(dict.fromkeys(name.upper() for name in self.get("AUTH", ())))

    @property
    def by_lower_case(self) -> dict[str, str]:
        """The keywords in lower case, each with its parameters as one text."""
        return {k.lower(): " ".join(v) for k, v in self._announced.items()}


def _size(parameters: tuple[str, ...]) -> int | None:
    # RFC 1870 3 has "SIZE 0" for "no fixed maximum"; a value that is not a number of at
    # most 20 digits says as little, and "10 MB" is not 10 octets.
    sizes = [_number(parameter, 20) for parameter in parameters]
    is_readable = all(parameter.isdecimal() for parameter in parameters)
    return sizes[0] if sizes and is_readable else None


def _limits(parameters: tuple[str, ...]) -> Limits:
    # RFC 9422: "NAME=value", with a number of six digits at most; a client passes over
    # what it does not know or cannot read.
    known: dict[str, int] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        number = _number(value, 6)
        if name.lower() in Limits._fields and number is not None:
            known.setdefault(name.lower(), number)
    return Limits(**known)


def _number(text: str, most_digits: int) -> int | None:
    """Read a number of so many digits at most, or None; 0 is none."""
    is_number = text.isascii() and text.isdigit() and len(text) <= most_digits
    return int(text) or None if is_number else None


def require(extension: str, announced: Announced, why: str) -> None:
    """Refuse what needs an extension that the server has not announced.

    Raises:
        SMTPCommandNotSupportedError: The text says why it is needed.
    """
    if extension not in announced:
        raise SMTPCommandNotSupportedError(extension, why)

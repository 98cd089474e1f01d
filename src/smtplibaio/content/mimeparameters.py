"""Content-Type and Content-Disposition: a value and its parameters (RFC 2045, 2231).

Rules:

1. A parameter is never an encoded word. Text beyond ASCII is spelt by RFC 2231.
2. What is read may break the rules: blanks, comments, octets beyond ASCII, quotes that
   are not closed. What is written does not.
3. A long file name is cut into sections; any other parameter stays whole, for readers
   that know no sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from .addresslist import from_raw, quoted
from .folding import MAX_SHORT_LINE, Piece

__all__ = ["Parameterised", "parameter_pieces", "read_parameters"]

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_COMMENT = re.compile(r"\([^()]*\)")
_PARAMETER = re.compile(
    r"""\s*(?P<name>[^=;"\s]+)\s*=\s*
    (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<open>"[^;]*)|(?P<token>[^;]*))[^;]*(?:;|$)""",
    re.VERBOSE | re.DOTALL,
)
_SECTION = re.compile(r"([^*]+)(?:\*([0-9]{1,3}))?(\*)?")
_PRINTABLE = re.compile(r"[ -~]*")

#: Octets of a section, so that it fits into a short line with its name.
_SECTION_ROOM = 60

#: RFC 2231 7: attribute-char, what needs no percent sign.
_SAFE = "!#$&+-.^_`|~{}"

_CUT_NAMES = frozenset({"name", "filename"})


class Parameterised(NamedTuple):
    """A value and its parameters.

    Attributes:
        value: In lower case, as in "text/plain".
        parameters: Each name in lower case and its decoded value, in their order.
    """

    value: str
    parameters: tuple[tuple[str, str], ...]

    def get(self, name: str) -> str | None:
        """Look up a parameter."""
        return dict(self.parameters).get(name)


def read_parameters(text: str) -> Parameterised:
    """Read an unfolded field of that kind, as far as it can be read."""
    value, _, rest = text.partition(";")
    value = _COMMENT.sub("", value)
    whole: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    order: dict[str, None] = {}
    at = 0
    while at < len(rest):
        match = _PARAMETER.match(rest, at)
        if match is None:  # no "=" in it
            at = rest.find(";", at) + 1 or len(rest)
            continue
        at = match.end()
        text = _text(match)
        section = _SECTION.fullmatch(match["name"])
        if section is None:
            continue
        name, number, is_extended = section.groups()
        name = name.lower()
        order[name] = None
        if number is None and not is_extended:
            whole.setdefault(name, from_raw(text))
        else:
            sections.setdefault(name, {}).setdefault(
                int(number or 0), (text, bool(is_extended))
            )
    decoded = {name: _joined(parts) for name, parts in sections.items()}
    return Parameterised(
        value.strip(" \t\r\n").lower(),
        tuple((name, (whole | decoded)[name]) for name in order),
    )


def _text(match: re.Match[str]) -> str:
    if match["quoted"] is not None:
        return _QUOTED_PAIR.sub(r"\1", match["quoted"])
    text = match["open"] or match["token"]
    return _COMMENT.sub("", text).strip(" \t\r\n").removeprefix('"')


def _joined(parts: dict[int, tuple[str, bool]]) -> str:
    """Put the sections of a parameter together, and decode them (RFC 2231 4.1)."""
    charset = "utf-8"
    octets = b""
    for number in range(len(parts)):
        if number not in parts:
            break
        text, is_extended = parts[number]
        if is_extended and not number and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        octets += (
            unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
            if is_extended
            else text.encode("utf-8", "surrogateescape")
        )
    try:
        return octets.decode(charset or "utf-8")
    except (UnicodeError, LookupError):
        return octets.decode("utf-8", "replace")


def parameter_pieces(
    value: str, parameters: Iterable[tuple[str, str]], *, utf8: bool = False
) -> list[Piece]:
    """Spell a value and its parameters, as words that may be folded between.

    Raises:
        UnicodeError: A parameter has a lone surrogate.
    """
    del utf8  # RFC 2231 is what every reader knows
    pieces = [Piece(" ", value)]
    for name, text in parameters:
        for section in _sections(name, text):
            pieces[-1] = pieces[-1].followed_by(";")
            pieces.append(Piece(" ", section))
    return pieces


def _sections(name: str, text: str) -> list[str]:
    is_plain = _PRINTABLE.fullmatch(text) is not None
    whole = f"{name}={quoted(text)}"
    if is_plain and (len(whole) < MAX_SHORT_LINE - 1 or name not in _CUT_NAMES):
        return [whole]
    if is_plain:
        cut = [text[i : i + _SECTION_ROOM] for i in range(0, len(text), _SECTION_ROOM)]
        return [f"{name}*{n}={quoted(section)}" for n, section in enumerate(cut)]
    spelt = ["utf-8''", *(quote(c, safe=_SAFE) for c in text)]
    whole = f"{name}*={''.join(spelt)}"
    if len(whole) < MAX_SHORT_LINE - 1:
        return [whole]
    sections = [""]
    for each in spelt:
        if len(sections[-1]) + len(each) > _SECTION_ROOM:
            sections.append("")
        sections[-1] += each
    return [f"{name}*{n}*={section}" for n, section in enumerate(sections)]

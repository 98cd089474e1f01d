"""Lines of a header field: folded at 78 octets where white space is, never over 998.

Rules:

1. A field is folded only where white space stands, and never so that a line is blank
   (RFC 5322 2.2.3). After the colon it is folded only if that keeps the line short.
2. Text in encoded words is cut to what a line has room for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from .encodedwords import MOST, encode

__all__ = ["MAX_SHORT_LINE", "Piece", "Run", "fold", "words_of"]

#: RFC 5322 2.1.1: a line should have no more, without its CRLF.
MAX_SHORT_LINE = 78

#: Room that is enough to begin an encoded word in.
_ENOUGH = 32

_WORD = re.compile(r"([ \t]*)([^ \t]+)")


class Run(NamedTuple):
    """Text that is written in encoded words, and what stands right beside them.

    Attributes:
        text: The text.
        before: What stands before the first of them.
        after: What follows the last one.
        is_name: Whether one word is better than two, even if a line is folded for it.
    """

    text: str
    before: str = ""
    after: str = ""
    is_name: bool = False


class Piece(NamedTuple):
    """A word of a field, which is not folded, and the white space before it."""

    blank: str
    word: str | Run

    def followed_by(self, text: str) -> Piece:
        """Put text after the word, without white space."""
        if isinstance(self.word, Run):
            return self._replace(word=self.word._replace(after=self.word.after + text))
        return self._replace(word=self.word + text)


def words_of(text: str) -> list[Piece]:
    """Cut text at its white space."""
    return [Piece(blank or " ", word) for blank, word in _WORD.findall(text)]


def _width(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def fold(name: str, pieces: Iterable[Piece]) -> str:
    """Write a field, without the CRLF at its end."""
    lines: list[str] = []
    line = f"{name}:"
    is_first = True
    for blank, word in pieces:
        if isinstance(word, Run):
            room = MAX_SHORT_LINE - _width(line) - 1 - len(word.before)
            if room < _ENOUGH or word.is_name:
                room = MOST
            words = encode(word.text, room)
            words[0] = word.before + words[0]
            words[-1] += word.after
        else:
            words = [word]
        for each in words:
            if _width(line) + len(blank) + _width(each) > MAX_SHORT_LINE and (
                not is_first or _width(each) < MAX_SHORT_LINE
            ):
                lines.append(line)
                line = ""
            space = blank if len(blank) < MAX_SHORT_LINE // 2 and not is_first else " "
            line += space + each
            is_first = False
            blank = " "  # noqa: PLW2901
    return "\r\n".join([*lines, line])

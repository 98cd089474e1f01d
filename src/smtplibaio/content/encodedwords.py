"""Encoded words, written and read (RFC 2047): how ASCII spells what is not ASCII.

Rules:

1. A word has at most 75 octets, and every character of it is whole (RFC 2047 2, 5).
2. Between two encoded words white space is not part of the text, so it is encoded with
   the text (RFC 2047 6.2).
3. If there are several words, they are cut at spaces if they can be: the standard
   library up to Python 3.13 reads white space between the words of a name.
4. The words that are written are safe in every place that may have them: only letters,
   digits and "!*+-/" stand for themselves (RFC 2047 5).
5. A word that cannot be decoded is read as the text that it is.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import string
from collections.abc import Callable

__all__ = ["ENCODED_WORD", "MOST", "decode_word", "decode_words", "encode", "is_clear"]

#: RFC 2047 2: encoded-word = "=?" charset "?" encoding "?" encoded-text "?="
ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([!->@-~]*)\?=")

#: RFC 2047 2
MOST = 75
_CHROME = len("=?utf-8?q?" + "?=")

_SAFE = frozenset(string.ascii_letters + string.digits + "!*+-/")
_SPELT = {octet: f"={octet:02X}" for octet in range(256)}
_SPELT |= {ord(c): c for c in _SAFE} | {ord(" "): "_"}

#: Printable ASCII and HT, without what looks like an encoded word.
_CLEAR = re.compile(r"(?:[\t\x20-\x3c\x3e-\x7e]|=(?!\?))*")
_CLEAR_UTF8 = re.compile(
    r"(?:[\t\x20-\x3c\x3e-\x7e\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]|=(?!\?))*"
)
_OBEYED = re.compile(r"[\r\n\0]")


def is_clear(text: str, *, utf8: bool = False) -> bool:
    """Whether text stands for itself in a header field.

    Args:
        text: The text.
        utf8: Whether characters beyond ASCII may stand for themselves (RFC 6532);
            blanks beyond ASCII not at the ends, where readers strip them.
    """
    if not utf8:
        return _CLEAR.fullmatch(text) is not None
    return _CLEAR_UTF8.fullmatch(text) is not None and (
        text.strip() == text.strip(" \t\r\n")
    )


def encode(text: str, room: int = MOST) -> list[str]:
    """Spell text in encoded words of UTF-8.

    Args:
        text: At least one character.
        room: Octets that there are for the first word; where they are too few for a
            character, the first word is longer.

    Raises:
        ValueError: A line end or a NUL is in it, which some reader would obey.
    """
    if _OBEYED.search(text):
        raise ValueError("a line end or a NUL is in its text")
    in_q = sum(len(_SPELT[octet]) for octet in text.encode("utf-8"))
    in_b = len(text.encode("utf-8")) * 4 / 3
    spell = _in_q if in_q <= in_b + 4 else _in_b
    words: list[str] = []
    held = ""
    most = min(room, MOST)
    for c in text:
        if held and _CHROME + len(spell(held + c)) > most:
            cut = held.rfind(" ") + 1 or len(held)
            words.append(_word(held[:cut], spell))
            held, most = held[cut:], MOST
        held += c
    return [*words, _word(held, spell)]


def _in_q(text: str) -> str:
    return "".join(map(_SPELT.__getitem__, text.encode("utf-8")))


def _in_b(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _word(text: str, spell: Callable[[str], str]) -> str:
    return f"=?utf-8?{'q' if spell is _in_q else 'b'}?{spell(text)}?="


def decode_words(text: str) -> str:
    """Read text in which words that stand alone may be encoded (RFC 2047 6)."""
    if "=?" not in text:
        return text
    out: list[str] = []
    was_encoded = False
    for part in re.split(r"([ \t\r\n]+)", text):
        read = decode_word(part)
        if read is not None:
            if was_encoded:
                out.pop()  # the white space between two of them
            out.append(read)
            was_encoded = True
        else:
            was_encoded = was_encoded and not part.strip(" \t\r\n")
            out.append(part)
    return "".join(out)


def decode_word(word: str) -> str | None:
    """Read one encoded word; None if it is not one, or cannot be decoded."""
    match = ENCODED_WORD.fullmatch(word)
    if match is None:
        return None
    charset, encoding, coded = match.groups()
    try:
        if encoding in "bB":
            octets = base64.b64decode(coded, validate=True)
        else:
            octets = binascii.a2b_qp(coded, header=True)
        return codecs.decode(octets, charset.partition("*")[0])
    except (ValueError, LookupError):
        return None

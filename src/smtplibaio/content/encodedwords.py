"""Encoded words, written and read (RFC 2047): how ASCII spells what is not ASCII.

Rules:

1. A word has at most 75 octets, and every character of it is whole (RFC 2047 2, 5).
2. Between two encoded words white space is not part of the text, so it is encoded with
   the text (RFC 2047 6.2).
3. The words that are written are safe in every place that may have them: only letters,
   digits and "!*+-/" stand for themselves (RFC 2047 5).
4. A word that cannot be decoded is read as the text that it is.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import string

__all__ = ["ENCODED_WORD", "decode_word", "decode_words", "encode", "is_clear"]

#: RFC 2047 2: encoded-word = "=?" charset "?" encoding "?" encoded-text "?="
ENCODED_WORD = re.compile(r"=\?([^?\s]+)\?([bBqQ])\?([!->@-~]*)\?=")

_MOST = 75
_OPENING = "=?utf-8?q?"
_CHROME = len(_OPENING) + len("?=")

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
        utf8: Whether characters beyond ASCII may stand for themselves (RFC 6532).
    """
    return (_CLEAR_UTF8 if utf8 else _CLEAR).fullmatch(text) is not None


def encode(text: str, room: int = _MOST) -> list[str]:
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
    spelt = [c.encode("utf-8") for c in text]
    in_q = sum(len(_SPELT[octet]) for octets in spelt for octet in octets)
    in_b = sum(map(len, spelt)) * 4 / 3
    spell = _in_q if in_q <= in_b + 4 else _in_b
    words: list[str] = []
    held = b""
    most = min(room, _MOST)
    for octets in spelt:
        if held and _CHROME + len(spell(held + octets)) > most:
            words.append(_word(held, spell is _in_q))
            held, most = b"", _MOST
        held += octets
    return [*words, _word(held, spell is _in_q)]


def _in_q(octets: bytes) -> str:
    return "".join(map(_SPELT.__getitem__, octets))


def _in_b(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


def _word(octets: bytes, is_q: bool) -> str:
    if is_q:
        return f"{_OPENING}{_in_q(octets)}?="
    return f"=?utf-8?b?{_in_b(octets)}?="


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
    """Read one encoded word; None where it is not one, or cannot be decoded."""
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

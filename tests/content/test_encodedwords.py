"""Encoded words are short, whole, and read as they were written."""

from __future__ import annotations

import re
from email.header import decode_header, make_header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio.content.encodedwords import decode_word, decode_words, encode, is_clear

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=200
)


@given(text=TEXT, room=st.integers(min_value=0, max_value=80))
def test_words_have_whole_characters_and_75_octets_at_most(
    text: str, room: int
) -> None:
    """RFC 2047 2, 5."""
    words = encode(text, room)
    assert all(len(word) <= 75 for word in words)
    assert "".join(str(make_header(decode_header(word))) for word in words) == text
    assert decode_words("\r\n ".join(words)) == text


def test_words_are_cut_at_spaces() -> None:
    words = encode("слово за словом и так далее до конца строки")
    assert len(words) > 1
    assert all(str(decode_word(word)).endswith(" ") for word in words[:-1])


@pytest.mark.parametrize("character", ["\r", "\n", "\0"])
def test_what_some_reader_obeys_is_never_hidden_in_a_word(character: str) -> None:
    """G01, M35: a decoded line end would begin another field."""
    with pytest.raises(ValueError, match="line end"):
        encode(f"a{character}b")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a =?utf-8?q?b?=  =?utf-8?q?c?= d", "a bc d"),
        ("=?utf-8?q?b?=\r\n =?UTF-8*de?B?w7w=?=", "bü"),
        ("=?utf-8?q?b?= x =?utf-8?q?c?=", "b x c"),
        ("=?iso-8859-1?q?=FC?=", "ü"),
        ("a=?utf-8?q?b?=", "a=?utf-8?q?b?="),
        ("=?utf-8?q?=ff?=", "=?utf-8?q?=ff?="),
        ("=?no-such?q?b?=", "=?no-such?q?b?="),
        ("=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("plain", "plain"),
    ],
)
def test_words_that_stand_alone_are_read(text: str, expected: str) -> None:
    """RFC 2047 6; what cannot be decoded is the text that it is."""
    assert decode_words(text) == expected


@pytest.mark.parametrize(
    ("text", "in_ascii", "in_utf8"),
    [
        ("a = b\t?", True, True),
        ("é", False, True),
        ("=?", False, False),
        ("a\u00a0b", False, True),
        ("a\u00a0", False, False),
        *((c, False, False) for c in "\x0b\x0c\x1c\x7f\x85\u2028\u2029\udce9"),
    ],
)
def test_what_stands_for_itself_is_visible(
    text: str, in_ascii: bool, in_utf8: bool
) -> None:
    """G01: control characters and line separators of Unicode are always encoded."""
    assert is_clear(text) is in_ascii
    assert is_clear(text, utf8=True) is in_utf8
    assert re.search(r"[\x00-\x1f]", encode(text.replace("\udce9", "é"))[0]) is None

"""Fields are folded where white space is, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio.content.folding import Piece, Run, fold, words_of

WORD = st.text("abé,", min_size=1, max_size=90)


@given(words=st.lists(WORD, min_size=1), blank=st.sampled_from([" ", "\t", "  "]))
def test_a_line_has_78_octets_where_white_space_lets_it(
    words: list[str], blank: str
) -> None:
    """RFC 5322 2.1.1, 2.2.3."""
    text = fold("Subject", words_of(blank.join(words)))
    lines = text.split("\r\n")
    assert text.replace("\r\n", "") == "Subject: " + blank.join(words)
    for line in lines:
        assert line.strip(" \t")
        assert len(line.encode()) <= 78 or not line.strip(" \t").count(" ")  # one word


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], "X:"),
        (words_of("a  b"), "X: a  b"),
        (words_of("w" * 76), "X:\r\n " + "w" * 76),
        (words_of("w" * 78), "X: " + "w" * 78),
        (words_of("a " + "w" * 78), "X: a\r\n " + "w" * 78),
        (words_of("a" + " " * 99 + "b"), "X: a\r\n b"),
        ([Piece(" ", Run("é", "(", ")")).followed_by(",")], "X: (=?utf-8?q?=C3=A9?=),"),
    ],
)
def test_a_field_is_never_a_blank_line(pieces: list[Piece], expected: str) -> None:
    """M39: and only folded behind its colon where that keeps a line short."""
    assert fold("X", pieces) == expected


def test_text_begins_on_the_line_that_has_room_and_a_name_does_not() -> None:
    text = fold("Subject", [Piece(" ", Run("é" * 30))])
    assert text.startswith("Subject: =?utf-8?")
    name = fold(
        "To", [*words_of("a@x.example,"), Piece(" ", Run("é" * 20, is_name=True))]
    )
    assert name.split("\r\n")[1].startswith(" =?utf-8?")
    assert name.count("=?utf-8?") == 1

"""Each kind of field is spelt by its structure, and reads as what it said."""

from __future__ import annotations

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.content.folding import fold
from smtplibaio.content.structures import (
    ADDRESSES,
    IDENTIFIERS,
    PARAMETERS,
    TEXT,
    TOKENS,
    Structure,
    structure_of,
)


@pytest.mark.parametrize(
    ("name", "structure"),
    [
        ("subject", TEXT),
        ("x-anything", TEXT),
        ("resent-reply-to", ADDRESSES),
        ("in-reply-to", IDENTIFIERS),
        ("list-id", IDENTIFIERS),
        ("content-disposition", PARAMETERS),
        ("date", TOKENS),
        ("arc-anything", TOKENS),
        ("list-unsubscribe", TOKENS),
    ],
)
def test_the_name_says_how_a_field_is_built(name: str, structure: Structure) -> None:
    assert structure_of(name) is structure


SPELT = {
    "words-that-need-it": (TEXT, "a über  den b", "a =?utf-8?q?=C3=BCber?=  den b"),
    "neighbours": (TEXT, "é  è a", "=?utf-8?b?w6kgIMOo?= a"),
    "looks-like-a-word": (TEXT, "a =?x?q?b?=", "a =?utf-8?b?PT94P3E/Yj89?="),
    "form-feed": (TEXT, "0xf2\x0c/FTEP", "=?utf-8?q?0xf2=0C/FTEP?="),
    "identifier": (IDENTIFIERS, "<a@x.example> <b@x.example>", None),
    "identifier-in-unicode": (IDENTIFIERS, "<a@bücher.example>",
                              "<a@xn--bcher-kva.example>"),
    "identifier-with-words": (IDENTIFIERS, "Your mail <a@x.example>", None),
    "identifier-with-a-name": (IDENTIFIERS, '"Größe, x" <l.x.example>',
                               "=?utf-8?b?R3LDtsOfZSwgeA==?= <l.x.example>"),
    "identifier-with-no-name": (IDENTIFIERS, "Größe, @ <l.x.example>",
                                "=?utf-8?b?R3LDtsOfZSwgQA==?= <l.x.example>"),
    "tokens": (TOKENS, "v=1; b==?x?=", None),
    "comment": (TOKENS, "from x (Größe) by y (plain)",
                "from x (=?utf-8?b?R3LDtsOfZQ==?=) by y (plain)"),
    "host": (TOKENS, "from bücher.example by y", "from xn--bcher-kva.example by y"),
}  # fmt: skip


@pytest.mark.parametrize(("structure", "text", "expected"), SPELT.values(), ids=SPELT)
def test_a_value_is_spelt_in_ascii(
    structure: Structure, text: str, expected: str | None
) -> None:
    """G04, G08."""
    written = fold("X", structure.spell(text, False)).removeprefix("X: ")
    written = written.replace("\r\n", "")
    assert written == (expected or text)
    assert structure.normal(structure.read(written)) == structure.normal(text)


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        (TEXT, "über"),
        (IDENTIFIERS, "Größe <jörg@bücher.example>"),
        (TOKENS, "from bücher.example (Größe)"),
    ],
)
def test_a_value_stays_as_it_is_where_utf8_may_leave(
    structure: Structure, text: str
) -> None:
    """RFC 6532."""
    assert fold("X", structure.spell(text, True)) == f"X: {text}"


def test_where_one_word_is_encoded_so_is_all_that_is_beyond_ascii() -> None:
    assert fold("X", TEXT.spell("é \x0b a", True)) == "X: =?utf-8?b?w6kgCw==?= a"
    spelt = fold("X", TOKENS.spell("é.example (\x0b)", True))
    assert spelt == "X: é.example (=?utf-8?q?=0B?=)"


@pytest.mark.parametrize(
    ("structure", "text"),
    [(IDENTIFIERS, "<é@x.example>"), (TOKENS, "<https://x.example/bücher.example>")],
)
def test_what_has_no_spelling_in_ascii_is_an_error(
    structure: Structure, text: str
) -> None:
    with pytest.raises((UnicodeError, SMTPArgumentError)):
        structure.spell(text, False)


def test_what_idna_refuses_is_compared_as_it_is() -> None:
    same = ADDRESSES.read("a@-ü-.example")
    assert ADDRESSES.normal(same) == ADDRESSES.normal(same)
    assert ADDRESSES.normal(ADDRESSES.read("a@X.example")) == ADDRESSES.normal(
        ADDRESSES.read("<a@x.EXAMPLE>")
    )
    names = ADDRESSES.read("team: A  B <a@x>, root;")
    assert ADDRESSES.normal(names) != ADDRESSES.normal(
        ADDRESSES.read("A B <a@x>, root")
    )


def test_an_identifier_is_not_what_an_encoded_word_says() -> None:
    """M38."""
    hidden = "=?utf-8?q?=3Ca=40x=2Eexample=3E?="
    assert IDENTIFIERS.normal("<a@x.example>") != IDENTIFIERS.normal(hidden)

"""Address lists of header fields: what is one address, and how it is spelt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio.content.addresslist import (
    Entry,
    addr_spec,
    from_raw,
    pieces_of,
    read_addresses,
    read_phrase,
)
from smtplibaio.content.folding import fold


def one(
    name: str,
    local_part: str,
    domain: str = "x.example",
    comments: tuple[str, ...] = (),
) -> Entry:
    return Entry(name, local_part, domain, comments=comments)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("a@x.example", [one("", "a")]),
        ("<a@x.example>", [one("", "a")]),
        ("A. B <a.b@x.example>", [one("A. B", "a.b")]),
        ('"B, A" <a@x.example>,\r\n <b@x.example>', [one("B, A", "a"), one("", "b")]),
        ('A "b\\"c" d<a@x.example>', [one('A b"c d', "a")]),
        ('"user..name"@x.example', [one("", "user..name")]),
        ('"odd user" . b @ x . example', [one("", "odd user.b")]),
        ('"a@b>,"@x.example', [one("", "a@b>,")]),
        ("a@[192.0.2.1]", [one("", "a", "[192.0.2.1]")]),
        ("<@one.example,@two.example:a@x.example>", [one("", "a")]),
        ("=?utf-8?q?a=2C_b?= =?utf-8?q?=40c?= <a@x.example>", [one("a, b@c", "a")]),
        ("=?utf-8?q?a?= b =?no?q?c?= <a@x.example>", [one("a b =?no?q?c?=", "a")]),
        ("=?utf-8?q?Doe,_Jane?= <a@x.example>", [one("Doe, Jane", "a")]),
        ("a@x.example (one (two)) (\\)three)", [
            one("", "a", comments=("one (two)", "\\)three"))
        ]),
        ("(he) a (b) @ (c) x.example", [one("", "a", comments=("he", "b", "c"))]),
        ("J\udcf6rg <a@x.example>", [one("Jörg", "a")]),
        ("J\udcc3\udcb6rg <a@x.example>", [one("Jörg", "a")]),
        ("j\udcc3\udcb6rg@b\udcc3\udcbccher.example", [
            one("", "jörg", "bücher.example")
        ]),
        ("none:;", [Entry("none", members=())]),
        ("none: (x)", [Entry("none", members=())]),
        ("team: a@x.example, , B <b@x.example>;, c@x.example", [
            Entry("team", members=(one("", "a"), one("B", "b"))), one("", "c")
        ]),
        ("root, Doe Jane", [Entry("", "root"), Entry("", "Doe Jane")]),
        ("A <>, B <b>", [Entry("A"), Entry("B", "b")]),
        ("=?utf-8?q?u=40example=2Eorg?=", [Entry("", "u@example.org")]),
    ],
)  # fmt: skip
def test_a_list_is_read_by_its_grammar(text: str, expected: list[Entry]) -> None:
    """G02, G03, G10, G11: RFC 5322 3.4 and 4.4, RFC 6854."""
    assert read_addresses(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a@x.example b@x.example",
        "b@x.example <c@x.example>",
        "a b@x.example",
        "a..b@x.example",
        ".a@x.example",
        "a.@x.example",
        "@x.example",
        'a"b"@x.example',
        "<a@x.example",
        "<@one.example a@x.example>",
        "a@x.example; b@x.example",
        "none:; b@x.example",
        ", :",
        '"a',
        "(a",
        "a\\b@x.example",
        "=?utf-8?q?admin?=@x.example",
        "=?utf-8?q?a=40b?=c@x.example",
        "j\udcf6rg@x.example",
        "team: a@x.example b",
        "[x]",
        "\ud800",
    ],
)
def test_what_is_no_list_is_an_error(text: str) -> None:
    """G09, M26: nothing is guessed."""
    with pytest.raises(ValueError, match=r"."):
        read_addresses(text)


@pytest.mark.parametrize(
    ("text", "expected"), [(' a "b c"  =?utf-8?q?d?= ', "a b c d"), ("", "")]
)
def test_a_name_is_read(text: str, expected: str) -> None:
    assert read_phrase(text) == expected


def test_what_no_name_has_is_an_error() -> None:
    with pytest.raises(ValueError, match="in the wrong place"):
        read_phrase("a, b")


def test_octets_are_utf8_if_they_can_be_else_latin_1() -> None:
    """Design, section 4: a raw phrase."""
    assert from_raw("\udcc3\udcbc é") == "ü é"
    assert from_raw("\udcfc é") == "ü é"


@pytest.mark.parametrize(
    ("entries", "utf8", "expected"),
    [
        ([one("", "a"), one("B", "b")], False, "a@x.example, B <b@x.example>"),
        ([one("B, A", "a")], False, '"B, A" <a@x.example>'),
        ([one("Jörg", "a")], False, "=?utf-8?q?J=C3=B6rg?= <a@x.example>"),
        ([one("Jörg", "jörg")], True, "Jörg <jörg@x.example>"),
        ([one("", "a", "bücher.example")], False, "a@xn--bcher-kva.example"),
        ([one("", "a", "bücher.example")], True, "a@bücher.example"),
        ([one("", "a b")], False, '<"a b"@x.example>'),
        ([one("", "=?a")], False, '<"=?a"@x.example>'),
        ([one("=?x?=", "a")], False, "=?utf-8?b?PT94Pz0=?= <a@x.example>"),
        ([Entry("team", members=())], False, "team:;"),
        ([Entry("téam", members=(one("", "a"), one("", "b")))], False,
         "=?utf-8?q?t=C3=A9am?=: a@x.example, b@x.example;"),
        ([one("é", "a"), one("\u2028", "b")], True,
         "=?utf-8?q?=C3=A9?= <a@x.example>, =?utf-8?b?4oCo?= <b@x.example>"),
        ([Entry("", "root")], False, "root"),
        ([one("", "a", comments=("he", "é", "=?x"))], False,
         "a@x.example (he) (=?utf-8?q?=C3=A9?=) (=?x)"),
    ],
)  # fmt: skip
def test_a_list_is_spelt_so_that_it_reads_the_same(
    entries: list[Entry], utf8: bool, expected: str
) -> None:
    text = fold("To", pieces_of(entries, utf8=utf8))
    assert text.removeprefix("To: ").replace("\r\n", "") == expected


def test_a_local_part_beyond_ascii_has_no_other_spelling() -> None:
    """M19."""
    with pytest.raises(UnicodeError):
        pieces_of([one("", "jörg")])


WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zs"]), min_size=1
)


@given(name=WORDS, local_part=WORDS, domain=st.just("x.example"))
def test_whatever_is_spelt_is_read(name: str, local_part: str, domain: str) -> None:
    entry = Entry(name, local_part, domain)
    text = fold("To", pieces_of([entry], utf8=True))
    assert read_addresses(text.removeprefix("To:").replace("\r\n", "")) == [entry]
    assert read_addresses(addr_spec(entry)) == [entry._replace(name="")]

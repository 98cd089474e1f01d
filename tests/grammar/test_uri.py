"""URLs are taken apart, and what is wrong with one is said without its secrets."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio import SMTPArgumentError
from smtplibaio.grammar.uri import URI, port_number

PIECES = ("scheme", "username", "password", "host", "port", "path", "query")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("smtp://mx", ("smtp", None, None, "mx", None, "", ())),
        ("SMTPS://mx:465/", ("smtps", None, None, "mx", 465, "/", ())),
        ("smtp://@mx", ("smtp", "", None, "mx", None, "", ())),
        ("smtp://:@mx", ("smtp", "", "", "mx", None, "", ())),
        ("smtp://erin@mx", ("smtp", "erin", None, "mx", None, "", ())),
        (
            "smtp://e%40x.example:%23%25%2F%3A@mx:1",
            ("smtp", "e@x.example", "#%/:", "mx", 1, "", ()),
        ),
        ("smtp://a+b:c+d@mx", ("smtp", "a+b", "c+d", "mx", None, "", ())),
        ("smtp://%C3%BC@mx", ("smtp", "\xfc", None, "mx", None, "", ())),
        ("smtp://b\xfccher", ("smtp", None, None, "b\xfccher", None, "", ())),
        ("smtp://[::1]", ("smtp", None, None, "::1", None, "", ())),
        ("smtp://e@[2001:db8::1]:25", ("smtp", "e", None, "2001:db8::1", 25, "", ())),
        (
            "smtp://[fe80::1%25eth0]:25",
            ("smtp", None, None, "fe80::1%eth0", 25, "", ()),
        ),
        ("lmtp+unix:///a%20b", ("lmtp+unix", None, None, "", None, "/a b", ())),
        ("smtp://", ("smtp", None, None, "", None, "", ())),
        (
            "smtp://mx?a=1&b=x%26y=z&&c&d=&e=f+g@h?",
            (
                *("smtp", None, None, "mx", None, ""),
                (("a", "1"), ("b", "x&y=z"), ("c", None), ("d", ""), ("e", "f+g@h?")),
            ),
        ),
    ],
)
def test_a_url_is_taken_apart(text: str, pieces: tuple[Any, ...]) -> None:
    uri = URI.of(text)
    assert tuple(getattr(uri, piece) for piece in PIECES) == pieces


SECRET = "hunter2"

HOW = {
    "@": "write % as %25, @ as %40",
    ":": ": as %3A",
    "/": "/ as %2F",
    "?": "? as %3F",
    "#": "# as %23",
    "%": "% as %25",
}


@pytest.mark.parametrize(
    ("character", "text"),
    [
        ("@", f"smtp://erin:{SECRET}@{SECRET}@mx"),
        (":", f"smtp://erin:{SECRET}:{SECRET}@mx"),
        ("/", f"smtp://erin:{SECRET}/{SECRET}@mx"),
        ("?", f"smtp://erin:{SECRET}?{SECRET}@mx"),
        ("#", f"smtp://erin:{SECRET}#{SECRET}@mx"),
        ("%", f"smtp://erin:{SECRET}%{SECRET}@mx"),
    ],
)
def test_an_unescaped_character_in_a_password_is_an_error_that_says_how(
    character: str, text: str
) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        URI.of(text)
    assert HOW[character] in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "a str, not NoneType"),
        (b"smtp://mx", "a str, not bytes"),
        ("", "must begin with a scheme"),
        ("mx.example", "must begin with a scheme"),
        ("mx.example:587", "must begin with a scheme"),
        ("smtp:mx.example", "must begin with a scheme and two slashes"),
        ("smtp:/mx.example", "must begin with a scheme and two slashes"),
        ("://mx.example", "must begin with a scheme"),
        (" smtp://mx", r"U\+0020 at index 0"),
        ("smtp://mx\n", r"U\+000A at index 9"),
        ("smtp://m\0x", r"U\+0000"),
        ("smtp://m\ud800x", r"U\+D800"),
        ("smtp://m\u2028x", r"U\+2028"),
        ("smtp://mx#", "fragment"),
        ("smtp://mx%2", "at index 9 without two hexadecimal digits"),
        ("smtp://mx?a=%zz", "without two hexadecimal digits"),
        ("smtp://%ff@mx", "not UTF-8"),
        ("smtp://mx?a=%c3", "not UTF-8"),
        ("smtp://mx:0", "between 1 and 65535"),
        ("smtp://mx:65536", "between 1 and 65535"),
        ("smtp://mx:", "not a number"),
        ("smtp://mx:+25", "not a number"),
        ("smtp://mx:smtp", "not a number"),
        ("smtp://::1", r"written \[2001:db8::1\]:25"),
        ("smtp://[mx]", "without an IPv6 address"),
        ("smtp://[::1", "without an IPv6 address"),
        ("smtp://[::1]25", "without an IPv6 address"),
        ("smtp://[v1.fe]", "without an IPv6 address"),
        ("smtp://[::1]:x", "not a number"),
    ],
)
def test_what_is_not_a_url_is_an_error_that_says_why(text: Any, why: str) -> None:
    with pytest.raises(SMTPArgumentError, match=why):
        URI.of(text)


def test_credentials_without_a_host_are_not_taken_for_one_and_not_shown() -> None:
    """`smtp://user:password` is a host and a port."""
    with pytest.raises(SMTPArgumentError, match="smtp://user:password@host:port") as e:
        URI.of(f"smtp://erin:{SECRET}")
    assert SECRET not in str(e.value)


@pytest.mark.parametrize(
    ("text", "is_cut"),
    [
        ("smtp://mx?username=e@x", True),
        ("smtp://erin:12/ab@mx", True),
        ("smtp://mx", False),
        ("smtp://erin:ab@mx?username=e@x", False),
    ],
)
def test_an_at_sign_behind_the_host_makes_its_advice(text: str, is_cut: bool) -> None:
    uri = URI.of(text)
    assert (uri.is_cut, "%2F" in uri.advice) == (is_cut, is_cut)


def test_a_password_is_not_in_the_repr() -> None:
    shown = repr(URI.of(f"smtp://erin:{SECRET}@mx?password={SECRET}"))
    assert "erin" in shown
    assert SECRET not in shown


@given(st.text())
def test_any_text_is_a_url_or_an_argument_error(text: str) -> None:
    for candidate in (text, f"smtp://{text}", f"smtp://mx?{text}"):
        with suppress(SMTPArgumentError):
            assert isinstance(URI.of(candidate), URI)


def test_a_port_is_read_from_a_number_or_a_numeral() -> None:
    ports = [port_number(port) for port in (1, 65535, "25", "00025")]
    assert ports == [1, 65535, 25, 25]
    assert port_number("0", lowest=0) == 0

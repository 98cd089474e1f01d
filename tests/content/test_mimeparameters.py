"""Parameters of MIME fields: read as they come, spelt by RFC 2231."""

from __future__ import annotations

import email
from email import policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio.content.folding import fold
from smtplibaio.content.mimeparameters import parameter_pieces, read_parameters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text/plain", {}),
        ("Text/Plain (a comment); Charset = utf-8 (another)", {"charset": "utf-8"}),
        ('text/plain; a="b;\\"c"; d=e', {"a": 'b;"c', "d": "e"}),
        ('text/plain; a="open; d=e', {"a": "open", "d": "e"}),
        ("text/plain; nonsense; d=e;", {"d": "e"}),
        ("text/plain; nonsense", {}),
        ('text/plain; a="b" junk; d=e', {"a": "b", "d": "e"}),
        ("text/plain; a*=utf-8''%C3%BC", {"a": "ü"}),
        ("text/plain; a*0*=utf-8'de'%C3; a*1*=%BC; a*2=\"; x\"", {"a": "ü; x"}),
        ("text/plain; a*0=b; a*2=c", {"a": "b"}),
        ("text/plain; a*=no-such''%C3%BC", {"a": "ü"}),
        ("text/plain; a*=x%C3%BC", {"a": "xü"}),
        ("text/plain; a**b=c; d=e", {"d": "e"}),
        (
            "text/plain; name=Gr\udcf6\udcdfe; b=\udcc3\udcbc",
            {"name": "Größe", "b": "ü"},
        ),
        ("text/plain; a=1; a=2", {"a": "1"}),
    ],
)
def test_parameters_are_read_whatever_their_form(
    text: str, expected: dict[str, str]
) -> None:
    read = read_parameters(text)
    assert read.value == "text/plain"
    assert dict(read.parameters) == expected
    assert read.get("a") == expected.get("a")


def test_parameters_keep_their_order_whatever_their_form() -> None:
    """G08: `name=` in octets beyond ASCII, and more behind it."""
    text = "text/plain; name=Gr\udcf6\udcdfe; a*1=c; charset=utf-8; a*0=b"
    read = read_parameters(text)
    assert read.parameters == (("name", "Größe"), ("a", "bc"), ("charset", "utf-8"))
    field = fold("Content-Type", parameter_pieces(*read))
    assert read_parameters(field.partition(":")[2].replace("\r\n", "")) == read


VALUES = st.text(st.characters(codec="utf-8"), max_size=150)


@given(value=VALUES, name=st.sampled_from(["name", "filename", "charset"]))
def test_what_is_spelt_is_read_and_short(value: str, name: str) -> None:
    """M50: emoji, quotes, semicolons, line ends."""
    text = fold("Content-Type", parameter_pieces("text/plain", [(name, value)]))
    assert text.isascii()
    assert text.replace("\r\n", "").isprintable()
    read = read_parameters(text.partition(":")[2].replace("\r\n", ""))
    assert read == ("text/plain", ((name, value),))
    lines = text.split("\r\n")
    assert max(map(len, lines)) <= 78 or (name == "charset" and value.isascii())


def test_another_reader_reads_the_sections_of_a_long_name() -> None:
    for name in ("n" * 200 + ".pdf", "日" * 90):
        field = fold("Content-Type", parameter_pieces("a/b", [("name", name)]))
        message = email.message_from_string(f"{field}\n\n", policy=policy.default)
        assert message["Content-Type"].params["name"] == name


@pytest.mark.parametrize("text", ["a/b; \x0bc=d", "a/b; c\x0c=d", "a/b;\x1cc= \x85d"])
def test_other_blanks_around_a_name_do_not_hide_a_parameter(text: str) -> None:
    """A boundary that only other readers find would not be written."""
    assert read_parameters(text).get("c") == "d"

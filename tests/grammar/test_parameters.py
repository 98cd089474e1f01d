"""Typed parameters: how each is spelt, and which values are none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtplibaio import SMTPArgumentError
from smtplibaio.grammar.parameters import Parameters, original_recipient, xtext

# xtext

# RFC 3461 4: "any ASCII CHAR between "!" (33) and "~" (126) inclusive, except for "+"
# and "="", and "+" with two upper case hexadecimal digits.
XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")


def from_xtext(text: str) -> str:
    return re.sub(r"\+(..)", lambda match: chr(int(match[1], 16)), text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
@example("+=+2B =3D")
@example("".join(map(chr, range(32, 127))))
def test_xtext_can_be_read_back(text: str) -> None:
    """A09: and has no character that xtext has not."""
    spelt = xtext(text)
    assert XTEXT.fullmatch(spelt)
    assert from_xtext(spelt) == text


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        pytest.param("QQ314159", "QQ314159", id="A09-nothing to spell"),
        pytest.param("a+b@x.example", "a+2Bb@x.example", id="A09-plus"),
        pytest.param("a=b", "a+3Db", id="A09-equals"),
        pytest.param("a b", "a+20b", id="A09-space"),
        pytest.param("+2B", "+2B2B", id="A09-what is xtext already"),
        pytest.param("!~", "!~", id="A09-the first and the last"),
        pytest.param("", "", id="A09-nothing"),
    ],
)
def test_xtext_spells_what_stands_for_something(text: str, spelt: str) -> None:
    assert xtext(text) == spelt


@given(st.text())
@example("\u00e9")
@example("a\r\nb")
@example("\x7f")
@example("a\tb")
def test_xtext_is_for_printable_ascii(text: str) -> None:
    """A09: nothing else goes through, and nothing of it is refused."""
    if all(" " <= character <= "~" for character in text):
        assert from_xtext(xtext(text)) == text
    else:
        with pytest.raises(SMTPArgumentError, match="printable ASCII"):
            xtext(text)


# The original recipient

# RFC 6533 3: QCHAR and EmbeddedUnicodeChar. HEXPOINT has no leading zeros, no
# surrogates, and of ASCII only what is no QCHAR.
UTF8_ADDR_XTEXT = re.compile(
    r"(?:[!-*,-<>-\[\]-~]|\\x\{(?:20|2B|3D|5C|[89A-F][0-9A-F]|[1-9A-F][0-9A-F]{2}"
    r"|[1-9A-CEF][0-9A-F]{3}|D[0-7][0-9A-F]{2}|[1-9A-F][0-9A-F]{4}|10[0-9A-F]{4})\})+"
)


def from_utf8_addr_xtext(text: str) -> str:
    return re.sub(r"\\x\{([0-9A-F]+)\}", lambda match: chr(int(match[1], 16)), text)


@given(
    st.text(
        st.characters(
            exclude_categories=["Cc", "Cs"], exclude_characters="\u2028\u2029"
        )
    )
)
@example("+=\\ \\x{2B}")
@example("\U0010ffff\ufffd\u0100\U00012345")
def test_an_address_beyond_ascii_can_be_read_back(text: str) -> None:
    """A09: as utf-8-addr-xtext, which needs no SMTPUTF8."""
    address = f"\u00e9{text}"
    for given_as in address, f"utf-8;{address}":
        kind, _, spelt = original_recipient(given_as).partition(";")
        assert kind == "utf-8"
        assert UTF8_ADDR_XTEXT.fullmatch(spelt)
        assert from_utf8_addr_xtext(spelt) == address


@pytest.mark.parametrize(
    ("address", "spelt"),
    [
        pytest.param("b@y.example", "rfc822;b@y.example", id="A09-ASCII"),
        pytest.param("b+c@y.example", "rfc822;b+2Bc@y.example", id="A09-plus"),
        pytest.param('"b c"@y.example', 'rfc822;"b+20c"@y.example', id="A09-space"),
        pytest.param(
            '"b;c"@y.example', 'rfc822;"b;c"@y.example', id="A09-semicolon, no type"
        ),
        pytest.param("x400;/c=us/", "x400;/c+3Dus/", id="A09-another type"),
        pytest.param("RFC822;b@y.example", "RFC822;b@y.example", id="A09-its type"),
        pytest.param("rfc822;a;b", "rfc822;a;b", id="A09-two semicolons"),
        pytest.param(
            "j\u00e9@y.example", "utf-8;j\\x{E9}@y.example", id="A09-beyond ASCII"
        ),
        pytest.param(
            "\u00e9;b+=\\@y.example",
            "utf-8;\\x{E9};b\\x{2B}\\x{3D}\\x{5C}@y.example",
            id="A09-what stands for something in both",
        ),
        pytest.param("utf-8;b@y.example", "utf-8;b@y.example", id="A09-utf-8, ASCII"),
        pytest.param(
            "UTF-8;\U0001f4e7@y", "UTF-8;\\x{1F4E7}@y", id="A09-beyond the BMP"
        ),
    ],
)
def test_an_original_recipient_has_its_type_in_front(address: str, spelt: str) -> None:
    assert original_recipient(address) == spelt


# What each is spelt as

MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
PARIS = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("values", "spelt"),
    [
        ({}, []),
        ({"ret": "FULL"}, ["RET=FULL"]),
        ({"ret": "hdrs"}, ["RET=HDRS"]),
        ({"envid": "QQ+1 2"}, ["ENVID=QQ+2B1+202"]),
        ({"envid": "x" * 100}, ["ENVID=" + "x" * 100]),
        ({"require_tls": True}, ["REQUIRETLS"]),
        ({"require_tls": False}, []),
        ({"deliver_by": (120, "R")}, ["BY=120;R"]),
        ({"deliver_by": [1, "rt"]}, ["BY=1;RT"]),
        ({"deliver_by": (0, "N")}, ["BY=0;N"]),
        ({"deliver_by": (-999_999_999, "NT")}, ["BY=-999999999;NT"]),
        ({"deliver_by": (999_999_999, "R")}, ["BY=999999999;R"]),
        ({"mt_priority": -9}, ["MT-PRIORITY=-9"]),
        ({"mt_priority": 0}, ["MT-PRIORITY=0"]),
        ({"mt_priority": 9}, ["MT-PRIORITY=9"]),
        ({"hold_for": 1}, ["HOLDFOR=1"]),
        ({"hold_for": 999_999_999}, ["HOLDFOR=999999999"]),
        ({"hold_until": MOMENT}, ["HOLDUNTIL=2030-01-02T03:04:05Z"]),
        (
            {"hold_until": MOMENT.replace(hour=1, tzinfo=PARIS)},
            ["HOLDUNTIL=2030-01-01T23:04:05Z"],
        ),
        (
            {"hold_for": 60, "ret": "FULL", "envid": "x", "mt_priority": 3},
            ["RET=FULL", "ENVID=x", "MT-PRIORITY=3", "HOLDFOR=60"],
        ),
    ],
    ids=str,
)
def test_mail_carries_what_is_of_the_mail(
    values: dict[str, Any], spelt: list[str]
) -> None:
    parameters = Parameters(**values)
    assert parameters.of_mail() == spelt
    assert parameters.of_rcpt() == parameters.of_one("b@y.example") == []


def events() -> Iterator[str]:
    yield "SUCCESS"
    yield "DELAY"


@pytest.mark.parametrize(
    ("notify", "spelt"),
    [
        ("NEVER", "NEVER"),
        ("never", "NEVER"),
        (["NEVER"], "NEVER"),
        ("FAILURE", "FAILURE"),
        ("SUCCESS,FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"),
        (["delay", "SUCCESS"], "DELAY,SUCCESS"),
        (("FAILURE",), "FAILURE"),
        (frozenset({"DELAY"}), "DELAY"),
    ],
    ids=str,
)
def test_every_rcpt_carries_when_to_report(notify: Any, spelt: str) -> None:
    parameters = Parameters(notify=notify)
    assert parameters.of_rcpt() == [f"NOTIFY={spelt}"]
    assert parameters.of_mail() == []


def test_an_iterator_of_events_is_not_used_up() -> None:
    parameters = Parameters(notify=events())  # type: ignore[arg-type]
    for _ in range(2):
        assert parameters.of_rcpt() == ["NOTIFY=SUCCESS,DELAY"]


def test_a_rcpt_carries_its_own_original_recipient() -> None:
    parameters = Parameters(orcpt={"b@y.example": "old+b@z.example"})
    assert parameters.of_one("b@y.example") == ["ORCPT=rfc822;old+2Bb@z.example"]
    assert parameters.of_one("c@y.example") == []
    assert parameters.of_mail() == parameters.of_rcpt() == []


def test_an_original_recipient_belongs_to_a_recipient() -> None:
    parameters = Parameters(orcpt={"b@y.example": "b@z.example"})
    parameters.check_recipients(["c@y.example", "b@y.example"])
    with pytest.raises(
        SMTPArgumentError, match=r"\['b@y.example'\], which are not recipients"
    ):
        parameters.check_recipients(iter(["c@y.example"]))
    Parameters().check_recipients([])


# What is none


class NoZone(tzinfo):
    """A time zone that does not say which one it is."""

    def utcoffset(self, _: datetime | None) -> None:
        return None


BAD: dict[str, list[Any]] = {
    "ret": ["", "ALL", "FULL HDRS", b"FULL", 5, True, ["FULL"]],
    "envid": [
        "",
        "\u00e9",
        "a\r\nDATA",
        "a\tb",
        "\x7f",
        "\0",
        "x" * 101,
        "+" * 34,  # 102 characters as xtext
        b"x",
        5,
    ],
    "notify": [
        "",
        "OFTEN",
        "NEVER,FAILURE",
        "FAILURE,NEVER",
        "SUCCESS FAILURE",
        "SUCCESS, FAILURE",
        "FAILURE\r\n",
        [],
        ["NEVER", "NEVER"],
        ["DELAY", "NEVER"],
        ["FAILURE", "FAILURE"],
        ["FAILURE", "failure"],
        ["SUCCESS,FAILURE"],
        [None],
        b"NEVER",
        5,
    ],
    "orcpt": [
        {"b@y.example": ""},
        {"b@y.example": "rfc822;"},
        {"b@y.example": "utf-8;"},
        {"b@y.example": "b@y.example\r\nDATA"},
        {"b@y.example": "rfc822;j\u00e9@y.example"},
        {"b@y.example": "j\u00e9\r\n@y.example"},
        {"b@y.example": "j\u00e9\x01@y.example"},
        {"b@y.example": "j\u00e9\x85@y.example"},
        {"b@y.example": "j\u00e9\ud800@y.example"},
        {"b@y.example": "utf-8;\x7f"},
        {"b@y.example": b"b@y.example"},
        {"b@y.example": 5},
        ["b@y.example"],
        "b@y.example",
    ],
    "deliver_by": [
        120,
        "R",
        "1R",
        (120,),
        (120, "R", "T"),
        (120, "X"),
        (120, "T"),
        (120, "TR"),
        (120, ""),
        (120, None),
        ("R", 120),
        ("120", "R"),
        (120.0, "R"),
        (True, "R"),
        (0, "R"),
        (-1, "RT"),
        (1_000_000_000, "N"),
        (-1_000_000_000, "N"),
    ],
    "mt_priority": [-10, 10, "3", 3.0, True, [3]],
    "hold_for": [0, -1, 1_000_000_000, "60", 60.0, True, timedelta(seconds=60)],
    "hold_until": [
        MOMENT.replace(tzinfo=None),
        MOMENT.replace(tzinfo=NoZone()),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
        date(2030, 1, 2),
        "2030-01-02T03:04:05Z",
        5,
    ],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"{name}-{ascii(value)[:40]}")
        for name, values in BAD.items()
        for value in values
    ],
)
def test_a_value_that_is_none_is_refused_at_once(name: str, value: Any) -> None:
    """A09: whatever the value is, the error is the library's own."""
    with pytest.raises(SMTPArgumentError):
        Parameters(**{name: value})


def test_a_mail_is_held_for_a_time_or_until_one() -> None:
    with pytest.raises(SMTPArgumentError, match="not both"):
        Parameters(hold_for=60, hold_until=MOMENT)

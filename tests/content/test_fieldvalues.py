"""What programs put into fields is served where it is plain, and refused elsewhere."""

from __future__ import annotations

import email
from datetime import UTC, datetime
from decimal import Decimal
from email import policy
from email.header import Header
from email.headerregistry import Address, Group
from email.message import EmailMessage
from types import SimpleNamespace
from typing import Any

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.content.fieldvalues import (
    entries_of,
    meaning_of,
    source_of,
    text_of,
    unfold,
)
from smtplibaio.content.headers import Spelling, header_block

DATE = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("X", "text", "text"),
        ("X", 1, "1"),
        ("X", 2.5, "2.5"),
        ("X", Decimal("1.10"), "1.10"),
        ("X", True, "True"),
        ("X", b"caf\xc3\xa9", "caf\udcc3\udca9"),
        ("Date", DATE, "Tue, 01 Dec 2026 00:00:00 +0000"),
        ("To", ["a@x.example", "B <b@x.example>"], "a@x.example, B <b@x.example>"),
        ("To", Address("B, A", "a b", "x.example"), '"B, A" <"a b"@x.example>'),
        ("To", (Address("", "a", "x.example"),), "a@x.example"),
        ("To", ["a@x.example", None, "b@x.example"], "a@x.example, b@x.example"),
        (
            "To",
            Group(
                "team", [Address("", "a", "x.example"), Address("B", "b", "x.example")]
            ),
            '"team": a@x.example, "B" <b@x.example>;',
        ),
        (
            "References",
            ["<1@x.example>", "<2@x.example>"],
            "<1@x.example> <2@x.example>",
        ),
    ],
)
def test_plain_intent_is_served(name: str, value: Any, expected: str) -> None:
    """G09, M82."""
    assert source_of(name, value) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", ["a"]),
        ("Subject", ("a", "b")),
        ("X", {"a": 1}),
        ("X", object()),
        ("X", SimpleNamespace),
        ("To", [["a@x.example"], object()]),
    ],
)
def test_what_has_no_text_is_an_error_that_names_the_field(
    name: str, value: Any
) -> None:
    with pytest.raises(SMTPArgumentError, match=f"the field {name} is"):
        source_of(name, value)


def test_folds_are_joined_and_their_white_space_stays() -> None:
    assert unfold("a\r\n b\n\tc\r d") == "a b\tc d"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("a.b@x.example", ["a.b"]),
        ("A\r\n <a@x.example>,\n b@x.example", ["a", "b"]),
        (["a@x.example", Address("", "b", "x.example")], ["a", "b"]),
        (Header("Jörg <a@x.example>", "utf-8"), ["a"]),
        ("J\udcf6rg <a@x.example>", ["a"]),
        ('"a" <user@x.example>, "user..name"@x.example', ["user", "user..name"]),
    ],
)
def test_addresses_are_read_out_of_any_value(value: Any, expected: list[str]) -> None:
    """G10, G11, M80."""
    assert [entry.local_part for entry in entries_of("To", value)] == expected


@pytest.mark.parametrize(
    "value",
    ["root", "team: root;", "A <>", "a@x.example b", object(), "j\udcf6rg@x.example"],
)
def test_a_field_that_cannot_be_read_is_named(value: Any) -> None:
    with pytest.raises(SMTPArgumentError, match=r"the field To (cannot be read|is)"):
        entries_of("To", value)


def test_an_object_that_has_read_what_is_no_address_is_an_error() -> None:
    message = EmailMessage()
    message["To"] = "Doe, Jane <j@x.example>"
    with pytest.raises(SMTPArgumentError, match="the field To cannot be read"):
        entries_of("To", message["To"])


TEAM = Group("team", [Address("", "c", "x.example"), Address("", "d", "x.example")])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a@x.example", "Jörg <b@x.example>"], ["a", "b"]),
        (["a@x.example, b@x.example"], ["a", "b"]),
        (["a@x.example", None, TEAM, Address("", "b", "x.example")], "acdb"),
        ([Header("Jörg <a@x.example>", "utf-8")], ["a"]),
        ([Group("team", ["a@x.example", "other: b@x.example;"])], ["a", "b"]),
        ([Group(None, [Address("", "a", "x.example"), "b@x.example"])], ["a", "b"]),
        ((each for each in ["a@x.example"]), ["a"]),
        (None, []),
        ([], []),
    ],
)
def test_a_list_of_addresses_in_a_new_message_is_read(
    value: Any, expected: list[str]
) -> None:
    """G09, M82: the `email` package keeps what it is given there, of any type."""
    message = EmailMessage()
    message["To"] = value
    read = entries_of("To", message["To"])
    mailboxes = [mailbox for entry in read for mailbox in entry.mailboxes]
    assert [mailbox.local_part for mailbox in mailboxes] == [*expected]
    assert meaning_of("To", message["To"])[1] == read


@pytest.mark.parametrize("value", [5, ["root"], [object()], {"a": 1}, [("A", "a@b")]])
def test_a_list_of_what_is_no_address_in_a_new_message_is_an_error(value: Any) -> None:
    message = EmailMessage()
    message["To"] = value
    with pytest.raises(SMTPArgumentError, match=r"^the field To (cannot be read|is)"):
        entries_of("To", message["To"])


def test_what_an_object_raises_when_it_is_read_is_the_cause() -> None:
    class Broken:
        def __str__(self) -> str:
            raise AttributeError("display_name")

    with pytest.raises(SMTPArgumentError, match="field To cannot be read") as caught:
        entries_of("To", Broken())
    assert isinstance(caught.value.__cause__, AttributeError)


# Fields of a message that was read, set in another one

RAW = b"""\
From: J\xc3\xb6rg <a@x.example>
To: t\xc3\xa9am: Ren\xe9 <b@y.example>;
Subject: caf\xc3\xa9 =?iso-8859-1?q?=E9?=
X-Note: caf\xe9
X-Long: caf\xc3\xa9 and more, and more, and more, and more, and more, and still more

"""


@pytest.mark.parametrize("policy_", [policy.compat32, policy.default, policy.SMTP])
def test_a_field_with_octets_beyond_ascii_can_be_set_again(policy_: Any) -> None:
    """G08: as programs forward mail; `str` of these objects has lost the octets."""
    read = email.message_from_bytes(RAW, policy=policy_)
    fields = [(name, read[name]) for name in ("From", "To", "Subject", "X-Long")]
    octets = header_block(fields, Spelling(policy.compat32, is_built=True))
    sent = email.message_from_bytes(octets, policy=policy.default)
    assert octets.isascii()
    assert sent["Subject"] == "caf\u00e9 \u00e9"
    assert (
        sent["X-Long"] == "caf\u00e9 and more" + ", and more" * 4 + ", and still more"
    )
    assert [str(each) for each in sent["From"].addresses] == ["J\u00f6rg <a@x.example>"]
    assert sent["To"].groups[0].display_name == "t\u00e9am"
    assert str(sent["To"].addresses[0]) == "Ren\u00e9 <b@y.example>"


def test_octets_that_are_not_utf8_are_latin_1_when_a_field_is_set_again() -> None:
    note = email.message_from_bytes(RAW)["X-Note"]
    note.append("na\u00efve", "iso-8859-1")
    assert text_of(note) == "caf\udce9na\u00efve"
    octets = header_block([("X-Note", note)], Spelling(policy.compat32))
    sent = email.message_from_bytes(octets, policy=policy.default)
    assert sent["X-Note"] == "caf\u00e9na\u00efve"


def test_a_raw_local_part_is_not_guessed_when_a_field_is_set_again() -> None:
    to = email.message_from_bytes(b"To: ren\xe9@y.example\n\n")["To"]
    with pytest.raises(SMTPArgumentError, match="not UTF-8"):
        entries_of("To", to)

"""Header blocks say what the message said, in a form that travels."""

from __future__ import annotations

import email
import re
from email import policy
from email.header import Header, decode_header, make_header
from email.headerregistry import Address, Group
from email.message import EmailMessage
from email.policy import Policy
from email.utils import formataddr
from typing import Any

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.content.headers import Spelling, UTF8NeededError, header_block

PLAIN = Spelling(policy.compat32)


def source(name: str, value: Any, **spelling: Any) -> str:
    """Write one field that a parser, or a program, has left in a legacy message."""
    octets = header_block([(name, value)], PLAIN._replace(**spelling))
    return octets.decode("utf-8", "surrogateescape").removesuffix("\r\n")


def built(
    name: str, value: Any, policy_: Policy[Any] = policy.default, **more: Any
) -> str:
    """Write one field that was set in an EmailMessage."""
    message = EmailMessage(policy=policy_)
    message[name] = value
    octets = header_block(message.raw_items(), Spelling(policy_, **more))
    return octets.decode().removesuffix("\r\n")


# What was read


@pytest.mark.parametrize(
    "value",
    [
        "short",
        "x" * 980,
        "long " * 150 + "line",
        "=?utf-8?q?word?=  two blanks ",
        "=?utf-8?Q?" + "word_" * 12 + "=0AX-Evil=3A_1?=",
        "a\n\tb\r\n  c\r d",
        "",
    ],
)
def test_source_that_can_travel_leaves_octet_for_octet(value: str) -> None:
    """G06, M35."""
    lines = value.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert source("Subject", value) == f"Subject: {lines}"


def test_a_fold_behind_the_colon_stays_there() -> None:
    """M42, M67."""
    assert source("X", "\n a") == "X:\r\n a"


@pytest.mark.parametrize("utf8", [False, True])
def test_utf8_leaves_as_it_is_where_it_may(utf8: bool) -> None:
    """G08, M46, RFC 6532."""
    expected = "Grüße \udcff" if utf8 else "=?utf-8?b?R3LDvMOfZQ==?="
    assert source("Subject", "Gr\udcc3\udcbc\udcc3\udc9fe", utf8=utf8) == (
        "Subject: Grüße" if utf8 else f"Subject: {expected}"
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Subject", "x\x0c/FTEP", "=?utf-8?q?x=0C/FTEP?="),
        ("Subject", "caf\udce9", "=?utf-8?q?caf=C3=A9?="),
        ("From", "J\udcf6rg <a@x.example>", "=?utf-8?q?J=C3=B6rg?= <a@x.example>"),
        ("To", "a@b\udcc3\udcbccher.example (he)", "a@xn--bcher-kva.example (he)"),
        ("To", "r\udce9cipients", "=?utf-8?q?r=C3=A9cipients?="),
        ("To", "r\udce9, ;x", "=?utf-8?b?csOpLA==?= ;x"),
        ("Content-Type", "a/b; name=\udcfc.pdf", "a/b; name*=utf-8''%C3%BC.pdf"),
        ("Received", "by x (\udcfc)", "by x (=?utf-8?q?=C3=BC?=)"),
        ("Keywords", "caf\udce9, two", "=?utf-8?q?caf=C3=A9?=, two"),
        ("To", "a" * 500 + "," + "b" * 500, "a" * 500 + ",\r\n " + "b" * 500),
        ("Subject", "word " * 250, ("word " * 15)[:-1] + "\r\n word"),
        ("Subject", "x" * 999, "=?utf-8?q?xxx"),
    ],
)
def test_only_what_cannot_travel_is_spelt_anew(
    name: str, value: str, expected: str
) -> None:
    """G01, G05, G08, M34, M47, M48, M80."""
    assert source(name, value).startswith(f"{name}: {expected}"[:60])
    assert source(name, value).isascii()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("X-Token", "t" * 1200, "998"),
        ("Message-ID", "<" + "m" * 1200 + "@x.example>", "998"),
        ("X", "a\nb", "line end"),
        ("X", "a\r", "line end"),
        ("X", "a\rb", "line end"),
        ("X", "a\0b", "NUL"),
        ("X", "\ud800", "surrogate"),
        ("To", "\udce9 <a@x.example", "cannot be read"),
        ("To", "a\x0bb@x.example", "as it was written|cannot"),
        ("To", "j\udcf6rg@x.example", "UTF-8"),
        ("To", "a@-\udcc3\udcbc-.example", "IDNA"),
        ("X", {"a": 1}, "has no text"),
        ("X ", "a", "field name"),
        (1, "a", "field name"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_names_the_field(
    name: str, value: Any, complaint: str
) -> None:
    """G01, G04, G09, M41, M43, M49."""
    with pytest.raises(SMTPArgumentError, match=complaint) as caught:
        source(name, value)
    assert str(name) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("To", "j\udcc3\udcb6rg@x.example"),
        ("Message-ID", "<\udcc3\udcb6@x.example>"),
        ("List-Unsubscribe", "<https://x.example/\udcc3\udcb6>"),
    ],
)
def test_what_only_smtputf8_can_carry_says_so(name: str, value: str) -> None:
    """M19."""
    with pytest.raises(UTF8NeededError, match=f"field {name}"):
        source(name, value)
    assert "ö" in source(name, value, utf8=True)


def test_a_control_character_of_unicode_is_encoded_in_a_header_of_utf8_too() -> None:
    """G01."""
    assert source("Subject", "é\x85", utf8=True) == "Subject: =?utf-8?b?w6nChQ==?="


def test_a_block_that_reads_as_other_fields_is_never_sent() -> None:
    """Nothing is believed: not even a name."""

    class Name(str):
        __slots__ = ()

        def encode(self, *_: Any) -> bytes:
            return b"Other"

    with pytest.raises(SMTPArgumentError, match="other fields than the message"):
        source(Name("Subject"), "x")


def test_a_field_that_says_nothing_is_absent() -> None:
    """M83."""
    assert header_block([("Cc", None), ("X", 1)], PLAIN) == b"X: 1\r\n"


def test_a_long_line_of_a_program_is_folded_and_that_of_a_parser_is_not() -> None:
    """M73."""
    value = "long word " * 12
    assert "\r\n" not in source("Subject", value)
    assert "\r\n" in source("Subject", value, is_built=True)
    unlimited = policy.compat32.clone(max_line_length=0)
    many = "user@x.example, " * 99
    assert "\r\n" in source("To", many, is_built=True, policy=unlimited)


def test_encoded_words_of_a_program_are_never_too_long() -> None:
    """RFC 2047 2: `formataddr` writes one word, however long the name is."""
    name = "Grüße, " * 20
    for field, value in (
        ("To", formataddr((name, "a@x.example"))),
        ("Subject", formataddr((name, "a@x.example"))),
    ):
        assert len(max(value.split(), key=len)) > 75
        written = source(field, value, is_built=True)
        words = re.findall(r"=\?[^ ]*\?=", written)
        assert max(map(len, words)) <= 75
        assert str(make_header(decode_header(written[len(field) + 2 :]))).startswith(
            "Grüße, Grüße, "
        )
        assert source(field, value) == f"{field}: {value}"  # that of a parser


def test_a_value_of_a_program_has_no_blank_line() -> None:
    """G01: some relays take such a line for the end of the header."""
    for value in ("a\n \n b", "a\n b\n ", "a\n\t\n\t\n b"):
        written = source("X", value, is_built=True)
        assert all(line.strip() for line in written.split("\r\n"))
        assert written.split() == f"X: {value}".split()
    assert source("X", "a\n \n b") == "X: a\r\n \r\n b"  # that of a parser


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=?x-own?q?a?= b \udcfc", "=?x-own?q?a?= b =?utf-8?q?=C3=BC?="),
        ("=?utf-8?q?=C3?= =?utf-8?q?=BC?= \udcfc c",
         "=?utf-8?q?=C3?= =?utf-8?q?=BC?= =?utf-8?q?_=C3=BC?= c"),
        ("a=?utf-8?q?b?=c d\udcfc  e\udcfc =?utf-8?q?f?=",
         "a=?utf-8?q?b?=c =?utf-8?b?ZMO8ICBlw7wg?= =?utf-8?q?f?="),
        ("=?utf-8?q?" + "a" * 90 + "?= \udcfc", "a" * 90 + " =?utf-8?q?=C3=BC?="),
    ],
)  # fmt: skip
def test_encoded_words_stay_where_others_are_spelt_anew(
    value: str, expected: str
) -> None:
    """G08: others may know the charset, or read what stands in the midst of a word."""
    assert source("Subject", value).replace("\r\n", "") == f"Subject: {expected}"


def test_a_parameter_beyond_ascii_keeps_what_stands_behind_it() -> None:
    """G08."""
    value = "text/plain; name=Gr\udcf6\udcdfe und mehr.txt; charset=utf-8"
    assert source("Content-Type", value) == (
        "Content-Type: text/plain; name*=utf-8''Gr%C3%B6%C3%9Fe%20und%20mehr.txt;\r\n"
        ' charset="utf-8"'
    )


# What was set


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a@x.example", "B, C <b@x.example>".replace("B, C", '"B, C"')],
         'To: a@x.example, "B, C" <b@x.example>'),
        (["Jörg <a@x.example>", None], "To: =?utf-8?q?J=C3=B6rg?= <a@x.example>"),
        (None, ""),
        ([None], ""),
    ],
)  # fmt: skip
def test_a_list_of_addresses_is_written_as_one(value: Any, expected: str) -> None:
    """G09, M82: an absent field does not leave."""
    assert built("To", value) == expected


@pytest.mark.parametrize("policy_", [policy.default, policy.SMTPUTF8, policy.compat32])
@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Subject", "plain", "Subject: plain"),
        ("X-Token", "t" * 90, "X-Token: " + "t" * 90),
        ("References", "<" + "r" * 90 + "@x>", "References: <" + "r" * 90 + "@x>"),
        ("From", "J <a@x.example>", "From: J <a@x.example>"),
        ("To", Address("Jörg", "a", "bücher.example"),
         "To: =?utf-8?q?J=C3=B6rg?= <a@xn--bcher-kva.example>"),
        ("Subject", "é", "Subject: =?utf-8?b?w6k=?="),
        ("Message-ID", "<a@bücher.example>", "Message-ID: <a@xn--bcher-kva.example>"),
    ],
)  # fmt: skip
def test_what_was_set_is_written_by_its_structure(
    policy_: Policy[Any], name: str, value: Any, expected: str
) -> None:
    """G02, G03, G04, M36, M37, M38, M87."""
    message = EmailMessage()
    message[name] = value
    octets = header_block(message.raw_items(), Spelling(policy_))
    assert octets.decode().replace(" \r\n ", " ").removesuffix("\r\n") in {
        expected,
        expected.replace("=?utf-8?b?w6k=?=", "=?utf-8?q?=C3=A9?="),
    }


def test_a_name_without_an_address_hides_no_address() -> None:
    """M29: it may leave where the caller has named the sender."""
    assert built("From", "Pepé") == "From: =?utf-8?q?Pep=C3=A9?="


@pytest.mark.parametrize("value", ["=?utf-8?q?a=0Ab?=", "=?utf-8?q?a=00b?= é"])
def test_a_line_end_in_an_encoded_word_that_was_set_is_an_error(value: str) -> None:
    """G01, M35."""
    with pytest.raises(SMTPArgumentError, match="field Subject"):
        built("Subject", value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Header("Grüße", "utf-8"), "=?utf-8?b?R3LDvMOfZQ==?="),
        (Header("a\n b"), "a b"),
    ],
)
def test_header_objects_are_served(value: Header, expected: str) -> None:
    """M61."""
    for policy_ in (policy.compat32, policy.default):
        written = source("Subject", value, policy=policy_)
        assert written.replace("\r\n", "") in {
            f"Subject: {expected}",
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        }
    assert source("To", Header("Jörg <a@x.example>", "utf-8")).endswith("<a@x.example>")


def test_what_a_policy_raises_keeps_no_mail_from_being_sent() -> None:
    class Broken:
        max_line_length = 78

        def fold(self, name: str, value: Any) -> str:
            raise IndexError

    assert source("Subject", "é", policy=Broken()) == "Subject: =?utf-8?q?=C3=A9?="


@pytest.mark.parametrize(
    "folded",
    [
        "Other: é\n",
        "Subject: =?utf-8?q?=C3=A9?=\nX-Evil: 1\n",
        "Subject:\n \n =?utf-8?q?=C3=A9?=\n",
        "Subject: é\n",
        "Subject: =?utf-8?q?=C3=A8?=\n",
        "Subject: =?utf-8?q?=C3=A9?= =?\n",
        "Subject: =?utf-8?q?=C3=A9?= \u00a0\n",
        "Subject: =?utf-8?q?=C3=A9?= " + "x " * 40 + "\n",
    ],
)
def test_a_spelling_that_says_something_else_is_not_used(folded: str) -> None:
    """Nothing is believed."""

    class Wrong:
        max_line_length = 78

        def fold(self, name: str, value: Any) -> str:
            return folded

    assert source("Subject", "é", policy=Wrong()) == "Subject: =?utf-8?q?=C3=A9?="


@pytest.mark.parametrize(
    ("value", "expected"),
    [("hello\u00a0", "hello=C2=A0"), ("\u2003hello", "=E2=80=83hello")],
)
def test_a_blank_of_unicode_at_an_edge_is_encoded_where_utf8_may_stand(
    value: str, expected: str
) -> None:
    """G06: readers that strip every blank of Unicode would lose it."""
    said = built("Subject", value, policy.SMTPUTF8, utf8=True)
    assert said == f"Subject: =?utf-8?q?{expected}?="


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a =? b", "a =?utf-8?q?=3D=3F?= b"),
        ("see =?utf-8?q?x", "see =?utf-8?b?PT91dGYtOD9xP3g=?="),
    ],
)
def test_text_that_only_begins_as_an_encoded_word_does_is_encoded(
    value: str, expected: str
) -> None:
    """G06: some readers look for the end of the word in what follows."""
    assert built("Subject", value) == f"Subject: {expected}"


def test_what_an_object_raises_is_the_cause_of_an_error_that_names_the_field() -> None:
    """G09."""

    class Broken:
        def __str__(self) -> str:
            raise LookupError("no translation")

    with pytest.raises(SMTPArgumentError, match="field X cannot be written") as caught:
        source("X", Broken())
    assert isinstance(caught.value.__cause__, LookupError)


# What is signed


@pytest.mark.parametrize("name", ["Subject", "To"])
def test_what_is_signed_is_not_spelt_anew(name: str) -> None:
    """G07, M70, M71."""
    with pytest.raises(UTF8NeededError, match="signed"):
        source(name, "caf\udcc3\udca9", is_signed=True)
    assert source(name, "caf\udcc3\udca9", is_signed=True, utf8=True) == f"{name}: café"
    with pytest.raises(SMTPArgumentError, match="signed"):
        source(name, "caf\udce9", is_signed=True, utf8=True)


@pytest.mark.parametrize("utf8", [False, True])
def test_text_that_is_signed_leaves_as_as_bytes_writes_it_or_not_at_all(
    utf8: bool,
) -> None:
    """G07: for these are the octets that a program has signed."""
    made = {"utf8": utf8, "is_built": True, "is_signed": True}
    assert source("Subject", "café", **made) == "Subject: =?utf-8?b?Y2Fmw6k=?="
    for name, value in (
        ("From", "Jörg <a@x.example>"),  # as_bytes() encodes the address, too
        ("In-Reply-To", f"<{'r' * 90}ö@x.example>"),
    ):
        with pytest.raises(SMTPArgumentError, match=rf"{name} is signed.*as_bytes"):
            source(name, value, **made)
    with pytest.raises(SMTPArgumentError, match=r"signed.*send the message as octets"):
        source("Subject", "café", utf8=utf8, is_signed=True)
    message = EmailMessage()
    message["Subject"] = "café"
    spelling = Spelling(policy.default, utf8=utf8, is_signed=True)
    assert header_block(message.raw_items(), spelling).isascii()


def test_blanks_behind_the_colon_that_are_signed_are_not_guessed() -> None:
    with pytest.raises(SMTPArgumentError, match="field To is signed"):
        source("To", "\n a@x.example", is_signed=True, is_exact=True)


def test_what_as_bytes_does_not_write_well_is_refused_where_it_is_signed() -> None:
    message = EmailMessage()
    message["In-Reply-To"] = f"<{'r' * 90}@x.example>"
    spelling = Spelling(policy.default, is_signed=True)
    with pytest.raises(SMTPArgumentError, match=r"In-Reply-To is signed.*as_bytes"):
        header_block(message.raw_items(), spelling)


def test_the_signature_itself_is_folded_as_there_is_room() -> None:
    message = EmailMessage()
    message["DKIM-Signature"] = "v=1; b=" + "Ab3+" * 60
    block = header_block(message.raw_items(), Spelling(policy.default, is_signed=True))
    assert block.replace(b"\r\n", b"") == b"DKIM-Signature: v=1; b=" + b"Ab3+" * 60


def test_what_came_from_others_is_never_read_by_a_policy() -> None:
    """Its parser needs a time that grows with the square of the length, or worse."""
    hostile = Never()
    for name, value in (
        ("Content-Type", "text/plain; " + "<a@b>" * 400 + "\udcfc"),
        ("To", "é, " * 400 + "=?a b " * 400),
        ("Subject", "=?a b " * 400),
    ):
        assert source(name, value, policy=hostile).startswith(f"{name}:")


def test_a_long_name_beyond_ascii_is_spelt_without_the_policy() -> None:
    for value in (
        Address("é " * 60, "a", "x.example"),
        Group("é " * 60, [Address("", "a", "x.example")]),
    ):
        message = EmailMessage()
        message["To"] = value
        block = header_block(message.raw_items(), Spelling(Never()))
        assert block.isascii()
        assert b"a@x.example" in block


class Never:
    """A policy that must not be asked to write a field."""

    max_line_length = 78

    def fold(self, name: str, value: Any) -> str:
        raise SystemExit(f"{name} was given to the policy")


@pytest.mark.parametrize("width", [13, 18, 24])
def test_a_policy_of_very_short_lines_does_not_fold_for_ever(width: int) -> None:
    """The standard library never ends where one encoded character is too long."""
    short = policy.SMTP.clone(max_line_length=width)
    text = built("Subject", "wörd \U0001f469\u200d\U0001f469", short)
    assert str(make_header(decode_header(text))) == (
        "Subject: wörd \U0001f469\u200d\U0001f469"
    )


@pytest.mark.parametrize("charset", ["gb2312", "big5", "utf-16", "cp1252"])
def test_words_are_not_spelt_in_a_charset_that_few_readers_know(charset: str) -> None:
    """The standard library spells "gb2312" as "eucgb2312_cn"."""
    text = "5 é" if charset == "cp1252" else "\u4e2d\u6587"
    written = source("Subject", Header(text, charset))
    assert re.findall(r"=\?([^?]*)\?", written) == ["utf-8"]
    assert str(make_header(decode_header(written))) == f"Subject: {text}"


def test_words_are_spelt_in_a_charset_of_the_program_that_readers_know() -> None:
    text = source("Subject", Header("\u4e2d\u6587", "iso-2022-jp"))
    assert text.startswith("Subject: =?iso-2022-jp?b?")


def test_a_blank_at_the_end_that_readers_strip_is_encoded() -> None:
    text = built("Subject", "w\u00f6rd\u3000", policy.SMTPUTF8, utf8=True)
    assert text.isascii()
    assert decode_header(text)[-1][0].decode() == "w\u00f6rd\u3000"


@pytest.mark.parametrize("name", [" " + "\u00e4" * 40, "\u00e4" * 40 + " ", " \u00e4"])
def test_blanks_around_a_long_name_do_not_matter(name: str) -> None:
    """As where a first and a last name are joined, and one of them is empty."""
    text = built("To", Address(name, "a", "x.example"))
    words = decode_header(text.partition(":")[2].partition("<")[0].strip())
    assert str(make_header(words)).strip() == name.strip()


def test_a_long_name_with_dots_keeps_its_quotes() -> None:
    """G02: the standard library drops them, and then fails to read the name."""
    name = "\t . " + "x" * 80
    text = built("To", Address(name, "a", "x.example"), policy.SMTP)
    assert text.partition(" <")[0].removeprefix("To:").strip().startswith('"')
    message = email.message_from_string(text, policy=policy.default)
    assert [each.addr_spec for each in message["To"].addresses] == ["a@x.example"]


def test_what_looks_like_an_encoded_word_does_not_stay_beside_real_ones() -> None:
    """Some readers take it for the beginning of the next word."""
    text = source("Subject", "a =? b \u00e9", is_built=True)
    assert " =? " not in text
    assert str(make_header(decode_header(text))) == "Subject: a =? b \u00e9"


def test_a_token_is_not_folded_behind_the_colon() -> None:
    """The standard library would not know the transfer encoding."""
    short = policy.SMTP.clone(max_line_length=40)
    name = "Content-Transfer-Encoding"
    assert built(name, "quoted-printable", short) == f"{name}: quoted-printable"

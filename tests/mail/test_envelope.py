"""What fails before MAIL, what MAIL and RCPT carry, and what the caller's stays."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.headerregistry import Address
from typing import Any

import pytest
from conversation import client
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio import (
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPTLSError,
)
from smtplibaio.content.forms import Content, Stream
from smtplibaio.grammar.extensions import Extensions, require
from smtplibaio.grammar.parameters import Parameters
from smtplibaio.mail.envelope import Envelope, body_of
from smtplibaio.mail.terms import Terms

PLAIN = Content.of(b"Subject: x\n\nhi\n")
EIGHT_BIT = Content.of("Subject: x\n\nhé\n")
BINARY = Content.of(b"a\0\xe9", is_binary=True)
STREAM = Stream(iter([b"a"]))


def announced(*keywords: str) -> Extensions:
    return Extensions(dict.fromkeys(keywords, ()))


def commands(
    envelope: Envelope,
    extensions: Extensions,
    content: Content | Stream,
    *,
    is_verified: bool = True,
) -> list[bytes]:
    """Spell MAIL and RCPT for a server."""
    both = dict(extensions) | {"CHUNKING": ()}
    terms = Terms(Extensions(both), is_verified=is_verified)
    plan = terms.plan(envelope, b"", content)
    return [plan.mail, *plan.rcpts]


def check_announced(options: Iterable[str], extensions: Extensions) -> None:
    Terms(extensions, is_verified=True).mail("a@x.example", [*options])


def check_tls(options: Iterable[str], *, is_verified: bool) -> None:
    its = Extensions({"REQUIRETLS": (), "SIZE": (), "DSN": ()})
    Terms(its, is_verified=is_verified).mail("a@x.example", [*options])


def check_content(content: Any, extensions: Extensions, limit: int | None) -> None:
    its = dict(extensions) | ({} if limit is None else {"SIZE": (str(limit),)})
    Terms(Extensions(its)).body(content)


# Recipients


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        ("b@y.example", {"b@y.example": "b@y.example"}),
        (["b@y.example"], {"b@y.example": "b@y.example"}),
        (Address("B", "b", "y.example"), {"b@y.example": "b@y.example"}),
        ((Address("B", "b", "y.example"),), {"b@y.example": "b@y.example"}),
        ({"b@y.example": 1}, {"b@y.example": "b@y.example"}),
        (["b@bücher.example"], {"b@bücher.example": "b@xn--bcher-kva.example"}),
    ],
)
def test_recipients_are_one_or_several(
    recipients: Any, expected: dict[str, str]
) -> None:
    assert Envelope.of("a@x.example", recipients).recipients == expected


def test_recipients_may_come_from_an_iterator_and_keep_their_order() -> None:
    envelope = Envelope.of("a@x.example", iter(["c@y.example", "b@y.example"]))
    expected = {"c@y.example": "c@y.example", "b@y.example": "b@y.example"}
    assert list(envelope.recipients.items()) == list(expected.items())


@pytest.mark.parametrize(
    "recipients",
    [
        ["b@y.example", "b@y.example"],
        ["b@y.example", Address("B", "b", "y.example")],
        ["b@bücher.example", "b@xn--bcher-kva.example"],
        ["b@Y.example", "b@y.EXAMPLE", "b@y.example"],
    ],
    ids=["the same", "an object", "A-labels", "case of the domain"],
)
def test_a_recipient_that_is_given_twice_gets_one_rcpt(recipients: list[Any]) -> None:
    envelope = Envelope.of("a@x.example", recipients)
    assert list(envelope.recipients) == recipients[:1]
    assert len(commands(envelope, announced(), PLAIN)) == 2


def test_local_parts_of_another_case_are_other_recipients() -> None:
    recipients = ["B@y.example", "b@y.example", "Postmaster", "postmaster"]
    assert list(Envelope.of("a@x.example", recipients).recipients) == recipients


@given(
    st.lists(
        st.sampled_from(
            ["a@x.example", "A@x.example", "a@X.example", "b@x.example", "root", "a@x."]
        )
    )
)
def test_many_recipients_are_judged_as_each_of_them(recipients: list[str]) -> None:
    """A list of plain mailboxes takes a shorter way, to the same envelope."""
    try:
        wanted = Envelope.of("s@x.example", iter(recipients)).recipients
    except SMTPArgumentError as exc:
        with pytest.raises(SMTPArgumentError, match=re.escape(str(exc))):
            Envelope.of("s@x.example", recipients)
    else:
        got = Envelope.of("s@x.example", recipients).recipients
        assert [*got.items()] == [*wanted.items()]


@pytest.mark.parametrize("recipients", [b"b@y.example", bytearray(b"b@y.example")])
def test_octets_are_no_recipient_and_no_list_of_them(recipients: Any) -> None:
    with pytest.raises(SMTPArgumentError, match=f"not {type(recipients).__name__}$"):
        Envelope.of("a@x.example", recipients)


@pytest.mark.parametrize("recipients", [[], (), iter(())], ids=["list", "tuple", "it"])
def test_an_envelope_has_a_recipient(recipients: Any) -> None:
    with pytest.raises(SMTPArgumentError, match="no recipient"):
        Envelope.of("a@x.example", recipients)


@pytest.mark.parametrize(
    ("sender", "recipients"),
    [
        ("a b", ["b@y.example"]),
        (None, ["b@y.example"]),
        ("a@x.example", "b."),
        ("a@x.example", None),
        ("a@x.example", 5),
        ("a@x.example", b"b@y.example"),
        ("a@x.example", [b"b@y.example"]),
        ("a@x.example", ["b@y.example", "<c@y.example> d"]),
        ("a@x.example", ["b@y.example", ""]),
        ("a@x.example", "b@y.example, c@y.example"),
    ],
)
def test_what_is_no_mailbox_is_refused(sender: Any, recipients: Any) -> None:
    with pytest.raises(SMTPArgumentError):
        Envelope.of(sender, recipients)


# MAIL and RCPT


@pytest.mark.parametrize("sender", ["", "<>"])
def test_no_sender_is_the_null_reverse_path(sender: str) -> None:
    lines = commands(Envelope.of(sender, "b@y.example"), announced(), PLAIN)
    assert lines == [b"MAIL FROM:<>\r\n", b"RCPT TO:<b@y.example>\r\n"]


ALL = ("SIZE", "8BITMIME", "SMTPUTF8", "DSN")


@pytest.mark.parametrize(
    ("content", "options", "keywords", "expected"),
    [
        (PLAIN, [], (), b""),
        (PLAIN, [], ALL, b" SIZE=18"),
        (PLAIN, ["size=99"], ALL, b" size=99"),
        (PLAIN, ["BODY=7BIT"], ALL, b" BODY=7BIT SIZE=18"),
        (PLAIN, ["RET=HDRS"], ALL, b" RET=HDRS SIZE=18"),
        (EIGHT_BIT, [], ("8BITMIME",), b" BODY=8BITMIME"),
        (EIGHT_BIT, [], ALL, b" SIZE=19 BODY=8BITMIME"),
        (EIGHT_BIT, ["body=8bitmime"], ALL, b" body=8bitmime SIZE=19"),
        (STREAM, [], (), b""),
        (STREAM, [], ALL, b" BODY=8BITMIME"),
        (STREAM, ["SIZE=9"], ALL, b" SIZE=9 BODY=8BITMIME"),
        (STREAM, ["body=7bit"], ALL, b" body=7bit"),
        (STREAM, ["BODY=8BITMIME"], ALL, b" BODY=8BITMIME"),
        (STREAM, ["BODY=BINARYMIME"], (*ALL, "BINARYMIME"), b" BODY=BINARYMIME"),
        (BINARY, ["BODY=BINARYMIME"], ("BINARYMIME",), b" BODY=BINARYMIME"),
        (
            BINARY,
            ["body=binarymime"],
            ("BINARYMIME", "SIZE"),
            b" body=binarymime SIZE=3",
        ),
    ],
)
def test_mail_declares_what_the_server_wants_to_know(
    content: Content, options: list[str], keywords: Iterable[str], expected: bytes
) -> None:
    """A19, A22: where it was announced, and the caller has not said it."""
    envelope = Envelope.of("a@x.example", "b@y.example", options)
    assert commands(envelope, announced(*keywords), content) == [
        b"MAIL FROM:<a@x.example>" + expected + b"\r\n",
        b"RCPT TO:<b@y.example>\r\n",
    ]


def test_every_rcpt_has_the_callers_parameters() -> None:
    envelope = Envelope.of(
        "a@x.example", ["b@y.example", "c@y.example"], (), ["NOTIFY=NEVER"]
    )
    assert commands(envelope, announced("DSN"), PLAIN)[1:] == [
        b"RCPT TO:<b@y.example> NOTIFY=NEVER\r\n",
        b"RCPT TO:<c@y.example> NOTIFY=NEVER\r\n",
    ]


def test_the_callers_lists_stay_as_they_are() -> None:
    """A04, A22: however often they are used."""
    mail_options, rcpt_options = ["RET=HDRS"], ["NOTIFY=NEVER"]
    recipients = ["b@y.example", "b@y.example"]
    for _ in range(2):
        envelope = Envelope.of("jé@x.example", recipients, mail_options, rcpt_options)
        lines = commands(envelope, announced(*ALL), EIGHT_BIT)
        assert lines[0].count(b"SIZE=") == 1
    assert mail_options == ["RET=HDRS"]
    assert rcpt_options == ["NOTIFY=NEVER"]
    assert recipients == ["b@y.example", "b@y.example"]


def test_typed_parameters_stand_behind_raw_ones() -> None:
    """A09: those of one recipient go with its RCPT only."""
    wanted = Parameters(ret="FULL", notify="DELAY", orcpt={"c@y.example": "b+c@z"})
    envelope = Envelope.of(
        "a@x.example", ["b@y.example", "c@y.example"], ["ENVID=x"], ["XFOO"], wanted
    )
    assert commands(envelope, announced("DSN"), PLAIN) == [
        b"MAIL FROM:<a@x.example> ENVID=x RET=FULL\r\n",
        b"RCPT TO:<b@y.example> XFOO NOTIFY=DELAY\r\n",
        b"RCPT TO:<c@y.example> XFOO NOTIFY=DELAY ORCPT=rfc822;b+2Bc@z\r\n",
    ]


@pytest.mark.parametrize(
    ("recipients", "name"),
    [
        (["c@y.example", "b@b\u00fccher.example"], "b@b\u00fccher.example"),
        ([Address("B", "b", "y.example")], "b@y.example"),
        (["b@y.example", "b@y.example"], "b@y.example"),
        (
            ["b@b\u00fccher.example", "b@xn--bcher-kva.example"],
            "b@xn--bcher-kva.example",
        ),
        (["Postmaster"], "Postmaster"),
    ],
    ids=["beyond ASCII", "an object", "twice", "twice, as A-labels", "Postmaster"],
)
def test_an_original_recipient_is_found_by_what_the_caller_calls_it(
    recipients: list[Any], name: str
) -> None:
    wanted = Parameters(orcpt={name: "x@z.example"})
    envelope = Envelope.of("a@x.example", recipients, wanted=wanted)
    lines = commands(envelope, announced("DSN"), PLAIN)
    assert lines[-1].endswith(b"> ORCPT=rfc822;x@z.example\r\n")
    assert b"".join(lines).count(b"ORCPT") == 1


def test_an_original_recipient_is_of_some_recipient() -> None:
    wanted = Parameters(orcpt={"c@y.example": "x@z.example"})
    with pytest.raises(SMTPArgumentError, match="not recipients"):
        Envelope.of("a@x.example", ["b@y.example"], wanted=wanted)


# Parameters


@pytest.mark.parametrize(
    ("raw", "typed", "keyword"),
    [
        ({"mail_options": ["RET=FULL", "ret=HDRS"]}, {}, "RET"),
        ({"mail_options": ["XFOO", "xfoo=1"]}, {}, "XFOO"),
        ({"mail_options": ["envid=x"]}, {"envid": "x"}, "ENVID"),
        ({"mail_options": ["HOLDFOR=1"]}, {"hold_for": 2}, "HOLDFOR"),
        ({"mail_options": ["REQUIRETLS"]}, {"require_tls": True}, "REQUIRETLS"),
        ({"rcpt_options": ["NOTIFY=NEVER"] * 2}, {}, "NOTIFY"),
        ({"rcpt_options": ["notify=NEVER"]}, {"notify": "DELAY"}, "NOTIFY"),
        ({"rcpt_options": ["ORCPT=x;y"]}, {"orcpt": {"b@y.example": "z"}}, "ORCPT"),
    ],
    ids=str,
)
def test_a_parameter_is_given_once(
    raw: dict[str, Any], typed: dict[str, Any], keyword: str
) -> None:
    """A04: in whatever case, and in whichever of two ways."""
    with pytest.raises(SMTPArgumentError, match=f"parameter {keyword} is given twice"):
        Envelope.of("a@x.example", "b@y.example", **raw, wanted=Parameters(**typed))


@pytest.mark.parametrize(
    ("typed", "extension"),
    [
        ({"ret": "FULL"}, "DSN"),
        ({"envid": "x"}, "DSN"),
        ({"notify": "NEVER"}, "DSN"),
        ({"orcpt": {"b@y.example": "x"}}, "DSN"),
        ({"require_tls": True}, "REQUIRETLS"),
        ({"deliver_by": (60, "R")}, "DELIVERBY"),
        ({"mt_priority": 0}, "MT-PRIORITY"),
        ({"hold_for": 60}, "FUTURERELEASE"),
        (
            {"hold_until": datetime(2030, 1, 2, tzinfo=UTC)},
            "FUTURERELEASE",
        ),
    ],
    ids=str,
)
def test_a_typed_parameter_needs_its_extension(
    typed: dict[str, Any], extension: str
) -> None:
    """A04, B21: the error names what was not announced."""
    wanted = Parameters(**typed)
    envelope = Envelope.of("a@x.example", ["c@y.example", "b@y.example"], wanted=wanted)
    others = announced(*({needed for _, needed in NEEDS} - {extension}))
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        commands(envelope, others, PLAIN)
    assert caught.value.command == extension
    assert len(commands(envelope, announced(extension), PLAIN)) == 3


@pytest.mark.parametrize("needs_utf8", [True, False])
def test_a_header_that_needs_smtputf8_says_so_to_mail(needs_utf8: bool) -> None:
    """A07: once, where the caller has said it already."""
    for options in [], ["SMTPUTF8"]:
        envelope = Envelope.of("a@x.example", "b@y.example", options)
        content = Content(b"\r\nhi\r\n", needs_utf8=needs_utf8)
        line = commands(envelope, announced(*ALL), content)[0]
        assert line.count(b" SMTPUTF8") == (1 if needs_utf8 or options else 0)


@pytest.mark.parametrize(
    "option",
    [
        "SIZE=1\r\nRCPT TO:<c@y.example>",
        "SIZE=1 BODY=8BITMIME",
        "SIZE=1\n",
        "SIZE=1\0",
        "SIZE=",
        "SIZE=1=2",
        "=1",
        "",
        " SIZE=1",
        "SIZE\t=1",
        "SI_ZE=1",
        "ENVID=\x7f",
        "ENVID=a\x85b",
        "ENVID=\u2028",
        "ENVID=\ud800",
        b"SIZE=1",
        1,
        None,
        ("SIZE", 1),
    ],
)
@pytest.mark.parametrize("place", ["mail_options", "rcpt_options"])
def test_a_parameter_that_is_none_is_refused(option: Any, place: str) -> None:
    """A04: whatever would end it early, or is no text; the error names the place."""
    with pytest.raises(SMTPArgumentError, match=place):
        Envelope.of("a@x.example", "b@y.example", **{place: [option]})


@pytest.mark.parametrize("options", ["SIZE=1", b"SIZE=1"])
def test_parameters_are_not_one_string(options: Any) -> None:
    """A04: its characters would be taken for parameters."""
    with pytest.raises(SMTPArgumentError, match="not one string"):
        Envelope.of("a@x.example", "b@y.example", options)


NEEDS = [
    ("SIZE=1", "SIZE"),
    ("size=1", "SIZE"),
    ("BODY=8BITMIME", "8BITMIME"),
    ("BODY=7BIT", "8BITMIME"),
    ("BODY=BINARYMIME", "BINARYMIME"),
    ("body=binarymime", "BINARYMIME"),
    ("SMTPUTF8", "SMTPUTF8"),
    ("AUTH=<>", "AUTH"),
    ("REQUIRETLS", "REQUIRETLS"),
    ("MT-PRIORITY=3", "MT-PRIORITY"),
    ("RET=FULL", "DSN"),
    ("ENVID=x", "DSN"),
    ("NOTIFY=NEVER", "DSN"),
    ("orcpt=rfc822;b@y.example", "DSN"),
    ("BY=120;R", "DELIVERBY"),
    ("HOLDFOR=60", "FUTURERELEASE"),
    ("HOLDUNTIL=2030-01-01T00:00:00Z", "FUTURERELEASE"),
]


@pytest.mark.parametrize(("option", "extension"), NEEDS)
@pytest.mark.parametrize("place", ["mail_options", "rcpt_options"])
def test_a_parameter_needs_its_extension(
    option: str, extension: str, place: str
) -> None:
    """A04: the error names what was not announced."""
    envelope = Envelope.of("a@x.example", "b@y.example", **{place: [option]})
    others = announced(*({needed for _, needed in NEEDS} - {extension}))
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        commands(envelope, others, PLAIN)
    assert caught.value.command == extension
    check_announced([option], announced(extension))


def test_the_server_is_the_judge_of_parameters_that_nobody_knows() -> None:
    check_announced(["XFOO", "X-BAR=1"], announced())


def test_what_is_required_was_announced() -> None:
    require("size", announced("SIZE"), "reason")
    with pytest.raises(SMTPCommandNotSupportedError, match="CHUNKING: the reason"):
        require("CHUNKING", announced("SIZE"), "the reason")


@pytest.mark.parametrize(
    ("options", "is_verified", "is_refused"),
    [
        (["REQUIRETLS"], False, True),
        (["SIZE=1", "RequireTLS"], False, True),
        (["REQUIRETLS"], True, False),
        (["SIZE=1"], False, False),
        ([], False, False),
    ],
)
def test_requiretls_is_for_a_server_that_has_shown_who_it_is(
    options: list[str], is_verified: bool, is_refused: bool
) -> None:
    """B21: RFC 8689 2."""
    if not is_refused:
        check_tls(options, is_verified=is_verified)
        return
    with pytest.raises(SMTPTLSError, match="verified"):
        check_tls(options, is_verified=is_verified)


# Mailboxes beyond ASCII


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [
        ("josé@x.example", "b@y.example"),
        ("a@x.example", "josé@y.example"),
        ("a@x.example", "josé@bücher.example"),
        ("a@x.example", '"jo sé"@y.example'),
    ],
)
def test_a_local_part_beyond_ascii_needs_smtputf8(sender: str, recipient: str) -> None:
    """A07: and says so to MAIL."""
    envelope = Envelope.of(sender, ["b@y.example", recipient])
    with pytest.raises(SMTPCommandNotSupportedError, match="SMTPUTF8") as caught:
        commands(envelope, announced("8BITMIME"), PLAIN)
    assert caught.value.command == "SMTPUTF8"
    line, *rcpts = commands(envelope, announced("8BITMIME", "SMTPUTF8"), PLAIN)
    assert line == f"MAIL FROM:<{sender}> SMTPUTF8\r\n".encode()
    wire = recipient.replace("bücher", "xn--bcher-kva")
    assert rcpts[-1] == f"RCPT TO:<{wire}>\r\n".encode()


def test_smtputf8_is_said_once() -> None:
    """A07: where the caller has said it already."""
    envelope = Envelope.of("josé@x.example", "b@y.example", ["smtputf8"])
    line = commands(envelope, announced("SMTPUTF8"), PLAIN)[0]
    assert line == "MAIL FROM:<josé@x.example> smtputf8\r\n".encode()


def test_a_domain_beyond_ascii_needs_no_extension() -> None:
    """A07: it travels as A-labels."""
    envelope = Envelope.of("a@bücher.example", "b@BÜCHER.example")
    assert commands(envelope, announced("SMTPUTF8"), PLAIN) == [
        b"MAIL FROM:<a@xn--bcher-kva.example>\r\n",
        b"RCPT TO:<b@xn--bcher-kva.example>\r\n",
    ]


# Content


def test_8_bit_content_needs_8bitmime() -> None:
    """A19: it is refused where it could not travel."""
    check_content(EIGHT_BIT, announced("8BITMIME"), None)
    check_content(PLAIN, announced(), None)
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        check_content(EIGHT_BIT, announced("SMTPUTF8"), None)
    assert caught.value.command == "8BITMIME"


def test_8_bit_content_is_not_declared_to_be_7_bit() -> None:
    """A19: whoever relays it would believe it."""
    envelope = Envelope.of("a@x.example", "b@y.example", ["body=7bit"])
    with pytest.raises(SMTPArgumentError, match="7BIT"):
        commands(envelope, announced("8BITMIME"), EIGHT_BIT)


@pytest.mark.parametrize(("limit", "is_refused"), [(18, False), (17, True)])
def test_content_over_the_announced_size_is_refused(
    limit: int, is_refused: bool
) -> None:
    """A22: 15 octets as the caller has them, 18 on the wire."""
    if not is_refused:
        check_content(PLAIN, announced(), limit)
        return
    with pytest.raises(
        SMTPArgumentError, match="18 octets, but the server accepts at most 17"
    ):
        check_content(PLAIN, announced(), limit)


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("keywords", [(), ("8BITMIME",)])
def test_what_is_read_as_it_is_sent_is_not_judged_before(
    limit: int | None, keywords: tuple[str, ...]
) -> None:
    """A22, A19: nothing is known of it."""
    check_content(STREAM, announced(*keywords), limit)


def test_binary_content_has_a_size_as_well() -> None:
    """A22: and needs no 8BITMIME (RFC 3030 3)."""
    check_content(BINARY, announced(), 3)
    with pytest.raises(
        SMTPArgumentError, match="3 octets, but the server accepts at most 2"
    ):
        check_content(BINARY, announced(), 2)


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ([], None),
        (["SIZE=9", "SMTPUTF8"], None),
        (["XBODY=BINARYMIME"], None),
        (["BODY"], ""),
        (["BODY=7BIT"], "7BIT"),
        (["SIZE=9", "body=8bitMIME"], "8BITMIME"),
        (["Body=BinaryMime"], "BINARYMIME"),
        (["BODY=BINARYMIME;x"], "BINARYMIME;X"),
        (["RET=FULL", "BODY=BINARYMIME"], "BINARYMIME"),
    ],
    ids=str,
)
def test_an_envelope_tells_what_mail_says_of_the_content(
    options: list[str], body: str | None
) -> None:
    """A17: in whatever case; a parameter of RCPT tells nothing."""
    envelope = Envelope.of("a@x.example", "b@y.example", options, ["BODY=BINARYMIME"])
    assert body_of(envelope.mail_options) == body
    assert envelope.is_binary is (body == "BINARYMIME")


# In a conversation

GREETING = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-SIZE 20
    S: 250 PIPELINING
    """


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        pytest.param(
            ("josé@x.example", "b@y.example", "hi"),
            SMTPCommandNotSupportedError,
            id="A07-no SMTPUTF8",
        ),
        pytest.param(
            ("a@x.example", "b@y.example", "é"),
            SMTPCommandNotSupportedError,
            id="A19-no 8BITMIME",
        ),
        pytest.param(
            ("a@x.example", "b@y.example", "\n" + "x" * 999),
            SMTPArgumentError,
            id="A20-a long line",
        ),
        pytest.param(
            ("a@x.example", "b@y.example", "\n" * 11),
            SMTPArgumentError,
            id="A22-too large",
        ),
        pytest.param(
            ("a@x.example", "b@y.example", "hi", ["RET=FULL"]),
            SMTPCommandNotSupportedError,
            id="A04-no DSN",
        ),
        pytest.param(
            ("a@x.example", "b@y.example", "hi", (), ["NOTIFY=NEVER"]),
            SMTPCommandNotSupportedError,
            id="A04-no DSN for RCPT",
        ),
    ],
)
async def test_what_cannot_travel_fails_before_mail(
    arguments: tuple[Any, ...], kind: type[Exception]
) -> None:
    script = GREETING + "C: NOOP\n    S: 250 ok\n"
    async with client(script) as smtp:
        await smtp.ehlo()
        with pytest.raises(kind):
            await smtp.sendmail(*arguments)
        await smtp.noop()


async def test_requiretls_as_an_option_needs_verified_tls() -> None:
    """B21: in clear anybody may have announced it."""
    greeting = GREETING.replace("SIZE 20", "REQUIRETLS")
    async with client(greeting + "C: NOOP\n    S: 250 ok\n") as smtp:
        with pytest.raises(SMTPTLSError, match="verified"):
            await smtp.sendmail("a@x.example", "b@y.example", "hi", ["RequireTLS"])
        await smtp.noop()


async def test_lists_can_be_used_for_the_next_mail() -> None:
    """A22: SIZE is of the wire form, and of each mail."""
    transaction = """C: MAIL FROM:<a@x.example> SIZE={}
    C: RCPT TO:<b@y.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go ahead
    C:
    C: {}
    C: .
    S: 250 taken
    """
    script = GREETING + transaction.format(5, "x") + transaction.format(8, ".....")
    options: list[str] = []
    async with client(script) as smtp:
        await smtp.sendmail("a@x.example", "b@y.example", "\nx\n", options)
        await smtp.sendmail("a@x.example", "b@y.example", b"\n....", options)
    assert options == []


# What the caller calls a recipient


def test_a_recipient_is_called_what_the_caller_calls_it() -> None:
    """An object by its mailbox; of two spellings of one mailbox the first."""
    al, bo = Address("Al", "a..l", "y.example"), "Bo <bo@y.example>"
    envelope = Envelope.of("Me <a@x.example>", [al, bo, " bo@y.example ", "root"])
    assert envelope.sender == "a@x.example"
    assert envelope.recipients == {
        '"a..l"@y.example': '"a..l"@y.example',
        bo: "bo@y.example",
        "root": "root",
    }

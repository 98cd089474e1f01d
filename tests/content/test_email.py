"""Messages of the `email` package on their way to one server."""

from __future__ import annotations

import email
import re
import sys
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from conversation import client

from smtplibaio import SMTPArgumentError, SMTPCommandNotSupportedError
from smtplibaio.content.email import envelope_for, fit, is_email_message, prepare
from smtplibaio.content.forms import Content, Stream


def mail(text: str = "hello\n", cte: str | None = None, **fields: str) -> EmailMessage:
    """Make a message, from a@x.example to b@y.example where nothing else is said."""
    message = EmailMessage()
    fields = {"from_": "a@x.example", "to": "b@y.example", "subject": "hi"} | fields
    for name, value in fields.items():
        message[name.strip("_").replace("_", "-").title()] = value
    message.set_content(text, cte=cte)
    return message


# Which messages, from whom and to whom


@pytest.mark.parametrize(
    ("message", "expected"),
    [(EmailMessage(), True), (Message(), True), (b"", False), (None, False)],
)
def test_messages_of_the_email_package_are_known(message: Any, expected: bool) -> None:
    assert is_email_message(message) is expected


def test_nothing_is_one_of_them_where_the_package_was_never_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "email.message")
    assert is_email_message(b"") is False


GROUP = "team: b@y.example;"


@pytest.mark.parametrize(
    ("fields", "sender", "recipients", "expected"),
    [
        ({}, None, None, ("a@x.example", ["b@y.example"])),
        ({}, "c@z.example", None, ("c@z.example", ["b@y.example"])),
        ({}, "", None, ("", ["b@y.example"])),
        ({}, None, "c@z.example", ("a@x.example", "c@z.example")),
        ({}, None, [], ("a@x.example", [])),
        pytest.param(
            {"to": GROUP}, None, ["b@y.example"], ("a@x.example", ["b@y.example"]),
            id="group-in-To-that-is-not-asked",
        ),
        pytest.param(
            {"from_": GROUP}, "a@x.example", None, ("a@x.example", ["b@y.example"]),
            id="group-in-From-that-is-not-asked",
        ),
    ],
)  # fmt: skip
def test_the_callers_word_goes_before_the_messages(
    fields: dict[str, str], sender: Any, recipients: Any, expected: Any
) -> None:
    assert envelope_for(mail(**fields), sender, recipients) == expected


def test_octets_name_nobody() -> None:
    with pytest.raises(SMTPArgumentError, match="pass sender= and recipients="):
        envelope_for(b"From: a@x.example\r\n\r\n", None, ["b@y.example"])


@pytest.mark.parametrize("author", ["a@x.example, c@x.example", "nobody:;", ""])
def test_a_message_that_has_not_one_sender_is_an_error(author: str) -> None:
    with pytest.raises(SMTPArgumentError, match="pass sender="):
        envelope_for(mail(from_=author), None, None)


# What a server needs


def test_a_message_is_8_bit_where_the_server_takes_that() -> None:
    """A19: and is encoded where it does not."""
    message = mail("café\n", cte="8bit")
    assert fit(message, {"8BITMIME": ()}).is_8bit
    fitted = fit(message, {})
    assert not fitted.is_8bit
    assert not fitted.needs_utf8


def test_a_mailbox_beyond_ascii_needs_smtputf8() -> None:
    """A07: otherwise the message is not sent."""
    message = mail(reply_to="josé@x.example")
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        fit(message, {"8BITMIME": ()})
    assert caught.value.command == "SMTPUTF8"
    assert fit(message, {"8BITMIME": (), "SMTPUTF8": ()}).needs_utf8


# Date and Message-ID


def sent(message: Message, sender: str = "a@x.example") -> Message:
    """Give a message as it leaves with the fields that it lacked."""
    content = fit(message, {}, add_missing=True, sender=sender)
    assert isinstance(content, Content)
    return email.message_from_bytes(b"".join(content.blocks()))


def test_what_a_message_lacks_is_added_to_the_copy_that_leaves() -> None:
    """RFC 5322 3.6, and the identifier has the domain of the sender."""
    for message in (mail(), MIMEText("hello\n")):
        before = message.as_bytes()
        copy = sent(message)
        assert message.as_bytes() == before
        assert parsedate_to_datetime(copy["Date"]).tzinfo is not None
        assert re.fullmatch(r"<[^<>@ ]+@x\.example>", copy["Message-ID"])
        assert sent(message, "")["Message-ID"].endswith("@localhost>")


def test_what_a_message_has_is_not_added() -> None:
    message = mail(date="Mon, 30 Nov 2026 12:00:00 +0000", message_id="<1@x.example>")
    assert sent(message).keys() == message.keys()
    assert "Date" not in b"".join(fit(mail(), {}).blocks()).decode()


@pytest.mark.parametrize(
    "field", ["Received", "Return-Path", "DKIM-Signature", "ARC-Seal"]
)
def test_nothing_is_added_to_a_message_that_is_finished(field: str) -> None:
    message = mail()
    message[field] = "x"
    assert sent(message).keys() == message.keys()


def test_nothing_is_added_to_what_is_signed() -> None:
    message = MIMEMultipart("signed", _subparts=[MIMEText("hi\n")])
    assert "Date" not in sent(message)


def test_what_a_broken_message_raises_is_the_cause_of_our_error() -> None:
    """G09: whoever reads it first."""

    class Broken:
        def __str__(self) -> str:
            raise AttributeError("nothing")

    message = Message()
    message["From"] = "a@x.example"
    message["Content-Type"] = Broken()
    with pytest.raises(SMTPArgumentError, match="cannot be read: nothing") as caught:
        fit(message, {}, add_missing=True)
    assert isinstance(caught.value.__cause__, AttributeError)
    message = Message()
    message[5] = "a@x.example"
    with pytest.raises(SMTPArgumentError, match="cannot be read: ") as caught:
        envelope_for(message, None, None)
    assert isinstance(caught.value.__cause__, AttributeError)


# What is known before the server is


@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("message", [EmailMessage(), Message(), mail("a\0b\n")])
def test_a_message_of_the_email_package_waits_for_the_server(
    message: Message, is_binary: bool
) -> None:
    assert prepare(message, is_binary=is_binary) is None


@pytest.mark.parametrize("is_binary", [False, True])
def test_what_is_whole_is_prepared_and_what_is_a_source_is_kept(
    is_binary: bool,
) -> None:
    fitted = prepare(b"a\n", is_binary=is_binary)
    assert isinstance(fitted, Content)
    assert fitted.size == (2 if is_binary else 3)
    assert not fitted.needs_utf8
    source = iter([b"a\n"])
    read_later = prepare(source, is_binary=is_binary)
    assert isinstance(read_later, Stream)
    assert read_later.source is source
    assert read_later.is_binary is is_binary
    assert not read_later.needs_utf8


@pytest.mark.parametrize("message", [b"\n\0", b"\r", b"x" * 999, None, ["a"]], ids=repr)
def test_what_cannot_be_sent_to_any_server_is_refused_at_once(message: Any) -> None:
    """A18, A14, A20, E06: before a connection is needed."""
    with pytest.raises(SMTPArgumentError):
        prepare(message)


# Conversations


async def test_eight_bit_content_goes_as_it_is_where_8bitmime_is_offered() -> None:
    """A19: RFC 6152 3."""
    message = mail("café\n", cte="8bit")
    before = message.as_bytes()
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-PIPELINING
        S: 250 8BITMIME
        C: MAIL FROM:<a@x.example> BODY=8BITMIME
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: b@y.example
        C: Subject: hi
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: 8bit
        C: MIME-Version: 1.0
        C:
        C: café
        C: .
        S: 250 ok
        """) as smtp:
        assert await smtp.send_message(message) == {}
    assert message.as_bytes() == before


async def test_eight_bit_content_is_encoded_where_8bitmime_is_not_offered() -> None:
    """A19: RFC 6152 3; quoted-printable where that is the shorter."""
    message = mail("a table in the café\n", cte="8bit")
    before = message.as_bytes()
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: b@y.example
        C: Subject: hi
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: quoted-printable
        C: MIME-Version: 1.0
        C:
        C: a table in the caf=C3=A9
        C: .
        S: 250 ok
        """) as smtp:
        assert await smtp.send_message(message) == {}
    assert message.as_bytes() == before


async def test_a_mailbox_beyond_ascii_travels_with_smtputf8() -> None:
    """A07: RFC 6531 3.4; header fields are in UTF-8 then (RFC 6532)."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example> BODY=8BITMIME SMTPUTF8
        C: RCPT TO:<josé@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: José <josé@y.example>
        C: Subject: hi
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: 7bit
        C: MIME-Version: 1.0
        C:
        C: hello
        C: .
        S: 250 ok
        """) as smtp:
        assert await smtp.send_message(mail(to="José <josé@y.example>")) == {}


async def test_without_smtputf8_it_is_an_error_before_mail() -> None:
    """A07: and the session is still of use."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 8BITMIME
        C: NOOP
        S: 250 ok
        """) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError, match="SMTPUTF8"):
            await smtp.send_message(mail(to="josé@y.example"))
        await smtp.noop()


async def test_a_domain_beyond_ascii_travels_as_a_labels() -> None:
    """A07: in envelope and header, though SMTPUTF8 is offered (RFC 5891)."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-8BITMIME
        S: 250-SMTPUTF8
        S: 250 PIPELINING
        C: MAIL FROM:<a@xn--bcher-kva.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: =?utf-8?q?J=C3=BCrgen?= <a@xn--bcher-kva.example>
        C: To: b@y.example
        C: Subject: hi
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: 7bit
        C: MIME-Version: 1.0
        C:
        C: hello
        C: .
        S: 250 ok
        """) as smtp:
        assert await smtp.send_message(mail(from_="Jürgen <a@bücher.example>")) == {}


async def test_bcc_is_a_recipient_and_never_leaves() -> None:
    message = mail(bcc="c@z.example")
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: RCPT TO:<c@z.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        C: From: a@x.example
        C: To: b@y.example
        C: Subject: hi
        C: Content-Type: text/plain; charset="utf-8"
        C: Content-Transfer-Encoding: 7bit
        C: MIME-Version: 1.0
        C:
        C: hello
        C: .
        S: 250 ok
        """) as smtp:
        assert await smtp.send_message(message) == {}
    assert message["Bcc"] == "c@z.example"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"to": "undisclosed-recipients:;"}, "no recipient"),
        ({"to": ""}, "no recipient"),
        ({"to": "b"}, "cannot be read"),
        ({"from_": "a@x.example, c@x.example"}, "sender="),
    ],
)
async def test_an_envelope_that_is_none_is_an_error_before_the_wire(
    fields: dict[str, str], complaint: str
) -> None:
    async with client("""
        S: 220 hi
        """) as smtp:
        with pytest.raises(SMTPArgumentError, match=complaint):
            await smtp.send_message(mail(**fields))

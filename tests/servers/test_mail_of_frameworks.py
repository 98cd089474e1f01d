"""Messages as other libraries make them are sent, and read back as what they are."""

from __future__ import annotations

import email
import mailbox
from email import policy
from email.message import Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr, formatdate, make_msgid
from pathlib import Path
from typing import Any

import pytest
from storing_server import storing

every_server = pytest.mark.parametrize("is_8bit", [True, False], ids=["8bit", "7bit"])


async def read_back(message: Message, *, is_8bit: bool) -> Any:
    async with storing(is_8bit=is_8bit) as (client, store):
        assert await client.send_message(message) == {}
        (octets,) = store.mails
    return email.message_from_bytes(octets, policy=policy.default)


@every_server
async def test_a_message_of_django_arrives(is_8bit: bool) -> None:
    """M85."""
    django_mail = pytest.importorskip(
        "django.core.mail", reason="Django is not installed (pip install django)"
    )
    from django.conf import settings

    if not settings.configured:
        settings.configure(DEFAULT_CHARSET="utf-8", USE_TZ=True, TIME_ZONE="UTC")
    made = django_mail.EmailMultiAlternatives(
        "Grüße " * 20,
        "café\n",
        "Jörg <a@x.example>",
        ['"Müller, Eva" <b@y.example>'],
        bcc=["c@y.example"],
    )
    made.attach_alternative("<p>" + "é" * 900 + "</p>", "text/html")
    made.attach("für.txt", "z" * 1500 + "\n", "text/plain")
    sent = await read_back(made.message(), is_8bit=is_8bit)
    assert sent["Subject"].split() == ["Grüße"] * 20
    assert [a.addr_spec for a in sent["To"].addresses] == ["b@y.example"]
    assert sent.get_body(("plain",)).get_content().split() == ["café"]
    assert [part.get_filename() for part in sent.iter_attachments()] == ["für.txt"]


@every_server
async def test_a_message_out_of_a_mailbox_arrives_without_its_mbox_line(
    is_8bit: bool, tmp_path: Path
) -> None:
    """M84."""
    box = mailbox.mbox(tmp_path / "box")
    text = "From: a@x.example\nTo: b@y.example\nSubject: x\n\n>From here\n"
    box.add(text.encode())
    box.flush()
    (message,) = box
    message.set_flags("RO")
    sent = await read_back(message, is_8bit=is_8bit)
    assert sent.keys() == ["From", "To", "Subject", "Status", "X-Status"]
    assert sent.get_content() == ">From here\r\n"
    box.close()


@every_server
async def test_a_message_that_is_put_together_of_mime_parts_arrives(
    is_8bit: bool,
) -> None:
    """As Flask-Mail and most scripts do it."""
    message = MIMEMultipart()
    message["Subject"] = "Grüße"
    message["From"] = formataddr(("Jörg", "a@x.example"))
    message["To"] = ", ".join(
        [formataddr(("Müller, Eva", "b@y.example")), "c@y.example"]
    )
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = make_msgid()
    message.attach(MIMEText("café\n", "plain", "utf-8"))
    part = MIMEApplication(b"\xff" * 99, "pdf")
    part.add_header("Content-Disposition", "attachment", filename="Größe.pdf")
    message.attach(part)
    sent = await read_back(message, is_8bit=is_8bit)
    assert sent["Subject"] == "Grüße"
    assert [str(a) for a in sent["From"].addresses] == ["Jörg <a@x.example>"]
    names = [(a.display_name, a.addr_spec) for a in sent["To"].addresses]
    assert names == [("Müller, Eva", "b@y.example"), ("", "c@y.example")]
    assert sent["Message-ID"] == message["Message-ID"]
    text, file = sent.iter_parts()
    assert text.get_content() == "café\n"
    assert (file.get_filename(), file.get_content()) == ("Größe.pdf", b"\xff" * 99)

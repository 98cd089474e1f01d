"""Message objects that only their program can repair stop no other mail of a run."""

from __future__ import annotations

from email.message import EmailMessage, Message
from email.mime.text import MIMEText
from typing import Any

from storing_server import storing

from smtplibaio import SMTPArgumentError


class Broken:
    """What some object of a program does when it is asked for its text."""

    def __str__(self) -> str:
        raise AttributeError("display_name")


def mail(**fields: Any) -> Message:
    message = MIMEText("hi\n")
    for name, value in {"From": "a@x.example", "To": "b@y.example", **fields}.items():
        message[name] = value
    return message


def new(value: Any) -> Message:
    message = EmailMessage()
    message["From"] = "a@x.example"
    message["To"] = value
    message.set_content("hi\n")
    return message


def with_payload(payload: Any) -> Message:
    message = mail()
    message.set_payload(payload)
    return message


async def test_a_broken_message_in_a_run_is_not_sent_and_the_others_are() -> None:
    """G09."""
    mails = {
        "a list": (new(["b@y.example", "C <c@y.example>"]), True),
        "a recipient": (mail(To=Broken()), False),
        "another field": (mail(Subject=Broken()), False),
        "numbers in To": (new([1, 2]), False),
        "a number": (with_payload(7), False),
        "a list of text": (with_payload(["hi"]), False),
        "a field name": (mail(**{"X Y": "1"}), False),
        "a number in a field": (mail(Subject=5), True),
    }
    async with storing(is_8bit=True) as (client, store):
        outcomes = [
            outcome
            async for outcome in client.send_many(
                [message for message, _ in mails.values()]
            )
        ]
        assert len(store.mails) == 2
    for outcome, (name, (_, is_sent)) in zip(outcomes, mails.items(), strict=True):
        assert outcome.status == ("accepted" if is_sent else "not sent"), name
        assert is_sent or isinstance(outcome.error, SMTPArgumentError)

"""Mails of a run have the parameters of `send_message`, and each an outcome."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, get_args

import pytest

from smtplibaio import (
    SMTP,
    Mail,
    Outcome,
    SMTPArgumentError,
)
from smtplibaio.content.forms import Content
from smtplibaio.grammar.extensions import Extensions
from smtplibaio.mail.result import Status
from smtplibaio.mail.terms import Terms

ANY = Extensions(
    dict.fromkeys(
        ("DSN", "REQUIRETLS", "DELIVERBY", "MT-PRIORITY", "FUTURERELEASE"), ()
    )
)
CONTENT = Content(b"\r\nhi\r\n")


def email() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "a@x.example"
    message["To"] = "b@y.example"
    message["Bcc"] = "c@y.example"
    return message


def lines(mail: Mail) -> list[bytes]:
    terms = Terms(ANY, is_verified=True)
    plan = terms.plan(mail.envelope(), b"", CONTENT)
    return [plan.mail, *plan.rcpts]


# Mails


def test_a_mail_takes_what_send_message_takes() -> None:
    """A09: by the same names, with the same defaults."""
    parameters = inspect.signature(SMTP.send_message).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.name != "self"}
    own = {p.name: p.default for p in inspect.signature(Mail).parameters.values()}
    assert own == defaults


@pytest.mark.parametrize(
    ("parameter", "in_mail", "in_rcpt"),
    [
        ({}, b"", b""),
        ({"mail_options": ["RET=FULL"]}, b" RET=FULL", b""),
        ({"rcpt_options": ("NOTIFY=NEVER",)}, b"", b" NOTIFY=NEVER"),
        ({"mail_options": None, "rcpt_options": None}, b"", b""),
        ({"ret": "HDRS"}, b" RET=HDRS", b""),
        ({"envid": "a+b"}, b" ENVID=a+2Bb", b""),
        ({"notify": ["DELAY", "FAILURE"]}, b"", b" NOTIFY=DELAY,FAILURE"),
        ({"orcpt": {"b@y.example": "z@z"}}, b"", b" ORCPT=rfc822;z@z"),
        ({"require_tls": True}, b" REQUIRETLS", b""),
        ({"deliver_by": (120, "R")}, b" BY=120;R", b""),
        ({"mt_priority": -3}, b" MT-PRIORITY=-3", b""),
        ({"mt_priority": 0}, b" MT-PRIORITY=0", b""),
        ({"hold_for": 60}, b" HOLDFOR=60", b""),
        (
            {"hold_until": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)},
            b" HOLDUNTIL=2030-01-02T03:04:05Z",
            b"",
        ),
        ({"all_or_nothing": True, "progress": print}, b"", b""),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_parameter_of_a_mail_is_one_of_its_commands(
    parameter: dict[str, Any], in_mail: bytes, in_rcpt: bytes
) -> None:
    """A09: each of them."""
    mail = Mail("hi\n", "a@x.example", ["b@y.example"], **parameter)
    assert lines(mail) == [
        b"MAIL FROM:<a@x.example>" + in_mail + b"\r\n",
        b"RCPT TO:<b@y.example>" + in_rcpt + b"\r\n",
    ]


@pytest.mark.parametrize(
    ("sender", "recipients", "expected"),
    [
        (None, None, ("a@x.example", ["b@y.example", "c@y.example"])),
        ("d@z.example", None, ("d@z.example", ["b@y.example", "c@y.example"])),
        ("", None, ("", ["b@y.example", "c@y.example"])),
        (None, "d@z.example", ("a@x.example", ["d@z.example"])),
        ("d@z.example", ["e@z.example"], ("d@z.example", ["e@z.example"])),
    ],
)
def test_an_envelope_is_the_messages_where_it_is_not_told(
    sender: Any, recipients: Any, expected: tuple[str, list[str]]
) -> None:
    envelope = Mail(email(), sender, recipients).envelope()
    assert (envelope.sender, list(envelope.recipients)) == expected


@pytest.mark.parametrize(
    ("mail", "complaint"),
    [
        (Mail(b"hi"), "pass sender= and recipients="),
        (Mail(b"hi", "a@x.example"), "pass sender= and recipients="),
        (Mail(b"hi", None, "b@y.example"), "pass sender= and recipients="),
        (Mail(b"hi", "a@x.example", []), "no recipient"),
        (Mail(EmailMessage()), "pass sender="),
        (Mail(b"hi", "a@x.example", "b@y.example", ["X=1\r\nQUIT"]), "mail_options"),
        (Mail(b"hi", "a@x.example", "b@y.example", "SIZE=1"), "mail_options"),
        (Mail(b"hi", "a@x.example", "b@y.example", mt_priority=10), "mt_priority"),
        (
            Mail(b"hi", "a@x.example", "b@y.example", orcpt={"c@y.example": "x"}),
            "orcpt",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_envelope_that_is_none_is_refused(mail: Mail, complaint: str) -> None:
    with pytest.raises(SMTPArgumentError, match=complaint):
        mail.envelope()


def test_a_mail_can_be_made_before_it_is_known_whether_it_is_one() -> None:
    """Whoever makes it is told by its outcome."""
    assert Mail(object(), 5, 5, ret="NONE").message  # type: ignore[arg-type]


def test_a_mail_is_not_changed_but_another_can_be_made_of_it() -> None:
    mail = Mail("hi\n", "a@x.example", ["b@y.example"], envid="x")
    with pytest.raises(FrozenInstanceError):
        mail.envid = "y"  # type: ignore[misc]
    other = replace(mail, recipients=["c@y.example"])
    assert lines(other)[0] == lines(mail)[0]
    assert lines(other)[1] == b"RCPT TO:<c@y.example>\r\n"


def test_an_envelope_can_be_made_twice() -> None:
    """And what the message says is left as it was."""
    message = email()
    mail = Mail(message)
    assert lines(mail) == lines(mail)
    assert message["Bcc"] == "c@y.example"


# Outcomes


def test_there_are_five_statuses() -> None:
    assert get_args(Status) == ("accepted", "partial", "refused", "unknown", "not sent")
    assert [f.name for f in fields(Outcome)] == ["mail", "result", "error", "status"]

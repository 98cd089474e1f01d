"""Who sends a message, and who gets it, as its fields say."""

from __future__ import annotations

from email.policy import Policy
from typing import Any

import pytest
from mails import POLICIES, read, state
from mails import read_fields as mail

from smtplibaio import SMTPArgumentError
from smtplibaio.content.email import envelope_of

every_policy = pytest.mark.parametrize("policy_", POLICIES.values(), ids=POLICIES)

OLD_BLOCK = """\
Resent-Sender: old@o.example
Resent-Cc: old-cc@o.example
Resent-From: old@o.example
Resent-To: old-to@o.example
From: a@x.example
To: b@y.example"""

ENVELOPES = {
    "all-fields": (
        (
            "From: a@x.example\nTo: b@y.example, C <c@y.example>\nCc: d@y.example\n"
            "Bcc: e@y.example"
        ),
        "a@x.example",
        ["b@y.example", "c@y.example", "d@y.example", "e@y.example"],
    ),
    "sender-goes-before-from": (
        "From: a@x.example, c@x.example\nSender: s@x.example\nTo: b@y.example",
        "s@x.example",
        ["b@y.example"],
    ),
    "several-from": ("From: a@x.example, c@x.example", None, []),
    "no-from": ("To: b@y.example", None, ["b@y.example"]),
    "empty-group": (
        "From: a@x.example\nTo: undisclosed-recipients:;\nCc: b@y.example",
        "a@x.example",
        ["b@y.example"],
    ),
    "G10-groups": (
        (
            "From: a@x.example\nTo: team: b@y.example, C <c@y.example>;, d@y.example"
            "\nCc: none:;\nBcc: one: e@y.example;"
        ),
        "a@x.example",
        ["b@y.example", "c@y.example", "d@y.example", "e@y.example"],
    ),
    "G11-dots-that-need-quotes": (
        'From: "name."@x.example\nTo: "user..name"@y.example, "plain"@y.example',
        '"name."@x.example',
        ['"user..name"@y.example', "plain@y.example"],
    ),
    "folded": (
        "From: a@x.example\nTo: b@y.example,\n c@y.example",
        "a@x.example",
        ["b@y.example", "c@y.example"],
    ),
    "A06-quoted-local-part": (
        'From: a@x.example\nTo: "evil@x y"@good.example',
        "a@x.example",
        ['"evil@x y"@good.example'],
    ),
    "A06-encoded-name": (
        "From: a@x.example\nTo: =?utf-8?q?evil=40x=2C?= <b@good.example>",
        "a@x.example",
        ["b@good.example"],
    ),
    "A07-utf8-that-was-read": (
        "From: a@x.example\nTo: José <josé@y.example>",
        "a@x.example",
        ["josé@y.example"],
    ),
    "resent": (
        (
            "Resent-From: n@n.example\nResent-To: to@n.example\nResent-Cc: cc@n.example"
            "\nResent-Bcc: bcc@n.example\nFrom: a@x.example\nTo: b@y.example"
        ),
        "n@n.example",
        ["to@n.example", "cc@n.example", "bcc@n.example"],
    ),
    "resent-sender": (
        (
            "Resent-From: a@n.example, b@n.example\nResent-Sender: s@n.example\n"
            "Resent-To: to@n.example"
        ),
        "s@n.example",
        ["to@n.example"],
    ),
    "resent-twice": (
        (
            "Resent-From: n@n.example\nResent-To: to@n.example\n"
            "Resent-From: o@o.example\nResent-To: o@o.example\n"
            "Resent-Cc: o@o.example\nFrom: a@x.example"
        ),
        "n@n.example",
        ["to@n.example"],
    ),
    "resent-twice-with-a-relay-between": (
        (
            "Received: by new\nResent-From: n@n.example\nResent-To: to@n.example\n"
            f"Received: by old\n{OLD_BLOCK}"
        ),
        "n@n.example",
        ["to@n.example"],
    ),
    "not-resent": (
        "X-Resent-To: x@x.example\nFrom: a@x.example\nTo: b@y.example",
        "a@x.example",
        ["b@y.example"],
    ),
}


@every_policy
@pytest.mark.parametrize(
    ("text", "sender", "recipients"), ENVELOPES.values(), ids=ENVELOPES
)
def test_the_envelope_is_that_of_the_newest_block(
    policy_: Policy[Any], text: str, sender: str | None, recipients: list[str]
) -> None:
    message = mail(text, policy_)
    before = state(message)
    assert envelope_of(message) == (sender, recipients)
    assert state(message) == before


@every_policy
@pytest.mark.parametrize(
    ("field", "complaint"),
    [
        (b"Sender: team: b@y.example;", "'team'.*sender="),
        (b"From: team: b@y.example;", "'team'.*sender="),
        (b"To: <>", "cannot be read"),
        (b"Cc: root", "cannot be read"),
        (b"Bcc: b@y.example <c@y.example>", "cannot be read"),
        (b"To: B <b@y.example", "cannot be read"),
        (b"To: b@y.example; c@y.example", "cannot be read"),
        (b"From: a b@y.example", "cannot be read"),
        pytest.param(b"To: jos\xe9@y.example", "not UTF-8", id="A07-Latin-1"),
    ],
)
def test_a_field_that_nobody_can_read_is_an_error(
    policy_: Policy[Any], field: bytes, complaint: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=complaint):
        envelope_of(read(field + b"\r\n\r\n", policy_))


def test_what_the_caller_says_need_not_be_read() -> None:
    """So that a message whose To nobody can read can be sent."""
    message = mail("From: a@x.example\nTo: team b@y.example;")
    assert envelope_of(message, recipients=["b@y.example"]) == (
        "a@x.example",
        ["b@y.example"],
    )
    message = mail("From: team: a@x.example;\nTo: b@y.example")
    assert envelope_of(message, sender="") == ("", ["b@y.example"])

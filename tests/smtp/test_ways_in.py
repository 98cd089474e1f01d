"""What may not be said to a server: one table of rules, and every way in.

No rule of `mail.terms` stands twice. Whatever way a mail takes, the same mistake is the
same error, and nothing of the mail is written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from conversation import session

from smtplibaio import (
    SMTP,
    Mail,
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPTLSError,
)

SENDER, RECIPIENT = "a@x.example", "b@y.example"
TEXT = b"Subject: x\r\n\r\nhi\r\n"


@dataclass(frozen=True)
class Rule:
    """A mail that breaks one rule.

    Attributes:
        error: What its caller gets.
        match: What the text of the error has.
        announced: What the server offers.
        sender: Who sends it.
        recipient: Who gets it.
        content: What is sent.
        mail: Parameters of MAIL.
        rcpt: Parameters of RCPT.
    """

    error: type[SMTPException]
    match: str
    announced: tuple[str, ...] = ()
    sender: str = SENDER
    recipient: str = RECIPIENT
    content: bytes = TEXT
    mail: tuple[str, ...] = ()
    rcpt: tuple[str, ...] = ()


NOT_SUPPORTED = SMTPCommandNotSupportedError

RULES = {
    "unannounced parameter of MAIL": Rule(
        NOT_SUPPORTED, "MT-PRIORITY", mail=("MT-PRIORITY=3",)
    ),
    "unannounced parameter of RCPT": Rule(NOT_SUPPORTED, "DSN", rcpt=("NOTIFY=NEVER",)),
    "unannounced BODY": Rule(NOT_SUPPORTED, "8BITMIME", mail=("BODY=8BITMIME",)),
    "REQUIRETLS in clear": Rule(
        SMTPTLSError, "verified certificate", ("REQUIRETLS",), mail=("REQUIRETLS",)
    ),
    "sender beyond ASCII": Rule(NOT_SUPPORTED, "SMTPUTF8", sender="\u00e4@x.example"),
    "recipient beyond ASCII": Rule(
        NOT_SUPPORTED, "SMTPUTF8", recipient="\u00e4@y.example"
    ),
    "parameter of MAIL beyond ASCII": Rule(
        NOT_SUPPORTED, "SMTPUTF8", mail=("X-NAME=\u00e4",)
    ),
    "parameter of RCPT beyond ASCII": Rule(
        NOT_SUPPORTED, "SMTPUTF8", rcpt=("X-NAME=\u00e4",)
    ),
    "8-bit content": Rule(NOT_SUPPORTED, "8BITMIME", content=TEXT + b"\xc3\xa4\r\n"),
    "8-bit content after BODY=7BIT": Rule(
        SMTPArgumentError,
        "BODY=7BIT",
        ("8BITMIME",),
        content=TEXT + b"\xc3\xa4\r\n",
        mail=("BODY=7BIT",),
    ),
    "content over SIZE": Rule(
        SMTPArgumentError,
        "has 18 octets, but the server accepts at most 17",
        ("SIZE 17",),
    ),
    "BINARYMIME without CHUNKING": Rule(
        NOT_SUPPORTED, "CHUNKING", ("BINARYMIME",), mail=("BODY=BINARYMIME",)
    ),
    "unannounced BINARYMIME": Rule(
        NOT_SUPPORTED, "BINARYMIME", ("8BITMIME",), mail=("BODY=BINARYMIME",)
    ),
}

#: Rules that only the content breaks; MAIL and RCPT by hand may leave before it.
OF_CONTENT = {
    "8-bit content",
    "8-bit content after BODY=7BIT",
    "content over SIZE",
    "BINARYMIME without CHUNKING",
}


async def by_sendmail(smtp: SMTP, rule: Rule) -> None:
    await smtp.sendmail(rule.sender, rule.recipient, rule.content, rule.mail, rule.rcpt)


async def by_send_message(smtp: SMTP, rule: Rule) -> None:
    await smtp.send_message(
        rule.content,
        rule.sender,
        rule.recipient,
        mail_options=rule.mail,
        rcpt_options=rule.rcpt,
    )


def by_send_many(window: int) -> Callable[[SMTP, Rule], Awaitable[None]]:
    async def send(smtp: SMTP, rule: Rule) -> None:
        mail = Mail(
            rule.content,
            rule.sender,
            rule.recipient,
            mail_options=rule.mail,
            rcpt_options=rule.rcpt,
        )
        (outcome,) = [
            outcome async for outcome in smtp.send_many([mail], window=window)
        ]
        assert outcome.status == "not sent"
        assert outcome.error is not None
        raise outcome.error

    return send


async def by_pipeline(smtp: SMTP, rule: Rule) -> None:
    async with smtp.pipeline() as p:
        p.mail(rule.sender, rule.mail)
        p.rcpt(rule.recipient, rule.rcpt)
        if rule.mail == ("BODY=BINARYMIME",):
            p.bdat(rule.content, last=True)
        p.data()
        p.content(rule.content)


async def by_pipeline_bdat(smtp: SMTP, rule: Rule) -> None:
    async with smtp.pipeline() as p:
        p.mail(rule.sender, rule.mail)
        p.rcpt(rule.recipient, rule.rcpt)
        p.bdat(rule.content, last=True)


WAYS: dict[str, Callable[[SMTP, Rule], Awaitable[None]]] = {
    "sendmail": by_sendmail,
    "send_message": by_send_message,
    "send_many, window 1": by_send_many(1),
    "send_many, window 8": by_send_many(8),
    "pipeline": by_pipeline,
}


def hello(rule: Rule, *more: str) -> str:
    """Write the script up to what the server announces."""
    names = ["PIPELINING", *more, *rule.announced]
    lines = [f"S: 250-{name}" for name in names]
    return "\n".join(["S: 220 hi", "C: EHLO client.example", "S: 250-mx", *lines])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", RULES)
async def test_each_rule_holds_for_every_way_in(name: str, way: str) -> None:
    """Nothing but EHLO has been said, and the session is of use."""
    rule = RULES[name]
    # Without CHUNKING there is no window of more than one mail.
    has_chunking = way.endswith("8") and rule.match != "CHUNKING"
    announced = hello(rule, *["CHUNKING"] * has_chunking)
    async with session(announced, "S: 250 HELP\nC: NOOP\nS: 250 ok") as smtp:
        await smtp.ehlo()
        with pytest.raises(rule.error, match=rule.match) as info:
            await WAYS[way](smtp, rule)
        assert info.value.safe_to_retry
        await smtp.noop()


@pytest.mark.parametrize("name", sorted(OF_CONTENT - {"BINARYMIME without CHUNKING"}))
async def test_each_rule_of_content_holds_for_chunks(name: str) -> None:
    rule = RULES[name]
    script = (hello(rule, "CHUNKING"), "S: 250 HELP\nC: NOOP\nS: 250 ok")
    async with session(*script) as smtp:
        await smtp.ehlo()
        with pytest.raises(rule.error, match=rule.match):
            await by_pipeline_bdat(smtp, rule)
        await smtp.noop()


@pytest.mark.parametrize("name", sorted(RULES.keys() - OF_CONTENT))
async def test_each_rule_holds_for_commands_by_hand(name: str) -> None:
    rule = RULES[name]
    is_mail = bool(rule.mail) or rule.sender != SENDER
    begun = "" if is_mail else f"C: MAIL FROM:<{SENDER}>\nS: 250 ok\n"
    async with session(hello(rule), f"S: 250 HELP\n{begun}C: NOOP\nS: 250 ok") as smtp:
        await smtp.ehlo()
        if is_mail:
            call = smtp.mail(rule.sender, rule.mail)
        else:
            await smtp.mail(rule.sender)
            call = smtp.rcpt(rule.recipient, rule.rcpt)
        with pytest.raises(rule.error, match=rule.match):
            await call
        await smtp.noop()


@pytest.mark.parametrize("name", sorted(OF_CONTENT))
async def test_each_rule_of_content_holds_for_data_by_hand(name: str) -> None:
    """Content that needs BDAT cannot be given to `data()` at all."""
    rule = RULES[name]
    options = "".join(f" {option}" for option in rule.mail)
    begun = f"""
        C: MAIL FROM:<{SENDER}>{options}
        S: 250 ok
        C: RCPT TO:<{RECIPIENT}>
        S: 250 ok
        C: NOOP
        S: 250 ok
    """
    is_binary = name.startswith("BINARYMIME")
    error = SMTPArgumentError if is_binary else rule.error
    async with session(hello(rule), "S: 250 HELP", begun) as smtp:
        await smtp.ehlo()
        await smtp.mail(SENDER, rule.mail)
        await smtp.rcpt(RECIPIENT)
        with pytest.raises(error, match="sent with BDAT" if is_binary else rule.match):
            await smtp.data(rule.content)
        await smtp.noop()

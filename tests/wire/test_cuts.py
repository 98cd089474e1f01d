"""D09: however the server's octets are cut, the dialogue is the same.

The parser is proven by property (`tests/grammar/test_replies.py`). These dialogues show
that nothing above it depends on what comes with one read. All other dialogues of the
tests are played whole.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from conversation import Cut, client, session

from smtplibaio import SMTPConnectionLostError, SMTPNoRecipientError

each_cut = pytest.mark.parametrize("cut", ["line", "octet"])

HELLO = """
    S: 220-mx.example
    S: 220 at your service
    C: EHLO client.example
    S: 250-mx.example
    S: 250-SIZE 1000
    S: 250-PIPELINING
    S: 250-CHUNKING
    S: 250 AUTH PLAIN LOGIN CRAM-MD5
"""
NOOP = """
    C: NOOP
    S: 250 in step
"""
MAIL = """
    C: MAIL FROM:<a@x.example> SIZE=4
    C: RCPT TO:<b@y.example>
    C: RCPT TO:<c@y.example>
    C: DATA
    S: 250 2.1.0 sender
"""
CONTENT = """
    C: hi
    C: .
    S: 250-2.0.0 taken
    S: 250 2.0.0 queued
"""
RECIPIENTS = ["b@y.example", "c@y.example"]


@each_cut
async def test_the_greeting_and_the_extensions(cut: Cut) -> None:
    async with session(HELLO, NOOP, cut=cut) as smtp:
        assert smtp.greeting == (220, "mx.example\nat your service")
        assert (await smtp.ehlo()).lines[0] == "mx.example"
        assert set(smtp.extensions) >= {"SIZE", "PIPELINING", "CHUNKING", "AUTH"}
        assert await smtp.noop() == (250, "in step")


@each_cut
async def test_a_mail_to_two_recipients(cut: Cut) -> None:
    script = (HELLO, MAIL, "S: 250 one\nS: 250 two\nS: 354 go", CONTENT, NOOP)
    async with session(*script, cut=cut) as smtp:
        result = await smtp.sendmail("a@x.example", RECIPIENTS, "hi\n")
        assert result.reply == (250, "2.0.0 taken\n2.0.0 queued")
        assert result.accepted == RECIPIENTS
        await smtp.noop()


@each_cut
async def test_a_recipient_is_refused_in_two_lines(cut: Cut) -> None:
    verdicts = "S: 250 one\nS: 550-5.1.1 no\nS: 550 5.1.1 such user\nS: 354 go"
    async with session(HELLO, MAIL, verdicts, CONTENT, NOOP, cut=cut) as smtp:
        result = await smtp.sendmail("a@x.example", RECIPIENTS, "hi\n")
        assert result == {"c@y.example": (550, "5.1.1 no\n5.1.1 such user")}
        await smtp.noop()


@each_cut
async def test_every_recipient_is_refused_and_content_is_wanted(cut: Cut) -> None:
    verdicts = "S: 550 one\nS: 550 two\nS: 354 go"
    rest = "C: .\nS: 554 no valid recipients\nC: RSET\nS: 250 reset"
    async with session(HELLO, MAIL, verdicts, rest, NOOP, cut=cut) as smtp:
        with pytest.raises(SMTPNoRecipientError):
            await smtp.sendmail("a@x.example", RECIPIENTS, "hi\n")
        await smtp.noop()


@each_cut
async def test_one_command_after_another(cut: Cut) -> None:
    script = """
        S: 220 hi
        C: EHLO client.example
        S: 250 mx.example
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 250 one
        C: DATA
        S: 354 go
        """
    async with session(script, CONTENT, NOOP, cut=cut) as smtp:
        assert await smtp.sendmail("a@x.example", "b@y.example", "hi\n") == {}
        await smtp.noop()


@each_cut
async def test_chunks(cut: Cut) -> None:
    script = """
        C: MAIL FROM:<a@x.example> SIZE=4
        C: RCPT TO:<b@y.example>
        S: 250 sender
        S: 250 one
        C: BDAT 4 LAST
        C: hi
        S: 250-taken
        S: 250 queued
        """
    async with session(HELLO, script, NOOP, cut=cut, chunking=True) as smtp:
        result = await smtp.sendmail("a@x.example", "b@y.example", "hi\n")
        assert result.reply == (250, "taken\nqueued")
        await smtp.noop()


@each_cut
@pytest.mark.parametrize(
    ("mechanism", "dialogue"),
    [
        ("PLAIN", "C: AUTH PLAIN AHRpbQBzZWNyZXQ="),
        (
            "LOGIN",
            "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dGlt\nS: 334 eA==\nC: c2VjcmV0",
        ),
    ],
)
async def test_a_login(cut: Cut, mechanism: str, dialogue: str) -> None:
    script = (HELLO, dialogue, "S: 235-2.7.0 wel\nS: 235 2.7.0 come", NOOP)
    async with session(*script, cut=cut) as smtp:
        reply = await smtp.auth("tim", "secret", mechanisms=[mechanism])
        assert reply == (235, "2.7.0 wel\n2.7.0 come")
        await smtp.noop()


@each_cut
async def test_starttls(
    cut: Cut, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    script = """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx.example
        S: 250 STARTTLS
        C: STARTTLS
        S: 220-2.0.0 go
        S: 220 2.0.0 ahead
        S: <starttls>
        C: EHLO client.example
        S: 250-mx.example
        S: 250 SIZE
        """
    options: dict[str, Any] = {"tls": server_tls, "starttls": "required"}
    options["server_hostname"] = "localhost"
    options["tls_context"] = client_tls
    async with session(script, NOOP, cut=cut, **options) as smtp:
        assert smtp.is_encrypted
        assert set(smtp.extensions) == {"SIZE"}
        await smtp.noop()


@each_cut
async def test_a_pipeline(cut: Cut) -> None:
    async with session(
        HELLO,
        "C: RSET\nC: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>",
        "S: 250 reset\nS: 250-one\nS: 250 two\nS: 550 no",
        NOOP,
        cut=cut,
    ) as smtp:
        async with smtp.pipeline() as p:
            replies = [p.rset(), p.mail("a@x.example"), p.rcpt("b@y.example")]
        assert [(await reply).code for reply in replies] == [250, 250, 550]
        assert (await replies[1]).lines == ["one", "two"]
        await smtp.noop()


@each_cut
async def test_long_replies_to_help_and_expn(cut: Cut) -> None:
    script = """
        C: HELP
        S: 214-one
        S: 214-
        S: 214 three
        C: EXPN all
        S: 250-<b@y.example>
        S: 250 <c@y.example>
        """
    async with session(HELLO, script, NOOP, cut=cut) as smtp:
        await smtp.ehlo()
        assert await smtp.help() == "one\n\nthree"
        assert (await smtp.expn("all")).lines == ["<b@y.example>", "<c@y.example>"]
        await smtp.noop()


@each_cut
async def test_a_farewell_in_the_middle(cut: Cut) -> None:
    farewell = "S: 421-4.3.2 going\nS: 421 4.3.2 down\nS: <close>"
    async with client("S: 220 hi\nC: NOOP\n" + farewell, cut=cut) as smtp:
        with pytest.raises(SMTPConnectionLostError, match="down") as caught:
            await smtp.noop()
    assert caught.value.reply == (421, "4.3.2 going\n4.3.2 down")

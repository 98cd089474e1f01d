"""Content of a pipeline that may not leave, and the RSET that keeps mails apart."""

from __future__ import annotations

import pytest
from conversation import session
from pipelining import HELLO, HI, SERIAL, begin, outcomes, raising

from smtplibaio import (
    LMTP,
    SMTP,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPProtocolError,
)

BEGIN = "C: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>\n"
GROUP = f"{BEGIN}C: DATA\n"
TAKEN = "S: 250 sender\nS: 250 recipient\nS: 354 go\nC: hi\nC: .\nS: 250 taken\n"


async def send_next(smtp: SMTP) -> None:
    """Send a mail that shows that the dialogue is in step."""
    await smtp.sendmail("a@x.example", "b@y.example", HI)


# Whose MAIL or every RCPT was refused


async def test_a_lone_dot_ends_a_354_for_nobody() -> None:
    """H03: MAIL was accepted and every RCPT refused, so that a dot is no mail."""
    async with session(
        HELLO,
        f"{GROUP}S: 250 sender\nS: 550 nobody\nS: 354 go",
        "C: .\nS: 554 no recipients\nC: RSET\nS: 250 reset",
        f"{GROUP}{TAKEN}",
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.data()
            content = p.content(HI)
        assert content.result() == (550, "nobody")
        assert not p.in_transaction
        await send_next(smtp)


@pytest.mark.parametrize(
    ("mail", "rcpt", "refusal"),
    [
        pytest.param(550, 250, 550, id="MAIL refused"),
        pytest.param(503, 250, 503, id="MAIL nested in another"),
        pytest.param(550, 550, 550, id="both refused"),
        pytest.param(354, 250, 354, id="3yz to MAIL"),
    ],
)
@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
async def test_no_content_leaves_without_a_mail_of_its_own(
    hello: str, mail: int, rcpt: int, refusal: int
) -> None:
    """H03: the 354 belongs to a transaction that somebody else has begun.

    A dot would be a mail to the recipients of that one: the client hangs up.
    """
    codes = (mail, rcpt, 354)
    lines = GROUP.splitlines()
    replies = [f"S: {code} hm" for code in codes]
    said = [*lines, *replies]
    if hello is SERIAL:
        said = [line for pair in zip(lines, replies, strict=True) for line in pair]
    async with session(hello, "\n".join(said), "C: <hangup>") as smtp:
        async with raising(SMTPConnectionLostError, smtp, "no content may follow") as p:
            begin(p)
            p.data()
            content = p.content(HI)
            later = p.noop()
        assert content.result().code == refusal
        assert await outcomes(later) == [SMTPProtocolError]
        assert not smtp.is_connected


async def test_no_content_leaves_for_a_mail_that_was_withdrawn() -> None:
    """H03: RCPT and DATA have left alone, and the server takes them for another's."""
    async with session(
        HELLO,
        "C: RCPT TO:<b@y.example>\nC: DATA\nS: 250 recipient\nS: 354 go\nC: <hangup>",
    ) as smtp:
        async with raising(SMTPProtocolError, smtp, "no content may follow") as p:
            mail, _ = begin(p)
            mail.cancel()
            p.data()
            content = p.content(HI)
        assert await outcomes(content) == [SMTPProtocolError]
        assert not smtp.is_connected


# RSET in front of MAIL


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
async def test_a_transaction_left_open_by_hand_is_reset_first(hello: str) -> None:
    """H03: one command a group, where there is no PIPELINING."""
    begun = "C: MAIL FROM:<other@x.example>\nS: 250 begun"
    answered = "S: 250 reset\nS: 250 sender\nS: 250 recipient\nS: 354 go\n"
    said = f"C: RSET\n{GROUP}{answered}"
    if hello is SERIAL:
        lines = ["C: RSET", *GROUP.splitlines()]
        pairs = zip(lines, answered.splitlines(), strict=True)
        said = "\n".join(line for pair in pairs for line in pair)
    async with session(hello, begun, said, "C: hi\nC: .\nS: 250 taken") as smtp:
        await smtp.mail("other@x.example")
        async with smtp.pipeline() as p:
            begin(p)
            p.data()
            content = p.content(HI)
        assert content.result() == (250, "taken")


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
async def test_a_reset_that_is_refused_ends_the_connection(hello: str) -> None:
    """H03: without a content in front of it nothing explains why."""
    begun = "C: MAIL FROM:<other@x.example>\nS: 250 begun"
    said = "C: RSET\n" + (BEGIN if hello is HELLO else "") + "S: 500 no\nC: <hangup>"
    async with session(hello, begun, said) as smtp:
        await smtp.mail("other@x.example")
        async with raising(SMTPConnectionLostError, smtp, "RSET was refused: 500") as p:
            futures = begin(p)
        assert [type(f.exception()) for f in futures] == [SMTPProtocolError] * 2
        assert not smtp.is_connected


async def test_a_reset_that_gets_no_reply_is_no_refusal() -> None:
    begun = "C: MAIL FROM:<other@x.example>\nS: 250 begun"
    async with session(HELLO, begun, f"C: RSET\n{BEGIN}S: <close>") as smtp:
        await smtp.mail("other@x.example")
        async with raising(SMTPConnectionLostError, smtp, "its reply to RSET") as p:
            futures = begin(p)
        assert await outcomes(*futures) == [SMTPConnectionLostError] * 2


@pytest.mark.parametrize("reset", [250, 503])
async def test_a_mail_behind_a_dot_that_was_not_judged_keeps_its_content(
    reset: int,
) -> None:
    """Haraka: 503 to all that stands behind a dot; the session does so no more."""
    async with session(
        HELLO,
        f"{GROUP}S: 250 sender\nS: 250 recipient\nS: 354 go",
        f"C: hi\nC: .\nC: RSET\n{GROUP}",
        f"S: 250 taken\nS: {reset} reset\nS: 503 no\nS: 503 no\nS: 503 no",
        f"C: RSET\n{GROUP}S: 250 reset\n{TAKEN}",
    ) as smtp:
        async with smtp.pipeline() as p:
            contents = []
            for _ in range(2):
                begin(p)
                p.data()
                contents.append(p.content(HI))
        assert await outcomes(*contents) == [250, 503]
        behind = smtp._connection.session.allow_behind_dot
        assert behind is (reset == 250)
        await send_next(smtp)


async def test_a_loss_behind_a_dot_fails_what_stands_there() -> None:
    async with session(
        HELLO,
        f"{GROUP}S: 250 sender\nS: 250 recipient\nS: 354 go",
        f"C: hi\nC: .\nC: RSET\n{BEGIN}S: 250 taken\nS: <close>",
    ) as smtp:
        async with raising(SMTPConnectionLostError, smtp) as p:
            begin(p)
            p.data()
            content = p.content(HI)
            futures = begin(p)
        assert content.result() == (250, "taken")
        assert await outcomes(*futures) == [SMTPConnectionLostError] * 2


@pytest.mark.parametrize("refused", ["554 spam", "452 later"])
async def test_commands_by_hand_behind_a_refused_content_come_after_rset(
    refused: str,
) -> None:
    """H03: a server may keep the transaction, and would add to its recipients."""
    async with session(
        HELLO,
        f"{GROUP}S: 250 sender\nS: 250 recipient\nS: 354 go",
        f"C: hi\nC: .\nS: {refused}",
        "C: RSET\nS: 250 reset\nC: RCPT TO:<c@y.example>\nS: 503 no sender",
        "C: DATA\nS: 503 no sender",
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.data()
            content = p.content(HI)
        assert content.result().code == int(refused[:3])
        with pytest.raises(SMTPCommandFailedError, match="no sender"):
            await smtp.rcpt("c@y.example")
        with pytest.raises(SMTPCommandFailedError, match="no sender"):
            await smtp.data(HI)


# Several final replies


async def test_nothing_follows_the_dot_where_lmtp_has_several_replies() -> None:
    """F16: a server that leaves one out would answer with those to the next mail."""
    group = """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: RCPT TO:<c@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: hi
        C: .
        S: 250 b
        S: 250 c
    """
    hello = "S: 220 hi\nC: LHLO client.example\nS: 250-mx\nS: 250 PIPELINING\n"
    async with session(hello, group, group, make=LMTP) as smtp:
        async with smtp.pipeline() as p:
            finals = []
            for _ in range(2):
                p.mail("a@x.example")
                p.rcpt("b@y.example")
                p.rcpt("c@y.example")
                p.data()
                finals.append(p.content("hi\r\n"))
        assert [(await final).message for final in finals] == ["c", "c"]

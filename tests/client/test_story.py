"""A listener is told of each mail once that it starts, and once how it ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conversation import client, until

from smtplibaio import (
    Mail,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPNoRecipientError,
)
from smtplibaio.events import MailEnded, MailStarted

TEXT = "Subject: x\r\n\r\nhi\r\n"
HELLO = """
    S: 220 hi
    C: EHLO <any>
    S: 250-mx
    S: 250-PIPELINING
    S: 250-CHUNKING
    S: 250 SIZE"""


class Listener:
    """Keep the events of mails."""

    def __init__(self) -> None:
        self.started: list[MailStarted] = []
        self.ended: list[MailEnded] = []

    def __call__(self, event: object) -> None:
        if isinstance(event, MailStarted):
            self.started.append(event)
        if isinstance(event, MailEnded):
            assert event.mail_id in {mail.mail_id for mail in self.started}
            self.ended.append(event)

    @property
    def statuses(self) -> list[str]:
        """How the mails ended, each once, in the order of their starts."""
        by_id = {mail.mail_id: mail.status for mail in self.ended}
        assert len(by_id) == len(self.ended) == len(self.started)
        return [by_id[mail.mail_id] for mail in self.started]


def mail_of(recipient: str = "b@y.example") -> Mail:
    return Mail(TEXT, "a@x.example", recipient)


async def test_a_mail_starts_before_its_commands_and_ends_with_its_reply() -> None:
    listener = Listener()
    script = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: RCPT TO:<"c>d"@y.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 550 no
    S: 354 go
    C: <content>
    S: 250 2.0.0 Ok: queued as 4XyZ
    """
    async with client(script, on_event=listener) as smtp:
        await smtp.sendmail("a@x.example", ["b@y.example", '"c>d"@y.example'], TEXT)
    (started,), (ended,) = listener.started, listener.ended
    assert started.sender == "a@x.example"
    assert started.recipients == ("b@y.example", '"c>d"@y.example')
    assert (ended.status, ended.error) == ("partial", None)
    assert ended.reply == (250, "2.0.0 Ok: queued as 4XyZ")
    assert ended.connection_id == started.connection_id > 0
    assert ended.seconds > 0


async def test_a_refused_mail_ends_with_the_error_of_its_caller() -> None:
    listener = Listener()
    script = f"""{HELLO}
    C: MAIL FROM:<> SIZE=18
    C: RCPT TO:<b@y.example>
    C: DATA
    S: 250 ok
    S: 550 no
    S: 554 no
    C: RSET
    S: 250 ok
    """
    async with client(script, on_event=listener) as smtp:
        with pytest.raises(SMTPNoRecipientError) as raised:
            await smtp.sendmail("", "b@y.example", TEXT)
    assert listener.started[0].sender == ""
    assert listener.statuses == ["refused"]
    assert listener.ended[0].error is raised.value
    assert listener.ended[0].reply is None


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        ("S: <close>", "not sent", SMTPConnectionLostError),
        (
            "S: 250 ok\nS: 250 ok\nS: 354 go\nC: <content>\nS: <close>",
            "unknown",
            SMTPDeliveryUnknownError,
        ),
    ],
)
async def test_a_mail_ends_with_its_connection(
    end: str, status: str, error: type[Exception]
) -> None:
    listener = Listener()
    lines = end.replace("\n", "\n    ")
    script = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: DATA
    {lines}
    """
    async with client(script, on_event=listener) as smtp:
        with pytest.raises(error):
            await smtp.sendmail("a@x.example", "b@y.example", TEXT)
    assert listener.statuses == [status]


async def cancelled(sending: Any, listener: Listener) -> None:
    task = asyncio.create_task(sending)
    await until(lambda: bool(listener.started))
    for _ in range(100):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_mail_ends_with_the_cancellation_of_its_caller() -> None:
    listener = Listener()
    script = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: DATA
    S: <silence>
    """
    async with client(script, on_event=listener) as smtp:
        await cancelled(smtp.sendmail("a@x.example", "b@y.example", TEXT), listener)
    assert listener.statuses == ["not sent"]
    assert isinstance(listener.ended[0].error, asyncio.CancelledError)


async def all_of(outcomes: Any) -> list[str]:
    return [outcome.status async for outcome in outcomes]


async def test_a_mail_that_is_sent_again_starts_and_ends_twice() -> None:
    """The first time its commands stood behind a dot, where the server refuses them."""
    listener = Listener()
    script = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go
    C: Subject: x
    C:
    C: hi
    C: .
    C: RSET
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<c@y.example>
    C: DATA
    S: 250 ok
    S: 503 not now
    S: 503 not now
    S: 503 not now
    S: 503 not now
    C: RSET
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<c@y.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 354 go
    C: <content>
    S: 250 ok
    """
    async with client(script, on_event=listener) as smtp:
        mails = [mail_of(), mail_of("c@y.example")]
        assert await all_of(smtp.send_many(mails)) == ["accepted", "accepted"]
    assert listener.statuses == ["accepted", "not sent", "accepted"]


WINDOW = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: BDAT 18 LAST
    C: Subject: x
    C:
    C: hi
    C: RSET
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<c@y.example>
    C: BDAT 18 LAST
    C: Subject: x
    C:
    C: hi"""


async def test_the_mails_of_a_window_start_before_those_in_front_have_ended() -> None:
    listener = Listener()
    script = f"""{WINDOW}
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 552 too much
    C: RSET
    S: 250 ok
    """
    async with client(script, on_event=listener) as smtp:
        mails = [mail_of(), mail_of("c@y.example")]
        assert await all_of(smtp.send_many(mails, window=2)) == ["accepted", "refused"]
    assert listener.statuses == ["accepted", "refused"]


async def test_a_cancelled_window_ends_every_mail_on_its_way_as_unknown() -> None:
    listener = Listener()
    script = f"{WINDOW}\n    C: RSET\n    S: <silence>"
    async with client(script, on_event=listener) as smtp:
        mails = [mail_of(), mail_of("c@y.example")]
        await cancelled(all_of(smtp.send_many(mails, window=2)), listener)
    assert listener.statuses == ["unknown", "unknown"]


async def test_a_window_that_is_left_early_tells_what_is_known() -> None:
    """Both replies are in when the loop is left; one mail has no outcome yet."""
    listener = Listener()
    script = f"""{WINDOW}
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    S: 250 ok
    C: RSET
    S: 250 ok
    C: RSET
    S: 250 ok
    """
    async with client(script, on_event=listener) as smtp:
        mails = [mail_of(), mail_of("c@y.example")]
        async for _ in (outcomes := smtp.send_many(mails, window=2)):
            for _ in range(20):
                await asyncio.sleep(0)
            break
        await outcomes.aclose()
        await smtp.rset()
    assert listener.statuses == ["accepted", "accepted"]


async def test_a_mail_that_was_begun_behind_another_is_not_sent_when_left() -> None:
    listener = Listener()
    script = f"""{HELLO}
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<b@y.example>
    C: DATA
    S: 250 ok
    S: 250 ok
    S: 354 go
    C: Subject: x
    C:
    C: hi
    C: .
    C: RSET
    C: MAIL FROM:<a@x.example> SIZE=18
    C: RCPT TO:<c@y.example>
    C: DATA
    S: 250 ok
    C: <hangup>
    """
    async with client(script, on_event=listener) as smtp:
        outcomes = smtp.send_many([mail_of(), mail_of("c@y.example")])
        async for _ in outcomes:
            break
        await outcomes.aclose()
    assert listener.statuses == ["accepted", "not sent"]

"""The server that the demo and the examples run against."""

from __future__ import annotations

import pytest

from smtplibaio import SMTP_SSL, SMTPLoginError, SMTPNoRecipientError
from smtplibaio.demo import NOBODY, demo_server


async def test_the_demo_server_stores_what_it_accepts() -> None:
    async with demo_server() as server:
        async with SMTP_SSL(
            server.hostname, server.port, context=server.tls_context
        ) as client:
            await client.auth(server.username, server.password)
            await client.sendmail("a@x.example", "b@y.example", "Subject: x\n\n.\n")
        (mail,) = server.messages
    assert mail.sender == "a@x.example"
    assert mail.recipients == ["b@y.example"]
    assert mail.content == b"Subject: x\r\n\r\n.\r\n"


async def test_the_demo_server_refuses_nobody_and_wrong_passwords() -> None:
    async with (
        demo_server() as server,
        SMTP_SSL(server.hostname, server.port, context=server.tls_context) as client,
    ):
        with pytest.raises(SMTPLoginError):
            await client.auth(server.username, "wrong")
        await client.auth(server.username, server.password)
        with pytest.raises(SMTPNoRecipientError):
            await client.sendmail("a@x.example", NOBODY, "hi")
        assert server.messages == []

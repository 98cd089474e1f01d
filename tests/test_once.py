"""One call: connect, send, QUIT."""

from __future__ import annotations

import ssl
from email.message import EmailMessage

import pytest
from conversation import serve

from smtplibaio import SMTPArgumentError, SMTPConnectionError, send
from smtplibaio.testing import SMTPServer

MESSAGE = EmailMessage()
MESSAGE["From"] = "a@x.example"
MESSAGE["To"] = "b@y.example"
MESSAGE["Date"] = "Fri, 21 Nov 1997 09:55:06 -0600"
MESSAGE["Message-ID"] = "<1@x.example>"
MESSAGE.set_content("hi\n")

SENT = """
    C: MAIL FROM:<a@x.example>
    S: 250 ok
    C: RCPT TO:<b@y.example>
    S: 250 ok
    C: DATA
    S: 354 go ahead
    C: From: a@x.example
    C: To: b@y.example
    C: Date: Fri, 21 Nov 1997 09:55:06 -0600
    C: Message-ID: <1@x.example>
    C: Content-Type: text/plain; charset="utf-8"
    C: Content-Transfer-Encoding: 7bit
    C: MIME-Version: 1.0
    C:
    C: hi
    C: .
    S: 250 queued as 1
    C: QUIT
    S: 221 bye
    """


async def test_one_call_connects_sends_and_quits() -> None:
    text = "    S: 220 mx\n    C: EHLO client.example\n    S: 250 mx" + SENT
    async with serve(text) as server:
        url = f"smtp://{server.host}:{server.port}?fqdn=client.example"
        result = await send(MESSAGE, url)
    assert result.accepted == ["b@y.example"]


@pytest.mark.parametrize(
    ("parameters", "is_added"), [({}, True), ({"add_missing": False}, False)]
)
async def test_a_message_gets_the_date_and_the_message_id_that_it_lacks(
    parameters: dict[str, bool], is_added: bool
) -> None:
    message = EmailMessage()
    message["From"] = "a@x.example"
    message["To"] = "b@y.example"
    async with SMTPServer() as server:
        await send(message, server.url, **parameters)
        [mail] = server.messages
    assert ("Date" in mail.message, "Message-ID" in mail.message) == (is_added,) * 2


async def test_options_that_a_url_cannot_have_go_beside_it(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    text = "    S: 220 mx\n    C: EHLO client.example\n    S: 250 mx" + SENT
    async with serve(text, tls=server_tls, implicit_tls=True) as server:
        result = await send(
            MESSAGE,
            f"smtps://localhost:{server.port}",
            fqdn="client.example",
            tls_context=client_tls,
            add_missing=False,
        )
    assert not result


async def test_the_envelope_may_differ_from_the_header() -> None:
    text = "    S: 220 mx\n    C: EHLO client.example\n    S: 250 mx" + SENT.replace(
        "RCPT TO:<b@", "RCPT TO:<c@"
    ).replace("FROM:<a@x.example>", "FROM:<>")
    async with serve(text) as server:
        url = f"smtp://{server.host}:{server.port}"
        result = await send(
            MESSAGE, url, sender="", recipients=["c@y.example"], fqdn="client.example"
        )
    assert result.accepted == ["c@y.example"]


async def test_a_mistake_in_the_url_is_an_error_before_anything_is_opened() -> None:
    with pytest.raises(SMTPArgumentError, match="must begin with a scheme"):
        await send(MESSAGE, "mx.example")


async def test_without_a_url_the_server_is_on_this_machine() -> None:
    elsewhere = ("192.0.2.1", 0)  # so that no server is disturbed that listens there
    with pytest.raises(SMTPConnectionError, match=r"localhost:25: .*assign"):
        await send(MESSAGE, source_address=elsewhere)

"""A Postfix with limits: what a client without a pool sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import real_servers
import trustme
from real_servers import CONNECTIONS, RECIPIENTS, SECONDS, RealServer

from smtplibaio import SMTP, SMTPConnectionRefusedError

pytestmark = pytest.mark.skipif(
    real_servers.missing() != "", reason=real_servers.missing()
)


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[RealServer]:
    with (
        TemporaryDirectory(prefix="smtplibaio-") as name,
        real_servers.limits(Path(name) / "postfix", authority) as server,
    ):
        yield server


async def refusal(port: int) -> SMTPConnectionRefusedError:
    """Connect until the server has had enough; give its refusal."""
    for _ in range(CONNECTIONS + 1):
        client = SMTP("127.0.0.1", port)
        try:
            await client.connect()
        except SMTPConnectionRefusedError as exc:
            return exc
        await client.quit()
    raise AssertionError("the server takes as many connections as it gets")


async def connected(port: int) -> SMTP:
    """Connect, as soon as the server lets the client in again."""
    client = SMTP("127.0.0.1", port)
    async with asyncio.timeout(SECONDS * 5):
        while not client.is_connected:
            try:
                await client.connect()
            except SMTPConnectionRefusedError:
                await asyncio.sleep(SECONDS / 2)
    return client


async def test_a_connection_too_many_is_a_transient_refusal_for_a_while(
    server: RealServer,
) -> None:
    """421 4.7.0 in place of the greeting, and nothing was accepted."""
    error = await refusal(server.port)
    assert error.code == 421
    assert "4.7.0" in str(error)
    assert error.is_transient
    assert error.safe_to_retry
    client = await connected(server.port)
    await client.quit()


async def test_a_recipient_too_many_is_refused_and_the_others_are_not(
    server: RealServer,
) -> None:
    """452 4.5.3, which a further transaction answers (RFC 5321 4.5.3.1.10)."""
    recipients = real_servers.MAILBOXES[: RECIPIENTS + 1]
    client = await connected(server.port)
    result = await client.sendmail(
        "a@x.example", recipients, "Subject: hi\r\n\r\nhi\r\n"
    )
    assert result.accepted == recipients[:RECIPIENTS]
    [(refused, reply)] = result.items()
    assert refused == recipients[-1]
    assert (reply.code, str(reply.enhanced)) == (452, "4.5.3")
    await client.quit()

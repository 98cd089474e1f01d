"""A pool against a Postfix that lets in few connections, and takes few recipients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import real_servers
import trustme
from real_servers import CONNECTIONS, RECIPIENTS, SECONDS, RealServer

from smtplibaio import Mail, SMTPPool

pytestmark = pytest.mark.skipif(
    real_servers.missing() != "", reason=real_servers.missing()
)

#: Mails that a test sends.
COUNT = 60

ALICE = "alice@mx.example"


@pytest.fixture(scope="module")
def server(authority: trustme.CA) -> Iterator[RealServer]:
    with (
        TemporaryDirectory(prefix="smtplibaio-") as name,
        real_servers.limits(Path(name) / "postfix", authority) as server,
    ):
        yield server


def content(name: str, number: int) -> bytes:
    return b"X-Number: %s.%d\r\nFrom: a@x.example\r\n\r\nhi\r\n" % (
        name.encode(),
        number,
    )


async def delivered(server: RealServer, name: str, recipient: str) -> list[int]:
    """Wait until the mails are in a mailbox; list their numbers."""
    mark = f"X-Number: {name}.".encode()
    found: list[int] = []
    async with asyncio.timeout(60):
        while len(found) < COUNT:
            await asyncio.sleep(0.05)  # Postfix tells nobody when it delivers
            found = [
                int(mail.partition(mark)[2].split()[0])
                for mail in server.mails(recipient)
                if mark in mail
            ]
    return sorted(found)


async def test_more_connections_than_are_let_in_lose_and_double_nothing(
    server: RealServer,
) -> None:
    """smtpd_client_connection_rate_limit: a 421 in place of the greeting."""
    async with SMTPPool(
        "127.0.0.1", server.port, size=CONNECTIONS + 5, attempts=10, backoff=SECONDS / 2
    ) as pool:
        results = await asyncio.gather(
            *(
                pool.sendmail("a@x.example", [ALICE], content("tasks", number))
                for number in range(COUNT)
            )
        )
        now = pool.statistics()
    assert all(result.queue_id for result in results)
    assert now.accepted == COUNT
    assert now.reasons["421"] >= 1
    assert now.limit <= (CONNECTIONS + 5) // 2
    assert now.connects <= CONNECTIONS
    assert await delivered(server, "tasks", ALICE) == [*range(COUNT)]


async def test_a_run_over_more_connections_loses_and_doubles_nothing(
    server: RealServer,
) -> None:
    async with SMTPPool(
        "127.0.0.1", server.port, size=CONNECTIONS + 5, attempts=10, backoff=SECONDS / 2
    ) as pool:
        mails = (
            Mail(content("run", number), "a@x.example", [ALICE])
            for number in range(COUNT)
        )
        statuses = [outcome.status async for outcome in pool.send_many(mails)]
    assert statuses == ["accepted"] * COUNT
    assert await delivered(server, "run", ALICE) == [*range(COUNT)]


async def test_more_recipients_than_are_taken_get_a_mail_each(
    server: RealServer,
) -> None:
    """F14, smtpd_recipient_limit: 452 4.5.3 in the middle."""
    recipients = real_servers.MAILBOXES[: RECIPIENTS + 1]
    async with SMTPPool(
        "127.0.0.1", server.port, size=2, attempts=10, backoff=SECONDS / 2
    ) as pool:
        results = await asyncio.gather(
            *(
                pool.sendmail("a@x.example", recipients, content("many", number))
                for number in range(COUNT)
            )
        )
        assert pool.statistics().accepted == COUNT
    assert all(result == {} for result in results)
    assert all(result.accepted == recipients for result in results)
    for recipient in recipients:
        assert await delivered(server, "many", recipient) == [*range(COUNT)]

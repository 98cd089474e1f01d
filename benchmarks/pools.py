"""Runs of pools: many mails through several connections.

On a slow link each connection goes through a proxy in this process, which delays each
way by half a round trip; there it is the time that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiosmtplib as other

from smtplibaio import Mail, SMTPPool

from .meter import Meter, Result
from .turns import Proxy
from .work import SENDER, Work, addresses, letter

__all__ = ["aiosmtplib", "ours"]


@asynccontextmanager
async def _port(work: Work) -> AsyncIterator[int]:
    """The port to connect to: that of the sink, or of a slow link to it."""
    if not work.link:
        yield work.port
        return
    async with Proxy(work.port, work.link) as proxy:
        yield proxy.port


def _mails(work: Work) -> Iterator[Mail]:
    message, recipients = letter(work.size), addresses(work.recipients)
    for n in range(work.messages):
        yield Mail(message, SENDER, recipients[n % len(recipients)])


async def ours(work: Work) -> Result:
    """Send through `SMTPPool.send_many`."""
    async with (
        _port(work) as port,
        SMTPPool(work.host, port, size=work.connections, max_messages=None) as pool,
    ):
        await pool.sendmail(SENDER, "bob@recipient.example", letter(work.size))
        meter = Meter()
        count = 0
        async for outcome in pool.send_many(_mails(work)):
            if outcome.status != "accepted":
                raise RuntimeError(f"{outcome.status}: {outcome.error}")
            count += 1
        return meter.stop(count, sent=count + 1)


async def aiosmtplib(work: Work) -> Result:
    """Share the mails among clients of aiosmtplib, by a semaphore and a list."""
    message, recipients = letter(work.size), addresses(work.recipients)
    free: list[other.SMTP] = []
    turns = asyncio.Semaphore(work.connections)
    async with _port(work) as port:
        for _ in range(work.connections):
            client = other.SMTP(hostname=work.host, port=port, start_tls=False)
            await client.connect()
            free.append(client)

        async def send(n: int) -> None:
            async with turns:
                client = free.pop()
                await client.sendmail(SENDER, recipients[n % len(recipients)], message)
                free.append(client)

        meter = Meter()
        await asyncio.gather(*map(send, range(work.messages)))
        result = meter.stop(work.messages, sent=work.messages)
        for client in free:
            client.close()
        return result

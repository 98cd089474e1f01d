"""Runs of pools: many mails through several connections.

On a slow link each connection goes through a proxy in this process, which delays each
way by half a round trip; there it is the time that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiosmtplib as other

from smtplibaio import SMTP, Mail, Outcome, SMTPPool

from .meter import Meter, Result
from .turns import Proxy
from .work import SENDER, Work, addresses, letter

__all__ = ["aiosmtplib", "bare", "ours", "sendmail", "sendmail_bare"]


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


@asynccontextmanager
async def _pool(work: Work) -> AsyncIterator[SMTPPool]:
    """A pool that has opened all its connections, with a mail on each."""
    size = work.connections
    async with (
        _port(work) as port,
        SMTPPool(work.host, port, size=size, max_messages=None) as pool,
    ):
        async with asyncio.TaskGroup() as tasks:
            for recipient in addresses(1)[:size]:
                tasks.create_task(pool.sendmail(SENDER, recipient, letter(work.size)))
        yield pool


@asynccontextmanager
async def _clients(work: Work) -> AsyncIterator[list[SMTP]]:
    """As many clients as the pool has connections, each with a mail on it."""
    async with _port(work) as port, AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(SMTP(work.host, port))
            for _ in range(work.connections)
        ]
        for client in clients:
            await client.sendmail(SENDER, addresses(1)[0], letter(work.size))
        yield clients


async def _count(outcomes: AsyncIterator[Outcome]) -> int:
    count = 0
    async for outcome in outcomes:
        if outcome.status != "accepted":
            raise RuntimeError(f"{outcome.status}: {outcome.error}")
        count += 1
    return count


async def ours(work: Work) -> Result:
    """Send through `SMTPPool.send_many`."""
    async with _pool(work) as pool:
        meter = Meter()
        count = await _count(pool.send_many(_mails(work)))
        return meter.stop(count, sent=count + work.connections)


async def bare(work: Work) -> Result:
    """Share the mails among clients without a pool, each with its `send_many`."""
    async with _clients(work) as clients:
        mails = _mails(work)
        meter = Meter()
        counts = await asyncio.gather(
            *(_count(client.send_many(mails)) for client in clients)
        )
        return meter.stop(sum(counts), sent=sum(counts) + work.connections)


async def sendmail(work: Work) -> Result:
    """Send through `SMTPPool.sendmail`, from as many tasks as there are connections."""
    async with _pool(work) as pool:
        return await _sendmails(work, [pool] * work.connections)


async def sendmail_bare(work: Work) -> Result:
    """Send through clients without a pool, from a task for each."""
    async with _clients(work) as clients:
        return await _sendmails(work, clients)


async def _sendmails(work: Work, senders: Sequence[SMTP | SMTPPool]) -> Result:
    message, recipients = letter(work.size), addresses(work.recipients)
    numbers = iter(range(work.messages))

    async def send(sender: SMTP | SMTPPool) -> None:
        for n in numbers:
            await sender.sendmail(SENDER, recipients[n % len(recipients)], message)

    meter = Meter()
    await asyncio.gather(*map(send, senders))
    return meter.stop(work.messages, sent=work.messages + work.connections)


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

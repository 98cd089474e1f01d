"""Runs of smtplibaio, many messages at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from smtplibaio import SMTP, Mail

from . import memory
from .meter import Meter, Result, ticks
from .ours import client
from .work import SENDER, Work, addresses, letter

__all__ = ["connections", "run"]

_WARM_UP = 100


def _mails(
    numbers: Iterable[int], message: bytes, recipients: list[list[str]]
) -> Iterator[Mail]:
    for n in numbers:
        yield Mail(message, SENDER, recipients[n % len(recipients)])


async def _send(smtp: SMTP, mails: Iterator[Mail], window: int) -> int:
    count = 0
    async for outcome in smtp.send_many(mails, window=window):
        if outcome.status != "accepted":
            raise RuntimeError(f"{outcome.status}: {outcome.error}")
        count += 1
    return count


async def run(work: Work) -> Result:
    """Call `send_many` once."""
    message, recipients = letter(work.size), addresses(work.recipients)
    async with client(work) as smtp:
        await _send(smtp, _mails(range(_WARM_UP), message, recipients), work.window)
        meter = Meter()
        mails = _mails(ticks(work), message, recipients)
        count = await _send(smtp, mails, work.window)
        return meter.stop(count, sent=count + _WARM_UP)


async def connections(work: Work) -> Result:
    """Share messages among connections, a `send_many` on each."""
    message, recipients = letter(work.size), addresses(work.recipients)
    async with client(work) as first:
        await _send(first, _mails([0], message, recipients), work.window)
    before = memory.resident()
    clients = [client(work) for _ in range(work.connections)]
    for smtp in clients:
        await smtp.connect()
        await _send(smtp, _mails([0], message, recipients), work.window)
    held = memory.resident() - before
    share = work.messages // work.connections
    meter = Meter()
    counts = await asyncio.gather(
        *(
            _send(smtp, _mails(range(share), message, recipients), work.window)
            for smtp in clients
        )
    )
    result = meter.stop(sum(counts), sent=sum(counts) + work.connections + 1)
    for smtp in clients:
        await smtp.close()
    return {**result, "memory": held / work.connections}

"""Runs of smtplibaio, one message at a time."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from smtplibaio import SMTP, SMTP_SSL

from . import memory
from .meter import Result, repeat
from .work import SENDER, Work, addresses, bulk, client_context, file_of, letter

__all__ = ["client", "connecting", "held", "sendmail", "streamed"]

_WARM_UP = 100


def client(work: Work) -> SMTP:
    """Give a client that is not connected."""
    if work.tls:
        return SMTP_SSL(work.host, work.to, context=client_context(work))
    if work.window > 1:
        return SMTP(work.host, work.to, chunking=True)
    return SMTP(work.host, work.to)


async def sendmail(work: Work) -> Result:
    """Call `sendmail` in a loop."""
    is_bulk = work.size > 1 << 20
    message = (bulk if is_bulk else letter)(work.size)
    recipients = addresses(work.recipients)
    async with client(work) as smtp:
        await smtp.sendmail(SENDER, recipients[0], letter(2048))

        async def one(n: int) -> None:
            await smtp.sendmail(SENDER, recipients[n % len(recipients)], message)

        result = await repeat(work, one, 1 if is_bulk else _WARM_UP)
    result["sent"] += 1
    return result


async def held(work: Work) -> Result:
    """Tell the peak of memory above a body of bytes."""
    async with client(work) as smtp:
        await smtp.sendmail(SENDER, "bob@recipient.example", letter(2048))
        body = bulk(work.size)
        with memory.Peak() as peak:
            await smtp.sendmail(SENDER, "bob@recipient.example", body)
    return {"memory": peak.octets, "sent": 2}


async def streamed(work: Work) -> Result:
    """Tell the peak of memory above the start while a file is sent."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "message")
        file_of(path, work.size)
        async with client(work) as smtp:
            await smtp.sendmail(SENDER, "bob@recipient.example", letter(2048))
            with path.open("rb") as file, memory.Peak() as peak:  # noqa: ASYNC230
                await smtp.sendmail(SENDER, "bob@recipient.example", file)
    return {"memory": peak.octets, "sent": 2}


async def connecting(work: Work) -> Result:
    """Connect, say EHLO, leave."""

    async def one(_: int) -> None:
        async with client(work) as smtp:
            await smtp.ehlo()

    return await repeat(work, one, 20, 0)

"""Whole sessions, from connecting to leaving, through a link that counts turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiosmtplib as other

from smtplibaio import SMTP, SMTP_SSL

from .meter import Result
from .turns import Link
from .work import SENDER, Work, client_context, letter

__all__ = ["aiosmtplib", "many", "ours"]

_MESSAGE = letter(2048)
_RECIPIENT = "bob@recipient.example"
_RECIPIENTS = [f"user{n}@recipient.example" for n in range(100)]
_USERNAME, _PASSWORD = "alice", "5ecreT!"

#: Sessions whose time is measured besides, when everything has been imported.
_TIMED = {"plain", "starttls", "implicit"}
#: On a link that is faster the time of the handshake would count for more than it does.
_LEAST_LINK = 0.02

#: A session: the port of the link, and what the work says.
Session = Callable[[int, Work], Awaitable[object]]


async def _count(work: Work, sessions: dict[str, Session]) -> Result:
    """Run the sessions at the same time, each through a link of its own."""

    async def count(name: str, session: Session) -> int:
        port = work.tls_port if name == "implicit" else work.port
        async with Link(port, work.link) as link:
            await session(link.port, work)
            return link.turns

    counts = await asyncio.gather(*(count(*item) for item in sessions.items()))
    result: Result = dict(zip(sessions, counts, strict=True))
    for name in _TIMED & sessions.keys():
        result[f"{name}, time"] = await _time(name, sessions[name], work)
    return result


async def _time(name: str, session: Session, work: Work) -> float:
    """The time of a session, alone on its link, in round trips; the best of three."""
    seconds = max(work.link, _LEAST_LINK)
    port = work.tls_port if name == "implicit" else work.port
    times = []
    for _ in range(3):
        async with Link(port, seconds) as link:
            start = time.perf_counter()
            await session(link.port, work)
            times.append(time.perf_counter() - start)
    return min(times) / seconds


# smtplibaio


async def _plain(port: int, work: Work) -> None:
    async with SMTP(work.host, port) as smtp:
        await smtp.sendmail(SENDER, _RECIPIENT, _MESSAGE)


async def _starttls(port: int, work: Work) -> None:
    async with SMTP(
        work.host,
        port,
        username=_USERNAME,
        password=_PASSWORD,
        starttls="required",
        tls_context=client_context(work),
    ) as smtp:
        await smtp.sendmail(SENDER, _RECIPIENT, _MESSAGE)


async def _implicit(port: int, work: Work) -> None:
    async with SMTP_SSL(
        work.host,
        port,
        username=_USERNAME,
        password=_PASSWORD,
        context=client_context(work),
    ) as smtp:
        await smtp.sendmail(SENDER, _RECIPIENT, _MESSAGE)


async def _recipients(port: int, work: Work) -> None:
    async with SMTP(work.host, port) as smtp:
        await smtp.sendmail(SENDER, _RECIPIENTS, _MESSAGE)


async def _hundred(port: int, work: Work) -> None:
    async with SMTP(work.host, port) as smtp:
        for recipient in _RECIPIENTS:
            await smtp.sendmail(SENDER, recipient, _MESSAGE)


async def ours(work: Work) -> Result:
    """Count the turns of smtplibaio, one message at a time."""
    sessions: dict[str, Session] = {
        "plain": _plain,
        "starttls": _starttls,
        "implicit": _implicit,
        "recipients": _recipients,
        "hundred": _hundred,
    }
    return await _count(work, sessions)


async def many(work: Work) -> Result:
    """Count the turns of a `send_many` of 100 messages."""
    from smtplibaio import Mail

    async def session(port: int, work: Work) -> None:
        chunking = True if work.window > 1 else None
        async with SMTP(work.host, port, chunking=chunking) as smtp:
            mails = [Mail(_MESSAGE, SENDER, [recipient]) for recipient in _RECIPIENTS]
            async for outcome in smtp.send_many(mails, window=work.window):
                if outcome.status != "accepted":
                    raise RuntimeError(f"{outcome.status}: {outcome.error}")

    return await _count(work, {"hundred": session})


# aiosmtplib


async def _other_plain(port: int, work: Work) -> None:
    async with other.SMTP(hostname=work.host, port=port, start_tls=False) as smtp:
        await smtp.sendmail(SENDER, [_RECIPIENT], _MESSAGE)


async def _other_starttls(port: int, work: Work) -> None:
    async with other.SMTP(
        hostname=work.host,
        port=port,
        username=_USERNAME,
        password=_PASSWORD,
        start_tls=True,
        tls_context=client_context(work),
    ) as smtp:
        await smtp.sendmail(SENDER, [_RECIPIENT], _MESSAGE)


async def _other_implicit(port: int, work: Work) -> None:
    async with other.SMTP(
        hostname=work.host,
        port=port,
        username=_USERNAME,
        password=_PASSWORD,
        use_tls=True,
        tls_context=client_context(work),
    ) as smtp:
        await smtp.sendmail(SENDER, [_RECIPIENT], _MESSAGE)


async def _other_recipients(port: int, work: Work) -> None:
    async with other.SMTP(hostname=work.host, port=port, start_tls=False) as smtp:
        await smtp.sendmail(SENDER, _RECIPIENTS, _MESSAGE)


async def _other_hundred(port: int, work: Work) -> None:
    async with other.SMTP(hostname=work.host, port=port, start_tls=False) as smtp:
        for recipient in _RECIPIENTS:
            await smtp.sendmail(SENDER, [recipient], _MESSAGE)


async def aiosmtplib(work: Work) -> Result:
    """Count the turns of aiosmtplib."""
    sessions: dict[str, Session] = {
        "plain": _other_plain,
        "starttls": _other_starttls,
        "implicit": _other_implicit,
        "recipients": _other_recipients,
        "hundred": _other_hundred,
    }
    return await _count(work, sessions)

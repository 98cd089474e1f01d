"""A pipeline of chunks and content, broken off at every moment and at every reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from bdat_server import EXTENSIONS, BdatServer, End
from pipelining import Mishap, begin, outcomes

from smtplibaio import (
    SMTP,
    Pipeline,
    Reply,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
)

CONTENT = b"Subject: x\r\n\r\nNOOP\r\n.\r\n"


class Source:
    """Chunks that tell whether their generator was closed."""

    def __init__(self) -> None:
        self.open = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            for octet in CONTENT:
                await asyncio.sleep(0)
                yield b"%c" % octet
        finally:
            self.open -= 1


def give_all(p: Pipeline, source: Source) -> list[asyncio.Future[Reply]]:
    """Give a mail in three chunks, one with DATA, one in a single chunk, and NOOP."""
    return [
        *begin(p),
        p.bdat(CONTENT[:9]),
        p.bdat(CONTENT[9:12]),
        p.bdat(CONTENT[12:], last=True),
        p.rset(),
        *begin(p),
        p.data(),
        p.content(source.chunks()),
        p.rset(),
        *begin(p),
        p.bdat(CONTENT, last=True),
        p.noop(),
    ]


#: Which of them are final replies.
FINALS = (4, 9, 13)


async def check(
    smtp: SMTP,
    server: BdatServer,
    futures: list[asyncio.Future[Reply]],
    source: Source,
    *,
    withdrawn: int | None = None,
) -> None:
    """See that every mail is whole, and known for what it is; and the next one goes."""
    ends = await outcomes(*futures)
    assert {mail.content for mail in server.stored} <= {CONTENT}
    finals = [ends[n] for n in FINALS]
    certain = finals.count(250)
    possible = certain + finals.count(SMTPDeliveryUnknownError)
    if withdrawn in FINALS:  # a future that its owner has cancelled tells nothing
        possible += 1
    assert certain <= len(server.stored) <= possible
    assert source.open == 0
    before = len(server.stored)
    server.commands.clear()
    if not smtp.is_connected:
        await smtp.connect()
    await smtp.sendmail("a@x.example", "b@y.example", CONTENT)
    assert len(server.stored) == before + 1
    if server.commands[0].startswith("EHLO"):
        assert server.commands[1].startswith("MAIL")  # nothing to forget


@pytest.mark.parametrize("extensions", [EXTENSIONS, EXTENSIONS[1:]], ids=["P", "-"])
@pytest.mark.parametrize("number", range(15))
async def test_a_future_may_be_cancelled_at_every_moment(
    number: int, extensions: tuple[str, ...]
) -> None:
    """E01: all the others have an end, and no reply is another's."""
    is_grouped = "PIPELINING" in extensions
    for steps in range(number, 150, 25) if is_grouped else range(number * 5, 300, 75):
        async with (
            BdatServer(extensions=extensions) as server,
            SMTP(*server.address, timeout=5) as smtp,
        ):
            source = Source()
            with suppress(SMTPConnectionLostError):
                async with asyncio.timeout(5), smtp.pipeline() as p:
                    futures = give_all(p, source)
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    futures[number].cancel()
            await check(smtp, server, futures, source, withdrawn=number)


@pytest.mark.parametrize("extensions", [EXTENSIONS, EXTENSIONS[1:]], ids=["P", "-"])
async def test_a_block_may_be_broken_off_at_every_moment(
    extensions: tuple[str, ...],
) -> None:
    """E01, E02, E03, E04: by an exception, or by cancellation while it is left."""
    for steps in range(0, 240, 7):
        async with (
            BdatServer(extensions=extensions) as server,
            SMTP(*server.address, timeout=5) as smtp,
        ):
            source = Source()
            futures: list[asyncio.Future[Reply]] = []

            async def use(smtp: SMTP, source: Source, steps: int) -> None:
                async with smtp.pipeline() as p:
                    futures.extend(give_all(p, source))  # noqa: B023
                    if steps % 2:
                        for _ in range(steps):
                            await asyncio.sleep(0)
                        raise Mishap

            await smtp.ehlo()
            task = asyncio.create_task(use(smtp, source, steps))
            if not steps % 2:
                for _ in range(steps + 1):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait((task,))
            assert task.cancelled() or type(task.exception()) in (Mishap, type(None))
            if futures:
                await check(smtp, server, futures, source)


@pytest.mark.parametrize("extensions", [EXTENSIONS, EXTENSIONS[1:]], ids=["P", "-"])
@pytest.mark.parametrize("end", ["close", "reset", "farewell"])
async def test_a_connection_may_be_lost_at_every_reply(
    end: End, extensions: tuple[str, ...]
) -> None:
    """E10, E11, F06: what has no reply fails; it is unknown where all of it left."""
    for reply in range(2, 17):
        async with (
            BdatServer(extensions=extensions, end=end, end_at=reply) as server,
            SMTP(*server.address, timeout=5) as smtp,
        ):
            source = Source()
            with pytest.raises(SMTPException):
                async with asyncio.timeout(5), smtp.pipeline() as p:
                    futures = give_all(p, source)
            ends = await outcomes(*futures)
            answered = reply - 2
            assert all(type(code) is int for code in ends[:answered])
            assert not any(type(code) is int for code in ends[answered:])
            if end == "farewell":
                assert SMTPDeliveryUnknownError not in ends
            await check(smtp, server, futures, source)

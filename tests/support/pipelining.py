"""What tests of pipelines have in common: scripts in parts, moments, and outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from smtplibaio import SMTP, Pipeline, Reply

HELLO = """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
"""
SERIAL = """
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
"""
TRANSACTION = """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 sender
        S: 250 recipient
        S: 354 go ahead
"""

#: One line with its end, and so one block with the final dot.
HI = b"hi\r\n"


class Mishap(Exception):
    """Something that has nothing to do with SMTP."""


@asynccontextmanager
async def raising(
    error: type[BaseException], smtp: SMTP, match: str | None = None
) -> AsyncIterator[Pipeline]:
    """Open a pipeline whose block is to raise an error as it is left."""
    with pytest.raises(error, match=match):
        async with asyncio.timeout(5), smtp.pipeline() as p:
            yield p


def is_awaited(smtp: SMTP, what: str) -> Callable[[], bool]:
    """Make a test whether the reply that is due next is the one to something."""
    protocol = smtp._connection.session.protocol
    return lambda: protocol.awaited == what


def begin(p: Pipeline, *options: str) -> tuple[asyncio.Future[Reply], ...]:
    """Give MAIL and RCPT."""
    return p.mail("a@x.example", options), p.rcpt("b@y.example")


async def outcomes(*futures: asyncio.Future[Reply]) -> list[object]:
    """Give the code or the kind of exception of each; none may be pending."""
    _, pending = await asyncio.wait(futures, timeout=0.5)
    assert not pending
    return [
        None if f.cancelled() else type(e) if (e := f.exception()) else f.result().code
        for f in futures
    ]

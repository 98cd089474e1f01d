"""A server that keeps what it is sent: aiosmtpd, with or without 8BITMIME."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiosmtpd.smtp

from smtplibaio import SMTP


class Store:
    """Keep the octets of every mail.

    Attributes:
        mails: As they were received, with CRLF.
    """

    def __init__(self, *, is_8bit: bool) -> None:
        self._is_8bit = is_8bit
        self.mails: list[bytes] = []

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, name: str, replies: list[str]
    ) -> list[str]:
        session.host_name = name
        return [r for r in replies if self._is_8bit or "8BITMIME" not in r]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.original_content)
        return "250 kept"


@asynccontextmanager
async def storing(*, is_8bit: bool) -> AsyncIterator[tuple[SMTP, Store]]:
    """Give a client that is connected to such a server, and what the server keeps."""
    store = Store(is_8bit=is_8bit)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: aiosmtpd.smtp.SMTP(store, enable_SMTPUTF8=True, loop=loop),
        "127.0.0.1",
        0,
    )
    try:
        async with SMTP("127.0.0.1", server.sockets[0].getsockname()[1]) as client:
            yield client, store
    finally:
        server.close()
        await server.wait_closed()

"""A client at a server that keeps what it is sent, with or without 8BITMIME."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from smtplibaio import SMTP
from smtplibaio.testing import SMTPServer


class Store:
    """What a server has kept."""

    def __init__(self, server: SMTPServer) -> None:
        self._server = server

    @property
    def mails(self) -> list[bytes]:
        """The octets of every mail, as they were received, with CRLF."""
        return [mail.content for mail in self._server.messages]


@asynccontextmanager
async def storing(*, is_8bit: bool) -> AsyncIterator[tuple[SMTP, Store]]:
    """Give a client that is connected to such a server, and what the server keeps."""
    reply = {} if is_8bit else {"EHLO": "250-mx.example\n250 SMTPUTF8"}
    with SMTPServer(reply=reply) as server:
        async with SMTP(server.hostname, server.port) as client:
            yield client, Store(server)

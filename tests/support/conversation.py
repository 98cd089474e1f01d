"""Scripts of `smtplibaio.testing`, played in the loop of the test.

Without a thread between them the server knows by the steps of the loop that a client
has said too much, and needs no time for it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from smtplibaio import SMTP
from smtplibaio.testing.script import Cut, ScriptMismatch, parse
from smtplibaio.testing.stage import Peer, Player, reset, stage

__all__ = [
    "PATIENCE",
    "Cut",
    "Peer",
    "ScriptMismatch",
    "Server",
    "client",
    "parse",
    "reset",
    "serve",
    "session",
    "until",
]

#: Steps that the loop takes while a client that will not wait gives itself away.
PATIENCE = 8


async def patience() -> None:
    for _ in range(PATIENCE):
        await asyncio.sleep(0)


class Server(Player):
    """The server's part of one script, and where it is played."""

    host = "127.0.0.1"
    port = 0

    def __init__(
        self, script: str, cut: Cut = "whole", tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(script, cut, tls, patience)


@asynccontextmanager
async def serve(
    script: str,
    *,
    cut: Cut = "whole",
    tls: ssl.SSLContext | None = None,
    implicit_tls: bool = False,
) -> AsyncIterator[Server]:
    """Listen on a loopback port and play the script for every client that comes."""
    server = Server(script, cut, tls)
    async with stage(server, server.host, tls if implicit_tls else None) as server.port:
        try:
            yield server
        except BaseException as exc:
            if server.mismatch is not None:
                raise server.mismatch from exc
            raise
        await server.finish()
    if server.mismatch is not None:
        raise server.mismatch


@asynccontextmanager
async def client(
    script: str,
    *,
    cut: Cut = "whole",
    make: type[SMTP] = SMTP,
    tls: ssl.SSLContext | None = None,
    implicit_tls: bool = False,
    fqdn: str | None = "client.example",
    **options: Any,
) -> AsyncIterator[SMTP]:
    """Connect a client to a server that plays the script."""
    async with serve(script, cut=cut, tls=tls, implicit_tls=implicit_tls) as server:
        async with make(server.host, server.port, fqdn, **options) as smtp:
            yield smtp


@asynccontextmanager
async def session(*parts: str, **options: Any) -> AsyncIterator[SMTP]:
    """Connect a client; the script is put together from parts."""
    lines = [line.strip() for part in parts for line in part.splitlines()]
    async with (
        asyncio.timeout(10),
        client("\n".join(filter(None, lines)), **options) as smtp,
    ):
        yield smtp


async def until(is_so: Callable[[], object]) -> None:
    """Step the loop until something is so."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)

"""`Conversation`, which a test uses: a server that plays a script.

The test fails if the client deviates from the script.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from .authority import server_context
from .script import Cut, ScriptMismatch
from .stage import Player, stage
from .thread import ThreadedServer

__all__ = ["Conversation"]


class Conversation(ThreadedServer):
    """A server that plays a script for every client that connects.

    ::

        with Conversation('''
            S: 220 mx.example
            C: EHLO <any>
            S: 250 mx.example
            C: MAIL FROM:<a@x.example>
            S: 421 4.3.2 going down
            S: <close>
            ''') as server:
            send_the_newsletter(server.url)     # the code under test

    The end of the block waits up to 5 seconds until the client has disconnected.
    `async with` works, too.

    Args:
        script: The script, in the form that `smtplibaio.testing.script` describes.
        tls: Whether TLS is on from the first octet on.
        cut: How a reply is written: "whole", or each "line" or "octet" in a write of
            its own.
        patience: Seconds that the server waits before each reply. In this time it
            notices a client that sends more than the script allows.

    Raises:
        ScriptMismatch: (at the end of the block) The client has sent something else, or
            no client has connected.
        ValueError: The script cannot be read.
    """

    def __init__(
        self,
        script: str,
        *,
        tls: bool = False,
        cut: Cut = "whole",
        patience: float = 0.01,
    ) -> None:
        super().__init__()
        self._scheme = "smtps" if tls else "smtp"
        needs_tls = tls or "<starttls>" in script
        context = server_context() if needs_tls else None
        self._player = Player(script, cut, context, partial(asyncio.sleep, patience))
        self._implicit_tls = context if tls else None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"{self._scheme}://{self.hostname}:{self.port}"

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[int]:
        async with stage(self._player, self.hostname, self._implicit_tls) as port:
            yield port
            await self._finish()

    async def _finish(self) -> None:
        if self._is_at_once:
            return
        await self._player.finish()
        if not self._player.count:
            self._player.mismatch = ScriptMismatch("no client has connected")

    def _fault_found(self) -> BaseException | None:
        return self._player.mismatch

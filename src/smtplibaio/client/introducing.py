"""A client as it is configured, introduced to its server, and closed.

Rules:

1. Configuration is frozen at construction; what a session learns is in `_session`,
   which is replaced whole.
2. Whatever ends the connection, the object can connect again.
"""

from __future__ import annotations

import asyncio
import socket

from ..exceptions import SMTPCommandFailedError, SMTPConnectionLostError
from ..grammar import commands
from ..grammar.extensions import Extensions
from ..grammar.replies import Reply
from ..timeouts import Timeouts
from ..wire.opening import address_literal
from ..wire.protocol import SMTPProtocol
from .config import Settings
from .connection import Connection
from .dialogue import perform
from .session import Session

__all__ = ["Client"]


class Client:
    """Be what `SMTP` stands on: see there for the arguments."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(
            settings.endpoint, settings.timeouts, settings.on_event
        )
        self._greeting: Reply | None = None
        self._session = Session()

    # What is known

    @property
    def hostname(self) -> str:
        """Give the name or address of the server, as configured."""
        return self._settings.endpoint.hostname

    @property
    def port(self) -> int:
        """Give the TCP port of the server, as configured."""
        return self._settings.endpoint.port

    @property
    def timeout(self) -> Timeouts:
        """Give the limits, as configured."""
        return self._settings.timeouts

    @property
    def is_connected(self) -> bool:
        """Tell whether there is a connection; the server may be about to end it."""
        return self._connection.protocol is not None

    @property
    def transport(self) -> asyncio.Transport | None:
        """Give the transport of the connection, or None without one."""
        protocol = self._connection.protocol
        return None if protocol is None else protocol.transport

    @property
    def greeting(self) -> Reply | None:
        """Give the greeting of the connection."""
        return self._greeting

    @property
    def extensions(self) -> Extensions:
        """Give what the server announced in reply to EHLO."""
        return self._session.extensions

    @property
    def fqdn(self) -> str | None:
        """Give the name that EHLO carries; None while it depends on a connection."""
        if self._settings.name is not None:
            return self._settings.name
        name = socket.gethostname()
        if "." in name and commands.is_client_name(name):
            return name
        return None if (t := self.transport) is None else address_literal(t)

    @property
    def last_ehlo_response(self) -> Reply | tuple[None, None]:
        """Give the last reply to EHLO, `(None, None)` without one."""
        return self._session.ehlo_reply or (None, None)

    @property
    def last_helo_response(self) -> Reply | tuple[None, None]:
        """Give the last reply to HELO, `(None, None)` without one."""
        return self._session.helo_reply or (None, None)

    @property
    def supports_esmtp(self) -> bool:
        """Tell whether the server has answered EHLO."""
        return self._session.supports_esmtp

    @property
    def esmtp_extensions(self) -> dict[str, str]:
        """Give the extensions: keywords in lower case, parameters as one text."""
        return self._session.extensions.by_lower_case

    @property
    def auth_mechanisms(self) -> list[str]:
        """List the SASL mechanisms that the server offers, in lower case."""
        return [name.lower() for name in self._session.extensions.auth]

    # Closing

    async def quit(self) -> Reply:
        """Send QUIT (RFC 5321 4.1.1.10), wait for the reply, and close.

        The reply is given back whatever it says: the connection ends all the same.
        A server that closes without a reply has done what it was asked for, and counts
        as one that said 221.
        """
        async with self._connection.turn() as protocol:
            try:
                return await protocol.ask(commands.QUIT, self.timeout.quit, "QUIT")
            except SMTPConnectionLostError as exc:
                return exc.reply or Reply(221, "the server closed the connection")
            finally:
                await self.close()

    async def close(self) -> None:
        """Close the connection, within about a second whatever the server does.

        An operation that is under way in another task fails. Without a connection,
        nothing happens.
        """
        await self._close(b"")

    async def _close(self, last_words: bytes) -> None:
        self._connection.check_loop()
        self._session = Session()
        self._greeting = None
        await self._connection.close(last_words)

    # Introducing the client

    async def ehlo(self, name: str | None = None) -> Reply:
        """Send EHLO (RFC 5321 4.1.1.1); what the server announces is in `extensions`.

        Args:
            name: The client's name; None for `fqdn`.

        Raises:
            SMTPCommandFailedError: The server knows no EHLO, or not this name.
        """
        line = None if name is None else commands.ehlo(name)
        async with self._connection.turn() as protocol:
            return await self._ehlo(protocol, line)

    async def helo(self, name: str | None = None) -> Reply:
        """Send HELO (RFC 5321 4.1.1.1): no extension will be used.

        Args:
            name: The client's name; None for `fqdn`.
        """
        line = None if name is None else commands.helo(name)
        async with self._connection.turn() as protocol:
            return await self._helo(protocol, line)

    async def ehlo_or_helo_if_needed(self) -> None:
        """Send EHLO, or HELO where the server knows no EHLO, unless that was done."""
        async with self._connection.turn() as protocol:
            await self._introduced(protocol)

    async def _introduced(self, protocol: SMTPProtocol) -> Session:
        if not self._session.is_introduced:
            try:
                await self._ehlo(protocol)
            except SMTPCommandFailedError as exc:
                # RFC 5321 3.2: HELO is for servers that do not know EHLO. A 4yz is no
                # such thing.
                if exc.is_transient:
                    raise
                await self._helo(protocol)
        return self._session

    async def _introduce(self, protocol: SMTPProtocol, line: bytes) -> Reply:
        # Broken off, nobody knows which of the two the server goes by: what was learnt
        # counts no more. Refused, it does (RFC 5321 4.1.4: "the same state").
        before = self._session
        self._session = Session(is_authenticated=before.is_authenticated)
        try:
            return await perform(protocol, line, self.timeout.reply)
        except SMTPCommandFailedError:
            self._session = before
            raise

    async def _ehlo(self, protocol: SMTPProtocol, line: bytes | None = None) -> Reply:
        line = line or commands.ehlo(self._own_name(protocol))
        reply = await self._introduce(protocol, line)
        self._session = Session(
            extensions=Extensions.from_reply(reply),
            ehlo_reply=reply,
            is_authenticated=self._session.is_authenticated,
        )
        return reply

    async def _helo(self, protocol: SMTPProtocol, line: bytes | None = None) -> Reply:
        line = line or commands.helo(self._own_name(protocol))
        reply = await self._introduce(protocol, line)
        self._session = Session(
            helo_reply=reply, is_authenticated=self._session.is_authenticated
        )
        return reply

    def _own_name(self, protocol: SMTPProtocol) -> str:
        return self.fqdn or address_literal(protocol.transport)

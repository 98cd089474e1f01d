"""A server to try things on: aiosmtpd in this process, with TLS and AUTH."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from textwrap import indent

import trustme
from aiosmtpd import smtp as aiosmtpd

from .events import Event
from .smtp import SMTP_SSL

__all__ = ["DemoServer", "demo_server", "show"]

USERNAME = "alice"
PASSWORD = "open sesame"

#: The one recipient that the server knows nothing of.
NOBODY = "nobody@demo.example"


@dataclass
class DemoServer:
    """A running server, and what it has stored.

    Attributes:
        hostname: Where it listens.
        port: The same.
        context: A TLS context that trusts its throw-away certificate.
        stored: The envelopes and contents it has accepted.
    """

    hostname: str
    port: int
    context: ssl.SSLContext
    stored: list[aiosmtpd.Envelope] = field(default_factory=list)


class _Handler:
    """What aiosmtpd asks about recipients and messages."""

    def __init__(self) -> None:
        self.stored: list[aiosmtpd.Envelope] = []

    async def handle_RCPT(
        self,
        server: aiosmtpd.SMTP,
        session: aiosmtpd.Session,
        envelope: aiosmtpd.Envelope,
        address: str,
        options: list[str],
    ) -> str:
        if address == NOBODY:
            return "550 5.1.1 no such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(
        self,
        server: aiosmtpd.SMTP,
        session: aiosmtpd.Session,
        envelope: aiosmtpd.Envelope,
    ) -> str:
        self.stored.append(envelope)
        return f"250 2.0.0 stored as message {len(self.stored)}"


def _authenticate(
    server: aiosmtpd.SMTP,
    session: aiosmtpd.Session,
    envelope: aiosmtpd.Envelope,
    mechanism: str,
    credentials: aiosmtpd.LoginPassword,
) -> aiosmtpd.AuthResult:
    known = (USERNAME.encode(), PASSWORD.encode())
    return aiosmtpd.AuthResult(success=tuple(credentials) == known, handled=False)


@asynccontextmanager
async def demo_server() -> AsyncIterator[DemoServer]:
    """Listen on a free loopback port; TLS from the first octet on."""
    # aiosmtpd warns of the use of an attribute that nobody but itself sets.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    handler = _Handler()

    def serve() -> aiosmtpd.SMTP:
        return aiosmtpd.SMTP(
            handler,
            hostname="demo.example",
            ident="at your service",
            authenticator=_authenticate,
            auth_require_tls=False,  # it is on from the start, unknown to aiosmtpd
            loop=loop,
        )

    async with await loop.create_server(
        serve, "127.0.0.1", 0, ssl=server_context
    ) as listener:
        hostname, port = listener.sockets[0].getsockname()
        yield DemoServer(hostname, port, client_context, handler.stored)


def _message() -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Hello from smtplibaio"
    message["From"] = "Alice <alice@demo.example>"
    message["To"] = "Bob <bob@demo.example>"
    message.set_content(
        "Hi Bob,\n\nthis line is followed by one that starts with a dot:\n.\nand ends"
        " the message none the less.\n"
    )
    return message


async def show() -> None:
    """Send a message to two recipients, and print what was said and stored."""
    async with demo_server() as server:
        print(f"A server listens on {server.hostname}:{server.port}, over TLS.\n")

        def tell(event: Event) -> None:
            print(indent(str(event), "  "))

        async with SMTP_SSL(
            server.hostname, server.port, context=server.context, on_event=tell
        ) as client:
            await client.auth(USERNAME, PASSWORD)
            result = await client.sendmail(
                "alice@demo.example", ["bob@demo.example", NOBODY], _message()
            )
        print("\nThe client's result:\n")
        for recipient in result.accepted:
            print(f"  accepted  {recipient}")
        for recipient, reply in result.items():
            print(f"  refused   {recipient}: {reply.code} {reply.message}")
        for envelope in server.stored:
            print(f"\nThe server has stored, for {', '.join(envelope.rcpt_tos)}:\n")
            content = bytes(envelope.original_content or b"")
            print(indent(content.decode().replace("\r\n", "\n"), "  ", lambda _: True))

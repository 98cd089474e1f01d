"""The hosts that the documentation speaks of, on this machine.

The blocks of the documentation connect to `smtp.example.org` and the like. A look-up
of such a name starts a real server on a free port of the loopback interface, and its
address is the answer: the blocks run the library as it is, with TLS and certificates.
A name that is not in the table cannot be looked up.

Recipients tell the servers what to answer: `nobody@...` is refused, `full@...` too,
but for now only, and `later@...` is refused for now once and then accepted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd import lmtp
from aiosmtpd import smtp as aiosmtpd

__all__ = ["World"]

USERNAME, PASSWORD = "alice", "5ecreT!"

#: The token that the token server gives, and that Gmail and Microsoft 365 take.
TOKEN = "a-fresh-token"

EXTENSIONS = ["PIPELINING", "DSN", "ENHANCEDSTATUSCODES"]
_OF_MAIL = re.compile(r" (?:RET|ENVID)=\S+", re.IGNORECASE)
_OF_RCPT = re.compile(r" (?:NOTIFY|ORCPT)=\S+", re.IGNORECASE)


class _Smtp(aiosmtpd.SMTP):
    """aiosmtpd with DSN (RFC 3461), whose parameters it takes and forgets."""

    async def smtp_MAIL(self, arg: str | None) -> None:
        await super().smtp_MAIL(arg and _OF_MAIL.sub("", arg))

    async def smtp_RCPT(self, arg: str | None) -> None:
        await super().smtp_RCPT(arg and _OF_RCPT.sub("", arg))


class _Lmtp(lmtp.LMTP):
    """aiosmtpd's LMTP, with a final reply for each recipient (RFC 2033 4.2)."""

    async def push(self, status: str | bytes) -> None:
        is_final = isinstance(status, str) and "queued as" in status
        for _ in self.envelope.rcpt_tos[1:] if is_final else ():
            await super().push(status)
        await super().push(status)


class _Handler:
    def __init__(self) -> None:
        self.stored = 0
        self.greylisted: set[str] = set()

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, lines: list[str]
    ) -> list[str]:
        session.host_name = hostname
        return [*lines[:-1], *(f"250-{name}" for name in EXTENSIONS), lines[-1]]

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("nobody@"):
            return "550 5.1.1 no such user"
        if address.startswith("full@"):
            return "452 4.2.2 the mailbox is full"
        if address.startswith("later@") and address not in self.greylisted:
            self.greylisted.add(address)
            return "451 4.7.1 come back later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.stored += 1
        return f"250 2.0.0 Ok: queued as 4XyZ{self.stored}"

    async def auth_XOAUTH2(self, server: Any, args: list[str]) -> aiosmtpd.AuthResult:
        sent = base64.b64decode(args[1])
        return aiosmtpd.AuthResult(success=f"auth=Bearer {TOKEN}".encode() in sent)


def _authenticate(
    server: Any, session: Any, envelope: Any, mechanism: str, given: Any
) -> aiosmtpd.AuthResult:
    known = (USERNAME.encode(), PASSWORD.encode())
    return aiosmtpd.AuthResult(success=tuple(given) == known, handled=False)


async def _token_server(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer one request for an access token (RFC 6749 6)."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])  # type: ignore[index]
    assert b"grant_type=refresh_token" in await reader.readexactly(size)
    body = json.dumps({"access_token": TOKEN, "expires_in": 3599}).encode()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    writer.close()


class World:
    """Servers that start when their name is looked up, in a loop of their own."""

    def __init__(self) -> None:
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ports: dict[tuple[str, int], int] = {}
        self._listeners: list[asyncio.Server] = []
        self._authority = trustme.CA()
        self._private_authority = trustme.CA()
        smtp = self._smtp
        self._servers: dict[
            tuple[str, int], Callable[..., Coroutine[Any, Any, Any]]
        ] = {
            ("localhost", 25): smtp,
            ("relay.example.org", 25): smtp,
            ("mx.example.net", 25): self._starttls,
            ("smtp.example.org", 465): self._tls,
            ("smtp.example.org", 587): self._starttls,
            ("mail.internal.example", 465): self._tls,
            ("mail.internal.example", 587): self._starttls,
            ("smtp.gmail.com", 465): self._tls,
            ("smtp.gmail.com", 587): self._starttls,
            ("smtp.office365.com", 587): self._starttls,
            ("lmtp.example.org", 24): self._lmtp,
            ("oauth2.googleapis.com", 443): self._tokens,
            ("login.microsoftonline.com", 443): self._tokens,
        }

    def start(self) -> None:
        """Answer look-ups from now on; trust the authority of these servers."""
        directory = Path(tempfile.mkdtemp())
        self._authority.cert_pem.write_to_path(directory / "ca.pem")
        self._private_authority.cert_pem.write_to_path("internal-ca.pem")
        os.environ["SSL_CERT_FILE"] = str(directory / "ca.pem")
        self._thread.start()
        self._getaddrinfo = socket.getaddrinfo
        socket.getaddrinfo = self._look_up  # type: ignore[assignment]

    def stop(self) -> None:
        """Stop every server."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for listener in self._listeners:
            listener.close()

    def _look_up(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        where = (name, int(port or 0))
        if where in self._servers:
            if where not in self._ports:
                started = asyncio.run_coroutine_threadsafe(
                    self._servers[where](name), self._loop
                )
                listener = started.result(10)
                self._listeners.append(listener)
                self._ports[where] = listener.sockets[0].getsockname()[1]
            host, port = "127.0.0.1", self._ports[where]
        elif name not in {"127.0.0.1", "localhost"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._getaddrinfo(host, port, *rest, **named)

    def _context(self, name: str) -> ssl.SSLContext:
        is_private = name.endswith(".internal.example")
        authority = self._private_authority if is_private else self._authority
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(name).configure_cert(context)
        return context

    async def _listen(
        self, made: Callable[[], Any], context: ssl.SSLContext | None
    ) -> asyncio.Server:
        return await self._loop.create_server(made, "127.0.0.1", 0, ssl=context)

    async def _smtp(self, name: str, **options: Any) -> asyncio.Server:
        handler, context = _Handler(), options.pop("context", None)
        return await self._listen(
            lambda: _Smtp(handler, hostname=name, loop=self._loop, **options), context
        )

    async def _tls(self, name: str) -> asyncio.Server:
        return await self._smtp(
            name,
            context=self._context(name),
            authenticator=_authenticate,
            auth_require_tls=False,  # aiosmtpd does not see that TLS is on
        )

    async def _starttls(self, name: str) -> asyncio.Server:
        return await self._smtp(
            name, tls_context=self._context(name), authenticator=_authenticate
        )

    async def _lmtp(self, name: str) -> asyncio.Server:
        handler = _Handler()
        return await self._listen(
            lambda: _Lmtp(handler, hostname=name, loop=self._loop), None
        )

    async def _tokens(self, name: str) -> asyncio.Server:
        return await asyncio.start_server(
            _token_server, "127.0.0.1", 0, ssl=self._context(name)
        )

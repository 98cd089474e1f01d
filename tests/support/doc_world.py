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
from contextlib import suppress
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
        is_right = f"auth=Bearer {TOKEN}".encode() in sent
        if not is_right:  # RFC 7628 3.2.2
            await server.challenge_auth(json.dumps({"status": "400"}))
        return aiosmtpd.AuthResult(success=is_right, handled=False)


class _OfLmtp(_Handler):
    """What a server of LMTP answers: a reply for each recipient (RFC 2033 4.2)."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        reply = await super().handle_DATA(server, session, envelope)
        return "\r\n".join([reply] * len(envelope.rcpt_tos))


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


class _Proxy:
    """A SOCKS 5 proxy (RFC 1928) that looks up names as the world does."""

    def __init__(self, real: Callable[[Any], Any]) -> None:
        self._real = real

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")  # no login
        *_, size = await reader.readexactly(5)
        name = (await reader.readexactly(size)).decode()
        port = int.from_bytes(await reader.readexactly(2))
        there, back = await asyncio.open_connection(*await self._real((name, port)))
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, back))
            group.create_task(_copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(65536):
            writer.write(octets)
    writer.close()


def _complain(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Be silent about a client that does not trust the server: a page shows one."""
    if not isinstance(context.get("exception"), aiosmtpd.TLSSetupException):
        loop.default_exception_handler(context)


class World:
    """Servers that start when their name is looked up, in a loop of their own."""

    def __init__(self) -> None:
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_complain)
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
            ("proxy.example.org", 1080): self._proxy,
            ("oauth2.googleapis.com", 443): self._tokens,
            ("login.microsoftonline.com", 443): self._tokens,
        }
        names = sorted({name for name, _ in self._servers})
        self._addresses = {name: f"127.8.0.{n}" for n, name in enumerate(names, 1)}
        self._names = {address: name for name, address in self._addresses.items()}

    def start(self) -> None:
        """Answer look-ups from now on; trust the authority of these servers."""
        directory = Path(tempfile.mkdtemp())
        self._authority.cert_pem.write_to_path(directory / "ca.pem")
        self._private_authority.cert_pem.write_to_path("internal-ca.pem")
        os.environ["SSL_CERT_FILE"] = str(directory / "ca.pem")
        self._thread.start()
        self._getaddrinfo, self._connect = socket.getaddrinfo, socket.socket.connect
        world = self

        def connect(sock: socket.socket, address: Any) -> None:
            world._connect(sock, world._real(address))

        socket.getaddrinfo = self._look_up  # type: ignore[assignment]
        socket.socket.connect = connect  # type: ignore[method-assign]

    def stop(self) -> None:
        """Stop every server."""
        for listener in self._listeners:
            self._loop.call_soon_threadsafe(listener.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _look_up(self, host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        """Answer with an address that stands for the name, and only for that name."""
        name = host.decode() if isinstance(host, bytes) else host
        if name in self._addresses:
            host = self._addresses[name]
        elif name not in {"127.0.0.1", "localhost"}:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._getaddrinfo(host, port, *rest, **named)

    def _real(self, address: Any) -> Any:
        """Turn such an address into that of a server, which is started if need be."""
        where = self._names.get(address[0], address[0]), address[1]
        if where not in self._servers:
            return address
        started = self._started(where)
        return asyncio.run_coroutine_threadsafe(started, self._loop).result(10)

    async def _started(self, where: tuple[str, int]) -> tuple[str, int]:
        if where not in self._ports:
            listener = await self._servers[where](where[0])
            self._listeners.append(listener)
            self._ports[where] = listener.sockets[0].getsockname()[1]
        return "127.0.0.1", self._ports[where]

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
        handler = _OfLmtp()
        return await self._listen(
            lambda: lmtp.LMTP(handler, hostname=name, loop=self._loop), None
        )

    async def _proxy(self, name: str) -> asyncio.Server:
        return await asyncio.start_server(_Proxy(self._started).serve, "127.0.0.1", 0)

    async def _tokens(self, name: str) -> asyncio.Server:
        return await asyncio.start_server(
            _token_server, "127.0.0.1", 0, ssl=self._context(name)
        )

"""Opening a connection: addresses, TLS, and what may go wrong before the greeting."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from ..events import Listener
from ..exceptions import (
    SMTPArgumentError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPTimeoutError,
)
from ..grammar.addresses import to_a_labels
from ..grammar.commands import check_text
from .protocol import SMTPProtocol
from .tls import A_DAY, tls_error

__all__ = [
    "Endpoint",
    "address_literal",
    "is_local",
    "open_connection",
]

#: RFC 8305 5: seconds that one address may take before the next one is tried too.
HAPPY_EYEBALLS_DELAY = 0.25


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Say where the server is and how to get there.

    Attributes:
        hostname: Name or address of the server.
        port: Its TCP port.
        source_address: The `(host, port)` to connect from.
        sock: A connected socket to use instead.
        path: The path of a Unix socket to use instead.
        context: The TLS context for TLS from the first octet on; None for none.
        server_hostname: The name to verify the certificate against.

    Raises:
        SMTPArgumentError: Two ways at once, or a value that is none.
    """

    hostname: str = "localhost"
    port: int = 25
    source_address: tuple[str, int] | None = None
    sock: socket.socket | None = None
    path: str | os.PathLike[str] | None = None
    context: ssl.SSLContext | None = None
    server_hostname: str | None = None

    def __post_init__(self) -> None:
        check_text(self.hostname, "the host name", utf8=True)
        if not self.hostname:
            raise SMTPArgumentError("the host name is empty")
        if isinstance(self.port, bool) or not isinstance(self.port, int):
            raise SMTPArgumentError(f"the port is a number, not {self.port!r}")
        if not 0 < self.port < 65536:
            raise SMTPArgumentError(f"the port is between 1 and 65535, not {self.port}")
        self._check_name()
        if self.sock is not None and self.path is not None:
            raise SMTPArgumentError("give either sock or path, not both")
        match self.source_address:
            case None | (str(), int()):
                pass
            case _:
                raise SMTPArgumentError("source_address is a tuple (host, port)")
        if not isinstance(self.path, (str, os.PathLike, type(None))):
            raise SMTPArgumentError("path is a str or a path")
        if self.sock is not None and self.sock.type != socket.SOCK_STREAM:
            raise SMTPArgumentError("sock is no stream socket")

    def _check_name(self) -> None:
        if self.context is not None and self.name_to_verify is None:
            raise SMTPArgumentError(
                "TLS over sock or path needs server_hostname, the name to verify"
            )
        if self.server_hostname is None:
            return
        check_text(self.server_hostname, "server_hostname", utf8=True)
        labels = (self.name_to_verify or "").split(".")
        if not all(0 < len(label) < 64 for label in labels):
            raise SMTPArgumentError(
                f"server_hostname is no host name: {self.server_hostname!a}"
            )

    @property
    def name_to_verify(self) -> str | None:
        """Give the name that TLS verifies; None where there is no telling.

        A dot that ends a host name is none of the name (RFC 6066 3).
        """
        name = self.server_hostname
        if name is None and self.sock is None and self.path is None:
            name = self.hostname
        return None if name is None else _a_labels(name).rstrip(".")

    @property
    def server(self) -> tuple[str, int | None] | None:
        """The host and port of the server; None where a socket was given instead."""
        if self.path is not None:
            return os.fspath(self.path), None
        return None if self.sock is not None else (self.hostname, self.port)

    @property
    def dns_name(self) -> str:
        """Give the host name as it is looked up: in A-labels."""
        return _a_labels(self.hostname)

    def __str__(self) -> str:
        if self.path is not None:
            return os.fspath(self.path)
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        return f"{host}:{self.port}"


def _a_labels(name: str) -> str:
    return name if name.isascii() else to_a_labels(name)


async def open_connection(
    endpoint: Endpoint, timeout: float | None, listener: Listener | None = None
) -> SMTPProtocol:
    """Connect, with TLS where the endpoint has a context.

    Args:
        endpoint: Where to.
        timeout: Seconds for all of it; and once more for the greeting, which is not
            waited for here.
        listener: Whom to tell what happens.

    Raises:
        SMTPConnectionRefusedError: No address of the host has a listener.
        SMTPTLSError: The handshake failed, or the certificate did not verify.
        SMTPTimeoutError: It took too long.
        SMTPConnectionError: Anything else, such as a host name without an address.
    """
    loop = asyncio.get_running_loop()
    tls = endpoint.context
    tried: dict[str, OSError | None] = {}
    is_shaking_hands = False
    try:
        async with asyncio.timeout(timeout):
            sock = endpoint.sock or await _connected_socket(endpoint, tried)
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                # asyncio does so only for sockets that were made with a protocol.
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            is_shaking_hands = tls is not None
            protocol = SMTPProtocol(loop, timeout, listener, endpoint.server)
            try:
                await loop.create_connection(
                    lambda: protocol,
                    sock=sock,
                    ssl=tls,
                    server_hostname=endpoint.name_to_verify if tls else None,
                    ssl_handshake_timeout=A_DAY if tls else None,
                )
            except BaseException:
                if hasattr(protocol, "transport"):
                    protocol.transport.abort()
                sock.close()
                raise
    except TimeoutError as exc:
        if exc.errno is not None:  # the kernel has given up, before the deadline
            raise _connection_error(endpoint, tried, exc) from exc
        what = "TLS handshake with" if is_shaking_hands else "connection to"
        raise SMTPTimeoutError(
            f"no {what} {endpoint} within {timeout} s{_summary(tried)}"
        ) from exc
    except ssl.SSLError as exc:
        raise tls_error(f"no TLS with {endpoint}", exc) from exc
    except (OSError, UnicodeError) as exc:
        if is_shaking_hands:
            raise SMTPConnectionLostError(
                f"lost during the TLS handshake with {endpoint}"
            ) from exc
        raise _connection_error(endpoint, tried, exc) from exc
    return protocol


def _connection_error(
    endpoint: Endpoint, tried: dict[str, OSError | None], exc: Exception
) -> SMTPConnectionError:
    if isinstance(exc, ConnectionRefusedError):
        return SMTPConnectionRefusedError(
            f"{endpoint} refuses connections{_summary(tried)}"
        )
    return SMTPConnectionError(f"no connection to {endpoint}: {exc}{_summary(tried)}")


def _summary(tried: dict[str, OSError | None]) -> str:
    """List every address that was tried, and what became of it."""
    if not tried:
        return ""
    fates = (f"{address}: {exc or 'no answer'}" for address, exc in tried.items())
    return f" ({'; '.join(fates)})"


async def _connected_socket(
    endpoint: Endpoint, tried: dict[str, OSError | None]
) -> socket.socket:
    if endpoint.path is not None:
        return await _connect(socket.AF_UNIX, str(endpoint), None, tried)
    addresses = await _resolve(endpoint.dns_name, endpoint.port)
    source = endpoint.source_address
    if source is None:
        return await _connect_to_any(addresses, {}, tried)
    sources = dict(await _resolve(*source))
    addresses = [(family, to) for family, to in addresses if family in sources]
    if not addresses:
        raise OSError("the source address is of another family than the host's")
    return await _connect_to_any(addresses, sources, tried)


async def _resolve(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Give the families and socket addresses of a host; never on the loop's thread."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(family, address) for family, _, _, _, address in found]
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return [(family, (host, port))]


async def _connect_to_any(
    addresses: list[tuple[int, tuple[Any, ...]]],
    sources: dict[int, tuple[Any, ...]],
    tried: dict[str, OSError | None],
) -> socket.socket:
    """Connect to the first address that answers (RFC 8305, in the resolver's order).

    asyncio's own race is not in uvloop, and before Python 3.12 it does not tell which
    addresses failed of what.
    """
    if len(addresses) == 1:
        ((family, address),) = addresses
        return await _connect(family, address, sources.get(family), tried)
    waiting = list(addresses)
    racing: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = [OSError("the host has no address")]
    try:
        while waiting or racing:
            if waiting:
                family, address = waiting.pop(0)
                attempt = _connect(family, address, sources.get(family), tried)
                racing.add(asyncio.create_task(attempt))
            done, racing = await asyncio.wait(
                racing,
                timeout=HAPPY_EYEBALLS_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            while done:
                task = done.pop()
                if (exc := task.exception()) is None:
                    racing |= done
                    return task.result()
                errors.append(exc)
        # Refused means that every one was: the others' reasons are the rarer ones.
        raise min(errors[1:] or errors, key=_is_refusal)
    finally:
        for task in racing:
            task.add_done_callback(_discard)
            task.cancel()


def _discard(late: asyncio.Task[socket.socket]) -> None:
    if not late.cancelled() and late.exception() is None:
        late.result().close()


def _is_refusal(exc: BaseException) -> bool:
    return isinstance(exc, ConnectionRefusedError)


async def _connect(
    family: int,
    address: Any,
    source: tuple[Any, ...] | None,
    tried: dict[str, OSError | None],
) -> socket.socket:
    shown = address if family == socket.AF_UNIX else address[0]
    tried[shown] = None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if source is not None:
            sock.bind(source)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, OSError):
            tried[shown] = exc
        raise
    tried.pop(shown, None)
    return sock


def address_literal(transport: asyncio.BaseTransport) -> str:
    """Spell the client's own address as EHLO's argument (RFC 5321 4.1.3)."""
    name = transport.get_extra_info("sockname")
    if not isinstance(name, tuple):
        return "localhost"  # a Unix socket, which has no address
    address = ipaddress.ip_address(name[0].partition("%")[0])
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def is_local(transport: asyncio.BaseTransport) -> bool:
    """Tell whether the octets stay on this machine: loopback, or a Unix socket."""
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return isinstance(peer, (str, bytes))  # a path; None is nobody known
    return ipaddress.ip_address(peer[0].partition("%")[0]).is_loopback

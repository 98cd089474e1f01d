"""Opening a connection: the way to the server, TLS, and what may go wrong there.

Rules:

1. One time limit holds for all steps: the resolver, the connection, the proxy, TLS.
2. The error says which step failed, and lists every address that was tried, with the
   reason why it failed.
3. A failure leaves no socket open.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

from ..events import Listener
from ..exceptions import (
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPTimeoutError,
)
from .dialling import Tried, connect, connect_to_path
from .endpoint import Endpoint
from .protocol import SMTPProtocol
from .tls import A_DAY, tls_error

__all__ = ["address_literal", "is_local", "open_connection"]


async def open_connection(
    endpoint: Endpoint, timeout: float | None, listener: Listener | None = None
) -> SMTPProtocol:
    """Connect, with TLS if the endpoint has a context.

    Args:
        endpoint: The server, and the way to it.
        timeout: Seconds for all steps. The greeting gets the same time once more; this
            function does not wait for it.
        listener: Called with what happens.

    Raises:
        SMTPConnectionRefusedError: No address of the host has a listener.
        SMTPTLSError: The handshake failed, or the certificate did not verify.
        SMTPTimeoutError: It took too long.
        SMTPConnectionError: Anything else, such as a host name without an address.
    """
    loop = asyncio.get_running_loop()
    tls = endpoint.context
    tried: Tried = {}
    is_shaking_hands = False
    try:
        async with asyncio.timeout(timeout):
            sock = endpoint.sock or await _connected_socket(endpoint, tried)
            sock.setblocking(False)
            if sock.family in (socket.AF_INET, socket.AF_INET6):
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
        if exc.errno is not None:  # a time-out of the kernel, before the deadline
            raise _connection_error(endpoint, tried, exc) from exc
        what = "TLS handshake with" if is_shaking_hands else "connection to"
        where = _summary(tried)
        if not (where or is_shaking_hands):
            silent = "resolver" if endpoint.proxy is None else "proxy"
            where = f" (the {silent} has not answered)"
        raise SMTPTimeoutError(
            f"no {what} {_shown(endpoint)} within {timeout} s{where}"
        ) from exc
    except ssl.SSLError as exc:
        raise tls_error(f"no TLS with {_shown(endpoint)}", exc) from exc
    except (OSError, UnicodeError) as exc:
        if is_shaking_hands:
            raise SMTPConnectionLostError(
                f"lost during the TLS handshake with {_shown(endpoint)}"
            ) from exc
        raise _connection_error(endpoint, tried, exc) from exc
    return protocol


async def _connected_socket(endpoint: Endpoint, tried: Tried) -> socket.socket:
    if endpoint.path is not None:
        return await connect_to_path(os.fspath(endpoint.path), str(endpoint), tried)
    if endpoint.proxy is not None:
        from .tunnelling import connect_through  # few clients have a proxy

        return await connect_through(endpoint.proxy, endpoint, tried)
    source = endpoint.source_address
    return await connect(endpoint.dns_name, endpoint.port, source, tried)


def _connection_error(
    endpoint: Endpoint, tried: Tried, exc: Exception
) -> SMTPConnectionError:
    if isinstance(exc, ConnectionRefusedError):
        return SMTPConnectionRefusedError(
            f"{_shown(endpoint)} refuses connections{_summary(tried)}"
        )
    return SMTPConnectionError(
        f"no connection to {_shown(endpoint)}: {exc}{_summary(tried)}"
    )


def _shown(endpoint: Endpoint) -> str:
    proxy = endpoint.proxy
    return str(endpoint) if proxy is None else f"{endpoint} through {proxy}"


def _summary(tried: Tried) -> str:
    """List every address that was tried, and what became of it."""
    if not tried:
        return ""
    fates = (f"{address}: {exc or 'no answer'}" for address, exc in tried.items())
    return f" ({'; '.join(fates)})"


def address_literal(transport: asyncio.BaseTransport) -> str:
    """Spell the client's own address as EHLO's argument (RFC 5321 4.1.3)."""
    name = transport.get_extra_info("sockname")
    if not isinstance(name, tuple):
        return "localhost"  # a Unix socket, which has no address
    from ipaddress import ip_address

    address = ip_address(name[0].partition("%")[0])
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"


def is_local(transport: asyncio.BaseTransport, *, is_direct: bool = True) -> bool:
    """Return whether the octets stay on this machine: loopback, or a Unix socket.

    Args:
        transport: A transport that is connected.
        is_direct: `Endpoint.is_direct`. If it is false, a peer on loopback may be a
            proxy or a forwarder, so only a Unix socket counts.
    """
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple):
        return isinstance(peer, (str, bytes))  # a path, or not known
    from ipaddress import ip_address

    address = ip_address(peer[0].partition("%")[0])
    return is_direct and address.is_loopback

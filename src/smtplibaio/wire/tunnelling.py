"""Connecting to the server through a proxy: SOCKS (`python-socks`), or HTTP CONNECT.

Rules:

1. Not one octet that follows the proxy's last reply is read here: an SMTP server speaks
   first, and its greeting may arrive together with that reply.
2. If the proxy refuses, this is an OSError with the reason.
"""

from __future__ import annotations

import asyncio
import re
import socket
from base64 import b64encode
from typing import Any

from .dialling import Attempt, Tried, connect, race, resolve
from .endpoint import Endpoint, Proxy
from .tls import A_DAY

__all__ = ["connect_through"]

#: RFC 1928 6: the server, and not the proxy, has refused.
_REFUSED_BY_SERVER = 5

#: Octets of a reply to CONNECT with its fields.
_MOST_OCTETS = 16384

# RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ]
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d ([0-9]{3})(?: .*)?")


async def connect_through(
    proxy: Proxy, endpoint: Endpoint, tried: Tried
) -> socket.socket:
    """Connect to a server through a proxy.

    If this machine looks up the name of the server, the addresses race, each through
    the proxy.

    Raises:
        OSError: The proxy cannot be reached, or refuses, or cannot reach the server.
    """
    if proxy.resolves:
        return await _tunnel(proxy, endpoint, endpoint.dns_name, tried)
    addresses = await resolve(endpoint.dns_name, endpoint.port)
    if proxy.scheme == "socks4":  # it raises no other errors
        addresses = [pair for pair in addresses if pair[0] == socket.AF_INET]

    def attempt(host: str) -> Attempt:
        return lambda: _noted(proxy, endpoint, host, tried)

    return await race([attempt(address[0]) for _, address in addresses])


async def _noted(
    proxy: Proxy, endpoint: Endpoint, host: str, tried: Tried
) -> socket.socket:
    """Tunnel to one address, and note the result in `tried`."""
    tried[host] = None
    try:
        sock = await _tunnel(proxy, endpoint, host, tried)
    except OSError as exc:
        tried[host] = exc
        raise
    tried.pop(host, None)
    return sock


async def _tunnel(
    proxy: Proxy, endpoint: Endpoint, host: str, tried: Tried
) -> socket.socket:
    way = _WayToProxy(endpoint, tried)
    if proxy.scheme == "http":
        sock = await way.connect(proxy.hostname, proxy.port)
        try:
            await _ask_for_tunnel(sock, proxy, host, endpoint.port)
        except BaseException:
            sock.close()
            raise
        return sock
    return await _socks(proxy, way, host, endpoint.port)


class _WayToProxy:
    """The connection to the proxy itself; `python-socks` takes it for a first proxy.

    If the proxy refuses the connection, this is no refusal of the server.
    """

    def __init__(self, endpoint: Endpoint, tried: Tried) -> None:
        self._endpoint = endpoint
        self._tried = tried

    async def connect(
        self, dest_host: str, dest_port: int, **_: object
    ) -> socket.socket:
        source = self._endpoint.source_address
        try:
            return await connect(
                dest_host, dest_port, source, self._tried, "the proxy at "
            )
        except OSError as exc:
            raise OSError(f"no connection to the proxy: {exc}") from exc


async def _socks(proxy: Proxy, way: Any, host: str, port: int) -> socket.socket:
    from python_socks import ProxyError, ProxyType
    from python_socks.async_.asyncio import Proxy as Socks

    version = ProxyType.SOCKS4 if "4" in proxy.scheme else ProxyType.SOCKS5
    tunnel = Socks(
        version,
        proxy.dns_name,
        proxy.port,
        proxy.username,
        proxy.password,
        rdns=True,  # a name comes here only if the proxy looks it up
        forward=way,
    )
    try:
        # A limit of a day, because ours is around all of this.
        sock: socket.socket = await tunnel.connect(host, port, timeout=A_DAY)
    except ProxyError as exc:
        if version is ProxyType.SOCKS5 and exc.error_code == _REFUSED_BY_SERVER:
            raise ConnectionRefusedError(f"{proxy}: {exc}") from exc
        raise OSError(f"{proxy}: {exc}") from exc
    except ValueError as exc:  # a name that is too long for SOCKS
        raise OSError(f"{proxy}: {exc}") from exc
    return sock


async def _ask_for_tunnel(
    sock: socket.socket, proxy: Proxy, host: str, port: int
) -> None:
    """Ask an HTTP proxy for a tunnel (RFC 9110 9.3.6).

    `python-socks` can do that, too, but it reads more than the reply, and drops a
    greeting that arrived with the reply.
    """
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.username is not None:
        pair = f"{proxy.username}:{proxy.password or ''}".encode()
        lines.append(f"Proxy-Authorization: Basic {b64encode(pair).decode()}")
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, "".join(f"{x}\r\n" for x in [*lines, ""]).encode())
    # RFC 7231 4.3.6: a 2xx means that the proxy "will switch to tunnel mode immediately
    # after the blank line that concludes the successful response's header section".
    head = bytearray()
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        octet = await loop.sock_recv(sock, 1)
        if not octet or len(head) == _MOST_OCTETS:
            raise OSError(f"{proxy}: the reply to CONNECT is not HTTP")
        head += octet
    line = head.splitlines()[0]
    if (match := _STATUS_LINE.fullmatch(line)) is None:
        raise OSError(f"{proxy}: the reply to CONNECT is not HTTP")
    if not match[1].startswith(b"2"):
        what = line.decode("ascii", "replace")
        raise OSError(f"{proxy}: it says {what!r} to CONNECT")

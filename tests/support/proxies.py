"""Proxies in this process: HTTP CONNECT, SOCKS4 and 4a, SOCKS5.

Each says what it has been asked for. The first octets of the server go out in one write
with the proxy's own reply, as those of a server that speaks first may.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class RunningProxy:
    """A proxy that listens.

    Attributes:
        port: Where, on 127.0.0.1.
        asked: The host and port of each tunnel that it was asked for.
        heads: What else it was told: the request of HTTP, the user of SOCKS.
    """

    port: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)


#: Reads a request, and notes it; gives what is to be replied.
Negotiation = Callable[
    [RunningProxy, asyncio.StreamReader, asyncio.StreamWriter, bytes | None],
    Awaitable[bytes],
]


async def http(
    proxy: RunningProxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reply: bytes | None,
) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    proxy.heads.append(head)
    host, _, port = head.split()[1].decode().rpartition(":")
    proxy.asked.append((host.strip("[]"), int(port)))
    return b"HTTP/1.1 200 Connection established\r\n\r\n" if reply is None else reply


async def socks4(
    proxy: RunningProxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reply: bytes | None,
) -> bytes:
    request = await reader.readexactly(8)
    proxy.heads.append((await reader.readuntil(b"\0"))[:-1])
    host = str(ipaddress.IPv4Address(request[4:]))
    if host.startswith("0.0.0."):
        host = (await reader.readuntil(b"\0"))[:-1].decode()
    proxy.asked.append((host, int.from_bytes(request[2:4], "big")))
    return b"\0\x5a" + bytes(6) if reply is None else reply


async def socks5(
    proxy: RunningProxy,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reply: bytes | None,
) -> bytes:
    _, number = await reader.readexactly(2)
    await reader.readexactly(number)
    writer.write(b"\5\0")
    kind = (await reader.readexactly(4))[3]
    if kind == 3:
        host = (await reader.readexactly(ord(await reader.readexactly(1)))).decode()
    else:
        octets = await reader.readexactly(4 if kind == 1 else 16)
        host = str(ipaddress.ip_address(octets))
    port = int.from_bytes(await reader.readexactly(2), "big")
    proxy.asked.append((host, port))
    return b"\5\0\0\1" + bytes(6) if reply is None else reply


@asynccontextmanager
async def proxy(
    negotiate: Negotiation, reply: bytes | None = None
) -> AsyncIterator[RunningProxy]:
    """Run a proxy.

    Args:
        negotiate: Its protocol.
        reply: What it says to a request, and then hangs up; None to make the tunnel.
    """
    running = RunningProxy()
    visits: set[asyncio.Task[None]] = set()

    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visits.add(task)
        try:
            said = await negotiate(running, reader, writer, reply)
            if reply is not None:
                writer.write(said)
                return
            upstream = await asyncio.open_connection(*running.asked[-1])
            writer.write(said + await upstream[0].read(65536))
            await asyncio.gather(relay(reader, upstream[1]), relay(upstream[0], writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test ends
        finally:
            visits.discard(task)
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while octets := await reader.read(65536):
                writer.write(octets)
        finally:
            writer.close()

    async with await asyncio.start_server(visit, "127.0.0.1", 0) as server:
        running.port = server.sockets[0].getsockname()[1]
        yield running
        server.close()
        for task in (waiting := list(visits)):
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

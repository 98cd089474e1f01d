"""Conversations as RFC 5321 prints them, played by a real server on a real socket.

A script is one string with both voices::

    S: 220 mx.example
    C: EHLO client.example
    S: 250-mx.example
    S: 250 PIPELINING

Consecutive lines of the client are one group. The server reads exactly that much, and
fails the test if the client has said more already; so pipelining, and waiting, show on
the page. Consecutive lines of the server are sent in one write, unless the answers are
cut. After the last line the client may say QUIT and leave, nothing else.

Stage directions stand in place of a line:

* ``S: <close>``: the server closes the connection;
* ``S: <reset>``: the server resets it;
* ``S: <silence>``: the server says nothing more, and listens until the client leaves;
* ``S: <starttls>``: the server turns to TLS;
* ``C: <hangup>``: the client leaves without a word.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Any, Literal

from smtplibaio import SMTP

Cut = Literal["whole", "line", "octet"]
CUTS: tuple[Cut, ...] = ("whole", "line", "octet")

#: Steps that the loop takes while a client that will not wait gives itself away.
PATIENCE = 8


class ScriptMismatch(AssertionError):
    """The client said something else than the script."""


class HandshakeFailed(Exception):
    """The client wants no TLS with this server."""


@dataclass
class Turn:
    """Consecutive lines of one voice, and where the script has the first of them."""

    voice: str
    line_number: int
    lines: list[str] = field(default_factory=list)


def parse(script: str) -> list[Turn]:
    """Read a script."""
    turns: list[Turn] = []
    for number, line in enumerate(dedent(script).strip("\n").splitlines(), 1):
        match = re.fullmatch(r"([SC]):(?: (.*))?", line.rstrip("\n"))
        if match is None:
            raise ValueError(f"line {number} of the script is nobody's: {line!r}")
        voice, text = match[1], match[2] or ""
        is_direction = text.startswith("<") and text.endswith(">")
        alone = is_direction or (turns and turns[-1].lines[-1].startswith("<"))
        if not turns or turns[-1].voice != voice or alone:
            turns.append(Turn(voice, number))
        turns[-1].lines.append(text)
    return turns


class Peer(asyncio.Protocol):
    """The server's end of the connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.has_left = False
        self._news = asyncio.Event()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._news.set()

    def eof_received(self) -> None:
        self.has_left = True
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_left = True
        self._news.set()

    async def line(self) -> bytes | None:
        """Read one line with its end; None where the client has left before."""
        while (end := self.received.find(b"\n")) < 0:
            if self.has_left:
                return None
            self._news.clear()
            await self._news.wait()
        line = bytes(self.received[: end + 1])
        del self.received[: end + 1]
        return line

    async def everything(self) -> bytes:
        """Read until the client leaves."""
        while not self.has_left:
            self._news.clear()
            await self._news.wait()
        return bytes(self.received)


class Server:
    """Play the server's part of one script, for one connection."""

    def __init__(self, script: str, cut: Cut, tls: ssl.SSLContext | None) -> None:
        self._turns = parse(script)
        self._cut = cut
        self._tls = tls
        self.host = ""
        self.port = 0
        self.mismatch: BaseException | None = None
        self._performance: asyncio.Task[None] | None = None

    async def perform(self, peer: Peer) -> None:
        try:
            for turn, following in zip(
                self._turns, [*self._turns[1:], None], strict=True
            ):
                if following is not None and following.lines == ["<starttls>"]:
                    peer.transport.pause_reading()  # the client's hello is for TLS
                if turn.voice == "S":
                    peer = await self._speak(peer, turn)
                else:
                    await self._listen(peer, turn)
            await self._end(peer)
        except HandshakeFailed:
            peer.transport.abort()
        except BaseException as exc:
            self.mismatch = exc
            peer.transport.abort()

    async def _speak(self, peer: Peer, turn: Turn) -> Peer:
        for _ in range(PATIENCE if peer.transport.is_reading() else 0):
            await asyncio.sleep(0)
        if peer.received:
            raise ScriptMismatch(
                f"line {turn.line_number}  S: {turn.lines[0]}\n"
                f"but first the client   C: {bytes(peer.received)!r}"
            )
        match turn.lines:
            case ["<close>"]:
                peer.transport.close()
            case ["<reset>"]:
                reset(peer.transport)
            case ["<silence>"]:
                await self._end(peer)
            case ["<starttls>"]:
                return await self._start_tls(peer)
            case lines:
                for piece in pieces([f"{line}\r\n" for line in lines], self._cut):
                    peer.transport.write(piece)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        return peer

    async def _listen(self, peer: Peer, turn: Turn) -> None:
        if turn.lines == ["<hangup>"]:
            said = await peer.everything()
            if said:
                raise ScriptMismatch(
                    f"line {turn.line_number}  C: <hangup>\nthe client   C: {said!r}"
                )
            return
        for number, expected in enumerate(turn.lines, turn.line_number):
            line = await peer.line()
            if line != f"{expected}\r\n".encode():
                shown = "<hangup>" if line is None else repr(line)
                raise ScriptMismatch(
                    f"line {number}       C: {expected}\nthe client   C: {shown}"
                )

    async def _start_tls(self, peer: Peer) -> Peer:
        inner = Peer()
        assert self._tls is not None
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                peer.transport, inner, self._tls, server_side=True
            )
        except OSError:
            peer.has_left = True  # of its own accord: the client's error tells why
            raise HandshakeFailed from None
        assert transport is not None
        inner.connection_made(transport)
        return inner

    async def _end(self, peer: Peer) -> None:
        said = await peer.everything()
        if said not in (b"", b"QUIT\r\n"):
            raise ScriptMismatch(f"after the last line\nthe client   C: {said!r}")
        peer.transport.close()


def pieces(lines: list[str], cut: Cut) -> list[bytes]:
    """Cut what the server says."""
    encoded = [line.encode("utf-8", "surrogateescape") for line in lines]
    if cut == "line":
        return encoded
    whole = b"".join(encoded)
    return [bytes([octet]) for octet in whole] if cut == "octet" else [whole]


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined]


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
    performances: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    class Stage(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            performances.append(loop.create_task(server.perform(self)))

    listener = await loop.create_server(
        Stage, "127.0.0.1", 0, ssl=tls if implicit_tls else None
    )
    server.host, server.port = listener.sockets[0].getsockname()[:2]
    try:
        try:
            yield server
        except BaseException as exc:
            if server.mismatch is not None:
                raise server.mismatch from exc
            raise
        for performance in performances:
            async with asyncio.timeout(5):
                await performance
    finally:
        for performance in performances:
            performance.cancel()
            with suppress(asyncio.CancelledError):
                await performance
        listener.close()
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

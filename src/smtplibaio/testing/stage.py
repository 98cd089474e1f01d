"""The connection of a `Conversation`: plays the script to a client.

`session` has the connection of an `SMTPServer`, which has no script.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

from .script import Cut, ScriptMismatch, Turn, parse, pattern, pieces

__all__ = ["Peer", "Player", "reset", "stage"]

#: Seconds in which a client has to come to the end of its script, or to leave.
_LIMIT = 5.0

#: Steps that the loop takes, at most, before it knows of a client that has connected.
_STEPS = 8


def reset(transport: asyncio.BaseTransport) -> None:
    """Close a connection with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cast(asyncio.Transport, transport).abort()


class _HandshakeError(Exception):
    """The client wants no TLS with this server."""


class Peer(asyncio.Protocol):
    """The server's end of a connection.

    Attributes:
        received: What the client has said, and nobody has taken yet.
        has_left: Whether the client says no more.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.has_left = False
        self.transport: asyncio.Transport
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take what the client says."""
        self.received += data
        self._news.set()

    def eof_received(self) -> None:
        """Take notice that the client says no more."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take notice that the connection has ended."""
        self._leave()

    def _leave(self) -> None:
        self.has_left = True
        self._news.set()

    async def news(self) -> None:
        """Wait until the client says more or leaves."""
        self._news.clear()
        await self._news.wait()

    async def line(self) -> bytes | None:
        """Read one line with its end; None if the client has left before."""
        while (end := self.received.find(b"\n")) < 0:
            if self.has_left:
                return None
            await self.news()
        line = bytes(self.received[: end + 1])
        del self.received[: end + 1]
        return line

    async def everything(self) -> bytes:
        """Read until the client leaves."""
        while not self.has_left:
            await self.news()
        return bytes(self.received)


class Player:
    """The server's part of one script.

    Attributes:
        mismatch: What the client has done otherwise than the script has it.

    Args:
        script: The script; see `smtplibaio.testing.script`.
        cut: How the server's answers are cut.
        tls: The TLS context for `<starttls>`.
        patience: What is awaited before the server speaks, while a client that does not
            wait for the reply gives itself away.
    """

    def __init__(
        self,
        script: str,
        cut: Cut,
        tls: ssl.SSLContext | None,  # there is one if the script needs it
        patience: Callable[[], Awaitable[object]],
    ) -> None:
        self.mismatch: BaseException | None = None
        self._performances: list[asyncio.Task[None]] = []
        self._is_late = False
        self._turns = parse(script)
        self._cut = cut
        self._tls = tls
        self._patience = patience

    @property
    def count(self) -> int:
        """How many clients have come."""
        return len(self._performances)

    def play(self, peer: Peer) -> None:
        """Begin to play for a client that has come."""
        self._performances.append(asyncio.create_task(self.perform(peer)))

    async def finish(self) -> None:
        """Give the clients some seconds to come to the end of the script, and leave."""
        for _ in range(_STEPS):
            await asyncio.sleep(0)
        if self._performances:
            _, late = await asyncio.wait(self._performances, timeout=_LIMIT)
            self._is_late = bool(late)

    async def stop(self) -> None:
        """Play for nobody any more."""
        for performance in self._performances:
            performance.cancel()
        if self._performances:
            await asyncio.wait(self._performances)

    async def perform(self, peer: Peer) -> None:
        """Play the script once."""
        at = "before the first line of the script"
        try:
            for turn, following in zip(
                self._turns, [*self._turns[1:], None], strict=True
            ):
                at = f"line {turn.line_number}  {turn.voice}: {turn.lines[0]}"
                if following is not None and following.direction == "<starttls>":
                    peer.transport.pause_reading()  # the client's hello is for TLS
                if turn.voice == "S":
                    peer = await self._speak(peer, turn)
                else:
                    await self._listen(peer, turn)
            at = "after the last line"
            await self._end(peer)
        except _HandshakeError:
            peer.transport.abort()
        except asyncio.CancelledError:
            peer.transport.abort()
            if self._is_late:
                self.mismatch = ScriptMismatch(f"{at}\nthe client does nothing more")
            raise
        except Exception as exc:
            self.mismatch = exc
            peer.transport.abort()

    async def _speak(self, peer: Peer, turn: Turn) -> Peer:
        if peer.transport.is_reading():
            await self._patience()
        if peer.received and turn.direction != "<silence>":
            raise ScriptMismatch(
                f"line {turn.line_number}  S: {turn.lines[0]}\n"
                f"but first the client   C: {bytes(peer.received)!r}"
            )
        match turn.direction:
            case "<close>":
                peer.transport.close()
            case "<reset>":
                reset(peer.transport)
            case "<silence>":
                await self._end(peer, is_silent=True)
            case "<starttls>":
                return await self._start_tls(peer)
            case _:
                for piece in pieces(turn.lines, self._cut):
                    peer.transport.write(piece)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        return peer

    async def _listen(self, peer: Peer, turn: Turn) -> None:
        if turn.direction == "<hangup>":
            said = await peer.everything()
            if said:
                raise ScriptMismatch(
                    f"line {turn.line_number}  C: <hangup>\nthe client   C: {said!r}"
                )
        elif turn.direction == "<content>":
            while (line := await peer.line()) != b".\r\n":
                self._check(line, "<any>", turn.line_number)
        else:
            for number, expected in enumerate(turn.lines, turn.line_number):
                self._check(await peer.line(), expected, number)

    def _check(self, line: bytes | None, expected: str, number: int) -> None:
        if line is None or not pattern(expected).fullmatch(line):
            shown = "<hangup>" if line is None else repr(line)
            raise ScriptMismatch(
                f"line {number}       C: {expected}\nthe client   C: {shown}"
            )

    async def _start_tls(self, peer: Peer) -> Peer:
        inner = Peer()
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                peer.transport, inner, cast(ssl.SSLContext, self._tls), server_side=True
            )
        except OSError:
            peer.has_left = True  # of its own accord: the client's error tells why
            raise _HandshakeError from None
        inner.connection_made(cast(asyncio.Transport, transport))
        return inner

    async def _end(self, peer: Peer, *, is_silent: bool = False) -> None:
        """Let the client say QUIT and leave; answer it, as some clients wait for it."""
        said = await peer.line()
        if said is not None and pattern("QUIT").fullmatch(said):
            if not is_silent:
                peer.transport.write(b"221 2.0.0 bye\r\n")
                peer.transport.close()
            await peer.everything()
            said = None
        said = (said or b"") + peer.received
        if said:
            raise ScriptMismatch(f"after the last line\nthe client   C: {said!r}")
        peer.transport.close()


@asynccontextmanager
async def stage(
    player: Player, host: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Listen on a free port, which is what the block gets, and play for every client.

    Args:
        player: The server's part.
        host: The address to listen at.
        tls: The context for TLS from the first octet on.
    """

    class Stage(Peer):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            player.play(self)

    loop = asyncio.get_running_loop()
    listener = await loop.create_server(Stage, host, 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await player.stop()

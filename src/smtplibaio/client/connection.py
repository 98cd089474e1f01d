"""One connection that can be opened again, and whose turn it is to use it.

Rules:

1. One task at a time uses the connection, for one whole operation.
2. An operation begins when no reply is owed: what a cancelled caller left behind is
   read first.
3. Opening leaves a connection with its greeting, or nothing.
4. Closing takes no turn: it ends what is under way.
5. A connection belongs to the event loop and to the process that opened it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import TracebackType

from ..events import Listener, listener_of
from ..exceptions import (
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPTimeoutError,
    one_line,
)
from ..grammar.replies import Reply
from ..timeouts import Timeouts
from ..wire.endpoint import Endpoint
from ..wire.opening import open_connection
from ..wire.protocol import SMTPProtocol
from ..wire.tls import tls_error, unverified_context

__all__ = ["Connection"]

#: Seconds for a TLS handshake that only tells why a server has kept silent.
PROBE_TIMEOUT = 2.0


class Connection:
    """Own the protocol of the moment, if there is one."""

    def __init__(
        self,
        endpoint: Endpoint,
        timeouts: Timeouts,
        on_event: Listener | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._timeouts = timeouts
        self._on_event = on_event
        self._protocol: SMTPProtocol | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._lock = asyncio.Lock()
        self._user: asyncio.Task[object] | None = None
        self._closings = 0
        self._opening: asyncio.Future[SMTPProtocol] | None = None

    @property
    def protocol(self) -> SMTPProtocol | None:
        """Give the protocol, as long as its connection stands."""
        protocol = self._protocol
        if protocol is None or protocol.cause is not None or self._is_left_behind():
            return None
        return protocol

    def _is_left_behind(self) -> bool:
        """Tell whether the loop is gone, or the process another one."""
        is_loop_gone = self._loop is not None and self._loop.is_closed()
        return is_loop_gone or self._pid != os.getpid()

    def _usable(self) -> SMTPProtocol:
        if self._protocol is None:
            raise SMTPConnectionError("not connected; await connect() first")
        if self._pid != os.getpid():
            # Two processes that write to one connection would garble it for both.
            raise SMTPConnectionError("the connection belongs to the parent process")
        if self._loop is not asyncio.get_running_loop():
            raise SMTPConnectionError("the connection belongs to another event loop")
        self._protocol.check()
        return self._protocol

    def turn(self) -> Turn:
        """Wait for the task's turn, as a context; see `take_turn`."""
        return Turn(self)

    async def take_turn(self) -> SMTPProtocol:
        """Wait for the task's turn; lend it the protocol, with no reply owed.

        `end_turn` gives it back.

        Raises:
            SMTPConnectionError: There is no connection, or it has ended.
        """
        protocol = self._usable()
        await self._begin_operation()
        if protocol is self._protocol and protocol.is_settled:
            return protocol
        try:
            protocol = self._usable()
            await protocol.settled()
            protocol.check()
        except BaseException:
            self.end_turn()
            raise
        return protocol

    async def _begin_operation(self) -> None:
        task = asyncio.current_task()
        if self._user is task:
            raise SMTPConnectionError(
                "the session is in use by a pipeline or by send_many of this very "
                "task, which would wait for itself"
            )
        await self._lock.acquire()
        self._user = task

    def end_turn(self) -> None:
        """Let the next task have its turn."""
        self._user = None
        self._lock.release()

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[None]:
        """Wait for the task's turn to open; whatever fails inside leaves nothing open.

        Raises:
            SMTPConnectionError: There is a connection.
        """
        loop = asyncio.get_running_loop()
        if self.protocol is None:
            self._protocol = None  # it has ended, or its loop or process has
        elif self._loop is not loop:
            raise SMTPConnectionError("the connection belongs to another event loop")
        if self._loop is not loop:
            self._loop = loop
            self._lock = asyncio.Lock()  # the old one may be bound to the old loop
        await self._begin_operation()
        try:
            if self.protocol is not None:
                raise SMTPConnectionError(f"already connected to {self.endpoint}")
            try:
                yield
            except BaseException:
                await self.close()
                raise
        finally:
            self.end_turn()

    async def open(self) -> tuple[SMTPProtocol, Reply]:
        """Connect, and give the protocol and the greeting. Call it within `opening`.

        Raises:
            SMTPConnectionRefusedError: The greeting is not 220, or TCP was refused.
            SMTPTLSError: The server speaks TLS from the first octet on.
            SMTPException: As `open_connection`.
        """
        closings = self._closings
        self._opening = asyncio.ensure_future(
            open_connection(
                self.endpoint, self._timeouts.connect, listener_of(self._on_event)
            )
        )
        try:
            protocol = await self._opening
        except asyncio.CancelledError:
            opening = self._opening
            if not opening.cancelled() and opening.exception() is None:
                # It was done in the very turn in which its caller was cancelled.
                opening.result().transport.abort()
            task = asyncio.current_task()
            if closings == self._closings or (task and task.cancelling()):
                raise
        else:
            self._protocol, self._pid = protocol, os.getpid()
        finally:
            self._opening = None
        if closings != self._closings:
            raise SMTPConnectionError("the connection was closed while it was opened")
        try:
            greeting = await protocol.greeting
        except SMTPTimeoutError:
            await self._explain_silence()
            raise
        except SMTPConnectionLostError as exc:
            if exc.reply is None:
                raise
            greeting = exc.reply
        if greeting.code != 220:
            raise SMTPConnectionRefusedError(
                f"{self.endpoint} greets with {one_line(*greeting)}", *greeting
            )
        protocol.check()  # a server that says more than its greeting is not heard out
        return protocol, greeting

    async def _explain_silence(self) -> None:
        """Find out whether a server that does not greet waits for TLS.

        Raises:
            SMTPTLSError: It does.
        """
        endpoint = self.endpoint
        if endpoint.context is not None or endpoint.sock is not None:
            return
        name = endpoint.name_to_verify
        probe = replace(endpoint, context=unverified_context(), server_hostname=name)
        try:
            limit = min(PROBE_TIMEOUT, self._timeouts.connect or PROBE_TIMEOUT)
            protocol = await open_connection(probe, limit)
        except SMTPException:
            return
        await protocol.close()
        raise tls_error(
            f"{endpoint} does not greet", ssl.SSLError("the server waits for TLS")
        )

    def check_loop(self) -> None:
        """Raise if another loop has the connection."""
        if self.protocol and self._loop is not asyncio.get_running_loop():
            raise SMTPConnectionError("the connection belongs to another event loop")

    async def close(self, last_words: bytes = b"") -> None:
        """Close; see `SMTPProtocol.close`. Without a connection, do nothing."""
        protocol, self._protocol = self._protocol, None
        self._closings += 1
        if self._opening is not None:
            self._opening.cancel()
        if protocol is None or self._is_left_behind():
            return
        await protocol.close(last_words)


class Turn:
    """Hold the connection for one whole operation."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> SMTPProtocol:
        return await self._connection.take_turn()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.end_turn()

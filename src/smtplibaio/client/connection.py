"""The place of one connection: whose turn it is, and opening it again.

Rules:

1. One task at a time uses the session, for one whole operation. Each operation gives
   back the turn that it has taken.
2. An operation begins when no reply is owed. If a cancelled caller has left replies,
   they are read first.
3. Opening ends with a session that may send mails, or with no connection at all.
4. Closing takes no turn: it ends the operation that is under way.
5. A connection belongs to the event loop and to the process that opened it.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING

from ..exceptions import (
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPTimeoutError,
    SMTPTLSError,
    one_line,
)
from ..grammar.replies import Reply
from ..wire.tls import tls_error, unverified_context
from .config import Settings
from .turns import Turns

if TYPE_CHECKING:
    from ..wire.protocol import SMTPProtocol
    from .session import Learnt, Session

__all__ = ["Connection", "Turn"]

#: Seconds for a TLS handshake that only finds out why the server keeps silent.
PROBE_TIMEOUT = 2.0


class Connection:
    """The place of one session at a time: opens it, lends it in turns, closes it.

    Attributes:
        turns: Whose turn it is to use the session; new with each event loop.

    Args:
        settings: How the client is configured.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session: Session | None = None
        self._protocol: SMTPProtocol | None = None  # known before the greeting
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self.turns = Turns()
        self._closings = 0
        self._entries = 0
        self._opening: asyncio.Future[SMTPProtocol] | None = None

    @property
    def session(self) -> Session | None:
        """The session, as long as its connection stands."""
        session = self._session
        if session is None or session.protocol.cause is not None:
            return None
        return None if self._is_left_behind() else session

    @property
    def learnt(self) -> Learnt:
        """What the client has learnt from the server; empty without a session."""
        from .session import Learnt

        session = self.session
        return Learnt() if session is None else session.learnt

    @property
    def protocol(self) -> SMTPProtocol | None:
        """The connection, as long as it stands; it is there before its greeting."""
        protocol = self._protocol
        if protocol is None or protocol.cause is not None or self._is_left_behind():
            return None
        return protocol

    def _is_left_behind(self) -> bool:
        """Return whether the loop of the session is closed, or the process another."""
        is_loop_gone = self._loop is not None and self._loop.is_closed()
        return is_loop_gone or self._pid != os.getpid()

    def usable(self) -> Session:
        """Return the session.

        Raises:
            SMTPConnectionError: There is no session, or it may not be used here.
        """
        session = self._session
        if session is None:
            raise SMTPConnectionError(
                f"not connected to {self._settings.endpoint}: await connect(), or use "
                "the client in `async with`"
            )
        if self._pid != os.getpid():
            # Two processes that write to one connection would garble it for both.
            raise SMTPConnectionError(
                f"the connection to {self._settings.endpoint} belongs to the parent "
                "process: await connect() for a new one"
            )
        if self._loop is not asyncio.get_running_loop():
            raise SMTPConnectionError(
                f"the connection to {self._settings.endpoint} belongs to another event "
                "loop: use a client for each loop, or await connect() where the other "
                "loop is closed"
            )
        if session.protocol.cause is not None:
            session.protocol.check()
        return session

    def turn(self, *, is_introduced: bool = False) -> Turn:
        """Return a context that waits for the turn, and lends the session.

        Args:
            is_introduced: Whether the client introduces itself first, if it has not.
        """
        return Turn(self, is_introduced)

    # Opening

    async def enter(self) -> None:
        """Count one more user; open a connection, if none is open.

        Raises:
            SMTPException: It could not be opened.
        """
        self._entries += 1
        try:
            await self.open(is_wanted_open=True)
        except BaseException:
            self._entries -= 1
            raise

    async def leave(self, last_words: bytes) -> None:
        """Count one user less; close after the last."""
        self._entries = max(self._entries - 1, 0)
        if not self._entries:
            await self.close(last_words)

    async def open(self, *, is_wanted_open: bool = False) -> Reply:
        """Connect, turn to TLS and log in, as configured; return the greeting.

        Args:
            is_wanted_open: Whether a connection that is open already will do.

        Raises:
            SMTPConnectionError: There is a connection already.
            SMTPException: As `SMTP.connect`.
        """
        loop = asyncio.get_running_loop()
        if self.session is not None:
            self.usable()
        if self._loop is not loop or self._is_left_behind():
            # The session of another loop, or of the parent process, is left alone.
            self._loop, self._pid = loop, os.getpid()
            self._session = self._protocol = None
            self.turns = Turns()
        turn = Turn(self, is_introduced=False)
        turns = self.turns
        await turns.take(turn)
        try:
            if (session := self.session) is not None:
                if is_wanted_open:
                    return session.greeting
                raise SMTPConnectionError(
                    f"already connected to {self._settings.endpoint}; close() first"
                )
            try:
                self._session = await self._established()
            except BaseException:
                await self.close()
                raise
            return self._session.greeting
        finally:
            turns.give_back()

    async def _established(self) -> Session:
        try:
            return await self._introduced(self._settings.tls_context)
        except SMTPTLSError as exc:
            if not self._may_go_unverified(exc):
                raise
        # RFC 7435 3: encryption without authentication is better than neither. The old
        # connection is of no use any more.
        await self.close()
        return await self._introduced(unverified_context())

    def _may_go_unverified(self, exc: SMTPTLSError) -> bool:
        settings = self._settings
        return (
            settings.starttls == "opportunistic"
            and not settings.is_tls_required
            and settings.endpoint.sock is None
            and isinstance(exc.__cause__, ssl.SSLCertVerificationError)
        )

    async def _introduced(self, context: ssl.SSLContext | None) -> Session:
        """Open a session, turn it to TLS and log in."""
        from .login import log_in_as_configured

        settings = self._settings
        session = await self._greeted()
        if settings.starttls != "never":
            try:
                await session.starttls(context)
            except (SMTPCommandNotSupportedError, SMTPCommandFailedError):
                if settings.is_tls_required:
                    raise
        if settings.credentials is not None:
            await log_in_as_configured(session, settings.credentials)
        session.protocol.check()  # the server may have said more than it was asked for
        return session

    async def _greeted(self) -> Session:
        """Connect, and wait for the greeting."""
        from ..events import listener_of
        from ..wire.opening import open_connection
        from .session import Session

        closings, settings = self._closings, self._settings
        self._opening = asyncio.ensure_future(
            open_connection(
                settings.endpoint,
                settings.timeouts.connect,
                listener_of(settings.on_event),
            )
        )
        try:
            protocol = await self._opening
        except asyncio.CancelledError:
            opening = self._opening
            if not opening.cancelled() and opening.exception() is None:
                # It was ready in the same step in which its caller was cancelled.
                opening.result().transport.abort()
            task = asyncio.current_task()
            if closings == self._closings or (task and task.cancelling()):
                raise
        else:
            self._protocol, self._pid = protocol, os.getpid()
        finally:
            self._opening = None
        if closings != self._closings:
            raise SMTPConnectionError(
                f"the connection to {settings.endpoint} was closed before it was ready"
            )
        try:
            greeting = await protocol.greeting
        except SMTPTimeoutError as exc:
            error = await self._why_silent(protocol, exc)
            raise error from error.__cause__
        except SMTPConnectionLostError as exc:
            if exc.reply is None:
                raise
            greeting = exc.reply
        if greeting.code != 220:
            raise SMTPConnectionRefusedError(
                f"{protocol.peer} refuses the connection: {one_line(*greeting)}",
                *greeting,
            )
        protocol.check()  # nothing is read from a server that says more than that
        return Session(protocol, settings, greeting)

    async def _why_silent(
        self, protocol: SMTPProtocol, late: SMTPTimeoutError
    ) -> SMTPException:
        """Find out on the same connection whether a silent server waits for TLS."""
        limit = min(PROBE_TIMEOUT, self._settings.timeouts.connect or PROBE_TIMEOUT)
        name = self._settings.endpoint.name_to_verify
        try:
            protocol.check()
            await protocol.start_tls(unverified_context(), name, limit)
        except SMTPException:
            return late
        finally:
            protocol.end(late)
        waits = ssl.SSLError(1, "the server waits for TLS")
        return tls_error(f"{protocol.peer} does not greet", waits)

    # Closing

    async def close(self, last_words: bytes = b"") -> None:
        """Close the connection, if there is one.

        Args:
            last_words: A command whose reply is not waited for.

        Raises:
            SMTPConnectionError: The connection belongs to another event loop.
        """
        if self.session is not None:
            self.usable()
        protocol, self._protocol, self._session = self._protocol, None, None
        self._closings += 1
        if self._is_left_behind():
            return
        if self._opening is not None:
            self._opening.cancel()
        if protocol is None:
            return
        await protocol.close(last_words)


class Turn:
    """One whole operation, which waits for its turn and is lent the session.

    Args:
        connection: The connection whose session is lent.
        is_introduced: Whether the client introduces itself first, if it has not.
    """

    __slots__ = ("_connection", "_is_introduced", "_task", "_turns")

    def __init__(self, connection: Connection, is_introduced: bool) -> None:
        self._connection = connection
        self._is_introduced = is_introduced
        self._turns = connection.turns
        self._task = asyncio.current_task()

    def is_waiting_for_itself(self) -> bool:
        """Return whether the running task is the one that has this turn."""
        return asyncio.current_task() is self._task

    async def __aenter__(self) -> Session:
        connection = self._connection
        session = connection.usable()
        has_waited = not self._turns.take_at_once(self)
        if has_waited:
            await self._turns.take(self)
        try:
            if has_waited:
                session = connection.usable()
            if not session.protocol.is_settled:
                await session.protocol.settled()
                session.protocol.check()
            if self._is_introduced and not session.learnt.is_introduced:
                await session.introduced()
        except BaseException:
            self._turns.give_back()
            raise
        return session

    def __aexit__(self, *exc: object) -> Awaitable[None]:
        self._turns.give_back()
        return _DONE


class _Done:
    """An awaitable for a result that is there already; it saves a coroutine."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


_DONE = _Done()

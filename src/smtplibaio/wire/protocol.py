"""The connection: octets become replies, replies resolve futures, in order.

Rules:

1. A waiter joins the queue in the same synchronous step that writes its command.
2. A waiter leaves the queue only because its reply came or because the connection
   ended. A cancelled one stays as a tombstone: its reply is read and dropped.
3. Octets that are no reply, and replies to no command, end the connection. If such a
   reply were ignored, each later reply could belong to the wrong command, and mail
   could be lost. A 421 is the farewell of the server, and the reason in later errors.
   The same holds for the first part of a reply that comes while no reply is owed: the
   connection ends before the next command, so the part cannot be taken for its reply.
4. When the connection has ended, every waiter is settled, once, and every later call
   raises the first cause of the end. The stored cause holds no frames.
5. No octet is taken for a reply between the 220 to STARTTLS and the end of the
   handshake (CVE-2011-0411): reading stops when the 220 is parsed, and octets after the
   220 end the connection. Any failure of the handshake ends it, too.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import Future
from copy import copy
from operator import itemgetter
from typing import Any, cast

from ..events import (
    Closed,
    CommandSent,
    Connected,
    Listener,
    Narrator,
    ReplyReceived,
    TLSStarted,
)
from ..exceptions import (
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    again,
    one_line,
    without_frames,
)
from ..grammar.replies import MAX_REPLY, Reply, ReplyParser
from .indivisible import Indivisible
from .replyqueue import ReplyFuture, ReplyQueue, ReplyTaker, Waiter, fail_waiters
from .salvage import is_broken_below, read_what_is_left
from .tls import handshake, tls_error

__all__ = ["SMTPProtocol"]

#: Octets read at a time. asyncio would allocate 256 KiB for each read; replies are
#: short, and a buffer of our own costs neither the allocation nor its page faults.
BUFFER_SIZE = 4096

_GREETING = "the greeting"

#: Seconds that closing may take, whatever the peer does.
CLOSE_TIMEOUT = 1.0

#: The codes that need more than handing over: the farewell, and the go-ahead for TLS.
_TELLING = frozenset({421, 220})

_code_of = itemgetter(0)

#: What the caller can try if a server sends no greeting.
_NO_GREETING = (
    "; if it waits for TLS from the first octet on, as port 465 does, use SMTP_SSL, "
    "or smtps:// in a URL"
)


class SMTPProtocol(asyncio.BufferedProtocol, asyncio.Protocol):
    """Own one connection: its transport, the order of its replies, its end.

    Attributes:
        greeting: The future of the greeting, which is the first reply.
        cause: Why the connection has ended; None while it stands.
        is_lost: Done when the transport is gone.
        has_lost_replies: Whether the connection ended while a reply was owed.
        narrator: The way to the listener.
        transport: The transport, from the start of the connection on.

    Args:
        loop: The running loop.
        greeting_timeout: Seconds for the greeting from the start of the connection.
        listener: A function that is called with each event.
        server: The host and port that the client was given, for the listener.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        greeting_timeout: float | None,
        listener: Listener | None = None,
        server: tuple[str, int | None] | None = None,
    ) -> None:
        self.transport: asyncio.Transport
        self.greeting: ReplyFuture = loop.create_future()
        self._loop = loop
        self._server = server
        self.narrator = Narrator(listener, loop.call_exception_handler)
        self._go_ahead: ReplyFuture | None = None  # the reply to STARTTLS
        self._is_paused = False
        self._has_tls = False
        self._parser = ReplyParser()
        self._lend_buffer(BUFFER_SIZE)
        self._owed = ReplyQueue(loop, self._reply_is_late)
        self._greeting_waiter = Waiter(self.greeting, None, _GREETING)
        self._owed.add((self._greeting_waiter,))
        self._greeting_timeout = greeting_timeout
        self._held: list[bytes] = []  # the octets that `flush` will write
        self._held_waiters: list[ReplyTaker] = []
        self.cause: SMTPException | None = None
        self.has_lost_replies = False
        self.is_lost: asyncio.Future[None] = loop.create_future()
        self._is_writable: asyncio.Future[None] | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the connection that the loop has opened."""
        self.transport = cast(asyncio.Transport, transport)
        if self.narrator.is_heard:
            peer = transport.get_extra_info("peername")
            self.narrator.tell(Connected.to(peer, self._server))
        if transport.get_extra_info("ssl_object") is not None:
            self._tls_started()
        self._greeting_waiter.timeout = self._greeting_timeout
        self._owed.watch()

    def _tls_started(self) -> None:
        # asyncio drops octets that do not fit at once, if the end comes with them.
        self._lend_buffer(MAX_REPLY)
        self._has_tls = True
        tls = self.transport.get_extra_info("ssl_object")
        self.narrator.tell(TLSStarted(tls.version(), tls.cipher()[0]))

    def _lend_buffer(self, size: int) -> None:
        self._buffer = bytearray(size)
        # asyncio's TLS takes a slice of it, which of a bytearray were a copy.
        self._lent = memoryview(self._buffer)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the transport the buffer that it reads into."""
        return self._lent

    def buffer_updated(self, nbytes: int) -> None:
        """Turn the octets in the buffer into replies."""
        self.data_received(self._buffer[:nbytes])

    def data_received(self, data: bytes | bytearray) -> None:
        """Turn octets into replies; uvloop calls this, as for any `Protocol`."""
        if self.cause is not None:
            return  # nothing is read any more
        parser = self._parser
        replies = parser.feed(data)
        if self.narrator.is_heard or not _TELLING.isdisjoint(map(_code_of, replies)):
            for index, reply in enumerate(replies):
                self._look_at(reply, replies[:index])
                if self.cause is not None:
                    return
        unasked = self._owed.take(replies)
        if unasked is not None or parser.fault is not None or self._is_paused:
            self._check_what_came(unasked)

    def _check_what_came(self, unasked: Reply | None) -> None:
        """End the connection if there are octets that are no reply to a command."""
        parser = self._parser
        if unasked is not None:
            text = one_line(*self.narrator.shown(unasked))
            self.end(
                SMTPProtocolError(
                    f"{self.peer} sent a reply that nobody asked for: {text}"
                )
            )
        elif parser.fault is not None:
            # An excerpt may have half of a secret, and redaction would miss that.
            hides = self.narrator.is_redacting
            fault = "not an SMTP reply to AUTH" if hides else parser.fault
            self.end(SMTPProtocolError(f"{self.peer} sent what is {fault}"))
        elif not parser.is_empty:  # reading has stopped at the 220 to STARTTLS
            text = f"{self.peer} sent octets behind its 220 to STARTTLS"
            self.end(SMTPProtocolError(text))

    def eof_received(self) -> None:
        """End the connection, because the server has ended its side."""
        self.end(
            SMTPConnectionLostError(f"{self.peer} closed the connection{self._when}")
        )

    @property
    def _when(self) -> str:
        """Return what the connection was waiting for, for the text of its end."""
        due = self._owed.due
        if due is None:
            return " in the middle of a reply" if self._parser.has_partial else ""
        if due is self._greeting_waiter:
            return " before its greeting" + ("" if self._has_tls else _NO_GREETING)
        middle = "in the middle of" if self._parser.has_partial else "before"
        return f" {middle} its reply to {due.what}"

    @property
    def peer(self) -> str:
        """The server, as the texts of errors call it: "mx.example port 25"."""
        if self._server is None:
            found = self.transport.get_extra_info("peername")
            return Connected.to(found).peer or "the server"
        host, port = self._server
        return host if port is None else f"{host} port {port}"

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle every waiter, because the transport is gone."""
        lost: SMTPException
        if isinstance(exc, ssl.SSLError):
            # With TLS 1.3, a server refuses the certificate of a client only after the
            # handshake.
            lost = tls_error(f"TLS with {self.peer} has failed", exc)
        else:
            if exc is None:
                what = f"{self.peer} closed the connection{self._when}"
            else:
                what = f"the connection to {self.peer} broke{self._when}: {exc}"
            lost = SMTPConnectionLostError(what)
            lost.__cause__ = exc
        if exc is not None and self.cause is None and not self._has_tls:
            read_what_is_left(self.transport, self)
        self._abandon(lost)

    def pause_writing(self) -> None:
        """Have `drain` wait."""
        self._is_writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        writable, self._is_writable = self._is_writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # Replies

    def _look_at(self, reply: Reply, before: list[Reply]) -> None:
        """Do what a reply needs besides being handed to its waiter.

        Args:
            reply: The reply.
            before: The replies of the same read that came before it.
        """
        if self.narrator.is_heard:
            self.narrator.tell(ReplyReceived(self.narrator.shown(reply)))
        if reply.code == 421:
            # RFC 5321 3.8: the server may send it at any time, also without a command.
            self._owed.take(before)
            self._take_leave(self.narrator.shown(reply))
        elif reply.code == 220 and self._is_go_ahead_due:
            # All octets from here on belong to TLS.
            self.transport.pause_reading()
            self._is_paused = True

    def _take_leave(self, farewell: Reply) -> None:
        due = self._owed.due
        to = "" if due is None else f", as its reply to {due.what}"
        text = f"{self.peer} ends the session: {one_line(*farewell)}{to}"
        self.end(SMTPConnectionLostError(text, farewell))

    @property
    def _is_go_ahead_due(self) -> bool:
        due = self._owed.due
        return due is not None and due.future is self._go_ahead

    def _reply_is_late(self, what: str, limit: float | None) -> None:
        if what is not _GREETING:
            text = f"no reply from {self.peer} to {what} within {limit} s"
            self.end(SMTPTimeoutError(text))
            return
        text = f"no greeting from {self.peer} within {limit} s"
        if self._has_tls:
            self.end(SMTPTimeoutError(text))
        else:
            # The task that waits for the greeting ends the connection. Before that, it
            # can find out whether the server waits for TLS.
            self.transport.pause_reading()
            self._owed.fail(SMTPTimeoutError(text + _NO_GREETING))

    @property
    def awaited(self) -> str | None:
        """The command that the next reply answers; None if no reply is owed."""
        due = self._owed.due
        return None if due is None else due.what

    @property
    def is_settled(self) -> bool:
        """Whether the connection stands and owes no reply."""
        return self.cause is None and not self._owed.waiters

    async def settled(self) -> None:
        """Wait until no reply is owed, or the connection has ended."""
        await self._owed.settled()

    def watch(self) -> None:
        """Let the deadline of the next reply begin again."""
        self._owed.watch()

    # Commands

    def say(
        self, octets: bytes, waiter: ReplyTaker | None = None, shown: bytes = b""
    ) -> None:
        """Hold octets, and the waiter for their replies, until the next `flush`.

        Args:
            octets: Whole command lines, or content.
            waiter: What takes the replies to them; None if there will be none.
            shown: The command lines as the listener sees them.
        """
        self._held.append(octets)
        if waiter is not None:
            self._held_waiters.append(waiter)
        if shown and self.narrator.is_heard:
            for line in shown.splitlines():
                text = line.decode("utf-8", "surrogateescape")
                self.narrator.tell(CommandSent(text))

    def flush(self) -> None:
        """Write all octets that are held, and queue their waiters in the same step.

        Raises:
            SMTPConnectionError: The connection has ended; nothing was written, and the
                waiters have failed.
        """
        held, waiters = self._held, self._held_waiters
        self._held, self._held_waiters = [], []
        if self._parser.has_partial and not self._owed.waiters:
            text = f"{self.peer} sent a part of a reply that nobody asked for"
            self.end(SMTPProtocolError(text))
        if self.cause is not None:
            fail_waiters(waiters, self.cause)
            raise self._ended(self.cause)
        self._owed.add(waiters)
        if held:
            self.transport.write(b"".join(held))

    def ask(
        self, line: bytes, timeout: float | None, what: str, shown: bytes | None = None
    ) -> ReplyFuture:
        """Write one command, and return the future of its reply."""
        future: ReplyFuture = self._loop.create_future()
        waiter = Waiter(future, timeout, what)
        self.say(line, waiter, line if shown is None else shown)
        self.flush()
        return future

    async def drain(self, reply: Future[Any], timeout: float | None) -> None:
        """Wait until the transport takes more, or the reply has come.

        Raises:
            SMTPTimeoutError: The transport took no octets in this time; the connection
                was ended.
        """
        if self._has_tls and is_broken_below(self.transport):
            read_what_is_left(self.transport, self)
        if self._is_writable is None:
            # Twice, so that other tasks run and replies are read: after one sleep, the
            # loop would resume this task before it reads.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return
        done, _ = await asyncio.wait(
            (self._is_writable, reply),
            timeout=timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            error = SMTPTimeoutError(f"{self.peer} took no content for {timeout} s")
            self.end(error)
            raise error

    # TLS within the session

    def ask_for_tls(self, line: bytes, timeout: float | None) -> ReplyFuture:
        """Write STARTTLS; after its 220, no octet is taken for a reply."""
        self._go_ahead = self.ask(line, timeout, "STARTTLS")
        return self._go_ahead

    async def start_tls(
        self, context: ssl.SSLContext, server_hostname: str, timeout: float | None
    ) -> None:
        """Shake hands, after the 220.

        Raises:
            SMTPTLSError: The handshake failed, or the certificate did not verify.
            SMTPTimeoutError: It took too long.
            SMTPConnectionLostError: The connection ended meanwhile.
        """
        if self.cause is not None:
            raise again(self.cause)
        try:
            self.transport = await handshake(
                self._loop,
                self.transport,
                self,
                context,
                server_hostname,
                timeout,
                self.peer,
            )
            self.check()  # uvloop returns a transport even if the connection was lost
        except SMTPException as exc:
            is_first = self.cause is None
            self._abandon(exc)
            if not is_first:
                self.check()  # the first cause wins
            raise
        except BaseException:
            text = f"the TLS handshake with {self.peer} was broken off"
            self._abandon(SMTPConnectionLostError(text))
            raise
        self._is_paused = False
        self._tls_started()

    def _abandon(self, cause: SMTPException) -> None:
        """End the connection, even if the loop does not call `connection_lost`."""
        self.end(cause)
        if not self.is_lost.done():
            self.is_lost.set_result(None)

    # The end

    def check(self) -> None:
        """Raise if the connection has ended, with the first cause chained."""
        if self.cause is not None:
            raise self._ended(self.cause)

    @staticmethod
    def _ended(cause: SMTPException) -> SMTPException:
        if isinstance(cause, SMTPConnectionError):
            return again(cause)
        ended = SMTPConnectionLostError(f"the connection has ended: {cause}")
        ended.__cause__ = cause
        return ended

    def end(self, cause: SMTPException) -> None:
        """End the connection for a reason; settle every waiter; only the first counts.

        Nothing more is written, because neither RSET nor QUIT is safe then.
        """
        if self.cause is not None or self._loop.is_closed():
            return  # a closed loop takes no calls, and no task waits in it
        kept = copy(cause)  # each `raise` of this error adds frames to it
        kept.__cause__ = cause.__cause__
        self.cause = without_frames(kept)
        self.transport.abort()
        self._settle(self.cause)
        self.narrator.tell(Closed(self.cause))

    def _settle(self, cause: SMTPException) -> None:
        self.has_lost_replies = self._owed.fail(cause)

    async def close(self, last_words: bytes = b"") -> None:
        """Close in order if no reply is owed, otherwise at once; within a second.

        Args:
            last_words: QUIT, or nothing; its reply is not waited for.
        """
        if self.cause is None:
            # During a handshake, a command in clear text would break TLS.
            is_orderly = not self._owed.waiters and not self._is_paused
            if is_orderly:
                self.say(last_words, None, last_words)
                self.transport.write(b"".join(self._held))
                self.transport.close()
            else:
                self.transport.abort()
            self.cause = SMTPConnectionError(
                f"the connection to {self.peer} was closed by the client"
            )
            self._settle(self.cause)
            self.narrator.tell(Closed(None))
        try:
            if self._has_tls:
                # close_notify was sent; that of the peer would be another round trip.
                # uvloop writes at the end of a step of the loop.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                self.transport.abort()
            await self._wait_until_lost()
        finally:
            self.transport.abort()
        await self._wait_until_lost()

    async def _wait_until_lost(self) -> None:
        if not self.is_lost.done():
            await asyncio.wait((self.is_lost,), timeout=CLOSE_TIMEOUT)

    def indivisible(self, what: str) -> Indivisible:
        """Return the context manager `Indivisible` for a block of steps."""
        return Indivisible(self.end, what)

"""The connection: octets to replies, replies to futures, in order; no verbs.

Rules:

1. A waiter is appended in the same synchronous step that writes its command.
2. A waiter leaves the queue only because its reply came or because the connection
   ended. A cancelled one stays as a tombstone: its reply is read and dropped.
3. Octets that are no reply, and replies that nobody asked for, end the connection.
   With anything in flight, ignoring one would make a later reply look like the one to
   the end of the content, and mail would be lost. A 421 is the server's farewell and
   becomes the reason that later calls give.
4. Once the connection has ended every waiter is settled, once, and every later call
   has the same cause. The first cause wins.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from .events import (
    MASK,
    Closed,
    CommandSent,
    Connected,
    Event,
    Listener,
    ReplyReceived,
    TLSStarted,
)
from .exceptions import (
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    again,
    printable,
)
from .replies import Reply, ReplyParser

__all__ = ["ReplyFuture", "SMTPProtocol", "Waiter"]

ReplyFuture = asyncio.Future[Reply]

#: A future, the seconds its reply may take once it is its turn, and what for.
Waiter = tuple[ReplyFuture, float | None, str]

#: Octets read at a time. asyncio would allocate 256 KiB for each read; replies are
#: short, and a buffer of our own costs neither the allocation nor its page faults.
BUFFER_SIZE = 4096

#: Seconds that closing may take, whatever the peer does.
CLOSE_TIMEOUT = 1.0


class SMTPProtocol(asyncio.BufferedProtocol, asyncio.Protocol):
    """Own one connection: its transport, the order of its replies, its end.

    The greeting is the first reply, and `greeting` its future.

    Args:
        loop: The running loop.
        greeting_timeout: Seconds for the greeting from the start of the connection.
        listener: Whom to tell what happens.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        greeting_timeout: float | None,
        listener: Listener | None = None,
    ) -> None:
        self.transport: asyncio.Transport  # there is one from connection_made on
        self.greeting: ReplyFuture = loop.create_future()
        self._loop = loop
        self._listener = listener
        self._redact: Callable[[str], str] | None = None
        self._parser = ReplyParser()
        self._buffer = memoryview(bytearray(BUFFER_SIZE))
        self._waiters: deque[Waiter] = deque()
        self._waiters.append((self.greeting, greeting_timeout, "the greeting"))
        self._cause: SMTPException | None = None
        self.has_lost_replies = False  # it ended while a reply was owed
        self._is_lost: asyncio.Future[None] = loop.create_future()
        self._is_settled: asyncio.Future[None] | None = None
        self._is_writable: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with the connection that the loop has opened."""
        self.transport = cast(asyncio.Transport, transport)
        if self._listener is not None:
            self.tell(Connected(_peer(transport)))
            if (tls := transport.get_extra_info("ssl_object")) is not None:
                self.tell(TLSStarted(tls.version(), tls.cipher()[0]))
        self._watch_oldest()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the transport the buffer that it reads into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Turn what was read into replies."""
        if self._cause is not None:
            return  # nobody listens any more
        self._parser.feed(self._buffer[:nbytes])
        try:
            while self._cause is None and (reply := self._parser.next_reply()):
                self._reply_received(reply)
        except SMTPProtocolError as exc:
            # An excerpt may hold half of a secret, which no search for it would find.
            hides = self._redact is not None
            self.end(SMTPProtocolError("not an SMTP reply to AUTH") if hides else exc)

    def eof_received(self) -> None:
        """Take the end of the server's half for the end of the connection."""
        where = "" if self._parser.is_empty else " in the middle of a reply"
        self.end(SMTPConnectionLostError(f"the server closed the connection{where}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Settle everybody; the transport is gone."""
        lost = SMTPConnectionLostError(
            "the connection was lost" + (f": {exc}" if exc else "")
        )
        lost.__cause__ = exc
        self.end(lost)
        if not self._is_lost.done():
            self._is_lost.set_result(None)

    def pause_writing(self) -> None:
        """Have `drain` wait."""
        self._is_writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        writable, self._is_writable = self._is_writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # Replies

    def _reply_received(self, reply: Reply) -> None:
        if self._listener is not None:
            self.tell(ReplyReceived(self._shown(reply)))
        if reply.code == 421:
            # RFC 5321 3.8: the server may say so at any time, asked or not.
            reply = self._shown(reply)
            text = f"the server ends the session: {_one_line(reply)}"
            self.end(SMTPConnectionLostError(text, reply))
        elif not self._waiters:
            text = f"a reply that nobody asked for: {_one_line(self._shown(reply))}"
            self.end(SMTPProtocolError(text))
        else:
            future, _, _ = self._waiters.popleft()
            if not future.done():
                future.set_result(reply)
            self._watch_oldest()
            if self._is_settled is not None and not self._waiters:
                self._wake_settled()

    @property
    def is_settled(self) -> bool:
        """Tell whether no reply is owed."""
        return not self._waiters

    async def settled(self) -> None:
        """Wait until no reply is owed, or the connection has ended.

        Only one task at a time may wait.
        """
        if self._waiters:
            self._is_settled = self._loop.create_future()
            await self._is_settled

    def _wake_settled(self) -> None:
        waiting, self._is_settled = self._is_settled, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    # Commands

    def send(
        self, data: bytes, waiters: Iterable[Waiter], shown: bytes | None = None
    ) -> None:
        """Write whole commands and queue a waiter for each of their replies.

        Args:
            data: The command lines.
            waiters: One for each.
            shown: What the listener is told instead of the very lines.

        Raises:
            SMTPConnectionLostError: The connection has ended; nothing was written.
        """
        self.check()
        was_settled = not self._waiters
        self._waiters.extend(waiters)
        self.transport.write(data)
        if was_settled:
            self._watch_oldest()
        if self._listener is not None:
            for line in (data if shown is None else shown).splitlines():
                self.tell(CommandSent(line.decode("utf-8", "surrogateescape")))

    def ask(
        self, line: bytes, timeout: float | None, what: str, shown: bytes | None = None
    ) -> ReplyFuture:
        """Write one command and give the future of its reply."""
        future: ReplyFuture = self._loop.create_future()
        self.send(line, ((future, timeout, what),), shown)
        return future

    def write(self, data: bytes) -> None:
        """Write octets that ask for no reply of their own: a further block of content.

        Raises:
            SMTPConnectionLostError: The connection has ended.
        """
        self.check()
        self.transport.write(data)

    async def drain(self, reply: ReplyFuture, timeout: float | None) -> None:
        """Wait until the transport takes more, or the reply has come.

        Raises:
            SMTPTimeoutError: The transport took nothing for so many seconds; the
                connection is ended.
        """
        if self._is_writable is None:
            await asyncio.sleep(0)  # the reply is read, and other tasks get their turn
            return
        done, _ = await asyncio.wait(
            (self._is_writable, reply),
            timeout=timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not done:
            error = SMTPTimeoutError(f"the server took no content for {timeout} s")
            self.end(error)
            raise error

    # Deadlines: the oldest waiter has one, and one lazily re-armed timer watches it

    def limit_oldest(self, timeout: float | None) -> None:
        """Give the reply that is due next so many seconds from now."""
        if self._waiters:
            future, _, what = self._waiters[0]
            self._waiters[0] = (future, timeout, what)
            self._watch_oldest()

    def _watch_oldest(self) -> None:
        timeout = self._waiters[0][1] if self._waiters else None
        if timeout is None:
            self._deadline = None
            return
        self._deadline = self._loop.time() + timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self._arm(self._deadline)

    def _arm(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._arm(self._deadline)
            return
        _, timeout, what = self._waiters[0]
        self.end(SMTPTimeoutError(f"no reply to {what} within {timeout} s"))

    # What may be shown

    def tell(self, event: Event) -> None:
        """Tell the listener, if there is one; what it raises is its own affair."""
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as exc:
            self._loop.call_exception_handler(
                {"message": "on_event has raised", "exception": exc}
            )

    @contextmanager
    def redacting(self, redact: Callable[[str], str]) -> Iterator[None]:
        """Show no reply but through a function that cuts the secrets out."""
        self._redact = redact
        try:
            yield
        finally:
            self._redact = None

    def _shown(self, reply: Reply) -> Reply:
        if self._redact is None:
            return reply
        is_challenge = reply.code == 334
        return Reply(reply.code, MASK if is_challenge else self._redact(reply.message))

    # The end

    @property
    def cause(self) -> SMTPException | None:
        """Give the reason that the connection ended for, or None while it stands."""
        return self._cause

    def check(self) -> None:
        """Raise if the connection has ended, with the first cause chained."""
        if self._cause is not None:
            raise self._ended(self._cause)

    @staticmethod
    def _ended(cause: SMTPException) -> SMTPException:
        if isinstance(cause, SMTPConnectionError):
            return again(cause)
        ended = SMTPConnectionLostError(f"the connection was ended: {cause}")
        ended.__cause__ = cause
        return ended

    def end(self, cause: SMTPException) -> None:
        """End the connection for a reason; settle every waiter; only the first counts.

        Nothing more is written: on a doubtful session neither RSET nor QUIT is right.
        """
        if self._cause is not None:
            return
        self._cause = cause
        self.transport.abort()
        self._settle(cause)
        self.tell(Closed(cause))

    def _settle(self, cause: SMTPException) -> None:
        self._deadline = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiters, self._waiters = self._waiters, deque()
        self.has_lost_replies = bool(waiters)
        for future, _, _ in waiters:
            if not future.done():
                future.set_exception(again(cause))
                future.exception()  # seen, even where the caller has dropped the future
        self._wake_settled()

    async def close(self, last_words: bytes = b"") -> None:
        """Close in order if no reply is owed, else at once; done within a second.

        Args:
            last_words: A command whose reply is not waited for, QUIT.
        """
        if self._cause is None:
            is_orderly = not self._waiters
            if is_orderly:
                self.send(last_words, ())
                self.transport.close()
            else:
                self.transport.abort()
            self._cause = SMTPConnectionError("the connection was closed by the client")
            self._settle(self._cause)
            self.tell(Closed(None))
        try:
            await asyncio.wait((self._is_lost,), timeout=CLOSE_TIMEOUT)
        finally:
            self.transport.abort()
        await asyncio.wait((self._is_lost,), timeout=CLOSE_TIMEOUT)

    @contextmanager
    def indivisible(self, what: str) -> Iterator[None]:
        """End the connection if what is done inside is broken off halfway.

        After an SMTP error the dialogue is in step, or the connection has ended
        already; after anything else, a cancellation say, nobody knows what the server
        waits for: with a content half sent, the next command would be mail.
        """
        try:
            yield
        except SMTPProtocolError as exc:
            self.end(exc)
            raise
        except SMTPException:
            raise
        except BaseException:
            self.end(SMTPConnectionLostError(f"{what} was broken off"))
            raise


def _peer(transport: asyncio.BaseTransport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]} port {name[1]}" if isinstance(name, tuple) else str(name)


def _one_line(reply: Reply) -> str:
    return f"{reply.code} {printable(' '.join(reply.lines))}"

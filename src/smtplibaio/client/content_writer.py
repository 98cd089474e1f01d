"""Content on its way: block by block, as fast as the server takes it.

Rules:

1. Content that is not complete never gets a dot or a BDAT LAST: half a message would
   be delivered. If the content breaks off, the connection ends.
2. The server may refuse content while it is sent. Then sending stops at the next block,
   and the caller gets that reply. The connection ends, because only the end of the
   content could bring the dialogue back in step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from ..content.forms import Content, Stream
from ..content.progress import Progress
from ..events import ContentSent
from ..exceptions import (
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    again,
    one_line,
)
from ..mail.transaction import Transaction
from ..mail.verdicts import is_ok
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from .sources import SourceStoppedError, blocks_of

__all__ = ["ContentWriter"]

#: Chunks of BDAT that may be on their way without a reply.
MAX_CHUNKS = 8


class ContentWriter:
    """Write the content of one transaction.

    Args:
        protocol: A connection whose last reply was 354, or on which BDAT is due.
        transaction: Takes the replies.
        timeouts: The limits; `content` is the one for each block.
    """

    def __init__(
        self, protocol: SMTPProtocol, transaction: Transaction, timeouts: Timeouts
    ) -> None:
        self._protocol = protocol
        self._transaction = transaction
        self._timeouts = timeouts
        self._body = body = transaction.plan.body
        self._framing = body.framing()
        self._loop = asyncio.get_running_loop()
        self._octets = 0
        self._progress: Progress | None = None
        if body.progress is not None:
            self._progress = Progress(
                body.progress,
                body.content.size,
                self._loop.time,
                self._loop.call_exception_handler,
            )
        # Done when the server has refused the content, or the connection has ended.
        self._stop: asyncio.Future[None] = self._loop.create_future()
        # Resolved when one more chunk may leave.
        self._room: asyncio.Future[None] | None = None

    async def write(self, and_then: Callable[[], object] | None) -> None:
        """Write the content to its end.

        Args:
            and_then: Called just before the last block leaves. What it says leaves in
                the same write.

        Raises:
            SMTPCommandFailedError: The server refused the content before all of it was
                sent; the connection has ended.
            SMTPException: The connection has ended before all of it was sent.
            Exception: What the source of the content raised; the connection has ended.
        """
        self._listen()
        self._transaction.wants_news = True
        self._protocol.is_lost.add_done_callback(self._interrupt)
        try:
            held = await self._all_but_the_last()
            self._check()  # the source may have been too late
            self._protocol.check()  # before `and_then` takes what leaves with the end
            self._end(held, and_then)
        except BaseException as exc:
            # If the server has refused the content, the connection has ended already.
            text = f"the content was broken off: {exc!r}"
            self._protocol.end(SMTPConnectionLostError(text))
            raise
        finally:
            self._transaction.wants_news = False
            self._protocol.is_lost.remove_done_callback(self._interrupt)

    def done(self) -> None:
        """Call the caller's `progress` once more: the server has taken everything."""
        if self._progress is not None:
            self._progress.done()

    async def _all_but_the_last(self) -> bytes:
        """Write all blocks but the last; return the last, which leaves with the end."""
        held: bytes | None = None
        content = self._body.content
        if isinstance(content, Content):
            for block in content.blocks():
                if held is not None:
                    await self._put(held)
                held = block
            return held or b""
        if self._body.is_chunked is False:
            # The server may refuse the content before it has any of it.
            self._say(b"", is_last=False)
            self._protocol.flush()
        try:
            async with aclosing(self._read(content)) as blocks:
                async for block in blocks:
                    if held is not None:
                        await self._put(held)
                    held = block
        except SourceStoppedError:
            raise self._reason() from None
        return held or b""

    def _read(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        return blocks_of(
            stream,
            no_8bit=self._body.no_8bit,
            stop=self._stop,
            timeout=self._timeouts.content,
            on_break=self._break_off,
        )

    def _break_off(self) -> None:
        """End the connection, because a source is given up while it is still read."""
        if self._is_refused:
            self._reason()  # what the server has said is the cause of the end
        else:
            self._protocol.end(SMTPConnectionLostError("the content was broken off"))

    # What the server says meanwhile

    def _listen(self) -> None:
        future = self._transaction.future = self._loop.create_future()
        future.add_done_callback(self._hear)

    def _hear(self, news: asyncio.Future[Any]) -> None:
        if self._transaction.is_all_said:
            return
        if news.cancelled() or news.exception() is not None or self._is_refused:
            self._interrupt()
        else:
            self._listen()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    @property
    def _is_refused(self) -> bool:
        """Whether a reply has come that is not the 2yz to a chunk."""
        if self._framing.asks_each_time:
            return not all(map(is_ok, self._transaction.content_replies))
        return self._transaction.has_content_reply

    def _interrupt(self, _: object = None) -> None:
        """Stop reading the source: the content is not wanted any more."""
        if not self._stop.done():
            self._stop.set_result(None)

    def _check(self) -> None:
        """Raise if the server has refused the content, or the connection has ended."""
        if self._stop.done() or self._is_refused:
            raise self._reason()

    def _reason(self) -> SMTPException:
        """End the connection; return the error why no more of the content may leave."""
        refusal, protocol = self._transaction.content_refusal(), self._protocol
        if refusal is None and protocol.cause is not None:
            return again(protocol.cause)
        error: SMTPException | None = refusal
        if error is None:
            replies = self._transaction.content_replies
            said = one_line(*next((r for r in replies if not is_ok(r)), replies[-1]))
            error = SMTPProtocolError(
                f"{protocol.peer} answered before all of the content was sent: {said}"
            )
        protocol.end(error)
        return error

    # Blocks

    def _say(self, frame: bytes, *, is_last: bool) -> None:
        transaction, waiter = self._transaction, None
        if not transaction.is_content_owed or self._framing.asks_each_time:
            # The dot, or a BDAT, has one reply, which may come early.
            waiter = transaction.owe(
                is_last=is_last or not self._framing.asks_each_time
            )
        self._protocol.say(frame, waiter)

    async def _put(self, block: bytes) -> None:
        self._say(self._framing.frame(block, is_last=False), is_last=False)
        self._protocol.flush()
        self._count(block)
        await self._protocol.drain(self._stop, self._timeouts.content)
        limit = MAX_CHUNKS if self._body.is_grouped else 1
        while (
            self._framing.asks_each_time
            and self._transaction.owed >= limit
            and not self._stop.done()
        ):
            self._room = self._loop.create_future()
            await asyncio.wait(
                (self._room, self._stop), return_when=asyncio.FIRST_COMPLETED
            )
        self._check()

    def _count(self, block: bytes) -> None:
        self._octets += len(block)
        if self._progress is not None:
            self._progress.sent(len(block))

    def _end(self, block: bytes, and_then: Callable[[], object] | None) -> None:
        transaction = self._transaction
        self._say(self._framing.frame(block, is_last=True), is_last=True)
        transaction.is_all_said = True
        transaction.wants_news = False
        transaction.future = self._loop.create_future()
        self._count(block)
        self._protocol.narrator.tell(ContentSent(self._octets))
        if and_then is not None:
            and_then()
        self._protocol.flush()
        transaction.is_all_sent = True
        self._protocol.watch()  # the final reply has a deadline from now on

"""Content on its way: block by block, as fast as it is taken, and its final reply.

Rules:

1. Content is never cut short by a dot or a BDAT LAST: half a message would be
   delivered. What breaks off ends the connection.
2. While content is sent the server may say no. Sending stops at the next block, and
   that reply is what the caller gets; the connection ends, as only the end of the
   content could bring the dialogue back in step.
3. From the moment that the last octet is handed to the transport until the final reply
   is in, whether the mail was accepted is unknown; before and after it is not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from ..content.forms import Content, Stream
from ..content.framing import Framing
from ..content.progress import Progress
from ..events import ContentSent
from ..exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
    again,
    is_farewell,
    unknown_after,
)
from ..grammar.replies import Reply
from ..mail.planning import Body
from ..mail.result import is_ok, says_nothing
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import GroupWaiter, ReplyFuture, Waiter
from .dialogue import Group
from .sources import SourceStoppedError, blocks_of

__all__ = ["Sender", "no_group", "send_content"]

#: Chunks of BDAT that may be on their way without an answer.
MAX_CHUNKS = 8


def no_group() -> Group:
    """Give no commands."""
    return b"", ()


async def send_content(
    protocol: SMTPProtocol,
    body: Body,
    timeouts: Timeouts,
    next_group: Callable[[], Group] = no_group,
) -> Reply:
    """Write content to its end; give the final reply, whatever it says.

    Args:
        protocol: A connection on which 354 was the last reply, or which waits for BDAT.
        body: What to send, and how.
        timeouts: `content` for each block, `final` for the reply.
        next_group: Asked, when the last block is about to leave, for commands that
            leave in the same write, and their waiters.

    Raises:
        SMTPCommandFailedError: The server refused the content before all of it was
            sent; the connection has ended.
        SMTPConnectionError, SMTPTimeoutError, SMTPProtocolError: The connection ended
            before all of it was sent, or the server said farewell instead of taking it:
            nothing was accepted.
        SMTPDeliveryUnknownError: It ended later, or the final reply means nothing.
        Exception: What the source of the content raised.
    """
    sender = Sender(protocol, body, body.framing(), timeouts)
    await sender.send(next_group)
    return await sender.final_reply()


class Sender:
    """Send one body, and know what was answered.

    Attributes:
        final: The reply to the end of the content.

    Args:
        protocol: See `send_content`.
        body: The same.
        framing: How it is marked off.
        timeouts: See `send_content`.
    """

    def __init__(
        self,
        protocol: SMTPProtocol,
        body: Body,
        framing: Framing,
        timeouts: Timeouts,
    ) -> None:
        self._protocol = protocol
        self._body = body
        self._framing = framing
        self._timeouts = timeouts
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
        self.final: ReplyFuture = self._loop.create_future()
        self._waiter: Waiter | None = None  # of `final`, once it is in the queue
        # Done when the server has said no, or nothing more will come.
        self._stop = self.final
        if framing.asks_each_time:
            self._stop = self._loop.create_future()
        self._chunks: deque[ReplyFuture] = deque()

    async def send(self, next_group: Callable[[], Group]) -> None:
        """Write the content to its end; see `send_content`."""
        held: bytes | None = None  # the last block leaves with what ends the content
        content = self._body.content
        if isinstance(content, Content):
            for block in content.blocks():
                if held is not None:
                    await self._put(held)
                held = block
        else:
            if not self._framing.asks_each_time:
                self._ask_for_final(b"")
            self._protocol.is_lost.add_done_callback(self._connection_lost)
            try:
                async with aclosing(self._read(content)) as blocks:
                    async for block in blocks:
                        if held is not None:
                            await self._put(held)
                        held = block
            except SourceStoppedError:
                self._check()
            except BaseException as exc:
                text = f"the content was broken off: {exc!r}"
                self._protocol.end(SMTPConnectionLostError(text))
                raise
            finally:
                self._protocol.is_lost.remove_done_callback(self._connection_lost)
            self._check()  # the last word of the source may have come too late
        self._protocol.check()  # before anything is taken that leaves with the end
        self._end(held or b"", *next_group())

    def _read(self, stream: Stream) -> AsyncGenerator[bytes, None]:
        return blocks_of(
            stream,
            no_8bit=self._body.no_8bit,
            stop=self._stop,
            timeout=self._timeouts.content,
        )

    def _connection_lost(self, _: object) -> None:
        """Stop a source that nobody reads for any more."""
        cause = self._protocol.cause
        if not self._stop.done() and cause is not None:
            self._stop.set_exception(again(cause))
            self._stop.exception()  # seen, even if nobody looks

    def _ask_for_final(self, frame: bytes) -> None:
        # The waiter stands in the queue from the start on, for the server may refuse
        # the content early; only at its end it gets a deadline.
        self._waiter = Waiter(self.final, None, self._framing.end)
        self._protocol.send(frame, (self._waiter,), b"")

    async def _put(self, block: bytes) -> None:
        frame = self._framing.frame(block, is_last=False)
        if self._framing.asks_each_time:
            self._protocol.send(frame, (self._ask_for_chunk(),), b"")
        elif self._waiter is None:
            self._ask_for_final(frame)
        else:
            self._protocol.send(frame, (), b"")
        self._count(block)
        await self._protocol.drain(self._stop, self._timeouts.content)
        limit = MAX_CHUNKS if self._body.is_grouped else 1
        while len(self._chunks) >= limit and not self._stop.done():
            await asyncio.wait(
                (self._chunks[0], self._stop), return_when=asyncio.FIRST_COMPLETED
            )
        self._check()

    def _ask_for_chunk(self) -> Waiter:
        chunk: ReplyFuture = self._loop.create_future()
        chunk.add_done_callback(self._chunk_answered)
        self._chunks.append(chunk)
        return Waiter(chunk, self._timeouts.content, "BDAT")

    def _chunk_answered(self, chunk: ReplyFuture) -> None:
        self._chunks.popleft()
        if self._stop.done():
            return
        if (exc := chunk.exception()) is not None:
            self._stop.set_exception(exc)
            self._stop.exception()  # seen, even if nobody looks
        elif not is_ok(chunk.result()):
            self._stop.set_result(chunk.result())

    def _count(self, block: bytes) -> None:
        self._octets += len(block)
        if self._progress is not None:
            self._progress.sent(len(block))

    def _check(self) -> None:
        """Raise if the server has said no."""
        if not self._stop.done():
            return
        reply = self._stop.result()
        error: SMTPException
        if reply.code >= 400:
            error = SMTPCommandFailedError(*reply, self._framing.verb, reply)
        else:
            text = f"{reply.code} before all of the content was sent"
            error = SMTPProtocolError(text)
        self._protocol.end(error)
        raise error

    def _end(
        self, block: bytes, group: bytes, waiters: Sequence[Waiter | GroupWaiter]
    ) -> None:
        frame = self._framing.frame(block, is_last=True)
        self._count(block)
        self._protocol.narrator.tell(ContentSent(self._octets))
        if self._waiter is not None:
            self._protocol.send(frame + group, waiters, group)
            self._protocol.limit(self._waiter, self._timeouts.final)
        else:
            final = Waiter(self.final, self._timeouts.final, self._framing.end)
            self._protocol.send(frame + group, (final, *waiters), group)

    async def final_reply(self) -> Reply:
        """Give the reply to all of the content.

        Raises:
            SMTPDeliveryUnknownError: None came, or one that means nothing.
        """
        try:
            reply = self._judge(await self.final)
        except (
            SMTPConnectionError,
            SMTPTimeoutError,
            SMTPProtocolError,
            SMTPTLSError,
        ) as exc:
            if is_farewell(exc):
                raise  # a 421 is an answer to the end of the content: no
            raise unknown_after(exc) from exc
        except asyncio.CancelledError as exc:
            exc.add_note("The mail may have been accepted: all of it was sent.")
            raise
        if self._progress is not None:
            self._progress.done()
        return reply

    def _judge(self, reply: Reply) -> Reply:
        refusal = self._stop.result() if self._stop.done() else reply
        text = f"the final reply was {reply.code}"
        if is_ok(reply) and not is_ok(refusal):
            text += f", after {refusal.code} to a chunk"
        elif not says_nothing(reply):
            return refusal
        error = SMTPProtocolError(text)
        self._protocol.end(error)
        raise error

"""What a pipeline was given, on its way: groups, contents, chunks, in order.

Rules:

1. Commands that are given without awaiting in between leave in one write, up to the
   first that must be the last of its group. The next group waits for its reply.
2. Where the server does not offer PIPELINING every command is a group.
3. Content follows a 354 and nothing else. What is given behind it leaves in the same
   write as its final dot: "the actual transfer of message content is explicitly
   allowed to be the first command in a group" (RFC 2920 3.1).
4. The octets of a BDAT leave where MAIL and a recipient were accepted and no chunk was
   refused: a server that refuses BDAT without reading them takes them for commands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import cast

from ..content.canonical import Canonicaliser
from ..content.forms import Content
from ..content.framing import Chunk
from ..exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPProtocolError,
    again,
    unknown_after,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.planning import Body
from ..mail.result import check_data, is_ok
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import ReplyFuture, Waiter
from .content_writer import Sender, no_group
from .dialogue import Group

__all__ = ["Command", "DataChunk", "DataContent", "Outbox", "Verdicts", "pass_on"]


@dataclass(slots=True)
class Command:
    """A command that waits to be written.

    `future` is the caller's, who may cancel it; `reply` is the one that the protocol
    resolves, where the reply must be known whatever the caller does.
    """

    line: bytes
    future: ReplyFuture
    reply: ReplyFuture


@dataclass(slots=True)
class DataContent:
    """Content that waits for the reply to its DATA."""

    body: Body
    future: ReplyFuture
    data: ReplyFuture


@dataclass(slots=True)
class Verdicts:
    """What a transaction was answered, for the chunks of its content.

    Attributes:
        is_binary: Whether its chunks leave as they are.
        canonicaliser: What brings them into canonical form else.
        mail: The reply to MAIL; None where that was sent before the pipeline.
        rcpts: Those to RCPT.
        chunks: Those to BDAT.
        has_chunks: Whether a chunk was given.
        is_withdrawn: Whether one was withdrawn, so that none may follow.
    """

    is_binary: bool
    canonicaliser: Canonicaliser
    mail: ReplyFuture | None = None
    rcpts: list[ReplyFuture] = field(default_factory=list)
    chunks: list[ReplyFuture] = field(default_factory=list)
    has_chunks: bool = False
    is_withdrawn: bool = False

    @property
    def has_begun(self) -> bool:
        """Tell whether MAIL and a RCPT have left, or did before the pipeline."""
        if self.mail is None:
            return True
        return not (self.mail.cancelled() or all(r.cancelled() for r in self.rcpts))

    def refusal(self) -> Reply | None:
        """Give the reply for which no more octets may leave, if there is one."""
        chunks = [_answer(chunk) for chunk in self.chunks if chunk.done()]
        rcpts = [_answer(rcpt) for rcpt in self.rcpts if rcpt.done()]
        needed = [] if self.mail is None else [_answer(self.mail)]
        refused = [r for r in (*needed, *chunks) if r is not None and not is_ok(r)]
        if not refused and rcpts and not any(r is not None and is_ok(r) for r in rcpts):
            refused = [r for r in rcpts if r is not None]
        return refused[0] if refused else None


def _answer(reply: ReplyFuture) -> Reply | None:
    """Give a reply; None where the command was withdrawn before it left."""
    return None if reply.cancelled() else reply.result()


@dataclass(slots=True)
class DataChunk:
    """A BDAT with its octets, which waits for the verdicts."""

    octets: bytes
    is_last: bool
    future: ReplyFuture
    verdicts: Verdicts


class Outbox:
    """Send what is put into it, until it is closed.

    Attributes:
        in_transaction: Whether a MAIL has left that neither RSET nor content has ended.
    """

    def __init__(
        self,
        protocol: SMTPProtocol,
        *,
        is_grouped: bool,
        timeouts: Timeouts,
        in_transaction: bool,
    ) -> None:
        self._protocol = protocol
        self._is_grouped = is_grouped
        self._timeouts = timeouts
        self.in_transaction = in_transaction
        self._queue: deque[Command | DataContent | DataChunk] = deque()
        self._has_more = asyncio.Event()
        self._is_closing = False
        self._in_content = False
        self._is_all_sent = False  # the end of a content that was not answered
        self._must_settle = False  # the last group ended with a command that says so

    def put(self, item: Command | DataContent | DataChunk) -> None:
        """Give what is to be sent next."""
        self._queue.append(item)
        self._has_more.set()

    def close(self) -> None:
        """Give no more."""
        self._is_closing = True
        self._has_more.set()

    def break_off(self) -> None:
        """Drop what has not left; end the connection if a transaction has begun."""
        for item in self._queue:
            item.future.cancel()
        if self.in_transaction or self._in_content:
            self._protocol.end(SMTPConnectionLostError("a pipeline was broken off"))

    async def send_all(self) -> None:
        """Send what is given until no more is, and every reply is in."""
        try:
            while self._queue or not self._is_closing:
                if not self._queue:
                    self._has_more.clear()
                    await self._has_more.wait()
                    continue
                if self._must_settle:
                    await self._protocol.settled()
                if isinstance(item := self._queue[0], Command):
                    self._protocol.check()  # before commands leave the queue
                    self._protocol.send(*self._next_group())
                else:
                    self._queue.popleft()
                    await self._send(item)
            await self._protocol.settled()
            if self._protocol.has_lost_replies:
                self._protocol.check()
        except Exception:
            # What has not left fails for what ended the connection: it is not unknown.
            broken_off = SMTPConnectionLostError("a pipeline was broken off")
            for unsent in self._queue:
                _fail(unsent.future, again(self._protocol.cause or broken_off))
            raise

    def _next_group(self) -> Group:
        """Take the commands that leave together from the head of the queue."""
        lines: list[bytes] = []
        waiters: list[Waiter] = []
        self._must_settle = False
        while self._queue and not self._must_settle:
            item = self._queue[0]
            if not isinstance(item, Command):
                break
            self._queue.popleft()
            if item.future.cancelled():
                item.reply.cancel()
                continue
            verb = commands.verb_of(item.line)
            lines.append(item.line)
            waiters.append(Waiter(item.reply, self._timeouts.reply, verb))
            self.in_transaction = verb in ("MAIL", "DATA") or (
                self.in_transaction and verb != "RSET"
            )
            self._must_settle = not self._is_grouped or commands.ends_group(item.line)
        return b"".join(lines), waiters

    async def _send(self, item: DataContent | DataChunk) -> None:
        try:
            with self._protocol.indivisible("a pipeline"):
                if isinstance(item, DataContent):
                    reply = await self._send_content(item)
                else:
                    reply = await self._send_chunk(item)
        except Exception as exc:  # of the source of a content, too
            _fail(item.future, exc)
            raise
        except asyncio.CancelledError:
            if self._is_all_sent:
                _fail(item.future, unknown_after("the pipeline was broken off"))
            item.future.cancel()
            raise
        if reply is not None and not item.future.done():
            item.future.set_result(reply)

    async def _send_content(self, item: DataContent) -> Reply | None:
        if item.data.cancelled():
            item.future.cancel()
            return None
        try:
            check_data(item.data.result())
        except SMTPCommandFailedError:
            return item.data.result()
        if item.future.cancelled():
            error = SMTPConnectionLostError("the content was withdrawn after the 354")
            self._protocol.end(error)
            raise error
        self._in_content = True
        framing = item.body.framing()
        sender = Sender(self._protocol, item.body, framing, self._timeouts)
        try:
            await sender.send(self._group_behind_content)
            reply = await sender.final_reply()
        except SMTPCommandFailedError:
            if not sender.final.done() or sender.final.exception() is not None:
                raise  # what the content is read from has raised it
            reply = sender.final.result()
        self._in_content = self._is_all_sent = False
        return reply

    def _group_behind_content(self) -> Group:
        self.in_transaction = False
        self._is_all_sent = True
        return self._next_group() if self._is_grouped else no_group()

    async def _send_chunk(self, item: DataChunk) -> Reply | None:
        verdicts = item.verdicts
        if not verdicts.chunks:
            await self._protocol.settled()
            self._protocol.check()
        is_withdrawn = verdicts.is_withdrawn or not verdicts.has_begun
        if item.future.cancelled() or is_withdrawn:
            verdicts.is_withdrawn = True
            item.future.cancel()
            return None
        if (refusal := verdicts.refusal()) is not None:
            return refusal
        content = Content(item.octets, is_binary=True)  # as it is, whatever it is
        framing = Chunk(content.size, is_last=item.is_last)
        sender = Sender(self._protocol, Body(content), framing, self._timeouts)
        verdicts.chunks.append(sender.final)
        try:
            await sender.send(no_group)
            if not item.is_last:
                pass_on(sender.final, item.future)
                await self._protocol.drain(sender.final, self._timeouts.content)
                self._must_settle = not self._is_grouped
                return None
            self._is_all_sent = self._must_settle = True
            reply = await sender.final_reply()
            if is_ok(reply) and verdicts.refusal() is not None:
                error = SMTPProtocolError(f"{reply.code} after a refused chunk")
                self._protocol.end(error)
                raise SMTPDeliveryUnknownError(
                    f"part of the mail may have been accepted: {error}"
                ) from error
        except SMTPCommandFailedError as exc:
            reply = cast(Reply, exc.reply)
        self._is_all_sent = False
        self.in_transaction = not is_ok(reply)
        return reply


def pass_on(reply: ReplyFuture, future: ReplyFuture) -> None:
    """Give the caller's future what the protocol's own will have."""
    reply.add_done_callback(lambda reply: _pass_on(reply, future))


def _pass_on(reply: ReplyFuture, future: ReplyFuture) -> None:
    if future.done() or reply.cancelled():
        return
    if (exc := reply.exception()) is not None:
        _fail(future, exc)
    else:
        future.set_result(reply.result())


def _fail(future: ReplyFuture, exc: BaseException) -> None:
    """Fail a future that the caller may have dropped; the loop must not complain."""
    if not future.done():
        future.set_exception(exc)
        future.exception()

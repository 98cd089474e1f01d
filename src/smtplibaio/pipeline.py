"""Commands now, futures back: groups (RFC 2920) and the content between them.

Rules:

1. Commands that are given without awaiting in between leave in one write, up to the
   first that must be the last of its group. The next group waits for its reply.
2. Where the server does not offer PIPELINING every command is a group.
3. Content follows a 354 and nothing else. What is given behind it leaves in the same
   write as its final dot: "the actual transfer of message content is explicitly
   allowed to be the first command in a group" (RFC 2920 3.1).
4. A refused command is a reply and not an exception; whoever groups commands judges
   the replies together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from . import commands
from .addresses import forward_path, reverse_path
from .content import Content, Message
from .dialogue import Group, check_data, send_content
from .exceptions import (
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    again,
)
from .protocol import ReplyFuture, SMTPProtocol, Waiter
from .replies import Reply
from .timeouts import Timeouts

__all__ = ["Pipeline"]


@dataclass(slots=True)
class _Command:
    """A command that waits to be written.

    `future` is the caller's, who may cancel it; `reply` is the one that the protocol
    resolves, where the sender must know the reply whatever the caller does.
    """

    line: bytes
    future: ReplyFuture
    reply: ReplyFuture


@dataclass(slots=True)
class _Content:
    """Content that waits for the reply to its DATA."""

    content: Content
    future: ReplyFuture
    data: ReplyFuture


class Pipeline:
    """Give commands without waiting, and get futures of their replies.

    Made by `SMTP.pipeline`. The session belongs to the pipeline until its block is
    left, and leaving it waits for every reply. Replies of 4yz and 5yz are results; an
    exception means that the connection has ended; so does a refusal of content before
    all of it was sent.

    A future may be cancelled: a command that has not left yet then stays unsent, and
    the reply to one that has is read and dropped.
    """

    def __init__(
        self,
        protocol: SMTPProtocol,
        *,
        is_grouped: bool,
        timeouts: Timeouts,
        utf8: bool = False,
        in_transaction: bool = False,
    ) -> None:
        self._protocol = protocol
        self._is_grouped = is_grouped
        self._timeouts = timeouts
        self._utf8 = utf8
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Command | _Content] = deque()
        self._has_more = asyncio.Event()
        self._is_closing = False
        self._data: ReplyFuture | None = None  # of a DATA without its content as yet
        self._in_transaction = in_transaction
        self._in_content = False
        self._is_all_sent = False  # the final dot of a content that was not answered
        self._must_settle = False  # the last group ended with a command that says so

    @property
    def in_transaction(self) -> bool:
        """Tell whether a MAIL has left that neither RSET nor content has ended."""
        return self._in_transaction

    # Commands

    def mail(self, sender: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Give MAIL (RFC 5321 4.1.1.2); "" is the null reverse-path."""
        checked = commands.parameters(options, "options")
        return self._give(commands.mail(reverse_path(sender), checked))

    def rcpt(self, recipient: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Give RCPT (RFC 5321 4.1.1.3)."""
        checked = commands.parameters(options, "options")
        return self._give(commands.rcpt(forward_path(recipient), checked))

    def data(self) -> ReplyFuture:
        """Give DATA (RFC 5321 4.1.1.4); `content` follows unless it is refused."""
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        self._data = self._loop.create_future()
        self._data.add_done_callback(lambda reply: _pass_on(reply, future))
        self._queue.append(_Command(commands.DATA, future, self._data))
        self._has_more.set()
        return future

    def content(self, message: Message) -> ReplyFuture:
        """Give the content that DATA announced; the future has the final reply.

        Where DATA was refused nothing is sent, and the future has DATA's reply.
        """
        self._check_standing()
        if self._data is None:
            raise SMTPArgumentError("content() follows data()")
        future: ReplyFuture = self._loop.create_future()
        self._queue.append(_Content(Content.of(message), future, self._data))
        self._data = None
        self._has_more.set()
        return future

    def rset(self) -> ReplyFuture:
        """Give RSET (RFC 5321 4.1.1.5)."""
        return self._give(commands.RSET)

    def noop(self, text: str | None = None) -> ReplyFuture:
        """Give NOOP (RFC 5321 4.1.1.9)."""
        return self._give(commands.noop(text))

    def vrfy(self, address: str) -> ReplyFuture:
        """Give VRFY (RFC 5321 4.1.1.6)."""
        return self._give(commands.vrfy(address, utf8=self._utf8))

    def expn(self, address: str) -> ReplyFuture:
        """Give EXPN (RFC 5321 4.1.1.7)."""
        return self._give(commands.expn(address, utf8=self._utf8))

    def help(self, command: str | None = None) -> ReplyFuture:
        """Give HELP (RFC 5321 4.1.1.8)."""
        return self._give(commands.help_(command))

    def command(self, verb: str, *arguments: str) -> ReplyFuture:
        """Give a command that has no method of its own."""
        return self._give(commands.other(verb, *arguments))

    def _give(self, line: bytes) -> ReplyFuture:
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        self._queue.append(_Command(line, future, future))
        self._has_more.set()
        return future

    def _check_standing(self) -> None:
        if self._is_closing:
            raise SMTPArgumentError("the pipeline's block has been left")
        self._protocol.check()

    def _check_open(self) -> None:
        self._check_standing()
        if self._data is not None and _may_be_354(self._data):
            raise SMTPArgumentError("after data() only content() can follow")
        self._data = None

    # The block

    async def __aenter__(self) -> Self:
        self._sender = self._loop.create_task(self._send_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closing = True
        self._has_more.set()
        if exc is not None:
            self._sender.cancel()
        try:
            await asyncio.wait((self._sender,))
        except asyncio.CancelledError:
            self._sender.cancel()
            self._break_off()
            raise
        if exc is not None or self._sender.cancelled():
            self._break_off()
        if exc is None:
            self._sender.result()
            self._check_content_followed()

    def _check_content_followed(self) -> None:
        if self._data is not None and _may_be_354(self._data):
            error = SMTPArgumentError("data() was not followed by content()")
            self._protocol.end(error)
            raise error

    def _break_off(self) -> None:
        """Drop what has not left; end the connection if a transaction has begun."""
        for item in self._queue:
            item.future.cancel()
        if self._in_transaction or self._in_content:
            self._protocol.end(SMTPConnectionLostError("a pipeline was broken off"))

    # The sender

    async def _send_all(self) -> None:
        """Send what is given until the block is left and every reply is in."""
        try:
            while self._queue or not self._is_closing:
                if not self._queue:
                    self._has_more.clear()
                    await self._has_more.wait()
                    continue
                if self._must_settle:
                    await self._protocol.settled()
                if isinstance(item := self._queue[0], _Content):
                    self._queue.popleft()
                    await self._send_content(item)
                else:
                    self._protocol.check()  # before commands leave the queue
                    self._protocol.send(*self._next_group())
            await self._protocol.settled()
            if self._protocol.has_lost_replies:
                self._protocol.check()
        except SMTPException as exc:
            # What has not left fails for what ended the connection: it is not unknown.
            for unsent in self._queue:
                _fail(unsent.future, again(self._protocol.cause or exc))
            raise

    def _next_group(self) -> Group:
        """Take the commands that leave together from the head of the queue."""
        lines: list[bytes] = []
        waiters: list[Waiter] = []
        self._must_settle = False
        while self._queue and not self._must_settle:
            item = self._queue[0]
            if isinstance(item, _Content):
                break
            self._queue.popleft()
            if item.future.cancelled():
                item.reply.cancel()
                continue
            verb = commands.verb_of(item.line)
            lines.append(item.line)
            waiters.append((item.reply, self._timeouts.reply, verb))
            self._in_transaction = verb in ("MAIL", "DATA") or (
                self._in_transaction and verb != "RSET"
            )
            self._must_settle = not self._is_grouped or commands.ends_group(item.line)
        return b"".join(lines), waiters

    async def _send_content(self, item: _Content) -> None:
        if item.data.cancelled():
            item.future.cancel()
            return
        try:
            reply = await self._answer_to(item)
        except SMTPException as exc:
            _fail(item.future, exc)
            raise
        except asyncio.CancelledError:
            if self._is_all_sent:
                _fail(
                    item.future,
                    SMTPDeliveryUnknownError(
                        "the mail may have been accepted: all of it was sent, then the "
                        "pipeline was broken off"
                    ),
                )
            item.future.cancel()
            raise
        if not item.future.done():
            item.future.set_result(reply)

    async def _answer_to(self, item: _Content) -> Reply:
        with self._protocol.indivisible("a pipeline"):
            try:
                check_data(item.data.result())
                if item.future.cancelled():
                    error = SMTPConnectionLostError(
                        "the content was withdrawn after the 354"
                    )
                    self._protocol.end(error)
                    raise error
                self._in_content = True
                reply = await send_content(
                    self._protocol,
                    item.content,
                    self._timeouts,
                    self._group_behind_content,
                )
            except SMTPCommandFailedError as exc:
                reply = exc.reply
            self._in_content = self._is_all_sent = False
            return reply

    def _group_behind_content(self) -> Group:
        self._in_transaction = False
        self._is_all_sent = True
        return self._next_group() if self._is_grouped else (b"", ())


def _may_be_354(data: ReplyFuture) -> bool:
    if not data.done():
        return True
    return (
        not data.cancelled() and data.exception() is None and data.result().code == 354
    )


def _pass_on(reply: ReplyFuture, future: ReplyFuture) -> None:
    """Give the caller's future what the protocol's own has."""
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

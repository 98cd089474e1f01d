"""What a pipeline sends: groups of commands, contents and chunks, in their order.

Rules:

1. Commands that the caller gives without an `await` in between leave in one write, up
   to the first command that must be the last of its group. The next group waits for
   the reply to that command.
2. If the server does not offer PIPELINING, every command is a group.
3. Content leaves if DATA has 354, and MAIL and a recipient *of its own transaction*
   were accepted. Commands that are given after it leave in the same write as its final
   dot (RFC 2920 3.1).
4. The octets of a BDAT leave if MAIL and a recipient were accepted and no chunk was
   refused: a server that refuses BDAT without reading them takes them for commands.
5. RSET is said before MAIL in three cases: the content before has no final reply yet,
   a BDAT was refused, or a transaction was open when the pipeline began. The reply to
   this RSET is dropped, unless it is a refusal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from ..content.forms import Content
from ..exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPProtocolError,
    again,
    one_line,
    unknown_after,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.resetting import is_reset_due
from ..mail.terms import Body, Plan
from ..mail.transaction import Transaction
from ..mail.verdicts import check_data, is_ok
from ..wire.replyqueue import ReplyFuture, Waiter
from .answers import Answers
from .content_writer import ContentWriter
from .session import Session

__all__ = ["Command", "DataChunk", "DataContent", "Outbox", "pass_on"]


@dataclass(slots=True)
class Command:
    """A command that waits to be written.

    Attributes:
        line: The command line.
        future: What the caller has; the caller may cancel it.
        reply: What the protocol resolves. It is `future` itself, unless the reply must
            be known even if the caller cancels.
        answers: Those of the transaction that MAIL begins; None for other commands.
    """

    line: bytes
    future: ReplyFuture
    reply: ReplyFuture
    answers: Answers | None = None


@dataclass(slots=True)
class DataContent:
    """Content that waits for the reply to its DATA."""

    body: Body
    future: ReplyFuture
    data: ReplyFuture
    answers: Answers


@dataclass(slots=True)
class DataChunk:
    """A BDAT with its octets; it waits for the replies to MAIL and RCPT."""

    octets: bytes
    is_last: bool
    future: ReplyFuture
    answers: Answers


class Outbox:
    """Send what is put into it, until it is closed.

    Attributes:
        in_transaction: Whether a MAIL has left that neither RSET nor content has ended.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._protocol = session.protocol
        self._timeouts = session.timeouts
        self._is_grouped = session.terms.is_grouped
        self.in_transaction = session.open is not None
        self._queue: deque[Command | DataContent | DataChunk] = deque()
        self._has_more = asyncio.Event()
        self._is_closing = False
        self._in_content = False
        self._ending: Transaction | None = None  # whose content is being sent
        self._must_settle = False  # before the next group, every reply must come
        self._must_reset = session.transfer.must_reset  # before a MAIL
        self._is_reset_alone = False  # that RSET is a group of its own
        self._is_behind = False  # the content before has no final reply yet
        self._has_left = False  # whether a MAIL of this pipeline has left

    def put(self, item: Command | DataContent | DataChunk) -> None:
        """Take what is to be sent next."""
        self._queue.append(item)
        self._has_more.set()

    def close(self) -> None:
        """Take no more."""
        self._is_closing = True
        self._has_more.set()

    def break_off(self) -> None:
        """Drop what has not left; end the connection if a transaction has begun."""
        for item in self._queue:
            item.future.cancel()
        if self.in_transaction or self._in_content:
            self._protocol.end(SMTPConnectionLostError("a pipeline was broken off"))

    async def send_all(self) -> None:
        """Send what is put in, until the outbox is closed and every reply has come."""
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
                    self._say_group()
                    self._protocol.flush()
                else:
                    self._queue.popleft()
                    await self._send(item)
            await self._protocol.settled()
            if self._protocol.has_lost_replies:
                self._protocol.check()
        except BaseException as exc:
            # What has not left gets the cause of the end: it was certainly not sent.
            broken_off = SMTPConnectionLostError("a pipeline was broken off")
            for unsent in self._queue:
                if not isinstance(exc, Exception):
                    unsent.future.cancel()
                elif not _is_refused(unsent):
                    _fail(unsent.future, again(self._protocol.cause or broken_off))
            raise

    # Commands

    def _say_group(self) -> None:
        """Say the commands that leave together, from the head of the queue."""
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
            if item.answers is not None and is_reset_due(
                is_begun=self.in_transaction, is_kept=self._must_reset
            ):
                self._say_reset(item.answers)
                if not self._is_grouped or self._is_reset_alone:
                    # The RSET is a group of its own; this MAIL is the next.
                    self._is_reset_alone = False
                    self._queue.appendleft(item)
                    self._must_settle = True
                    return
            self._say(item.line, item.reply, verb)
            self._has_left |= verb == "MAIL"
            if verb == "RSET":
                self._must_reset = self._session.transfer.must_reset = False
            self.in_transaction = verb in ("MAIL", "DATA") or (
                self.in_transaction and verb != "RSET"
            )
            self._must_settle = not self._is_grouped or commands.ends_group(item.line)

    def _say(self, line: bytes, reply: ReplyFuture, verb: str) -> None:
        waiter = Waiter(reply, self._timeouts.reply, verb)
        self._protocol.say(line, waiter, line)

    def _say_reset(self, answers: Answers) -> None:
        self._must_reset = self.in_transaction = False
        self._session.transfer.must_reset = False
        reset: ReplyFuture = asyncio.get_running_loop().create_future()
        answers.reset = reset
        is_behind = self._is_behind or (self._has_left and not self._is_reset_alone)
        reset.add_done_callback(self._reset_behind if is_behind else self._reset_alone)
        self._say(commands.RSET, reset, "RSET")

    def _reset_alone(self, reset: ReplyFuture) -> None:
        if reset.cancelled() or reset.exception() is not None:
            return
        if not is_ok(reset.result()):
            text = f"RSET was refused: {one_line(*reset.result())}"
            self._protocol.end(SMTPProtocolError(text))

    def _reset_behind(self, reset: ReplyFuture) -> None:
        if reset.cancelled() or reset.exception() is not None:
            return
        if not is_ok(reset.result()):
            # From now on nothing leaves after a dot that has no reply yet.
            self._session.allow_behind_dot = False

    # Content

    async def _send(self, item: DataContent | DataChunk) -> None:
        try:
            with self._protocol.indivisible("a pipeline"):
                if isinstance(item, DataContent):
                    reply = await self._send_content(item)
                else:
                    reply = await self._send_chunk(item)
        except Exception as exc:  # an exception of the source of the content, too
            if isinstance(exc, SMTPDeliveryUnknownError) or not _is_refused(item):
                _fail(item.future, exc)
            raise
        except asyncio.CancelledError:
            if self._ending is not None and self._ending.is_all_sent:
                _fail(item.future, unknown_after("the pipeline was broken off"))
            item.future.cancel()
            raise
        if reply is not None and not item.future.done():
            item.future.set_result(reply)

    async def _send_content(self, item: DataContent) -> Reply | None:
        if item.data.cancelled():
            item.future.cancel()
            return None
        data = item.data.result()
        if data.code >= 400:
            self._must_reset = True  # the server may keep the transaction
            return data
        check_data(data)
        refusal = item.answers.refusal()
        if refusal is not None or not item.answers.has_begun:
            return await self._withhold(item, refusal)
        if item.future.cancelled():
            error = SMTPConnectionLostError("the content was withdrawn after the 354")
            self._protocol.end(error)
            raise error
        self._in_content = True
        plan = self._plan(item.body, item.answers)
        transaction = self._ending = Transaction(plan, self._timeouts)
        try:
            await self._session.transfer.result_of(transaction, self._say_behind)
        except SMTPCommandFailedError:
            if not transaction.has_content_reply:
                raise  # the source of the content has raised it
        self._in_content = self._is_behind = False
        self._ending = None
        self._must_reset = not is_ok(transaction.replies[-1])
        return transaction.replies[-1]

    async def _withhold(self, item: DataContent, refusal: Reply | None) -> Reply:
        """Keep content back, because the server has not begun its transaction."""
        if refusal is None or not item.answers.is_lone_dot_safe:
            # A dot would send a mail, perhaps to the recipients of another transaction.
            error = SMTPProtocolError("a 354 to DATA, but no content may follow it")
            self._protocol.end(error)
            if refusal is None:
                raise error
            return refusal
        protocol, limit = self._protocol, self._timeouts.quit
        await protocol.ask(b".\r\n", limit, "a lone dot", b"")
        await self._session.perform(commands.RSET)
        self.in_transaction = False
        return refusal

    def _plan(self, body: Body, answers: Answers) -> Plan:
        return Plan(
            body,
            is_grouped=self._is_grouped,
            says_data=False,
            is_lmtp=self._session.settings.is_lmtp,
            accepted=answers.accepted,
        )

    def _say_behind(self) -> None:
        self.in_transaction = False
        may_follow = self._ending is not None and self._ending.may_be_followed
        if may_follow and self._session.allow_behind_dot and self._is_grouped:
            self._must_reset = self._is_behind = True  # that content may be refused
            self._say_group()

    async def _send_chunk(self, item: DataChunk) -> Reply | None:
        answers = item.answers
        if not answers.chunks:
            await self._protocol.settled()
            self._protocol.check()
        is_withdrawn = answers.is_withdrawn or not answers.has_begun
        if item.future.cancelled() or is_withdrawn:
            answers.is_withdrawn = True
            item.future.cancel()
            return None
        if (refusal := answers.refusal()) is not None:
            return refusal
        content = Content(item.octets, is_binary=True)  # or canonical
        body = Body(content, is_chunked=True, is_last=item.is_last)
        transaction = Transaction(self._plan(body, answers), self._timeouts)
        if not item.is_last:
            await self._send_middle(item, transaction)
            return None
        self._ending, self._must_settle = transaction, True
        with suppress(SMTPCommandFailedError):  # the caller gets the reply
            await self._session.transfer.result_of(transaction)
        self._ending = None
        reply = transaction.replies[-1]
        if is_ok(reply) and answers.refusal() is not None:
            error = SMTPProtocolError(f"{reply.code} after a refused chunk")
            self._protocol.end(error)
            raise SMTPDeliveryUnknownError(
                f"part of the mail may have been accepted: {error}"
            ) from error
        self.in_transaction = self._must_reset = not is_ok(reply)
        self._is_reset_alone = self._must_reset
        return reply

    async def _send_middle(self, item: DataChunk, transaction: Transaction) -> None:
        """Send a chunk that is not the last, without waiting for its reply."""
        reply: ReplyFuture = asyncio.get_running_loop().create_future()
        item.answers.chunks.append(reply)
        pass_on(reply, item.future)
        writer = ContentWriter(self._protocol, transaction, self._timeouts)
        try:
            await writer.write(None)
        except SMTPCommandFailedError:  # too early; the connection has ended
            reply.set_result(transaction.replies[-1])
            return
        transaction.future.add_done_callback(
            lambda answered: _resolve(reply, answered, transaction)
        )
        await self._protocol.drain(reply, self._timeouts.content)
        self._must_settle = not self._is_grouped


def _resolve(
    reply: ReplyFuture, answered: asyncio.Future[None], transaction: Transaction
) -> None:
    if (exc := answered.exception()) is not None:
        _fail(reply, exc)
    else:
        reply.set_result(transaction.replies[-1])


def _is_refused(item: Command | DataContent | DataChunk) -> bool:
    """Give content the refusal of its transaction, and return whether there is one.

    The refusal counts for more than the end of the connection after it.
    """
    refusal = None if isinstance(item, Command) else item.answers.refusal()
    if refusal is not None and not item.future.done():
        item.future.set_result(refusal)
    return refusal is not None


def pass_on(reply: ReplyFuture, future: ReplyFuture) -> None:
    """Have the future of the caller get the same reply, or error, as another one."""
    reply.add_done_callback(lambda reply: _pass_on(reply, future))


def _pass_on(reply: ReplyFuture, future: ReplyFuture) -> None:
    if future.done() or reply.cancelled():
        return
    if (exc := reply.exception()) is not None:
        _fail(future, exc)
    else:
        future.set_result(reply.result())


def _fail(future: ReplyFuture, exc: BaseException) -> None:
    """Fail a future, without a complaint of asyncio if it is never looked at."""
    if not future.done():
        future.set_exception(exc)
        future.exception()

"""The engine: mails on one connection, each through the gates of its transaction.

Rules:

1. Commands leave as soon as their gate is open, in as few writes as there can be; what
   `and_then` says leaves in the same write as the end of the content.
2. Afterwards the session is ready for the next transaction, or its connection has
   ended. Putting it in order never hides the error that made it necessary.
3. A mail whose octets have begun is finished, or the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from ..content.canonical import BLOCK
from ..content.forms import Content
from ..content.framing import bdat_last, dotted
from ..events import ContentSent
from ..exceptions import (
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
)
from ..grammar import commands
from ..mail.result import SendResult
from ..mail.transaction import Transaction
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from .content_writer import ContentWriter
from .dialogue import perform
from .story import Story

__all__ = ["AndThen", "Transfer"]

#: Called when the end of a content is about to leave: it may say what leaves with it.
AndThen = Callable[[], object] | None


class Transfer:
    """Run transactions on a connection.

    Attributes:
        must_reset: Whether the next MAIL needs RSET in front of it, for a server may
            keep the transaction of content that it has refused.
        stories: What tells a listener of the mails that have not ended.

    Args:
        protocol: A connection that owes no reply but those to what was said here.
        timeouts: The limits of the session.
    """

    __slots__ = (
        "_held",
        "_loop",
        "_octets",
        "_protocol",
        "_timeouts",
        "must_reset",
        "stories",
    )

    def __init__(self, protocol: SMTPProtocol, timeouts: Timeouts) -> None:
        self._protocol = protocol
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._held: list[Transaction] = []  # whole mails that the next flush writes
        self._octets = 0  # of their content
        self.must_reset = False
        self.stories: dict[Transaction, Story] = {}

    # One mail, step by step

    def begin(self, transaction: Transaction) -> bool:
        """Say the commands that are due, and return whether there were any."""
        group = transaction.next_group()
        if group is None:
            return False
        transaction.future = self._loop.create_future()
        octets = b"".join(group)
        self._protocol.say(octets, transaction, octets)
        return True

    async def result_of(
        self, transaction: Transaction, and_then: AndThen = None
    ) -> SendResult:
        """Run one transaction to its end.

        Args:
            transaction: One that was not begun, or only by `begin`.
            and_then: Called when the end of the content is about to leave; None for
                nothing more to say.

        Raises:
            SMTPException: What the transaction came to, as `Transaction.result` and
                `Transaction.loss` say.
            Exception: What the source of the content raised.
        """
        protocol = self._protocol
        try:
            try:
                if transaction.future is None and self.begin(transaction):
                    protocol.flush()
                while transaction.future is not None:
                    await transaction.future
                    if transaction.is_asked or not self.begin(transaction):
                        break
                    protocol.flush()
            except SMTPException as exc:
                _raise_loss(transaction, exc)
            transaction.judge()
            await self._content_of(transaction, and_then)
            result = transaction.result()
        except SMTPException as exc:
            self._tell(transaction, exc)
            await self._put_in_order(transaction, exc)
            raise
        except BaseException as exc:
            # Nobody knows what the server waits for: the next command would be mail.
            protocol.end(SMTPConnectionLostError("a mail transaction was broken off"))
            if transaction.is_all_sent:
                transaction.status = "unknown"
                exc.add_note("The mail may have been accepted: all of it was sent.")
            self._tell(transaction, exc)
            raise
        self._tell(transaction)
        return result

    async def _content_of(self, transaction: Transaction, and_then: AndThen) -> None:
        """Write the content, and wait for its final replies."""
        writer = None
        try:
            if not self._write_at_once(transaction, and_then):
                writer = ContentWriter(self._protocol, transaction, self._timeouts)
                await writer.write(and_then)
            await transaction.future
        except SMTPException as exc:
            _raise_loss(transaction, exc)
        except Exception as exc:
            # What the server has said counts for more than what a source has raised.
            if (refusal := transaction.content_refusal()) is not None:
                raise transaction.loss(refusal) from exc
            raise
        if writer is not None:
            writer.done()

    def _write_at_once(self, transaction: Transaction, and_then: AndThen) -> bool:
        """Write content of one block; return False where there may be more."""
        body = transaction.plan.body
        content = body.content
        if body.progress is not None or not isinstance(content, Content):
            return False
        if (octets := content.only_block) is None:
            return False
        protocol = self._protocol
        if protocol.cause is not None:  # before anything is taken that leaves with it
            protocol.check()
        octets = bdat_last(octets) if body.is_chunked else dotted(octets)
        protocol.say(octets, transaction.owe(is_last=True))
        transaction.future = self._loop.create_future()
        transaction.is_all_said = True
        if protocol.narrator.is_heard:
            protocol.narrator.tell(ContentSent(content.size))
        if and_then is not None:
            and_then()
        protocol.flush()
        transaction.is_all_sent = True
        return True

    async def _put_in_order(self, transaction: Transaction, exc: SMTPException) -> None:
        protocol = self._protocol
        if protocol.cause is not None:
            return
        if isinstance(exc, (SMTPProtocolError, SMTPDeliveryUnknownError)):
            protocol.end(SMTPProtocolError(str(exc)))
            return
        if transaction.is_out_of_step:
            text = (
                f"{protocol.peer} knows no BDAT: it may take the content for commands"
            )
            protocol.end(SMTPProtocolError(text))
            return
        self.must_reset = transaction.leaves_open
        try:
            for line in transaction.remedy():
                if line == commands.RSET:
                    await perform(protocol, line, self._timeouts.quit)
                    self.must_reset = False
                else:
                    await protocol.ask(line, self._timeouts.quit, "a lone dot", b"")
        except SMTPException as why:
            protocol.end(why)  # the next call tells; this one has an error to raise
        except BaseException:
            protocol.end(SMTPConnectionLostError("a mail transaction was broken off"))
            raise

    def _tell(
        self, transaction: Transaction, error: BaseException | None = None
    ) -> None:
        """Tell the end of a mail, if anybody listens."""
        if self.stories and (story := self.stories.pop(transaction, None)):
            story.end(transaction, error)

    def break_off(
        self, transaction: Transaction, error: BaseException | None = None
    ) -> None:
        """Tell the end of a mail that nobody waits for any more, if anybody listens."""
        if self.stories and (story := self.stories.pop(transaction, None)):
            story.break_off(transaction, error)

    # Whole mails, several of them on their way

    async def say_whole(self, transaction: Transaction) -> None:
        """Say all of a mail at once: its commands, BDAT LAST and the content.

        It leaves with the next `flush_whole`, or before, where much is held. Broken off
        in its middle, it ends the connection.
        """
        protocol, plan = self._protocol, transaction.plan
        content = plan.body.content
        lines = b"".join(transaction.next_group() or ())
        transaction.owe(is_last=True)
        transaction.future = self._loop.create_future()
        bdat = commands.bdat(content.size or 0, is_last=True)
        protocol.say(lines + bdat, transaction, lines + bdat)
        try:
            for block in content.blocks() if isinstance(content, Content) else ():
                if self._octets >= BLOCK:
                    await self.flush_whole()
                protocol.say(block)
                self._octets += len(block)
        except BaseException as exc:
            protocol.end(SMTPConnectionLostError(f"a mail was broken off: {exc!r}"))
            raise
        transaction.is_all_said = True
        self._held.append(transaction)

    async def flush_whole(self) -> None:
        """Write what was said, and wait until the transport takes more.

        Where the connection has ended, the transactions have failed.
        """
        protocol = self._protocol
        held, self._held, self._octets = self._held, [], 0
        with suppress(SMTPException):
            protocol.flush()
            for transaction in held:
                transaction.is_all_sent = True
                size = transaction.plan.body.content.size or 0
                protocol.narrator.tell(ContentSent(size))
            protocol.watch()
            await protocol.drain(protocol.is_lost, self._timeouts.content)

    async def result_of_whole(self, transaction: Transaction) -> SendResult:
        """Wait for what a whole mail comes to.

        Raises:
            SMTPException: As `result_of`. A cancellation leaves replies that are read
                and dropped.
        """
        try:
            try:
                await transaction.future
            except SMTPException as exc:
                _raise_loss(transaction, exc)
            result = transaction.result()
        except SMTPException as exc:
            self._tell(transaction, exc)
            if isinstance(exc, (SMTPDeliveryUnknownError, SMTPProtocolError)):
                self._protocol.end(SMTPProtocolError(str(exc)))
            raise
        except BaseException as exc:
            self.break_off(transaction, exc)
            raise
        self._tell(transaction)
        return result


def _raise_loss(transaction: Transaction, cause: SMTPException) -> NoReturn:
    """Raise what the end of the connection means for a mail."""
    error = transaction.loss(cause)
    try:
        if error is cause:
            raise cause  # chained to itself it would be its own cause
        raise error from cause
    finally:
        del error, cause  # a frame that its own exception holds would stay

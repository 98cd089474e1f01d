"""The engine: mails on one connection, each through the gates of its transaction.

Rules:

1. Commands leave as soon as their gate is open, in as few writes as possible. What
   `and_then` says leaves in the same write as the end of the content.
2. Afterwards the session is ready for the next transaction, or its connection has
   ended. Putting it in order never hides the error that made it necessary.
3. Content that has begun is finished, or the connection ends.
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

#: Called just before the end of a content leaves: what it says leaves with the end.
AndThen = Callable[[], object] | None


class Transfer:
    """Run transactions on a connection.

    Attributes:
        must_reset: Whether RSET is due before the next MAIL, because the server may
            still hold a transaction that has failed.
        stories: The story of each mail that has not ended, if there is a listener.

    Args:
        protocol: A connection; no reply is owed but to commands of this object.
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
        self._held: list[Transaction] = []  # the whole mails that the next flush writes
        self._octets = 0  # how many octets of content they have
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
            and_then: Called just before the end of the content leaves; None if nothing
                is to leave with it.

        Raises:
            SMTPException: The mail failed; see `Transaction.result` and
                `Transaction.loss`.
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
            # The server may wait for content, and take the next command for that.
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
            # A refusal of the server counts for more than an exception of the source.
            if (refusal := transaction.content_refusal()) is not None:
                raise transaction.loss(refusal) from exc
            raise
        if writer is not None:
            writer.done()

    def _write_at_once(self, transaction: Transaction, and_then: AndThen) -> bool:
        """Write content that is one block; return False if it may be more."""
        body = transaction.plan.body
        content = body.content
        if body.progress is not None or not isinstance(content, Content):
            return False
        if (octets := content.only_block) is None:
            return False
        protocol = self._protocol
        if protocol.cause is not None:  # before `and_then` takes what leaves with it
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
            protocol.end(why)  # the next operation reports it
        except BaseException:
            protocol.end(SMTPConnectionLostError("a mail transaction was broken off"))
            raise

    def _tell(
        self, transaction: Transaction, error: BaseException | None = None
    ) -> None:
        """Tell the listener, if there is one, that a mail has ended."""
        if self.stories and (story := self.stories.pop(transaction, None)):
            story.end(transaction, error)

    def break_off(
        self, transaction: Transaction, error: BaseException | None = None
    ) -> None:
        """Tell the listener, if there is one, that nobody waits for a mail any more."""
        if self.stories and (story := self.stories.pop(transaction, None)):
            story.break_off(transaction, error)

    # Whole mails, several of them on their way

    async def say_whole(self, transaction: Transaction) -> None:
        """Say all of a mail at once: its commands, BDAT LAST and the content.

        It leaves with the next `flush_whole`, or earlier if many octets are held. If
        the call is broken off, the connection ends.
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

        If the connection has ended, this raises nothing: the transactions have failed.
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
        """Wait for the result of a mail that `say_whole` has said.

        Raises:
            SMTPException: As `result_of`. After a cancellation, the replies are read
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
            raise cause  # an error must not be its own cause
        raise error from cause
    finally:
        del error, cause  # otherwise error and frame would keep each other alive

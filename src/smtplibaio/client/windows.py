"""Mails on one connection, several of them on their way at a time.

All that is to be said for a mail leaves at once: MAIL, RCPT and one BDAT LAST with the
content (RFC 3030 2). So BDAT does not wait for the verdicts, and a server that does not
read the octets of a BDAT that it refuses would take them for commands: this is for a
relay that is known to keep to RFC 3030.

Rules:

1. What had its final reply keeps it, however the connection ends.
2. After a refused BDAT nothing more leaves until all replies are in, and then RSET does
   (RFC 3030 2: "The resulting state from a failed BDAT command is indeterminate").
3. A mail that is read as it is sent, must not leave before every recipient is accepted,
   or has its progress told, travels alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from ..content.canonical import BLOCK
from ..content.forms import Stream
from ..events import ContentSent
from ..exceptions import (
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    is_farewell,
    unknown_after,
    without_frames,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.mail import Outcome
from ..mail.planning import Plan, Terms
from ..mail.result import is_hopeless, is_ok, judge, judge_all
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import GroupWaiter
from .dialogue import group_of, perform
from .prefetch import END, NOTHING_YET, Supply
from .runs import Item, send

__all__ = ["Window"]


class Window:
    """Send mails, up to a number of them without waiting for answers.

    Args:
        size: The number.
        protocol: A connection that owes no reply.
        supply: Where the mails come from.
        terms: What the session offers.
        timeouts: The limits of the session.
    """

    def __init__(
        self,
        size: int,
        protocol: SMTPProtocol,
        supply: Supply,
        terms: Terms,
        timeouts: Timeouts,
    ) -> None:
        self._size = size
        self._protocol = protocol
        self._supply = supply
        self._terms = terms
        self._timeouts = timeouts
        self._items: deque[Item] = deque()  # the last one may be one that goes alone
        self._out: list[bytes] = []  # what leaves in the next write
        self._octets = 0
        # Those whose first octet is there; and those whose last is, with their size.
        self._beginning: list[tuple[Item, GroupWaiter]] = []
        self._complete: list[tuple[Item, GroupWaiter, int]] = []
        self._latest: GroupWaiter | None = None
        self._must_reset = False
        self._error: Exception | None = None  # what there was instead of a mail

    async def next(self) -> Outcome | None:
        """Give the outcome of the oldest mail, or None where there are no more.

        Raises:
            Exception: What the iterable raises, or the source of a content.
        """
        try:
            return await self._next()
        except asyncio.CancelledError as exc:
            exc.add_note("Mails without an outcome may have been accepted.")
            raise

    async def _next(self) -> Outcome | None:
        if len(self._items) <= self._size // 2:
            await self._fill()
        if not self._items:
            if self._error is not None:
                raise self._error
            return None
        item = self._items[0]
        if item.waiter is None or isinstance(item.plan, Exception):
            if self._must_reset and not isinstance(item.plan, Exception):
                await self._reset()
            outcome = await send(self._protocol, item, self._timeouts)
        else:
            outcome = await self._outcome_of(item, item.plan, item.waiter)
        self._items.popleft()  # not before its replies are in: see `leave`
        return outcome

    def leave(self) -> None:
        """Stop. What is on its way stays on it: the replies are read and dropped."""
        if (self._must_reset or self._items) and self._protocol.cause is None:
            self._protocol.ask(commands.RSET, self._timeouts.reply, "RSET")

    # Sending

    async def _fill(self) -> None:
        """Send mails until so many are on their way, or no more are there."""
        if self._must_reset or any(map(_is_refused, self._items)):
            if self._items:
                return
            await self._reset()
        while len(self._items) < self._size and self._may_more_follow():
            try:
                if self._items:
                    given = self._supply.at_once()
                else:
                    given = await self._supply.next()
            except Exception as exc:
                self._error = exc
                break
            if given is END or given is NOTHING_YET:
                break
            item = Item(given, self._terms)
            self._items.append(item)
            await self._join(item)
        await self._flush()

    async def _reset(self) -> None:
        self._must_reset = False
        try:
            await perform(self._protocol, commands.RSET, self._timeouts.quit)
        except SMTPException as exc:
            self._protocol.end(exc)  # the mails to come tell

    def _may_more_follow(self) -> bool:
        if self._error is not None:
            return False
        if not self._items:
            return True
        last = self._items[-1]
        return last.waiter is not None or isinstance(last.plan, Exception)

    async def _join(self, item: Item) -> None:
        """Put all that is to be said for a mail to what leaves next, if it may."""
        plan = item.plan
        if isinstance(plan, Exception) or plan.all_or_nothing:
            return
        content = plan.body.content
        if isinstance(content, Stream) or plan.body.progress is not None:
            return
        lines = (*plan.lines, commands.bdat(content.size, is_last=True))
        group, waiter = group_of(lines, self._timeouts.reply, None)
        item.waiter = self._latest = waiter
        self._beginning.append((item, waiter))
        self._put(group)
        for block in content.blocks():
            if self._octets >= BLOCK:
                await self._flush()
            self._put(block)
        self._complete.append((item, waiter, content.size))

    def _put(self, octets: bytes) -> None:
        self._out.append(octets)
        self._octets += len(octets)

    async def _flush(self) -> None:
        """Write what was put together, and wait until more can be taken."""
        if self._latest is None or not self._out:
            return
        out, self._out, self._octets = b"".join(self._out), [], 0
        beginning, self._beginning = self._beginning, []
        complete, self._complete = self._complete, []
        waiters = [waiter for _, waiter in beginning]
        shown = b"".join(line for waiter in waiters for line in waiter.lines)
        try:
            self._protocol.send(out, waiters, shown)
        except SMTPException as exc:
            for item, _ in beginning:
                item.plan = without_frames(exc)
            return
        for item, waiter, size in complete:
            item.is_all_sent = True
            self._protocol.narrator.tell(ContentSent(size))
            self._protocol.limit(waiter, self._timeouts.final)
        with (
            suppress(SMTPTimeoutError),  # which ends the connection, and so all tell
            self._protocol.indivisible("send_many"),
        ):
            await self._protocol.drain(self._latest.future, self._timeouts.content)

    # What was answered

    async def _outcome_of(self, item: Item, plan: Plan, waiter: GroupWaiter) -> Outcome:
        try:
            replies = await waiter.future
        except SMTPException as exc:
            return self._outcome_of_lost(item, plan, waiter.replies, exc)
        try:
            return Outcome.of_result(item.mail, judge_all(replies, plan.recipients))
        except (SMTPDeliveryUnknownError, SMTPProtocolError) as exc:
            self._protocol.end(SMTPProtocolError(str(exc)))
            return Outcome.of_error(item.mail, exc)
        except SMTPException as exc:
            if self._must_reset and replies[0].code == 503:
                # It was on its way behind one that was refused, where the server wants
                # RSET first: nobody has judged this mail.
                return Outcome(item.mail, None, without_frames(exc), "not sent")
            self._must_reset = True
            return Outcome.of_error(item.mail, exc)

    def _outcome_of_lost(
        self, item: Item, plan: Plan, replies: Sequence[Reply], exc: SMTPException
    ) -> Outcome:
        if replies and is_hopeless(replies, len(plan.recipients), 1):
            verdicts = dict(zip(plan.recipients, replies[1:], strict=False))
            try:
                judge(replies[0], verdicts, 1)
            except SMTPProtocolError:
                pass  # a 3yz is no verdict
            except SMTPException as refusal:
                return Outcome.of_error(item.mail, refusal)
        if is_farewell(exc):
            # The server answers one command after another: what stands behind a 421
            # it has not looked at.
            is_last_due = len(replies) == 1 + len(plan.recipients)
            was_answered = is_last_due and item.is_all_sent
            return Outcome.of_error(item.mail, exc, was_answered=was_answered)
        if not item.is_all_sent:
            return Outcome.of_error(item.mail, exc)
        unknown = unknown_after(exc)
        unknown.__cause__ = exc
        return Outcome.of_error(item.mail, unknown)


def _is_refused(item: Item) -> bool:
    """Tell whether a mail was refused already, though nobody has asked for it yet."""
    waiter = item.waiter
    if waiter is None or len(waiter.replies) < len(waiter.lines):
        return False
    return not is_ok(waiter.replies[-1])

"""Mails one after another on one connection, in as few round trips as there can be.

Rules:

1. With a window of 1 the content of a mail leaves in one write with the commands of the
   next (RFC 2920 3.1). With a larger window each mail leaves whole, with one BDAT LAST
   (RFC 3030 2), as long as fewer mails are unanswered.
2. If the mail before has no final reply yet, a mail begins with RSET. Otherwise it
   could be nested in the transaction that is left of a refused mail.
3. After a refusal was read, no further mail leaves until every reply has come. In a
   window RSET is next (RFC 3030 2: "The resulting state from a failed BDAT command is
   indeterminate").
4. A mail that cannot be made is "not sent", and the run goes on. If the iterable of
   mails raises an exception, the caller gets it after the outcome of every mail that
   has left.
5. These mails are not sent whole, but alone: a mail whose content is read while it is
   sent, a mail with `all_or_nothing`, and a mail with `progress`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from ..content.email import prepare
from ..content.forms import Content, Message, Stream
from ..exceptions import (
    SMTPArgumentError,
    SMTPConnectionLostError,
    SMTPException,
    without_frames,
)
from ..grammar import commands
from ..mail.mail import Mail
from ..mail.result import Outcome, SendResult
from ..mail.terms import Plan
from ..mail.transaction import Transaction
from ..mail.verdicts import is_ok
from .dialogue import perform
from .prefetch import END, NOTHING_YET, Prefetch
from .session import Session

__all__ = ["Run"]


class _Item:
    """One mail of a run.

    Attributes:
        mail: The mail.
        plan: What will be said; None if the mail cannot be sent.
        error: Why the mail cannot be sent.
        transaction: Its transaction, as soon as something was said for it.
        is_whole: Whether all of it was said at once.
    """

    __slots__ = ("error", "is_whole", "mail", "plan", "transaction")

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.plan: Plan | None = None
        self.error: SMTPException | None = None
        self.transaction: Transaction | None = None
        self.is_whole = False


class Run:
    """Send the mails of an iterable; `outcomes.RunWithTurn` has the turn for it.

    Args:
        session: A session that owes no reply.
        mails: The source of the mails.
        window: How many mails may be unanswered.
    """

    def __init__(self, session: Session, mails: Prefetch, window: int) -> None:
        self._session = session
        self._transfer = session.transfer
        self._mails = mails
        self._window = window if session.terms.allow_window else 1
        self._items: deque[_Item] = deque()  # taken, and without an outcome yet
        self._latest: Transaction | None = None  # the last one that was said whole
        self._unread: deque[Transaction] = deque()  # whole, not known to be accepted
        self._must_reset = False
        self._error: BaseException | None = None  # what the iterable raised
        self._message = b""  # the octets that were checked last, and what they are
        self._content: Content | Stream | None = Content(self._message)

    async def next(self) -> Outcome | None:
        """Return the outcome of the oldest mail; None if there are no more.

        Raises:
            Exception: What the iterable of mails raised.
        """
        try:
            if len(self._items) <= self._window // 2:
                await self._fill()
            if not self._items:
                if self._error is not None:
                    raise self._error
                return None
            outcome = await self._outcome_of(self._items[0])
        except asyncio.CancelledError as exc:
            if any(item.is_whole for item in self._items):
                exc.add_note("Mails without an outcome may have been accepted.")
            raise
        # Only now, because `leave` must still find it while its replies are owed.
        transaction = self._items.popleft().transaction
        if self._unread and self._unread[0] is transaction:
            self._unread.popleft()
        return outcome

    def leave(self) -> None:
        """Stop. Mails of a window that have left stay sent, and replies are dropped."""
        begun = [item for item in self._items if item.transaction is not None]
        for transaction in filter(None, [item.transaction for item in begun]):
            self._transfer.break_off(transaction)
        protocol = self._session.protocol
        if protocol.cause is not None:
            return
        if any(not item.is_whole for item in begun):
            # After a 354 the only way out is to hang up: a dot would be a mail.
            error = SMTPConnectionLostError("send_many was left before its end")
            protocol.end(error)
        elif begun or self._must_reset:
            with suppress(SMTPException):  # the next call says so
                protocol.ask(commands.RSET, self._session.timeouts.reply, "RSET")

    # Taking mails

    async def _fill(self) -> None:
        """Take as many mails as may be unanswered; say them, if there is a window."""
        if self._must_reset or self._is_refused():
            if self._items:
                return
            await self._reset()
        while self._may_follow():
            given = await self._given()
            if given is END or given is NOTHING_YET:
                break
            item = self._take(given)
            if self._window > 1 and item.plan is not None and _fits(item.plan):
                await self._say_whole(item, item.plan)
                if self._is_refused():
                    break
        if self._window > 1:
            await self._transfer.flush_whole()

    async def _given(self) -> Any:
        """Return the next mail; wait for it only if no other mail is on its way."""
        try:
            if self._items:
                return self._mails.at_once()
            return await self._mails.next()
        except (Exception, asyncio.CancelledError) as exc:
            if _is_cancelled():
                raise
            self._error = exc
            return END

    def _is_refused(self) -> bool:
        """Return whether a mail was refused whose outcome was not asked for yet."""
        while self._unread:
            transaction = self._unread[0]
            if transaction.odd and (
                transaction.content_refusal() or transaction.refusal()
            ):
                return True
            if transaction.owed:
                return False
            self._unread.popleft()
        return False

    def _may_follow(self) -> bool:
        items = self._items
        if self._error is not None or len(items) >= self._window:
            return False
        if not items:
            return True
        # A mail that travels alone waits for those before it, and those after it wait.
        return items[-1].plan is None or items[-1].is_whole

    def _take(self, given: Any) -> _Item:
        """Add a mail to the run, with its plan, or with the error if it has none."""
        item = _Item(given if isinstance(given, Mail) else Mail(given))
        self._items.append(item)
        try:
            item.plan = self._plan(item.mail)
        except SMTPException as exc:
            item.error = without_frames(exc)
        except (Exception, asyncio.CancelledError) as exc:
            item.error = _unreadable(exc)
        return item

    def _plan(self, mail: Mail) -> Plan:
        envelope = mail.envelope()
        return self._session.terms.plan(
            envelope,
            mail.message,
            self._prepared(mail.message, is_binary=envelope.is_binary),
            all_or_nothing=mail.all_or_nothing,
            add_missing=mail.add_missing,
            progress=mail.progress,
        )

    def _prepared(
        self, message: Message, *, is_binary: bool
    ) -> Content | Stream | None:
        """Check what can be checked of a message; the octets of the last one are known.

        A newsletter is one message in many mails.
        """
        if message is self._message and not is_binary:
            return self._content
        content = prepare(message, is_binary=is_binary)
        if type(message) is bytes and not is_binary:
            self._message, self._content = message, content
        return content

    def _begin_next(self) -> None:
        """Say the commands of the next mail, if there is one at the moment."""
        latest = self._items[-1].transaction
        if latest is not None and not latest.may_be_followed:
            return
        try:
            given = self._mails.at_once()
        except (Exception, asyncio.CancelledError) as exc:
            self._error = exc
            return
        if given is END or given is NOTHING_YET:
            return
        item = self._take(given)
        if item.plan is not None:
            item.transaction = self._session.transaction(item.plan, is_behind=True)
            self._transfer.begin(item.transaction)

    async def _say_whole(self, item: _Item, plan: Plan) -> None:
        item.is_whole = True
        latest = self._latest
        is_behind = latest is not None and latest.owed > 0
        item.transaction = self._session.transaction(
            plan, is_behind=is_behind, is_whole=True
        )
        self._latest = item.transaction
        self._unread.append(item.transaction)
        await self._transfer.say_whole(item.transaction)

    async def _reset(self) -> None:
        self._must_reset = False
        protocol = self._session.protocol
        if protocol.cause is not None:
            return
        try:
            await perform(protocol, commands.RSET, self._session.timeouts.quit)
        except SMTPException as exc:
            protocol.end(exc)  # the next mails report it

    # What became of them

    async def _outcome_of(self, item: _Item) -> Outcome:
        if item.plan is None:
            return Outcome(item.mail, None, item.error, "not sent")
        if not item.is_whole and self._must_reset:
            await self._reset()
        transaction = item.transaction or self._session.transaction(item.plan)
        try:
            result = await self._result_of(item, transaction)
        except SMTPException as exc:
            self._must_reset = item.is_whole
            is_over = self._session.protocol.cause is not None
            if transaction.is_unjudged and not item.is_whole and not is_over:
                return await self._send_again(item, item.plan, transaction)
            return Outcome(item.mail, None, without_frames(exc), transaction.status)
        except asyncio.CancelledError as exc:
            if _is_cancelled():
                raise
            return Outcome(item.mail, None, _unreadable(exc), transaction.status)
        except Exception as exc:
            return Outcome(item.mail, None, _unreadable(exc), transaction.status)
        return Outcome(item.mail, result, None, transaction.status)

    async def _result_of(self, item: _Item, transaction: Transaction) -> SendResult:
        if item.is_whole:
            return await self._transfer.result_of_whole(transaction)
        item.transaction = transaction
        # BDAT LAST is the last of its group.
        may_follow = self._session.allow_behind_dot and self._window == 1
        is_dot = not transaction.plan.body.is_chunked
        and_then = self._begin_next if may_follow and is_dot else None
        return await self._transfer.result_of(transaction, and_then)

    async def _send_again(
        self, item: _Item, plan: Plan, unjudged: Transaction
    ) -> Outcome:
        """Send a mail again whose commands came too soon, after a dot: now alone."""
        self._session.allow_behind_dot = False
        was_reset = is_ok(unjudged.replies[0])  # otherwise RSET is due again
        item.transaction = self._session.transaction(plan, resets=not was_reset)
        return await self._outcome_of(item)


def _fits(plan: Plan) -> bool:
    """Return whether a mail may be sent whole, before any reply."""
    body = plan.body
    is_plain = body.progress is None and not plan.all_or_nothing
    return is_plain and isinstance(body.content, Content)


def _is_cancelled() -> bool:
    """Return whether the running task is cancelled, not only its source of mails."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _unreadable(cause: BaseException) -> SMTPException:
    error = SMTPArgumentError(f"the message could not be read: {cause!r}")
    error.__cause__ = cause
    return without_frames(error)

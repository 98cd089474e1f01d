"""Mails one after another on one connection, a turn each.

Content and final dot of a mail leave in one write with MAIL, RCPT and DATA of the next:
"the actual transfer of message content is explicitly allowed to be the first command in
a group" (RFC 2920 3.1). A mail that is not there yet holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..content.email import prepare
from ..exceptions import (
    SMTPConnectionLostError,
    SMTPException,
    is_farewell,
    without_frames,
)
from ..mail.mail import Mail, Outcome
from ..mail.planning import Plan, Terms, make_plan
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import GroupWaiter
from .content_writer import no_group
from .dialogue import Group, group_of
from .prefetch import END, NOTHING_YET, Supply
from .transaction import transact

__all__ = ["Item", "Run", "send"]


class Item:
    """Hold one mail of a run: what will be said for it, or why nothing can be.

    Attributes:
        mail: The mail.
        plan: What will be said, or why nothing can be.
        waiter: Who waits for its replies, once it has begun.
        is_all_sent: Whether its last octet has left.

    Args:
        given: What the caller's iterable gave.
        terms: What the session offers.
    """

    __slots__ = ("is_all_sent", "mail", "plan", "waiter")

    def __init__(self, given: Any, terms: Terms) -> None:
        self.mail = given if isinstance(given, Mail) else Mail(given)
        self.plan: Plan | Exception
        self.waiter: GroupWaiter | None = None
        self.is_all_sent = False
        try:
            self.plan = _plan(self.mail, terms)
        except Exception as exc:
            # It is told when it is this mail's turn, not while another one is sent.
            self.plan = exc
        if isinstance(self.plan, SMTPException):
            without_frames(self.plan)

    def begin(self, timeouts: Timeouts) -> Group:
        """Give the first group of commands, if there is one, and who waits for it."""
        if isinstance(self.plan, Exception):
            return no_group()
        group = self.plan.groups()[0]
        lines, self.waiter = group_of(group, timeouts.reply, timeouts.reply)
        return lines, (self.waiter,)


def _plan(mail: Mail, terms: Terms) -> Plan:
    envelope = mail.envelope()
    fitted = prepare(mail.message, is_binary=envelope.is_binary)
    return make_plan(
        envelope,
        mail.message,
        fitted,
        terms,
        all_or_nothing=mail.all_or_nothing,
        add_missing=mail.add_missing,
        progress=mail.progress,
    )


class Run:
    """Send mails one after another.

    Args:
        protocol: A connection that owes no reply.
        supply: Where the mails come from.
        terms: What the session offers.
        timeouts: The limits of the session.
    """

    def __init__(
        self, protocol: SMTPProtocol, supply: Supply, terms: Terms, timeouts: Timeouts
    ) -> None:
        self._protocol = protocol
        self._supply = supply
        self._terms = terms
        self._timeouts = timeouts
        self._ahead: Item | None = None  # the next mail, if it was there in time
        self._error: Exception | None = None  # what there was instead of one

    async def next(self) -> Outcome | None:
        """Send one mail; give its outcome, or None where there are no more.

        Raises:
            Exception: What the iterable raises, or the source of a content.
        """
        if self._error is not None:
            raise self._error
        item, self._ahead = self._ahead, None
        if item is None:
            given = await self._supply.next()
            if given is END:
                return None
            item = Item(given, self._terms)
        return await send(self._protocol, item, self._timeouts, self._next_group)

    def leave(self) -> None:
        """Stop between two mails."""
        if self._ahead is not None and self._ahead.waiter is not None:
            # After a 354 the only way out is to hang up: a dot would be a mail.
            error = SMTPConnectionLostError("send_many was left before its end")
            self._protocol.end(error)

    def _next_group(self) -> Group:
        try:
            given = self._supply.at_once()
        except Exception as exc:
            self._error = exc
            return no_group()
        if given is END or given is NOTHING_YET:
            return no_group()
        self._ahead = Item(given, self._terms)
        return self._ahead.begin(self._timeouts)


async def send(
    protocol: SMTPProtocol,
    item: Item,
    timeouts: Timeouts,
    next_group: Callable[[], Group] = no_group,
) -> Outcome:
    """Send one mail; see `transact`.

    Raises:
        Exception: What a source of its content raises, or `as_bytes()`.
    """
    plan = item.plan
    if isinstance(plan, SMTPException):
        return Outcome.of_error(item.mail, plan)
    if isinstance(plan, Exception):
        raise plan
    is_grouped = plan.is_grouped and not plan.body.is_chunked
    is_all_sent = False

    def group_behind() -> Group:
        nonlocal is_all_sent
        is_all_sent = True
        # BDAT LAST is the last of its group.
        return next_group() if is_grouped else no_group()

    try:
        result = await transact(
            protocol,
            plan,
            timeouts,
            started=item.waiter,
            next_group=group_behind,
        )
    except SMTPException as exc:
        was_answered = is_all_sent and is_farewell(exc)
        return Outcome.of_error(item.mail, exc, was_answered=was_answered)
    return Outcome.of_result(item.mail, result)

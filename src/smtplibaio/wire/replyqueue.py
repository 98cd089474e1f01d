"""The replies that are owed: in which order, to whom, and by when.

Rules:

1. Replies come in the order of the commands; each goes to the oldest waiter.
2. A waiter leaves the queue only because its replies came or because the connection
   ended. A cancelled one stays as a tombstone: its reply is read and dropped.
3. Only the reply that is due next has a deadline, for a server answers one command
   after another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ..exceptions import SMTPException, again
from ..grammar.replies import Reply
from .deadline import Deadline

__all__ = ["ReplyFuture", "ReplyQueue", "ReplyTaker", "Waiter", "fail_waiters"]

ReplyFuture = asyncio.Future[Reply]


class ReplyTaker(Protocol):
    """What waits for one reply or for several: a `Waiter`, or a mail transaction.

    Attributes:
        future: Resolved by `take`; failed where the connection ends before that.
    """

    future: Any

    @property
    def timeout(self) -> float | None:
        """The seconds that the reply which is due next may take."""

    @property
    def what(self) -> str:
        """The command that the next reply answers, for the text of an error."""

    def take(self, replies: list[Reply]) -> list[Reply] | None:
        """Take the replies that are owed; there is one at least.

        Returns:
            Those that are left over; None where more are owed.
        """


class Waiter:
    """Wait for the reply to one command.

    Args:
        future: Resolved with the reply.
        timeout: The seconds that the reply may take once it is due.
        what: The command that the reply answers, for the text of an error.
    """

    __slots__ = ("future", "timeout", "what")

    def __init__(self, future: ReplyFuture, timeout: float | None, what: str) -> None:
        self.future = future
        self.timeout = timeout
        self.what = what

    def take(self, replies: list[Reply]) -> list[Reply]:
        """Take the first reply, and return the others."""
        if not self.future.done():
            self.future.set_result(replies[0])
        return replies[1:]


class ReplyQueue:
    """Hold the waiters, oldest first.

    Attributes:
        waiters: Those whose replies are owed, for others to look at.

    Args:
        loop: The running loop.
        on_timeout: Called where the reply that is due next has not come in time, with
            the command that it answers, and the limit in seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_timeout: Callable[[str, float | None], object],
    ) -> None:
        self._loop = loop
        self._on_timeout = on_timeout
        self.waiters: deque[ReplyTaker] = deque()
        self._is_settled: asyncio.Future[None] | None = None
        self._deadline = Deadline(loop, self._deadline_passed)

    @property
    def due(self) -> ReplyTaker | None:
        """The waiter that the next reply is for."""
        return self.waiters[0] if self.waiters else None

    def add(self, waiters: Iterable[ReplyTaker]) -> None:
        """Queue waiters; the deadline of the first runs if nothing was owed."""
        was_settled = not self.waiters
        self.waiters.extend(waiters)
        if was_settled:
            self.watch()

    def take(self, replies: list[Reply]) -> Reply | None:
        """Hand replies over; return the first one that nobody waits for, if any."""
        if not replies:
            return None  # a part of one does not begin its deadline anew
        waiters = self.waiters
        left: list[Reply] | None = replies
        while left:
            if not waiters:
                return left[0]
            left = waiters[0].take(left)
            if left is not None:
                waiters.popleft()
        if waiters:
            self.watch()
        else:
            self._deadline.when = None
            if self._is_settled is not None:
                self._wake_settled()
        return None

    def watch(self) -> None:
        """Let the deadline of the reply that is due next begin."""
        self._deadline.set(self.waiters[0].timeout if self.waiters else None)

    def _deadline_passed(self) -> None:
        due = self.waiters[0]
        self._on_timeout(due.what, due.timeout)

    async def settled(self) -> None:
        """Wait until no reply is owed, or the connection has ended.

        Only one task at a time may wait.
        """
        if self.waiters:
            self._is_settled = self._loop.create_future()
            await self._is_settled

    def _wake_settled(self) -> None:
        waiting, self._is_settled = self._is_settled, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def fail(self, cause: SMTPException) -> bool:
        """Fail every waiter, and return whether there was one."""
        self._deadline.cancel()
        waiters, self.waiters = self.waiters, deque()
        fail_waiters(waiters, cause)
        self._wake_settled()
        return bool(waiters)


def fail_waiters(waiters: Iterable[ReplyTaker], cause: SMTPException) -> None:
    """Settle waiters whose replies will not come; the loop must not complain of it."""
    for waiter in waiters:
        if not waiter.future.done():
            waiter.future.set_exception(again(cause))
            waiter.future.exception()  # seen, even where the caller dropped it

"""The replies that are owed: their order, their waiters, and their deadline.

Rules:

1. Replies come in the order of the commands; each goes to the oldest waiter.
2. A waiter leaves the queue only because its replies came or because the connection
   ended. A cancelled one stays as a tombstone: its reply is read and dropped.
3. Only the next reply has a deadline, because a server answers one command after
   another.
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
    """A waiter for one reply or more: a `Waiter`, or a mail transaction.

    Attributes:
        future: Resolved by `take`; it fails if the connection ends before.
    """

    future: Any

    @property
    def timeout(self) -> float | None:
        """The seconds that the next reply may take."""

    @property
    def what(self) -> str:
        """The command that the next reply answers, for the text of an error."""

    def take(self, replies: list[Reply]) -> list[Reply] | None:
        """Take the replies that are owed; there is one at least.

        Returns:
            The replies that are left over; None if more are owed.
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
        waiters: The waiters whose replies are owed; other modules only read it.

    Args:
        loop: The running loop.
        on_timeout: Called if the next reply has not come in time, with the command that
            it answers, and the limit in seconds.
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
        """Queue waiters; if no reply was owed, the deadline of the first begins."""
        was_settled = not self.waiters
        self.waiters.extend(waiters)
        if was_settled:
            self.watch()

    def take(self, replies: list[Reply]) -> Reply | None:
        """Hand over replies; return the first that has no waiter, if there is one."""
        if not replies:
            return None  # a part of a reply does not begin its deadline again
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
        """Let the deadline of the next reply begin."""
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
    """Settle waiters whose replies will not come, without a complaint of asyncio."""
    for waiter in waiters:
        if not waiter.future.done():
            waiter.future.set_exception(again(cause))
            waiter.future.exception()  # looked at, so that asyncio does not complain

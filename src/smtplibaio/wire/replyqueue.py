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
from collections.abc import Callable, Iterable, Sequence

from ..exceptions import SMTPException, again
from ..grammar.commands import verb_of
from ..grammar.replies import Reply
from .deadline import Deadline

__all__ = ["GroupWaiter", "Owed", "ReplyFuture", "Waiter"]

ReplyFuture = asyncio.Future[Reply]


class Waiter:
    """Wait for the reply to one command.

    Args:
        future: Resolved with the reply.
        timeout: The seconds that it may take once it is its turn.
        what: What it is the reply to, for the text of an error.
    """

    __slots__ = ("future", "timeout", "what")

    def __init__(self, future: ReplyFuture, timeout: float | None, what: str) -> None:
        self.future = future
        self.timeout = timeout
        self.what = what

    def take(self, reply: Reply) -> bool:
        """Take a reply; tell whether it was the last one."""
        if not self.future.done():
            self.future.set_result(reply)
        return True


class GroupWaiter:
    """Wait for the replies to a group of commands, which are judged together.

    Attributes:
        lines: The commands.
        replies: Those that have come.

    Args:
        future: Resolved with all of them.
        lines: See there.
        timeout: The seconds that each may take once it is its turn.
        last_timeout: The same for the last one.
    """

    __slots__ = ("_timeout", "future", "last_timeout", "lines", "replies")

    def __init__(
        self,
        future: asyncio.Future[list[Reply]],
        lines: Sequence[bytes],
        timeout: float | None,
        last_timeout: float | None,
    ) -> None:
        self.future = future
        self.replies: list[Reply] = []
        self.lines = lines
        self._timeout = timeout
        self.last_timeout = last_timeout

    @property
    def timeout(self) -> float | None:
        """Give the seconds that the next reply may take."""
        is_last = len(self.replies) == len(self.lines) - 1
        return self.last_timeout if is_last else self._timeout

    @property
    def what(self) -> str:
        """Give what the next reply is to."""
        return verb_of(self.lines[len(self.replies)])

    def take(self, reply: Reply) -> bool:
        """Take a reply; tell whether it was the last one."""
        replies = self.replies
        replies.append(reply)
        if len(replies) < len(self.lines):
            return False
        if not self.future.done():
            self.future.set_result(self.replies)
        return True


class Owed:
    """Hold the waiters, oldest first.

    Args:
        loop: The running loop.
        on_timeout: Called where the reply that is due next has not come in time, with
            what it is the reply to, and the limit.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_timeout: Callable[[str, float | None], object],
    ) -> None:
        self._loop = loop
        self._on_timeout = on_timeout
        self._waiters: deque[Waiter | GroupWaiter] = deque()
        self._is_settled: asyncio.Future[None] | None = None
        self._deadline = Deadline(loop, self._deadline_passed)

    def __bool__(self) -> bool:
        return bool(self._waiters)

    @property
    def due(self) -> Waiter | GroupWaiter | None:
        """Give whom the next reply is for."""
        return self._waiters[0] if self._waiters else None

    def add(self, waiters: Iterable[Waiter | GroupWaiter]) -> None:
        """Queue waiters; the deadline of the first runs if nothing was owed."""
        was_settled = not self._waiters
        self._waiters.extend(waiters)
        if was_settled:
            self.watch()

    def take(self, reply: Reply) -> bool:
        """Give a reply to whom it is for; tell whether there is anybody.

        Call `watch` when there are no more to give: several come in one read, and
        between them no time passes.
        """
        waiters = self._waiters
        if not waiters:
            return False
        if waiters[0].take(reply):
            waiters.popleft()
            if self._is_settled is not None and not waiters:
                self._wake_settled()
        return True

    def watch(self) -> None:
        """Let the deadline of the reply that is due next begin."""
        self._deadline.set(self._waiters[0].timeout if self._waiters else None)

    def limit(self, waiter: Waiter | GroupWaiter, timeout: float | None) -> None:
        """Give a last reply so many seconds from when it is its turn, or from now."""
        if isinstance(waiter, Waiter):
            waiter.timeout = timeout
        else:
            waiter.last_timeout = timeout
        if self.due is waiter:
            self.watch()

    def _deadline_passed(self) -> None:
        due = self._waiters[0]
        self._on_timeout(due.what, due.timeout)

    async def settled(self) -> None:
        """Wait until no reply is owed, or the connection has ended.

        Only one task at a time may wait.
        """
        if self._waiters:
            self._is_settled = self._loop.create_future()
            await self._is_settled

    def _wake_settled(self) -> None:
        waiting, self._is_settled = self._is_settled, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def fail(self, cause: SMTPException) -> bool:
        """Fail every waiter; tell whether there was one."""
        self._deadline.cancel()
        waiters, self._waiters = self._waiters, deque()
        for waiter in waiters:
            if not waiter.future.done():
                waiter.future.set_exception(again(cause))
                waiter.future.exception()  # seen, even where the caller dropped it
        self._wake_settled()
        return bool(waiters)

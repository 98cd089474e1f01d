"""The mails that wait in a `send_many` of a pool: new mails, and mails to send again.

Rules:

1. A mail is taken from the source when it is asked for, and never more than a given
   number of mails are held: taken, and not yet reported to the caller.
2. A mail that is to be sent again goes before new mails, when its time has come.
3. An exception of the source ends it. The caller gets the exception after the outcome
   of every mail that was taken.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from itertools import count
from typing import Any

from ..client.prefetch import END, NOTHING_YET, Prefetch
from ..mail.mail import Mail
from .delivery import Delivery

__all__ = ["Stock"]


class Stock:
    """The mails that no session has begun.

    Attributes:
        error: The exception that the source has raised.

    Args:
        messages: The source; see `SMTPPool.send_many`.
        most: The mails that may be held at a time.
        deliver: Makes a delivery of a mail.
        spawn: Runs something in a task of its own.
        on_news: Called when there may be more to take.

    Raises:
        SMTPArgumentError: `messages` is not an iterable of mails.
    """

    def __init__(
        self,
        messages: object,
        most: int,
        deliver: Callable[[Mail], Delivery],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_news: Callable[[], object],
    ) -> None:
        self.error: BaseException | None = None
        self._supply = Prefetch(messages, most)
        self._most = most
        self._deliver = deliver
        self._spawn = spawn
        self._on_news = on_news
        self._ready: deque[Delivery] = deque()
        self._later: list[tuple[float, int, Delivery]] = []
        self._numbers = count()
        self._held = 0
        self._reading: asyncio.Task[None] | None = None
        self._is_at_end = False
        self._is_left = False

    @property
    def is_at_end(self) -> bool:
        """Whether the source has no more mails, and every mail was begun."""
        return self._is_at_end and self.is_empty

    @property
    def is_empty(self) -> bool:
        """Whether no mail waits."""
        return not (self._ready or self._later or self._reading)

    def next(self) -> Delivery | None:
        """Take the next mail; None if there is none at the moment."""
        if self._later:
            self._move_due(asyncio.get_running_loop().time())
        return self._ready.popleft() if self._ready else self._new()

    def next_held(self, number: int) -> list[Delivery]:
        """Take up to this number of the mails that wait, and none from the source."""
        return [self._ready.popleft() for _ in range(min(number, len(self._ready)))]

    def has(self, number: int) -> bool:
        """Return whether this number of mails could be begun now."""
        if self._later:
            self._move_due(asyncio.get_running_loop().time())
        while len(self._ready) < number:
            delivery = self._new()
            if delivery is None:
                return False
            self._ready.append(delivery)
        return True

    def first(self) -> Delivery | None:
        """Return the next mail, without taking it."""
        return self._ready[0] if self._ready else None

    def put_back(self, delivery: Delivery) -> None:
        """Put a mail back, as the next one."""
        self._ready.appendleft(delivery)

    def put_all_back(self, deliveries: Iterable[Delivery]) -> None:
        """Put mails back, as the next ones in this order."""
        self._ready.extendleft(reversed([*deliveries]))

    def put_off(self, delivery: Delivery, seconds: float) -> None:
        """Let a mail be the next one, but only after some seconds."""
        if not seconds:
            self._ready.append(delivery)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        heapq.heappush(self._later, (due, next(self._numbers), delivery))
        loop.call_at(due, self._has_come, due)

    def _has_come(self, when: float) -> None:
        self._move_due(when)  # by the due time, because a timer may be early
        self._on_news()

    def _move_due(self, now: float) -> None:
        due = []
        while self._later and self._later[0][0] <= now:
            due.append(heapq.heappop(self._later)[-1])
        self.put_all_back(due)

    def reported(self) -> None:
        """Take note that the caller has the outcome of a mail."""
        self._held -= 1

    # The source

    def _new(self) -> Delivery | None:
        if self._held >= self._most or self._is_at_end or self._is_left:
            return None
        if self._reading is not None:
            return None
        try:
            given = self._supply.at_once()
            if given is not NOTHING_YET:
                return self._taken(given)
        except (Exception, asyncio.CancelledError) as exc:
            self._fail(exc)
            return None
        self._reading = self._spawn(self._read())
        # A callback: a task that is cancelled before its first step runs no `finally`.
        self._reading.add_done_callback(self._has_read)
        return None

    def _taken(self, given: Any) -> Delivery | None:
        if given is END:
            self._is_at_end = True
            return None
        delivery = self._deliver(given if isinstance(given, Mail) else Mail(given))
        self._held += 1
        return delivery

    async def _read(self) -> None:
        """Wait for the next mail of an asynchronous source."""
        try:
            delivery = self._taken(await self._supply.next())
            if delivery is not None:
                self._ready.append(delivery)
        except (Exception, asyncio.CancelledError) as exc:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fail(exc)  # an exception of the source; it may be a cancellation

    def _has_read(self, _: object) -> None:
        self._reading = None
        self._on_news()

    def _fail(self, error: BaseException) -> None:
        self.error = self.error or error
        self._is_at_end = True

    def fail(self, error: BaseException) -> None:
        """Take no more mails from the source, because of an error."""
        self._fail(error)
        self._cancel()

    def _cancel(self) -> None:
        self._supply.cancel()
        if self._reading is not None:
            self._reading.cancel()

    def clear(self) -> list[Delivery]:
        """Take no more mails; return those that were taken and not begun."""
        self._is_left = True
        self._cancel()
        left = [*self._ready, *(delivery for *_, delivery in self._later)]
        self._ready.clear()
        self._later.clear()
        return left

    async def close(self) -> None:
        """Wait until the source has been left."""
        await self._supply.close()

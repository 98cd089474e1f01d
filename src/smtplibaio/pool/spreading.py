"""`SMTPPool.send_many`: the mails of one source, spread over all sessions of a pool.

Rules:

1. A worker is a task that waits for a session, and then sends mails in it as a run (see
   `client.runs`). The run ends when the session has sent enough mails, when another
   caller waits for a session, or when no mail waits.
2. A worker is started for each mail that has no worker yet, but there are never more
   workers than connections are allowed. If no session can be opened, each worker that
   waits counts one failed attempt for one mail.
3. When the iterator is left, no further mail is begun. Mails that were begun are
   finished, so that no session is broken off in the middle of a mail.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from itertools import islice
from typing import Any, cast

from ..client.prefetch import Prefetch
from ..client.runs import Run
from ..exceptions import (
    SMTPConnectionError,
    SMTPException,
    unknown_after,
    without_frames,
)
from ..mail.mail import Mail
from ..mail.result import Outcome, SendResult
from .connections import SUSPECT, Connections, one_more
from .delivery import Delivery
from .policy import Member
from .stock import Stock

__all__ = ["Spread", "SpreadOutcomes"]


class SpreadOutcomes(AsyncIterator[Outcome]):
    """The outcomes of `SMTPPool.send_many`; if nothing refers to it, it was left.

    Args:
        spread: The object that sends the mails.
    """

    def __init__(self, spread: Spread) -> None:
        self._spread = spread

    def __aiter__(self) -> SpreadOutcomes:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Outcome]:
        return self._spread.next()

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Leave the run."""
        return self._spread.close()

    def __del__(self) -> None:
        self._spread.leave()  # `break` does not call `aclose`


class Spread:
    """Send the mails of one source over the sessions of a pool.

    Args:
        messages: See `SMTPPool.send_many`.
        window: See `SMTPPool.send_many`.
        size: The most sessions of the pool.
        connections: The connections of the pool.
        deliver: Makes a delivery of a mail.
        pause_after: Returns the seconds to wait after so many failures in a row.

    Raises:
        SMTPArgumentError: `messages` is not an iterable of mails.
    """

    def __init__(
        self,
        messages: object,
        window: int,
        size: int,
        connections: Connections,
        deliver: Callable[[Mail], Delivery],
        pause_after: Callable[[int], float],
    ) -> None:
        self._window = window
        self._connections = connections
        self._policy = connections.policy
        self._ended = connections.tally.mails
        self._pause_after = pause_after
        most = 2 * size * (window + 1)
        self._stock = Stock(messages, most, deliver, connections.spawn, self._on_news)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._out: deque[Outcome] = deque()
        self._workers = 0
        self._coming = 0  # workers that wait for a session
        self._is_abandoned = False
        self._is_left = False
        self._is_waited_for = False
        self._news: asyncio.Future[None] | None = None

    # The caller's side

    async def next(self) -> Outcome:
        """Wait for the next outcome."""
        if self._is_waited_for:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        if self._loop is not asyncio.get_running_loop():
            self._begin()
        outcome = self._out.popleft() if self._out else await self._awaited()
        self._stock.reported()
        if self._workers < self._policy.backoff.limit and not self._is_abandoned:
            self._staff()
        return outcome

    def _begin(self) -> None:
        loop = self._connections.bind()
        self._connections.check()
        self._connections.at_closing.add(self._on_closing)
        self._loop = loop
        self._staff()

    async def _awaited(self) -> Outcome:
        loop = self._connections.bind()
        self._is_waited_for = True
        try:
            while not self._out and (self._workers or not self._is_over):
                self._news = loop.create_future()
                await self._news
            if not self._out:
                await self._finish()
            return self._out.popleft()
        finally:
            self._is_waited_for = False
            if self._is_abandoned:
                self.leave()

    @property
    def _must_stop(self) -> bool:
        return self._is_left or self._connections.is_closing

    @property
    def _is_over(self) -> bool:
        return self._stock.is_at_end or (self._must_stop and self._stock.is_empty)

    async def _finish(self) -> None:
        is_complete = self._stock.is_at_end or self._is_left
        self._is_abandoned = True
        await self._stock.close()
        error, self._stock.error = self._stock.error, None
        if error is not None:
            raise error
        if not is_complete:
            raise SMTPConnectionError("the pool was closed before the last mail")
        raise StopAsyncIteration

    async def close(self) -> None:
        """Leave the run, and wait until its source has been left.

        Raises:
            SMTPConnectionError: Another task is waiting for the next outcome.
        """
        if self._is_waited_for:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        self.leave()
        await self._stock.close()

    def leave(self) -> None:
        """Begin no further mail, or none after the outcome that is waited for."""
        self._is_abandoned = True
        if self._is_waited_for:
            return
        self._is_left = True
        self._out.clear()
        if self._loop is not None and not self._loop.is_closed():
            self._connections.at_closing.discard(self._on_closing)
            self._ended["cancelled"] += len(self._stock.clear())
            self._connections.dismiss(self)

    def _on_closing(self) -> None:
        self._connections.dismiss(self)
        self._on_news()

    def _on_news(self) -> None:
        if self._connections.is_closing:
            # The mails that wait will not be begun any more.
            for delivery in self._stock.clear():
                delivery.end(SMTPConnectionError("the pool is closed"))
                self._report(delivery)
        self._staff()
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # Workers

    def _staff(self) -> None:
        """Start a worker for each mail that has none."""
        most = self._policy.backoff.limit
        while not self._must_stop and self._workers < most:
            if not self._stock.has(self._coming + 1):
                return
            self._workers += 1
            self._coming += 1
            self._connections.begin()
            self._connections.spawn(self._work())

    async def _work(self) -> None:
        try:
            await self._serve()
        finally:
            self._workers -= 1
            self._connections.end()
            self._on_news()

    async def _serve(self) -> None:
        first = self._stock.first()
        is_limited = first is not None and self._policy.counts_domains
        domains = first.domains() if first is not None and is_limited else frozenset()
        try:
            member = await self._connections.acquire(domains=domains, owner=self)
        except Exception:
            return  # `refused` has told the mails
        finally:
            self._coming -= 1
        send = self._send_alone if member.idled > SUSPECT else self._run
        await send(member)

    def refused(self, error: Exception, number: int) -> None:
        """Count a failed attempt for this number of mails: there is no session."""
        for delivery in self._stock.next_held(number):
            self._failed(delivery, one_more(error))

    async def _run(self, member: Member) -> None:
        begun: deque[Delivery] = deque()
        mails = Prefetch(self._share(member, begun), self._window)
        try:
            async with member.client._connection.turn() as session:  # noqa: SLF001  # no other way to a run without the iterator
                run = Run(session, mails, self._window)
                try:
                    while (outcome := await run.next()) is not None:
                        self._answered(member, begun.popleft(), outcome)
                finally:
                    run.leave()
        except SMTPException as exc:  # the session ended before the first mail
            is_session_at_fault = self._connections.mail_failed(member, exc)
            for delivery in self._stock.next_held(1):  # the first mail
                self._failed(delivery, exc, is_session_at_fault=is_session_at_fault)
        finally:
            for delivery in begun:  # they may have left: never again
                lost = unknown_after("the run that it was in was broken off")
                delivery.end(lost)
                self._report(delivery)
            self._connections.release(member)

    async def _send_alone(self, member: Member) -> None:
        """Send one mail in a session whose connection may be gone unnoticed."""
        begun: deque[Delivery] = deque()
        try:
            for part in islice(self._share(member, begun), 1):
                result = await self._connections.transact(member, part)
                self._policy.mail_accepted(member)
                delivery = begun.popleft()
                delivery.accepted(result)
                self._go_on(delivery)
        except Exception as exc:
            is_session_at_fault = self._connections.mail_failed(member, exc)
            self._failed(begun.popleft(), exc, is_session_at_fault=is_session_at_fault)
        finally:
            self._connections.release(member)

    def _share(self, member: Member, begun: deque[Delivery]) -> Iterator[Mail]:
        """Give a session one mail after another, as long as it may send more."""
        stock, policy = self._stock, self._policy
        is_first = True  # `acquire` has waited until the first mail may leave
        while not (self._is_left or self._connections.is_closing):
            if not (is_first or policy.may_go_on(member, self)):
                return
            delivery = stock.next()
            if delivery is None:
                return
            if not (is_first or policy.may_send(self._connections.now)):
                stock.put_back(delivery)
                return
            part = delivery.part(member.limits, member.domains)
            if part is None:
                stock.put_back(delivery)
                member.is_spent = True
                return
            is_first = False
            begun.append(delivery)
            member.mails += 1
            yield part

    # What became of the mails

    def _answered(self, member: Member, delivery: Delivery, outcome: Outcome) -> None:
        if outcome.error is not None:
            is_session_at_fault = self._connections.mail_failed(member, outcome.error)
            self._failed(
                delivery, outcome.error, is_session_at_fault=is_session_at_fault
            )
            return
        self._policy.mail_accepted(member)
        delivery.accepted(cast(SendResult, outcome.result))
        if delivery.is_over and outcome.mail is delivery.mail:
            self._tell(outcome)
        else:
            self._go_on(delivery)

    def _failed(
        self, delivery: Delivery, error: Exception, *, is_session_at_fault: bool = False
    ) -> None:
        delivery.failed(error, is_session_at_fault=is_session_at_fault)
        if not delivery.is_over and self._must_stop:
            delivery.end(error)
        if not delivery.is_over:
            self._connections.tally.goes_on(is_replaced=delivery.is_replaced)
        self._go_on(delivery)

    def _go_on(self, delivery: Delivery) -> None:
        if delivery.is_over:
            self._report(delivery)
        elif delivery.failure is None:
            self._stock.put_back(delivery)
        else:
            self._stock.put_off(delivery, self._pause_after(delivery.tries))

    def _report(self, delivery: Delivery) -> None:
        error = delivery.error
        if error is not None and not isinstance(error, SMTPException):
            self._ended[delivery.status] += 1
            self._stock.fail(error)
            self._wake()
            return
        error = None if error is None else without_frames(error)
        status = delivery.status
        self._tell(Outcome(delivery.mail, delivery.result, error, status))

    def _tell(self, outcome: Outcome) -> None:
        self._ended[outcome.status] += 1
        if not self._is_left:
            self._out.append(outcome)
        self._wake()

"""The connections of a pool: opened, lent, taken back and closed, as `policy` says.

Rules:

1. Each event is told to the policy. Then the plan of the policy is carried out, in the
   same step and without waiting.
2. A connection is opened, reset and closed in a task of its own. So a caller that is
   cancelled does not stop this.
3. Giving a session back does not wait, so it cannot be cancelled.
4. If a caller is cancelled in the same step in which it was lent a session, the next
   caller gets the session.
5. Everything belongs to the event loop and the process that used it first.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, cast

from ..exceptions import SMTPConnectionError, SMTPException, again
from ..mail.mail import Mail
from ..mail.result import SendResult
from ..smtp import SMTP
from ..wire.protocol import SMTPProtocol
from .policy import Member, Owner, Policy, Waiter
from .statistics import Tally

__all__ = ["Connections", "one_more"]

#: If a session was idle for so many seconds, its connection may be gone unnoticed: a
#: firewall that forgets a connection tells neither side.
SUSPECT = 10.0

#: Seconds for the first reply in such a session.
FIRST_REPLY = 5.0

#: Seconds for QUIT, or for RSET after a block of the caller's own commands.
LAST_WORDS = 5.0


class Connections:
    """Carry out what a policy decides.

    Attributes:
        policy: The policy.
        tally: The figures.
        is_closing: Whether `close` was called.
        at_closing: Functions that `close` calls.

    Args:
        policy: The policy.
        make: Makes a client that is not connected.
        on_change: Called when the sessions, or the callers that wait, may have changed.
    """

    def __init__(
        self,
        policy: Policy,
        make: Callable[[], SMTP],
        on_change: Callable[[], object] | None = None,
    ) -> None:
        self.policy = policy
        self.tally = Tally()
        self.is_closing = False
        self.at_closing: set[Callable[[], object]] = set()
        self._make = make
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop
        self._pid = 0  # until a loop uses the pool
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._timer_when = 0.0  # not of the timer: uvloop's may be a plain Handle
        self._under_way = 0
        self._is_broken_off = False
        self._is_drained: asyncio.Event
        self._closing: asyncio.Future[None]

    # Whose pool it is

    def bind(self) -> asyncio.AbstractEventLoop:
        """Return the loop of the pool, which is the running one.

        Raises:
            SMTPConnectionError: Another loop or another process has the pool.
        """
        loop = asyncio.get_running_loop()
        if not self._pid:
            self._loop, self._pid = loop, os.getpid()
            self._is_drained, self._closing = asyncio.Event(), loop.create_future()
        if self._pid != os.getpid():
            raise SMTPConnectionError(
                "the pool belongs to the parent process; make one after the fork"
            )
        if self._loop is not loop:
            raise SMTPConnectionError(
                "the pool belongs to another event loop; make one for each loop"
            )
        return loop

    def check(self) -> None:
        """Check that an operation may begin.

        Raises:
            SMTPConnectionError: The pool is closed, or belongs to others.
        """
        self.begin()
        self._under_way -= 1

    def begin(self) -> None:
        """Count an operation in, so that closing waits for it.

        Raises:
            SMTPConnectionError: The pool is closed, or belongs to others.
        """
        self.bind()
        if self.is_closing:
            raise SMTPConnectionError("the pool is closed")
        self._under_way += 1

    def end(self) -> None:
        """Count an operation out."""
        self._under_way -= 1
        if self.is_closing:
            self._act()

    # Lending

    async def acquire(
        self,
        *,
        is_mail: bool = True,
        domains: frozenset[str] = frozenset(),
        owner: Owner | None = None,
    ) -> Member:
        """Wait for a session, within an operation (`begin`); `release` gives it back.

        If no session could be opened, the owner is told before its waiters are.

        Raises:
            Exception: No session could be opened, and there is no other.
        """
        loop = self._loop
        if self._is_broken_off:
            raise SMTPConnectionError("the pool is closed")
        answer: asyncio.Future[Member] = loop.create_future()
        waiter = Waiter(answer, is_mail, domains, owner)
        self.policy.waiters.append(waiter)
        self._act()
        try:
            return await answer
        except asyncio.CancelledError:
            was_waiting = self.policy.given_up(waiter)
            is_answered = answer.done() and not answer.cancelled()
            if not was_waiting and is_answered and answer.exception() is None:
                self.policy.not_used(answer.result(), waiter, loop.time())
            self._act()
            raise

    def dismiss(self, owner: Owner) -> None:
        """Cancel the waiters of an owner that has no more mails."""
        for waiter in [*self.policy.waiters]:
            if waiter.owner is owner:
                waiter.answer.cancel()

    def transact(self, member: Member, part: Mail) -> Coroutine[Any, Any, SendResult]:
        """Return a coroutine that sends a mail in one transaction.

        The caller tells the policy: `member.mails`, `mail_accepted`, `mail_failed`.
        """
        limit = FIRST_REPLY if member.idled > SUSPECT else None
        sending: Coroutine[Any, Any, SendResult] = member.client._send(  # noqa: SLF001  # made for the pool
            part, first_reply=limit
        )
        return sending

    def mail_failed(self, member: Member, error: Exception) -> bool:
        """Tell the policy of a mail that failed; see `Policy.mail_failed`."""
        self.tally.failed(error)
        is_session_at_fault = self.policy.mail_failed(member, error, self.now())
        if not member.stands:
            member.is_spent = True  # its other mails fail for the same reason
        return is_session_at_fault

    def release(self, member: Member) -> None:
        """Take a session back; its connection may have ended."""
        now = self.now()
        if member.stands:
            self.policy.given_back(member, now)
        else:
            self.policy.closed(member)
        self._act(now)

    def release_in_order(self, member: Member) -> None:
        """Take a session back after a block of `session()`."""
        member.holder = None
        if self._stands(member):
            self.spawn(self._put_in_order(member))
        elif member.client.is_connected:  # the caller has connected it again
            self.spawn(self._close(member))
        else:
            self.release(member)

    async def _put_in_order(self, member: Member) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await member.client.rset()
        except (SMTPException, TimeoutError):
            await member.client.close()
        finally:
            self.release(member)

    def _stands(self, member: Member) -> bool:
        # The caller of a block may have closed the client, and opened it again.
        return _protocol_of(member.client) is member.protocol

    async def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return whether there may be one.

        While the pool is being closed, nothing is tried again.
        """
        if self.is_closing:
            return False
        is_closing, _ = await asyncio.wait((self._closing,), timeout=seconds)
        return not is_closing

    # Carrying out the plan

    def now(self) -> float:
        """Return the time of the pool's loop."""
        return self._loop.time()

    def _act(self, now: float | None = None) -> None:
        plan = self.policy.plan(self.now() if now is None else now)
        if plan.error is not None:
            self._fail(plan.fail, plan.error)
        for waiter, member in plan.lend:
            waiter.answer.set_result(member)
        for member in plan.close:
            self.spawn(self._close(member))
        for member in plan.open:
            member.client = self._make()
            self.spawn(self._open(member))
        self._wake_at(plan.look_again)
        if self.is_closing and not (self.policy.members or self._under_way):
            self._is_drained.set()
        if self._on_change is not None:
            self._on_change()

    @staticmethod
    def _fail(waiters: list[Waiter], error: Exception) -> None:
        owners = Counter(w.owner for w in waiters if w.owner is not None)
        for owner, number in owners.items():
            owner.refused(error, number)
        for waiter in waiters:
            waiter.answer.set_exception(one_more(error))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something in a task of its own, which closing waits for."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _wake_at(self, when: float) -> None:
        # An old timer that is too early costs less than a new timer for each mail.
        if self._timer is not None:
            if self._timer_when <= when:
                return
            self._timer.cancel()
            self._timer = None
        if when != float("inf"):
            self._timer = self._loop.call_at(when, self._wake)
            self._timer_when = when

    def _wake(self) -> None:
        self._timer = None
        self._act()

    async def _open(self, member: Member) -> None:
        client = member.client
        try:
            await client.connect()
            await client.ehlo_or_helo_if_needed()
            protocol = member.protocol = _protocol_of(client)
            if protocol is None:
                raise SMTPConnectionError("the server ended the session after EHLO")
        except Exception as exc:
            await client.close()
            self.tally.failed(exc)
            self.policy.opening_failed(member, exc, self.now())
        except asyncio.CancelledError:
            await client.close()
            self.policy.closed(member)
            self._act()
            raise
        else:
            self.tally.connects += 1
            self.policy.opened(member, client.extensions.limits, self.now())
            protocol.is_lost.add_done_callback(lambda _: self._lost(member))
        self._act()

    def _lost(self, member: Member) -> None:
        """Remove a session that the server has ended while it was idle."""
        if member.state == "idle":
            self.policy.lost(member, member.protocol.cause, self.now())
            self._act()

    async def _close(self, member: Member) -> None:
        try:
            async with asyncio.timeout(LAST_WORDS):
                await member.client.quit()
        except (SMTPException, TimeoutError):
            pass
        finally:
            await member.client.close()
            self.policy.closed(member)
            self._act()

    # The end

    async def close(self, timeout: float | None) -> None:
        """Wait until every operation has ended, and close every connection."""
        self.bind()
        task = asyncio.current_task()
        if any(member.holder is task for member in self.policy.members):
            raise SMTPConnectionError(
                "close() would wait for this very task, which has a session of the "
                "pool; leave the block of session() first"
            )
        self.is_closing = self.policy.is_closing = True
        if not self._closing.done():
            self._closing.set_result(None)
        for callback in [*self.at_closing]:
            callback()
        self._act()
        try:
            async with asyncio.timeout(timeout):
                await self._is_drained.wait()
        except TimeoutError:
            await self._break_off()
        except asyncio.CancelledError:
            await self._break_off()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _break_off(self) -> None:
        """Close every connection at once; operations that are under way fail."""
        self._is_broken_off = True
        for waiter in self.policy.waiters:
            if not waiter.answer.done():
                waiter.answer.set_exception(SMTPConnectionError("the pool is closed"))
        self.policy.waiters.clear()
        for member in self.policy.members:
            self.spawn(member.client.close())
        while self._tasks:
            await asyncio.wait(self._tasks)


def one_more(error: Exception) -> Exception:
    """Return a copy of an error for one more caller, if it is an error of ours."""
    return again(error) if isinstance(error, SMTPException) else error


def _protocol_of(client: SMTP) -> SMTPProtocol | None:
    transport = client.transport
    if transport is None:
        return None
    return cast(SMTPProtocol, transport.get_protocol())

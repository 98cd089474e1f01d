"""The rules of a pool: which sessions to close, to open, to lend, and to whom.

Only `Policy.plan` decides. It gets the time, does not wait, and returns what to do now.
After each event, the policy is told of the event first, and then asked for a new plan.

Rules:

1. No more connections than the size of the pool exist at any time: those that are being
   opened and those that are being closed count.
2. Callers get sessions in the order in which they came.
3. The session that was used last is used next, so that sessions become idle if fewer
   are needed.
4. A session is closed when it has sent its last mail (`max_messages`, MAILMAX of RFC
   9422, or a limit that was learnt from the server), when it is too old or idle for too
   long, or when there are too many sessions.
5. While connections fail, they are opened one at a time, and with pauses. Callers wait
   during a pause. If a connection fails and there is no other, all callers that wait
   get the error.
6. If a session has ended without a reply, the sessions that have been idle for longer
   are not used again.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from random import random
from typing import Any, Literal, Protocol

from ..exceptions import SMTPConnectionError, SMTPConnectionLostError, SMTPTimeoutError
from ..grammar.extensions import Limits
from . import signs
from .backoff import Backoff
from .learning import SessionLength
from .rate import Rate

__all__ = ["Member", "Owner", "Plan", "Policy", "Rules", "Waiter"]

#: If a session ends after so many idle seconds, this says nothing about the number of
#: mails that the server accepts in a session.
IDLE_FOR_LEARNING = 10.0

#: A server that accepts no more mails in a session ends it within so many seconds.
AT_ONCE = 1.0

_NEVER = float("inf")
_SINCE_EVER = float("-inf")

_IDLE_SINCE = attrgetter("idle_since")


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of the pool; see `SMTPPool`."""

    size: int
    max_messages: int | None
    max_age: float | None
    max_idle: float | None
    rate: float | None
    backoff: float
    backoff_max: float


@dataclass(eq=False, slots=True)
class Member:
    """One connection of the pool.

    Attributes:
        state: What it does now.
        client: Its client.
        protocol: The connection that the client had when it was opened.
        limits: What its server announced.
        most: The mails that it may have, as far as the caller and the server say.
        idle_since: When it was given back.
        idled: The seconds for which it had been idle when it was lent.
        ends_at: When it is to be closed, if it idles until then.
        expires_at: When it is too old to be used again.
        mails: The mails that it has begun.
        answered: The mails that its server has judged.
        domains: The domains of its recipients, if the server limits their number.
        is_trial: Whether it sends more mails than the limit that was learnt.
        is_spent: Whether it must not be used again.
        holder: The task that uses it in a block of `session()`.
    """

    state: Literal["opening", "idle", "busy", "closing"] = "opening"
    client: Any = None
    protocol: Any = None
    limits: Limits = Limits()  # noqa: RUF009  # it cannot be changed
    most: float = _NEVER
    idle_since: float = 0.0
    idled: float = 0.0
    ends_at: float = _NEVER
    expires_at: float = _NEVER
    mails: int = 0
    answered: int = 0
    domains: set[str] = field(default_factory=set)
    is_trial: bool = False
    is_spent: bool = False
    holder: object = None

    @property
    def stands(self) -> bool:
        """Whether its connection has not ended."""
        return self.protocol.cause is None


class Owner(Protocol):
    """A call of `send_many`; each of its waiters may send any of its mails."""

    def refused(self, error: Exception, number: int) -> object:
        """Take note that this number of its waiters get an error, in the same step."""


@dataclass(eq=False, slots=True)
class Waiter:
    """A caller that waits for a session.

    Attributes:
        answer: The future that the caller waits on.
        is_mail: Whether it sends a mail, which `rate` counts.
        domains: The domains of its recipients, if the server limits their number.
        owner: The call that it waits for, if several waiters belong to one call.
    """

    answer: Any
    is_mail: bool = True
    domains: frozenset[str] = frozenset()
    owner: Owner | None = None


class Plan:
    """What to do now.

    Attributes:
        close: Connections to close.
        open: Connections to open.
        lend: Callers that get a session, each with its session.
        fail: Callers that get an error.
        error: The error for them.
        look_again: When to ask for the next plan, if nothing happens before.
    """

    __slots__ = ("close", "error", "fail", "lend", "look_again", "open")

    def __init__(self, error: Exception | None = None) -> None:
        self.close: list[Member] = []
        self.open: list[Member] = []
        self.lend: list[tuple[Waiter, Member]] = []
        self.fail: list[Waiter] = []
        self.error = error
        self.look_again = _NEVER


class Policy:
    """The members of a pool, and the callers that wait for a session.

    Attributes:
        members: The connections.
        waiters: The callers that wait, in their order.
        is_closing: Whether the pool is being closed.
        counts_domains: Whether the server limits the domains of a session.

    Args:
        rules: The settings of the pool.
        jitter: See `backoff.pause`.
    """

    def __init__(self, rules: Rules, jitter: Callable[[], float] = random) -> None:
        self.members: list[Member] = []
        self.waiters: deque[Waiter] = deque()
        self.is_closing = False
        self.counts_domains = False
        self.backoff = Backoff(rules.size, rules.backoff, rules.backoff_max, jitter)
        self.length = SessionLength()
        self.rate = Rate(rules.rate)
        self._rules = rules
        self._max_idle = _NEVER if rules.max_idle is None else rules.max_idle
        self._idle: list[Member] = []  # the session that was used last is the last
        self._failure: Exception | None = None
        # No idle session is to be closed before that; maybe a session that is lent now.
        self._first_end = _NEVER

    def count(self, *states: str) -> int:
        """Count the members in these states."""
        return sum(member.state in states for member in self.members)

    # The plan

    def plan(self, now: float) -> Plan:
        """Decide what to do now."""
        plan = Plan(self._failure)
        self._failure = None
        self.backoff.grow(now)
        while self.waiters and self.waiters[0].answer.done():
            self.waiters.popleft()
        self._close(now, plan)
        if self.waiters:
            self._lend(now, plan)
        if self.waiters:
            self._give_up(now, plan)
        if self.waiters:
            self._open(now, plan)
        self._look_again(now, plan)
        return plan

    def _close(self, now: float, plan: Plan) -> None:
        is_in_time = now < self._first_end and not self.is_closing
        if is_in_time and len(self.members) <= self.backoff.limit:
            return
        too_many = self.count("opening", "idle", "busy") - self.backoff.limit
        is_over = self.is_closing and not self.waiters
        for member in [*self._idle]:
            if is_over or too_many > 0 or member.ends_at <= now:
                too_many -= 1
                self._retire(member, plan)
        self._first_end = min((m.ends_at for m in self._idle), default=_NEVER)

    def _retire(self, member: Member, plan: Plan) -> None:
        self._idle.remove(member)
        member.state = "closing"
        plan.close.append(member)

    def _rest(self, member: Member) -> None:
        """Put a session among those that are idle."""
        member.state = "idle"
        insort(self._idle, member, key=_IDLE_SINCE)
        self._note_end(member)

    def _note_end(self, member: Member) -> None:
        """Note when a session that idles is to be closed."""
        ends_at = member.idle_since + self._max_idle
        if member.is_spent or self.room_of(member) <= 0:
            ends_at = -_NEVER
        elif member.expires_at < ends_at:
            ends_at = member.expires_at
        member.ends_at = ends_at
        if ends_at < self._first_end:
            self._first_end = ends_at

    def room_of(self, member: Member) -> float:
        """Count the mails that a session may still send."""
        most, learnt = member.most, self.length.limit
        if learnt is not None and learnt < most and not member.is_trial:
            most = learnt
        return most - member.mails

    def may_send(self, clock: Callable[[], float]) -> bool:
        """Say whether one more mail may leave in a session, and count it.

        Args:
            clock: Returns the time; it is not called if no mail has to wait anyway.
        """
        opens_at = self.backoff.sending.opens_at
        if self._rules.rate is None and opens_at == _SINCE_EVER:
            return True
        now = clock()
        return now >= opens_at and self.rate.take(now)

    def _lend(self, now: float, plan: Plan) -> None:
        if now < self.backoff.sending.opens_at:
            return
        idle = self._idle
        while self.waiters and idle:
            waiter = self.waiters[0]
            if waiter.answer.done():
                self.waiters.popleft()
                continue
            place = len(idle) - 1
            while place >= 0 and not suits(idle[place], waiter.domains):
                place -= 1
            if place < 0:
                if self._free_places() <= 0:  # the oldest makes room for a new one
                    self._retire(idle[0], plan)
                return
            if waiter.is_mail and not self.rate.take(now):
                return
            self.waiters.popleft()
            member = idle.pop(place)
            member.state = "busy"
            member.idled = now - member.idle_since
            plan.lend.append((waiter, member))

    def _free_places(self) -> int:
        return min(
            self.backoff.limit - self.count("opening", "idle", "busy"),
            self._rules.size - len(self.members),
        )

    def _open(self, now: float, plan: Plan) -> None:
        gate = self.backoff.opening
        if now < max(gate.opens_at, self.backoff.sending.opens_at):
            return
        head = self.waiters[0]
        usable = sum(suits(member, head.domains) for member in self._idle)
        wanted = len(self.waiters) - usable - self.count("opening")
        if gate.failures or self._rules.rate is not None:
            wanted = min(wanted, 1 - self.count("opening") - usable)
        for _ in range(min(wanted, self._free_places())):
            member = Member()
            self.members.append(member)
            plan.open.append(member)

    def _give_up(self, now: float, plan: Plan) -> None:
        """Give an error to the callers that wait, if no session can be expected."""
        gates = self.backoff.opening, self.backoff.sending
        is_paused = any(now < gate.opens_at for gate in gates)
        if self.is_closing and is_paused and not self.count("opening", "busy"):
            plan.error = plan.error or SMTPConnectionError(
                "the pool is closed while the server refuses connections or mails"
            )
        if plan.error is not None:
            plan.fail = [w for w in self.waiters if not w.answer.done()]
            self.waiters.clear()

    def _look_again(self, now: float, plan: Plan) -> None:
        plan.look_again = self._first_end  # later than now, or never
        if self.waiters:
            moments = (
                self._first_end,
                self.rate.ready_at,
                self.backoff.opening.opens_at,
                self.backoff.sending.opens_at,
                self.backoff.grows_at,
            )
            plan.look_again = min((m for m in moments if m > now), default=_NEVER)

    # What has happened

    def opened(self, member: Member, limits: Limits, now: float) -> None:
        """Take note that a connection was opened."""
        member.limits = limits
        member.most = min(
            _NEVER if most is None else most
            for most in (self._rules.max_messages, limits.mailmax)
        )
        member.idle_since = now
        if self._rules.max_age is not None:
            member.expires_at = now + self._rules.max_age
        member.is_trial = self.length.is_trial()
        self._rest(member)
        self.counts_domains = limits.rcptdomainmax is not None
        self.backoff.opening.succeeded()

    def opening_failed(self, member: Member, error: Exception, now: float) -> None:
        """Take note that a connection could not be opened."""
        self.members.remove(member)
        if signs.is_about_load(error):
            self.backoff.connect_refused(now)
        else:
            self.backoff.connect_failed(now)
        if not self.count("opening", "idle", "busy"):
            self._failure = error

    def closed(self, member: Member) -> None:
        """Take note that a connection has been closed."""
        self.members.remove(member)

    def lost(self, member: Member, error: Exception | None, now: float) -> None:
        """Take note that the server ended a session that idled.

        Args:
            member: The session.
            error: Why it ended, for example with a 421 because of the server's load.
            now: The time.
        """
        self.members.remove(member)
        self._idle.remove(member)
        if error is None:
            return
        if any(reply.enhanced == (4, 3, 2) for _, reply in signs.said(error)):
            self.backoff.mail_refused(now)
        elif (
            member.answered
            and now - member.idle_since < AT_ONCE
            and signs.had_enough(error)
        ):
            self._learn(member.answered)

    def _learn(self, mails: int) -> None:
        self.length.ended_after(mails)
        for member in self._idle:
            self._note_end(member)

    def given_up(self, waiter: Waiter) -> bool:
        """Take note that a caller was cancelled; return whether it still waited."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)
            return True
        return False

    def given_back(self, member: Member, now: float) -> None:
        """Take note that a session is open and not in use any more."""
        member.idle_since = now
        self._rest(member)

    def not_used(self, member: Member, waiter: Waiter, now: float) -> None:
        """Take note that a session was lent to a caller that was cancelled."""
        if waiter.is_mail:
            self.rate.give_back()
        self.given_back(member, now - member.idled)

    def mail_accepted(self, member: Member) -> None:
        """Take note that the server accepted a mail."""
        member.answered += 1
        if self.length.limit is not None:
            self.length.took(member.answered)
        self.backoff.sending.succeeded()

    def mail_failed(self, member: Member, error: Exception, now: float) -> bool:
        """Take note that a mail failed.

        Returns:
            Whether the session failed before MAIL, so that the mail can be sent in
            another session as if nothing had happened.
        """
        if member.is_spent:  # the mails after the first one that failed, in a run
            return True
        before = member.answered
        was_kept = before > 0 or member.idled > AT_ONCE
        if not (was_kept and _came_before_mail(error)):
            member.answered += 1
            if signs.is_about_load(error):
                self.backoff.mail_refused(now)
            return False
        member.is_spent = True
        if before and member.idled < IDLE_FOR_LEARNING and signs.had_enough(error):
            self._learn(before)
        if signs.is_about_load(error) and not signs.is_only_enough(error):
            self.backoff.mail_refused(now)
        if not any(signs.said(error)):
            self._suspect_older(member)
        return True

    def _suspect_older(self, than: Member) -> None:
        for member in self._idle:
            if member.idle_since <= than.idle_since:
                member.is_spent = True
                self._note_end(member)

    def may_go_on(self, member: Member, owner: Owner) -> bool:
        """Return whether a run of an owner may send one more mail in a session."""
        if member.is_spent or not member.stands or self.room_of(member) <= 0:
            return False
        return not self.waiters or all(w.owner is owner for w in self.waiters)


def suits(member: Member, domains: frozenset[str]) -> bool:
    """Return whether a session can send to one of these domains (RFC 9422)."""
    most = member.limits.rcptdomainmax
    if most is None or not domains or len(member.domains) < most:
        return True
    return not domains.isdisjoint(member.domains)


def _came_before_mail(error: Exception) -> bool:
    if isinstance(error, (SMTPConnectionLostError, SMTPTimeoutError)):
        return not error.is_mail_answered
    return any(
        command == "MAIL" and signs.is_enough_reply(command, reply)
        for command, reply in signs.said(error)
    )

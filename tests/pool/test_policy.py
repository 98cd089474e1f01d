"""What to close, to open and to lend: all of it without a loop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from smtplibaio import (
    Reply,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
)
from smtplibaio.grammar.extensions import Limits
from smtplibaio.pool.policy import Member, Plan, Policy, Rules, Waiter

RULES = Rules(
    size=3,
    max_messages=100,
    max_age=300.0,
    max_idle=60.0,
    rate=None,
    backoff=1.0,
    backoff_max=300.0,
)


@dataclass
class Answer:
    is_done: bool = False

    def done(self) -> bool:
        return self.is_done


@dataclass
class Connection:
    """What a policy looks at in the protocol of a client."""

    cause: Exception | None = None


class Party:
    """Somebody who has several waiters."""

    def refused(self, error: Exception, number: int) -> None: ...


def waiter(*domains: str, **options: Any) -> Waiter:
    return Waiter(Answer(), domains=frozenset(domains), **options)


def pool(waiters: int = 0, **rules: Any) -> Policy:
    policy = Policy(replace(RULES, **rules), lambda: 1.0)
    policy.waiters.extend(waiter() for _ in range(waiters))
    return policy


def opened(policy: Policy, now: float = 0.0, **limits: Any) -> Plan:
    """Carry out what is to be opened, and ask again."""
    plan = policy.plan(now)
    for member in plan.open:
        member.protocol = Connection()
        policy.opened(member, Limits(**limits), now)
    again = policy.plan(now)
    again.lend = plan.lend + again.lend
    return again


def borrowed(policy: Policy, now: float = 0.0, *domains: str) -> Member:
    policy.waiters.append(waiter(*domains))
    plan = opened(policy, now)
    return plan.lend[-1][1]


def refused(code: int = 421, text: str = "4.7.0 later") -> SMTPConnectionRefusedError:
    return SMTPConnectionRefusedError("refused", code, text)


def lost(text: str | None = None) -> SMTPConnectionLostError:
    return SMTPConnectionLostError("lost", None if text is None else Reply(421, text))


# Opening


def test_as_many_are_opened_as_wait_and_no_more_than_the_size() -> None:
    assert pool().plan(0.0).open == []
    assert len(pool(2).plan(0.0).open) == 2
    policy = pool(1000)
    assert len(policy.plan(0.0).open) == 3
    assert policy.plan(0.0).open == []
    assert len(policy.members) == 3


def test_those_that_are_being_closed_count() -> None:
    policy = pool(3)
    first = opened(policy).lend[0][1]
    policy.waiters.append(waiter())
    first.is_spent = True
    policy.given_back(first, 1.0)
    plan = policy.plan(1.0)
    assert plan.close == [first]
    assert plan.open == []
    policy.closed(first)
    assert len(policy.plan(1.0).open) == 1


def test_while_connections_fail_they_are_tried_one_at_a_time() -> None:
    """E22: no reconnect storm."""
    policy = pool(10)
    for member in policy.plan(0.0).open[:2]:
        policy.opening_failed(member, SMTPConnectionError("no route"), 0.0)
        assert policy.plan(0.0).fail == []  # one is still to be heard of
    last = policy.members[0]
    policy.opening_failed(last, error := SMTPConnectionError("no route"), 0.0)
    plan = policy.plan(0.0)
    assert len(plan.fail) == 10
    assert plan.error is error
    policy.waiters.extend(waiter() for _ in range(10))
    plan = policy.plan(0.5)
    assert plan.open == []
    assert plan.look_again == 1.0
    assert len(policy.plan(1.0).open) == 1
    assert policy.plan(1.0).open == []


def test_who_comes_later_does_not_get_an_old_error() -> None:
    policy = pool(1)
    [member] = policy.plan(0.0).open
    policy.waiters.clear()
    policy.opening_failed(member, SMTPConnectionError("no route"), 0.0)
    policy.plan(0.0)
    policy.waiters.append(waiter())
    assert policy.plan(0.0).fail == []
    assert len(policy.plan(1.0).open) == 1


def test_those_who_wait_go_on_waiting_as_long_as_a_session_stands() -> None:
    policy = pool(3)
    opening = policy.plan(0.0).open
    policy.opened(opening[0], Limits(), 0.0)
    assert len(policy.plan(0.0).lend) == 1
    for member in opening[1:]:
        policy.opening_failed(member, refused(), 0.0)
    assert policy.backoff.limit == 1
    plan = policy.plan(20.0)
    assert (plan.fail, plan.open) == ([], [])
    assert len(policy.waiters) == 2


# Lending


def test_callers_get_sessions_in_the_order_in_which_they_came() -> None:
    policy = pool(5)
    waiters = [*policy.waiters]
    assert [w for w, _ in opened(policy).lend] == waiters[:3]
    policy.given_back(policy.members[1], 1.0)
    assert policy.plan(1.0).lend == [(waiters[3], policy.members[1])]


def test_the_session_that_was_used_last_is_used_next() -> None:
    policy = pool(3)
    members = [member for _, member in opened(policy).lend]
    for now, member in enumerate([members[1], members[2], members[0]]):
        policy.given_back(member, now)
    assert borrowed(policy, 5.0) is members[0]
    assert borrowed(policy, 5.0) is members[2]


def test_a_caller_that_has_gone_gets_nothing() -> None:
    policy = pool(2)
    first, second = policy.waiters
    first.answer.is_done = True
    assert len(policy.plan(0.0).open) == 1
    policy.waiters.appendleft(first)
    policy.waiters.insert(1, third := waiter())
    third.answer.is_done = True
    policy.opened(policy.members[0], Limits(), 0.0)
    assert [w for w, _ in policy.plan(0.0).lend] == [second]
    policy.waiters.append(first)
    assert policy.given_up(first)
    assert not policy.given_up(first)


def test_a_caller_that_goes_while_another_is_served_is_passed_over() -> None:
    policy = pool(2)
    for member in policy.plan(0.0).open:
        policy.opened(member, Limits(), 0.0)
    policy.waiters[1].answer.is_done = True
    assert len(policy.plan(0.0).lend) == 1
    assert not policy.waiters


def test_a_session_that_nobody_took_is_as_old_as_before() -> None:
    policy = pool(rate=1.0)
    member = borrowed(policy, 0.0)
    policy.given_back(member, 10.0)
    policy.waiters.append(waiter())
    [(first, same)] = policy.plan(40.0).lend
    policy.not_used(same, first, 40.0)
    assert same.idle_since == 10.0
    assert policy.rate.take(40.0)
    policy.waiters.append(block := waiter(is_mail=False))
    policy.not_used(policy.plan(40.0).lend[0][1], block, 40.0)
    assert not policy.rate.take(40.0)


def test_mails_leave_no_faster_than_the_rate() -> None:
    policy = pool(4, rate=2.0)
    plan = opened(policy)
    assert len(plan.lend) == 1
    assert plan.look_again == 0.5
    assert len(policy.members) == 2  # one is ready for the mail that leaves next
    assert policy.plan(0.5).open == []
    policy.given_back(policy.members[0], 0.6)
    assert len(policy.plan(0.6).lend) == 1
    assert policy.plan(0.6).lend == []


def test_a_block_of_the_callers_own_commands_has_no_rate() -> None:
    policy = pool(rate=1.0)
    policy.waiters.append(waiter())
    policy.waiters.append(waiter(is_mail=False))
    opened(policy)
    assert len(policy.plan(0.0).lend) + policy.count("busy") >= 1


# Closing


@pytest.mark.parametrize(("max_idle", "max_age"), [(60.0, None), (None, 60.0)])
def test_idle_sessions_end_in_time(max_idle: Any, max_age: Any) -> None:
    policy = pool(1, max_idle=max_idle, max_age=max_age)
    opened(policy)
    policy.given_back(policy.members[0], 0.0)
    assert policy.plan(0.0).look_again == 60.0
    assert policy.plan(59.9).close == []
    assert policy.plan(60.0).close == policy.members


def test_a_session_may_grow_as_old_as_it_likes_without_limits() -> None:
    policy = pool(1, max_idle=None, max_age=None)
    opened(policy)
    policy.given_back(policy.members[0], 0.0)
    assert policy.plan(1e9).look_again == float("inf")


def test_age_counts_while_a_session_is_in_use() -> None:
    policy = pool(1)
    opened(policy)
    policy.given_back(policy.members[0], 300.0)
    assert policy.plan(300.0).close == policy.members


@pytest.mark.parametrize(
    ("limits", "max_messages"), [({}, 5), ({"mailmax": 5}, 100), ({"mailmax": 5}, None)]
)
def test_a_session_ends_when_it_has_had_its_mails(
    limits: dict[str, int], max_messages: int | None
) -> None:
    """RFC 9422 has MAILMAX."""
    policy = pool(1, max_messages=max_messages)
    opened(policy, **limits)
    [member] = policy.members
    assert policy.room_of(member) == 5
    member.mails = 5
    policy.given_back(member, 0.0)
    assert policy.plan(0.0).close == [member]


def test_sessions_over_the_limit_are_closed_the_oldest_first() -> None:
    policy = pool(3)
    opened(policy)
    for now, member in enumerate(policy.members):
        policy.given_back(member, now)
    policy.backoff.mail_refused(3.0)
    assert policy.plan(3.0).close == policy.members[:2]


def test_a_pool_that_is_closed_keeps_its_sessions_for_those_who_wait() -> None:
    policy = pool(2, size=1)
    opened(policy)
    policy.is_closing = True
    policy.given_back(policy.members[0], 0.0)
    plan = policy.plan(0.0)
    assert len(plan.lend) == 1
    assert plan.close == []
    policy.given_back(policy.members[0], 0.0)
    assert policy.plan(0.0).close == policy.members


def test_a_pool_that_is_closed_waits_for_no_better_times() -> None:
    policy = pool(1)
    policy.backoff.connect_failed(0.0)
    policy.is_closing = True
    plan = policy.plan(0.5)
    assert len(plan.fail) == 1
    assert "closed" in str(plan.error)


# The load of the server


def test_nothing_is_lent_or_opened_while_the_server_recovers() -> None:
    policy = pool(1)
    opened(policy)
    member = policy.members[0]
    member.mails = 1
    error = refused()
    assert not policy.mail_failed(member, error, 0.0)
    policy.given_back(member, 0.0)
    policy.waiters.append(waiter())
    plan = policy.plan(0.9)
    assert (plan.lend, plan.open, plan.fail) == ([], [], [])
    assert plan.look_again == 1.0
    assert len(policy.plan(1.0).lend) == 1


def test_those_who_wait_are_looked_after_when_one_more_is_allowed() -> None:
    policy = pool(3)
    policy.backoff.connect_refused(0.0)
    assert len(policy.plan(1.0).open) == 1
    policy.opened(policy.members[0], Limits(), 1.0)
    plan = policy.plan(1.0)
    assert len(plan.lend) == 1
    assert plan.look_again == 31.0
    assert len(policy.plan(31.0).open) == 1


# What is learnt


def test_the_mails_that_a_server_takes_in_a_session_are_learnt() -> None:
    """E21."""
    policy = pool()
    idle, member = borrowed(policy), borrowed(policy)
    idle.mails = idle.answered = 5
    policy.given_back(idle, 0.0)
    member.mails, member.answered = 6, 5
    assert policy.mail_failed(member, lost("too many messages"), 0.0)
    assert member.is_spent
    assert policy.length.limit == 5
    assert policy.backoff.limit == 3
    assert policy.plan(0.0).close == [idle]
    fresh = borrowed(policy)
    assert policy.room_of(fresh) == 5


def test_those_behind_the_first_in_a_run_teach_nothing() -> None:
    policy = pool()
    member = borrowed(policy)
    member.mails, member.answered = 8, 5
    for _ in range(3):
        assert policy.mail_failed(member, lost("too many messages"), 0.0)
    assert policy.length.limit == 5
    assert not policy.length.is_trial()


def test_a_farewell_to_the_first_mail_is_about_the_load() -> None:
    policy = pool()
    member = borrowed(policy)
    member.mails = 1
    assert not policy.mail_failed(member, lost("too many messages"), 0.0)
    assert policy.backoff.limit == 1


@pytest.mark.parametrize(
    ("text", "limit"), [("4.7.0 later", 5), ("4.3.2 shutting down", None)]
)
def test_a_farewell_that_is_about_the_load_is_that_in_a_used_session_too(
    text: str, limit: int | None
) -> None:
    policy = pool()
    member = borrowed(policy)
    member.mails, member.answered = 6, 5
    assert policy.mail_failed(member, lost(text), 0.0)
    assert policy.backoff.limit == 1
    assert policy.length.limit == limit


def test_the_end_of_a_session_that_idled_for_long_teaches_nothing() -> None:
    policy = pool()
    member = borrowed(policy)
    member.mails = member.answered = 5
    policy.given_back(member, 0.0)
    assert borrowed(policy, 20.0) is member
    member.mails = 6
    assert policy.mail_failed(member, lost("4.4.2 time-out"), 20.0)
    assert policy.length.limit is None
    assert policy.backoff.limit == 3


def test_a_session_that_ended_without_a_word_takes_older_ones_with_it() -> None:
    """E19: what dropped one connection has dropped those that idled longer."""
    policy = pool()
    members = [borrowed(policy) for _ in range(3)]
    for now, member in enumerate(members):
        policy.given_back(member, now)
    assert borrowed(policy, 40.0) is members[2]
    assert policy.mail_failed(members[2], lost(), 40.0)
    assert policy.plan(40.0).close == members[:2]


@pytest.mark.parametrize(
    ("after", "text", "learnt", "limit"),
    [
        (0.5, None, 5, 3),
        (0.5, "too many messages", 5, 3),
        (0.5, "4.4.2 time-out", None, 3),
        (20.0, None, None, 3),
        (20.0, "4.4.2 time-out", None, 3),
        (20.0, "bye", None, 3),
        (20.0, "4.3.2 shutting down", None, 1),
    ],
)
def test_a_session_that_ends_while_it_idles_is_evicted(
    after: float, text: str | None, learnt: int | None, limit: int
) -> None:
    """E19, E21: some servers end a session right after its last mail."""
    policy = pool()
    member = borrowed(policy)
    member.mails = member.answered = 5
    policy.given_back(member, 0.0)
    policy.lost(member, lost(text), after)
    assert policy.members == []
    assert policy.length.limit == learnt
    assert policy.backoff.limit == limit


def test_a_session_of_which_nobody_knows_why_it_ended_is_evicted() -> None:
    policy = pool()
    member = borrowed(policy)
    policy.given_back(member, 0.0)
    policy.lost(member, None, 0.0)
    assert policy.members == []


# Domains (RFC 9422)


def test_a_mail_gets_a_session_that_may_have_its_domain() -> None:
    policy = pool(size=2)
    members = []
    for domain in ("x.example", "y.example"):
        policy.waiters.append(waiter(domain))
        plan = opened(policy, rcptdomainmax=1)
        member = plan.lend[0][1]
        member.domains.add(domain)
        members.append(member)
    assert policy.counts_domains
    policy.given_back(members[0], 1.0)
    policy.given_back(members[1], 2.0)
    assert borrowed(policy, 3.0, "x.example") is members[0]
    assert borrowed(policy, 3.0) is members[1]


def test_where_no_session_may_have_it_the_oldest_makes_room() -> None:
    policy = pool(size=1)
    policy.waiters.append(waiter("x.example"))
    member = opened(policy, rcptdomainmax=1).lend[0][1]
    member.domains.add("x.example")
    policy.given_back(member, 1.0)
    policy.waiters.append(waiter("y.example"))
    assert policy.plan(1.0).close == [member]
    policy.closed(member)
    assert len(policy.plan(1.0).open) == 1


def test_where_there_is_room_a_new_session_is_opened_for_it() -> None:
    policy = pool(size=2)
    policy.waiters.append(waiter("x.example"))
    member = opened(policy, rcptdomainmax=1).lend[0][1]
    member.domains.add("x.example")
    policy.given_back(member, 1.0)
    policy.waiters.append(waiter("y.example"))
    plan = policy.plan(1.0)
    assert plan.close == []
    assert len(plan.open) == 1


def test_a_run_goes_on_until_somebody_else_waits() -> None:
    policy, owner = pool(), Party()
    member = borrowed(policy)
    assert policy.may_go_on(member, owner)
    policy.waiters.append(waiter(owner=owner))
    assert policy.may_go_on(member, owner)
    policy.waiters.append(waiter())
    assert not policy.may_go_on(member, owner)


def test_a_run_goes_on_as_long_as_its_session_is_of_use() -> None:
    policy, owner = pool(max_messages=2), Party()
    spent, full, ended = (borrowed(policy) for _ in range(3))
    spent.is_spent = True
    full.mails = 2
    ended.protocol.cause = lost()
    for member in (spent, full, ended):
        assert not policy.may_go_on(member, owner)

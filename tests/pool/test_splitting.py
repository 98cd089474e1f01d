"""Recipients, and the transactions that they go into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtplibaio import Reply
from smtplibaio.grammar.extensions import Limits
from smtplibaio.pool.splitting import (
    domain_of,
    is_one_too_many,
    next_recipients,
)


def mailboxes(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def test_recipients_are_counted_in_a_transaction_and_domains_in_a_session() -> None:
    left = mailboxes("a@x.example", "b@Y.example", "c@x.example", "d@y.example")
    assert next_recipients(left, Limits(), ()) == [*left]
    assert next_recipients(left, Limits(rcptmax=3), ()) == [*left][:3]
    one_domain = Limits(rcptdomainmax=1)
    assert next_recipients(left, one_domain, ()) == ["a@x.example", "c@x.example"]
    assert next_recipients(left, one_domain, {"y.example"}) == [
        "b@Y.example",
        "d@y.example",
    ]
    assert next_recipients(left, one_domain, {"z.example"}) == []
    assert next_recipients(left, Limits(rcptmax=1, rcptdomainmax=2), {"y.example"}) == [
        "a@x.example"
    ]


def test_postmaster_has_no_domain() -> None:
    assert domain_of("Postmaster") == ""
    assert domain_of('"a@b"@X.example') == "x.example"


@given(
    names=st.lists(
        st.from_regex(r"[ab]{1,3}@[xyz]\.example", fullmatch=True), unique=True
    ),
    recipients=st.none() | st.integers(1, 3),
    domains=st.none() | st.integers(1, 2),
)
def test_every_recipient_is_in_one_transaction_and_no_limit_is_broken(
    names: list[str], recipients: int | None, domains: int | None
) -> None:
    limits = Limits(None, recipients, domains)
    left, seen = mailboxes(*names), []
    while left:
        used: set[str] = set()  # a session for each transaction
        chosen = next_recipients(left, limits, used)
        assert chosen
        assert recipients is None or len(chosen) <= recipients
        assert domains is None or len({*map(domain_of, chosen)}) <= domains
        for name in chosen:
            del left[name]
        seen += chosen
    assert sorted(seen) == sorted(names)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(452, "too many recipients"), True),
        (Reply(452, "4.5.3 too many recipients"), True),
        (Reply(451, "4.5.3 too many recipients"), True),
        (Reply(552, "too many recipients"), True),
        (Reply(552, "5.5.3 too many recipients"), True),
        (Reply(452, "4.2.2 mailbox full"), False),
        (Reply(452, "4.3.1 no space"), False),
        (Reply(552, "5.2.2 mailbox full"), False),
        (Reply(552, "5.3.4 too big"), False),
        (Reply(550, "5.5.3 no"), False),
        (Reply(450, "4.2.0 greylisted"), False),
    ],
)
def test_one_too_many_is_told_from_other_refusals(reply: Reply, expected: bool) -> None:
    """F14: RFC 5321 4.5.3.1.10 has 452, and 552 as older servers say it."""
    assert is_one_too_many(reply) == expected

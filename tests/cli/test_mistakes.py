"""Mistakes of servers, from findings alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smtplibaio import Extensions, Reply
from smtplibaio.cli.findings import Certificate, Findings
from smtplibaio.cli.mistakes import days_of, mistakes_of

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CERTIFICATE = Certificate(
    "mx.example",
    "CA",
    ("mx.example",),
    NOW - 30 * DAY,
    NOW + 60 * DAY,
    "RSA 2048",
    False,
)
TLS = Extensions({"AUTH": ("PLAIN",), "PIPELINING": ()})
CLEAR = Extensions({"STARTTLS": (), "PIPELINING": ()})
FINE = Findings(
    "smtp://mx.example:587",
    "mx.example",
    has_tls_at_once=False,
    greeting=Reply(220, "hi"),
    clear=CLEAR,
    secure=TLS,
    tls=("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
    chain=[CERTIFICATE],
    pipelining="works",
)


def valid(begin: timedelta, end: timedelta) -> dict[str, object]:
    return {
        "chain": [replace(CERTIFICATE, not_before=NOW + begin, not_after=NOW + end)]
    }


def codes(found: Findings) -> list[str]:
    return [mistake.code for mistake in mistakes_of(found, NOW)]


def test_a_server_without_a_mistake_has_none() -> None:
    assert codes(FINE) == []


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"has_tls_at_once": True}, "tls-at-once", "use smtps://"),
        ({"wants_tls": True}, "no-tls-at-once", "use smtp://"),
        ({"greeting": Reply(554, "no\x1b")}, "greeting-refused", "554 no\\x1b"),
        ({"failure": "no host"}, "failed", "no host"),
        ({"is_esmtp": False}, "no-ehlo", "EHLO"),
        (
            {"clear": Extensions({"AUTH": ("plain", "SCRAM-SHA-1"), "STARTTLS": ()})},
            "auth-in-clear",
            "AUTH PLAIN before TLS",
        ),
        ({"starttls": Reply(454, "not now")}, "starttls-refused", "454 not now"),
        ({"clear": Extensions(), "secure": None, "tls": None}, "no-tls", "no TLS"),
        ({"secure": CLEAR}, "starttls-in-tls", "RFC 3207"),
        ({"untrusted": (62, "x")}, "certificate-untrusted", "for another host name"),
        (
            {"untrusted": (99, "odd")},
            "certificate-untrusted",
            "the certificate is not trusted: odd",
        ),
        (
            {"untrusted": (10, "expired"), **valid(-30 * DAY, -2 * DAY)},
            "certificate-expired",
            "expired on 2026-05-30",
        ),
        (
            {"untrusted": (9, "early"), **valid(2 * DAY, 30 * DAY)},
            "certificate-early",
            "not valid before 2026-06-03",
        ),
        (
            {"untrusted": (10, "certificate has expired")},
            "certificate-untrusted",
            "certificate has expired",
        ),
        (
            {"untrusted": (10, "has expired"), "chain": None},
            "certificate-untrusted",
            "has expired",
        ),
        (valid(-60 * DAY, 1.5 * DAY), "certificate-expires", "in 1 day: renew"),
        (
            {"chain": [replace(CERTIFICATE, key="RSA 1024", is_weak=True)]},
            "certificate-weak",
            "RSA 1024",
        ),
        ({"pipelining": "broken: none"}, "pipelining-broken", "broken: none"),
        ({"login": "AUTH PLAIN failed"}, "login-failed", "AUTH PLAIN failed"),
    ],
)
def test_each_mistake_is_found_and_nothing_else(
    changes: dict[str, object], code: str, text: str
) -> None:
    found = replace(FINE, **changes)
    (mistake,) = mistakes_of(found, NOW)
    assert mistake.code == code
    assert text in mistake.text


@pytest.mark.parametrize(
    "changes",
    [
        {"clear": Extensions({"AUTH": ("SCRAM-SHA-256",), "STARTTLS": ()})},
        {"clear": Extensions(), "secure": None, "tls": None, "is_local": True},
        valid(-2 * DAY, 4 * DAY),  # one that lives for six days
        {"pipelining": None},
        {"chain": None},
        {"login": "accepted"},
        {"login": "not tried, because the certificate is not verified"},
        {"has_tls_at_once": None},
    ],
)
def test_what_is_merely_otherwise_is_no_mistake(changes: dict[str, object]) -> None:
    assert codes(replace(FINE, **changes)) == []


def test_several_mistakes_come_in_the_order_of_a_session() -> None:
    found = replace(FINE, login="no", untrusted=(18, ""), is_esmtp=False)
    assert codes(found) == ["no-ehlo", "certificate-untrusted", "login-failed"]


def test_days_are_counted() -> None:
    assert [days_of(n * DAY) for n in (0, 1, 2)] == ["0 days", "1 day", "2 days"]

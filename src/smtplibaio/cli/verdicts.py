"""What is wrong with a server, in plain words; from findings alone.

Rules:

1. A verdict is a mistake that somebody should mend. What is merely missing is not one.
2. That no TLS is offered is not one where no octet leaves the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from ..exceptions import one_line, printable
from .findings import Certificate, Findings

__all__ = ["Verdict", "days_of", "verdicts_of"]

#: Mechanisms that show a password or a token to whoever reads along.
_READABLE = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})

#: A certificate should be renewed before this, and before the last third of its time.
_SOON = timedelta(days=14)

#: Why a certificate does not verify, by OpenSSL's code (X509_V_ERR_...); for others
#: OpenSSL's own words do.
_UNTRUSTED = {
    18: "it is self-signed: no authority vouches for it",
    19: "its chain ends in an authority of its own that is not trusted here",
    20: "no authority that is trusted here has signed it, or the server does not send "
    "the certificates in between",
    21: "the server does not send the certificates between its own and the authority's",
    62: "it is for another name",
    64: "it is not for this address",
}


class Verdict(NamedTuple):
    """A mistake.

    Attributes:
        code: A name for it that programs can look for.
        text: What is wrong and what to do.
    """

    code: str
    text: str


def verdicts_of(found: Findings, now: datetime) -> list[Verdict]:
    """List the mistakes, in the order in which a client meets them."""
    return [
        *_on_connecting(found),
        *_on_encrypting(found),
        *(_on_the_certificate(found, now) if found.tls else ()),
        *_on_speaking(found),
    ]


def _on_connecting(found: Findings) -> Iterator[Verdict]:
    if found.has_tls_at_once is not None and found.has_tls_at_once != found.wants_tls:
        if found.wants_tls:
            yield Verdict(
                "no-tls-at-once",
                "the server does not speak TLS from the first octet on, as the URL "
                "says: use smtp:// with ?starttls=required, or another port",
            )
        else:
            yield Verdict(
                "tls-at-once",
                "the server speaks TLS from the first octet on, and the URL says that "
                "it does not: use smtps://",
            )
    if found.greeting is not None and found.greeting.code != 220:
        text = printable(one_line(*found.greeting))
        yield Verdict("greeting-refused", f"the server turns clients away: {text}")
    elif found.failure:
        yield Verdict("failed", found.failure)
    if not found.is_esmtp:
        yield Verdict(
            "no-ehlo", "the server does not know EHLO, which RFC 5321 3.2 asks for"
        )


def _on_encrypting(found: Findings) -> Iterator[Verdict]:
    clear = found.clear
    if clear is not None and (shown := [m for m in clear.auth if m in _READABLE]):
        yield Verdict(
            "auth-in-clear",
            f"AUTH {' '.join(shown)} is offered before TLS, where anybody on the way "
            "can read the password: offer it after STARTTLS only",
        )
    if found.starttls is not None:
        text = printable(one_line(*found.starttls))
        yield Verdict("starttls-refused", f"STARTTLS is announced and refused: {text}")
    elif clear is not None and "STARTTLS" not in clear and not found.is_local:
        yield Verdict(
            "no-tls",
            "no TLS is offered: everything can be read and changed on the way",
        )
    if found.secure is not None and "STARTTLS" in found.secure:
        yield Verdict(
            "starttls-in-tls",
            "STARTTLS is announced although TLS is on already (RFC 3207 4.2)",
        )


def _on_the_certificate(found: Findings, now: datetime) -> Iterator[Verdict]:
    dates = [*_on_dates(found.chain[0], now)] if found.chain else []
    if found.untrusted is not None:
        code, words = found.untrusted
        if not (code in _DATES and dates):
            text = _UNTRUSTED.get(code, words)
            yield Verdict("certificate-untrusted", f"the certificate: {text}")
    yield from dates
    if found.chain and found.chain[0].is_weak:
        yield Verdict(
            "certificate-weak",
            f"the certificate has a key ({found.chain[0].key}) or a signature that is "
            "too weak today",
        )


#: "not yet valid" and "has expired".
_DATES = (9, 10)


def _on_dates(certificate: Certificate, now: datetime) -> Iterator[Verdict]:
    begin, end = certificate.not_before, certificate.not_after
    if now < begin:
        yield Verdict(
            "certificate-early", f"the certificate is valid from {begin:%F} on"
        )
    elif now > end:
        yield Verdict("certificate-expired", f"the certificate has expired on {end:%F}")
    elif end - now < min(_SOON, (end - begin) / 3):
        yield Verdict(
            "certificate-expires",
            f"the certificate expires on {end:%F}, in {days_of(end - now)}: renew it",
        )


def days_of(time: timedelta) -> str:
    """Write a time in days."""
    return "1 day" if time.days == 1 else f"{time.days} days"


def _on_speaking(found: Findings) -> Iterator[Verdict]:
    if found.pipelining not in (None, "works"):
        yield Verdict(
            "pipelining-broken",
            f"PIPELINING is announced and {found.pipelining} (a firewall on the way "
            "may be at fault)",
        )
    if found.login is not None and not found.login.startswith(
        ("accepted", "not tried")
    ):
        yield Verdict("login-failed", found.login)

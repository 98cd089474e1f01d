"""What is wrong with a server, in plain words; from findings alone.

Rules:

1. A mistake is something that somebody should correct. A missing extension is not a
   mistake.
2. To offer no TLS is not a mistake if no octet leaves the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from ..exceptions import one_line, printable
from .findings import Certificate, Findings

__all__ = ["Mistake", "days_of", "mistakes_of"]

#: Mechanisms that send a password or a token in a form that a listener can read.
_READABLE = frozenset({"PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"})

#: A certificate should be renewed when less time than this is left, or less than a
#: third of its whole time.
_SOON = timedelta(days=14)

#: Why a certificate is not trusted, by OpenSSL's code (X509_V_ERR_...). For other codes
#: the mistake has OpenSSL's own text.
_UNTRUSTED = {
    18: "it is self-signed, not signed by an authority",
    19: "its chain ends in an authority that this machine does not trust",
    20: "no authority that this machine trusts has signed it, or the server does not "
    "send the intermediate certificates",
    21: "the server does not send the intermediate certificates",
    62: "it is for another host name",
    64: "it is for another address",
}


class Mistake(NamedTuple):
    """One mistake of a server.

    Attributes:
        code: The name of the mistake, for programs.
        text: The mistake and what to do about it, for people.
    """

    code: str
    text: str


def mistakes_of(found: Findings, now: datetime) -> list[Mistake]:
    """List the mistakes in the order in which a client would find them."""
    return [
        *_on_connecting(found),
        *_on_encrypting(found),
        *(_on_the_certificate(found, now) if found.tls else ()),
        *_on_speaking(found),
    ]


def _on_connecting(found: Findings) -> Iterator[Mistake]:
    if found.has_tls_at_once is not None and found.has_tls_at_once != found.wants_tls:
        if found.wants_tls:
            yield Mistake(
                "no-tls-at-once",
                "the server does not speak TLS from the first octet on, but the URL "
                "begins with smtps://: use smtp:// with ?starttls=required, or another "
                "port",
            )
        else:
            yield Mistake(
                "tls-at-once",
                "the server speaks TLS from the first octet on, but the URL begins "
                "with smtp://: use smtps://",
            )
    if found.greeting is not None and found.greeting.code != 220:
        text = printable(one_line(*found.greeting))
        yield Mistake("greeting-refused", f"the server refuses clients: {text}")
    elif found.failure:
        yield Mistake("failed", found.failure)
    if not found.is_esmtp:
        yield Mistake(
            "no-ehlo", "the server does not know EHLO, but RFC 5321 3.2 requires it"
        )


def _on_encrypting(found: Findings) -> Iterator[Mistake]:
    clear = found.clear
    if clear is not None and (shown := [m for m in clear.auth if m in _READABLE]):
        yield Mistake(
            "auth-in-clear",
            f"the server offers AUTH {' '.join(shown)} before TLS, so anybody on the "
            "network can read the password: offer it only after STARTTLS",
        )
    if found.starttls is not None:
        text = printable(one_line(*found.starttls))
        yield Mistake(
            "starttls-refused", f"the server announces STARTTLS, but refuses it: {text}"
        )
    elif clear is not None and "STARTTLS" not in clear and not found.is_local:
        yield Mistake(
            "no-tls",
            "the server offers no TLS, so anybody on the network can read and change "
            "the mails",
        )
    if found.secure is not None and "STARTTLS" in found.secure:
        yield Mistake(
            "starttls-in-tls",
            "the server announces STARTTLS although the connection uses TLS already "
            "(RFC 3207 4.2)",
        )


def _on_the_certificate(found: Findings, now: datetime) -> Iterator[Mistake]:
    dates = [*_on_dates(found.chain[0], now)] if found.chain else []
    if found.untrusted is not None:
        code, words = found.untrusted
        if not (code in _DATES and dates):
            text = _UNTRUSTED.get(code, words)
            yield Mistake(
                "certificate-untrusted", f"the certificate is not trusted: {text}"
            )
    yield from dates
    if found.chain and found.chain[0].is_weak:
        yield Mistake(
            "certificate-weak",
            f"the key of the certificate ({found.chain[0].key}) or its signature is "
            "too weak: renew it with a stronger key",
        )


#: "not yet valid" and "has expired".
_DATES = (9, 10)


def _on_dates(certificate: Certificate, now: datetime) -> Iterator[Mistake]:
    begin, end = certificate.not_before, certificate.not_after
    if now < begin:
        yield Mistake(
            "certificate-early", f"the certificate is not valid before {begin:%F}"
        )
    elif now > end:
        yield Mistake("certificate-expired", f"the certificate expired on {end:%F}")
    elif end - now < min(_SOON, (end - begin) / 3):
        yield Mistake(
            "certificate-expires",
            f"the certificate expires on {end:%F}, in {days_of(end - now)}: renew it",
        )


def days_of(time: timedelta) -> str:
    """Write a number of days."""
    return "1 day" if time.days == 1 else f"{time.days} days"


def _on_speaking(found: Findings) -> Iterator[Mistake]:
    if found.pipelining not in (None, "works"):
        yield Mistake(
            "pipelining-broken",
            f"the server announces PIPELINING, but it is {found.pipelining} (perhaps a "
            "firewall changes the conversation)",
        )
    if found.login is not None and not found.login.startswith(
        ("accepted", "not tried")
    ):
        yield Mistake("login-failed", found.login)

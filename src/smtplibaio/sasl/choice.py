"""The mechanisms to try, and their order.

Rules:

1. A *kind of proof* is SCRAM, CRAM-MD5, a readable password (PLAIN, LOGIN), or a token.
   The strongest kind that the server offers is tried first, and the strongest mechanism
   of each kind. If the caller names mechanisms, only these are tried, in that order.
2. After a mechanism with "-PLUS", SCRAM without "-PLUS" is not tried. An attacker
   between client and server could have refused the former, which would have shown that
   there is an attacker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..exceptions import SMTPArgumentError
from .mechanism import Mechanism
from .oauth import OAUTHBEARER, XOAUTH2
from .passwords import CramMD5, Login, Plain
from .scram import (
    Scram,
    ScramSHA1,
    ScramSHA1Plus,
    ScramSHA256,
    ScramSHA256Plus,
    ScramSHA512,
    ScramSHA512Plus,
    can_bind,
)

__all__ = [
    "BEARER_MECHANISMS",
    "PASSWORD_MECHANISMS",
    "bearer_candidates",
    "check_names",
    "kind_of",
    "password_candidates",
]

PASSWORD_MECHANISMS: dict[str, type[Scram | CramMD5 | Plain | Login]] = {
    mechanism.name: mechanism
    for mechanism in (
        ScramSHA512Plus,
        ScramSHA256Plus,
        ScramSHA1Plus,
        ScramSHA512,
        ScramSHA256,
        ScramSHA1,
        CramMD5,
        Plain,
        Login,
    )
}
BEARER_MECHANISMS: dict[str, type[OAUTHBEARER | XOAUTH2]] = {
    mechanism.name: mechanism for mechanism in (OAUTHBEARER, XOAUTH2)
}


def kind_of(name: str) -> str:
    """Return the kind of proof that a mechanism gives.

    A server that refuses a password in one mechanism of a kind would refuse it in
    another mechanism of that kind too, and count two failures.
    """
    if name in ("PLAIN", "LOGIN"):
        return "password"
    if name in BEARER_MECHANISMS:
        return "token"
    return "SCRAM" if name.startswith("SCRAM-") else name


def password_candidates(
    username: str | bytes,
    password: str | bytes,
    offered: Iterable[str],
    allowed: Sequence[str] | None = None,
    tls: Any = None,
) -> list[Mechanism]:
    """List the mechanisms to try with a password, in the order of trying.

    Args:
        username: The user's name, as the server knows it.
        password: The user's password.
        offered: The names that the server announced, in capitals.
        allowed: The only names to try, in this order; None for the strongest first.
        tls: The `ssl.SSLObject` of the connection, if it is encrypted.

    Raises:
        SMTPArgumentError: A credential cannot be sent, or a name is unknown.
    """
    Plain(username, password)  # raises if one cannot be sent, whatever is offered
    offer = set(offered)
    names = check_names(allowed, PASSWORD_MECHANISMS)
    if tls is not None:
        has_scram = any(name.startswith("SCRAM-") for name in offer)
        tls = tls if has_scram and can_bind(tls) else None
    offers_binding = any(map(_is_bound, offer))
    chosen: list[Mechanism] = []
    is_bound = False
    for name in names:
        mechanism = PASSWORD_MECHANISMS[name]
        if name not in offer:
            continue
        if not issubclass(mechanism, Scram):
            chosen.append(mechanism(username, password))
        elif _is_bound(name):
            if tls is not None:
                chosen.append(mechanism(username, password, tls=tls))
                is_bound = True
        elif not is_bound:
            # RFC 5802 6: a client that could bind itself to TLS says so if the server
            # does not offer it. A server that does offer it would take this for the
            # sign of an attack.
            could = None if offers_binding else tls
            chosen.append(mechanism(username, password, tls=could))
    return chosen


def _is_bound(name: str) -> bool:
    return name.startswith("SCRAM-") and name.endswith("-PLUS")


def bearer_candidates(
    username: str,
    token: str,
    offered: Iterable[str],
    allowed: Sequence[str] | None = None,
) -> list[Mechanism]:
    """List the mechanisms to try with a token, OAUTHBEARER before XOAUTH2.

    Args:
        username: The user's name, as the server knows it.
        token: The access token.
        offered: The names that the server announced, in capitals.
        allowed: The only names to try, in this order.

    Raises:
        SMTPArgumentError: A credential cannot be sent, or a name is unknown.
    """
    XOAUTH2(username, token)  # raises if one cannot be sent, whatever is offered
    offer = set(offered)
    names = [name for name in check_names(allowed, BEARER_MECHANISMS) if name in offer]
    return [BEARER_MECHANISMS[name](username, token) for name in names]


def check_names(allowed: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """Return the names to try, in capitals: the allowed ones, or all that are known.

    Raises:
        SMTPArgumentError: An allowed name is not known, or is not text, or there is
            none.
    """
    known = list(known)
    if allowed is None:
        return known
    if isinstance(allowed, (str, bytes)) or not isinstance(allowed, Iterable):
        given = "one string" if isinstance(allowed, str) else repr(allowed)
        raise SMTPArgumentError(
            'mechanisms must be a sequence of names such as ["PLAIN", "LOGIN"], not '
            f"{given}"
        )
    names = [name.upper() if isinstance(name, str) else name for name in allowed]
    if not names:
        raise SMTPArgumentError(
            "mechanisms names none: leave it out, and the strongest one that both "
            "sides know is tried first"
        )
    if unknown := [name for name in names if name not in known]:
        shown = ", ".join(n if isinstance(n, str) else ascii(n) for n in unknown)
        raise SMTPArgumentError(
            f"these mechanisms cannot be used here: {shown}; there are "
            + ", ".join(known)
        )
    return list(dict.fromkeys(names))

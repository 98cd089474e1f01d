"""SASL mechanisms as values: octets in, octets out; no base64, no 334.

A mechanism is used for one exchange. Anything with these members is one (see
`Mechanism`), and `SMTP.authenticate` takes it:

* `name`: what follows AUTH;
* `start()`: the initial response, or None where the server speaks first;
* `next(challenge)`: the response to a challenge. Where it raises, the exchange is
  cancelled; where that is an `SMTPProtocolError`, for a server that has not proved
  itself, the connection ends as well;
* `done`: whether the mechanism is satisfied: a server that says 235 before is not
  believed.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Any

from ..exceptions import SMTPArgumentError
from .mechanism import Mechanism, Password, nothing_to_say
from .oauth import OAUTHBEARER, XOAUTH2, Bearer
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
    "OAUTHBEARER",
    "XOAUTH2",
    "Anonymous",
    "Bearer",
    "CramMD5",
    "External",
    "Login",
    "Mechanism",
    "Plain",
    "ScramSHA1",
    "ScramSHA1Plus",
    "ScramSHA256",
    "ScramSHA256Plus",
    "ScramSHA512",
    "ScramSHA512Plus",
    "bearer_candidates",
    "check_names",
    "password_candidates",
]


class Plain(Password):
    """PLAIN (RFC 4616): both in one response."""

    name = "PLAIN"

    def start(self) -> bytes:
        """Give [authzid] UTF8NUL authcid UTF8NUL passwd."""
        self.done = True
        return b"\0%b\0%b" % (self._username, self._password)

    def next(self, challenge: bytes) -> bytes:
        """Refuse: everything was said."""
        raise nothing_to_say(self.name)


class Login(Password):
    """LOGIN (draft-murchison-sasl-login): two prompts, told apart by position.

    Servers word the prompts as they like, so their text means nothing. There is no
    initial response: many servers refuse one.
    """

    name = "LOGIN"
    _prompts = 0

    def start(self) -> None:
        """Let the server prompt."""

    def next(self, challenge: bytes) -> bytes:
        """Answer the first prompt with the user name, the second with the password."""
        if self.done:
            raise nothing_to_say(self.name)
        self._prompts += 1
        self.done = self._prompts == 2
        return self._password if self.done else self._username


class CramMD5(Password):
    """CRAM-MD5 (RFC 2195): a keyed digest of the server's challenge."""

    name = "CRAM-MD5"
    is_plaintext = False

    def start(self) -> None:
        """Let the server challenge."""

    def next(self, challenge: bytes) -> bytes:
        """Answer with the user name and the digest in hexadecimal."""
        if self.done:
            raise nothing_to_say(self.name)
        self.done = True
        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        return b"%b %b" % (self._username, digest.encode())


class _OneMessage:
    """What the mechanisms that say one thing, and nothing secret, have in common."""

    name: str
    is_plaintext = False

    def __init__(self, text: str) -> None:
        try:
            self._octets = text.encode("utf-8")
        except (AttributeError, UnicodeEncodeError):
            raise SMTPArgumentError(f"{self.name} takes text") from None
        self._text = text
        self.done = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._text!r})"

    def start(self) -> bytes:
        """Give the one message there is."""
        self.done = True
        return self._octets

    def next(self, challenge: bytes) -> bytes:
        """Refuse: everything was said."""
        raise nothing_to_say(self.name)


class External(_OneMessage):
    """EXTERNAL (RFC 4422 A): who the client is, TLS has shown.

    Args:
        identity: Whom to act as; "" for whom the certificate names.
    """

    name = "EXTERNAL"

    def __init__(self, identity: str = "") -> None:
        super().__init__(identity)


class Anonymous(_OneMessage):
    """ANONYMOUS (RFC 4505).

    Args:
        trace: Something to be remembered by, such as an e-mail address.
    """

    name = "ANONYMOUS"

    def __init__(self, trace: str = "") -> None:
        super().__init__(trace)


#: Kinds of proof, the strongest first, each with its mechanisms, the best first. One of
#: a kind is tried and no more: a server that refused PLAIN would refuse the same
#: password from LOGIN, and count it twice.
_KINDS: tuple[tuple[type[Scram | CramMD5 | Plain | Login], ...], ...] = (
    (
        ScramSHA512Plus,
        ScramSHA256Plus,
        ScramSHA1Plus,
        ScramSHA512,
        ScramSHA256,
        ScramSHA1,
    ),
    (CramMD5,),
    (Plain, Login),
)
PASSWORD_MECHANISMS = {kind.name: (kind, kinds) for kinds in _KINDS for kind in kinds}
BEARER_MECHANISMS: dict[str, type[OAUTHBEARER | XOAUTH2]] = {
    kind.name: kind for kind in (OAUTHBEARER, XOAUTH2)
}


def password_candidates(
    username: str | bytes,
    password: str | bytes,
    offered: Iterable[str],
    allowed: Sequence[str] | None = None,
    tls: Any = None,
) -> list[Mechanism]:
    """List the mechanisms to try with a password, at most one of each kind.

    Args:
        username: As the server knows the user.
        password: The same.
        offered: The names that the server announced, in capitals.
        allowed: The only names to try, in this order; None for the strongest first.
        tls: The `ssl.SSLObject` of the connection, if it is encrypted.

    Raises:
        SMTPArgumentError: A credential that cannot be sent, or an unknown name.
    """
    Plain(username, password)  # unfit credentials are an error whatever is offered
    offer = set(offered)
    if tls is not None:
        has_scram = any(name.startswith("SCRAM-") for name in offer)
        tls = tls if has_scram and can_bind(tls) else None
    binds = any(n.startswith("SCRAM-") and n.endswith("-PLUS") for n in offer)
    chosen: dict[object, Mechanism] = {}
    for name in check_names(allowed, PASSWORD_MECHANISMS):
        kind, kinds = PASSWORD_MECHANISMS[name]
        if name not in offer or kinds in chosen:
            continue
        if not issubclass(kind, Scram):
            chosen[kinds] = kind(username, password)
        elif tls is not None or not name.endswith("-PLUS"):
            # RFC 5802 6: a client that could bind itself to TLS says so where the
            # server does not offer it, and only there: to one that does, it would be
            # the sign of an attack.
            has_binding = name.endswith("-PLUS") or not binds
            chosen[kinds] = kind(username, password, tls=tls if has_binding else None)
    return list(chosen.values())


def bearer_candidates(
    username: str,
    token: str,
    offered: Iterable[str],
    allowed: Sequence[str] | None = None,
) -> list[Mechanism]:
    """List the one mechanism to try with a token, OAUTHBEARER before XOAUTH2.

    Args:
        username: As the server knows the user.
        token: The access token.
        offered: The names that the server announced, in capitals.
        allowed: The only names to try, in this order.

    Raises:
        SMTPArgumentError: A credential that cannot be sent, or an unknown name.
    """
    offer = set(offered)
    names = [name for name in check_names(allowed, BEARER_MECHANISMS) if name in offer]
    return [BEARER_MECHANISMS[name](username, token) for name in names[:1]]


def check_names(allowed: Sequence[str] | None, known: Iterable[str]) -> list[str]:
    """Give the names to try, in capitals: all that are known, or the allowed ones.

    Raises:
        SMTPArgumentError: One is not known.
    """
    known = list(known)
    if allowed is None:
        return known
    if isinstance(allowed, str):
        raise SMTPArgumentError("mechanisms is a sequence of names, not one string")
    names = [name.upper() for name in allowed]
    if unknown := [name for name in names if name not in known]:
        raise SMTPArgumentError(
            f"these mechanisms cannot be used here: {', '.join(unknown)}; there are "
            + ", ".join(known)
        )
    return names

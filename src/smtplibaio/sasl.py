"""SASL mechanisms as values: octets in, octets out; no base64, no 334.

A mechanism is used for one exchange. Anything with these members is one:

* `name`: what follows AUTH;
* `start()`: the initial response, or None where the server speaks first;
* `next(challenge)`: the response to a challenge; it raises `SMTPArgumentError` where
  the mechanism has nothing (more) to say, and the exchange is cancelled;
* `done`: whether the mechanism is satisfied: a server that says 235 before is not
  believed.

Two members are optional: `secrets`, texts that must not be shown where a server echoes
them; and `is_plaintext`, true (as where it is missing) if a listener on the line learns
from the exchange what it needs to log in.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

from .exceptions import SMTPArgumentError

__all__ = ["CramMD5", "Login", "Mechanism", "Plain", "candidates"]


class Mechanism(Protocol):
    """The client's side of a SASL exchange (RFC 4422)."""

    @property
    def name(self) -> str:
        """Give the registered name, in capitals."""

    @property
    def done(self) -> bool:
        """Tell whether the mechanism is satisfied with the exchange."""

    def start(self) -> bytes | None:
        """Give the initial response; None where the server speaks first."""

    def next(self, challenge: bytes) -> bytes:
        """Answer a challenge."""


class _Password:
    """What the mechanisms for a user name and a password have in common.

    Both may be given as octets; a `str` goes out as UTF-8.

    Raises:
        SMTPArgumentError: One is empty or has a NUL, which PLAIN takes for a border
            (RFC 4616 2) and no server for a part of a name.
    """

    name: ClassVar[str]
    is_plaintext: ClassVar[bool] = True

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self._username = _credential(username, "the user name")
        self._password = _credential(password, "the password")
        self.done = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._username!r}>"

    @property
    def secrets(self) -> tuple[str, ...]:
        """List what must not be shown."""
        return (self._password.decode("utf-8", "surrogateescape"),)


class Plain(_Password):
    """PLAIN (RFC 4616): both in one response."""

    name = "PLAIN"

    def start(self) -> bytes:
        """Give [authzid] UTF8NUL authcid UTF8NUL passwd."""
        self.done = True
        return b"\0%b\0%b" % (self._username, self._password)

    def next(self, challenge: bytes) -> bytes:
        """Refuse: everything was said."""
        raise _nothing_to_say(self.name)


class Login(_Password):
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
            raise _nothing_to_say(self.name)
        self._prompts += 1
        self.done = self._prompts == 2
        return self._password if self.done else self._username


class CramMD5(_Password):
    """CRAM-MD5 (RFC 2195): a keyed digest of the server's challenge."""

    name = "CRAM-MD5"
    is_plaintext = False

    def start(self) -> None:
        """Let the server challenge."""

    def next(self, challenge: bytes) -> bytes:
        """Answer with the user name and the digest in hexadecimal."""
        if self.done:
            raise _nothing_to_say(self.name)
        self.done = True
        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        return b"%b %b" % (self._username, digest.encode())


#: Kinds of proof, the strongest first. One of a kind is tried and no more: a server
#: that refused PLAIN would refuse the same password from LOGIN, and count it twice.
_KINDS: tuple[tuple[type[CramMD5 | Plain | Login], ...], ...] = (
    (CramMD5,),
    (Plain, Login),
)
_KNOWN = {kind.name: (kind, kinds) for kinds in _KINDS for kind in kinds}


def candidates(
    username: str | bytes,
    password: str | bytes,
    offered: Iterable[str],
    allowed: Sequence[str] | None = None,
) -> list[CramMD5 | Plain | Login]:
    """List the mechanisms to try, in their order, at most one of each kind.

    Args:
        username: As the server knows the user.
        password: The same.
        offered: The names that the server announced, in capitals.
        allowed: The only names to try, in this order; None for the strongest first.

    Raises:
        SMTPArgumentError: A credential that cannot be sent, or an unknown name.
    """
    if isinstance(allowed, str):
        raise SMTPArgumentError("mechanisms is a sequence of names, not one string")
    names = list(_KNOWN) if allowed is None else [name.upper() for name in allowed]
    if unknown := [name for name in names if name not in _KNOWN]:
        raise SMTPArgumentError(
            f"unknown mechanisms {unknown}; there are {', '.join(_KNOWN)}"
        )
    Plain(username, password)  # unfit credentials are an error whatever is offered
    offer = set(offered)
    chosen = []
    tried: set[object] = set()
    for kind, kinds in (_KNOWN[name] for name in names if name in offer):
        if kinds not in tried:
            tried.add(kinds)
            chosen.append(kind(username, password))
    return chosen


def _credential(text: str | bytes, what: str) -> bytes:
    if not isinstance(text, (str, bytes, bytearray, memoryview)):
        raise SMTPArgumentError(f"{what} is neither text nor octets")
    try:
        octets = text.encode("utf-8") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        raise SMTPArgumentError(f"{what} is neither text nor octets") from None
    if not octets or b"\0" in octets:
        raise SMTPArgumentError(f"{what} is empty or has a NUL")
    return octets


def _nothing_to_say(name: str) -> SMTPArgumentError:
    return SMTPArgumentError(f"{name} has nothing to say to this challenge")

"""What a SASL mechanism is (RFC 4422), and what those of this library share."""

from __future__ import annotations

from typing import ClassVar, Protocol

from ..exceptions import SMTPArgumentError

__all__ = ["Mechanism", "Password", "credential", "nothing_to_say"]


class Mechanism(Protocol):
    """The client's side of one SASL exchange.

    Optional members: `secrets`, texts that must not be shown where a server echoes
    them; `is_plaintext`, true (as where it is missing) if a listener on the line learns
    from the exchange what it needs to log in; `is_slow`, true if `next` computes for so
    long that it must not run on the loop's thread; `ignores_challenges`, true if `next`
    does not read what it is given, which then need not be base64; `is_one_message`,
    true if the initial response is all there is to say: a server that asks for it again
    gets it again, once; `error`, what the server said about the failure in a challenge.
    """

    @property
    def name(self) -> str:
        """The registered name, in capitals."""

    @property
    def done(self) -> bool:
        """Whether the mechanism is satisfied with the exchange."""

    def start(self) -> bytes | None:
        """Give the initial response; None where the server speaks first."""

    def next(self, challenge: bytes) -> bytes:
        """Answer a challenge."""


class Password:
    """The base of the mechanisms for a user name and a password.

    Both may be given as octets; a `str` goes out as UTF-8.

    Raises:
        SMTPArgumentError: One is empty or has a NUL, which PLAIN takes for a border
            (RFC 4616 2) and no server for a part of a name.
    """

    name: ClassVar[str]
    is_plaintext: ClassVar[bool] = True

    def __init__(self, username: str | bytes, password: str | bytes) -> None:
        self._username = credential(username, "the user name")
        self._password = credential(password, "the password")
        self.done = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._username!r}>"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not be shown."""
        return (self._password.decode("utf-8", "surrogateescape"),)


def credential(text: str | bytes, what: str) -> bytes:
    """Give a credential as octets.

    Raises:
        SMTPArgumentError: It is empty, has a NUL, or is no text; it is not quoted.
    """
    if not isinstance(text, (str, bytes, bytearray, memoryview)):
        raise SMTPArgumentError(f"{what} is neither text nor octets")
    try:
        octets = text.encode("utf-8") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        raise SMTPArgumentError(f"{what} is neither text nor octets") from None
    if not octets or b"\0" in octets:
        raise SMTPArgumentError(f"{what} is empty or has a NUL")
    return octets


def nothing_to_say(name: str) -> SMTPArgumentError:
    """Make the error for a challenge that a mechanism has no answer to."""
    return SMTPArgumentError(f"{name} has nothing to say to this challenge")

"""The interface of SASL mechanisms (RFC 4422), and what several of them share."""

from __future__ import annotations

from typing import ClassVar, Protocol

from ..exceptions import SMTPArgumentError

__all__ = ["Mechanism", "Password", "credential", "nothing_to_say"]


class Mechanism(Protocol):
    """The client's side of one SASL exchange.

    These members are optional:

    * `secrets`: texts that are masked if a server repeats them;
    * `is_plaintext`: whether the exchange shows what is needed to log in to anybody who
      can read the connection. If it is missing, it counts as true;
    * `is_slow`: whether `next` computes for so long that it must not run in the thread
      of the event loop;
    * `ignores_challenges`: whether `next` does not read the challenge, which then does
      not have to be base64;
    * `is_one_message`: whether the initial response is the only message. A server that
      asks for it again gets it once more;
    * `error`: the reason for a refusal that the server has sent as a challenge.
    """

    @property
    def name(self) -> str:
        """The registered name, in capitals."""

    @property
    def done(self) -> bool:
        """Whether the exchange is complete, for the client."""

    def start(self) -> bytes | None:
        """Return the initial response, or None if the server speaks first."""

    def next(self, challenge: bytes) -> bytes:
        """Return the response to a challenge."""


class Password:
    """The base of the mechanisms for a user name and a password.

    Both may be given as octets; a `str` goes out as UTF-8.

    Raises:
        SMTPArgumentError: The user name or the password is empty, or has a NUL, which
            separates the two in PLAIN (RFC 4616 2).
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
    """Convert a credential to octets.

    Raises:
        SMTPArgumentError: The credential is empty, has a NUL, or is neither text nor
            octets. The error does not quote it.
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
    """Make the error for a challenge that a mechanism did not expect."""
    return SMTPArgumentError(f"{name} has nothing to say to this challenge")

"""SCRAM (RFC 5802, RFC 7677): both sides prove that they know the password.

The password itself is never sent. The library `scramp` does the cryptography; this
module knows the order of the messages, and how much work a server may ask for.
"""

from __future__ import annotations

from typing import Any

from ..exceptions import SMTPArgumentError, SMTPProtocolError
from .mechanism import Password, nothing_to_say

__all__ = [
    "Scram",
    "ScramSHA1",
    "ScramSHA1Plus",
    "ScramSHA256",
    "ScramSHA256Plus",
    "ScramSHA512",
    "ScramSHA512Plus",
    "can_bind",
]

#: RFC 5802 5.1 asks for 4096 iterations at least: fewer help whoever has stolen the
#: server's table. More than a million keep the client busy for most of a second.
MIN_ITERATIONS = 4096
MAX_ITERATIONS = 1_000_000

#: RFC 5929 4: the one channel binding that Python can compute and TLS 1.3 has.
BINDING = "tls-server-end-point"


class Scram(Password):
    """One exchange: client-first, server-first, client-final, server-final.

    Args:
        username: The user's name, as the server knows it.
        password: The user's password.
        tls: The `ssl.SSLObject` of the connection. A "-PLUS" mechanism binds itself to
            it; any other tells with it that the client could have (the "y" of RFC 5802
            6), so pass it if the server has not offered "-PLUS".
        max_iterations: The most work that the server may ask for.
        nonce: The client's nonce, for known answers; None for a random one.

    Raises:
        SMTPArgumentError: A credential that SASLprep refuses (PLAIN would take it), or
            no TLS to bind to.
    """

    is_plaintext = False
    is_slow = True
    secrets = ()

    def __init__(
        self,
        username: str | bytes,
        password: str | bytes,
        *,
        tls: Any = None,
        max_iterations: int = MAX_ITERATIONS,
        nonce: str | None = None,
    ) -> None:
        super().__init__(username, password)
        import scramp  # its certificate parser takes a while, and few need it

        self._failed: type[Exception] = scramp.ScramException
        self._max_iterations = max_iterations
        # Octets that are no text become what SASLprep refuses; an exception of the
        # decoder would hold the password.
        texts = (
            octets.decode("utf-8", "surrogateescape")
            for octets in (self._username, self._password)
        )
        binding = None if tls is None else (BINDING, tls)
        try:
            self._client = scramp.ScramClient(
                [self.name], *texts, channel_binding=binding, c_nonce=nonce
            )
        except scramp.ScramException as exc:
            raise SMTPArgumentError(f"{self.name} cannot start: {exc}") from None
        self._steps = iter((self._client_final, self._verify))

    def start(self) -> bytes:
        """Return client-first: the user name and a nonce."""
        return str(self._client.get_client_first()).encode()

    def next(self, challenge: bytes) -> bytes:
        """Return the proof for server-first, and nothing for server-final.

        Raises:
            SMTPArgumentError: The challenge is none, or asks for too little or too
                much work.
            SMTPProtocolError: The server has not proved that it knows the password.
        """
        step = next(self._steps, None)
        if step is None:
            raise nothing_to_say(self.name)
        return step(challenge)

    def _client_final(self, challenge: bytes) -> bytes:
        try:
            self._client.set_server_first(challenge.decode("utf-8"))
        except (self._failed, UnicodeDecodeError) as exc:
            raise SMTPArgumentError(f"server-first is invalid: {exc}") from exc
        iterations = int(self._client.iterations)
        if not MIN_ITERATIONS <= iterations <= self._max_iterations:
            raise SMTPArgumentError(
                f"the server asks for {iterations} iterations; between "
                f"{MIN_ITERATIONS} and {self._max_iterations} are accepted"
            )
        return str(self._client.get_client_final()).encode()

    def _verify(self, challenge: bytes) -> bytes:
        if challenge.startswith(b"e="):
            # RFC 5802 7: server-error. It refuses, and claims nothing.
            why = challenge[2:].decode("ascii", "backslashreplace")
            raise SMTPArgumentError(f"the server refuses: {why}")
        try:
            self._client.set_server_final(challenge.decode("utf-8"))
        except (self._failed, UnicodeDecodeError) as exc:
            raise SMTPProtocolError(
                f"the server has not proved that it knows the password: {exc}"
            ) from exc
        self.done = True
        return b""


def can_bind(tls: Any) -> bool:
    """Whether a channel binding can be computed for a TLS connection, or for None.

    It cannot without TLS, nor for certificates whose signature has no hash.
    """
    import scramp

    try:
        scramp.ScramClient(["SCRAM-SHA-1"], "a", "b", channel_binding=(BINDING, tls))
    except (scramp.ScramException, TypeError):  # TypeError: SHAKE256, for Ed448
        return False
    return True


class ScramSHA1(Scram):
    """SCRAM-SHA-1 (RFC 5802)."""

    name = "SCRAM-SHA-1"


class ScramSHA256(Scram):
    """SCRAM-SHA-256 (RFC 7677)."""

    name = "SCRAM-SHA-256"


class ScramSHA512(Scram):
    """SCRAM-SHA-512 (as RFC 7677, with the longer hash)."""

    name = "SCRAM-SHA-512"


class ScramSHA1Plus(Scram):
    """SCRAM-SHA-1-PLUS: bound to the TLS connection (RFC 5802 6)."""

    name = "SCRAM-SHA-1-PLUS"


class ScramSHA256Plus(Scram):
    """SCRAM-SHA-256-PLUS: bound to the TLS connection (RFC 7677)."""

    name = "SCRAM-SHA-256-PLUS"


class ScramSHA512Plus(Scram):
    """SCRAM-SHA-512-PLUS: bound to the TLS connection."""

    name = "SCRAM-SHA-512-PLUS"

"""The mechanisms for a user name and a password that need no other library.

PLAIN and LOGIN show the password to anybody who can read the connection. CRAM-MD5
shows a digest, with which guesses can be tested.
"""

from __future__ import annotations

from .mechanism import Password, nothing_to_say

__all__ = ["CramMD5", "Login", "Plain"]


class Plain(Password):
    """PLAIN (RFC 4616): the user name and the password in one response."""

    name = "PLAIN"
    is_one_message = True

    def start(self) -> bytes:
        """Return [authzid] UTF8NUL authcid UTF8NUL passwd."""
        self.done = True
        return b"\0%b\0%b" % (self._username, self._password)

    def next(self, challenge: bytes) -> bytes:
        """Raise: the only message was sent already."""
        raise nothing_to_say(self.name)


class Login(Password):
    """LOGIN (draft-murchison-sasl-login): a prompt for each of the two credentials.

    The first prompt asks for the user name, the second for the password. Their texts
    are ignored, because servers differ. No initial response is sent, because many
    servers refuse one.
    """

    name = "LOGIN"
    ignores_challenges = True
    _prompts = 0

    def start(self) -> None:
        """Return None: the server sends the first prompt."""

    def next(self, challenge: bytes) -> bytes:
        """Return the user name for the first prompt, the password for the second."""
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
        """Return None: the server sends the challenge."""

    def next(self, challenge: bytes) -> bytes:
        """Return the user name and the digest in hexadecimal."""
        if self.done:
            raise nothing_to_say(self.name)
        import hmac  # few servers ask for it

        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        self.done = True
        return b"%b %b" % (self._username, digest.encode())

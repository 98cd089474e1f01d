"""The mechanisms for a user name and a password that need no library.

PLAIN and LOGIN show the password to whoever listens; CRAM-MD5 shows a digest, which
helps to guess it.
"""

from __future__ import annotations

from .mechanism import Password, nothing_to_say

__all__ = ["CramMD5", "Login", "Plain"]


class Plain(Password):
    """PLAIN (RFC 4616): both in one response."""

    name = "PLAIN"
    is_one_message = True

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
    ignores_challenges = True
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
        import hmac  # few servers ask for it

        digest = hmac.new(self._password, challenge, "md5").hexdigest()
        self.done = True
        return b"%b %b" % (self._username, digest.encode())

"""Bearer tokens: OAUTHBEARER (RFC 7628), and XOAUTH2 of Google and Microsoft.

A server that refuses a token sends the reason as a challenge, in JSON, and waits for a
response before it replies 535. The reason is kept as `error`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..events import MASK
from ..exceptions import SMTPArgumentError
from .mechanism import credential, nothing_to_say

__all__ = ["OAUTHBEARER", "XOAUTH2", "Bearer"]


class Bearer:
    """The base of the mechanisms for a user name and a token.

    Attributes:
        error: The reason that the server gave for refusing the token: an object made
            from its JSON, or the text if it is not valid JSON; None before that.

    Raises:
        SMTPArgumentError: The user name or the token is empty, or has a control
            character.
    """

    name: ClassVar[str]
    is_plaintext: ClassVar[bool] = True

    #: The response to a challenge that has the reason (RFC 7628 3.2.3).
    _acknowledgement: ClassVar[bytes]

    def __init__(self, username: str, token: str, message: str) -> None:
        for text, what in ((username, "the user name"), (token, "the token")):
            if not isinstance(text, str):
                raise SMTPArgumentError(f"{what} is no text")
            if min(credential(text, what)) < 0x20:
                # The messages have ^A between their parts.
                raise SMTPArgumentError(f"{what} has a control character")
        self._username = username
        self._token = token
        self._message = message.encode("utf-8")
        self.done = False
        self.error: Any = None
        self._is_refused = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._username!r}>"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not be shown."""
        return (self._token,)

    def start(self) -> bytes:
        """Return the only message."""
        self.done = True
        return self._message

    def next(self, challenge: bytes) -> bytes:
        """Keep the reason, and acknowledge it. The server then refuses."""
        if self._is_refused:
            raise nothing_to_say(self.name)
        self._is_refused = True
        self.done = False
        import json  # only a refusal needs it

        text = challenge.decode("utf-8", "backslashreplace")
        text = text.replace(self._token, MASK)
        try:
            self.error = json.loads(text)
        except (ValueError, RecursionError):
            self.error = text
        return self._acknowledgement


class XOAUTH2(Bearer):
    """XOAUTH2, as Google has published it."""

    name = "XOAUTH2"
    _acknowledgement = b""

    def __init__(self, username: str, token: str) -> None:
        message = f"user={username}\x01auth=Bearer {token}\x01\x01"
        super().__init__(username, token, message)


class OAUTHBEARER(Bearer):
    """OAUTHBEARER (RFC 7628).

    Args:
        username: The user's name, as the server knows it.
        token: The access token.
        host: The server's name, for servers that want to see it in the message.
        port: The server's port, for servers that want to see it in the message.
    """

    name = "OAUTHBEARER"
    _acknowledgement = b"\x01"

    def __init__(
        self,
        username: str,
        token: str,
        *,
        host: str | None = None,
        port: int | None = None,
    ) -> None:
        where = "" if host is None else f"host={host}\x01"
        where += "" if port is None else f"port={port}\x01"
        # RFC 5801 4, saslname: only "=" and "," have another spelling.
        name = str(username).replace("=", "=3D").replace(",", "=2C")
        message = f"n,a={name},\x01{where}auth=Bearer {token}\x01\x01"
        super().__init__(username, token, message)

"""The mechanisms without a secret: they name the client, and prove nothing."""

from __future__ import annotations

from ..exceptions import SMTPArgumentError
from .mechanism import nothing_to_say

__all__ = ["Anonymous", "External"]


class _OneMessage:
    """The common base: one message, which is a text."""

    name: str
    is_plaintext = False
    is_one_message = True

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
        """Return the only message."""
        self.done = True
        return self._octets

    def next(self, challenge: bytes) -> bytes:
        """Raise: the only message was sent already."""
        raise nothing_to_say(self.name)


class External(_OneMessage):
    """EXTERNAL (RFC 4422 A): the client certificate of TLS says who the client is.

    Args:
        identity: The identity to act as; "" for the one in the certificate.
    """

    name = "EXTERNAL"

    def __init__(self, identity: str = "") -> None:
        super().__init__(identity)


class Anonymous(_OneMessage):
    """ANONYMOUS (RFC 4505).

    Args:
        trace: A text that identifies the user for the server's log, such as an e-mail
            address.
    """

    name = "ANONYMOUS"

    def __init__(self, trace: str = "") -> None:
        super().__init__(trace)

"""The mechanisms that say who the client is, and prove nothing: no secret in them."""

from __future__ import annotations

from ..exceptions import SMTPArgumentError
from .mechanism import nothing_to_say

__all__ = ["Anonymous", "External"]


class _OneMessage:
    """What the two have in common."""

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
        """Give the one message there is."""
        self.done = True
        return self._octets

    def next(self, challenge: bytes) -> bytes:
        """Refuse: everything was said."""
        raise nothing_to_say(self.name)


class External(_OneMessage):
    """EXTERNAL (RFC 4422 A): who the client is, TLS has shown.

    Args:
        identity: The identity to act as; "" for the one that the certificate names.
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

"""What a client has learnt from the server since the last security boundary."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..grammar.extensions import Extensions
from ..grammar.replies import Reply

__all__ = ["Session"]


@dataclass(frozen=True, slots=True)
class Session:
    """Hold what was learnt; replaced whole, never patched back.

    A new connection starts with a new `Session`, and so does TLS: "The client MUST
    discard any knowledge obtained from the server" (RFC 3207 4.2).
    """

    extensions: Extensions = field(default_factory=Extensions)
    ehlo_reply: Reply | None = None
    helo_reply: Reply | None = None
    is_authenticated: bool = False
    in_transaction: bool = False  # MAIL was taken, neither content nor RSET ended it
    is_binary: bool = False  # that MAIL said BODY=BINARYMIME
    has_chunks: bool = False  # a BDAT was given, and not the last

    @property
    def is_introduced(self) -> bool:
        """Tell whether the server knows the client's name."""
        return self.ehlo_reply is not None or self.helo_reply is not None

    @property
    def supports_esmtp(self) -> bool:
        """Tell whether the server answered EHLO."""
        return self.ehlo_reply is not None

"""Whether RSET must be sent before MAIL.

"MAIL (or SEND, SOML, or SAML) MUST NOT be sent if a mail transaction is already open"
(RFC 5321 4.1.4). If a server held another transaction, and refused this MAIL, the
content of this mail would go to the recipients of the other transaction.
"""

from __future__ import annotations

__all__ = ["is_reset_due"]


def is_reset_due(*, is_begun: bool, is_kept: bool, is_behind: bool = False) -> bool:
    """Return whether RSET comes first.

    Args:
        is_begun: Whether a transaction was begun, and neither ended nor reset.
        is_kept: Whether the server may have kept a transaction after it has refused its
            content.
        is_behind: Whether the mail before it has no final reply yet: if its content is
            refused, its transaction may be kept.
    """
    return is_behind or is_begun or is_kept

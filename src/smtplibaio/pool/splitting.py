"""Splitting the recipients of one mail over transactions, by the limits of the server.

See RFC 9422 and RFC 5321 4.5.3.1.10.

Rules:

1. RCPTMAX counts the recipients of one transaction. RCPTDOMAINMAX counts the different
   domains of all recipients of one session.
2. The order of the recipients is kept, except if a domain has to wait.
3. If the server has refused a recipient only because there were too many, the
   recipient goes into the next transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..grammar.extensions import Limits
from ..grammar.replies import Reply

__all__ = ["domain_of", "is_one_too_many", "next_recipients"]


def domain_of(mailbox: str) -> str:
    """Return the domain of a mailbox in lower case; "" for "Postmaster"."""
    return mailbox.rpartition("@")[2].lower() if "@" in mailbox else ""


def next_recipients(
    recipients: Mapping[str, str], limits: Limits, used: Collection[str]
) -> list[str]:
    """Choose the recipients of one transaction.

    Args:
        recipients: The name of each recipient that is left, and its mailbox.
        limits: The limits of the session.
        used: The domains to which the session has sent.

    Returns:
        The names; an empty list if the session can take none of the domains.
    """
    most = len(recipients) if limits.rcptmax is None else limits.rcptmax
    domains = set(used)
    chosen: list[str] = []
    for name, mailbox in recipients.items():
        if len(chosen) == most:
            break
        domain = domain_of(mailbox)
        is_full = (
            limits.rcptdomainmax is not None and len(domains) >= limits.rcptdomainmax
        )
        if domain in domains or not is_full:
            domains.add(domain)
            chosen.append(name)
    return chosen


def is_one_too_many(reply: Reply) -> bool:
    """Say whether a reply to RCPT only means that there were enough recipients.

    That is 452 (RFC 5321 4.5.3.1.10), or 552 as older servers say it, unless its
    enhanced code has another reason, and any 4yz with the enhanced code 4.5.3.
    """
    enhanced = reply.enhanced
    if enhanced is None:
        return reply.code in (452, 552)
    is_about_number = enhanced[1:] == (5, 3)
    return is_about_number and (reply.is_transient or reply.code == 552)

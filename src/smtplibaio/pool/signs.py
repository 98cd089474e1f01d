"""What a failure says about the server: is it overloaded, has the session had enough?

Rules (RFC 3463, RFC 4954 6, RFC 5321 3.8):

1. These replies are about the load of the server, and the pool sends less:

   ====================  ============================================
   where                 which reply
   ====================  ============================================
   anywhere              421; an enhanced code 4.3.2
   greeting, EHLO, MAIL  432; an enhanced code 4.7.x
   AUTH                  454 (432 and 4.7.12 are about the password)
   ====================  ============================================

2. A 421 or a 4yz with 4.5.3 to MAIL, in a session that has sent mails, says that this
   session may not send more of them. Unless the reply is also about the load (4.3.2,
   4.7.x), another session can send the next mail at once.
3. A time-out of the server (4.4.2) concerns only this session.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..exceptions import (
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPLoginError,
    SMTPNoRecipientError,
    SMTPRecipientRefusedError,
)
from ..grammar.replies import Reply

__all__ = [
    "had_enough",
    "is_about_load",
    "is_enough_reply",
    "is_load_reply",
    "is_only_enough",
    "reason_of",
    "said",
]

_AT_ONCE_REFUSED = frozenset({"", "EHLO", "HELO", "MAIL"})


def said(error: BaseException) -> Iterator[tuple[str, Reply]]:
    """List what the server said: to which command, and the reply.

    The command is "" for the greeting, and "421" if a 421 ended the session.
    """
    if isinstance(error, SMTPLoginError):
        for one in error.exceptions:
            yield from said(one)
    elif isinstance(error, (SMTPNoRecipientError, SMTPRecipientRefusedError)):
        for reply in error.refused.values():
            yield "RCPT", reply
    elif isinstance(error, SMTPCommandFailedError):
        is_login = isinstance(error, SMTPAuthenticationError)
        command = "AUTH" if is_login else error.command or ""
        yield command, error.reply or Reply(error.code, error.message)
    elif isinstance(error, SMTPConnectionRefusedError) and error.code is not None:
        yield "", Reply(error.code, error.message)
    elif isinstance(error, SMTPConnectionLostError) and error.reply is not None:
        yield "421", error.reply


def is_load_reply(command: str, reply: Reply) -> bool:
    """Say whether a reply is about the load of the server (rule 1)."""
    enhanced = reply.enhanced
    if enhanced == (4, 4, 2):
        return False
    if reply.code == 421 or enhanced == (4, 3, 2):
        return True
    if command == "AUTH":
        return reply.code == 454
    if command not in _AT_ONCE_REFUSED:
        return False
    return reply.code == 432 or (enhanced is not None and enhanced[:2] == (4, 7))


def is_about_load(error: BaseException) -> bool:
    """Say whether a failure is about the load of the server (rule 1)."""
    return any(is_load_reply(command, reply) for command, reply in said(error))


def is_enough_reply(command: str, reply: Reply) -> bool:
    """Say whether a reply may end a session that has had its mails (rule 2)."""
    enhanced = reply.enhanced
    if command == "MAIL" and enhanced is not None and enhanced[1:] == (5, 3):
        return reply.is_transient
    return command == "421" and enhanced not in ((4, 3, 2), (4, 4, 2))


def had_enough(error: BaseException) -> bool:
    """Say whether a failure may mean that the session has had its mails (rule 2).

    A connection that ends without a reply is such a failure, too.
    """
    if isinstance(error, SMTPConnectionLostError) and error.reply is None:
        return True
    return any(is_enough_reply(command, reply) for command, reply in said(error))


def is_only_enough(error: BaseException) -> bool:
    """Say whether a failure means that the session had enough, and not the load."""
    replies = [reply for _, reply in said(error)]
    return had_enough(error) and not any(
        reply.enhanced is not None and reply.enhanced[:2] == (4, 7) for reply in replies
    )


def reason_of(error: BaseException) -> str:
    """Name a failure for statistics: the reply code, else the name of the error."""
    for _, reply in said(error):
        return str(reply.code)
    return type(error).__name__

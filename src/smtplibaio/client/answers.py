"""The replies to the commands of one transaction of a pipeline: may its content leave?

Rules:

1. Content leaves if MAIL and a recipient *of its own transaction* were accepted, and
   no chunk was refused.
2. While the reply to a RCPT is missing, refusals of other recipients decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..content.canonical import Canonicaliser
from ..grammar.replies import Reply
from ..mail.verdicts import is_ok
from ..wire.replyqueue import ReplyFuture
from .session import Open

__all__ = ["Answers"]


@dataclass(slots=True)
class Answers:
    """The replies to the commands of one transaction, which decide about its content.

    Attributes:
        begun: The transaction that was begun before the pipeline; None for one that
            begins within it.
        canonicaliser: Brings the chunks into canonical form; None if they leave as
            they are.
        body: What BODY says of the content, if it was given.
        reset: The reply to the RSET before MAIL, if there is one.
        mail: The reply to MAIL.
        rcpts: The replies to RCPT.
        chunks: The replies to BDAT.
        has_chunks: Whether a chunk was given.
        size: The octets of the chunks.
        is_withdrawn: Whether a chunk was withdrawn, so that none may follow.
    """

    begun: Open | None
    canonicaliser: Canonicaliser | None
    body: str | None = None
    reset: ReplyFuture | None = None
    mail: ReplyFuture | None = None
    rcpts: list[ReplyFuture] = field(default_factory=list)
    chunks: list[ReplyFuture] = field(default_factory=list)
    has_chunks: bool = False
    size: int = 0
    is_withdrawn: bool = False

    @property
    def has_begun(self) -> bool:
        """Whether MAIL and a RCPT have left, in the pipeline or before it."""
        if self.begun is not None:
            return True
        has_mail = self.mail is not None and not self.mail.cancelled()
        return has_mail and not all(rcpt.cancelled() for rcpt in self.rcpts)

    @property
    def accepted(self) -> int:
        """How many recipients were accepted."""
        before = self.begun.accepted if self.begun else 0
        return before + sum(map(_is_accepted, self.rcpts))

    def refusal_of_mail(self) -> Reply | None:
        """Return the reply to MAIL, if it is a refusal."""
        reply = None if self.mail is None else _reply_in(self.mail)
        return None if reply is None or is_ok(reply) else reply

    def refusal(self) -> Reply | None:
        """Return the reply that forbids the content, if there is one."""
        for future in (self.reset, self.mail, *self.chunks):
            reply = None if future is None else _reply_in(future)
            if reply is not None and not is_ok(reply):
                return reply
        replies = [_reply_in(rcpt) for rcpt in self.rcpts if not rcpt.cancelled()]
        is_decided = bool(replies) and None not in replies and not self.accepted
        return replies[0] if is_decided else None

    @property
    def is_lone_dot_safe(self) -> bool:
        """Whether a dot can send no mail: MAIL was accepted, but no RCPT."""
        has_mail = self.mail is not None and _is_accepted(self.mail)
        has_reset = self.reset is None or _is_accepted(self.reset)
        return has_mail and has_reset and not self.accepted


def _reply_in(reply: ReplyFuture) -> Reply | None:
    """Return a reply; None if none came, or the command was withdrawn."""
    if not reply.done() or reply.cancelled() or reply.exception() is not None:
        return None
    return reply.result()


def _is_accepted(future: ReplyFuture) -> bool:
    reply = _reply_in(future)
    return reply is not None and is_ok(reply)

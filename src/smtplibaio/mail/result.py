"""What became of a mail, as its sender is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

from ..exceptions import SMTPException
from ..grammar.replies import Reply, queue_id

if TYPE_CHECKING:
    from .mail import Mail

__all__ = ["Outcome", "SendResult", "Status"]

Status = Literal["accepted", "partial", "refused", "unknown", "not sent"]


class SendResult(dict[str, Reply]):
    """A mapping of the refused recipients to their replies; empty if all were accepted.

    Attributes:
        replies: The reply for each recipient, accepted or refused: the reply to its
            RCPT, or with LMTP the final reply for its copy.
        reply: The final reply, to the content; with LMTP the last one that accepted a
            copy. None if no final reply came.
    """

    __slots__ = ("replies", "reply")

    def __init__(
        self, replies: Mapping[str, Reply], reply: Reply | None = None
    ) -> None:
        for recipient, verdict in replies.items():
            if not 200 <= verdict[0] < 300:
                self[recipient] = verdict
        self.replies = dict(replies)
        self.reply = reply

    @classmethod
    def without_refusal(cls, replies: dict[str, Reply], reply: Reply | None) -> Self:
        """Make the result of a mail that was accepted for every recipient.

        The replies are kept as they are, and not looked at.
        """
        self = cls.__new__(cls)
        self.replies = replies
        self.reply = reply
        return self

    @property
    def queue_id(self) -> str | None:
        """The server's name for the mail, if its final reply has one."""
        return None if self.reply is None else queue_id(self.reply)

    @property
    def accepted(self) -> list[str]:
        """The recipients for whom the server has accepted the mail."""
        return [recipient for recipient in self.replies if recipient not in self]


@dataclass(frozen=True, init=False)
class Outcome:
    """What became of one mail of `SMTP.send_many`.

    Attributes:
        mail: The mail.
        result: The result, if the mail was accepted for at least one recipient.
        error: The exception that `send_message` would have raised, if there is one.
        status: "accepted", for every recipient; "partial", for some of them; "refused",
            for none; "unknown": the whole mail was sent, and no reply came; "not sent":
            the server has certainly not accepted the mail, and has not refused it.
    """

    mail: Mail
    result: SendResult | None
    error: SMTPException | None
    status: Status

    def __init__(
        self,
        mail: Mail,
        result: SendResult | None,
        error: SMTPException | None,
        status: Status,
    ) -> None:
        values = vars(self)  # it costs a call to set a field of a frozen class
        values["mail"] = mail
        values["result"] = result
        values["error"] = error
        values["status"] = status

"""What the replies to the commands of a mail transaction amount to.

Rules:

1. 2yz is success, 4yz and 5yz are the server's no. 3yz means "go on", so where nobody
   will go on it is no reply at all, and the connection ends.
2. Judge after all replies of a group are in: "Client SMTP implementations that employ
   pipelining MUST check ALL statuses associated with each command in a group"
   (RFC 2920 3.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..exceptions import (
    SMTPCommandFailedError,
    SMTPDeliveryUnknownError,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
)
from ..grammar.replies import Reply, queue_id

__all__ = [
    "SendResult",
    "are_ok",
    "check_data",
    "check_reply",
    "is_hopeless",
    "is_ok",
    "judge",
    "judge_all",
    "says_nothing",
]


def is_ok(reply: Reply) -> bool:
    """Tell whether a command was completed: 2yz."""
    return 200 <= reply[0] < 300


def are_ok(replies: Iterable[Reply]) -> bool:
    """Tell whether all of several commands were completed."""
    codes = [reply[0] for reply in replies]
    return min(codes) >= 200 and max(codes) < 300


def says_nothing(final: Reply) -> bool:
    """Tell whether a reply to the end of content leaves open what became of it.

    3yz is no answer to that, and 221 is one to QUIT.
    """
    return final.code // 100 == 3 or final.code == 221


def check_reply(reply: Reply, verb: str) -> Reply:
    """Give a 2yz reply back.

    Raises:
        SMTPCommandFailedError: It is 4yz or 5yz.
        SMTPProtocolError: It is 3yz: the server waits for what nobody will send.
    """
    if is_ok(reply):
        return reply
    if reply.code < 400:
        raise SMTPProtocolError(f"{reply.code} is no reply to {verb}")
    raise SMTPCommandFailedError(*reply, verb, reply)


def check_data(reply: Reply) -> None:
    """Pass a 354, and nothing else: after any other reply content would be commands."""
    if reply.code < 400 and reply.code != 354:
        raise SMTPProtocolError(f"{reply.code} is no reply to DATA")
    if reply.code != 354:
        raise SMTPCommandFailedError(*reply, "DATA", reply)


def is_hopeless(replies: Sequence[Reply], recipients: int, wanted: int) -> bool:
    """Tell whether what was answered so far leaves no use in going on.

    Args:
        replies: Those to MAIL and some of the RCPTs.
        recipients: How many RCPTs there are.
        wanted: How many of them have to be accepted.
    """
    mail, *rcpts = replies
    if not is_ok(mail):
        return True
    return len(rcpts) == recipients and sum(map(is_ok, rcpts)) < wanted


def judge(mail: Reply, rcpts: Mapping[str, Reply], wanted: int) -> None:
    """Raise what the replies to MAIL and RCPT amount to; content is due else.

    Raises:
        SMTPCommandFailedError: MAIL was refused.
        SMTPNoRecipientError: Every recipient was.
        SMTPRecipientRefusedError: Fewer were accepted than are wanted.
        SMTPProtocolError: A reply is none to its command.
    """
    if are_ok((mail, *rcpts.values())):
        return
    check_reply(mail, "MAIL")
    errors = [*_errors(rcpts.values())]
    if len(errors) == len(rcpts):
        raise SMTPNoRecipientError(errors, rcpts)
    if len(rcpts) - len(errors) < wanted:
        refused = {name: reply for name, reply in rcpts.items() if not is_ok(reply)}
        raise SMTPRecipientRefusedError(refused)


def judge_all(replies: Sequence[Reply], recipients: Sequence[str]) -> SendResult:
    """Give what a transaction came to whose commands all left together, BDAT included.

    Args:
        replies: Those to MAIL, to each RCPT, and to BDAT LAST.
        recipients: What the caller called them.

    Raises:
        SMTPDeliveryUnknownError: The last reply is none, or says that the server took
            the content where MAIL or every recipient was refused, or a reply to RCPT
            was none: then nobody knows for whom it took it.
        SMTPException: As `judge`; or SMTPCommandFailedError, BDAT was refused.
    """
    mail, *rcpts, final = replies
    verdicts = dict(zip(recipients, rcpts, strict=True))
    if are_ok(replies) and not says_nothing(final):
        return SendResult(verdicts, final)
    is_odd = is_hopeless((mail, *rcpts), len(recipients), 1) or any(
        reply.code // 100 == 3 for reply in rcpts
    )
    if says_nothing(final) or (is_ok(final) and is_odd):
        raise SMTPDeliveryUnknownError(
            f"the mail may have been accepted: {final.code} to BDAT after "
            f"{mail.code} to MAIL and {' '.join(str(r.code) for r in rcpts)} to RCPT"
        )
    judge(mail, verdicts, 1)
    return SendResult(verdicts, check_reply(final, "BDAT"))


def _errors(replies: Iterable[Reply]) -> Iterable[SMTPCommandFailedError]:
    for reply in replies:
        try:
            check_reply(reply, "RCPT")
        except SMTPCommandFailedError as exc:
            yield exc.with_traceback(None)  # which holds the list that it goes to


class SendResult(dict[str, Reply]):
    """Map each refused recipient to its reply; empty where all were accepted.

    Attributes:
        replies: The reply to RCPT that each recipient got.
        reply: The final reply: the server has taken the mail.
        queue_id: What the server calls the mail, where its reply tells.
    """

    def __init__(self, replies: Mapping[str, Reply], reply: Reply) -> None:
        super().__init__(
            {r: reply for r, reply in replies.items() if not 200 <= reply[0] < 300}
        )
        self.replies = dict(replies)
        self.reply = reply

    @property
    def queue_id(self) -> str | None:
        """Give what the server calls the mail; None where its reply does not tell."""
        return queue_id(self.reply)

    @property
    def accepted(self) -> list[str]:
        """List the recipients for whom the server has taken the mail."""
        return [recipient for recipient in self.replies if recipient not in self]

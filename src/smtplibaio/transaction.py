"""One mail transaction: MAIL, RCPT, DATA and the content, grouped or one by one.

Rules:

1. Judge after all replies of a group are in: "Client SMTP implementations that employ
   pipelining MUST check ALL statuses associated with each command in a group"
   (RFC 2920 3.1).
2. A 354 with nobody accepted is answered by a lone dot. With somebody accepted a lone
   dot would deliver an empty mail, so there the only other way out is to hang up.
3. Afterwards the session is ready for the next transaction, or it has ended. Putting it
   in order never hides the error that made it necessary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import commands
from .content import Content
from .dialogue import (
    check_data,
    check_reply,
    exchange,
    is_ok,
    perform,
    send_content,
)
from .exceptions import (
    SMTPCommandFailedError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
)
from .protocol import SMTPProtocol
from .replies import Reply, queue_id
from .timeouts import Timeouts

__all__ = ["SendResult", "data", "transact"]


class SendResult(dict[str, Reply]):
    """Map each refused recipient to its reply; empty where all were accepted.

    Attributes:
        replies: The reply to RCPT that each recipient got.
        reply: The final reply: the server has taken the mail.
        queue_id: What the server calls the mail, where its reply tells.
    """

    def __init__(self, replies: Mapping[str, Reply], reply: Reply) -> None:
        super().__init__({r: reply for r, reply in replies.items() if not is_ok(reply)})
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


async def transact(
    protocol: SMTPProtocol,
    lines: Sequence[bytes],
    recipients: Sequence[str],
    content: Content,
    *,
    is_grouped: bool,
    timeouts: Timeouts,
    all_or_nothing: bool = False,
) -> SendResult:
    """Run one transaction.

    Args:
        protocol: A connection that owes no reply.
        lines: MAIL, then one RCPT a recipient.
        recipients: What the caller called them.
        content: What to send.
        is_grouped: Whether the server offers PIPELINING.
        timeouts: The limits of the session.
        all_or_nothing: Whether to send nothing if one recipient is refused. DATA then
            waits for the verdicts: after a 354 the only way out would be to hang up.

    Raises:
        SMTPNoRecipientError: Every recipient was refused.
        SMTPRecipientRefusedError: One was, and all were wanted.
        SMTPCommandFailedError: MAIL, DATA or the content was refused.
        SMTPException: As `send_content`.
    """
    with protocol.indivisible("a mail transaction"):
        group = [*lines, commands.DATA]
        replies: list[Reply] = []
        wanted = len(recipients) if all_or_nothing else 1
        steps = [[line] for line in group]
        if is_grouped:
            steps = [group[:-1], group[-1:]] if all_or_nothing else [group]
        for step in steps:
            replies += await exchange(protocol, step, timeouts.reply)
            if len(replies) < len(group) and _is_hopeless(
                replies, len(recipients), wanted
            ):
                break
        verdicts = dict(zip(recipients, replies[1:], strict=False))
        try:
            _judge(replies, verdicts, wanted)
        except (
            SMTPCommandFailedError,
            SMTPNoRecipientError,
            SMTPRecipientRefusedError,
        ):
            is_354 = len(replies) == len(group) and replies[-1].code == 354
            await _put_in_order(
                protocol, verdicts, needs_dot=is_354, timeout=timeouts.quit
            )
            raise
        final = await send_content(protocol, content, timeouts)
        return SendResult(verdicts, check_reply(final, "DATA"))


def _is_hopeless(replies: Sequence[Reply], recipients: int, wanted: int) -> bool:
    """Tell whether what was answered so far leaves no use in going on."""
    mail, *rcpts = replies
    if not is_ok(mail):
        return True
    return len(rcpts) == recipients and sum(map(is_ok, rcpts)) < wanted


def _judge(
    replies: Sequence[Reply], verdicts: Mapping[str, Reply], wanted: int
) -> None:
    """Raise what the replies to MAIL, RCPT and DATA amount to; content is due else."""
    check_reply(replies[0], "MAIL")
    errors: list[SMTPException] = []
    for reply in verdicts.values():
        try:
            check_reply(reply, "RCPT")
        except SMTPCommandFailedError as exc:
            errors.append(exc)
    if len(errors) == len(verdicts):
        raise SMTPNoRecipientError(errors, verdicts)
    if len(verdicts) - len(errors) < wanted:
        refused = {name: reply for name, reply in verdicts.items() if not is_ok(reply)}
        raise SMTPRecipientRefusedError(refused)
    check_data(replies[-1])


async def _put_in_order(
    protocol: SMTPProtocol,
    verdicts: Mapping[str, Reply],
    *,
    needs_dot: bool,
    timeout: float | None,
) -> None:
    try:
        if needs_dot:
            if any(map(is_ok, verdicts.values())):
                raise SMTPProtocolError("354 to DATA after MAIL was refused")
            await protocol.ask(b".\r\n", timeout, "a lone dot")
        await perform(protocol, commands.RSET, timeout)
    except SMTPException as exc:
        protocol.end(exc)  # the next call tells; this one has an error to raise


async def data(protocol: SMTPProtocol, content: Content, timeouts: Timeouts) -> Reply:
    """Send DATA and, after a 354, the content.

    Raises:
        SMTPCommandFailedError: DATA or the content was refused.
        SMTPException: As `send_content`.
    """
    with protocol.indivisible("DATA"):
        check_data(await protocol.ask(commands.DATA, timeouts.reply, "DATA"))
        return check_reply(await send_content(protocol, content, timeouts), "DATA")

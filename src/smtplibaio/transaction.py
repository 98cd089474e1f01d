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
)
from .protocol import SMTPProtocol
from .replies import Reply
from .timeouts import Timeouts

__all__ = ["SendResult", "data", "transact"]


class SendResult(dict[str, Reply]):
    """Map each refused recipient to its reply; empty where all were accepted.

    Attributes:
        replies: The reply to RCPT that each recipient got.
        reply: The final reply: the server has taken the mail.
    """

    def __init__(self, replies: Mapping[str, Reply], reply: Reply) -> None:
        super().__init__({r: reply for r, reply in replies.items() if not is_ok(reply)})
        self.replies = dict(replies)
        self.reply = reply

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
) -> SendResult:
    """Run one transaction.

    Args:
        protocol: A connection that owes no reply.
        lines: MAIL, then one RCPT a recipient.
        recipients: What the caller called them.
        content: What to send.
        is_grouped: Whether the server offers PIPELINING.
        timeouts: The limits of the session.

    Raises:
        SMTPNoRecipientError: Every recipient was refused.
        SMTPCommandFailedError: MAIL, DATA or the content was refused.
        SMTPException: As `send_content`.
    """
    with protocol.indivisible("a mail transaction"):
        group = [*lines, commands.DATA]
        replies: list[Reply] = []
        for step in [group] if is_grouped else [[line] for line in group]:
            replies += await exchange(protocol, step, timeouts.reply)
            if len(replies) < len(group) and _is_hopeless(replies, len(recipients)):
                break
        verdicts = dict(zip(recipients, replies[1:], strict=False))
        try:
            _judge(replies, verdicts)
        except (SMTPCommandFailedError, SMTPNoRecipientError):
            is_354 = len(replies) == len(group) and replies[-1].code == 354
            await _put_in_order(
                protocol, verdicts, needs_dot=is_354, timeout=timeouts.quit
            )
            raise
        final = await send_content(protocol, content, timeouts)
        return SendResult(verdicts, check_reply(final, "DATA"))


def _is_hopeless(replies: Sequence[Reply], recipients: int) -> bool:
    """Tell whether what was answered so far leaves no use in going on."""
    mail, *rcpts = replies
    return not is_ok(mail) or (len(rcpts) == recipients and not any(map(is_ok, rcpts)))


def _judge(replies: Sequence[Reply], verdicts: Mapping[str, Reply]) -> None:
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

"""One mail transaction: MAIL, RCPT and the content, grouped or one by one.

Rules:

1. A 354 with nobody accepted is answered by a lone dot. With somebody accepted a lone
   dot would deliver an empty mail, so there the only other way out is to hang up.
2. After a refused BDAT comes RSET, whatever else is to come (RFC 3030 2: "A RSET
   command MUST be issued to clear the transaction").
3. Afterwards the session is ready for the next transaction, or it has ended. Putting it
   in order never hides the error that made it necessary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..exceptions import (
    SMTPCommandFailedError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.planning import Body, Plan
from ..mail.result import SendResult, check_data, check_reply, is_hopeless, is_ok, judge
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import GroupWaiter
from .content_writer import no_group, send_content
from .dialogue import Group, exchange, perform

__all__ = ["data", "transact"]


async def transact(
    protocol: SMTPProtocol,
    plan: Plan,
    timeouts: Timeouts,
    *,
    started: GroupWaiter | None = None,
    next_group: Callable[[], Group] = no_group,
) -> SendResult:
    """Run one transaction.

    Args:
        protocol: A connection that owes no reply but those to `started`.
        plan: What to say.
        timeouts: The limits of the session.
        started: Who waits for the replies to the first group, if that has left already.
        next_group: See `send_content`.

    Raises:
        SMTPNoRecipientError: Every recipient was refused.
        SMTPRecipientRefusedError: One was, and all were wanted.
        SMTPCommandFailedError: MAIL, DATA or the content was refused.
        SMTPException: As `send_content`.
    """
    with protocol.indivisible("a mail transaction"):
        replies: list[Reply] = []
        groups = plan.groups()
        for group in groups:
            if started is None:
                replies += await exchange(protocol, group, timeouts.reply)
            else:
                replies, started = await started.future, None
            if group is not groups[-1] and is_hopeless(
                replies, len(plan.recipients), plan.wanted
            ):
                break
        verdicts = dict(zip(plan.recipients, replies[1:], strict=False))
        data_reply = replies[-1] if len(replies) > 1 + len(plan.recipients) else None
        try:
            judge(replies[0], verdicts, plan.wanted)
            if data_reply is not None:
                check_data(data_reply)
        except (
            SMTPCommandFailedError,
            SMTPNoRecipientError,
            SMTPRecipientRefusedError,
        ):
            needs_dot = data_reply is not None and data_reply.code == 354
            await _put_in_order(
                protocol, verdicts, needs_dot=needs_dot, timeout=timeouts.quit
            )
            raise
        final = await send_content(protocol, plan.body, timeouts, next_group)
        if plan.body.is_chunked and not is_ok(final):
            await _put_in_order(protocol, verdicts, timeout=timeouts.quit)
        verb = "BDAT" if plan.body.is_chunked else "DATA"
        return SendResult(verdicts, check_reply(final, verb))


async def _put_in_order(
    protocol: SMTPProtocol,
    verdicts: Mapping[str, Reply],
    *,
    needs_dot: bool = False,
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


async def data(protocol: SMTPProtocol, body: Body, timeouts: Timeouts) -> Reply:
    """Send DATA and, after a 354, the content.

    Raises:
        SMTPCommandFailedError: DATA or the content was refused.
        SMTPException: As `send_content`.
    """
    with protocol.indivisible("DATA"):
        check_data(await protocol.ask(commands.DATA, timeouts.reply, "DATA"))
        return check_reply(await send_content(protocol, body, timeouts), "DATA")

"""What replies say of their commands, and what the end of a connection says.

Rules:

1. 2yz is success, 4yz and 5yz are refusals. 3yz means "go on". If the
   client will not go on, 3yz is no reply to the command, and the connection ends.
2. DATA wants 354 and nothing else: after any other reply content would be commands.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
    one_line,
)
from ..grammar.replies import Reply
from .result import SendResult

__all__ = [
    "check_data",
    "check_rcpts",
    "check_reply",
    "is_ok",
    "lost_before",
    "says_nothing",
]


def is_ok(reply: Reply) -> bool:
    """Return whether a command was completed: 2yz."""
    return 200 <= reply[0] < 300


def says_nothing(final: Reply) -> bool:
    """Return whether a final reply does not say what became of the content.

    3yz does not say it, and 221 is the reply to QUIT.
    """
    return final[0] // 100 == 3 or final[0] == 221


def check_reply(reply: Reply, verb: str) -> Reply:
    """Return a 2yz reply.

    Raises:
        SMTPCommandFailedError: It is 4yz or 5yz.
        SMTPProtocolError: It is 3yz: the server waits for what will never be sent.
    """
    if 200 <= reply[0] < 300:
        return reply
    if reply[0] < 400:
        raise SMTPProtocolError(f"the server answered {verb} with {one_line(*reply)}")
    raise SMTPCommandFailedError(*reply, verb, reply)


def check_data(reply: Reply) -> None:
    """Pass a 354 to DATA.

    Raises:
        SMTPCommandFailedError: It is 4yz or 5yz.
        SMTPProtocolError: It is any other code.
    """
    if reply[0] == 354:
        return
    if reply[0] < 400:
        said = one_line(*reply)
        raise SMTPProtocolError(f"the server answered DATA with {said}, not 354")
    raise SMTPCommandFailedError(*reply, "DATA", reply)


def check_rcpts(
    verdicts: Mapping[str, Reply], recipients: int, *, all_or_nothing: bool
) -> None:
    """Pass the replies to RCPT if content may leave for one recipient at least.

    Args:
        verdicts: The replies that have come, by recipient.
        recipients: How many there will be.
        all_or_nothing: Whether every recipient must be accepted.

    Raises:
        SMTPNoRecipientError: Every recipient was refused.
        SMTPRecipientRefusedError: A recipient was refused, with `all_or_nothing`.
        SMTPProtocolError: A reply is 3yz.
    """
    refused = {name: reply for name, reply in verdicts.items() if not is_ok(reply)}
    if not refused:
        return
    errors = [*map(_rcpt_error, refused.values())]
    if len(refused) == recipients:
        raise SMTPNoRecipientError(errors, refused)
    if all_or_nothing and len(verdicts) == recipients:
        raise SMTPRecipientRefusedError(refused)


def _rcpt_error(reply: Reply) -> SMTPCommandFailedError:
    if reply[0] < 400:
        raise SMTPProtocolError(f"the server answered RCPT with {one_line(*reply)}")
    return SMTPCommandFailedError(*reply, "RCPT", reply)


def lost_before(
    cause: SMTPException,
    result: SendResult | None,
    hint: str,
    *,
    is_mail_answered: bool,
    is_content_refused: bool = False,
) -> SMTPException:
    """Return the error for a mail that the end of the connection has prevented.

    Args:
        cause: Why the connection ended.
        result: The refusals that came before that, if any did.
        hint: What may help if a reply came too late.
        is_mail_answered: Whether the server had answered MAIL.
        is_content_refused: Whether a 421 of the server was its reply to the content.
    """
    text = cause.args[0] if cause.args else ""
    if result is not None:
        said = (f"{name}: {one_line(*reply)}" for name, reply in result.items())
        text += f"; refused before: {'; '.join(said)}"
    lost: SMTPTimeoutError | SMTPConnectionLostError
    if isinstance(cause, SMTPTimeoutError):
        lost = SMTPTimeoutError(text + hint, result)
    elif isinstance(cause, SMTPConnectionLostError):
        lost = SMTPConnectionLostError(text, cause.reply, result)
    else:
        return cause
    lost.is_mail_answered = is_mail_answered
    lost.is_content_refused = is_content_refused
    return lost

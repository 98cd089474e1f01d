"""`perform`: say one command, wait for its reply, and raise if that is no 2yz."""

from __future__ import annotations

from ..exceptions import SMTPProtocolError
from ..grammar.commands import verb_of
from ..grammar.replies import Reply
from ..mail.verdicts import check_reply
from ..wire.protocol import SMTPProtocol

__all__ = ["perform"]


async def perform(protocol: SMTPProtocol, line: bytes, timeout: float | None) -> Reply:
    """Write one command and return its reply, a 2yz.

    Raises:
        SMTPCommandFailedError: It is 4yz or 5yz.
        SMTPProtocolError: It is 3yz; the connection has ended.
    """
    verb = verb_of(line)
    reply = await protocol.ask(line, timeout, verb)
    try:
        return check_reply(reply, verb)
    except SMTPProtocolError as exc:
        protocol.end(exc)
        raise

"""Commands and their replies: one by one, or as a group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..exceptions import SMTPProtocolError
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.result import check_reply
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import GroupWaiter, Waiter

__all__ = ["Group", "exchange", "group_of", "perform"]

#: Command lines, and the waiters of their replies.
Group = tuple[bytes, Sequence[Waiter | GroupWaiter]]


async def perform(protocol: SMTPProtocol, line: bytes, timeout: float | None) -> Reply:
    """Write one command and give its reply, a 2yz.

    Raises:
        SMTPCommandFailedError: It is 4yz or 5yz.
        SMTPProtocolError: It is 3yz; the connection has ended.
    """
    verb = commands.verb_of(line)
    reply = await protocol.ask(line, timeout, verb)
    try:
        return check_reply(reply, verb)
    except SMTPProtocolError as exc:
        protocol.end(exc)
        raise


async def exchange(
    protocol: SMTPProtocol, lines: Sequence[bytes], timeout: float | None
) -> list[Reply]:
    """Write commands as one group and give their replies, when all of them are in."""
    group, waiter = group_of(lines, timeout, timeout)
    protocol.send(group, (waiter,))
    return await waiter.future


def group_of(
    lines: Sequence[bytes], timeout: float | None, last_timeout: float | None
) -> tuple[bytes, GroupWaiter]:
    """Make a group of commands: what is written, and the waiter for the replies."""
    future = asyncio.get_running_loop().create_future()
    return b"".join(lines), GroupWaiter(future, lines, timeout, last_timeout)

"""Commands and their replies, content and its final reply; what they mean in general.

Rules:

1. 2yz is success, 4yz and 5yz are the server's no. 3yz means "go on", so where nobody
   will go on it is no reply at all, and the connection ends.
2. Content follows a 354 and nothing else, and is never cut short by a dot: a dot on
   half a message would have it delivered.
3. From the moment that the final dot is handed to the transport until its reply is in,
   whether the mail was accepted is unknown; before and after it is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from . import commands
from .content import Content
from .events import ContentSent
from .exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
)
from .protocol import ReplyFuture, SMTPProtocol, Waiter
from .replies import Reply
from .timeouts import Timeouts

__all__ = [
    "Group",
    "check_data",
    "check_reply",
    "exchange",
    "is_ok",
    "perform",
    "send_content",
]

#: Command lines, and the waiters of their replies.
Group = tuple[bytes, Sequence[Waiter]]


def is_ok(reply: Reply) -> bool:
    """Tell whether a command was completed: 2yz."""
    return reply.code // 100 == 2


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
    loop = asyncio.get_running_loop()
    futures: list[ReplyFuture] = [loop.create_future() for _ in lines]
    verbs = map(commands.verb_of, lines)
    protocol.send(
        b"".join(lines),
        [(f, timeout, verb) for f, verb in zip(futures, verbs, strict=True)],
    )
    await futures[-1]
    return [future.result() for future in futures]


async def send_content(
    protocol: SMTPProtocol,
    content: Content,
    timeouts: Timeouts,
    next_group: Callable[[], Group] = lambda: (b"", ()),
) -> Reply:
    """Write content and the final dot; give the final reply, whatever it says.

    Args:
        protocol: A connection on which 354 was the last reply.
        content: What to send.
        timeouts: `content` for each block, `final` for the reply.
        next_group: Asked, when the final dot is about to leave, for commands that
            leave in the same write, and their waiters.

    Raises:
        SMTPCommandFailedError: The server refused the content before all of it was
            sent; the connection has ended, as only the dot could bring the dialogue
            back in step, and it would deliver half a mail.
        SMTPConnectionError, SMTPTimeoutError, SMTPProtocolError: The connection ended
            before all of it was sent, or the server said farewell instead of taking it:
            nothing was accepted.
        SMTPDeliveryUnknownError: It ended later, or the final reply means nothing.
    """
    blocks = content.wire()
    block = next(blocks)
    # The waiter stands in the queue from the first octet on, for the server may
    # refuse the content early; only from the final dot on does it have a deadline.
    reply = protocol.ask(b"", None, "the final dot")
    for following in blocks:
        protocol.write(block)
        await protocol.drain(reply, timeouts.content)
        if reply.done():
            raise _early(protocol, reply.result())
        block = following
    group, waiters = next_group()
    protocol.narrator.tell(ContentSent(content.size))
    protocol.send(block + group, waiters, group)
    protocol.limit_oldest(timeouts.final)
    try:
        return _final(protocol, await reply)
    except (
        SMTPConnectionError,
        SMTPTimeoutError,
        SMTPProtocolError,
        SMTPTLSError,
    ) as exc:
        if isinstance(exc, SMTPConnectionLostError) and exc.reply is not None:
            raise  # a 421 is an answer to the dot: no
        raise SMTPDeliveryUnknownError(
            f"the mail may have been accepted: all of it was sent, then {exc}"
        ) from exc
    except asyncio.CancelledError as exc:
        exc.add_note("The mail may have been accepted: all of it was sent.")
        raise


def _early(protocol: SMTPProtocol, reply: Reply) -> SMTPException:
    error: SMTPException
    if reply.code >= 400:
        error = SMTPCommandFailedError(*reply, "DATA", reply)
    else:
        error = SMTPProtocolError(f"{reply.code} before all of the content was sent")
    protocol.end(error)
    return error


def _final(protocol: SMTPProtocol, reply: Reply) -> Reply:
    # 3yz is no answer to a final dot, and 221 is one to QUIT. Neither tells whether
    # the mail was accepted.
    if reply.code // 100 == 3 or reply.code == 221:
        error = SMTPProtocolError(f"the final reply was {reply.code}")
        protocol.end(error)
        raise error
    return reply

"""What one reply says of its command.

Rules:

1. 2yz is success, 4yz and 5yz are refusals. 3yz means "go on", so where the client will
   not go on it is no reply to the command, and the connection ends.
2. DATA wants 354 and nothing else: after any other reply content would be commands.
"""

from __future__ import annotations

from ..exceptions import SMTPCommandFailedError, SMTPProtocolError
from ..grammar.replies import Reply

__all__ = ["check_data", "check_reply", "is_ok", "says_nothing"]


def is_ok(reply: Reply) -> bool:
    """Return whether a command was completed: 2yz."""
    return 200 <= reply[0] < 300


def says_nothing(final: Reply) -> bool:
    """Return whether the reply to the end of content leaves open what became of it.

    3yz is no answer to that, and 221 is the answer to QUIT.
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
        raise SMTPProtocolError(f"the server answered {verb} with {reply[0]}")
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
        raise SMTPProtocolError(f"the server answered DATA with {reply[0]}, not 354")
    raise SMTPCommandFailedError(*reply, "DATA", reply)

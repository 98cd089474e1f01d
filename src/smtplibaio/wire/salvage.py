"""Reading the last replies of a server that has reset the connection.

If a server refuses content early, it sends the refusal, and closes the connection while
octets of the content are unread. This resets the connection. asyncio notices the reset
when it writes, and reads no more: the refusal would be lost. This module reads it from
the socket, and gives it to the protocol as usual.

It works with asyncio only, because uvloop has closed the socket by then. It uses two
private names of asyncio, because nothing public tells that the transport below TLS has
failed. If these names are missing, nothing is read.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import Any

__all__ = ["is_broken_below", "read_what_is_left"]

#: Octets read at a time.
SIZE = 4096


def is_broken_below(transport: asyncio.BaseTransport) -> bool:
    """Return whether the connection below TLS has failed, though TLS itself stands."""
    below = getattr(_tls_of(transport), "_transport", None)
    return below is not None and below.is_closing()


def read_what_is_left(
    transport: asyncio.BaseTransport, protocol: asyncio.BufferedProtocol
) -> None:
    """Read the octets that a transport has left in its socket.

    Args:
        transport: A transport that has failed, and whose socket is still open.
        protocol: The protocol that gets the octets; over TLS, decrypted.
    """
    reader: Any = protocol
    if transport.get_extra_info("ssl_object") is not None:
        reader = _tls_of(transport)  # it is a protocol, too
    elif type(transport).__module__ != "asyncio.selector_events":
        reader = None
    if reader is None:
        return
    sock = transport.get_extra_info("socket")
    with suppress(OSError), socket.socket(fileno=os.dup(sock.fileno())) as spare:
        while size := spare.recv_into(reader.get_buffer(SIZE)):
            reader.buffer_updated(size)


def _tls_of(transport: asyncio.BaseTransport) -> Any:
    return getattr(transport, "_ssl_protocol", None)

"""What a server said before it reset the connection.

A server that refuses content early says so and closes with octets unread, which resets
the connection. asyncio, which is writing, finds that out and reads no more: the refusal
is there, and would be lost. What is read here comes to the protocol as always.

asyncio alone, for uvloop has closed the socket by then; and of its internals two names,
since nothing public tells that the transport below TLS has failed. Where they are
missing, nothing is salvaged.
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
    """Read what a transport has not.

    Args:
        transport: One that has failed; its socket is still open.
        protocol: What takes the octets. Over TLS they come to it decrypted.
    """
    reader: Any = protocol
    if transport.get_extra_info("ssl_object") is not None:
        reader = _tls_of(transport)  # a protocol, too, of the transport below
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

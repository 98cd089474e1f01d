"""A server that refuses content early and goes away, in a process of its own.

Run with a file of a certificate and its key, it listens on a port for each way to go
away, first in the clear and then with TLS, and writes the ports on a line. It ends with
its standard input.
"""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import struct
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

#: stall: nothing more is read; FIN: the same, and the server's half ends; close: with
#: octets unread, which resets the connection; RST: the same without delay.
WAYS = ("stall", "FIN", "close", "RST")

#: Octets of content that are read before they are refused.
TAKEN = 65536


class Refusing(socketserver.ThreadingTCPServer):
    """Take 64 KiB of content, say 552, and go away."""

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, way: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._way = way
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            with request:
                self._refuse(request)
                self._leave(request)

    def shutdown_request(self, request: Any) -> None:
        request.close()

    def _refuse(self, request: socket.socket) -> None:
        request.sendall(b"220 hi\r\n")
        request.recv(100)
        request.sendall(b"354 go\r\n")
        octets = 0
        while octets < TAKEN:
            octets += len(request.recv(TAKEN))
        request.sendall(b"552 too much\r\n")

    def _leave(self, request: socket.socket) -> None:
        poll = select.poll()
        poll.register(request, 0)  # tells of the client's end, and of nothing else
        match self._way:
            case "stall":
                poll.poll(10_000)
            case "FIN":
                request.shutdown(socket.SHUT_WR)
                poll.poll(10_000)
            case "RST":
                linger = struct.pack("ii", 1, 0)
                request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def main(certificate: Path) -> None:
    """Listen on all ports until the standard input ends."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    servers = [Refusing(way, context) for context in (None, tls) for way in WAYS]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(" ".join(str(s.server_address[1]) for s in servers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Servers with a process of their own, for what a server in the test's loop cannot do.

`refusing` listens on a port for each way to go away, first in the clear and then with
TLS: it refuses content early, and goes. `slow` reads late, and 4 KiB at a time.

Run with a name (and a file of a certificate and its key), this module writes the ports
on a line, and ends with its standard input.
"""

from __future__ import annotations

import re
import select
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

#: stall: nothing more is read; FIN: the same, and the server's half ends; close: with
#: octets unread, which resets the connection; RST: the same without delay.
WAYS = ("stall", "FIN", "close", "RST")

#: Octets of content that are read before they are refused.
TAKEN = 65536

#: Octets that the slow server reads at a time.
BUFFER = 4096

#: Seconds that the slow server does not read at all, as content begins.
PAUSE = 0.5


@contextmanager
def process_of(*arguments: str | Path) -> Iterator[list[int]]:
    """Run this module while the block runs; give the ports."""
    with subprocess.Popen(
        [sys.executable, __file__, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection, of which none is waited for."""

    daemon_threads = True
    request_queue_size = 50

    def process_request(self, request: Any, client_address: Any) -> None:
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)


class Refusing(Server):
    """Take 64 KiB of content, say 552, and go away."""

    def __init__(self, way: str, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self._way = way
        self._tls = tls

    def finish_request(self, request: Any, client_address: Any) -> None:
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


class Slow(Server):
    """Count the octets of each mail, and forget them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SlowSession, bind_and_activate=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.server_bind()
        self.server_activate()


class SlowSession(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        self._received = b""
        with suppress(ConnectionError):
            self._say("220 hi")
            for line in iter(self._line, b""):
                self._answer(line)

    def _answer(self, line: bytes) -> None:
        if line.startswith(b"EHLO"):
            self._octets = 0
            self._say("250-mx\r\n250 CHUNKING")
        elif line == b"DATA\r\n":
            self._say("354 go")
            time.sleep(PAUSE)
            self._read_dots()
            self._say(f"250 {self._octets} octets")
        elif match := re.fullmatch(rb"BDAT (\d+)( LAST)?\r\n", line):
            self._read(int(match[1]))
            self._say(f"250 {self._octets} octets")
        else:
            self._say("250 ok")

    def _say(self, text: str) -> None:
        self.request.sendall(f"{text}\r\n".encode())

    def _more(self) -> bytes:
        data = self.request.recv(BUFFER)
        if not data:
            raise ConnectionResetError
        return data

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            self._received += self._more()
        line, end, self._received = self._received.partition(b"\n")
        return line + end

    def _read(self, size: int) -> None:
        self._octets += size
        size -= len(self._received)
        self._received = b""
        while size > 0:
            size -= len(self._more())

    def _read_dots(self) -> None:
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            data = self._more()
            self._octets += len(data)
            tail = (tail + data)[-5:]
        self._octets -= 3


def servers_of(kind: str, *certificates: str) -> list[Server]:
    """Make the servers of one kind."""
    if kind == "slow":
        return [Slow()]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificates)
    return [Refusing(way, context) for context in (None, tls) for way in WAYS]


def main(*arguments: str) -> None:
    """Listen on all ports until the standard input ends."""
    servers = servers_of(*arguments)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(" ".join(str(s.server_address[1]) for s in servers) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])

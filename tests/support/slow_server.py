"""A server that reads late, and 4 KiB at a time, in a process of its own.

It writes its port on a line, and ends with its standard input.
"""

from __future__ import annotations

import re
import socket
import socketserver
import sys
import threading
import time
from contextlib import suppress
from typing import Any

BUFFER = 4096

#: Seconds that the server does not read at all, as content begins.
PAUSE = 0.5


class Slow(socketserver.ThreadingTCPServer):
    """Count the octets of each mail, and forget them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Session, bind_and_activate=False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self.server_bind()
        self.server_activate()


class Session(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


def main() -> None:
    """Serve until the standard input ends."""
    server: Any = Slow()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()

"""A server that takes all mail and keeps none, cheaply: `python -m benchmarks.sink`.

It prints one JSON line with its ports, and serves until its standard input ends.

After each turn it polls for a while before it sleeps: to wake a process on another core
costs whoever does it, here the client, more than all the rest of a turn on some
machines, and would hide what is to be compared.
"""

from __future__ import annotations

import json
import select
import socket
import ssl
import sys
import time

from .dialogue import GREETING, Dialogue
from .work import pin

__all__ = ["Sink", "main"]

#: More would be mapped anew for each read.
_READ = 65536
_POLLING = 0.002
_NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """Serve one client."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.dialogue = Dialogue()
        self.is_shaking_hands = False
        self.is_greeted = False

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Let TLS come next."""
        self.sock = context.wrap_socket(
            self.sock, server_side=True, do_handshake_on_connect=False
        )
        self.is_shaking_hands = True

    def greet(self) -> None:
        """Say 220."""
        self.is_greeted = True
        self.send(GREETING)

    def send(self, octets: bytes) -> None:
        """Write, and wait where the client does not read."""
        try:
            sent = self.sock.send(octets)
        except _NOT_YET:
            sent = 0
        if sent < len(octets):
            self.sock.settimeout(30)
            self.sock.sendall(octets[sent:])
            self.sock.setblocking(False)

    def shake_hands(self) -> None:
        """Go on with the handshake."""
        assert isinstance(self.sock, ssl.SSLSocket)  # noqa: S101
        self.sock.do_handshake()
        self.is_shaking_hands = False
        if not self.is_greeted:
            self.greet()


class Sink:
    """Serve all clients in one thread."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._listeners: dict[int, tuple[socket.socket, bool]] = {}
        self._messages = 0
        self._is_over = False

    def listen(self, *, is_tls: bool) -> int:
        """Give the port of a new listener."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        self._listeners[listener.fileno()] = listener, is_tls
        self._epoll.register(listener, select.EPOLLIN)
        port: int = listener.getsockname()[1]
        return port

    def serve(self) -> None:
        """Serve until standard input ends."""
        self._epoll.register(sys.stdin, select.EPOLLIN)
        poll, clock = self._epoll.poll, time.perf_counter
        asleep = clock() + _POLLING
        while not self._is_over:
            ready = poll(0)
            if not ready:
                if clock() < asleep:
                    continue
                ready = poll()
            for fd, _ in ready:
                self._turn(fd)
            asleep = clock() + _POLLING

    def _turn(self, fd: int) -> None:
        connection = self._connections.get(fd)
        if connection is None:
            self._accept(fd)
            return
        try:
            self._read(connection)
        except _NOT_YET:
            pass
        except OSError:
            self._close(fd)

    def _accept(self, fd: int) -> None:
        if fd == sys.stdin.fileno():
            self._is_over = True
            return
        listener, is_tls = self._listeners[fd]
        sock, _ = listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        self._connections[sock.fileno()] = connection
        self._epoll.register(sock, select.EPOLLIN)
        if is_tls:
            connection.start_tls(self._context)
        else:
            connection.greet()

    def _read(self, connection: Connection) -> None:
        if connection.is_shaking_hands:
            connection.shake_hands()
        sock, dialogue = connection.sock, connection.dialogue
        is_tls = isinstance(sock, ssl.SSLSocket)
        while data := sock.recv(_READ):
            if data == b"XCOUNT\r\n":
                connection.send(b"%d\r\n" % self._messages)
                return
            before = dialogue.messages
            replies = dialogue.feed(data)
            self._messages += dialogue.messages - before
            if replies:
                connection.send(replies)
            if dialogue.wants_tls:
                dialogue.wants_tls = False
                connection.start_tls(self._context)
                return
            if not is_tls:
                return
        self._close(sock.fileno())

    def _close(self, fd: int) -> None:
        connection = self._connections.pop(fd)
        self._epoll.unregister(fd)
        connection.sock.close()


def main() -> None:
    """Serve until standard input ends."""
    certificate, *cores = sys.argv[1:]
    pin(tuple(map(int, cores)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    sink = Sink(context)
    ports = {"port": sink.listen(is_tls=False), "tls_port": sink.listen(is_tls=True)}
    print(json.dumps(ports), flush=True)
    sink.serve()


if __name__ == "__main__":
    main()

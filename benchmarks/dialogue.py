"""The replies of a server that takes all mail and keeps none; knows no sockets."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["GREETING", "Dialogue"]

GREETING = b"220 sink.example ESMTP\r\n"
_EHLO = (
    b"250-sink.example\r\n"
    b"250-PIPELINING\r\n"
    b"250-SIZE 1000000000\r\n"
    b"250-STARTTLS\r\n"
    b"250-AUTH PLAIN\r\n"
    b"250-8BITMIME\r\n"
    b"250-SMTPUTF8\r\n"
    b"250 CHUNKING\r\n"
)
_REPLIES = {
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"EHLO": _EHLO,
    b"HELO": b"250 sink.example\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"AUTH": b"235 2.7.0 Authentication successful\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
    b"STAR": b"220 2.0.0 Ready to start TLS\r\n",
}
_UNKNOWN = b"502 5.5.2 Error: command not recognized\r\n"
_GO_AHEAD = b"354 End data with <CR><LF>.<CR><LF>\r\n"
_TAKEN = b"250 2.0.0 Ok: queued as 4XyZabcdefz\r\n"
_CHUNK = b"250 2.0.0 Ok: chunk\r\n"
_END = b"\r\n.\r\n"
_SMALL = 16384


class Dialogue:
    """Give the replies to what a client says."""

    def __init__(self) -> None:
        self.messages = 0
        self.wants_tls = False
        self._read: Callable[[], bool] = self._commands
        self._buffer = b""
        self._position = 0
        self._left = 0
        self._is_last = False
        self._replies: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """Take octets, give replies; empty where more must come first."""
        # Content is not joined to what came before: of that, the end is enough.
        if self._read == self._content and len(data) > _SMALL:
            border = self._buffer + data[: len(_END)]
            if border.find(_END) < 0 and data.find(_END) < 0:
                self._buffer = data[-len(_END) + 1 :]
                return b""
        self._buffer = self._buffer + data if self._buffer else data
        self._position = 0
        while self._read():
            pass
        self._buffer = self._buffer[self._position :]
        replies = b"".join(self._replies)
        self._replies.clear()
        return replies

    def _commands(self) -> bool:
        buffer, start, replies = self._buffer, self._position, self._replies
        while (end := buffer.find(b"\n", start)) >= 0:
            verb = buffer[start : start + 4].upper()
            line, start = start, end + 1
            if verb == b"DATA":
                replies.append(_GO_AHEAD)
                # The CRLF of DATA is the one before a dot that comes first.
                self._position = start - 2
                self._read = self._content
                return True
            if verb == b"BDAT":
                words = buffer[line:end].split()
                self._left, self._is_last = int(words[1]), len(words) > 2
                self._position = start
                self._read = self._chunk
                return True
            replies.append(_REPLIES.get(verb, _UNKNOWN))
            self.wants_tls = self.wants_tls or verb == b"STAR"
        self._position = start
        return False

    def _content(self) -> bool:
        end = self._buffer.find(_END, self._position)
        if end < 0:
            self._position = max(self._position, len(self._buffer) - len(_END) + 1)
            return False
        self._position = end + len(_END)
        self._take()
        return True

    def _chunk(self) -> bool:
        taken = min(self._left, len(self._buffer) - self._position)
        self._position += taken
        self._left -= taken
        if self._left:
            return False
        if self._is_last:
            self._take()
        else:
            self._replies.append(_CHUNK)
            self._read = self._commands
        return True

    def _take(self) -> None:
        self.messages += 1
        self._replies.append(_TAKEN)
        self._read = self._commands

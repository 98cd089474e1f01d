"""The grammar of replies and its limits; not what was asked.

Rules:

1. A reply is one or more lines with the same code, the last one without a hyphen.
   Anything else is not SMTP, and `SMTPProtocolError` says so: guessing where the next
   reply begins is how a client comes to believe the wrong one.
2. What comes out depends on the octets alone, never on how the network cut them.
3. Every buffer has a bound: a line, a reply, the number of lines in it.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import NamedTuple

from ..exceptions import SMTPProtocolError, printable

__all__ = ["EnhancedStatus", "Reply", "ReplyParser", "as_verdict_on_rcpt", "queue_id"]

#: Octets of one reply line with its line end. RFC 5321 4.5.3.1.5 asks for 512; servers
#: exceed it, and a client that asks for no more than eight times as much loses nobody.
MAX_LINE = 8192

#: Octets of a line that is worth remembering (RFC 5321 4.5.3.1.5).
USUAL_LINE = 512

#: Octets and lines of one reply. The longest in the wild are HELP texts.
MAX_REPLY = 65536
MAX_LINES = 1024

# RFC 5321 4.2:
#
#    Reply-line     = *( Reply-code "-" [ textstring ] CRLF )
#                       Reply-code [ SP textstring ] CRLF
#    Reply-code     = %x32-35 %x30-35 %x30-39
#    textstring     = 1*(%d09 / %d32-126) ; HT, SP, Printable US-ASCII
#
# The text may be any octets here: servers send Latin-1, UTF-8 (RFC 6531) and worse.
# The text may be empty after the separator: "250 " and "250-" are common.
_REPLY_LINE = re.compile(rb"([2-5][0-5][0-9])(?:([ -])(.*))?", re.DOTALL)

# RFC 2034 4: status-code ::= class "." subject "." detail, then a space. RFC 3463 2
# allows one to three digits for the last two.
_ENHANCED = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:\s|\Z)", re.ASCII)


class EnhancedStatus(NamedTuple):
    """An enhanced status code (RFC 3463); prints as "5.1.1"."""

    class_: int
    subject: int
    detail: int

    def __str__(self) -> str:
        return f"{self.class_}.{self.subject}.{self.detail}"


class Reply(NamedTuple):
    r"""A server's reply: a `(code, message)` tuple.

    The lines of the message are joined by "\n". It is UTF-8; an octet that is not
    comes as a lone surrogate, so `message.encode("utf-8", "surrogateescape")` gives
    the very octets back.
    """

    code: int
    message: str

    @property
    def lines(self) -> list[str]:
        """List the lines of the message, without their codes."""
        return self.message.split("\n")

    @property
    def enhanced(self) -> EnhancedStatus | None:
        """Give the enhanced status code at the start of the text, if it has one.

        A code whose class contradicts the reply code is text like any other
        (RFC 2034 4 has them agree).
        """
        match = _ENHANCED.match(self.message)
        if match is None or int(match[1]) != self.code // 100:
            return None
        return EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))

    @property
    def is_positive(self) -> bool:
        """Tell whether the command was accepted: 2yz, or 3yz for "go on"."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """Tell whether the command was refused for now: 4yz."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Tell whether the command was refused for good: 5yz."""
        return 500 <= self.code < 600


class _TooManyRecipients(Reply):
    """A 552 to RCPT, which says that a further mail will do for this recipient.

    RFC 5321 4.5.3.1.10: "Clients SHOULD treat a 552 code in this case as a temporary,
    rather than permanent, failure".
    """

    __slots__ = ()

    @property
    def is_transient(self) -> bool:
        """Whether the command was refused for now: it was."""
        return True

    @property
    def is_permanent(self) -> bool:
        """Whether the command was refused for good: it was not."""
        return False

    def __repr__(self) -> str:
        return f"Reply(code={self.code!r}, message={self.message!r})"


def as_verdict_on_rcpt(reply: Reply) -> Reply:
    """Make a refusal of RCPT answer `is_transient` as RFC 5321 4.5.3.1.10 means it.

    552 has two meanings there: too many recipients in this mail, and no room for it.
    Where the enhanced code says that the mailbox (5.2.x) or the size of the message
    (5.3.4) is at fault, trying again does not help.
    """
    if reply.code != 552:
        return reply
    status = reply.enhanced
    if status is not None and (status.subject == 2 or status[1:] == (3, 4)):
        return reply
    return _TooManyRecipients(*reply)


# What servers say of a mail that they have taken, each with the words around its name.
_QUEUE_IDS = tuple(
    re.compile(pattern, re.ASCII)
    for pattern in (
        r"\bqueued as ([0-9A-Za-z]+)\b",  # Postfix, and what is made like it
        r"\bOK id=([0-9A-Za-z-]+)",  # Exim
        r"(?:^|\s)([0-9A-Za-z]{8,}) Message accepted for delivery",  # Sendmail
        r"\[InternalId=([0-9]+)",  # Exchange
        r"\bOK\s+[0-9]+\s+([0-9A-Za-z.-]+) - gsmtp",  # Gmail
    )
)


def queue_id(reply: Reply) -> str | None:
    """Find what the server calls a mail in its final reply; None where it does not say.

    Known are the replies of Postfix, Exim, Sendmail, OpenSMTPD, Exchange and Gmail.
    """
    matches = (pattern.search(reply.message) for pattern in _QUEUE_IDS)
    return next((match[1] for match in matches if match is not None), None)


class ReplyParser:
    """Cut a stream of octets into replies.

    Feed it what the network brought, then call `next_reply` until it gives None.
    """

    def __init__(self) -> None:
        self._whole: deque[bytes] = deque()  # lines without their LF, not looked at yet
        self._rest = bytearray()  # what follows the last LF
        self._lines: list[bytes] = []  # the lines of the unfinished reply
        self._code = 0
        self._size = 0
        self._fault: SMTPProtocolError | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets as the network brought them."""
        # A bare LF ends a line as CRLF does (servers send it); a lone CR never does,
        # it is text: a peer that sends nothing else runs into the bound.
        lines, line_end, rest = bytes(data).rpartition(b"\n")
        self._rest += lines
        if line_end:
            self._whole.extend(bytes(self._rest).split(b"\n"))
            self._rest.clear()
        self._rest += rest

    @property
    def is_empty(self) -> bool:
        """Tell whether everything that was fed has come out as a reply."""
        return not (self._rest or self._whole or self._lines)

    def next_reply(self) -> Reply | None:
        """Give the next whole reply, or None where more octets are needed.

        Raises:
            SMTPProtocolError: The octets are no reply, or one beyond all bounds. The
                parser is of no use after that.
        """
        if self._fault is not None:
            raise self._fault
        try:
            while self._whole:
                line = self._whole.popleft()
                read = _read_known_line if len(line) <= USUAL_LINE else _read_line
                code, is_last, text, reply = read(line)
                if is_last and not self._lines:
                    return reply
                self._continue(code, text)
                if is_last:
                    return self._whole_reply()
            if len(self._rest) > MAX_LINE:
                raise _too_long()
        except SMTPProtocolError as exc:
            self._fault = exc
            raise
        return None

    def _continue(self, code: int, text: bytes) -> None:
        """Take one of several lines of a reply."""
        if self._lines and code != self._code:
            # RFC 5321 4.2.1: "In a multiline reply, the reply code on each of the
            # lines MUST be the same."
            raise SMTPProtocolError(
                f"the code changes from {self._code} to {code} within one reply: "
                f"{_excerpt(text)}"
            )
        self._code = code
        self._lines.append(text)
        self._size += len(text) + 4
        if self._size > MAX_REPLY or len(self._lines) > MAX_LINES:
            raise SMTPProtocolError(
                f"a reply of more than {MAX_REPLY} octets or {MAX_LINES} lines"
            )

    def _whole_reply(self) -> Reply:
        text = b"\n".join(self._lines)
        self._lines = []
        self._size = 0
        return _reply(self._code, text)


def _read_line(line: bytes) -> tuple[int, bool, bytes, Reply]:
    """Read a line without its LF: code, whether it is the last, text, and a reply."""
    if len(line) >= MAX_LINE:
        raise _too_long()
    line = line.removesuffix(b"\r")
    match = _REPLY_LINE.fullmatch(line)
    if match is None:
        raise SMTPProtocolError(f"not an SMTP reply: {_excerpt(line)}")
    code, separator, text = match.groups(b"")
    return int(code), separator != b"-", text, _reply(int(code), text)


# Servers say the same few lines all day.
_read_known_line = lru_cache(maxsize=256)(_read_line)


def _reply(code: int, text: bytes) -> Reply:
    return Reply(code, text.decode("utf-8", "surrogateescape"))


def _too_long() -> SMTPProtocolError:
    return SMTPProtocolError(f"a reply line of more than {MAX_LINE} octets")


def _excerpt(line: bytes) -> str:
    text = printable(line[:60].decode("utf-8", "backslashreplace"))
    return f'"{text}"' + ("..." if len(line) > 60 else "")

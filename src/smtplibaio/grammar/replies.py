"""The grammar of replies and its limits; not what was asked.

Rules:

1. A reply is one or more lines, the last one without a hyphen. Their codes have the
   same first digit; if the others differ, the last code counts. Anything else is
   not SMTP: guessing where the next reply begins is how a client comes to believe the
   wrong one.
2. Empty lines between replies are passed over, never within one. Each counts as a line
   of the next reply.
3. What comes out depends on the octets alone, never on how the network cut them.
4. Every buffer has a bound: a line, a reply, the number of lines in it.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..exceptions import SMTPProtocolError, printable

__all__ = ["EnhancedStatus", "Reply", "ReplyParser", "as_verdict_on_rcpt", "queue_id"]

#: Octets of one reply line with its line end. RFC 5321 4.5.3.1.5 asks for 512; servers
#: exceed it, and a client that asks for no more than eight times as much loses nobody.
MAX_LINE = 8192

#: Octets of a line that is worth remembering (RFC 5321 4.5.3.1.5), and how many are.
USUAL_LINE = 512
USUAL_LINES = 256

#: Octets and lines of one reply. The longest in the wild are HELP texts.
MAX_REPLY = 65536
MAX_LINES = 1024

# RFC 2034 4: status-code ::= class "." subject "." detail, then a space. RFC 3463 2
# allows one to three digits for the last two.
_ENHANCED = r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:\s|\Z)"


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
        """The lines of the message, without their codes."""
        return self.message.split("\n")

    @property
    def enhanced(self) -> EnhancedStatus | None:
        """The enhanced status code at the start of the text, if it has one.

        A code whose class contradicts the reply code is text like any other
        (RFC 2034 4 has them agree).
        """
        match = re.match(_ENHANCED, self.message, re.ASCII)
        if match is None or int(match[1]) != self.code // 100:
            return None
        return EnhancedStatus(int(match[1]), int(match[2]), int(match[3]))

    @property
    def is_positive(self) -> bool:
        """Whether the command was accepted: 2yz, or 3yz for "go on"."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """Whether the command was refused for now: 4yz, or 552 to RCPT."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Whether the command was refused for good: any other 5yz."""
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
    If the enhanced code says that the mailbox (5.2.x) or the size of the message
    (5.3.4) is at fault, trying again does not help.
    """
    if reply.code != 552:
        return reply
    status = reply.enhanced
    if status is not None and (status.subject == 2 or status[1:] == (3, 4)):
        return reply
    return _TooManyRecipients(*reply)


# What servers say of a mail that they have taken, each with the words around its name.
_QUEUE_IDS = (
    r"\bqueued as ([0-9A-Za-z]+)\b",  # Postfix, and what is made like it
    r"\bOK id=([0-9A-Za-z-]+)",  # Exim
    r"(?:^|\s)([0-9A-Za-z]{8,}) Message accepted for delivery",  # Sendmail
    r"\[InternalId=([0-9]+)",  # Exchange
    r"\bOK\s+[0-9]+\s+([0-9A-Za-z.-]+) - gsmtp",  # Gmail
)


def queue_id(reply: Reply) -> str | None:
    """Find what the server calls a mail in its final reply; None if it does not say.

    Known are the replies of Postfix, Exim, Sendmail, OpenSMTPD, Exchange and Gmail.
    """
    for pattern in _QUEUE_IDS:
        if (match := re.search(pattern, reply.message, re.ASCII)) is not None:
            return match[1]
    return None


#: Replies of one line, by the line without its LF: servers say the same few all day.
_known: dict[bytes, Reply] = {}


class ReplyParser:
    """Cut a stream of octets into replies.

    Attributes:
        fault: Why the octets are not replies (any more): no reply follows it.
            None as long as they are.
        has_partial: Whether octets of an unfinished reply are held; empty lines are
            none.
        is_empty: Whether nothing follows the last reply, not even an empty line.
    """

    def __init__(self) -> None:
        self.fault: SMTPProtocolError | None = None
        self.has_partial = False
        self.is_empty = True
        self._rest = bytearray()  # what follows the last LF
        self._lines: list[bytes] = []  # the lines of the unfinished reply
        self._count = 0  # of them, and of the empty lines before them
        self._code = b""  # of the last of them
        self._size = 0

    def feed(self, data: bytes | bytearray | memoryview) -> list[Reply]:
        """Take octets as the network brought them; list the replies that are whole.

        Look at `fault` after that: the replies that stood before it are in the list.
        """
        if self.fault is not None:
            return []
        # A bare LF ends a line as CRLF does (servers send it); a lone CR never does,
        # it is text: a peer that sends nothing else runs into the bound.
        lines = bytes(data).split(b"\n")
        rest = lines.pop()
        if self.is_empty and not rest:
            known: list[Any] = [_known.get(line) for line in lines]
            if all(known):
                return known
        return self._read(lines, rest)

    def _read(self, lines: list[bytes], rest: bytes) -> list[Reply]:
        replies: list[Reply] = []
        if lines and self._rest:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        try:
            for line in lines:
                reply = self._take(line)
                if reply is None:
                    continue
                replies.append(reply)
            if rest:
                self._rest += rest
                if len(self._rest) >= MAX_LINE:
                    raise _too_long()
        except SMTPProtocolError as exc:
            self.fault = exc.with_traceback(None)
        rest_of_line = self._rest and self._rest != b"\r"
        self.has_partial = bool(rest_of_line or self._lines)
        self.is_empty = not (self._rest or self._count)
        return replies

    def _take(self, line: bytes) -> Reply | None:
        """Take a line without its LF; return the reply if this is its last line."""
        if not self._count and (known := _known.get(line)) is not None:
            return known
        if len(line) >= MAX_LINE:
            raise _too_long()
        self._count += 1
        said = line.removesuffix(b"\r")
        if said or self._lines:
            code, separator, text = _read_line(said)
            if separator != b"-" and not self._lines:
                self._check_bounds()
                return self._single(line, code, text)
            self._continue(code, text)
            if separator != b"-":
                return self._whole_reply()
        self._check_bounds()
        return None

    def _single(self, line: bytes, code: bytes, text: bytes) -> Reply:
        self._count = 0
        reply = _reply(code, text)
        if len(line) <= USUAL_LINE:
            if len(_known) >= USUAL_LINES:
                _known.clear()
            _known[line] = reply
        return reply

    def _continue(self, code: bytes, text: bytes) -> None:
        """Take one of several lines of a reply."""
        if self._lines and code[:1] != self._code[:1]:
            # RFC 5321 4.2.1: "In a multiline reply, the reply code on each of the
            # lines MUST be the same." Servers differ in the last two digits ("550-",
            # then "554 "), which does not change what the reply means.
            raise SMTPProtocolError(
                f"a reply whose code changes from {self._code.decode()} to "
                f"{code.decode()}: {_excerpt(text)}"
            )
        self._code = code
        self._lines.append(text)
        self._size += len(text) + 4
        self._check_bounds()

    def _check_bounds(self) -> None:
        if self._size > MAX_REPLY or self._count > MAX_LINES:
            raise SMTPProtocolError(
                f"a reply of more than {MAX_REPLY} octets or {MAX_LINES} lines"
            )

    def _whole_reply(self) -> Reply:
        text = b"\n".join(self._lines)
        self._lines = []
        self._count = self._size = 0
        return _reply(self._code, text)


# RFC 5321 4.2:
#
#    Reply-line     = *( Reply-code "-" [ textstring ] CRLF )
#                       Reply-code [ SP textstring ] CRLF
#    Reply-code     = %x32-35 %x30-35 %x30-39
#    textstring     = 1*(%d09 / %d32-126) ; HT, SP, Printable US-ASCII
#
# The second digit may be any: Exchange and others say 571, 471, 591. The text may be
# any octets: servers send Latin-1, UTF-8 (RFC 6531) and worse. It may be empty behind
# the separator: "250 " and "250-" are common.
_SEPARATORS = (b" ", b"-", b"")


def _read_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut a line without its line end into code, separator and text."""
    code, separator = line[:3], line[3:4]
    is_code = len(code) == 3 and code.isdigit() and b"2" <= code < b"6"
    if not is_code or separator not in _SEPARATORS:
        raise SMTPProtocolError(f"not an SMTP reply: {_excerpt(line)}")
    return code, separator, line[4:]


def _reply(code: bytes, text: bytes) -> Reply:
    return Reply(int(code), text.decode("utf-8", "surrogateescape"))


def _too_long() -> SMTPProtocolError:
    return SMTPProtocolError(f"a reply line of more than {MAX_LINE} octets")


def _excerpt(line: bytes) -> str:
    text = printable(line[:60].decode("utf-8", "backslashreplace"))
    return f'"{text}"' + ("..." if len(line) > 60 else "")

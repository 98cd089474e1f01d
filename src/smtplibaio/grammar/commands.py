"""How each command line is spelt, and what may stand inside a group.

Rules:

1. Every command line of this library is made by `command_line`. It is the one gate
   against injection: no control character, no line end, no surrogate passes it, in
   whatever argument it came, and no line longer than its command may be.
2. What it refuses it names by place, never by value: the value may be a password.
3. A line is a value, ready bytes with their CRLF.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Iterable, Sequence

from ..exceptions import SMTPArgumentError

__all__ = [
    "auth",
    "bdat",
    "command_line",
    "continuation",
    "ehlo",
    "ends_group",
    "expn",
    "helo",
    "help_",
    "keyword_of",
    "lhlo",
    "mail",
    "noop",
    "other",
    "parameters",
    "path_line",
    "rcpt",
    "verb_of",
    "vrfy",
]

DATA = b"DATA\r\n"
QUIT = b"QUIT\r\n"
RSET = b"RSET\r\n"
CANCEL_AUTH = b"*\r\n"
STARTTLS = b"STARTTLS\r\n"

#: RFC 2920 3.1: the commands that "can all appear anywhere in a pipelined command
#: group". Every other one, extensions' own included, is the last of its group.
ANYWHERE_IN_GROUP = frozenset({"RSET", "MAIL", "RCPT"})

#: Octets of a command line with its CRLF (RFC 5321 4.5.3.1.4), and what extensions
#: add to it: SIZE 26, BODY 16, SMTPUTF8 10, REQUIRETLS 11, DSN 109 and AUTH= 500 for
#: MAIL; 500 for ORCPT and NOTIFY with RCPT; RFC 4954 4 and 4.5.3.1 for AUTH.
MAX_LINE = 512
#: Octets of a mailbox, so that no command line with it is too long.
_USUAL = 320
_PRINTABLE = bytes(range(0x20, 0x7F))
MAX_LINES_OF = {"MAIL": 512 + 672, "RCPT": 512 + 530, "AUTH": 12288}

# RFC 5321 4.1.1.1 and 4.1.2: verbs and keywords
_VERB = r"[A-Za-z0-9][A-Za-z0-9-]*"

# RFC 5321 4.1.2, with the value of RFC 6531 3.3:
#
#    esmtp-param    = esmtp-keyword ["=" esmtp-value]
#    esmtp-value    = 1*(%d33-60 / %d62-126) / UTF8-non-ascii
#
# (spelt by what is not in the value, for that compiles twenty times faster)
_PARAMETER = r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=[^\x00-\x20=\x7f-\x9f]+)?"

# C0, DEL, C1, and what some software takes for a line end. Nothing in RFC 5321 wants
# any of them, within quoted strings neither (4.1.2, qtextSMTP is %d32-126).
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"

# RFC 5321 4.1.2 and 4.1.3: Domain / address-literal. Single labels ("localhost") are
# names on many a network.
_CLIENT_NAME = (
    r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
    r"|\[[0-9.]+\]|\[[A-Za-z0-9-]+:[\x21-\x5a\x5e-\x7e]+\]"
)


def check_text(text: object, what: str, *, utf8: bool) -> str:
    """Return the text unchanged if it may be part of a command line.

    Args:
        text: What the caller passed; only a `str` passes.
        what: The name of the text in the error.
        utf8: Whether characters beyond ASCII pass.
    """
    if not isinstance(text, str):
        raise SMTPArgumentError(f"{what} must be a str, not {type(text).__name__}")
    if text.isascii() and text.isprintable():  # %d32-126
        return str.__str__(text)  # a subclass may be formatted as another text
    if (match := re.search(_CONTROL, text)) is not None:
        raise SMTPArgumentError(
            f"{what} has the control character U+{ord(match[0]):04X} at index "
            f"{match.start()}; nothing was sent"
        )
    if not utf8:
        raise SMTPArgumentError(f"{what} has characters beyond ASCII")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise SMTPArgumentError(f"{what} has a lone surrogate: it is not valid text")
    return str.__str__(text)


def command_line(verb: str, *arguments: str, utf8: bool = False) -> bytes:
    """Spell a command line: the verb, its arguments, CRLF.

    Raises:
        SMTPArgumentError: A part may not go on the wire, or the line is too long.
    """
    if not isinstance(verb, str) or not re.fullmatch(_VERB, verb):
        raise SMTPArgumentError("a verb must consist of letters, digits and hyphens")
    verb = verb.upper()
    for argument in arguments:
        check_text(argument, f"the argument of {verb}", utf8=utf8)
    line = " ".join((verb, *arguments)).encode("utf-8") + b"\r\n"
    return check_length(line, verb)


def check_length(line: bytes, verb: str) -> bytes:
    """Return the line unchanged if it is no longer than the command allows."""
    limit = MAX_LINES_OF.get(verb, MAX_LINE)
    if len(line) > limit:
        raise SMTPArgumentError(
            f"the {verb} command would be {len(line)} octets long, but the limit is "
            f"{limit}"
        )
    return line


def is_client_name(name: str) -> bool:
    """Whether EHLO may carry a name."""
    return re.fullmatch(_CLIENT_NAME, name) is not None


def client_name(name: object, what: str = "the client's name") -> str:
    """Return the name unchanged if EHLO may carry it: a domain or address literal.

    Args:
        name: The name.
        what: What the caller calls it, for the text of the error.
    """
    if not isinstance(name, str) or not is_client_name(name):
        raise SMTPArgumentError(
            f"{what} must be a domain in ASCII (as A-labels if it is international) "
            f"or an address literal such as [192.0.2.1], not {name!a}"
        )
    return name


def ehlo(name: str) -> bytes:
    """Spell EHLO (RFC 5321 4.1.1.1)."""
    return command_line("EHLO", client_name(name))


def helo(name: str) -> bytes:
    """Spell HELO (RFC 5321 4.1.1.1)."""
    return command_line("HELO", client_name(name))


def lhlo(name: str) -> bytes:
    """Spell LHLO (RFC 2033 4.1)."""
    return command_line("LHLO", client_name(name))


def parameters(options: Iterable[str], what: str) -> tuple[str, ...]:
    """Check raw ESMTP parameters, such as "BODY=8BITMIME", and list them.

    Raises:
        SMTPArgumentError: One is not of the form esmtp-param (RFC 5321 4.1.2).
    """
    if isinstance(options, (str, bytes)):
        raise SMTPArgumentError(f"{what} must be a list of parameters, not one string")
    if not isinstance(options, Iterable):
        raise SMTPArgumentError(
            f'{what} must be a list of parameters such as ["SIZE=1000"], not '
            f"{options!a}"
        )
    listed = tuple(options)
    for option in listed:
        if not isinstance(option, str) or not re.fullmatch(_PARAMETER, option):
            raise SMTPArgumentError(
                f"{what} has {option!a}, which is not of the form KEYWORD or "
                "KEYWORD=value without spaces and control characters"
            )
        if not option.isascii():
            check_text(option, what, utf8=True)
    return listed


def keyword_of(parameter: str) -> str:
    """Return the keyword of an ESMTP parameter, in capitals."""
    return parameter.partition("=")[0].upper()


def mail(mailbox: str, options: Sequence[str] = ()) -> bytes:
    """Spell MAIL (RFC 5321 4.1.1.2); an empty mailbox is the null reverse-path."""
    checked = parameters(options, "MAIL's parameters")
    return path_line("MAIL FROM", mailbox, checked)


def rcpt(mailbox: str, options: Sequence[str] = ()) -> bytes:
    """Spell RCPT (RFC 5321 4.1.1.3)."""
    checked = parameters(options, "RCPT's parameters")
    return path_line("RCPT TO", mailbox, checked)


def path_line(opening: str, mailbox: str, options: Sequence[str] = ()) -> bytes:
    """Spell a command with a path.

    Args:
        opening: "MAIL FROM" or "RCPT TO".
        mailbox: What the path holds.
        options: Parameters that `parameters` has passed.

    Raises:
        SMTPArgumentError: The mailbox may not go on the wire, or the line is too long.
    """
    if type(mailbox) is not str or not (mailbox.isascii() and mailbox.isprintable()):
        mailbox = check_text(mailbox, f"the mailbox of {opening[:4]}", utf8=True)
    tail = " ".join(("", *options)) if options else ""
    line = f"{opening}:<{mailbox}>{tail}\r\n".encode()
    return line if len(line) <= MAX_LINE else check_length(line, opening[:4])


def rcpt_lines(mailboxes: Collection[str]) -> list[bytes]:
    """Spell RCPT for each mailbox, without parameters.

    Raises:
        SMTPArgumentError: As `path_line`.
    """
    if len(mailboxes) > 1 and _are_usual(mailboxes):
        return [f"RCPT TO:<{mailbox}>\r\n".encode() for mailbox in mailboxes]
    return [path_line("RCPT TO", mailbox) for mailbox in mailboxes]


def _are_usual(mailboxes: Collection[str]) -> bool:
    """Whether all are short and printable; asked once, because each call costs."""
    text = "".join(mailboxes)
    is_printable = text.isascii() and not text.encode().translate(None, _PRINTABLE)
    return is_printable and max(map(len, mailboxes)) <= _USUAL


def bdat(size: int, *, is_last: bool) -> bytes:
    """Spell BDAT (RFC 3030 2); so many octets follow."""
    return b"BDAT %d LAST\r\n" % size if is_last else b"BDAT %d\r\n" % size


def vrfy(address: str, *, utf8: bool = False) -> bytes:
    """Spell VRFY (RFC 5321 4.1.1.6), in UTF-8 where RFC 6531 3.7.4.2 allows it."""
    return _lookup("VRFY", address, utf8)


def expn(address: str, *, utf8: bool = False) -> bytes:
    """Spell EXPN (RFC 5321 4.1.1.7), in UTF-8 where RFC 6531 3.7.4.2 allows it."""
    return _lookup("EXPN", address, utf8)


def _lookup(verb: str, address: str, utf8: bool) -> bytes:
    if not address:
        raise SMTPArgumentError(f"{verb} needs an address or a name to look up")
    beyond_ascii = isinstance(address, str) and not address.isascii()
    flag = ("SMTPUTF8",) if beyond_ascii and utf8 else ()
    return command_line(verb, address, *flag, utf8=utf8)


def noop(text: str | None = None) -> bytes:
    """Spell NOOP (RFC 5321 4.1.1.9)."""
    return command_line("NOOP", *(() if text in (None, "") else (text,)))


def help_(command: str | None = None) -> bytes:
    """Spell HELP (RFC 5321 4.1.1.8)."""
    return command_line("HELP", *(() if command in (None, "") else (command,)))


#: Verbs that change what the session is about, and so have methods of their own.
_OWN_METHOD = frozenset(
    {"AUTH", "BDAT", "DATA", "EHLO", "EXPN", "HELO", "HELP", "LHLO", "MAIL", "NOOP"}
    | {"QUIT", "RCPT", "RSET", "STARTTLS", "VRFY"}
)


def other(verb: str, *arguments: str) -> bytes:
    """Spell a command that this library has no method for.

    Raises:
        SMTPArgumentError: There is a method for it, which knows what follows.
    """
    line = command_line(verb, *arguments)
    if verb.upper() in _OWN_METHOD:
        raise SMTPArgumentError(f"{verb.upper()} has a method of its own")
    return line


def auth(mechanism: str, initial_response: bytes | None = None) -> bytes:
    """Spell AUTH (RFC 4954 4).

    An initial response of no octets is sent as "=".
    """
    if initial_response is None:
        return command_line("AUTH", mechanism)
    encoded = b64encode(initial_response).decode("ascii") or "="
    return command_line("AUTH", mechanism, encoded)


def continuation(response: bytes) -> bytes:
    """Spell a client response within AUTH: base64, and nothing else, on a line."""
    return check_length(b64encode(response) + b"\r\n", "AUTH")


def verb_of(line: bytes) -> str:
    """Return the verb of a command line."""
    return line.split(None, 1)[0].decode("ascii")


def ends_group(line: bytes) -> bool:
    """Whether a command must be the last of its group (RFC 2920 3.1)."""
    return verb_of(line) not in ANYWHERE_IN_GROUP

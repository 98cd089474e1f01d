"""Address lists of header fields, read and spelt (RFC 5322 3.4, RFC 6854).

Rules:

1. An address is data. A quoted string is one word whatever stands in it, an encoded
   word is never part of an address, and what is not a list of addresses is not guessed
   at: it is a `ValueError` that says why.
2. The obsolete forms of RFC 5322 4.4 are read: dots in names, routes, white space and
   comments around dots, empty elements. They are never written.
3. A name may be spelt in encoded words; an address never is. Its domain has A-labels
   in ASCII, its local part quotes where it needs them.
4. Octets beyond ASCII in a name are UTF-8 where they can be that, else ISO-8859-1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from ..grammar.addresses import to_a_labels
from .encodedwords import ENCODED_WORD, decode_word, is_clear
from .folding import Piece, Run, words_of

__all__ = [
    "Entry",
    "addr_spec",
    "from_raw",
    "phrase_pieces",
    "pieces_of",
    "quoted",
    "read_addresses",
    "read_phrase",
]

_BLANK = r"[ \t\r\n]"
_TOKEN = re.compile(
    rf"""
    (?P<blank>{_BLANK}+)
    | (?P<encoded>{ENCODED_WORD.pattern.replace("(", "(?:")})(?=[ \t\r\n<>,;:("]|$)
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<literal>\[[^\[\]\\]*\])
    | (?P<special>[<>@,;:.])
    | (?P<atom>[^ \t\r\n()<>@,;:."\[\]\\]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_PART = re.compile(r"[^()\\]+|\\.|[()]", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
#: RFC 5322 3.2.3, with the characters of RFC 6532.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]"
_DOT_ATOM = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_ATOMS = re.compile(rf"{_ATEXT}+(?: {_ATEXT}+)*")


class _Token(NamedTuple):
    kind: str
    text: str


class Entry(NamedTuple):
    """One element of an address list.

    Attributes:
        name: The display name, or the name of a group, as people read it; "" for none.
        local_part: Without quotes; "" in a group, and if there is no address.
        domain: "" if there is none.
        members: The mailboxes of a group; None if it is not a group.
        comments: What stands in parentheses, in its order.
    """

    name: str = ""
    local_part: str = ""
    domain: str = ""
    members: tuple[Entry, ...] | None = None
    comments: tuple[str, ...] = ()

    @property
    def mailboxes(self) -> tuple[Entry, ...]:
        """The mailboxes of a group, or the one that this is."""
        return (self,) if self.members is None else self.members

    @property
    def is_address(self) -> bool:
        """Whether it has a local part and a domain."""
        return bool(self.local_part and self.domain)


def from_raw(text: str) -> str:
    """Read octets beyond ASCII, which the email package keeps as surrogates.

    They are UTF-8 where all of them can be that, else ISO-8859-1.

    Raises:
        ValueError: It has a surrogate that is not such an octet.
    """
    if text.isascii():
        return text
    try:
        octets = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError("it has a lone surrogate") from None
    with suppress(UnicodeDecodeError):
        return octets.decode("utf-8")
    return "".join(
        chr(ord(c) - 0xDC00) if "\udc80" <= c <= "\udcff" else c for c in text
    )


def quoted(text: str) -> str:
    """Spell text as a quoted string (RFC 5322 3.2.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def addr_spec(entry: Entry) -> str:
    """Spell the address of an entry, the local part with quotes where it needs them."""
    local_part = entry.local_part
    if not _DOT_ATOM.fullmatch(local_part) or "=?" in local_part:
        local_part = quoted(local_part)
    return f"{local_part}@{entry.domain}"


# Reading


def read_addresses(text: str) -> list[Entry]:
    """Read an address list that is unfolded.

    What has no "@" is an entry without a domain: its words are the local part.

    Raises:
        ValueError: It is not a list of addresses; the text says why.
    """
    return _Reader(text).entries()


def read_phrase(text: str) -> str:
    """Read a name, in which words may be quoted or encoded.

    Raises:
        ValueError: It has what no name has.
    """
    reader = _Reader(text)
    words = reader.words()
    reader.expect_end()
    return _name(words)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at] == "(":
            end = _end_of_comment(text, at)
            yield _Token("comment", text[at + 1 : end - 1])
            at = end
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text[at]!a} is in the wrong place")
        yield _Token(str(match.lastgroup), match[0])
        at = match.end()


def _end_of_comment(text: str, start: int) -> int:
    depth = 0
    for match in _COMMENT_PART.finditer(text, start):
        depth += (match[0] == "(") - (match[0] == ")")
        if not depth:
            return match.end()
    raise ValueError("a parenthesis is not closed")


def _name(words: list[_Token]) -> str:
    """Put the words of a name together, as people read them."""
    out: list[str] = []
    was_encoded = False
    for kind, text in words:
        read = decode_word(text) if kind == "encoded" else None
        if read is not None:
            if was_encoded and out[-1] == " ":
                out.pop()
            out.append(read)
        elif kind == "quoted":
            out.append(from_raw(_QUOTED_PAIR.sub(r"\1", text[1:-1])))
        else:
            out.append(" " if kind == "blank" else from_raw(text))
        was_encoded = read is not None or (was_encoded and kind == "blank")
    return "".join(out).strip(" ")


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text)]
        self._at = 0
        self._comments: list[str] = []

    def entries(self) -> list[Entry]:
        found: list[Entry] = []
        while True:
            words = self.words()
            if self._take(":"):
                found.append(self._group(words))
            elif words or self._peek() in ("<", "@", "["):
                found.append(self._mailbox(words))
            if not self._take(","):
                break
        self.expect_end()
        return found

    def _group(self, words: list[_Token]) -> Entry:
        name = _name(words)
        if not name:
            raise ValueError("a group has no name")
        comments = self._take_comments()
        members: list[Entry] = []
        while True:
            words = self.words()
            if words or self._peek() in ("<", "@", "["):
                members.append(self._mailbox(words))
            if not self._take(","):
                break
        if not self._take(";"):
            self.expect_end()
        self._pass_blanks()
        return Entry(name, members=tuple(members), comments=comments)

    def _mailbox(self, words: list[_Token]) -> Entry:
        name = local_part = domain = ""
        if self._take("<"):
            name = _name(words)
            self._take_route()
            inner = self.words()
            if self._take("@"):
                local_part, domain = _local_part(inner), self._domain()
            else:
                local_part = _name(inner)
            if not self._take(">"):
                raise ValueError("an angle bracket is not closed")
        elif self._take("@"):
            local_part, domain = _local_part(words), self._domain()
        else:
            local_part = _name(words)
        self._pass_blanks()
        return Entry(name, local_part, domain, comments=self._take_comments())

    def _take_route(self) -> None:
        """Pass over "@one,@two:" (RFC 5322 4.4)."""
        at = self._at
        while self._take("@"):
            self._domain()
            self._take(",")
        if at != self._at and not self._take(":"):
            raise ValueError("an address has a route that does not end")

    def _domain(self) -> str:
        parts: list[str] = []
        while True:
            self._pass_blanks()
            if self._at == len(self._tokens):
                break
            kind, text = self._tokens[self._at]
            is_dot = text == "."
            if not is_dot and (
                kind not in ("atom", "literal") or parts[-1:] not in ([], ["."])
            ):
                break
            parts.append(text)
            self._at += 1
        return _strictly("".join(parts))

    # What comes next

    def words(self) -> list[_Token]:
        """Take atoms, quoted strings and dots, with the blanks between them."""
        taken: list[_Token] = []
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind == "comment":
                self._comments.append(token.text)
                token = _Token("blank", " ")
            elif token.kind == "literal" or (
                token.kind == "special" and token.text != "."
            ):
                break
            if token.kind != "blank" or (taken and taken[-1].kind != "blank"):
                taken.append(token)
            self._at += 1
        if taken and taken[-1].kind == "blank":
            taken.pop()
        return taken

    def expect_end(self) -> None:
        """Refuse anything after the last element."""
        self._pass_blanks()
        if self._at < len(self._tokens):
            text = self._tokens[self._at].text
            raise ValueError(f"{text!a} is in the wrong place")

    def _peek(self) -> str:
        return self._tokens[self._at].text[0] if self._at < len(self._tokens) else ""

    def _take(self, special: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == (
            "special",
            special,
        ):
            self._at += 1
            return True
        return False

    def _pass_blanks(self) -> None:
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "comment":
                self._comments.append(text)
            elif kind != "blank":
                return
            self._at += 1

    def _take_comments(self) -> tuple[str, ...]:
        taken, self._comments = tuple(self._comments), []
        return taken


def _local_part(words: list[_Token]) -> str:
    """Read words and dots as a local part (RFC 5322 3.4.1, 4.4)."""
    parts: list[str] = []
    is_word_due = True
    for kind, text in words:
        if kind == "blank":
            continue
        if "=?" in text and kind != "quoted":
            raise ValueError(f"an address has the encoded word {text!a}")
        if (kind == "special") is is_word_due:
            raise ValueError(f"an address has {text!a} where it must not")
        is_word_due = kind == "special"
        if kind == "quoted":
            text = _QUOTED_PAIR.sub(r"\1", text[1:-1])  # noqa: PLW2901
        parts.append(text)
    if is_word_due:
        raise ValueError("an address has no whole local part before its '@'")
    return _strictly("".join(parts))


def _strictly(text: str) -> str:
    """Read octets beyond ASCII in an address: they are UTF-8 (RFC 6532)."""
    if text.isascii():
        return text
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError as exc:
        raise ValueError(f"an address has octets that are not UTF-8: {text!a}") from exc


# Writing


def pieces_of(entries: Iterable[Entry], *, utf8: bool = False) -> list[Piece]:
    """Spell an address list, as words that may be folded between.

    Raises:
        UnicodeError: A local part is beyond ASCII, and `utf8` is not set.
        SMTPArgumentError: IDNA refuses a domain.
    """
    entries = [*entries]
    raw_names = utf8 and all(
        is_clear(each.name, utf8=True)
        for entry in entries
        for each in (entry, *entry.mailboxes)
    )
    return _list_pieces(entries, utf8, raw_names)


def _list_pieces(entries: Iterable[Entry], utf8: bool, raw_names: bool) -> list[Piece]:
    pieces: list[Piece] = []
    for entry in entries:
        if pieces:
            pieces[-1] = pieces[-1].followed_by(",")
        pieces += _entry_pieces(entry, utf8, raw_names)
    return pieces


def _entry_pieces(entry: Entry, utf8: bool, raw_names: bool) -> list[Piece]:
    pieces = phrase_pieces(entry.name, utf8=raw_names) if entry.name else []
    if entry.members is not None:
        pieces[-1] = pieces[-1].followed_by(":")
        pieces += _list_pieces(entry.members, utf8, raw_names)
        pieces[-1] = pieces[-1].followed_by(";")
    elif not entry.domain:
        pieces += phrase_pieces(entry.local_part, utf8=raw_names)
    else:
        address = addr_spec(_for_wire(entry, utf8=utf8))
        is_bare = not pieces and not address.startswith('"')
        pieces.append(Piece(" ", address if is_bare else f"<{address}>"))
    for comment in entry.comments:
        pieces += _comment_pieces(comment, utf8=raw_names)
    return pieces


def _for_wire(entry: Entry, *, utf8: bool) -> Entry:
    if utf8:
        return entry
    entry.local_part.encode("ascii")
    if entry.domain.isascii():
        return entry
    return entry._replace(domain=to_a_labels(entry.domain))


def phrase_pieces(name: str, *, utf8: bool = False) -> list[Piece]:
    """Spell a name: as it is, in quotes, or in encoded words."""
    if not is_clear(name, utf8=utf8):
        return [Piece(" ", Run(name.strip(" ") or name, is_name=True))]
    if not _ATOMS.fullmatch(name):
        name = quoted(name)
    return words_of(name)


def _comment_pieces(comment: str, *, utf8: bool) -> list[Piece]:
    text = from_raw(comment)
    if is_clear(text, utf8=utf8) or (text.isascii() and text.isprintable()):
        return words_of(f"({text})")
    return [Piece(" ", Run(_QUOTED_PAIR.sub(r"\1", text), "(", ")"))]

"""The values of header fields: how each kind of value is read and spelt.

The name of a field decides its structure. (MIME parts are in the module `parts`.)

Rules:

1. Encoded words are for people: they stand in unstructured text, in names and in
   comments (RFC 2047 5). Addresses, identifiers, parameters and tokens have none.
2. A structure reads what it spells. Two values that say the same have one normal form,
   in which it makes no difference how much white space stands between words.
3. A field that no table knows is unstructured text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from ..exceptions import SMTPArgumentError
from ..grammar.addresses import to_a_labels
from .addresslist import (
    Entry,
    from_raw,
    phrase_pieces,
    pieces_of,
    read_addresses,
    read_phrase,
)
from .encodedwords import decode_words, is_clear
from .folding import Piece, Run, words_of
from .mimeparameters import parameter_pieces, read_parameters

__all__ = [
    "ADDRESSES",
    "IDENTIFIERS",
    "PARAMETERS",
    "TEXT",
    "TOKENS",
    "Structure",
    "mended_text",
    "structure_of",
]

_BLANKS = re.compile(r"[ \t\r\n]+")
_PRINTABLE = re.compile(r"[!-~]+")
_IDENTIFIER = re.compile(r"(<[^<>]*>)")
_COMMENT = re.compile(r"(\([^()]*\))")
#: A host name beyond ASCII, alone or behind an "@", but not in the path of a URL.
_INTERNATIONAL_NAME = re.compile(
    r"(?<![^ \t@])(?=[\w.-]*[^\x00-\x7f])[\w-]+(?:\.[\w-]+)+(?![^ \t>;,])"
)


class Structure(NamedTuple):
    """One kind of value.

    Attributes:
        read: Reads an unfolded value. `ValueError` if it has not this structure.
        spell: Writes what `read` gives, as words that may be folded between.
            `UnicodeError` if only SMTPUTF8 could carry it.
        normal: Gives of what `read` gives something that can be compared.
    """

    read: Callable[[str], Any]
    spell: Callable[[Any, bool], list[Piece]]
    normal: Callable[[Any], Any]


def _one_space(text: str) -> str:
    return _BLANKS.sub(" ", text).strip(" ")


# Unstructured text


def _read_text(text: str) -> str:
    return decode_words(from_raw(text))


def _spell_text(text: str, utf8: bool) -> list[Piece]:
    """Spell text: only words that cannot stand for themselves are encoded.

    Neighbours that have to be encoded go together, with the white space between them.
    Where one has to be, so is all that is beyond ASCII: not every reader decodes words
    in a field of UTF-8.
    """
    utf8 = utf8 and is_clear(text, utf8=True)
    pieces: list[Piece] = []
    for piece in words_of(text):
        blank, word = piece
        before = pieces[-1].word if pieces else ""
        if is_clear(str(word), utf8=utf8):
            pieces.append(piece)
        elif isinstance(before, Run):
            run = Run(before.text + blank + str(word))
            pieces[-1] = pieces[-1]._replace(word=run)
        else:
            pieces.append(Piece(blank, Run(str(word))))
    return pieces


def mended_text(source: str) -> list[Piece]:
    """Spell text that was read: only words that cannot travel are encoded.

    An encoded word stays as it is, for others may know its charset; and so does what
    only looks like one, for others may read it.

    Args:
        source: Unfolded; octets beyond ASCII may be surrogates.
    """
    pieces: list[Piece] = []
    for blank, word in words_of(from_raw(source)):
        text = str(word)
        before = pieces[-1].word if pieces else ""
        if _PRINTABLE.fullmatch(text):
            if isinstance(before, Run) and text.startswith("=?"):
                pieces[-1] = Piece(pieces[-1].blank, Run(before.text + blank))
            pieces.append(Piece(blank, text))
        elif isinstance(before, Run):
            pieces[-1] = Piece(pieces[-1].blank, Run(before.text + blank + text))
        else:
            is_behind = before.endswith("?=")  # between them white space is no text
            pieces.append(Piece(blank, Run(blank + text if is_behind else text)))
    return pieces


# Addresses


def _spell_addresses(entries: Iterable[Entry], utf8: bool) -> list[Piece]:
    return pieces_of(entries, utf8=utf8)


def _normal_addresses(entries: Iterable[Entry]) -> tuple[Any, ...]:
    return tuple(
        (
            _one_space(entry.name),
            entry.local_part if entry.domain else _one_space(entry.local_part),
            _normal_domain(entry.domain),
            None if entry.members is None else _normal_addresses(entry.members),
        )
        for entry in entries
    )


def _normal_domain(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    try:
        return to_a_labels(domain)
    except SMTPArgumentError:
        return domain


# Identifiers, such as <1@host.example>, and words between them


def _spell_identifiers(text: str, utf8: bool) -> list[Piece]:
    pieces: list[Piece] = []
    for part in _IDENTIFIER.split(text):
        if part.startswith("<"):
            pieces += words_of(part if utf8 else _identifier_in_ascii(part))
        elif is_clear(part, utf8=utf8):
            pieces += words_of(part)
        else:
            pieces += phrase_pieces(_phrase(part), utf8=utf8)
    return pieces


def _phrase(text: str) -> str:
    try:
        return read_phrase(text)
    except ValueError:
        return decode_words(text).strip(" \t")


def _identifier_in_ascii(identifier: str) -> str:
    if identifier.isascii():
        return identifier
    local_part, at, domain = identifier[1:-1].rpartition("@")
    local_part.encode("ascii")
    return f"<{local_part}{at}{to_a_labels(domain)}>"


def _normal_identifiers(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(_normal_identifier_parts(text))


def _normal_identifier_parts(text: str) -> Iterator[tuple[str, ...]]:
    for part in _IDENTIFIER.split(text):
        if part.startswith("<"):
            local_part, at, domain = part[1:-1].rpartition("@")
            yield local_part, at, _normal_domain(domain)
        elif words := _one_space(part):
            yield (_one_space(_phrase(words)),)


# Tokens, dates, and what only programs read


def _spell_tokens(text: str, utf8: bool) -> list[Piece]:
    if is_clear(text, utf8=utf8) or (text.isascii() and text.isprintable()):
        return words_of(text)
    pieces: list[Piece] = []
    for part in _COMMENT.split(text):
        if not part.startswith("("):
            pieces += words_of(part if utf8 else _names_in_ascii(part))
        elif is_clear(part, utf8=utf8):
            pieces += words_of(part)
        else:
            pieces.append(Piece(" ", Run(decode_words(part[1:-1]), "(", ")")))
    return pieces


def _names_in_ascii(text: str) -> str:
    """Spell host names as A-labels; nothing else beyond ASCII has a spelling here."""
    text = _INTERNATIONAL_NAME.sub(lambda match: _normal_domain(match[0]), text)
    text.encode("ascii")
    return text


def _normal_tokens(text: str) -> str:
    return _one_space(
        "".join(
            f" {decode_words(part[1:-1])} "
            if part.startswith("(")
            else _INTERNATIONAL_NAME.sub(lambda match: _normal_domain(match[0]), part)
            for part in _COMMENT.split(text)
        )
    )


TEXT = Structure(_read_text, _spell_text, _one_space)
ADDRESSES = Structure(read_addresses, _spell_addresses, _normal_addresses)
IDENTIFIERS = Structure(from_raw, _spell_identifiers, _normal_identifiers)
PARAMETERS = Structure(
    read_parameters, lambda read, _: parameter_pieces(*read), lambda read: read
)
TOKENS = Structure(from_raw, _spell_tokens, _normal_tokens)

_ADDRESSES = ("from", "sender", "reply-to", "to", "cc", "bcc")
_IDENTIFIERS = ("message-id", "resent-message-id", "in-reply-to", "references")
_STRUCTURES = {
    **dict.fromkeys(_ADDRESSES, ADDRESSES),
    **{f"resent-{name}": ADDRESSES for name in _ADDRESSES},
    **dict.fromkeys(
        (
            "disposition-notification-to",
            "errors-to",
            "keywords",
            "mail-followup-to",
            "mail-reply-to",
            "return-receipt-to",
        ),
        ADDRESSES,
    ),
    **dict.fromkeys((*_IDENTIFIERS, "content-id", "list-id"), IDENTIFIERS),
    "content-type": PARAMETERS,
    "content-disposition": PARAMETERS,
    **dict.fromkeys(
        (
            "authentication-results",
            "auto-submitted",
            "autocrypt",
            "content-base",
            "content-language",
            "content-location",
            "content-md5",
            "content-transfer-encoding",
            "date",
            "delivered-to",
            "delivery-date",
            "dkim-signature",
            "domainkey-signature",
            "expires",
            "importance",
            "list-archive",
            "list-help",
            "list-owner",
            "list-post",
            "list-subscribe",
            "list-unsubscribe",
            "list-unsubscribe-post",
            "mime-version",
            "precedence",
            "priority",
            "received",
            "received-spf",
            "resent-date",
            "return-path",
            "sensitivity",
            "x-priority",
        ),
        TOKENS,
    ),
}


def structure_of(name: str) -> Structure:
    """Look up how the value of a field is built.

    Args:
        name: In lower case.
    """
    if name.startswith("arc-"):
        return TOKENS
    return _STRUCTURES.get(name, TEXT)

"""Header blocks: written field by field, and read back before they leave.

Rules:

1. A field that was parsed leaves as the message holds it, octet for octet from its name
   on, where it can travel to this server; only what cannot is spelt anew. The parser of
   the standard library keeps no blanks right after the colon, so these cannot be kept.
2. A field that was set is written by its structure. Where the policy of the message
   spells it so that it says the same, within these rules, that spelling is kept; a
   policy never reads what came from others, for which it may need hours.
3. No control character but HT leaves, no field becomes two, and no line has more than
   998 octets. Without SMTPUTF8 a header is ASCII.
4. Nothing is believed: what was written is read back, and says what the message said.
5. What is signed is not spelt anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..exceptions import SMTPArgumentError
from .canonical import MAX_LINE
from .encodedwords import ENCODED_WORD, MOST, decode_word, is_clear
from .fieldvalues import (
    fault,
    is_absent,
    is_header_object,
    meaning_of,
    source_of,
    text_of,
    unfold,
)
from .folding import MAX_SHORT_LINE, Piece, Run, fold, words_of
from .structures import (
    ADDRESSES,
    PARAMETERS,
    TEXT,
    TOKENS,
    Structure,
    mended_text,
)

__all__ = ["Spelling", "UTF8NeededError", "header_block"]

#: RFC 5322 2.2: a field name is printable US-ASCII except colon.
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_LINE_END = re.compile(r"\r\n|\r|\n")
#: A line end that is not a fold: what follows would be a field of its own.
_END_OF_FIELD = re.compile(r"\r\n(?![ \t])|\r(?![\n \t])|(?<!\r)\n(?![ \t])")
_FIELD = re.compile(rb"([!-9;-~]+):[^\r\n]*(?:\r\n[ \t][^\r\n]*)*\r\n")
_BLANK_LINE = re.compile(r"\r\n[ \t]*(?:\r\n|$)")
_FOLDABLE = re.compile(r"(?:[^\r\n]*[^ \t\r\n][ \t]+[^ \t\r\n])")
#: Charsets that every reader knows by these names, all of them made for mail. (The
#: standard library also spells words in the names of its codecs, as "eucgb2312_cn".)
_KNOWN_CHARSET = re.compile(
    r"utf-8|us-ascii|iso-8859-[0-9]+|windows-[0-9]+|koi8-[ru]|iso-2022-[jk][pr]"
    r"|euc-[jk][pr]|shift_jis|gb2312|gbk|gb18030|big5",
    re.IGNORECASE,
)
#: RFC 5322 4.1 has names with dots that are not quoted as obsolete, and the standard
#: library fails to read some that it has written.
_DOT_IN_NAME = re.compile(r'\.[^"<>,@:;]*[<:]')
_NEIGHBOURS = re.compile(r"(=\?[^ \t\r\n]+\?=)[ \t\r\n]+(?=(=\?[^ \t\r\n]+\?=))")

_PLAIN = re.compile(r"[\t -~]*")
_TRAVELS = re.compile(r"[\t\r\n -~]*")
_TRAVELS_UTF8 = re.compile(r"[\t\r\n -~\u00a0-\u2027\u202a-\ud7ff\ue000-\U0010ffff]*")
_SURROGATE = re.compile("[\ud800-\udfff]")

#: Text for people: where no white space lets a line end, ASCII may be encoded.
_FOR_PEOPLE = frozenset({"subject", "comments"})

#: Made when a message is signed already, so that nobody has signed how they are folded.
_SIGNATURES = frozenset(
    {
        "arc-authentication-results",
        "arc-message-signature",
        "arc-seal",
        "dkim-signature",
        "domainkey-signature",
    }
)

#: Characters of a name. For one of 6000 the standard library needs ten seconds.
_LONG_NAME = 100

#: Octets. In lines that are shorter than one encoded character, which needs up to 24,
#: the standard library folds for ever.
_SHORTEST_LINE = 32

_SIGNED_OTHERWISE = (
    "is signed, and as_bytes() writes it in a way that does not say what it should"
)


class UTF8NeededError(SMTPArgumentError):
    """A field that only SMTPUTF8 can carry."""


class Spelling(NamedTuple):
    """How the fields of a part are written.

    Attributes:
        policy: The policy whose spelling is kept where it can be.
        utf8: Whether the header may be in UTF-8 (RFC 6532).
        is_built: Whether a program has made the part, and no parser.
        is_signed: Whether a signature covers it.
        is_exact: Whether that signature covers every blank, too.
    """

    policy: Any
    utf8: bool = False
    is_built: bool = False
    is_signed: bool = False
    is_exact: bool = False


def header_block(fields: Iterable[tuple[str, Any]], spelling: Spelling) -> bytes:
    """Write fields, each with its CRLF, and read them back.

    Raises:
        UTF8NeededError: A field needs SMTPUTF8, and `spelling` does not allow it.
        SMTPArgumentError: A field cannot be written; the text names it.
    """
    names: list[bytes] = []
    written: list[bytes] = []
    for name, value in fields:
        if value is None:
            continue
        octets = _field(name, value, spelling)
        if not octets:
            continue
        names.append(name.encode("ascii"))
        written.append(octets)
    block = b"".join(written)
    if _FIELD.findall(block) != names or _FIELD.sub(b"", block):
        raise SMTPArgumentError("the header block has other fields than the message")
    return block


def _field(name: str, value: Any, spelling: Spelling) -> bytes:
    """Write one field; nothing if it is absent."""
    if not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
        raise SMTPArgumentError(f"the field name {name!a} is none")
    try:
        if is_header_object(value):
            text = _object(name, value, spelling)
        else:
            text = _source(name, source_of(name, value), spelling)
    except SMTPArgumentError as exc:
        if f"the field {name} " in str(exc):
            raise
        raise fault(name, f"cannot be written: {exc}") from exc
    except UnicodeError as exc:
        raise UTF8NeededError(
            f"the field {name} has characters that cannot be spelt in ASCII"
        ) from exc
    except Exception as exc:  # whatever an object of the email package raises
        raise fault(name, f"cannot be written: {exc}") from exc
    return text.encode("utf-8", "surrogateescape") + b"\r\n" if text else b""


# Source: what a parser has read, or a program put there as text


def _source(name: str, source: str, spelling: Spelling) -> str:
    if len(source) + len(name) < MAX_SHORT_LINE - 1 and _PLAIN.fullmatch(source):
        return f"{name}: {source}"
    if _END_OF_FIELD.search(source):
        raise fault(name, "has a line end in its value")
    text = _LINE_END.sub("\r\n", source)
    if text.startswith("\r\n") and spelling.is_exact:
        raise fault(
            name,
            "is signed and folded right after its colon, where the parser drops "
            "blanks; send the message as octets",
        )
    text = f"{name}:{'' if text.startswith(chr(13)) else ' '}{text}"
    # What is signed are octets. Those of characters are not known: as_bytes() encodes
    # them, and a program that has read them from a text has decoded them.
    is_to_fold = spelling.is_built and _is_to_fold(text)
    is_known = not spelling.is_signed or source.isascii() or _has_octets(source)
    if is_known and not is_to_fold and _can_travel(text, utf8=spelling.utf8):
        return text
    structure, meaning = meaning_of(name, unfold(source))
    if spelling.is_built and not _has_octets(source):
        policys = _by_policy(name, source, spelling, structure, meaning)
        if policys is not None:
            return policys
    if spelling.is_signed and name.lower() not in _SIGNATURES:
        raise _refuse_signed(name, text, spelling)
    mended = _by_words(name, unfold(source), structure, spelling)
    if mended is not None and _is_right(name, mended, structure, meaning, spelling):
        return mended
    return _by_structure(name, structure, meaning, spelling)


def _by_words(
    name: str, unfolded: str, structure: Structure, spelling: Spelling
) -> str | None:
    """Write a field whose words can stay; None if they cannot."""
    is_prose = structure in (ADDRESSES, TEXT)
    has_odd_words = _has_long_words(unfolded) or "=?" in ENCODED_WORD.sub("", unfolded)
    if spelling.is_built and is_prose and has_odd_words:
        return None
    if _PLAIN.fullmatch(unfolded):
        return fold(name, words_of(unfolded))
    return fold(name, mended_text(unfolded)) if structure is TEXT else None


def _has_octets(source: str) -> bool:
    return _SURROGATE.search(source) is not None


def _is_to_fold(text: str) -> bool:
    """Whether what a program has put there is one long line, or has a blank one."""
    if "\r" in text:
        return _BLANK_LINE.search(text) is not None
    return len(text) > MAX_SHORT_LINE


def _can_travel(text: str, *, utf8: bool) -> bool:
    if not _TRAVELS.fullmatch(text):
        if not utf8:
            return False
        try:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeError:
            return False
        if not _TRAVELS_UTF8.fullmatch(text):
            return False
    return len(text) <= MAX_LINE // 4 or not _has_long_line(text)


def _has_long_line(text: str) -> bool:
    return any(len(line.encode("utf-8")) > MAX_LINE for line in text.split("\r\n"))


def _refuse_signed(name: str, text: str, spelling: Spelling) -> SMTPArgumentError:
    if spelling.is_built and not _has_octets(text):
        return fault(name, _SIGNED_OTHERWISE)
    if not text.isascii() and not _has_octets(text):
        return fault(
            name,
            "is signed, and a text beyond ASCII does not say what octets were signed; "
            "send the message as octets",
        )
    if _can_travel(text, utf8=True):
        return UTF8NeededError(
            f"the field {name} is signed and has octets beyond ASCII, which only "
            "SMTPUTF8 carries as they are"
        )
    return fault(
        name, "is signed and cannot travel as it is; another spelling is not signed"
    )


# Header objects: what a program has set


def _object(name: str, value: Any, spelling: Spelling) -> str:
    text = text_of(value)
    if _END_OF_FIELD.search(text):
        raise fault(name, "has a line end in its text")
    most = (spelling.policy.max_line_length or MAX_SHORT_LINE) - len(": ")
    if (
        len(name) + len(text) <= min(most, MAX_SHORT_LINE)
        and not hasattr(value, "groups")
        and hasattr(value, "defects")
        and _PLAIN.fullmatch(text)
        and "=?" not in text
        and text.strip() == text != ""
    ):
        return f"{name}: {text}"
    structure, meaning = meaning_of(name, value)
    if not meaning and is_absent(value):
        return ""
    policys = _by_policy(name, value, spelling, structure, meaning)
    if policys is not None:
        return policys
    if spelling.is_signed and name.lower() not in _SIGNATURES:
        raise fault(name, _SIGNED_OTHERWISE)
    return _by_structure(name, structure, meaning, spelling)


def _by_policy(
    name: str, value: Any, spelling: Spelling, structure: Structure, meaning: Any
) -> str | None:
    """Have the policy of the message spell a field; None if it does not do well."""
    policy = spelling.policy
    if spelling.utf8 and not (spelling.is_signed or getattr(policy, "utf8", False)):
        return None
    if structure is ADDRESSES and not spelling.is_signed and _is_slow(meaning):
        return None
    if _is_endless(str(value), policy.max_line_length):
        return None
    try:
        folded = policy.fold(name, value)
    except Exception:  # whatever the email package raises
        return None
    text = _LINE_END.sub("\r\n", folded).removesuffix("\r\n")
    is_long = policy.max_line_length == MAX_SHORT_LINE and any(
        len(line) > MAX_SHORT_LINE and _FOLDABLE.match(line)
        for line in text.removeprefix(f"{name}:").split("\r\n")
    )
    if is_long or (not spelling.is_signed and _is_misread(text, structure)):
        return None
    is_right = _is_right(name, text, structure, meaning, spelling)
    return text if is_right else None


def _is_slow(entries: Iterable[Any]) -> bool:
    """Whether the standard library may need seconds for one of the names."""
    return any(
        len(text := each.name + each.local_part) > _LONG_NAME and not text.isascii()
        for entry in entries
        for each in (entry, *entry.mailboxes)
    )


def _is_endless(text: str, max_line_length: int | None) -> bool:
    """Whether the standard library may never be done with folding."""
    is_to_encode = not text.isascii() or "=?" in text
    return is_to_encode and 0 < (max_line_length or 0) < _SHORTEST_LINE


def _is_misread(text: str, structure: Structure) -> bool:
    """Whether some readers would read something else than RFC 2047 says.

    Text that only looks like the beginning of an encoded word misleads some, and so do
    dots in a name without quotes, and a fold before a transfer encoding. Some do not
    know a charset, or strip every blank of Unicode; and up to Python 3.13 the standard
    library reads a space where a name is cut.
    """
    value = text.partition(":")[2]
    if value.strip() != value.strip(" \t\r\n"):
        return True
    if structure in (PARAMETERS, TOKENS) and value.startswith("\r\n"):
        return True
    if structure is ADDRESSES and _DOT_IN_NAME.search(value):
        return True
    if "=?" not in text:
        return False
    if "=?" in ENCODED_WORD.sub("", text):
        return True
    charsets = {match[1] for match in ENCODED_WORD.finditer(text)}
    if not all(map(_KNOWN_CHARSET.fullmatch, charsets)):
        return True
    return structure is ADDRESSES and any(
        not (decode_word(first) or "").endswith(" ")
        and not (decode_word(second) or "").startswith(" ")
        for first, second in _NEIGHBOURS.findall(text)
    )


def _by_structure(
    name: str, structure: Structure, meaning: Any, spelling: Spelling
) -> str:
    text = fold(name, structure.spell(meaning, spelling.utf8))
    if _has_long_line(text) and name.lower() in _FOR_PEOPLE:
        text = fold(name, [Piece(" ", Run(meaning))])
    if _has_long_line(text):
        raise fault(name, f"has a line of more than {MAX_LINE} octets without a blank")
    if not _is_right(name, text, structure, meaning, spelling):
        raise fault(name, "would not be read as it was written")
    return text


# Reading back


def _is_right(
    name: str, text: str, structure: Structure, meaning: Any, spelling: Spelling
) -> bool:
    """Whether a field that was written can travel, and says what it should."""
    if (
        not text.startswith(f"{name}:")
        or _END_OF_FIELD.search(text)
        or _BLANK_LINE.search(text)
        or not _can_travel(text, utf8=spelling.utf8)
    ):
        return False
    written = text[len(name) + 1 :].replace("\r\n", "")
    is_to_judge = "=?" in written and not spelling.is_signed
    if is_to_judge and not _has_good_words(name, written, structure, meaning):
        return False
    try:
        read = structure.read(written)
    except ValueError:
        return False
    if structure is ADDRESSES and not _is_sound(meaning):
        return _mailboxes(read) == _mailboxes(meaning)
    is_same: bool = structure.normal(read) == structure.normal(meaning)
    return is_same


def _has_good_words(
    name: str, written: str, structure: Structure, meaning: Any
) -> bool:
    if structure is TEXT and name.lower() not in _FOR_PEOPLE and is_clear(meaning):
        return False
    return not _has_long_words(written)


def _has_long_words(text: str) -> bool:
    return any(len(match[0]) > MOST for match in ENCODED_WORD.finditer(text))


def _is_sound(entries: Iterable[Any]) -> bool:
    return all(mailbox.is_address for entry in entries for mailbox in entry.mailboxes)


def _mailboxes(entries: Iterable[Any]) -> tuple[Any, ...]:
    sound: tuple[Any, ...] = ADDRESSES.normal(
        mailbox
        for entry in entries
        for mailbox in entry.mailboxes
        if mailbox.is_address
    )
    return sound

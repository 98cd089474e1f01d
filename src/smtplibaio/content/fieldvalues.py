"""What programs put into header fields, and what it says.

Rules:

1. A `str` in a message is as a parser, or a program, left it: folds are part of it, and
   octets beyond ASCII may be surrogates. It is *source*.
2. A header object of the `email` package says what it says after it was read; so does a
   `Header` of a legacy message.
3. Plain intent is served: a number is text, a list of addresses is a list of addresses,
   None is an absent field. What has no text of its own is an `SMTPArgumentError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from email.charset import UNKNOWN8BIT
from email.errors import InvalidHeaderDefect
from email.header import Header, decode_header
from email.utils import format_datetime
from typing import Any

from ..exceptions import SMTPArgumentError
from .addresslist import Entry, addr_spec, from_raw, quoted, read_addresses
from .structures import (
    ADDRESSES,
    IDENTIFIERS,
    TEXT,
    Structure,
    structure_of,
)

__all__ = [
    "entries_of",
    "fault",
    "faults_of_objects",
    "is_absent",
    "is_header_object",
    "meaning_of",
    "source_of",
    "text_of",
    "unfold",
]

_FOLD = re.compile(r"(?:\r\n|\r|\n)(?=[ \t])")
#: Nearly every address list there is.
_PLAIN_ADDRESS = re.compile(
    r"(?P<local>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@(?P<domain>[A-Za-z0-9.-]+)"
)


def fault(name: str, why: object) -> SMTPArgumentError:
    """Make the error that names a field."""
    return SMTPArgumentError(f"the field {name} {why}")


@contextmanager
def faults_of_objects(what: str) -> Iterator[None]:
    """Turn all that a broken message makes the `email` package raise into our error.

    Args:
        what: What the message cannot be.
    """
    try:
        yield
    except SMTPArgumentError:
        raise
    except Exception as exc:  # whatever the objects raise that a message is made of
        raise SMTPArgumentError(f"the message cannot be {what}: {exc}") from exc


def text_of(value: Any) -> str:
    """Read a header object.

    A legacy message gives a `Header` for a field with octets beyond ASCII, and as a
    `str` that has lost them; here they are surrogates, as in source.
    """
    chunks = decode_header(value) if isinstance(value, Header) else []
    if not any(charset == UNKNOWN8BIT for _, charset in chunks):
        return str(value)
    read = Header()
    for octets, charset in chunks:
        if charset == UNKNOWN8BIT:
            raw = octets.decode("ascii", "surrogateescape")
            read.append(raw, "utf-8", "surrogateescape")
        else:
            read.append(octets, charset)
    return str(read)


def unfold(text: str) -> str:
    """Join the lines of a value; white space stays (RFC 5322 2.2.3)."""
    return _FOLD.sub("", text)


def is_header_object(value: object) -> bool:
    """Whether it is an object of the `email` package, which says what it has read."""
    return hasattr(value, "defects") or (
        hasattr(value, "encode") and not isinstance(value, str)
    )


def source_of(name: str, value: Any) -> str:
    """Make text of a value that is not a header object.

    Raises:
        SMTPArgumentError: It has none.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("ascii", "surrogateescape")
    if isinstance(value, datetime):
        return format_datetime(value)
    if hasattr(value, "addr_spec"):
        return _address_text(_entry_of_address(value))
    if hasattr(value, "addresses"):
        return _address_text(_entry_of_group(value))
    if isinstance(value, (list, tuple)):
        structure = structure_of(name.lower())
        if structure not in (ADDRESSES, IDENTIFIERS):
            raise fault(name, f"is a {type(value).__name__}; pass a str instead")
        separator = ", " if structure is ADDRESSES else " "
        kept = (item for item in value if item is not None)
        return separator.join(source_of(name, item) for item in kept)
    kind: Any = type(value)
    if kind.__str__ is object.__str__ and not isinstance(value, (int, float)):
        raise fault(name, f"is of the type {type(value).__name__}, which has no text")
    return str(value)


def _address_text(entry: Entry) -> str:
    if entry.members is not None:
        members = ", ".join(map(_address_text, entry.members))
        return f"{quoted(entry.name)}: {members};"
    address = addr_spec(entry)
    return f"{quoted(entry.name)} <{address}>" if entry.name else address


def meaning_of(name: str, value: Any) -> tuple[Structure, Any]:
    """Read what a header object, or unfolded source, says.

    Returns:
        How the value is built, and what that structure reads in it.

    Raises:
        SMTPArgumentError: Addresses cannot be told from what is around them.
    """
    if hasattr(value, "groups"):
        return ADDRESSES, _entries_of_groups(name, value.groups)
    text = unfold(text_of(value))
    structure = structure_of(name.lower())
    if hasattr(value, "defects") and structure is TEXT:
        return TEXT, text  # its encoded words have been read
    try:
        return structure, structure.read(text)
    except ValueError as exc:
        if "@" in text:
            raise fault(name, f"cannot be read: {exc}") from exc
        return TEXT, TEXT.read(text)


def _entry_of_address(address: Any) -> Entry:
    return Entry(from_raw(address.display_name), address.username, address.domain)


def _entry_of_group(group: Any) -> Entry:
    members = tuple(map(_entry_of_address, group.addresses))
    return Entry(from_raw(group.display_name or ""), members=members)


def _entries_of_groups(name: str, groups: Iterable[Any]) -> list[Entry]:
    """Read the groups of a header object; one without a name is its members."""
    entries: list[Entry] = []
    for group in groups:
        members = [
            entry
            for address in group.addresses
            for entry in _entries_of_address(name, address)
        ]
        if group.display_name is None:
            entries += members
        else:
            mailboxes = [each for member in members for each in member.mailboxes]
            entries.append(
                Entry(from_raw(group.display_name), members=tuple(mailboxes))
            )
    return entries


def _entries_of_address(name: str, address: Any) -> list[Entry]:
    """Read what a program has put into a list of addresses: objects, or text."""
    if hasattr(address, "addr_spec"):
        return [_entry_of_address(address)]
    if address is None:
        return []
    return read_addresses(unfold(source_of(name, address)))


def is_absent(value: Any) -> bool:
    """Whether a program has set an address field of a new message to None."""
    groups = getattr(value, "groups", ())
    return bool(groups) and all(group.addresses == (None,) for group in groups)


def entries_of(name: str, value: Any) -> list[Entry]:
    """Read the addresses of a field; every one of them is a whole mailbox.

    Raises:
        SMTPArgumentError: The field cannot be read.
    """
    if value is None:
        return []
    try:
        entries = _entries_of(name, value)
    except SMTPArgumentError:
        raise
    except Exception as exc:  # whatever an object of the email package raises
        raise fault(name, f"cannot be read: {exc}") from exc
    for entry in entries:
        for mailbox in entry.mailboxes:
            if not mailbox.is_address:
                what = mailbox.local_part or mailbox.name
                raise fault(name, f"cannot be read: {what!a} is not an address")
    return entries


def _entries_of(name: str, value: Any) -> list[Entry]:
    if hasattr(value, "groups"):
        for defect in value.defects:
            if isinstance(defect, InvalidHeaderDefect):
                raise fault(name, f"cannot be read: {defect}")
        return _entries_of_groups(name, value.groups)
    text = text_of(value) if is_header_object(value) else source_of(name, value)
    if match := _PLAIN_ADDRESS.fullmatch(text):
        return [Entry("", match["local"], match["domain"])]
    return read_addresses(unfold(text))

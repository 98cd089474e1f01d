"""The messages to send: from files, directories and mboxes, or from stdin.

Rules:

1. Every file is opened before the first mail is sent. So a wrong name is found early,
   and the number of mails and octets is known.
2. A message is read just before it is sent, and is not kept in memory afterwards.
3. A message has the same digest in each run, so that a journal can recognise it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from ..content.email import envelope_for
from .mbox import Part, begins_like_mbox, parts_of, read_part

__all__ = ["Letter", "Loaded", "letters_in", "letters_of_stream", "loaded"]


class Loaded(NamedTuple):
    """A message that was read, with its envelope.

    Attributes:
        message: A message of the `email` package.
        sender: The reverse-path.
        recipients: As they are given to the client, each once.
        digest: The digest of its octets and its envelope, which identifies the mail.
    """

    message: Any
    sender: str
    recipients: tuple[str, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that has not been read yet.

    Attributes:
        name: Its place, for people: "a.eml", "box.mbox, message 3".
        size: Its size there, in octets.
        read: A function that returns the message, and the octets for its digest.
    """

    name: str
    size: int
    read: Callable[[], tuple[Any, bytes]]


def loaded(letter: Letter, sender: str | None, recipients: Iterable[str]) -> Loaded:
    """Read a message and find out its envelope.

    Args:
        letter: The message.
        sender: None for the one that the message names.
        recipients: None of them for those that the message names.

    Raises:
        SMTPArgumentError: The message names no sender or no recipient, or its header
            cannot be read.
        OSError: The file cannot be read any more.
    """
    message, octets = letter.read()
    from_, to = envelope_for(message, sender, tuple(recipients) or None)
    from_, to = str(from_), tuple(dict.fromkeys(cast(Iterable[str], to)))
    digest = hashlib.sha256(octets)
    for address in (from_, *to):
        digest.update(b"\0" + address.encode("utf-8", "surrogateescape"))
    return Loaded(message, from_, to, digest.hexdigest()[:32])


def letters_in(path: Path) -> Iterator[Letter]:
    """List the messages of a file, an mbox, a Maildir or a directory of .eml files.

    Raises:
        OSError: It cannot be read.
        ValueError: It has no message.
    """
    if not path.is_dir():
        yield from _letters_in_file(path)
        return
    folders = [path / "new", path / "cur"]  # of a Maildir
    if all(folder.is_dir() for folder in folders):
        files = [file for folder in folders for file in folder.iterdir()]
        files = [file for file in files if not file.name.startswith(".")]
    else:
        files = [file for file in path.iterdir() if file.suffix.lower() == ".eml"]
    if not files:
        raise ValueError(
            f"the directory {path} has no .eml files, and is not a Maildir"
        )
    for file in sorted(files):
        yield from _letters_in_file(file)


def _letters_in_file(path: Path) -> Iterator[Letter]:
    with path.open("rb") as file:
        is_mbox = begins_like_mbox(file.read(16))
        parts = parts_of(file) if is_mbox else []
    if not is_mbox:
        size = path.stat().st_size
        if not size:
            raise ValueError(f"{path} is empty")
        yield Letter(str(path), size, partial(_read_whole, path))
    for number, part in enumerate(parts, 1):
        name = f"{path}, message {number}"
        yield Letter(name, part.size, partial(_read_from, path, part))


def letters_of_stream(stream: BinaryIO, name: str) -> list[Letter]:
    """List the messages of a stream: one message, or an mbox.

    Args:
        stream: It is read to its end.
        name: Its name.

    Raises:
        ValueError: It is empty.
    """
    octets = stream.read()
    if not octets:
        raise ValueError(f"{name} is empty")
    if not begins_like_mbox(octets):
        return [Letter(name, len(octets), partial(_parsed, octets))]
    file = BytesIO(octets)
    return [
        Letter(f"{name}, message {number}", part.size, partial(_read_part, file, part))
        for number, part in enumerate(parts_of(file), 1)
    ]


def _read_whole(path: Path) -> tuple[Any, bytes]:
    return _parsed(path.read_bytes())


def _read_from(path: Path, part: Part) -> tuple[Any, bytes]:
    with path.open("rb") as file:
        return _read_part(file, part)


def _read_part(file: BinaryIO, part: Part) -> tuple[Any, bytes]:
    return _parsed(read_part(file, part))


def _parsed(octets: bytes) -> tuple[Any, bytes]:
    return message_from_bytes(octets), octets

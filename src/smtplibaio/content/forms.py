"""The two forms of content: `Content` is whole and checked, `Stream` is read later.

`content_of` makes one of them from the message that a caller passes.

Rules:

1. A whole message is checked before the first command to the server. A stream is read
   and checked while it is sent.
2. Its size is that of its canonical form: neither stuffed dots nor the final one count
   (RFC 1870 5).
3. Binary content (RFC 3030 3) is octets, not lines, and leaves as it is.
4. The octets of the caller are copied if the caller could change them.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

from ..exceptions import SMTPArgumentError
from .canonical import (
    BLOCK,
    LINE_END,
    Canonicaliser,
    canonical_blocks,
    cut,
    is_plain,
)
from .framing import Dots

__all__ = [
    "AsBytes",
    "Content",
    "Message",
    "Octets",
    "Readable",
    "Stream",
    "content_of",
    "is_readable",
    "octets_of",
]


class AsBytes(Protocol):
    """Anything with `as_bytes()`, the messages of the `email` package among them."""

    def as_bytes(self) -> bytes:
        """Return the message as octets."""


class Readable(Protocol):
    """A binary file, or anything that is read like one."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many octets; none at the end."""


Octets: TypeAlias = bytes | bytearray | memoryview

#: What `data`, `sendmail` and `Pipeline.content` take for a message.
Message: TypeAlias = (
    str | Octets | AsBytes | Readable | Iterable[Octets] | AsyncIterable[Octets]
)


def octets_of(chunk: object) -> bytes:
    """Return octets as `bytes`, which do not change while they are sent.

    Raises:
        SMTPArgumentError: They are none.
    """
    if type(chunk) is bytes:
        return chunk
    try:
        return memoryview(cast(bytes, chunk)).tobytes()
    except TypeError:
        raise SMTPArgumentError(
            f"the content of a mail must be read as bytes, not {type(chunk).__name__}"
        ) from None


class Content:
    """Hold one message that is known to be fit to be sent.

    Attributes:
        size: Octets of the canonical form (RFC 1870 5).
        is_8bit: Whether it needs 8BITMIME (RFC 6152).
        needs_utf8: Whether its header needs SMTPUTF8 (RFC 6531).

    Args:
        octets: The message.
        is_binary: Whether it is BINARYMIME, and nothing in it is a line.
        needs_utf8: Whether its header needs SMTPUTF8.
    """

    def __init__(
        self, octets: bytes, is_binary: bool = False, needs_utf8: bool = False
    ) -> None:
        self._octets = octets
        self._is_canonical = True
        self.size = len(octets)
        self.is_8bit = not is_binary and not octets.isascii()
        self.needs_utf8 = needs_utf8
        if not is_binary and (self.size > BLOCK or not is_plain(octets)):
            self._check()

    def _check(self) -> None:
        canonicaliser = Canonicaliser()
        try:
            self.size = sum(map(len, canonical_blocks(self._octets, canonicaliser)))
        except SMTPArgumentError as exc:
            line = len(LINE_END.findall(self._octets, 0, exc.offset or 0)) + 1
            raise SMTPArgumentError(f"{exc}, in line {line}", exc.offset) from None
        self._is_canonical = not canonicaliser.has_changed

    @classmethod
    def of(cls, message: object, *, is_binary: bool = False) -> Content:
        """Take a whole message in any of the forms that callers have it in.

        Text is encoded as UTF-8, and never binary.

        Raises:
            SMTPArgumentError: It is no whole message, or one that cannot be sent.
        """
        if isinstance(message, str):
            return cls(_encoded(message))
        if isinstance(message, (list, tuple)):
            message = b"".join(map(octets_of, message))
        elif not _is_buffer(message):
            if not _is_as_bytes(message):
                raise SMTPArgumentError(
                    "a message must be str, bytes, an object with as_bytes(), a binary "
                    "file "
                    f"or an iterable of bytes, not {type(message).__name__}"
                )
            message = message.as_bytes()
        return cls(octets_of(message), is_binary=is_binary)

    @property
    def only_block(self) -> bytes | None:
        """The canonical form, where it is at hand and one block; else None."""
        is_one = self._is_canonical and self.size <= BLOCK
        return self._octets if is_one else None

    def blocks(self) -> Iterator[bytes]:
        """Return the canonical form in blocks; an empty message may have none.

        The end that the last line lacks is part of the last block.
        """
        if self._is_canonical:
            return cut(self._octets)
        return canonical_blocks(self._octets, Canonicaliser())

    def wire(self) -> Iterator[bytes]:
        """Return what follows the 354, in blocks: stuffed dots, and the final dot.

        The final dot never stands alone in a block unless the message is empty.
        """
        dots = Dots()
        held: bytes | None = None
        for block in self.blocks():
            if held is not None:
                yield dots.frame(held, is_last=False)
            held = block
        yield dots.frame(held or b"", is_last=True)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as exc:
        offset = len(text[: exc.start].encode("utf-8"))
        raise SMTPArgumentError(
            f"the content has a lone surrogate, at octet {offset}", offset
        ) from exc


class Stream:
    """Hold content that is read as it is sent: what is in it shows only then.

    Args:
        source: A binary file, or an iterable of octets, asynchronous or not.
        is_binary: Whether it is BINARYMIME, and nothing in it is a line.
    """

    size = None
    is_8bit = None
    needs_utf8 = False

    def __init__(self, source: Any, *, is_binary: bool = False) -> None:
        self.source = source
        self.is_binary = is_binary


def content_of(message: object, *, is_binary: bool = False) -> Content | Stream:
    """Make content of a message of any kind that callers may pass.

    Raises:
        SMTPArgumentError: It is no message, or is whole and cannot be sent.
    """
    if type(message) is bytes:
        return Content(message, is_binary, False)
    is_whole = isinstance(message, (str, list, tuple)) or _is_as_bytes(message)
    is_file = not is_whole and is_readable(message)
    if not is_file and (
        is_whole
        or _is_buffer(message)
        or not isinstance(message, (Iterable, AsyncIterable))
    ):
        return Content.of(message, is_binary=is_binary)
    if (is_file and _is_text_file(message)) or isinstance(message, Mapping):
        raise SMTPArgumentError(
            "a message must be read from a file in binary mode or from an iterable of "
            f"bytes, not from {type(message).__name__}"
        )
    return Stream(message, is_binary=is_binary)


def is_readable(source: object) -> TypeGuard[Readable]:
    """Return whether something is read like a file."""
    # Since Python 3.12 `isinstance` with a protocol does not find what stands behind
    # `__getattr__`, where the files of `tempfile` have all that they can do.
    return hasattr(source, "read")


def _is_text_file(file: object) -> bool:
    readers = (codecs.StreamReader, codecs.StreamReaderWriter)
    return hasattr(file, "encoding") or isinstance(file, readers)


def _is_as_bytes(message: object) -> TypeGuard[AsBytes]:
    return hasattr(message, "as_bytes")


def _is_buffer(message: Any) -> bool:
    try:
        memoryview(message).release()
    except TypeError:
        return False
    return True

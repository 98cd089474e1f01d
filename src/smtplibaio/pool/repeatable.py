"""Content that may have to be read again, for another transaction.

Rules:

1. Content that is whole, or can be iterated over again, can be sent again. A file can
   be sent again if it can be put back to its first position.
2. Other content can be sent again only as long as nothing of it was read.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from ..content.forms import is_readable

__all__ = ["Repeatable"]


class Repeatable:
    """A message, and whether it can be sent once more.

    Attributes:
        message: What to give to the client.

    Args:
        message: What the caller gave.
    """

    _watched: _Watched | None = None
    _position: Any = None

    def __init__(self, message: Any) -> None:
        self.message = message
        if isinstance(message, (bytes, str)) or hasattr(message, "as_bytes"):
            return
        if is_readable(message):
            self._position = _position_of(message)
            if self._position is None:
                self._watch(_File(message))
        elif isinstance(message, AsyncIterator):
            self._watch(_AsyncItems(message))
        elif isinstance(message, Iterator):
            self._watch(_Items(message))

    def _watch(self, watched: _Watched) -> None:
        self.message = self._watched = watched

    def can_be_read_twice(self) -> bool:
        """Say whether the content can be in several transactions."""
        return self._watched is None

    def rewind(self) -> bool:
        """Make the message ready to be sent again; say whether it is."""
        if self._position is not None:
            self.message.seek(self._position)
        return self._watched is None or not self._watched.is_begun


def _position_of(file: Any) -> int | None:
    """Return the position of a file that can be put back; None for others."""
    seekable = getattr(file, "seekable", None)
    if seekable is None or inspect.iscoroutinefunction(file.read) or not seekable():
        return None
    position: int = file.tell()
    return position


class _Watched:
    """Content that can be read once; it notes whether the reading has begun."""

    def __init__(self, source: Any) -> None:
        self._source = source
        self.is_begun = False


class _File(_Watched):
    def read(self, size: int, /) -> Any:
        self.is_begun = True
        return self._source.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


class _Items(_Watched):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        self.is_begun = True
        return next(self._source)


class _AsyncItems(_Watched):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        self.is_begun = True
        return await anext(self._source)

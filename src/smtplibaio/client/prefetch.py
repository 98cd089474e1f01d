"""Reading the mails of an iterable, a few ahead of those that are sent.

Rules:

1. An asynchronous iterable is read by one task, a few items ahead; another iterable is
   asked for an item when one is due.
2. If the iterable raises an exception, it is raised in place of the next item.
3. A generator is closed when no more of its items are wanted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
)
from contextvars import ContextVar
from typing import Any

from ..exceptions import SMTPArgumentError

__all__ = ["END", "NOTHING_YET", "Prefetch", "is_read_for"]

#: Returned if there are no more items.
END: Any = object()

#: Returned if there is no item at the moment.
NOTHING_YET: Any = object()


#: The operation for which the running task reads mails; its child tasks inherit it.
_reads_for: ContextVar[object] = ContextVar("smtplibaio.reads_for", default=None)

#: The tasks that read. The loop has only weak references: they could be collected.
_readers: set[asyncio.Task[None]] = set()


class Prefetch:
    """The items of an iterable, with and without waiting for them.

    Args:
        source: The iterable.
        ahead: How many items may be read before they are asked for.
        reader: The operation that the items are for; see `is_read_for`.

    Raises:
        SMTPArgumentError: The source is not an iterable of mails.
    """

    def __init__(self, source: object, ahead: int, reader: object = None) -> None:
        self._ahead = ahead
        self._reader = reader
        self._ready: deque[Any] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._iterator: Iterator[Any] | None = None
        self._items: AsyncIterator[Any] | None = None
        self._error: BaseException | None = None
        is_one = isinstance(source, (str, bytes)) or hasattr(source, "as_bytes")
        if isinstance(source, AsyncIterable):
            self._items = aiter(source)
        elif isinstance(source, Iterable) and not is_one:
            self._iterator = iter(source)
        else:
            raise SMTPArgumentError(
                "messages must be an iterable or asynchronous iterable of Mail or of "
                f"messages, not {type(source).__name__}"
            )

    def at_once(self) -> Any:
        """Return the next item; `NOTHING_YET` if it has not come, `END` after the last.

        Raises:
            BaseException: What the iterable raised.
        """
        if self._iterator is not None:
            try:
                return next(self._iterator, END)
            except StopAsyncIteration as exc:
                # It would end the run, and no error would say why.
                text = "the iterable of mails raised StopAsyncIteration"
                raise RuntimeError(text) from exc
        self._read()
        if not self._ready:
            return NOTHING_YET
        if self._ready[0] is END:
            if self._error is not None:
                raise self._error
            return END
        self._room.set()
        return self._ready.popleft()

    async def next(self) -> Any:
        """Wait for the next item; return `END` after the last.

        Other tasks can always run meanwhile, even if the item is there: a source may
        give mails without end that cannot be sent, and these wait for nothing else.

        Raises:
            BaseException: What the iterable raised.
        """
        await asyncio.sleep(0)
        while (item := self.at_once()) is NOTHING_YET:
            self._news.clear()
            await self._news.wait()
        return item

    def _read(self) -> None:
        if self._task is None and self._items is not None:
            token = _reads_for.set(self._reader)
            self._task = asyncio.get_running_loop().create_task(
                self._read_all(self._items)
            )
            _reads_for.reset(token)
            _readers.add(self._task)
            self._task.add_done_callback(_readers.discard)

    async def _read_all(self, items: AsyncIterator[Any]) -> None:
        try:
            async for item in items:
                self._ready.append(item)
                self._news.set()
                while len(self._ready) >= self._ahead:
                    self._room.clear()
                    await self._room.wait()
        except asyncio.CancelledError as exc:
            self._error = exc
            raise
        except BaseException as exc:
            self._error = exc  # the next call of `next` or `at_once` raises it
        finally:
            self._ready.append(END)
            self._news.set()
            if isinstance(items, AsyncGenerator):
                await items.aclose()

    def cancel(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Read no more, and wait until the iterable has been left."""
        self.cancel()
        if isinstance(self._iterator, Generator):
            self._iterator.close()
        if self._task is not None:
            await asyncio.wait((self._task,))


def is_read_for(reader: object) -> bool:
    """Return whether the running task reads mails for an operation."""
    return reader is not None and _reads_for.get() is reader

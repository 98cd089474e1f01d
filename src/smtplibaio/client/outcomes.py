"""A run of mails, as its caller sees it: an asynchronous iterator of outcomes.

Rules:

1. The session belongs to the run from its first mail on, until it is left.
2. Whatever way it is left, by its end, `break`, an exception or a cancellation, the
   session is ready for the next operation, or its connection has ended. An iterator
   that nobody holds any more has been left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from ..exceptions import SMTPArgumentError, SMTPConnectionError
from ..mail.mail import Outcome
from ..mail.planning import Terms
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from .prefetch import Supply
from .runs import Run
from .windows import Window

__all__ = ["Course", "Outcomes"]


class Outcomes(AsyncIterator[Outcome]):
    """Hold a run for its caller: it is left when nobody holds this any more.

    No coroutine has it in its frame. A frame may outlive its coroutine, as the
    traceback of an error does not let go of it, nor of who called it.

    Args:
        course: The run.
    """

    def __init__(self, course: Course) -> None:
        self._course = course

    def __aiter__(self) -> Outcomes:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Outcome]:
        return self._course.next()

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Leave the run; `async for` does so at its end.

        Raises:
            SMTPConnectionError: Another task is in the middle of a mail.
        """
        return self._course.close()

    def __del__(self) -> None:
        # `break` leaves the iterator without a word, and the next operation must not
        # wait for it.
        self._course.abandon()


class Course:
    """Give the outcomes of a run of mails, which are sent as they are asked for.

    Args:
        messages: See `SMTP.send_many`.
        window: The same.
        begin: Called once for the session: it gives a connection that owes no reply,
            and what it offers.
        end: Called once when the session is given back.
        timeouts: The limits of the session.

    Raises:
        SMTPArgumentError: `messages` is no iterable, or `window` no number.
    """

    def __init__(
        self,
        messages: object,
        window: int,
        begin: Callable[[], Awaitable[tuple[SMTPProtocol, Terms]]],
        end: Callable[[], None],
        timeouts: Timeouts,
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        if not isinstance(window, int) or isinstance(window, bool) or window < 1:
            raise SMTPArgumentError(f"window is a number from 1 on, not {window!r}")
        self._supply = Supply(messages, window)
        self._window = window
        self._begin = begin
        self._end = end
        self._timeouts = timeouts
        self._run: Run | Window | None = None
        self._is_over = False
        self._is_busy = False
        self._is_abandoned = False

    async def next(self) -> Outcome:
        """Give the next outcome."""
        if self._is_busy:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        if self._is_over:
            raise StopAsyncIteration
        self._is_busy = True
        try:
            if self._run is None:
                self._run = await self._started()
            outcome = await self._run.next()
        except BaseException:
            await self._close()
            raise
        finally:
            self._is_busy = False
            if self._is_abandoned:
                self._leave()
        if outcome is None:
            await self._close()
            raise StopAsyncIteration
        return outcome

    async def _started(self) -> Run | Window:
        self._loop = asyncio.get_running_loop()
        protocol, terms = await self._begin()
        if self._window > 1 and terms.allow_window:
            return Window(self._window, protocol, self._supply, terms, self._timeouts)
        return Run(protocol, self._supply, terms, self._timeouts)

    async def close(self) -> None:
        """Leave the run."""
        if self._is_busy:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        await self._close()

    async def _close(self) -> None:
        self._leave()
        await self._supply.close()

    def _leave(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._supply.cancel()
        if self._run is not None:
            self._run.leave()
            self._end()

    def abandon(self) -> None:
        """Leave the run, when the outcome that is waited for is there."""
        self._is_abandoned = True
        if not self._is_busy and self._loop is not None and not self._loop.is_closed():
            self._leave()

"""A run of mails, as its caller sees it: an asynchronous iterator of outcomes.

Rules:

1. The session belongs to the run from its first mail on, until the run is left.
2. A run is left at its end, by `break`, by an exception or by a cancellation. After
   each of them the session is ready for the next operation, or its connection has
   ended. If nothing refers to the iterator any more, the run has been left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from ..exceptions import SMTPArgumentError, SMTPConnectionError
from ..mail.result import Outcome
from .connection import Connection
from .prefetch import Prefetch, is_read_for
from .runs import Run
from .turns import Turns

__all__ = ["Outcomes", "RunWithTurn"]


class Outcomes(AsyncIterator[Outcome]):
    """The iterator that the caller of `SMTP.send_many` holds.

    When nothing refers to it any more, the run is left. That is why no coroutine has
    it in its frame: a traceback keeps the frames of an error alive, and with them
    everything that they refer to, even if the caller has dropped the iterator.

    Args:
        run: The run.
    """

    def __init__(self, run: RunWithTurn) -> None:
        self._run = run

    def __aiter__(self) -> Outcomes:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Outcome]:
        return self._run.next()

    def aclose(self) -> Coroutine[Any, Any, None]:
        """Leave the run; `async for` does so at its end.

        Raises:
            SMTPConnectionError: Another task is in the middle of a mail.
        """
        return self._run.close()

    def __del__(self) -> None:
        # `break` does not call `aclose`, and the next operation must not wait.
        self._run.abandon()


class RunWithTurn:
    """A `Run`, together with the turn that it needs: begins it, and ends both.

    `Run` (in `client.runs`) sends the mails, and expects that the session is its own.
    This class makes sure of that: when the first outcome is asked for it takes the turn
    and begins the run, and when the run is left it gives the turn back.

    Args:
        connection: Whose session is used.
        messages: The mails, as `SMTP.send_many` takes them.
        window: How many mails may be unanswered.

    Raises:
        SMTPArgumentError: `messages` is not an iterable of mails, or `window` not a
            number from 1 on.
    """

    def __init__(self, connection: Connection, messages: object, window: int) -> None:
        if not isinstance(window, int) or isinstance(window, bool) or window < 1:
            raise SMTPArgumentError(
                f"window must be a whole number above 0, not {window!r}"
            )
        self._connection = connection
        self._mails = Prefetch(messages, window, self)
        self._window = window
        self._loop: asyncio.AbstractEventLoop | None = None
        self._maker = _running_task()
        self._user: asyncio.Task[Any] | None = None  # asked for an outcome last
        self._turns: Turns | None = None  # taken, and not given back
        self._run: Run | None = None
        self._is_over = False
        self._is_busy = False
        self._is_abandoned = False

    def is_waiting_for_itself(self) -> bool:
        """Return whether the running task is the one that should ask for outcomes.

        The answer is also yes if the running task reads mails for this run, which waits
        for them. If the task that asked last has ended (before Python 3.12, `wait_for`
        makes such tasks), it asked for the task that made the run.
        """
        user = self._user
        if user is None or user.done():
            user = self._maker
        return user is asyncio.current_task() or is_read_for(self)

    async def next(self) -> Outcome:
        """Return the next outcome."""
        if self._is_busy:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        if self._is_over:
            raise StopAsyncIteration
        self._is_busy = True
        self._user = asyncio.current_task()
        try:
            if self._run is None:
                self._run = await self._started()
            outcome = await self._run.next()
        except BaseException as exc:
            try:
                await self._close()
            except Exception as failed:  # noqa: BLE001  # an iterable may raise anything
                exc.add_note(f"Closing the iterable of mails failed, too: {failed!r}")
            raise
        finally:
            self._is_busy = False
            if self._is_abandoned:
                self._leave()
        if outcome is None:
            await self._close()
            raise StopAsyncIteration
        return outcome

    async def _started(self) -> Run:
        self._loop = asyncio.get_running_loop()
        self._connection.usable()
        turns = self._connection.turns
        await turns.take(self)
        self._turns = turns
        session = self._connection.usable()
        await session.protocol.settled()
        session.protocol.check()
        await session.introduced()
        return Run(session, self._mails, self._window)

    async def close(self) -> None:
        """Leave the run."""
        if self._is_busy:
            raise SMTPConnectionError("another task is waiting for the next outcome")
        await self._close()

    async def _close(self) -> None:
        self._leave()
        await self._mails.close()

    def _leave(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        turns, self._turns = self._turns, None
        try:
            self._mails.cancel()
            if self._run is not None:
                self._run.leave()
        finally:
            if turns is not None:
                turns.give_back()

    def abandon(self) -> None:
        """Leave the run; if a task waits for an outcome, as soon as it has come.

        It may be called from any thread, because garbage is collected in any thread.
        """
        self._is_abandoned = True
        loop = self._loop
        if self._is_busy or loop is None or loop.is_closed():
            return
        if _running_loop() is loop:
            self._leave()
        else:
            with suppress(RuntimeError):  # it was closed just now
                loop.call_soon_threadsafe(self._leave)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _running_task() -> asyncio.Task[Any] | None:
    return None if _running_loop() is None else asyncio.current_task()

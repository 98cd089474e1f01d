"""Whose turn it is: operations use the session one at a time, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from ..exceptions import SMTPConnectionError

__all__ = ["Holder", "Turns"]


class Holder(Protocol):
    """An operation that has its turn."""

    def is_waiting_for_itself(self) -> bool:
        """Return whether the operation ends only after the running task has gone on."""


class Turns:
    """A lock that operations get in their order; it costs nothing if nobody waits.

    It belongs to one event loop. Each operation gives back the turn that it has taken,
    even if the client has another connection meanwhile.
    """

    def __init__(self) -> None:
        self._holder: Holder | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_handed_on = False  # to an operation that has not woken up yet

    def take_at_once(self, holder: Holder) -> bool:
        """Take the turn if it is free, and return whether it was."""
        if self._holder is not None or self._is_handed_on:
            return False
        self._holder = holder
        return True

    async def take(self, holder: Holder) -> None:
        """Wait for the turn.

        Raises:
            SMTPConnectionError: The turn would never come: the operation that has it
                waits for the running task.
        """
        if self.take_at_once(holder):
            return
        if self._holder is not None and self._holder.is_waiting_for_itself():
            raise SMTPConnectionError(
                "the client is in use by a pipeline or by send_many of this task, or "
                "the call comes from a source that the client reads: it would wait "
                "for itself for ever"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()  # the turn came in the same step as the cancellation
            raise
        self._is_handed_on = False
        self._holder = holder

    def give_back(self) -> None:
        """Let the next operation have its turn."""
        self._holder = None
        self._is_handed_on = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done() and not turn.get_loop().is_closed():
                self._is_handed_on = True
                turn.set_result(None)
                return

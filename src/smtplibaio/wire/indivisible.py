"""`Indivisible`: a block of steps that ends the connection if it is broken off."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..exceptions import SMTPConnectionLostError, SMTPException, SMTPProtocolError

__all__ = ["Indivisible"]


class Indivisible:
    """A context manager: if its block is broken off halfway, the connection ends.

    After an SMTP error the dialogue is in step, or the connection has ended already.
    After another exception, for example a cancellation, nobody knows what the server
    waits for: if half of a content was sent, the next command would be part of it.

    Args:
        end: The function that ends the connection, for a reason.
        what: The name of the block, for the text of the reason.
    """

    __slots__ = ("_end", "_what")

    def __init__(self, end: Callable[[SMTPException], object], what: str) -> None:
        self._end = end
        self._what = what

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, SMTPProtocolError):
            self._end(exc)
        elif exc is not None and not isinstance(exc, SMTPException):
            error = SMTPConnectionLostError(f"{self._what} was broken off")
            self._end(error)

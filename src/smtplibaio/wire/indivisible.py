"""What must not be broken off halfway, or else the connection ends with it."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from ..exceptions import SMTPConnectionLostError, SMTPException, SMTPProtocolError

__all__ = ["Indivisible"]


class Indivisible:
    """End a connection if what is done inside is broken off halfway.

    After an SMTP error the dialogue is in step, or the connection has ended already;
    after anything else, a cancellation say, nobody knows what the server waits for:
    with a content half sent, the next command would be mail.

    Args:
        end: What ends the connection, for a reason.
        what: What is done, for the text of the reason.
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

"""Every exception that smtplibaio raises, drawn once.

::

    SMTPException
     |- SMTPCommandNotSupportedError      not announced by the server; nothing written
     |- SMTPLoginError                    every mechanism that was tried has failed
     |- SMTPNoRecipientError              every recipient was refused
     |- SMTPRecipientRefusedError         one was refused and all were wanted
     |- SMTPCommandFailedError            a 4yz or 5yz reply
     |   '- SMTPAuthenticationError       the same, to AUTH
     |- SMTPArgumentError (ValueError)    may not go on the wire; nothing written
     |- SMTPProtocolError                 the server does not speak SMTP (any more)
     |- SMTPTLSError                      the ssl error is its __cause__
     |- SMTPTimeoutError (TimeoutError)
     |- SMTPConnectionError (ConnectionError)
     |   |- SMTPConnectionRefusedError (ConnectionRefusedError)
     |   '- SMTPConnectionLostError (ConnectionResetError)
     '- SMTPDeliveryUnknownError          the mail may have been accepted

Each answers the two questions that a caller who queues mail has: `is_transient` (is
it worth trying again later?) and `safe_to_retry` (is it certain that nothing was
accepted?). Each can be copied and pickled. Text that came from a server is shown with
its control characters escaped, so that it cannot move a terminal's cursor.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

__all__ = [
    "SMTPArgumentError",
    "SMTPAuthenticationError",
    "SMTPCommandFailedError",
    "SMTPCommandNotSupportedError",
    "SMTPConnectionError",
    "SMTPConnectionLostError",
    "SMTPConnectionRefusedError",
    "SMTPDeliveryUnknownError",
    "SMTPException",
    "SMTPLoginError",
    "SMTPNoRecipientError",
    "SMTPProtocolError",
    "SMTPRecipientRefusedError",
    "SMTPTLSError",
    "SMTPTimeoutError",
]


def printable(text: str) -> str:
    """Escape whatever a terminal or a log would not show as one character of text."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def one_line(code: int, message: str) -> str:
    """Give a reply as one line of an error's text."""
    return f"{code} {' '.join(message.split(chr(10)))}".rstrip()


_E = TypeVar("_E", bound="SMTPException")


def again(cause: _E) -> _E:
    """Make an exception for one more caller: same kind, same text, chained.

    One object raised in many tasks would collect all of their tracebacks.
    """
    another = copy.copy(cause)
    # The ssl error is what SMTPTLSError promises as its cause.
    of_tls = cause.__cause__ if isinstance(cause, SMTPTLSError) else None
    another.__cause__ = of_tls or cause
    return another


def without_frames(exc: _E) -> _E:
    """Drop the frames that an exception holds, and those of its causes.

    One that is kept would keep everything that is at hand in them.
    """
    link: BaseException | None = exc
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return exc


class SMTPException(Exception):
    """Be the base of every exception of this library.

    Attributes:
        is_transient: Whether the same call may succeed later.
        safe_to_retry: Whether it is certain that no server has accepted the mail.
            It is, for every exception but `SMTPDeliveryUnknownError`.
    """

    is_transient: bool = False
    safe_to_retry: bool = True

    def __str__(self) -> str:
        return printable(self._text())

    def _text(self) -> str:
        return super().__str__()


class SMTPCommandNotSupportedError(SMTPException):
    """Report a command or parameter that the server has not announced."""

    def __init__(self, command: str, detail: str = "") -> None:
        super().__init__(command, detail)
        self.command = command

    def _text(self) -> str:
        command, detail = self.args
        return f"the server does not announce {command}" + (detail and f": {detail}")


class SMTPLoginError(SMTPException):
    """Report that no mechanism has authenticated the client.

    Attributes:
        exceptions: Why each mechanism failed, in the order they were tried.
    """

    def __init__(self, exceptions: Sequence[SMTPException]) -> None:
        super().__init__(list(exceptions))
        self.exceptions = list(exceptions)
        self.is_transient = all(exc.is_transient for exc in exceptions)

    def _text(self) -> str:
        return "login failed: " + "; ".join(map(str, self.exceptions))


class SMTPNoRecipientError(SMTPException):
    """Report that the server refused every recipient.

    Attributes:
        exceptions: One `SMTPCommandFailedError` a recipient.
        refused: The reply that each recipient got.
    """

    def __init__(
        self, exceptions: Sequence[SMTPException], refused: Mapping[str, Any]
    ) -> None:
        super().__init__(list(exceptions), dict(refused))
        self.exceptions = list(exceptions)
        self.refused = dict(refused)
        self.is_transient = all(exc.is_transient for exc in exceptions)

    def _text(self) -> str:
        return "every recipient was refused: " + _verdicts(self.refused)


class SMTPRecipientRefusedError(SMTPException):
    """Report that a recipient was refused where all or nothing was asked for.

    Attributes:
        refused: The reply that each refused recipient got.
    """

    def __init__(self, refused: Mapping[str, Any]) -> None:
        super().__init__(dict(refused))
        self.refused = dict(refused)
        self.is_transient = all(400 <= code < 500 for code, _ in refused.values())

    def _text(self) -> str:
        return "nothing was sent, for a recipient was refused: " + _verdicts(
            self.refused
        )


class SMTPCommandFailedError(SMTPException):
    r"""Report a 4yz or 5yz reply to a command.

    Attributes:
        code: The reply code.
        message: The text of the reply, its lines joined by "\n".
        command: The verb that was refused.
        reply: The `Reply` itself.
    """

    command: str | None

    def __init__(
        self,
        code: int,
        message: str = "",
        command: str | None = None,
        reply: Any = None,
    ) -> None:
        super().__init__(code, message, command)
        self.code = code
        self.message = message
        self.command = command
        self.reply: Any = (code, message) if reply is None else reply
        self.is_transient = 400 <= code < 500

    def _text(self) -> str:
        return (
            f"{self.command or 'command'} failed: {one_line(self.code, self.message)}"
        )


#: What RFC 4954 6 means by a reply code to AUTH, where the code alone does not tell.
_AUTH_HINTS = {
    432: "the password must be changed or renewed first",
    454: "the server cannot check credentials for the moment",
    504: "the server does not know this mechanism",
    530: "the server wants something else first, TLS as a rule",
    534: "the server wants a stronger mechanism for this user",
    538: "the server wants TLS before it takes this mechanism",
}


class SMTPAuthenticationError(SMTPCommandFailedError):
    """Report a refused AUTH (RFC 4954 6).

    Attributes:
        mechanism: The name of the SASL mechanism that was refused.
        error: What the server said of a refused token, as JSON that was read.
    """

    def __init__(
        self,
        code: int,
        message: str = "",
        mechanism: str | None = None,
        reply: Any = None,
        error: Any = None,
    ) -> None:
        super().__init__(code, message, mechanism, reply)
        self.command = "AUTH"
        self.mechanism = mechanism
        self.error = error

    def _text(self) -> str:
        hint = _AUTH_HINTS.get(self.code, "")
        return f"AUTH {self.mechanism} failed: {one_line(self.code, self.message)}" + (
            hint and f" ({hint})"
        )


class SMTPArgumentError(SMTPException, ValueError):
    """Report an argument that may not go on the wire; nothing was written.

    Attributes:
        offset: Where in the content the fault is, in octets from its start, or None
            where the fault is elsewhere.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class SMTPProtocolError(SMTPException):
    """Report that the server does not speak SMTP (any more); the connection is gone."""


class SMTPTLSError(SMTPException):
    """Report that TLS could not be had, or is missing where it is needed."""


class SMTPTimeoutError(SMTPException, TimeoutError):
    """Report that the server took too long; the connection is gone."""

    is_transient = True


class SMTPConnectionError(SMTPException, ConnectionError):
    """Report that there is no connection, or that none could be had."""

    is_transient = True


class SMTPConnectionRefusedError(SMTPConnectionError, ConnectionRefusedError):
    """Report a refused TCP connection, or a greeting other than 220.

    Attributes:
        code: The code of the greeting, or None where TCP was refused.
        message: The text of the greeting.
    """

    def __init__(self, text: str, code: int | None = None, message: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.message = message
        self.is_transient = code is None or code < 500


class SMTPConnectionLostError(SMTPConnectionError, ConnectionResetError):
    """Report that the connection ended before the reply came.

    Attributes:
        reply: The 421 with which the server took its leave, where there was one.
    """

    def __init__(self, message: str, reply: Any = None) -> None:
        super().__init__(message)
        self.reply = reply


class SMTPDeliveryUnknownError(SMTPException):
    """Report that the mail may have been accepted, or may not.

    The connection ended, or time ran out, between the last octet of the content and
    the final reply (RFC 1047). Nothing in this library ever sends such a mail again.
    """

    safe_to_retry = False


def is_farewell(exc: BaseException) -> bool:
    """Tell whether a connection ended with the server's 421, which is an answer."""
    return isinstance(exc, SMTPConnectionLostError) and exc.reply is not None


def unknown_after(what: object) -> SMTPDeliveryUnknownError:
    """Make the error for a mail all of which was sent, and then came no answer.

    Args:
        what: What came instead.
    """
    return SMTPDeliveryUnknownError(
        f"the mail may have been accepted: all of it was sent, then {what}"
    )


def _verdicts(refused: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{recipient} ({one_line(*reply)})" for recipient, reply in refused.items()
    )

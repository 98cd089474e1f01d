"""Every exception that smtplibaio raises.

::

    SMTPException
     |- SMTPCommandNotSupportedError      not announced by the server; nothing written
     |- SMTPLoginError                    every mechanism that was tried has failed
     |- SMTPNoRecipientError              every recipient was refused
     |- SMTPRecipientRefusedError         one was refused, with all_or_nothing
     |- SMTPCommandFailedError            a 4yz or 5yz reply
     |   '- SMTPAuthenticationError       a 4yz or 5yz reply to AUTH
     |- SMTPArgumentError (ValueError)    may not go on the wire; nothing written
     |- SMTPProtocolError                 the server does not speak SMTP (any more)
     |- SMTPTLSError                      the ssl error is its __cause__
     |- SMTPTimeoutError (TimeoutError)
     |- SMTPConnectionError (ConnectionError)
     |   |- SMTPConnectionRefusedError (ConnectionRefusedError)
     |   '- SMTPConnectionLostError (ConnectionResetError)
     '- SMTPDeliveryUnknownError          the mail may have been accepted

Rules:

1. Each exception answers the two questions that a caller who queues mail has:
   `is_transient` (is it worth trying again later?) and `safe_to_retry` (is it certain
   that nothing was accepted?).
2. Each has a `message`, a `str` that can be printed and stored. What came from a server
   is shown with its control characters escaped, so that it cannot move a terminal's
   cursor, and without lone surrogates, which no file takes. `reply.message` is what the
   server really said.
3. Each can be copied and pickled; type, text and attributes stay.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping

TYPE_CHECKING = False  # importing typing costs more than this module
if TYPE_CHECKING:
    from typing import Any, TypeVar

    from .grammar.replies import Reply
    from .mail.result import SendResult

    _E = TypeVar("_E", bound="SMTPException")

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


def _printable_lines(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def one_line(code: int, message: str) -> str:
    """Spell a reply as one line of an error's text."""
    return f"{code} {' '.join(message.split(chr(10)))}".rstrip()


def again(cause: _E) -> _E:
    """Make an exception for one more caller: the type and text of the first, chained.

    One object raised in many tasks would collect all of their tracebacks.
    """
    another = copy.copy(cause)
    # The ssl error is what SMTPTLSError promises as its cause.
    of_tls = cause.__cause__ if isinstance(cause, SMTPTLSError) else None
    another.__cause__ = of_tls or cause
    return another


def without_frames(exc: _E) -> _E:
    """Drop the frames that an exception holds, and those of its causes.

    An exception that is kept would keep everything that is at hand in them. What was
    handled when it was raised is let go and not touched: it may be the caller's, who
    will want its traceback.
    """
    link: BaseException | None = exc
    while link is not None:
        link.__traceback__ = None
        link.__context__ = None
        link = link.__cause__
    return exc


class SMTPException(Exception):
    """The base of every exception of this library.

    Attributes:
        is_transient: Whether the same call may succeed later.
        safe_to_retry: Whether it is certain that no server has accepted the mail.
            It is, for every exception but `SMTPDeliveryUnknownError`.
        result: The replies for the mail that did arrive; None if there are none.
        is_mail_answered: Whether the server had answered MAIL when the connection was
            lost; False if it was not lost within a mail.
        is_content_refused: Whether the server answered the content with its farewell,
            a 421: it has refused the mail.
    """

    is_transient: bool = False
    safe_to_retry: bool = True
    result: SendResult | None = None
    is_mail_answered: bool = False
    is_content_refused: bool = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(*(() if message is None else (message,)))

    def __str__(self) -> str:
        return printable(self._text())

    @property
    def message(self) -> str:
        """What went wrong, as text that can be printed."""
        return str(self)

    def _text(self) -> str:
        return super().__str__()


class SMTPCommandNotSupportedError(SMTPException):
    """Report a command or parameter that the server has not announced.

    Attributes:
        command: The command, or the keyword of the extension.
    """

    def __init__(self, command: str, detail: str = "") -> None:
        super().__init__()
        self.args = (command, detail)
        self.command = command

    def _text(self) -> str:
        command, detail = self.args
        return f"the server does not announce {command}" + (detail and f": {detail}")


class SMTPLoginError(SMTPException):
    """Report that no mechanism has authenticated the client.

    Attributes:
        exceptions: Why each mechanism failed, in the order they were tried.
        code: The code of the last refusal; None if the server refused nothing.
        reply: The reply of the last refusal; None if the server refused nothing.
    """

    def __init__(self, exceptions: Iterable[SMTPException]) -> None:
        super().__init__()
        self.exceptions = list(exceptions)
        self.args = (self.exceptions,)
        self.is_transient = _are_transient(self.exceptions)
        self.code: int | None = None
        self.reply: Reply | None = None
        for exc in self.exceptions:
            if isinstance(exc, SMTPCommandFailedError):
                self.code, self.reply = exc.code, exc.reply

    def _text(self) -> str:
        return "login failed: " + "; ".join(map(str, self.exceptions))


class SMTPNoRecipientError(SMTPException):
    """Report that the server refused every recipient.

    Attributes:
        exceptions: One `SMTPCommandFailedError` for each recipient.
        refused: The reply that each recipient got.
    """

    def __init__(
        self,
        exceptions: Iterable[SMTPCommandFailedError],
        refused: Mapping[str, Reply] | None = None,
    ) -> None:
        super().__init__()
        self.exceptions = list(exceptions)
        self.refused: dict[str, Reply] = dict(refused or {})
        self.args = (self.exceptions, self.refused)
        self.is_transient = _are_transient(self.exceptions)

    def _text(self) -> str:
        said = _verdicts(self.refused) or "; ".join(map(str, self.exceptions))
        return f"every recipient was refused: {said}"


class SMTPRecipientRefusedError(SMTPException):
    """Report a refused recipient of a mail with `all_or_nothing`.

    Attributes:
        refused: The reply that each refused recipient got.
    """

    def __init__(self, refused: Mapping[str, Reply]) -> None:
        super().__init__()
        self.refused = dict(refused)
        self.args = (self.refused,)
        self.is_transient = _are_transient(self.refused.values())

    def _text(self) -> str:
        return "nothing was sent, for a recipient was refused: " + _verdicts(
            self.refused
        )


class SMTPCommandFailedError(SMTPException):
    """Report a 4yz or 5yz reply to a command.

    Attributes:
        code: The reply code.
        command: The verb that was refused.
        reply: The reply of the server; None if the exception was made without one.
    """

    def __init__(
        self,
        code: int,
        message: str | None = None,
        command: str | None = None,
        reply: Reply | None = None,
    ) -> None:
        super().__init__()
        self.args = (code, message, command)
        self.code = code
        self.command = command
        self.reply = reply
        self.is_transient = 400 <= code < 500 if reply is None else reply.is_transient

    @property
    def message(self) -> str:
        r"""The text of the reply, its lines joined by "\n", fit to be printed."""
        return _printable_lines(self.args[1] or "")

    @property
    def _said(self) -> str:
        return one_line(self.code, self.args[1] or "")

    def _text(self) -> str:
        return f"{self.command or 'command'} failed: {self._said}"


#: What a reply code to AUTH means (RFC 4954 6), where it does not say so itself. 534 is
#: not here: Google says it where the account wants a password made for this program.
_AUTH_HINTS = {
    432: "the password must be changed or renewed first",
    454: "the server cannot check credentials for the moment",
    504: "the server does not know this mechanism",
}


class SMTPAuthenticationError(SMTPCommandFailedError):
    """Report a refused AUTH (RFC 4954 6).

    Attributes:
        mechanism: The name of the SASL mechanism that was refused.
        error: The server's explanation of a refused token: a JSON object, parsed.
    """

    def __init__(
        self,
        code: int,
        message: str | None = None,
        mechanism: str | None = None,
        reply: Reply | None = None,
        error: Any = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(code, message, mechanism, reply)
        self.command = "AUTH"
        self.mechanism = mechanism
        self.error = error
        self._hint = _AUTH_HINTS.get(code, "") if hint is None else hint

    def _text(self) -> str:
        name = f" {self.mechanism}" if self.mechanism else ""
        hint = f" ({self._hint})" if self._hint else ""
        return f"AUTH{name} failed: {self._said}{hint}"


class SMTPArgumentError(SMTPException, ValueError):
    """Report an argument that may not go on the wire; nothing was written.

    Attributes:
        offset: The place of the mistake in the content, in octets from its start; None
            if the mistake is elsewhere.
    """

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class SMTPProtocolError(SMTPException):
    """Report that the server does not speak SMTP (any more); the connection is gone."""


class SMTPTLSError(SMTPException):
    """Report that TLS has failed, or is needed and missing."""


class SMTPTimeoutError(SMTPException, TimeoutError):
    """Report that the server took too long; the connection is gone.

    Attributes:
        result: The replies for the mail that did arrive; None if there are none.
    """

    is_transient = True

    def __init__(self, message: str, result: SendResult | None = None) -> None:
        super().__init__(message)
        self.result = result


class SMTPConnectionError(SMTPException, ConnectionError):
    """Report that there is no connection, or that none could be opened."""

    is_transient = True


class SMTPConnectionRefusedError(SMTPConnectionError, ConnectionRefusedError):
    """Report a refused TCP connection, or a greeting other than 220.

    Attributes:
        code: The code of the greeting, or None if TCP was refused.
    """

    def __init__(self, text: str, code: int | None = None, message: str = "") -> None:
        super().__init__(text)
        self.code = code
        self._greeting = message
        self.is_transient = code is None or code < 500

    @property
    def message(self) -> str:
        r"""The greeting, its lines joined by "\n"; if there was none, what happened.

        It is fit to be printed.
        """
        if self.code is None:
            return str(self)
        return _printable_lines(self._greeting)


class SMTPConnectionLostError(SMTPConnectionError, ConnectionResetError):
    """Report that the connection ended before the reply came.

    Attributes:
        reply: The 421 with which the server closed the connection, or None.
        result: The replies for the mail that did arrive; None if there are none.
    """

    def __init__(
        self,
        message: str,
        reply: Reply | None = None,
        result: SendResult | None = None,
    ) -> None:
        super().__init__(message)
        self.reply = reply
        self.result = result


class SMTPDeliveryUnknownError(SMTPException):
    """Report that the mail may have been accepted, or may not.

    The connection ended, or the time limit passed, between the last octet of the
    content and the final reply (RFC 1047). This library never sends such a mail again.

    Attributes:
        result: The replies for the mail that did arrive; None if there are none.
        unknown: The recipients for whom no final reply has come.
    """

    safe_to_retry = False

    def __init__(
        self,
        message: str,
        result: SendResult | None = None,
        unknown: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.result = result
        self.unknown = list(unknown)


def is_farewell(exc: BaseException) -> bool:
    """Return whether a connection ended with a 421, which is an answer."""
    return isinstance(exc, SMTPConnectionLostError) and exc.reply is not None


def unknown_after(
    what: object, result: SendResult | None = None, unknown: Iterable[str] = ()
) -> SMTPDeliveryUnknownError:
    """Make the error for a mail all of which was sent, and then came no answer.

    Args:
        what: What came instead.
        result: The verdicts that did arrive.
        unknown: The recipients without a verdict.
    """
    text = f"the mail may have been accepted: all of it was sent, then {what}"
    return SMTPDeliveryUnknownError(text, result, unknown)


def _are_transient(verdicts: Iterable[SMTPException | Reply]) -> bool:
    """Return whether there are verdicts, and each of them may change."""
    answers = [verdict.is_transient for verdict in verdicts]
    return bool(answers) and all(answers)


def _verdicts(refused: Mapping[str, Reply]) -> str:
    return "; ".join(
        f"{recipient} ({one_line(*reply)})" for recipient, reply in refused.items()
    )

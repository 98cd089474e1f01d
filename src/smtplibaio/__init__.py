"""An SMTP client for asyncio: mail is never lost, doubled or mixed up unnoticed."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from . import events, sasl
    from .client.pipeline import Pipeline
    from .exceptions import (
        SMTPArgumentError,
        SMTPAuthenticationError,
        SMTPCommandFailedError,
        SMTPCommandNotSupportedError,
        SMTPConnectionError,
        SMTPConnectionLostError,
        SMTPConnectionRefusedError,
        SMTPDeliveryUnknownError,
        SMTPException,
        SMTPLoginError,
        SMTPNoRecipientError,
        SMTPProtocolError,
        SMTPRecipientRefusedError,
        SMTPTimeoutError,
        SMTPTLSError,
    )
    from .grammar.extensions import Extensions
    from .grammar.replies import EnhancedStatus, Reply
    from .mail.mail import Mail
    from .mail.result import Outcome, SendResult
    from .once import send
    from .smtp import LMTP, SMTP, SMTP_SSL
    from .timeouts import Timeouts

__all__ = [
    "LMTP",
    "SMTP",
    "SMTP_SSL",
    "EnhancedStatus",
    "Extensions",
    "Mail",
    "Outcome",
    "Pipeline",
    "Reply",
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
    "SendResult",
    "Timeouts",
    "events",
    "sasl",
    "send",
]

#: Where each name is defined; it is imported when it is first asked for.
_HOME = {
    "EnhancedStatus": "grammar.replies",
    "Extensions": "grammar.extensions",
    "Mail": "mail.mail",
    "Outcome": "mail.result",
    "Pipeline": "client.pipeline",
    "Reply": "grammar.replies",
    "LMTP": "smtp",
    "SMTP": "smtp",
    "SMTPArgumentError": "exceptions",
    "SMTPAuthenticationError": "exceptions",
    "SMTPCommandFailedError": "exceptions",
    "SMTPCommandNotSupportedError": "exceptions",
    "SMTPConnectionError": "exceptions",
    "SMTPConnectionLostError": "exceptions",
    "SMTPConnectionRefusedError": "exceptions",
    "SMTPDeliveryUnknownError": "exceptions",
    "SMTPException": "exceptions",
    "SMTPLoginError": "exceptions",
    "SMTPNoRecipientError": "exceptions",
    "SMTPProtocolError": "exceptions",
    "SMTPRecipientRefusedError": "exceptions",
    "SMTPTLSError": "exceptions",
    "SMTPTimeoutError": "exceptions",
    "SMTP_SSL": "smtp",
    "SendResult": "mail.result",
    "Timeouts": "timeouts",
    "send": "once",
}

#: Modules with names that callers may ask for.
_MODULES = frozenset({"events", "exceptions", "sasl", "smtp"})


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "exceptions", "smtp"]

"""An SMTP client for asyncio: mail is never lost, doubled or mixed up unnoticed."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # typing itself is slow to import
if TYPE_CHECKING:
    from . import events, sasl
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
    from .extensions import Extensions
    from .mails import Mail, Outcome
    from .pipeline import Pipeline
    from .replies import EnhancedStatus, Reply
    from .smtp import SMTP, SMTP_SSL
    from .timeouts import Timeouts
    from .verdicts import SendResult

__all__ = [
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
]

#: Where each name is defined; it is imported when it is first asked for.
_HOME = {
    "EnhancedStatus": "replies",
    "Extensions": "extensions",
    "Mail": "mails",
    "Outcome": "mails",
    "Pipeline": "pipeline",
    "Reply": "replies",
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
    "SendResult": "verdicts",
    "Timeouts": "timeouts",
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

"""An SMTP client for asyncio: mail is never lost, doubled or mixed up unnoticed.

`import smtplibaio` imports nothing else of the package: each name is imported when it
is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import events, exceptions, sasl, smtp
    from .client.config import StartTLS, Token
    from .client.pipeline import Pipeline
    from .content.forms import Message
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
    from .grammar.addresses import AddressLike
    from .grammar.extensions import Extensions
    from .grammar.parameters import Notify
    from .grammar.replies import EnhancedStatus, Reply
    from .mail.mail import Mail
    from .mail.result import Outcome, SendResult
    from .once import send
    from .pool.pool import SMTPPool
    from .pool.statistics import PoolStatistics
    from .smtp import LMTP, SMTP, SMTP_SSL
    from .timeouts import Timeouts

__all__ = [
    "LMTP",
    "SMTP",
    "SMTP_SSL",
    "AddressLike",
    "EnhancedStatus",
    "Extensions",
    "Mail",
    "Message",
    "Notify",
    "Outcome",
    "Pipeline",
    "PoolStatistics",
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
    "SMTPPool",
    "SMTPProtocolError",
    "SMTPRecipientRefusedError",
    "SMTPTLSError",
    "SMTPTimeoutError",
    "SendResult",
    "StartTLS",
    "Timeouts",
    "Token",
    "__version__",
    "events",
    "exceptions",
    "sasl",
    "send",
    "smtp",
]

__version__ = "3.0.0.dev0"

#: The modules that names come from, where that is not `exceptions`.
_HOME = {
    "AddressLike": "grammar.addresses",
    "EnhancedStatus": "grammar.replies",
    "Extensions": "grammar.extensions",
    "LMTP": "smtp",
    "Mail": "mail.mail",
    "Message": "content.forms",
    "Notify": "grammar.parameters",
    "Outcome": "mail.result",
    "Pipeline": "client.pipeline",
    "PoolStatistics": "pool.statistics",
    "Reply": "grammar.replies",
    "SMTP": "smtp",
    "SMTPPool": "pool.pool",
    "SMTP_SSL": "smtp",
    "SendResult": "mail.result",
    "StartTLS": "client.config",
    "Timeouts": "timeouts",
    "Token": "client.config",
    "send": "once",
}
_MODULES = frozenset({"events", "exceptions", "sasl", "smtp"})


def _import(name: str) -> object:
    """Import a public name; the import system asks for it (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    home = _HOME.get(name, "exceptions")
    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


# Not a `def __getattr__`: type checkers and editors would take any name for one of the
# package then, and a misspelt one would pass.
globals().update(__getattr__=_import, __dir__=lambda: list(__all__))

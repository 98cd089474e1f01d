"""An SMTP client for asyncio: mail is never lost, doubled or mixed up unnoticed."""

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

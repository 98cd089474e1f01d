"""How a client is configured; frozen once it is made."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..events import Listener
from ..exceptions import SMTPArgumentError
from ..sasl.choice import BEARER_MECHANISMS, PASSWORD_MECHANISMS, check_names
from ..timeouts import Timeouts
from ..wire.endpoint import Endpoint

__all__ = ["Credentials", "Settings", "StartTLS", "Token"]

#: When to turn to TLS with STARTTLS.
StartTLS = Literal["never", "opportunistic", "required"]

#: An access token, or what gives one; called with True, it must not give the old one.
Token = str | Callable[[bool], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Say who logs in, and with what."""

    username: str | bytes
    password: str | bytes | None = field(default=None, repr=False)
    token: Token | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls,
        username: str | bytes | None,
        password: str | bytes | None,
        token: Token | None,
    ) -> Credentials | None:
        """Take what was given; None where nothing was, or only empty texts.

        Raises:
            SMTPArgumentError: A part is missing, or there is one too many.
        """
        if not (username or password or token):
            return None  # None, or empty variables of an environment
        if not username or (password is None) == (token is None):
            raise SMTPArgumentError(
                "give username and password, or username and token, or none of them"
            )
        return cls(username, password, token)


@dataclass(frozen=True, slots=True)
class Settings:
    """Hold what a client was made with; see `SMTP` for what it means."""

    endpoint: Endpoint
    name: str | None
    timeouts: Timeouts
    credentials: Credentials | None
    mechanisms: Sequence[str] | None
    starttls: StartTLS
    tls_context: ssl.SSLContext | None
    pipelining: bool
    chunking: bool | None
    allow_cleartext_auth: bool
    on_event: Listener | None
    is_lmtp: bool = False

    def __post_init__(self) -> None:
        if self.starttls not in ("never", "opportunistic", "required"):
            raise SMTPArgumentError(
                "starttls is 'never', 'opportunistic' or 'required', not "
                f"{self.starttls!a}"
            )
        if self.endpoint.context is not None and self.starttls != "never":
            raise SMTPArgumentError("TLS from the first octet on leaves no STARTTLS")
        if self.chunking not in (True, False, None):
            raise SMTPArgumentError(
                f"chunking is True, False or None, not {self.chunking!a}"
            )
        if self.mechanisms is not None:
            known = (
                BEARER_MECHANISMS
                if self.credentials is not None and self.credentials.token is not None
                else PASSWORD_MECHANISMS
            )
            names = tuple(check_names(self.mechanisms, known))
            object.__setattr__(self, "mechanisms", names)

    @property
    def is_tls_required(self) -> bool:
        """Tell whether STARTTLS must succeed: where credentials depend on it, too."""
        return self.starttls == "required" or (
            self.starttls == "opportunistic" and self.credentials is not None
        )

"""How a client is configured: checked when it is made, and frozen from then on.

A value of the wrong kind is an error here, where the caller's line is in the traceback,
and not later, when a connection is opened. No error shows a secret.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from ..exceptions import SMTPArgumentError
from ..timeouts import Timeouts
from ..wire.endpoint import Endpoint

if TYPE_CHECKING:
    from ..events import Listener

__all__ = ["Credentials", "Settings", "StartTLS", "Token", "check_flag", "text_of"]

#: When to turn to TLS with STARTTLS.
StartTLS = Literal["never", "opportunistic", "required"]

#: An access token, or a function that gives one; after True it gives a new one.
Token = str | Callable[[bool], Awaitable[str]]


class Credentials(NamedTuple):
    """A username, with its password or its token."""

    username: str | bytes
    password: str | bytes | None = None
    token: Token | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.username!r})"

    @classmethod
    def of(
        cls,
        username: str | bytes | None,
        password: str | bytes | None,
        token: Token | None,
    ) -> Credentials | None:
        """Check the arguments of a client; None if it has none, or only empty texts.

        Raises:
            SMTPArgumentError: A part is missing, is of the wrong kind or cannot be
                sent, or there are both a password and a token.
        """
        if not (username or password or token):
            return None  # None, or empty variables of an environment
        if password and not token:
            token = None
        elif token and not password:
            password = None
        if not username or (password is None) == (token is None):
            raise SMTPArgumentError(
                "give username and password, or username and token, or none of them"
            )
        _check_credential(username, "username")
        if password is not None:
            _check_credential(password, "password")
        else:
            _check_token(username, token)
        return cls(username, password, token)


def _check_credential(value: str | bytes, name: str) -> None:
    from ..sasl.mechanism import credential  # a client without a login needs no SASL

    if not isinstance(value, (str, bytes, bytearray, memoryview)):
        raise SMTPArgumentError(
            f"{name} must be str or bytes, not {type(value).__name__}"
        )
    credential(value, name)


def _check_token(username: str | bytes, token: object) -> None:
    if isinstance(token, str):
        from ..sasl.oauth import XOAUTH2

        XOAUTH2(text_of(username), token)
    elif not callable(token):
        raise SMTPArgumentError(
            "token must be a str, or an async function that returns one, not "
            f"{type(token).__name__}"
        )


def text_of(username: str | bytes) -> str:
    """Return a user name as the text that the mechanisms for tokens take."""
    if isinstance(username, str):
        return username
    return bytes(username).decode("utf-8", "surrogateescape")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False: the text "no" would count as true.

    Raises:
        SMTPArgumentError: It is neither.
    """
    if value not in (True, False):
        raise SMTPArgumentError(f"{name} must be True or False, not {value!a}")


class _Values(NamedTuple):
    """The fields of `Settings`: what `SMTP` documents, by the same names."""

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


class Settings(_Values):
    """What a client was made with; see `SMTP` for what it means.

    Raises:
        SMTPArgumentError: A value is of the wrong kind, or contradicts another one.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        endpoint: Endpoint,
        name: str | None,
        timeouts: Timeouts,
        credentials: Credentials | None,
        mechanisms: Sequence[str] | None,
        starttls: StartTLS,
        tls_context: ssl.SSLContext | None,
        pipelining: bool,
        chunking: bool | None,
        allow_cleartext_auth: bool,
        on_event: Listener | None,
        is_lmtp: bool = False,
    ) -> Self:
        """Check the values, and keep them."""
        if starttls not in ("never", "opportunistic", "required"):
            raise SMTPArgumentError(
                "starttls must be 'never', 'opportunistic' or 'required', not "
                f"{starttls!a}"
            )
        if endpoint.context is not None and starttls != "never":
            raise SMTPArgumentError(
                "the connection uses TLS from the first octet on, so STARTTLS is not "
                "possible: leave starttls= out, or connect to a port that starts TLS "
                "with STARTTLS"
            )
        if chunking not in (True, False, None):
            raise SMTPArgumentError(
                f"chunking must be True, False or None, not {chunking!a}"
            )
        check_flag("pipelining", pipelining)
        check_flag("allow_cleartext_auth", allow_cleartext_auth)
        if not isinstance(tls_context, ssl.SSLContext | None):
            raise SMTPArgumentError(
                "tls_context must be an ssl.SSLContext, not "
                f"{type(tls_context).__name__}"
            )
        if on_event is not None and not callable(on_event):
            raise SMTPArgumentError(
                "on_event must be a function with one argument, not "
                f"{type(on_event).__name__}"
            )
        if mechanisms is not None:
            mechanisms = _mechanisms(mechanisms, credentials)
        return super().__new__(
            cls,
            endpoint,
            name,
            timeouts,
            credentials,
            mechanisms,
            starttls,
            tls_context,
            pipelining,
            chunking,
            allow_cleartext_auth,
            on_event,
            is_lmtp,
        )

    @property
    def is_tls_required(self) -> bool:
        """Whether STARTTLS must succeed: if it is required, or a login follows it."""
        return self.starttls == "required" or (
            self.starttls == "opportunistic" and self.credentials is not None
        )


def _mechanisms(
    mechanisms: Sequence[str], credentials: Credentials | None
) -> tuple[str, ...]:
    from ..sasl.choice import BEARER_MECHANISMS, PASSWORD_MECHANISMS, check_names

    has_token = credentials is not None and credentials.token is not None
    known = BEARER_MECHANISMS if has_token else PASSWORD_MECHANISMS
    return tuple(check_names(mechanisms, known))

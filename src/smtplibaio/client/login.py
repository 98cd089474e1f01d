"""Logging in, on a session: with what, by which mechanisms, and what may be shown.

`log_in_as_configured` is for a client that was made with a username,
`log_in_with_password` for `SMTP.auth`, `log_in_with_mechanism` for `SMTP.authenticate`.
What is said for one mechanism is in `auth_dialogue`.

Rules:

1. A mechanism that shows the password is used only if nobody can listen (over TLS, on
   loopback, on a Unix socket), or if the caller allows it.
2. If a mechanism that hides the password has failed, an attacker between client and
   server may have caused it. After that, the password is shown only to a server whose
   certificate was verified.
3. AUTH comes neither within a mail transaction nor a second time (RFC 4954 4).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..exceptions import (
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPLoginError,
    SMTPTimeoutError,
)
from ..grammar.replies import Reply
from ..sasl.choice import (
    BEARER_MECHANISMS,
    PASSWORD_MECHANISMS,
    bearer_candidates,
    check_names,
    password_candidates,
)
from ..sasl.mechanism import Mechanism
from ..wire.opening import is_local
from ..wire.tls import is_verified
from .auth_dialogue import (
    check_cleartext,
    no_auth,
    nothing_in_common,
    run_mechanism,
    try_mechanisms,
)
from .config import Credentials, text_of
from .session import Session

__all__ = [
    "check_password",
    "log_in_as_configured",
    "log_in_with_mechanism",
    "log_in_with_password",
]


def check_password(
    username: str | bytes, password: str | bytes, mechanisms: Sequence[str] | None
) -> list[str]:
    """Check what a caller passed, and list the mechanisms that may be tried.

    Raises:
        SMTPArgumentError: A credential cannot be sent, or a name is not known.
    """
    names = check_names(mechanisms, PASSWORD_MECHANISMS)
    password_candidates(username, password, (), names)
    return names


async def log_in_as_configured(session: Session, credentials: Credentials) -> None:
    """Log in with the password or the token that the client was made with.

    Raises:
        SMTPException: As `SMTP.connect`.
    """
    mechanisms = session.settings.mechanisms
    username, token = credentials.username, credentials.token
    if credentials.password is not None:
        await log_in_with_password(session, username, credentials.password, mechanisms)
        return
    username = text_of(username)
    if not callable(token):
        await _log_in_with_token(session, username, str(token))
        return
    try:
        await _log_in_with_token(session, username, await token(False))
    except SMTPLoginError as exc:
        is_over = session.protocol.cause is not None
        if is_over or not any(map(_is_refused, exc.exceptions)):
            raise
        try:
            await _log_in_with_token(session, username, await token(True))
        except (SMTPConnectionError, SMTPTimeoutError) as lost:
            raise exc from lost  # the refusal of the server counts for more


async def log_in_with_password(
    session: Session,
    username: str | bytes,
    password: str | bytes,
    mechanisms: Sequence[str] | None,
) -> Reply:
    """Log in with a password.

    Raises:
        SMTPException: As `SMTP.auth`.
    """
    offered = await _offered(session)
    tls = session.protocol.transport.get_extra_info("ssl_object")
    candidates = password_candidates(username, password, offered, mechanisms, tls)
    return await _log_in_with_one_of(
        session, candidates, check_names(mechanisms, PASSWORD_MECHANISMS)
    )


async def log_in_with_mechanism(session: Session, mechanism: Mechanism) -> Reply:
    """Log in with one mechanism.

    Raises:
        SMTPException: As `SMTP.authenticate`.
    """
    if mechanism.name.upper() not in await _offered(session):
        raise SMTPCommandNotSupportedError(f"AUTH {mechanism.name}")
    check_cleartext(mechanism, may_show=_may_show(session))
    reply = await run_mechanism(session.protocol, mechanism, session.timeouts.reply)
    session.note_authenticated()
    return reply


async def _log_in_with_token(session: Session, username: str, token: str) -> Reply:
    offered, mechanisms = await _offered(session), session.settings.mechanisms
    candidates = bearer_candidates(username, token, offered, mechanisms)
    return await _log_in_with_one_of(
        session, candidates, check_names(mechanisms, BEARER_MECHANISMS)
    )


async def _log_in_with_one_of(
    session: Session, candidates: Sequence[Mechanism], usable: Sequence[str]
) -> Reply:
    announced = session.learnt.extensions
    if not candidates:
        raise nothing_in_common(
            announced.auth, usable, announced, is_encrypted=_is_encrypted(session)
        )
    reply = await try_mechanisms(
        session.protocol,
        candidates,
        may_show=_may_show(session),
        may_fall_back=_may_fall_back(session),
        timeout=session.timeouts.reply,
    )
    session.note_authenticated()
    return reply


async def _offered(session: Session) -> tuple[str, ...]:
    learnt = await session.introduced()
    if learnt.is_authenticated:
        raise SMTPArgumentError(
            "the session is authenticated already: a server accepts only one login in "
            "a session"
        )
    if session.open is not None:
        raise SMTPArgumentError(
            "AUTH is not permitted within a mail transaction: send RSET first"
        )
    if "AUTH" not in learnt.extensions:
        raise no_auth(learnt.extensions, is_encrypted=_is_encrypted(session))
    return learnt.extensions.auth


def _is_encrypted(session: Session) -> bool:
    return session.protocol.transport.get_extra_info("ssl_object") is not None


def _may_show(session: Session) -> bool:
    return _is_encrypted(session) or _is_exempt(session)


def _may_fall_back(session: Session) -> bool:
    return is_verified(session.protocol.transport) or _is_exempt(session)


def _is_exempt(session: Session) -> bool:
    settings = session.settings
    return settings.allow_cleartext_auth or is_local(
        session.protocol.transport, is_direct=settings.endpoint.is_direct
    )


def _is_refused(exc: Exception) -> bool:
    if not isinstance(exc, SMTPAuthenticationError):
        return False
    return exc.code == 535 or exc.error is not None

"""A client that turns to TLS, and logs in.

Rules:

1. After the handshake nothing is known: a fresh session, and EHLO again (RFC 3207 4.2).
2. Where TLS is required, or a password would follow, nothing goes on without it.
3. What fails while connecting leaves no connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from .. import sasl
from ..exceptions import (
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..mail.result import check_reply
from ..sasl.choice import BEARER_MECHANISMS, PASSWORD_MECHANISMS, check_names
from ..wire.opening import is_local
from ..wire.protocol import SMTPProtocol
from ..wire.tls import default_context, is_verified, unverified_context
from .config import Credentials
from .introducing import Client
from .login import (
    authenticate,
    check_cleartext,
    login,
    no_auth,
    nothing_in_common,
)
from .session import Session

__all__ = ["SecuredClient"]


class SecuredClient(Client):
    """Be what `SMTP` stands on: see there for the arguments."""

    # Connecting

    async def connect(self) -> Reply:
        """Connect to the server and give its greeting (RFC 5321 3.1).

        Then, where the client was made for it, turn to TLS and log in.

        Raises:
            SMTPConnectionRefusedError: Refused by TCP, or by a greeting but 220.
            SMTPConnectionError: There is no such host or way, or a connection already.
            SMTPTLSError: TLS could not be had.
            SMTPCommandNotSupportedError: STARTTLS is required, and was not announced.
            SMTPCommandFailedError: STARTTLS is required, and was refused.
            SMTPLoginError: No mechanism worked.
            SMTPTimeoutError: It took too long.
        """
        async with self._connection.opening():
            try:
                return await self._open(self._settings.tls_context)
            except SMTPTLSError as exc:
                if not self._may_go_unverified(exc):
                    raise
            # RFC 7435 3: encryption without authentication is better than neither.
            # The old connection is of no use any more.
            await self._connection.close()
            return await self._open(unverified_context())

    def _may_go_unverified(self, exc: SMTPTLSError) -> bool:
        settings = self._settings
        return (
            settings.starttls == "opportunistic"
            and not settings.is_tls_required
            and settings.endpoint.sock is None
            and isinstance(exc.__cause__, ssl.SSLCertVerificationError)
        )

    async def _open(self, context: ssl.SSLContext | None) -> Reply:
        settings = self._settings
        self._session = Session()
        self._greeting = None
        try:
            protocol, greeting = await self._connection.open()
            self._greeting = greeting
            if settings.starttls != "never":
                try:
                    await self._starttls(protocol, context)
                except (SMTPCommandNotSupportedError, SMTPCommandFailedError):
                    if settings.is_tls_required:
                        raise
            if settings.credentials is not None:
                await self._log_in(protocol, settings.credentials)
            protocol.check()  # the server may have said more than it was asked
            return greeting
        except BaseException:
            self._session, self._greeting = Session(), None
            raise

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close(commands.QUIT)

    # TLS

    @property
    def is_encrypted(self) -> bool:
        """Tell whether the connection is encrypted."""
        transport = self.transport
        return transport is not None and bool(transport.get_extra_info("ssl_object"))

    @property
    def is_verified(self) -> bool:
        """Tell whether it is, and the server's certificate and name were verified."""
        transport = self.transport
        return transport is not None and is_verified(transport)

    async def starttls(self, context: ssl.SSLContext | None = None) -> Reply:
        """Turn the connection to TLS (RFC 3207), and send EHLO again.

        Args:
            context: The TLS context; None for the one that the client was made with,
                or else one that verifies against the system's authorities.

        Returns:
            The reply to STARTTLS.

        Raises:
            SMTPCommandNotSupportedError: The server does not announce STARTTLS.
            SMTPCommandFailedError: It refused.
            SMTPTLSError: The handshake failed; the connection has ended.
            SMTPArgumentError: TLS is on already, or a mail transaction is.
        """
        async with self._connection.turn() as protocol:
            return await self._starttls(protocol, context or self._settings.tls_context)

    async def _starttls(
        self, protocol: SMTPProtocol, context: ssl.SSLContext | None
    ) -> Reply:
        name = self._settings.endpoint.name_to_verify
        if self.is_encrypted:
            raise SMTPArgumentError("the connection is encrypted already")
        session = await self._introduced(protocol)
        if session.in_transaction:
            raise SMTPArgumentError("STARTTLS cannot be within a mail transaction")
        if "STARTTLS" not in session.extensions:
            raise SMTPCommandNotSupportedError("STARTTLS")
        with protocol.indivisible("STARTTLS"):
            reply = await protocol.ask_for_tls(commands.STARTTLS, self.timeout.reply)
            if check_reply(reply, "STARTTLS").code != 220:
                raise SMTPProtocolError(f"{reply.code} is no reply to STARTTLS")
            await protocol.start_tls(
                context or default_context(), name, self.timeout.connect
            )
        self._session = Session()
        await self._ehlo(protocol)
        return reply

    # Logging in

    async def auth(
        self,
        username: str | bytes,
        password: str | bytes,
        *,
        mechanisms: Sequence[str] | None = None,
    ) -> Reply:
        """Log in with a user name and a password (RFC 4954).

        Of the mechanisms that the server offers, one of each kind is tried: the
        strongest SCRAM, CRAM-MD5, then PLAIN or else LOGIN.

        Args:
            username: As the server knows the user.
            password: The same; text goes out as UTF-8.
            mechanisms: The only mechanisms to try, in this order; None for those that
                the client was made with.

        Raises:
            SMTPLoginError: None of them worked; its `exceptions` say why.
            SMTPCommandNotSupportedError: The server offers no AUTH.
            SMTPArgumentError: Within a mail transaction, or a second time; or a
                credential that cannot be sent.
        """
        mechanisms = check_names(
            self._settings.mechanisms if mechanisms is None else mechanisms,
            PASSWORD_MECHANISMS,
        )
        sasl.password_candidates(username, password, (), mechanisms)
        async with self._connection.turn() as protocol:
            return await self._auth(protocol, username, password, mechanisms)

    async def authenticate(self, mechanism: sasl.Mechanism) -> Reply:
        """Log in with a mechanism of `sasl`, or with one of your own.

        Raises:
            SMTPAuthenticationError: The server refused, or the mechanism did.
            SMTPCommandNotSupportedError: The server does not offer the mechanism.
            SMTPTLSError: It would show a listener what it needs to log in.
            SMTPProtocolError: The server has not proved itself; the connection ended.
            SMTPArgumentError: Within a mail transaction, or a second time.
        """
        async with self._connection.turn() as protocol:
            if mechanism.name.upper() not in await self._offered(protocol):
                raise SMTPCommandNotSupportedError(f"AUTH {mechanism.name}")
            check_cleartext(mechanism, may_show=self._may_show(protocol))
            reply = await authenticate(protocol, mechanism, self.timeout.reply)
            self._session = replace(self._session, is_authenticated=True)
            return reply

    async def _log_in(self, protocol: SMTPProtocol, credentials: Credentials) -> None:
        mechanisms = self._settings.mechanisms
        if credentials.password is not None:
            await self._auth(
                protocol, credentials.username, credentials.password, mechanisms
            )
            return
        username, token = credentials.username, credentials.token
        if isinstance(username, bytes):
            username = username.decode("utf-8", "surrogateescape")
        if not callable(token):
            await self._auth_with_token(protocol, username, str(token))
            return
        try:
            await self._auth_with_token(protocol, username, await token(False))
        except SMTPLoginError as exc:
            if not any(map(_is_refused, exc.exceptions)):
                raise
            try:
                await self._auth_with_token(protocol, username, await token(True))
            except (SMTPConnectionError, SMTPTimeoutError) as lost:
                raise exc from lost

    async def _auth(
        self,
        protocol: SMTPProtocol,
        username: str | bytes,
        password: str | bytes,
        mechanisms: Sequence[str] | None,
    ) -> Reply:
        offered = await self._offered(protocol)
        tls = protocol.transport.get_extra_info("ssl_object")
        candidates = sasl.password_candidates(
            username, password, offered, mechanisms, tls
        )
        usable = check_names(mechanisms, PASSWORD_MECHANISMS)
        return await self._login(protocol, candidates, usable)

    async def _auth_with_token(
        self, protocol: SMTPProtocol, username: str, token: str
    ) -> Reply:
        offered = await self._offered(protocol)
        mechanisms = self._settings.mechanisms
        candidates = sasl.bearer_candidates(username, token, offered, mechanisms)
        usable = check_names(mechanisms, BEARER_MECHANISMS)
        return await self._login(protocol, candidates, usable)

    async def _login(
        self,
        protocol: SMTPProtocol,
        candidates: Sequence[sasl.Mechanism],
        usable: Sequence[str],
    ) -> Reply:
        announced = self._session.extensions
        if not candidates:
            raise nothing_in_common(
                announced.auth, usable, announced, is_encrypted=self.is_encrypted
            )
        reply = await login(
            protocol,
            candidates,
            may_show=self._may_show(protocol),
            may_fall_back=self._may_fall_back(protocol),
            timeout=self.timeout.reply,
        )
        self._session = replace(self._session, is_authenticated=True)
        return reply

    async def _offered(self, protocol: SMTPProtocol) -> tuple[str, ...]:
        session = await self._introduced(protocol)
        # RFC 4954 4: after a successful AUTH, and within a mail transaction, a server
        # must refuse the command.
        if session.is_authenticated:
            raise SMTPArgumentError("the session is authenticated already")
        if session.in_transaction:
            raise SMTPArgumentError("AUTH is not permitted within a mail transaction")
        if "AUTH" not in session.extensions:
            raise no_auth(session.extensions, is_encrypted=self.is_encrypted)
        return session.extensions.auth

    def _may_show(self, protocol: SMTPProtocol) -> bool:
        """Tell whether a password may be sent as it is."""
        return self.is_encrypted or self._is_exempt(protocol)

    def _may_fall_back(self, protocol: SMTPProtocol) -> bool:
        """Tell the same, for after a mechanism that does not show it has failed.

        Whoever sits between can make that happen, so it takes a server that has shown
        who it is.
        """
        return is_verified(protocol.transport) or self._is_exempt(protocol)

    def _is_exempt(self, protocol: SMTPProtocol) -> bool:
        return self._settings.allow_cleartext_auth or is_local(
            protocol.transport, is_direct=self._settings.endpoint.is_direct
        )


def _is_refused(exc: Exception) -> bool:
    if not isinstance(exc, SMTPAuthenticationError):
        return False
    return exc.code == 535 or exc.error is not None

"""The facade: every SMTP command as a coroutine, and whole transactions.

Rules:

1. Whole operations take turns: a `sendmail`, an `auth` or a pipeline of one task is
   never interleaved with anything of another. Commands that are given one by one
   (`mail`, `rcpt`, `data`) take turns one by one.
2. What cannot work fails before a byte is written.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

from . import commands, transaction
from .commanding import CommandingClient
from .connecting import Endpoint
from .content import Content, Message
from .dialogue import perform
from .envelope import Envelope, check_content, check_tls
from .events import Listener
from .extensions import Extensions
from .fitting import Fitted, envelope_for, fit, is_email_message
from .parameters import Notify, Parameters
from .pipeline import Pipeline
from .replies import Reply
from .settings import Credentials, Settings, StartTLS, Token
from .timeouts import Timeouts
from .tls import default_context
from .transaction import SendResult

__all__ = ["SMTP", "SMTP_SSL"]

_DEFAULT_TIMEOUTS = Timeouts()


class SMTP(CommandingClient):
    """Hold one SMTP session.

    An object can be made outside a loop, be used by many tasks at once, and connect
    again after it was closed. `async with` connects, and at the end says QUIT and
    closes without waiting for the reply.

    Args:
        hostname: Name or address of the server.
        port: Its TCP port: 25 between servers, 587 for submission (RFC 6409).
        fqdn: The name the client gives itself in EHLO. None takes the host's name
            where it has a dot, else the address of the socket; nothing is resolved.
        timeout: `Timeouts`, or one number of seconds for all of them.
        username: With `password` or `token`, whom to log in as when connecting.
        password: Text goes out as UTF-8.
        token: An access token (RFC 7628), or an async callable `token(refresh)` that
            gives one: called with False, and once more with True where the server has
            refused what it gave.
        mechanisms: The only SASL mechanisms to try, in this order; None for the
            strongest that both sides know.
        starttls: Whether to turn to TLS when connecting: "never"; "required", or fail;
            or "opportunistic", where the server offers it, and without asking who it
            is. With credentials, opportunistic is required.
        tls_context: The TLS context; None for one that verifies certificates against
            the system's authorities. Client certificates are loaded into it.
        server_hostname: The name to verify a certificate against, if not `hostname`.
        source_address: The `(host, port)` to connect from.
        sock: A connected socket to use instead of a new one, once.
        path: The path of a Unix socket to connect to.
        pipelining: Whether to group commands where the server offers PIPELINING.
        allow_cleartext_auth: Whether a password may cross a connection that is not
            encrypted. It always may on loopback and on Unix sockets.
        on_event: Called with what happens, as objects of `events`; nothing in them is
            secret. The same goes to the logger "smtplibaio", at DEBUG. It must not
            block.

    Raises:
        SMTPArgumentError: A value that is none.
    """

    _has_implicit_tls = False

    def __init__(
        self,
        hostname: str = "localhost",
        port: int = 25,
        fqdn: str | None = None,
        timeout: Timeouts | float | None = _DEFAULT_TIMEOUTS,
        *,
        username: str | bytes | None = None,
        password: str | bytes | None = None,
        token: Token | None = None,
        mechanisms: Sequence[str] | None = None,
        starttls: StartTLS = "never",
        tls_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        source_address: tuple[str, int] | None = None,
        sock: socket.socket | None = None,
        path: str | os.PathLike[str] | None = None,
        pipelining: bool = True,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
    ) -> None:
        context = (tls_context or default_context()) if self._has_implicit_tls else None
        endpoint = Endpoint(
            hostname, port, source_address, sock, path, context, server_hostname
        )
        super().__init__(
            Settings(
                endpoint=endpoint,
                name=None if fqdn is None else commands.client_name(fqdn),
                timeouts=Timeouts.of(timeout),
                credentials=Credentials.of(username, password, token),
                mechanisms=mechanisms,
                starttls=starttls,
                tls_context=tls_context,
                pipelining=pipelining,
                allow_cleartext_auth=allow_cleartext_auth,
                on_event=on_event,
            )
        )

    # Whole transactions

    async def sendmail(
        self,
        sender: object,
        recipients: object,
        message: Message,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
    ) -> SendResult:
        """Send a message: MAIL, RCPT, DATA and the content, in one transaction.

        Args:
            sender: An address, or "" for the null reverse-path.
            recipients: An address, or an iterable of them.
            message: As for `data`. A message of the `email` package is encoded as the
                server needs it, and Bcc does not leave.
            mail_options: ESMTP parameters of MAIL. SIZE, BODY=8BITMIME and SMTPUTF8
                are added where they are needed and announced.
            rcpt_options: ESMTP parameters of every RCPT.

        Returns:
            The refused recipients with their replies; empty if there were none.

        Raises:
            SMTPNoRecipientError: Every recipient was refused.
            SMTPCommandFailedError: MAIL, DATA or the message was refused.
            SMTPCommandNotSupportedError: The mail needs an extension that was not
                announced; nothing was sent.
            SMTPArgumentError: An argument may not go on the wire, or the message is
                larger than the server takes; nothing was sent.
            SMTPDeliveryUnknownError: All was sent, and no answer came.
        """
        envelope = Envelope.of(
            sender, recipients, mail_options or (), rcpt_options or ()
        )
        return await self._send(envelope, message)

    send_mail = sendmail

    async def send_message(
        self,
        message: Message,
        sender: object = None,
        recipients: object = None,
        *,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
        ret: Literal["FULL", "HDRS"] | None = None,
        envid: str | None = None,
        notify: Notify | Iterable[Notify] | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
        deliver_by: tuple[int, str] | None = None,
        mt_priority: int | None = None,
        hold_for: int | None = None,
        hold_until: datetime | None = None,
        all_or_nothing: bool = False,
    ) -> SendResult:
        """Send a message to whom it names, in one transaction.

        A message of the `email` package is encoded as the server needs it: to 7 bit
        without 8BITMIME, and where its lines are too long. Bcc does not leave.

        Args:
            message: As for `sendmail`.
            sender: None for Sender or From, of the newest Resent fields if there are.
            recipients: None for To, Cc and Bcc of the same.
            mail_options: Raw ESMTP parameters of MAIL.
            rcpt_options: Raw ESMTP parameters of every RCPT.
            ret: What a report of failure returns (RFC 3461).
            envid: An identifier that reports repeat (RFC 3461).
            notify: "NEVER", or any of "SUCCESS", "FAILURE", "DELAY" (RFC 3461).
            orcpt: The original address of each recipient, by recipient (RFC 3461).
            require_tls: Whether every hop must use verified TLS (RFC 8689).
            deliver_by: Seconds, and what then: "R" or "N" (RFC 2852).
            mt_priority: From -9 to 9 (RFC 6710).
            hold_for: Seconds to hold the mail back (RFC 4865).
            hold_until: The same as a moment with its time zone (RFC 4865).
            all_or_nothing: Whether to send nothing if one recipient is refused.

        Raises:
            SMTPRecipientRefusedError: One was, and all were wanted. Where every one
                was, it is SMTPNoRecipientError all the same.
            SMTPTLSError: `require_tls`, and the connection is not verified.
            SMTPException: As `sendmail`.
        """
        if sender is None or recipients is None:
            sender, recipients = envelope_for(message, sender, recipients)
        wanted = Parameters(
            ret=ret,
            envid=envid,
            notify=notify,
            orcpt=orcpt,
            require_tls=require_tls,
            deliver_by=deliver_by,
            mt_priority=mt_priority,
            hold_for=hold_for,
            hold_until=hold_until,
        )
        envelope = Envelope.of(
            sender, recipients, mail_options or (), rcpt_options or (), wanted
        )
        return await self._send(envelope, message, all_or_nothing=all_or_nothing)

    async def _send(
        self,
        envelope: Envelope,
        message: Message,
        *,
        all_or_nothing: bool = False,
    ) -> SendResult:
        is_email = is_email_message(message)
        fitted = None if is_email else Fitted(Content.of(message))
        async with self._connection.turn() as protocol:
            session = await self._introduced(protocol)
            content, needs_utf8 = fitted or fit(message, session.extensions)
            check_content(content, session.extensions, session.extensions.size)
            lines = envelope.commands(
                session.extensions, content, needs_utf8=needs_utf8
            )
            check_tls(envelope.mail_options, is_verified=self.is_verified)
            if session.in_transaction:
                # Somebody gave MAIL and went away. RSET tells them, should they return.
                await perform(protocol, commands.RSET, self.timeout.reply)
                self._session = replace(session, in_transaction=False)
            return await transaction.transact(
                protocol,
                lines,
                list(envelope.recipients),
                content,
                is_grouped=self._is_grouped,
                timeouts=self.timeout,
                all_or_nothing=all_or_nothing,
            )

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """Give commands without waiting for each reply: `async with c.pipeline() as p`.

        The session belongs to the block. Where the server does not offer PIPELINING,
        the same code runs one command at a time.
        """
        async with self._connection.turn() as protocol:
            await self._introduced(protocol)
            pipeline = Pipeline(
                protocol,
                is_grouped=self._is_grouped,
                timeouts=self.timeout,
                utf8=self._utf8,
                in_transaction=self._session.in_transaction,
            )
            try:
                async with pipeline:
                    yield pipeline
            finally:
                self._session = replace(
                    self._session, in_transaction=pipeline.in_transaction
                )

    @property
    def _is_grouped(self) -> bool:
        return self._settings.pipelining and "PIPELINING" in self.extensions

    # What smtplibaio 2 had besides

    @staticmethod
    def parse_esmtp_extensions(message: str) -> tuple[dict[str, str], list[str]]:
        """Read the text of a reply to EHLO: the extensions and the SASL mechanisms."""
        extensions = Extensions.from_reply(Reply(250, message))
        return extensions.by_lower_case, [name.lower() for name in extensions.auth]

    @staticmethod
    def prepare_message(message: Message) -> bytes:
        """Give a message as it goes on the wire, with the final dot."""
        return b"".join(Content.of(message).wire())


class SMTP_SSL(SMTP):
    """Hold one SMTP session over TLS from the first octet on (RFC 8314 3.3).

    Args:
        hostname: Name or address of the server; the certificate must be for it.
        port: Its TCP port.
        fqdn: As for `SMTP`, as everything that is not named here.
        context: The TLS context; None for one that verifies certificates against the
            system's authorities.
        timeout: As for `SMTP`.
    """

    _has_implicit_tls = True

    def __init__(
        self,
        hostname: str = "localhost",
        port: int = 465,
        fqdn: str | None = None,
        context: ssl.SSLContext | None = None,
        timeout: Timeouts | float | None = _DEFAULT_TIMEOUTS,
        *,
        username: str | bytes | None = None,
        password: str | bytes | None = None,
        token: Token | None = None,
        mechanisms: Sequence[str] | None = None,
        server_hostname: str | None = None,
        source_address: tuple[str, int] | None = None,
        sock: socket.socket | None = None,
        path: str | os.PathLike[str] | None = None,
        pipelining: bool = True,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
    ) -> None:
        super().__init__(
            hostname,
            port,
            fqdn,
            timeout,
            username=username,
            password=password,
            token=token,
            mechanisms=mechanisms,
            tls_context=context,
            server_hostname=server_hostname,
            source_address=source_address,
            sock=sock,
            path=path,
            pipelining=pipelining,
            allow_cleartext_auth=allow_cleartext_auth,
            on_event=on_event,
        )

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
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from . import commands, transaction
from .addresses import forward_path, needs_smtputf8, reverse_path
from .connecting import Endpoint
from .content import Content, Message
from .dialogue import perform
from .envelope import Envelope, check_announced, check_content, require
from .events import Listener
from .extensions import Extensions
from .pipeline import Pipeline
from .replies import Reply
from .securing import SecuredClient
from .settings import Credentials, Settings, StartTLS, Token
from .timeouts import Timeouts
from .tls import default_context
from .transaction import SendResult

__all__ = ["SMTP", "SMTP_SSL"]

_DEFAULT_TIMEOUTS = Timeouts()


class SMTP(SecuredClient):
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

    # One mail transaction, command by command

    async def mail(self, sender: object, options: Iterable[str] | None = ()) -> Reply:
        """Send MAIL (RFC 5321 4.1.1.2).

        Args:
            sender: An address, or "" for the null reverse-path.
            options: ESMTP parameters, such as "BODY=8BITMIME".

        Raises:
            SMTPCommandFailedError: The server refused.
            SMTPCommandNotSupportedError: A parameter was not announced.
        """
        mailbox = reverse_path(sender)
        checked = commands.parameters(options or (), "options")
        async with self._connection.turn() as protocol:
            session = await self._introduced(protocol)
            check_announced(checked, session.extensions)
            if needs_smtputf8(mailbox):
                require("SMTPUTF8", session.extensions, "the address is not ASCII")
                checked = tuple(dict.fromkeys((*checked, "SMTPUTF8")))
            line = commands.mail(mailbox, checked)
            with protocol.indivisible("MAIL"):
                reply = await perform(protocol, line, self.timeout.reply)
            self._session = replace(self._session, in_transaction=True)
            return reply

    async def rcpt(
        self, recipient: object, options: Iterable[str] | None = ()
    ) -> Reply:
        """Send RCPT (RFC 5321 4.1.1.3); any 2yz is a success, 251 and 252 too.

        Args:
            recipient: An address.
            options: ESMTP parameters, such as "NOTIFY=NEVER".

        Raises:
            SMTPCommandFailedError: The server refused.
            SMTPCommandNotSupportedError: A parameter was not announced.
        """
        mailbox = forward_path(recipient)
        checked = commands.parameters(options or (), "options")
        async with self._connection.turn() as protocol:
            check_announced(checked, self.extensions)
            if needs_smtputf8(mailbox):
                require("SMTPUTF8", self.extensions, "the address is not ASCII")
            line = commands.rcpt(mailbox, checked)
            with protocol.indivisible("RCPT"):
                return await perform(protocol, line, self.timeout.reply)

    async def data(self, message: Message) -> Reply:
        """Send DATA and the message (RFC 5321 4.1.1.4); give the final reply.

        Args:
            message: Text (sent as UTF-8), octets, or anything with `as_bytes()`. Line
                ends become CRLF, and dots are stuffed.

        Raises:
            SMTPCommandFailedError: The server refused DATA or the message.
            SMTPDeliveryUnknownError: All was sent, and no answer came.
            SMTPArgumentError: The message cannot be sent; nothing was.
        """
        content = Content.of(message)
        async with self._connection.turn() as protocol:
            check_content(content, self.extensions, self.extensions.size)
            reply = await transaction.data(protocol, content, self.timeout)
            self._session = replace(self._session, in_transaction=False)
            return reply

    async def rset(self) -> Reply:
        """Send RSET (RFC 5321 4.1.1.5): forget the transaction that was begun."""
        async with self._connection.turn() as protocol:
            reply = await perform(protocol, commands.RSET, self.timeout.reply)
            self._session = replace(self._session, in_transaction=False)
            return reply

    # Other commands

    async def noop(self, text: str | None = None) -> Reply:
        """Send NOOP (RFC 5321 4.1.1.9)."""
        return await self._perform(commands.noop(text))

    async def vrfy(self, address: str) -> Reply:
        """Send VRFY (RFC 5321 4.1.1.6); 250 and 251 verify, 252 leaves it open."""
        return await self._perform(commands.vrfy(address, utf8=self._utf8))

    async def expn(self, address: str) -> Reply:
        """Send EXPN (RFC 5321 4.1.1.7); the members are the lines of the reply."""
        return await self._perform(commands.expn(address, utf8=self._utf8))

    async def help(self, command: str | None = None) -> str:
        """Send HELP (RFC 5321 4.1.1.8) and give the text."""
        return (await self._perform(commands.help_(command))).message

    async def command(self, verb: str, *args: str) -> Reply:
        """Send a command that has no method of its own, and give its 2yz reply.

        Raises:
            SMTPArgumentError: It has one, or may not go on the wire.
            SMTPCommandFailedError: The server refused.
        """
        return await self._perform(commands.other(verb, *args))

    async def _perform(self, line: bytes) -> Reply:
        async with self._connection.turn() as protocol:
            return await perform(protocol, line, self.timeout.reply)

    @property
    def _utf8(self) -> bool:
        return "SMTPUTF8" in self.extensions

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
            message: As for `data`.
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
        content = Content.of(message)
        async with self._connection.turn() as protocol:
            session = await self._introduced(protocol)
            check_content(content, session.extensions, session.extensions.size)
            lines = envelope.commands(session.extensions, content)
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
            )

    send_mail = sendmail

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

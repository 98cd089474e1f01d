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

from . import commands, sasl, transaction
from .addresses import forward_path, needs_smtputf8, reverse_path
from .authentication import authenticate, check_cleartext, login
from .client import DEFAULT_TIMEOUTS, Client
from .connecting import default_context, is_local
from .content import Content, Message
from .dialogue import perform
from .envelope import Envelope, check_announced, check_content, require
from .events import Listener
from .exceptions import SMTPArgumentError, SMTPCommandNotSupportedError
from .extensions import Extensions
from .pipeline import Pipeline
from .protocol import SMTPProtocol
from .replies import Reply
from .timeouts import Timeouts
from .transaction import SendResult

__all__ = ["SMTP", "SMTP_SSL"]


class SMTP(Client):
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

    # Logging in

    async def auth(
        self,
        username: str | bytes,
        password: str | bytes,
        *,
        mechanisms: Sequence[str] | None = None,
    ) -> Reply:
        """Log in with a user name and a password (RFC 4954).

        Of the mechanisms that the server offers, CRAM-MD5 is tried first, then PLAIN,
        or else LOGIN.

        Args:
            username: As the server knows the user.
            password: The same; text goes out as UTF-8.
            mechanisms: The only mechanisms to try, in this order.

        Raises:
            SMTPLoginError: None of them worked; its `exceptions` say why.
            SMTPCommandNotSupportedError: The server offers no AUTH.
            SMTPArgumentError: Within a mail transaction, or a second time.
        """
        sasl.candidates(username, password, (), mechanisms)
        async with self._connection.turn() as protocol:
            offered = await self._offered(protocol)
            reply = await login(
                protocol,
                sasl.candidates(username, password, offered, mechanisms),
                offered,
                may_show=self._may_show_password(protocol),
                timeout=self.timeout.reply,
            )
            self._session = replace(self._session, is_authenticated=True)
            return reply

    async def authenticate(self, mechanism: sasl.Mechanism) -> Reply:
        """Log in with a SASL mechanism of the caller's (see `sasl`).

        Raises:
            SMTPAuthenticationError: The server refused, or the mechanism did.
            SMTPCommandNotSupportedError: The server does not offer the mechanism.
            SMTPTLSError: It would show a listener what it needs to log in.
            SMTPArgumentError: Within a mail transaction, or a second time.
        """
        async with self._connection.turn() as protocol:
            if mechanism.name.upper() not in await self._offered(protocol):
                raise SMTPCommandNotSupportedError(f"AUTH {mechanism.name}")
            check_cleartext(mechanism, may_show=self._may_show_password(protocol))
            reply = await authenticate(protocol, mechanism, self.timeout.reply)
            self._session = replace(self._session, is_authenticated=True)
            return reply

    async def _offered(self, protocol: SMTPProtocol) -> tuple[str, ...]:
        session = await self._introduced(protocol)
        # RFC 4954 4: "After a successful AUTH command completes, a server MUST reject
        # any further AUTH commands with a 503 reply", and "the AUTH command is not
        # permitted during a mail transaction".
        if session.is_authenticated:
            raise SMTPArgumentError("the session is authenticated already")
        if session.in_transaction:
            raise SMTPArgumentError("AUTH is not permitted within a mail transaction")
        if "AUTH" not in session.extensions:
            raise SMTPCommandNotSupportedError("AUTH")
        return session.extensions.auth

    def _may_show_password(self, protocol: SMTPProtocol) -> bool:
        return (
            self._allow_cleartext_auth
            or self.is_encrypted
            or is_local(protocol.transport)
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
        return self._pipelining and "PIPELINING" in self.extensions

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

    def __init__(
        self,
        hostname: str = "localhost",
        port: int = 465,
        fqdn: str | None = None,
        context: ssl.SSLContext | None = None,
        timeout: Timeouts | float | None = DEFAULT_TIMEOUTS,
        *,
        server_hostname: str | None = None,
        source_address: tuple[str, int] | None = None,
        sock: socket.socket | None = None,
        path: str | os.PathLike[str] | None = None,
        pipelining: bool = True,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
    ) -> None:
        self._context = default_context() if context is None else context
        super().__init__(
            hostname,
            port,
            fqdn,
            timeout,
            server_hostname=server_hostname,
            source_address=source_address,
            sock=sock,
            path=path,
            pipelining=pipelining,
            allow_cleartext_auth=allow_cleartext_auth,
            on_event=on_event,
        )

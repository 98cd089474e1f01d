"""The facade: what a client is made with, and the names that callers know.

Rules:

1. Whole operations take turns: a `sendmail`, an `auth` or a pipeline of one task is
   never interleaved with anything of another. Commands that are given one by one
   (`mail`, `rcpt`, `data`) take turns one by one.
2. What cannot work fails before a byte is written.
3. Configuration is frozen at construction. What a session learns dies with it; the
   client can connect again.
4. Making a client imports what its arguments need. What sends mail is imported by the
   first method that does.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from .client.config import Credentials, Settings, StartTLS, Token, check_flag
from .client.connection import Connection
from .content.email import prepare
from .content.forms import Content, Message
from .exceptions import (
    SMTPArgumentError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPProtocolError,
    SMTPTimeoutError,
)
from .grammar import commands
from .grammar.addresses import forward_path, reverse_path
from .grammar.extensions import Extensions
from .grammar.replies import Reply
from .grammar.uri import port_number
from .mail.envelope import Envelope
from .timeouts import Timeouts
from .wire.endpoint import Endpoint, Proxy
from .wire.tls import default_context, is_verified

if TYPE_CHECKING:
    from datetime import datetime

    from .client.outcomes import Outcomes
    from .client.pipeline import Pipeline
    from .content.progress import ProgressCallback
    from .events import Listener
    from .grammar.addresses import AddressLike
    from .grammar.parameters import Notify
    from .mail.mail import Mail
    from .mail.result import SendResult
    from .sasl.mechanism import Mechanism
    from .url import Configuration, Kind

__all__ = ["LMTP", "SMTP", "SMTP_SSL"]

_DEFAULT_TIMEOUTS = Timeouts()


class SMTP:
    """A client of one SMTP server.

    A client can be made before an event loop runs, can be used by many tasks at once,
    and can connect again after it was closed. `async with` connects, and at the end
    sends QUIT and closes without waiting for the reply. Several tasks may be inside
    `async with` at once: the last one to leave it closes the connection.

    Args:
        hostname: Name or address of the server.
        port: Its TCP port: 25 between servers, 587 for submission (RFC 6409).
        fqdn: The name the client gives itself in EHLO. None takes the host's name
            if it has a dot, else the address of the socket; nothing is resolved.
        timeout: `Timeouts`, or one number of seconds for all of them.
        username: The user to log in as when connecting; it needs `password` or `token`.
        password: The user's password; text is sent as UTF-8.
        token: An access token (RFC 7628), or an async function `token(refresh)` that
            returns one. It is called with False, and once more with True if the server
            refuses that token.
        mechanisms: The only SASL mechanisms to try, in this order; None for the
            strongest that both sides know.
        starttls: When to turn the connection to TLS: "never"; "required", so
            that connecting fails if TLS cannot be had; or "opportunistic", so that TLS
            is used if the server offers it, even if its certificate cannot be verified.
            With credentials, "opportunistic" means "required".
        tls_context: The TLS context; None for one that verifies certificates against
            the system's authorities. Client certificates are loaded into it.
        server_hostname: The name to verify a certificate against, if not `hostname`.
        source_address: The `(host, port)` to connect from.
        sock: A connected socket to use instead of a new one, once.
        path: The path of a Unix socket to connect to.
        pipelining: Whether to group commands if the server offers PIPELINING.
        chunking: Whether content goes with BDAT if the server offers CHUNKING; None
            for only if it must, for BODY=BINARYMIME.
        allow_cleartext_auth: Whether a password may cross a connection that is not
            encrypted. It always may on loopback and on Unix sockets.
        on_event: A function that is called with each event of the module `events`. It
            must not block. No event holds a secret. The logger "smtplibaio" gets the
            same events, at level DEBUG.
        tls: Whether TLS begins with the first octet, whatever the port (RFC 8314 3.3).
        proxy: The URL of a proxy to connect through: socks4://, socks4a://, socks5://,
            socks5h:// (the "a" and the "h": the proxy looks up the server's name) or
            http:// for CONNECT. SOCKS needs `pip install "smtplibaio[proxy]"`.

    Raises:
        SMTPArgumentError: A value is not valid; the text says which and why.
    """

    _is_lmtp = False

    def __init__(
        self,
        hostname: str = "localhost",
        port: int | str = 25,
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
        chunking: bool | None = None,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
        tls: bool = False,
        proxy: str | None = None,
    ) -> None:
        check_flag("tls", tls)
        endpoint = Endpoint(
            hostname,
            port_number(port),
            source_address,
            sock,
            path,
            (tls_context or default_context()) if tls else None,
            server_hostname,
            Proxy.of(proxy),
        )
        self._settings = Settings(
            endpoint=endpoint,
            name=None if fqdn is None else commands.client_name(fqdn, "fqdn"),
            timeouts=Timeouts.of(timeout),
            credentials=Credentials.of(username, password, token),
            mechanisms=mechanisms,
            starttls=starttls,
            tls_context=tls_context,
            pipelining=pipelining,
            chunking=chunking,
            allow_cleartext_auth=allow_cleartext_auth,
            on_event=on_event,
            is_lmtp=self._is_lmtp,
        )
        self._connection = Connection(self._settings)

    def __repr__(self) -> str:
        state = "connected" if self.is_connected else "not connected"
        where = f"{self.hostname!r}, {self.port}"
        if self._settings.endpoint.path is not None:
            where = f"path={os.fspath(self._settings.endpoint.path)!r}"
        return f"<{type(self).__name__}({where}): {state}>"

    # From a string

    @classmethod
    def from_url(cls, url: str, **overrides: Any) -> SMTP:
        """Make a client from a URL such as "smtp://user:password@host:587".

        The scheme is smtp://, smtps:// (TLS from the first octet on) or lmtp://;
        smtp+unix:// or lmtp+unix:// with the path of a socket; or service:// with the
        name of a well-known service, as in "service://user:password@gmail". Options
        stand in the query, as in "?timeout=30&mechanisms=PLAIN,LOGIN". With credentials
        in an smtp:// URL, `starttls` is "required" unless the query says otherwise.

        Args:
            url: In user names and passwords every character but letters, digits and
                "-._~" is written percent-encoded.
            overrides: Keyword arguments of the class; they take precedence over the
                URL.

        Raises:
            SMTPArgumentError: The URL has a mistake; no password is in the text.
        """
        from .url import read_url  # few programs need it, and once

        return cls._configured(read_url(url, overrides))

    @classmethod
    def from_env(cls, prefix: str = "SMTP_", **overrides: Any) -> SMTP:
        """Make a client from environment variables; see `from_url` for their values.

        The variables are SMTP_URL, or else SMTP_HOST, SMTP_PORT, SMTP_USERNAME,
        SMTP_PASSWORD, SMTP_STARTTLS and so on: one for each keyword argument.

        Args:
            prefix: The beginning of the names of the variables.
            overrides: Keyword arguments of the class; they take precedence over the
                variables.

        Raises:
            SMTPArgumentError: No server is named, or a variable has a mistake.
        """
        from .url import read_environment

        kind: Kind = "LMTP" if issubclass(cls, LMTP) else "SMTP"
        return cls._configured(read_environment(prefix, overrides, kind=kind))

    @classmethod
    def _configured(cls, configuration: Configuration) -> SMTP:
        is_lmtp = configuration.kind == "LMTP"
        if cls is SMTP and is_lmtp:
            return LMTP(**configuration.options)
        if issubclass(cls, LMTP) is not is_lmtp:
            raise SMTPArgumentError(
                f"{cls.__name__} is not for {configuration.kind.lower()}:// URLs"
            )
        return cls(**configuration.options)

    # What is known

    @property
    def hostname(self) -> str:
        """The name or address of the server, as configured."""
        return self._settings.endpoint.hostname

    @property
    def port(self) -> int:
        """The TCP port of the server, as configured."""
        return self._settings.endpoint.port

    @property
    def timeout(self) -> Timeouts:
        """The time limits, as configured."""
        return self._settings.timeouts

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, as far as the client knows."""
        return self._connection.session is not None

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport of the connection; None without one."""
        protocol = self._connection.protocol
        return None if protocol is None else protocol.transport

    @property
    def greeting(self) -> Reply | None:
        """The greeting of the server; None without a connection."""
        session = self._connection.session
        return None if session is None else session.greeting

    @property
    def extensions(self) -> Extensions:
        """The extensions that the server announced in its reply to EHLO."""
        return self._connection.learnt.extensions

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is encrypted."""
        transport = self.transport
        return transport is not None and bool(transport.get_extra_info("ssl_object"))

    @property
    def is_verified(self) -> bool:
        """Whether it is encrypted, and the certificate and the name were verified."""
        transport = self.transport
        return transport is not None and is_verified(transport)

    @property
    def fqdn(self) -> str | None:
        """The name that EHLO carries; None while it depends on a connection."""
        from .client.session import own_name
        from .wire.opening import address_literal

        name, transport = own_name(self._settings), self.transport
        return address_literal(transport) if name is None and transport else name

    @property
    def last_ehlo_response(self) -> Reply | tuple[None, None]:
        """The last reply to EHLO; `(None, None)` without one."""
        return self._connection.learnt.ehlo_reply or (None, None)

    @property
    def last_helo_response(self) -> Reply | tuple[None, None]:
        """The last reply to HELO; `(None, None)` without one."""
        return self._connection.learnt.helo_reply or (None, None)

    @property
    def supports_esmtp(self) -> bool:
        """Whether the server has answered EHLO."""
        return self._connection.learnt.ehlo_reply is not None

    @property
    def esmtp_extensions(self) -> dict[str, str]:
        """The extensions: keywords in lower case, parameters as one text."""
        return self.extensions.by_lower_case

    @property
    def auth_mechanisms(self) -> list[str]:
        """The SASL mechanisms that the server offers, in lower case."""
        return [name.lower() for name in self.extensions.auth]

    # Connecting and closing

    async def connect(self) -> Reply:
        """Connect to the server and return its greeting (RFC 5321 3.1).

        STARTTLS and the login follow, if the client was made with them.

        Raises:
            SMTPConnectionRefusedError: The port or the greeting refuses the client.
            SMTPConnectionError: The host is unknown or cannot be reached, or the client
                is connected already.
            SMTPTLSError: The TLS handshake failed, or TLS is required and missing.
            SMTPCommandNotSupportedError: STARTTLS is required, and was not announced.
            SMTPCommandFailedError: STARTTLS is required, and was refused.
            SMTPLoginError: No mechanism worked.
            SMTPTimeoutError: A time limit has passed.
        """
        return await self._connection.open()

    async def close(self) -> None:
        """Close the connection, within about a second whatever the server does.

        A call that another task has not finished fails. Without a connection, nothing
        happens.
        """
        await self._connection.close()

    async def __aenter__(self) -> Self:
        await self._connection.enter()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._connection.leave(commands.QUIT)

    async def quit(self) -> Reply:
        """Send QUIT (RFC 5321 4.1.1.10), wait for the reply, and close.

        The connection ends in any case. If the server closes without a reply, or sends
        something that is not a reply, the result is a reply with the code 221.
        """
        async with self._connection.turn() as session:
            try:
                limit = self.timeout.quit
                return await session.protocol.ask(commands.QUIT, limit, "QUIT")
            except SMTPConnectionLostError as exc:
                return exc.reply or Reply(221, "the server closed the connection")
            except (SMTPConnectionError, SMTPProtocolError, SMTPTimeoutError) as exc:
                return Reply(221, str(exc))
            finally:
                await self.close()

    # Introducing the client

    async def ehlo(self, name: str | None = None) -> Reply:
        """Send EHLO (RFC 5321 4.1.1.1), and read the extensions from the reply.

        Args:
            name: The client's name; None for `fqdn`.

        Raises:
            SMTPCommandFailedError: The server refused EHLO, or this name.
        """
        line = None if name is None else commands.ehlo(name)
        async with self._connection.turn() as session:
            return await session.ehlo(line)

    async def helo(self, name: str | None = None) -> Reply:
        """Send HELO (RFC 5321 4.1.1.1), after which no extension is used.

        Args:
            name: The client's name; None for `fqdn`.
        """
        line = None if name is None else commands.helo(name)
        async with self._connection.turn() as session:
            return await session.helo(line)

    async def ehlo_or_helo_if_needed(self) -> None:
        """Send EHLO, or HELO to a server without EHLO, unless one was sent already."""
        async with self._connection.turn(is_introduced=True):
            pass

    # TLS and logging in

    async def starttls(self, context: ssl.SSLContext | None = None) -> Reply:
        """Turn the connection to TLS (RFC 3207), and send EHLO again.

        Args:
            context: The TLS context; None for the one that the client was made with,
                or else one that verifies against the system's authorities.

        Returns:
            The reply to STARTTLS.

        Raises:
            SMTPCommandNotSupportedError: The server does not announce STARTTLS.
            SMTPCommandFailedError: The server refused STARTTLS.
            SMTPTLSError: The handshake failed; the connection has ended.
            SMTPArgumentError: The connection is encrypted already, or a mail
                transaction has begun.
        """
        async with self._connection.turn() as session:
            return await session.starttls(context or self._settings.tls_context)

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
            password: The user's password; text is sent as UTF-8.
            mechanisms: The only mechanisms to try, in this order; None for those that
                the client was made with.

        Raises:
            SMTPLoginError: No mechanism worked; its `exceptions` say why.
            SMTPCommandNotSupportedError: The server offers no AUTH.
            SMTPArgumentError: A mail transaction has begun, or the session is
                authenticated already, or a credential cannot be sent.
        """
        from .client.login import check_password, log_in_with_password

        if mechanisms is None:
            mechanisms = self._settings.mechanisms
        names = check_password(username, password, mechanisms)
        async with self._connection.turn() as session:
            return await log_in_with_password(session, username, password, names)

    async def authenticate(self, mechanism: Mechanism) -> Reply:
        """Log in with a mechanism of `sasl`, or with one of your own.

        Raises:
            SMTPAuthenticationError: The server refused, or the mechanism had no answer.
            SMTPCommandNotSupportedError: The server does not offer the mechanism.
            SMTPTLSError: The mechanism would show the password on a connection that is
                not encrypted.
            SMTPProtocolError: The server did not prove who it is; the connection ended.
            SMTPArgumentError: A mail transaction has begun, or the session is
                authenticated already.
        """
        from .client.login import log_in_with_mechanism

        async with self._connection.turn() as session:
            return await log_in_with_mechanism(session, mechanism)

    # One mail transaction, command by command

    async def mail(
        self, sender: AddressLike, options: Iterable[str] | None = ()
    ) -> Reply:
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
        async with self._connection.turn(is_introduced=True) as session:
            return await session.mail(mailbox, checked)

    async def rcpt(
        self, recipient: AddressLike, options: Iterable[str] | None = ()
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
        async with self._connection.turn() as session:
            return await session.rcpt(mailbox, checked)

    async def data(self, message: Message) -> Reply:
        """Send DATA and the message (RFC 5321 4.1.1.4); return the final reply.

        Args:
            message: Text (sent as UTF-8), octets, an object with `as_bytes()`, a binary
                file, or an iterable of octets, asynchronous or not. Line ends become
                CRLF, and dots at the start of lines are doubled. A file or an iterable
                is read while it is sent; an error in it ends the connection.

        Raises:
            SMTPCommandFailedError: The server refused DATA or the message.
            SMTPDeliveryUnknownError: The whole message was sent, and no reply came.
            SMTPArgumentError: The message cannot be sent, or MAIL has announced
                BINARYMIME, which needs BDAT; nothing was sent.
        """
        fitted = prepare(message)
        async with self._connection.turn() as session:
            return await session.data(message, fitted)

    async def rset(self) -> Reply:
        """Send RSET (RFC 5321 4.1.1.5), which ends the transaction that was begun."""
        async with self._connection.turn() as session:
            return await session.rset()

    # Other commands

    async def noop(self, text: str | None = None) -> Reply:
        """Send NOOP (RFC 5321 4.1.1.9)."""
        return await self._perform(commands.noop(text))

    async def vrfy(self, address: str) -> Reply:
        """Send VRFY (RFC 5321 4.1.1.6); 252 means that the server did not verify."""
        return await self._perform(commands.vrfy(address, utf8=self._is_utf8))

    async def expn(self, address: str) -> Reply:
        """Send EXPN (RFC 5321 4.1.1.7); the members are the lines of the reply."""
        return await self._perform(commands.expn(address, utf8=self._is_utf8))

    async def help(self, command: str | None = None) -> str:
        """Send HELP (RFC 5321 4.1.1.8) and return the text."""
        return (await self._perform(commands.help_(command))).message

    async def command(self, verb: str, *args: str) -> Reply:
        """Send a command that has no method of its own, and return its 2yz reply.

        Raises:
            SMTPArgumentError: The command has a method, or may not be sent.
            SMTPCommandFailedError: The server refused.
        """
        return await self._perform(commands.other(verb, *args))

    async def _perform(self, line: bytes) -> Reply:
        async with self._connection.turn() as session:
            return await session.perform(line)

    @property
    def _is_utf8(self) -> bool:
        return "SMTPUTF8" in self.extensions

    # Whole mails

    async def sendmail(
        self,
        sender: AddressLike,
        recipients: AddressLike | Iterable[AddressLike],
        message: Message,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
    ) -> SendResult:
        """Send a message: MAIL, RCPT, DATA and the content, in one transaction.

        Args:
            sender: An address, or "" for the null reverse-path.
            recipients: An address, or an iterable of addresses.
            message: What `data` takes. A message of the `email` package is encoded as
                the server needs it, and its Bcc field is not sent. With BODY=BINARYMIME
                octets are sent as they are.
            mail_options: ESMTP parameters of MAIL. SIZE, BODY=8BITMIME and SMTPUTF8
                are added if they are needed and announced.
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
            SMTPDeliveryUnknownError: All of the mail was sent, and no final reply came.
        """
        envelope = Envelope.of(
            sender, recipients, mail_options or (), rcpt_options or ()
        )
        is_binary = bool(envelope.mail_options) and envelope.is_binary
        fitted = prepare(message, is_binary=is_binary)
        async with self._connection.turn(is_introduced=True) as session:
            return await session.send(envelope, message, fitted=fitted)

    send_mail = sendmail

    async def send_message(
        self,
        message: Message,
        sender: AddressLike | None = None,
        recipients: AddressLike | Iterable[AddressLike] | None = None,
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
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SendResult:
        """Send a message to the recipients that it names, in one transaction.

        A message of the `email` package is encoded as the server needs it: to 7 bit
        without 8BITMIME, or if its lines are too long. Its Bcc field is not sent.

        Args:
            message: What `sendmail` takes.
            sender: An address; None for the field Sender or From. Where the message has
                Resent fields, the newest of them count.
            recipients: An address or an iterable of addresses; None for the fields To,
                Cc and Bcc, or the newest Resent fields.
            mail_options: Raw ESMTP parameters of MAIL.
            rcpt_options: Raw ESMTP parameters of every RCPT.
            ret: What a report of failure returns (RFC 3461).
            envid: An identifier that reports repeat (RFC 3461).
            notify: "NEVER", or any of "SUCCESS", "FAILURE", "DELAY" (RFC 3461).
            orcpt: The original address of each recipient, by recipient (RFC 3461).
            require_tls: Whether every hop must use verified TLS (RFC 8689).
            deliver_by: A number of seconds, and what to do after them: "R" returns the
                mail, "N" only reports (RFC 2852).
            mt_priority: From -9 to 9 (RFC 6710).
            hold_for: Seconds to hold the mail back (RFC 4865).
            hold_until: The moment to hold the mail back until, a datetime with its time
                zone (RFC 4865).
            all_or_nothing: Whether to send nothing if one recipient is refused.
            add_missing: Whether to add Date and Message-ID (RFC 5322 3.6) to the copy
                that leaves, if a message object lacks them. Octets, signed messages
                and messages that have been received stay as they are.
            progress: Called now and then, at most 20 times a second, with the octets
                of content that were sent, and their total or None.

        Raises:
            SMTPRecipientRefusedError: A recipient was refused, with `all_or_nothing`.
                If every recipient was refused, it is SMTPNoRecipientError.
            SMTPTLSError: `require_tls` was asked for on a connection that is not
                verified.
            SMTPException: Every exception that `sendmail` raises.
        """
        from .mail.mail import Mail

        mail = Mail(
            message,
            sender,
            recipients,
            mail_options,
            rcpt_options,
            ret=ret,
            envid=envid,
            notify=notify,
            orcpt=orcpt,
            require_tls=require_tls,
            deliver_by=deliver_by,
            mt_priority=mt_priority,
            hold_for=hold_for,
            hold_until=hold_until,
            all_or_nothing=all_or_nothing,
            add_missing=add_missing,
            progress=progress,
        )
        return await self._send(mail)

    async def _send(
        self, mail: Mail, *, first_reply: float | None = None
    ) -> SendResult:
        """Send one mail; `first_reply` is the limit in seconds for its first reply."""
        envelope = mail.envelope()
        fitted = prepare(mail.message, is_binary=envelope.is_binary)
        async with self._connection.turn(is_introduced=True) as session:
            return await session.send(
                envelope,
                mail.message,
                fitted=fitted,
                all_or_nothing=mail.all_or_nothing,
                add_missing=mail.add_missing,
                progress=mail.progress,
                first_reply=first_reply,
            )

    def send_many(
        self,
        messages: Iterable[Mail | Message] | AsyncIterable[Mail | Message],
        *,
        window: int = 1,
    ) -> Outcomes:
        """Send many mails on this connection, in as few round trips as possible.

        Use it as `async for outcome in client.send_many(mails)`. The mails are sent
        while the outcomes are asked for, and the outcomes come in the order of the
        mails. A mail that is refused, or that cannot be sent, gives an outcome and not
        an exception. After the connection is lost, the rest are "not sent". Until the
        loop is left, no other operation can use the session.

        Args:
            messages: `Mail` objects, or messages that name their sender and recipients.
                No more than `window` of them are taken ahead.
            window: How many mails may be on their way without a reply. With 1, the
                content of a mail leaves together with the commands of the next: one
                round trip a mail. More needs a server that offers PIPELINING and
                CHUNKING. It is for a relay that is known to read the octets of a BDAT
                that it refuses (RFC 3030); another would take them for commands.

        Raises:
            SMTPArgumentError: `messages` is not an iterable of mails, or `window` is
                not a number from 1 on.
            SMTPConnectionError: There is no connection.
            Exception: What the iterable `messages` raises, after every mail that was
                sent has its outcome.
        """
        from .client.outcomes import Outcomes, RunWithTurn

        return Outcomes(RunWithTurn(self._connection, messages, window))

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """Say commands without waiting for each reply: `async with c.pipeline() as p`.

        Until the block is left, no other operation can use the session. To a server
        without PIPELINING the same code sends one command at a time.
        """
        from .client.pipeline import Pipeline

        async with (
            self._connection.turn(is_introduced=True) as session,
            Pipeline(session) as pipeline,
        ):
            yield pipeline

    # What smtplibaio 2 had besides

    @staticmethod
    def parse_esmtp_extensions(message: str) -> tuple[dict[str, str], list[str]]:
        """Read the text of a reply to EHLO: the extensions and the SASL mechanisms."""
        extensions = Extensions.from_reply(Reply(250, message))
        return extensions.by_lower_case, [name.lower() for name in extensions.auth]

    @staticmethod
    def prepare_message(message: Message) -> bytes:
        """Return a message as it follows DATA on the wire, with the final dot."""
        return b"".join(Content.of(message).wire())


class SMTP_SSL(SMTP):
    """A client of one SMTP server, with TLS from the first octet on (RFC 8314 3.3).

    Arguments that are not listed here are as for `SMTP`.

    Args:
        hostname: Name or address of the server; the certificate must be for it.
        port: Its TCP port.
        context: The TLS context; None for one that verifies certificates against the
            system's authorities.
    """

    def __init__(
        self,
        hostname: str = "localhost",
        port: int | str = 465,
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
        chunking: bool | None = None,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
        proxy: str | None = None,
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
            chunking=chunking,
            allow_cleartext_auth=allow_cleartext_auth,
            on_event=on_event,
            tls=True,
            proxy=proxy,
        )

    @classmethod
    def _configured(cls, configuration: Configuration) -> SMTP:
        options = dict(configuration.options)
        starttls = options.pop("starttls", "never")
        if not options.pop("tls", False) or starttls != "never":
            raise SMTPArgumentError(
                "SMTP_SSL is for smtps:// URLs, and for TLS=true in the environment, "
                "both without starttls"
            )
        if "tls_context" in options:
            options["context"] = options.pop("tls_context")
        made = type(configuration)(configuration.kind, options)
        return super()._configured(made)


class LMTP(SMTP):
    """A client of one LMTP server (RFC 2033), which delivers mail into mailboxes.

    It sends LHLO instead of EHLO, and gets a final reply for every recipient that was
    accepted: they are in `SendResult.replies`. Methods, and arguments that are not
    listed here, are as for `SMTP`.

    Args:
        hostname: Name or address of the server.
        port: Its TCP port; never 25, which is for SMTP (RFC 2033 1).
        path: The path of a Unix socket to connect to instead.

    Raises:
        SMTPArgumentError: The port is 25, or a value is not valid.
    """

    _is_lmtp = True

    def __init__(
        self,
        hostname: str = "localhost",
        port: int | str = 24,
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
        chunking: bool | None = None,
        allow_cleartext_auth: bool = False,
        on_event: Listener | None = None,
        tls: bool = False,
        proxy: str | None = None,
    ) -> None:
        if path is None and sock is None and port_number(port) == 25:
            # RFC 2033 1: port 25 stays with SMTP.
            raise SMTPArgumentError(
                "port 25 is for SMTP: LMTP uses another port, often 24"
            )
        super().__init__(
            hostname,
            port,
            fqdn,
            timeout,
            username=username,
            password=password,
            token=token,
            mechanisms=mechanisms,
            starttls=starttls,
            tls_context=tls_context,
            server_hostname=server_hostname,
            source_address=source_address,
            sock=sock,
            path=path,
            pipelining=pipelining,
            chunking=chunking,
            allow_cleartext_auth=allow_cleartext_auth,
            on_event=on_event,
            tls=tls,
            proxy=proxy,
        )

"""The facade: what a session is made with, and the names that callers know.

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
from collections.abc import Sequence
from typing import Any

from .client.config import Credentials, Settings, StartTLS, Token
from .client.mailing import MailingClient
from .content.forms import Content, Message
from .events import Listener
from .exceptions import SMTPArgumentError
from .grammar import commands
from .grammar.extensions import Extensions
from .grammar.replies import Reply
from .grammar.uri import port_number
from .timeouts import Timeouts
from .url import Configuration, read_environment, read_url
from .wire.endpoint import Endpoint, Proxy
from .wire.tls import default_context

__all__ = ["SMTP", "SMTP_SSL"]

_DEFAULT_TIMEOUTS = Timeouts()


class SMTP(MailingClient):
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
        chunking: Whether content goes with BDAT where the server offers CHUNKING; None
            for only where it has to, for BODY=BINARYMIME.
        allow_cleartext_auth: Whether a password may cross a connection that is not
            encrypted. It always may on loopback and on Unix sockets.
        on_event: Called with what happens, as objects of `events`; nothing in them is
            secret. The same goes to the logger "smtplibaio", at DEBUG. It must not
            block.
        tls: Whether TLS begins with the first octet, whatever the port (RFC 8314 3.3).
        proxy: The URL of a proxy to connect through: socks4://, socks4a://, socks5://,
            socks5h:// (the "a" and the "h": the proxy looks up the server's name) or
            http:// for CONNECT. SOCKS needs `pip install "smtplibaio[proxy]"`.

    Raises:
        SMTPArgumentError: A value that is none.
    """

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
                chunking=chunking,
                allow_cleartext_auth=allow_cleartext_auth,
                on_event=on_event,
            )
        )

    # From a string

    @classmethod
    def from_url(cls, url: str, **overrides: Any) -> SMTP:
        """Make a client from a URL such as "smtp://user:password@host:587".

        The scheme is smtp://, smtps:// (TLS from the first octet on), lmtp://, or
        smtp+unix:// and lmtp+unix:// with the path of a socket. Options stand in the
        query, as in "?timeout=30&mechanisms=PLAIN,LOGIN". With credentials in an
        smtp:// URL, `starttls` is "required" unless the query says otherwise.

        Args:
            url: In user names and passwords every character but letters, digits and
                "-._~" is written percent-encoded.
            overrides: Keyword arguments that the URL has not, or that take precedence.

        Raises:
            SMTPArgumentError: The URL has a mistake; no password is in the text.
        """
        return cls._configured(read_url(url, overrides))

    @classmethod
    def from_env(cls, prefix: str = "SMTP_", **overrides: Any) -> SMTP:
        """Make a client from environment variables; see `from_url` for their values.

        That is SMTP_URL, or else SMTP_HOST, SMTP_PORT, SMTP_USERNAME, SMTP_PASSWORD,
        SMTP_STARTTLS and so on: each keyword argument in capitals.

        Args:
            prefix: What the names of the variables begin with.
            overrides: Keyword arguments that take precedence.

        Raises:
            SMTPArgumentError: No server is named, or a variable has a mistake.
        """
        return cls._configured(read_environment(prefix, overrides))

    @classmethod
    def _configured(cls, configuration: Configuration) -> SMTP:
        if configuration.kind != "SMTP":
            raise SMTPArgumentError("there is no LMTP client yet")
        return cls(**configuration.options)

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
        if not options.pop("tls", False):
            raise SMTPArgumentError(
                "SMTP_SSL is for smtps:// URLs and for TLS=true in the environment"
            )
        if "tls_context" in options:
            options["context"] = options.pop("tls_context")
        return super()._configured(Configuration(configuration.kind, options))

"""The server that the user names: a URL, and a password from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ..exceptions import SMTPArgumentError
from ..pool.pool import SMTPPool
from ..smtp import SMTP
from ..url import Configuration, read_environment

__all__ = ["URL_HELP", "Target"]

URL_HELP = """\
The URL is smtp://host:port, smtps://host (TLS from the first octet on),
lmtp://host or lmtp+unix:///path. Options of the library may follow, such as
"?starttls=required". The environment variable SMTP_URL can have the URL, too.
Write the user name into the URL (smtp://user@host), and the password into the
environment variable SMTP_PASSWORD: every user of a machine can see arguments.
Certificates are verified with the authorities of the system, or with those in
the file that the environment variable SSL_CERT_FILE names."""


class _ConnectedPool(SMTPPool):
    """A pool that connects when it is entered.

    So a wrong password, or a server that cannot be reached, is reported once, and not
    for each mail.
    """

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        try:
            async with self.session():
                return self
        except BaseException:
            await self.close()
            raise


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and the login.

    Attributes:
        configuration: What the URL says.
    """

    configuration: Configuration
    _url: str = field(repr=False)

    @classmethod
    def of(cls, url: str | None, environ: Mapping[str, str]) -> Target:
        """Read the URL and the password.

        Args:
            url: The argument of the command; None for the variable SMTP_URL.
            environ: The environment.

        Raises:
            SMTPArgumentError: There is no URL, or it has a mistake.
        """
        known = {name: environ.get(name, "") for name in ("SMTP_URL", "SMTP_PASSWORD")}
        known["SMTP_URL"] = url or known["SMTP_URL"]
        if not known["SMTP_URL"]:
            raise SMTPArgumentError("no server is named: use --url, or set SMTP_URL")
        return cls(read_environment(environ=known), known["SMTP_URL"])

    @property
    def credentials(self) -> dict[str, Any]:
        """The user name, the password and the token, without those that are missing."""
        names = ("username", "password", "token")
        options = self.configuration.options
        return {name: options[name] for name in names if options.get(name)}

    def client(self, **overrides: Any) -> SMTP:
        """Make a client.

        Args:
            overrides: Arguments that replace those of the URL.
        """
        return SMTP.from_url(self._url, **{**self.credentials, **overrides})

    def pool(self, size: int, rate: float | None) -> SMTPPool:
        """Make a pool, which connects again when a connection is lost.

        Args:
            size: The largest number of connections.
            rate: The largest number of mails per second; None for no limit.
        """
        options = {**self.credentials, "size": size, "rate": rate}
        return _ConnectedPool.from_url(self._url, **options)

    def __str__(self) -> str:
        options = self.configuration.options
        kind = self.configuration.kind.lower()
        if (path := options.get("path")) is not None:
            return f"{kind}+unix://{path}"
        host, port = options["hostname"], options["port"]
        scheme = "smtps" if options.get("tls") else kind
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

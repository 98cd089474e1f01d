"""Where the examples find a mail server, with TLS from the first octet on.

These variables name one: SMTP_HOST, SMTP_PORT (465 without it), SMTP_USERNAME and
SMTP_PASSWORD where it wants a login, SMTP_FROM, and SMTP_TO (one address, or several
with commas in between). Without SMTP_HOST a server with a throw-away certificate is
started for the purpose, and what it has stored is printed at the end:
pip install "smtplibaio[demo]".
"""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import quote


@dataclass
class MailServer:
    """A server, and what an example needs to send mail through it.

    The user name and the password are empty where the server wants no login.
    """

    hostname: str
    port: int
    context: ssl.SSLContext
    username: str
    password: str
    sender: str
    recipients: list[str]

    @property
    def url(self) -> str:
        """The server in one string, with the login."""
        host = f"[{self.hostname}]" if ":" in self.hostname else self.hostname
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"
        return f"smtps://{login if self.username else ''}{host}:{self.port}"


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Give the server that the environment names, or start one."""
    if hostname := os.environ.get("SMTP_HOST"):
        for name in ("SMTP_FROM", "SMTP_TO"):
            if not os.environ.get(name):
                raise SystemExit(f"SMTP_HOST is set, but {name} is not: an address")
        yield MailServer(
            hostname,
            int(os.environ.get("SMTP_PORT") or 465),
            ssl.create_default_context(),
            os.environ.get("SMTP_USERNAME", ""),
            os.environ.get("SMTP_PASSWORD", ""),
            os.environ["SMTP_FROM"],
            [address.strip() for address in os.environ["SMTP_TO"].split(",")],
        )
        return
    from smtplibaio import demo  # what it needs is not needed for a server of yours

    async with demo.demo_server() as server:
        yield MailServer(
            server.hostname,
            server.port,
            server.tls_context,
            server.username,
            server.password,
            "alice@demo.example",
            ["bob@demo.example", "carol@demo.example"],
        )
        for mail in server.messages:
            print(f"Stored for {', '.join(mail.recipients)}:\n")
            print(mail.content.decode())

"""Where the examples find a mail server.

These variables name one: SMTP_HOST, SMTP_PORT (465 without it), SMTP_USERNAME,
SMTP_PASSWORD, SMTP_FROM, SMTP_TO (one address, or several with commas in between).
Without SMTP_HOST an aiosmtpd with a throw-away certificate is started for the purpose,
and what it has stored is printed at the end: pip install "smtplibaio[demo]".
"""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from smtplibaio import demo


@dataclass
class MailServer:
    """A server, and what an example needs to send mail through it."""

    hostname: str
    port: int
    context: ssl.SSLContext
    username: str
    password: str
    sender: str
    recipients: list[str]


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Give the server that the environment names, or start one."""
    if hostname := os.environ.get("SMTP_HOST"):
        yield MailServer(
            hostname,
            int(os.environ.get("SMTP_PORT", "465")),
            ssl.create_default_context(),
            os.environ.get("SMTP_USERNAME", ""),
            os.environ.get("SMTP_PASSWORD", ""),
            os.environ["SMTP_FROM"],
            os.environ["SMTP_TO"].split(","),
        )
        return
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

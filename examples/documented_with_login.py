"""The second example of smtplibaio 2, which runs as it did.

A host, a port, a login, and a message of the standard library's `email` package, whose
addresses have names. SMTP_HOST, SMTP_PORT, SMTP_USERNAME and SMTP_PASSWORD say where.
"""

import asyncio
import os
from email.headerregistry import Address
from email.message import EmailMessage

from smtplibaio import SMTP_SSL

HOSTNAME = os.environ.get("SMTP_HOST", "smtp.example.org")
PORT = int(os.environ.get("SMTP_PORT", "465"))
USERNAME = os.environ.get("SMTP_USERNAME", "bob")
PASSWORD = os.environ.get("SMTP_PASSWORD", "")


async def send_email() -> None:
    """Send a message to Alice."""
    from_addr = Address("Bob", "bob", "example.net")
    to_addr = Address("Alice", "alice", "example.org")

    message = EmailMessage()
    message["From"] = from_addr
    message["To"] = to_addr
    message["Subject"] = "Hi Alice!"
    message.set_content("Hi Alice!\n\nHow are you?\n\nBob\n")

    async with SMTP_SSL(hostname=HOSTNAME, port=PORT) as client:
        await client.auth(USERNAME, PASSWORD)
        await client.sendmail(str(from_addr), str(to_addr), message.as_string())


if __name__ == "__main__":
    asyncio.run(send_email())

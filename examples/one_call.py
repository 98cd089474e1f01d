"""Send one message with one call: connect, log in, send, and say goodbye."""

import asyncio
from email.message import EmailMessage

from environment import mail_server

from smtplibaio import send


async def main() -> None:
    """Send it."""
    async with mail_server() as server:
        message = EmailMessage()
        message["Subject"] = "Testing smtplibaio"
        message["From"] = server.sender
        message["To"] = server.recipients[0]
        message["Bcc"] = ", ".join(server.recipients[1:])
        message.set_content("One line is enough.\n")

        # A server with a certificate that everybody trusts needs the URL alone.
        result = await send(message, server.url, tls_context=server.context)
        print("Accepted for", ", ".join(result.accepted))


if __name__ == "__main__":
    asyncio.run(main())

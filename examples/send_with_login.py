"""Log in and send an EmailMessage, with a copy that the others do not know of."""

import asyncio
from email.message import EmailMessage

from environment import mail_server

from smtplibaio import SMTP_SSL


async def main() -> None:
    """Send it, and say who gets it."""
    async with mail_server() as server:
        to, *bcc = server.recipients

        message = EmailMessage()
        message["Subject"] = "Testing smtplibaio"
        message["From"] = server.sender
        message["To"] = to
        message["Bcc"] = ", ".join(bcc)
        message.set_content("Whoever else gets this is not in its header.\n")

        async with SMTP_SSL(
            hostname=server.hostname, port=server.port, context=server.context
        ) as client:
            if server.username:
                await client.auth(server.username, server.password)
            # Bcc is for the envelope alone: it is in no header that leaves.
            result = await client.send_message(message)

        print("Accepted for", ", ".join(result.accepted))
        for recipient, reply in result.items():
            print("Refused for", recipient, reply)


if __name__ == "__main__":
    asyncio.run(main())

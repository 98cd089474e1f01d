"""Send one message over TLS, in as few lines as it takes."""

import asyncio

from environment import mail_server

from smtplibaio import SMTP_SSL


async def main() -> None:
    """Send it."""
    async with (
        mail_server() as server,
        SMTP_SSL(
            server.hostname,
            server.port,
            context=server.context,
            username=server.username,  # where it is empty, there is no login
            password=server.password,
        ) as client,
    ):
        await client.sendmail(
            server.sender, server.recipients, "Subject: Hi\n\nHi Bob!\n"
        )


if __name__ == "__main__":
    asyncio.run(main())

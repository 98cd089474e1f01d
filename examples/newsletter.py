"""Send each reader a mail of their own, over one connection."""

import asyncio
from collections.abc import Iterator
from email.message import EmailMessage

from environment import mail_server

from smtplibaio import SMTP_SSL, Mail


def letters(sender: str, readers: list[str]) -> Iterator[Mail]:
    """Write the letters, one at a time: they are taken as they are sent."""
    for reader in readers:
        letter = EmailMessage()
        letter["Subject"] = "News"
        letter["From"] = sender
        letter["To"] = reader
        letter.set_content(f"Dear {reader.partition('@')[0]},\n\nno news today.\n")
        yield Mail(letter)


async def main() -> None:
    """Send them, and say what became of each."""
    async with (
        mail_server() as server,
        SMTP_SSL(
            hostname=server.hostname,
            port=server.port,
            context=server.context,
            username=server.username,
            password=server.password,
        ) as client,
    ):
        mails = letters(server.sender, server.recipients)
        async for outcome in client.send_many(mails):
            print(outcome.status, outcome.mail.message["To"], outcome.error or "")


if __name__ == "__main__":
    asyncio.run(main())

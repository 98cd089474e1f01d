"""Give the commands of a transaction at once, and look at each reply."""

import asyncio

from environment import mail_server

from smtplibaio import SMTP_SSL


async def main() -> None:
    """Send a message, and print what the server said to each command."""
    async with (
        mail_server() as server,
        SMTP_SSL(server.hostname, server.port, context=server.context) as client,
    ):
        if server.username:
            await client.auth(server.username, server.password)

        # With a server that offers PIPELINING the commands leave in one write, and
        # the content in another. With any other this runs one command at a time.
        async with client.pipeline() as pipeline:
            replies = {"MAIL": pipeline.mail(server.sender)}
            for recipient in server.recipients:
                replies[f"RCPT {recipient}"] = pipeline.rcpt(recipient)
            replies["DATA"] = pipeline.data()
            replies["the content"] = pipeline.content("Subject: Hi\n\nHi Bob!\n")

        for command, reply in replies.items():
            print(f"{command}: {reply.result().code} {reply.result().message}")


if __name__ == "__main__":
    asyncio.run(main())

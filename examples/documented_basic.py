"""The first example of smtplibaio 2, which runs as it did.

It sends to the server of this machine, over TLS on port 465.
"""

import asyncio

from smtplibaio import SMTP_SSL


async def send_email() -> None:
    """Send a line to Alice."""
    from_addr = "bob@example.net"
    to_addr = "alice@example.org"
    message = "Hi Alice!"

    async with SMTP_SSL() as client:
        await client.sendmail(from_addr, to_addr, message)


if __name__ == "__main__":
    asyncio.run(send_email())

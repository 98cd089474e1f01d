"""A server to try things on: one of `smtplibaio.testing`, with TLS and AUTH."""

from __future__ import annotations

from email.message import EmailMessage
from importlib import import_module
from textwrap import indent

from .events import Event
from .smtp import SMTP_SSL
from .testing import SMTPServer

__all__ = ["NOBODY", "demo_server", "show"]

#: The one recipient that the server knows nothing of.
NOBODY = "nobody@demo.example"

# What the server needs is looked for at once, before anything is printed.
for _name in ("aiosmtpd", "trustme"):
    import_module(_name)


def demo_server() -> SMTPServer:
    """Make the server: TLS from the first octet on, AUTH, and one unknown mailbox."""
    reply = {f"RCPT TO:<{NOBODY}>": "550 5.1.1 no such user here"}
    return SMTPServer(tls=True, auth="offered", reply=reply)


def _message() -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Hello from smtplibaio"
    message["From"] = "Alice <alice@demo.example>"
    message["To"] = "Bob <bob@demo.example>"
    message.set_content(
        "Hi Bob,\n\nthis line is followed by one that starts with a dot:\n.\nand ends"
        " the message none the less.\n"
    )
    return message


async def show() -> None:
    """Send a message to two recipients, and print what was said and stored."""
    async with demo_server() as server:
        print(f"A server listens on {server.hostname}:{server.port}, over TLS.\n")

        def tell(event: Event) -> None:
            print(indent(str(event), "  "))

        async with SMTP_SSL(
            server.hostname, server.port, context=server.tls_context, on_event=tell
        ) as client:
            await client.auth(server.username, server.password)
            result = await client.sendmail(
                "alice@demo.example", ["bob@demo.example", NOBODY], _message()
            )
        print("\nThe client's result:\n")
        for recipient in result.accepted:
            print(f"  accepted  {recipient}")
        for recipient, reply in result.items():
            print(f"  refused   {recipient}: {reply.code} {reply.message}")
        for mail in server.messages:
            print(f"\nThe server has stored, for {', '.join(mail.recipients)}:\n")
            content = mail.content.decode().replace("\r\n", "\n")
            print(indent(content, "  ", lambda _: True))

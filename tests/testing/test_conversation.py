"""`Conversation` plays its script to every client, and tells who does otherwise."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Callable
from typing import Any

import aiosmtplib
import pytest

import smtplibaio
from smtplibaio.testing import Conversation, ScriptMismatch
from smtplibaio.testing.script import CUTS, Cut, parse

SENDER = "a@x.example"
RECIPIENTS = ["b@y.example", "c@y.example"]

#: Up to the replies to MAIL, for a server without extensions.
OPENING = """
S: 220 mx.example
C: EHLO client.example
S: 250 mx.example
C: MAIL FROM:<a@x.example>
S: 250 ok
C: RCPT TO:<b@y.example>
S: 250 ok
C: RCPT TO:<c@y.example>
"""


def by_smtplib(server: Conversation) -> Any:
    where = (server.hostname, server.port, "client.example", 5)
    with smtplib.SMTP(*where) as client:
        return client.sendmail(SENDER, RECIPIENTS, b"hi\r\n")


async def by_aiosmtplib(server: Conversation) -> Any:
    async with aiosmtplib.SMTP(
        hostname=server.hostname,
        port=server.port,
        local_hostname="client.example",
        timeout=5,
        start_tls=False,
    ) as client:
        return (await client.sendmail(SENDER, RECIPIENTS, b"hi\r\n"))[0]


async def by_smtplibaio(server: Conversation) -> Any:
    async with smtplibaio.SMTP(server.hostname, server.port, "client.example") as smtp:
        return await smtp.sendmail(SENDER, RECIPIENTS, b"hi\r\n")


each_client = pytest.mark.parametrize(
    "send",
    [
        lambda server: asyncio.to_thread(by_smtplib, server),
        by_aiosmtplib,
        by_smtplibaio,
    ],
    ids=["smtplib", "aiosmtplib", "smtplibaio"],
)


@each_client
async def test_recipient_2_may_be_refused(send: Any) -> None:
    script = OPENING + """
        S: 550 no such user
        C: DATA
        S: 354 go
        C: <content>
        S: 250 taken
        """
    async with Conversation(join(script)) as server:
        refused = await send(server)
    ((recipient, reply),) = refused.items()
    assert recipient == RECIPIENTS[1]
    assert reply[0] == 550


@each_client
async def test_421_may_come_in_the_middle(send: Any) -> None:
    script = OPENING + "S: 421 4.3.2 going down\nS: <close>"
    async with Conversation(join(script)) as server:
        with pytest.raises(
            (
                smtplib.SMTPException,
                aiosmtplib.SMTPException,
                smtplibaio.SMTPConnectionLostError,
            )
        ):
            await send(server)


@each_client
@pytest.mark.parametrize("end", ["<close>", "<reset>"])
async def test_the_connection_may_be_lost_after_the_dot(send: Any, end: str) -> None:
    script = OPENING + f"""
        S: 250 ok
        C: DATA
        S: 354 go
        C: hi
        C: .
        S: {end}
        """
    async with Conversation(join(script)) as server:
        with pytest.raises(
            (
                smtplib.SMTPServerDisconnected,
                aiosmtplib.SMTPServerDisconnected,
                smtplibaio.SMTPDeliveryUnknownError,
                ConnectionError,
            )
        ):
            await send(server)


def join(script: str) -> str:
    return "\n".join(line.strip() for line in script.splitlines() if line.strip())


# What a client may not do


HELLO = """
    S: 220 hi
    C: NOOP
    S: 250 ok
    """


def talk(
    script: str, act: Callable[[socket.socket], object], **options: Any
) -> Conversation:
    """Play a script to a client that is a bare socket."""
    with Conversation(script, **options) as server:
        with socket.create_connection((server.hostname, server.port)) as sock:
            act(sock)
    return server


def noop(sock: socket.socket) -> None:
    assert sock.recv(100) == b"220 hi\r\n"
    sock.sendall(b"NOOP\r\n")
    assert sock.recv(100) == b"250 ok\r\n"


def test_the_url_says_how_to_connect() -> None:
    with Conversation("S: <silence>", tls=True) as server:
        assert server.url == f"smtps://127.0.0.1:{server.port}"
        socket.create_connection((server.hostname, server.port)).close()
        with pytest.raises(ScriptMismatch):
            server.stop()
            server._fault_found()
            raise ScriptMismatch

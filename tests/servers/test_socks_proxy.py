"""microsocks, a SOCKS5 proxy: what a real one makes of the client."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import socks_server
from conversation import serve
from socks_server import PASSWORD, USERNAME

from smtplibaio import (
    SMTP,
    SMTPConnectionError,
    SMTPConnectionRefusedError,
    send,
)
from smtplibaio.testing import SMTPServer

pytestmark = pytest.mark.skipif(
    socks_server.missing() != "", reason=socks_server.missing()
)

MESSAGE = "From: a@x.example\r\nTo: b@y.example\r\n\r\nhi\r\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socks_server.microsocks() as port:
        yield port


def through(port: int, scheme: str = "socks5h", password: str = PASSWORD) -> str:
    """Spell the proxy's URL."""
    return f"{scheme}://{USERNAME}:{quote(password, safe='')}@127.0.0.1:{port}"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("hostname", ["127.0.0.1", "localhost"])
async def test_a_mail_goes_through_the_proxy(
    port: int, scheme: str, hostname: str
) -> None:
    """The name is looked up here, or by the proxy."""
    async with SMTPServer() as server:
        result = await send(
            MESSAGE,
            f"smtp://{hostname}:{server.port}?proxy="
            + quote(through(port, scheme), safe=""),
            sender="a@x.example",
            recipients=["b@y.example"],
        )
        assert result.accepted == ["b@y.example"]
        [mail] = server.messages
    assert mail.recipients == ["b@y.example"]


async def test_tls_goes_through_the_proxy_and_verifies_the_server(
    port: int, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    text = "S: 220 mx\nC: NOOP\nS: 250 ok\nC: QUIT\nS: 221 bye"
    async with serve(text, tls=server_tls, implicit_tls=True) as server:
        client = SMTP(
            "localhost",
            server.port,
            tls=True,
            tls_context=client_tls,
            proxy=through(port),
        )
        async with client:
            assert client.is_verified
            assert (await client.noop()).code == 250


async def test_a_wrong_password_is_refused_by_the_proxy(port: int) -> None:
    client = SMTP("localhost", 25, proxy=through(port, password="hunter2"))
    with pytest.raises(SMTPConnectionError, match="authentication failure") as caught:
        await client.connect()
    assert "hunter2" not in str(caught.value)


async def test_credentials_that_are_missing_are_refused_by_the_proxy(port: int) -> None:
    client = SMTP("localhost", 25, proxy=f"socks5://127.0.0.1:{port}")
    with pytest.raises(SMTPConnectionError, match="No acceptable authentication"):
        await client.connect()


async def test_a_server_that_refuses_is_told_from_a_proxy_that_does(port: int) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and nobody listens
        closed = sock.getsockname()[1]
        client = SMTP("127.0.0.1", closed, proxy=through(port))
        with pytest.raises(SMTPConnectionRefusedError, match=f"127.0.0.1:{closed} th"):
            await client.connect()


async def test_a_name_that_the_proxy_cannot_find_is_a_connection_error(
    port: int,
) -> None:
    client = SMTP("nowhere.invalid", 25, proxy=through(port))
    with pytest.raises(SMTPConnectionError, match=r"nowhere\.invalid:25 through"):
        await client.connect()

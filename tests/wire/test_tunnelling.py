"""Through proxies to the server."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from base64 import b64encode
from typing import Any

import proxies
import pytest
from conversation import serve

from smtplibaio import (
    SMTP,
    SMTPConnectionError,
    SMTPConnectionRefusedError,
    SMTPLoginError,
    SMTPTimeoutError,
    SMTPTLSError,
)

GREETING = """
    S: 220 hi
    C: NOOP
    S: 250 ok
    """

each_protocol = pytest.mark.parametrize(
    ("scheme", "protocol"),
    [
        ("http", proxies.http),
        ("socks4", proxies.socks4),
        ("socks4a", proxies.socks4),
        ("socks5", proxies.socks5),
        ("socks5h", proxies.socks5),
    ],
)


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Have mx.example resolve to the given addresses, and no other name to any."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host != "mx.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@each_protocol
async def test_the_greeting_that_comes_with_the_proxys_reply_is_read(
    scheme: str, protocol: proxies.Negotiation
) -> None:
    """An SMTP server speaks first: not one octet of it may go with the reply."""
    async with serve(GREETING) as server, proxies.proxy(protocol) as proxy:
        async with SMTP(
            server.host, server.port, proxy=f"{scheme}://127.0.0.1:{proxy.port}"
        ) as client:
            assert client.greeting == (220, "hi")
            assert (await client.noop()).code == 250
        assert proxy.asked == [(server.host, server.port)]


@pytest.mark.parametrize(
    ("scheme", "protocol", "at"),
    [
        ("http", proxies.http, "the proxy"),
        ("socks4", proxies.socks4, "home"),
        ("socks4a", proxies.socks4, "the proxy"),
        ("socks5", proxies.socks5, "home"),
        ("socks5h", proxies.socks5, "the proxy"),
    ],
)
async def test_the_name_is_looked_up_where_the_scheme_says(
    scheme: str,
    protocol: proxies.Negotiation,
    at: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if at == "home":
        resolve(monkeypatch, "::1", "127.0.0.1")
    else:
        monkeypatch.delattr(socket, "getaddrinfo")
    refusal = {proxies.http: b"HTTP/1.1 502 no\r\n\r\n", proxies.socks4: b"\0\x5b"}
    reply = refusal.get(protocol, b"\5\1\0\1") + bytes(6)
    async with proxies.proxy(protocol, reply) as proxy:
        client = SMTP("mx.example", 25, proxy=f"{scheme}://127.0.0.1:{proxy.port}")
        with pytest.raises(SMTPConnectionError) as caught:
            await client.connect()
    names = [host for host, _ in proxy.asked]
    if at == "the proxy":
        assert names == ["mx.example"]
    else:  # SOCKS4 knows no IPv6
        assert names == (["127.0.0.1"] if scheme == "socks4" else ["::1", "127.0.0.1"])
        assert all(f"{name}: {scheme}://" in str(caught.value) for name in names)


async def test_an_international_name_goes_to_the_proxy_in_a_labels() -> None:
    async with proxies.proxy(proxies.socks5, b"\5\4\0\1" + bytes(6)) as proxy:
        client = SMTP("b\xfccher.example", proxy=f"socks5h://127.0.0.1:{proxy.port}")
        with pytest.raises(SMTPConnectionError):
            await client.connect()
    assert proxy.asked == [("xn--bcher-kva.example", 25)]


async def test_an_ipv6_address_is_in_brackets_for_http() -> None:
    async with proxies.proxy(proxies.http, b"HTTP/1.1 502 no\r\n\r\n") as proxy:
        client = SMTP("2001:db8::1", proxy=f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(SMTPConnectionError):
            await client.connect()
    request, host = proxy.heads[0].split(b"\r\n")[:2]
    assert request == b"CONNECT [2001:db8::1]:25 HTTP/1.1"
    assert host == b"Host: [2001:db8::1]:25"


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("", None),
        ("erin@", b"erin:"),
        ("erin:gr%C3%BC%C3%9Fe@", "erin:gr\xfc\xdfe".encode()),
    ],
)
async def test_http_has_basic_credentials(
    userinfo: str, credentials: bytes | None
) -> None:
    """RFC 7617."""
    async with proxies.proxy(proxies.http, b"HTTP/1.1 407 no\r\n\r\n") as proxy:
        client = SMTP("mx", proxy=f"http://{userinfo}127.0.0.1:{proxy.port}")
        with pytest.raises(SMTPConnectionError):
            await client.connect()
    found = b"Proxy-Authorization: Basic " in proxy.heads[0]
    assert found is (credentials is not None)
    assert b64encode(credentials or b"") in proxy.heads[0]


@pytest.mark.parametrize("reply", [b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 204 ok\n\n"])
async def test_any_2xx_makes_a_tunnel(reply: bytes) -> None:
    """RFC 9110 9.3.6; what follows is the server's."""
    async with proxies.proxy(proxies.http, reply + b"220 hi\r\n") as proxy:
        client = SMTP("mx", proxy=f"http://127.0.0.1:{proxy.port}")
        assert await client.connect() == (220, "hi")
        await client.close()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"HTTP/1.1 407 Who are you?\r\n\r\n", "it says 'HTTP/1.1 407 Who are you?'"),
        (b"HTTP/1.1 403 \xff\r\n\r\n", "it says 'HTTP/1.1 403 "),
        (b"220 mx.example\r\n\r\n", "the reply to CONNECT is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "the reply to CONNECT is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000,
            "the reply to CONNECT is not HTTP",
        ),
        (b"", "the reply to CONNECT is not HTTP"),
    ],
)
async def test_what_an_http_proxy_refuses_is_an_error_with_its_words(
    reply: bytes, why: str
) -> None:
    async with proxies.proxy(proxies.http, reply) as proxy:
        url = f"http://erin:hunter2@127.0.0.1:{proxy.port}"
        with pytest.raises(SMTPConnectionError) as caught:
            await SMTP("mx", proxy=url).connect()
    shown = f"no connection to mx:25 through http://127.0.0.1:{proxy.port}: http://127"
    assert shown in str(caught.value)
    assert why in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert type(caught.value) is SMTPConnectionError


@pytest.mark.parametrize(
    ("reply", "kind", "why"),
    [
        (b"\5\5\0\1", SMTPConnectionRefusedError, "mx:25 through .* refuses conn"),
        (b"\5\4\0\1", SMTPConnectionError, "Host unreachable"),
        (b"\5\2\0\1", SMTPConnectionError, "not allowed"),
        (b"\5", SMTPConnectionError, "closed unexpectedly"),
    ],
)
async def test_what_a_socks_proxy_refuses_is_an_error_with_its_reason(
    reply: bytes, kind: type[Exception], why: str
) -> None:
    async with proxies.proxy(proxies.socks5, reply) as proxy:
        with pytest.raises(kind, match=why) as caught:
            await SMTP("mx", proxy=f"socks5h://127.0.0.1:{proxy.port}").connect()
    assert type(caught.value) is kind


async def test_a_name_that_is_too_long_for_socks_is_a_connection_error() -> None:
    async with proxies.proxy(proxies.socks5) as proxy:
        name = ".".join(["a" * 60] * 5)
        with pytest.raises(SMTPConnectionError, match="no connection to a"):
            await SMTP(name, proxy=f"socks5h://127.0.0.1:{proxy.port}").connect()


@pytest.mark.parametrize("scheme", ["http", "socks5h", "socks5"])
async def test_a_proxy_that_is_not_there_is_the_one_that_is_named(scheme: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # and nobody listens
        port = sock.getsockname()[1]
        client = SMTP("192.0.2.1", proxy=f"{scheme}://127.0.0.1:{port}")
        with pytest.raises(SMTPConnectionError) as caught:
            await client.connect()
    refused = f"the proxy at 127.0.0.1: [Errno {errno.ECONNREFUSED}]"
    assert refused in str(caught.value)
    assert "no connection to the proxy" in str(caught.value)
    assert type(caught.value) is SMTPConnectionError  # the server has refused nothing


async def test_a_proxy_that_is_silent_is_a_time_out_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme, silent in [
            ("http", "the proxy has not answered"),
            ("socks5h", "the proxy has not answered"),
            ("socks5", "192.0.2.1: no answer"),
        ]:
            client = SMTP(
                "192.0.2.1", timeout=0.1, proxy=f"{scheme}://127.0.0.1:{port}"
            )
            with pytest.raises(
                SMTPTimeoutError,
                match=rf"through {scheme}://127.*within 0\.1 s \({silent}\)$",
            ):
                await client.connect()


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_cancelled_tunnel_leaves_no_socket(scheme: str) -> None:
    """The fixture of every test finds what was left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        client = SMTP("192.0.2.1", proxy=f"{scheme}://127.0.0.1:{port}")
        task = asyncio.create_task(client.connect())
        done, _ = await asyncio.wait((task,), timeout=0.05)
        assert not done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_source_address_is_that_of_the_way_to_the_proxy() -> None:
    async with proxies.proxy(proxies.http, b"HTTP/1.1 502 no\r\n\r\n") as proxy:
        client = SMTP(
            "mx",
            proxy=f"http://127.0.0.1:{proxy.port}",
            source_address=("192.0.2.1", 0),
        )
        with pytest.raises(SMTPConnectionError, match="assign"):
            await client.connect()
    assert proxy.asked == []


# What loopback hides

WITHHELD = """
    S: 220 mx
    C: EHLO client.example
    S: 250-mx
    S: 250 AUTH PLAIN
    C: <hangup>
    """


async def is_shown(**way: Any) -> bool:
    """Log in with PLAIN; tell whether the password may be shown that way."""
    client = SMTP(fqdn="client.example", username="me", password="pw", **way)
    try:
        await client.connect()
    except SMTPLoginError as exc:
        return not all(isinstance(error, SMTPTLSError) for error in exc.exceptions)
    await client.close()
    return True


async def test_a_password_is_not_shown_through_a_proxy_on_this_machine() -> None:
    """B04: loopback is where the proxy is, and not the server."""
    async with serve(WITHHELD) as server, proxies.proxy(proxies.socks5) as proxy:
        url = f"socks5://127.0.0.1:{proxy.port}"
        assert not await is_shown(hostname=server.host, port=server.port, proxy=url)


async def test_a_password_is_not_shown_over_a_socket_of_the_callers() -> None:
    """B04: what listens on loopback may be a forwarder to another machine."""
    async with serve(WITHHELD) as server:
        sock = socket.create_connection((server.host, server.port))
        assert not await is_shown(sock=sock)


async def test_a_password_is_shown_over_a_unix_socket_of_the_callers() -> None:
    """B04: nobody but this machine can listen there."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    writer.write(b"220 mx\r\n")
    login = asyncio.create_task(is_shown(sock=ours))
    assert await reader.readline() == b"EHLO client.example\r\n"
    writer.write(b"250-mx\r\n250 AUTH PLAIN\r\n")
    assert (await reader.readline()).startswith(b"AUTH PLAIN ")
    writer.write(b"235 ok\r\n")
    assert await login
    writer.close()


async def test_over_a_socket_of_the_callers_the_host_name_is_verified(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B12: there is no telling it from the socket."""
    async with serve(GREETING, tls=server_tls, implicit_tls=True) as server:
        sock = socket.create_connection((server.host, server.port))
        client = SMTP("localhost", sock=sock, tls=True, tls_context=client_tls)
        async with client:
            assert client.is_verified
            await client.noop()

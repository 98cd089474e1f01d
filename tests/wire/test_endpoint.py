"""Where the server is: what is refused before anything is opened."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtplibaio import SMTP, SMTPArgumentError
from smtplibaio.wire.endpoint import Endpoint, Proxy
from smtplibaio.wire.tls import default_context

SECRET = "hunter2"


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


# Names and ports


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"hostname": ""}, "empty"),
        ({"hostname": "a\r\nb"}, r"U\+000D"),
        ({"hostname": "a\0b"}, r"U\+0000"),
        ({"hostname": b"host"}, "bytes"),
        ({"hostname": "smtp://mx.example"}, "from_url"),
        ({"hostname": "mx.example:587"}, "password= separately"),
        ({"hostname": "erin@mx.example"}, "password= separately"),
        ({"hostname": "[::1]"}, "without brackets"),
        ({"hostname": "mx. example"}, "hostname must be a name"),
        ({"hostname": "\u2665\ufe0f.example"}, "IDNA refuses"),
        ({"port": 0}, "between 1 and 65535, not 0"),
        ({"port": 65536}, "between"),
        ({"port": -25}, "between"),
        ({"port": True}, "a number, not True"),
        ({"port": 25.0}, r"a number, not 25\.0"),
        ({"port": "smtp"}, "a number, not 'smtp'"),
        ({"port": "\u0662\u0665"}, "a number"),
        ({"port": ""}, "a number"),
        ({"port": "9" * 5000}, "between"),
        ({"port": None}, "a number"),
        ({"server_hostname": "mx..example"}, "server_hostname is not a host name"),
        ({"server_hostname": "x" * 64}, "server_hostname is not a host name"),
        ({"server_hostname": ""}, "server_hostname is not a host name"),
        ({"server_hostname": "\xfc" * 64}, "IDNA refuses"),
        ({"server_hostname": 5}, "server_hostname must be a str"),
    ],
)
def test_a_server_without_a_name_or_a_port_is_refused(
    arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=why):
        Endpoint(**arguments)
    with pytest.raises(SMTPArgumentError, match=why):
        SMTP(**arguments)


@pytest.mark.parametrize("name", [f"erin:{SECRET}@mx", f"erin:{SECRET}\xa8@mx"])
def test_a_password_in_the_host_name_is_not_shown(name: str) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        SMTP(name)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("port", [587, "587", "0587"])
def test_a_port_may_be_a_numeral_as_text(port: Any) -> None:
    assert Endpoint(port=port).port == 587
    assert Endpoint(source_address=("", port)).source_address == ("", 587)


@pytest.mark.parametrize(
    ("arguments", "shown", "server", "verified"),
    [
        ({}, "localhost:25", ("localhost", 25), "localhost"),
        ({"hostname": "::1"}, "[::1]:25", ("::1", 25), "::1"),
        ({"hostname": "fe80::1%eth0"}, "[fe80::1%eth0]:25", None, "fe80::1%eth0"),
        ({"path": "/run/smtp"}, "/run/smtp", ("/run/smtp", None), "localhost"),
        ({"path": Path("/run/smtp")}, "/run/smtp", ("/run/smtp", None), "localhost"),
        ({"path": "\0smtp"}, "@smtp", ("@smtp", None), "localhost"),
        (
            {"hostname": "mx.example", "path": "/p", "context": default_context()},
            "/p",
            ("/p", None),
            "mx.example",
        ),
        (
            {"path": "/p", "server_hostname": "mx.example"},
            "/p",
            ("/p", None),
            "mx.example",
        ),
        (
            {"server_hostname": "mx.example"},
            "localhost:25",
            ("localhost", 25),
            "mx.example",
        ),
        (
            {"hostname": "mx.example."},
            "mx.example.:25",
            ("mx.example.", 25),
            "mx.example",
        ),
        (
            {"server_hostname": "192.0.2.1"},
            "localhost:25",
            ("localhost", 25),
            "192.0.2.1",
        ),
        (
            {"server_hostname": "2001:db8::1"},
            "localhost:25",
            ("localhost", 25),
            "2001:db8::1",
        ),
        (
            {"hostname": "b\xfccher.example"},
            "b\xfccher.example:25",
            ("b\xfccher.example", 25),
            "xn--bcher-kva.example",
        ),
    ],
)
def test_an_endpoint_knows_its_name_and_which_one_tls_verifies(
    arguments: dict[str, Any],
    shown: str,
    server: tuple[str, int | None] | None,
    verified: str,
) -> None:
    """B12: whatever the way, the name is server_hostname, else hostname."""
    endpoint = Endpoint(**arguments)
    assert (str(endpoint), endpoint.name_to_verify) == (shown, verified)
    assert server is None or endpoint.server == server


def test_over_a_socket_the_name_to_verify_is_the_host_name(ours: socket.socket) -> None:
    endpoint = Endpoint("mx.example", sock=ours, context=default_context())
    assert endpoint.name_to_verify == "mx.example"
    assert endpoint.server is None
    assert not endpoint.is_direct
    assert Endpoint("mx.example").is_direct
    assert not Endpoint(proxy=Proxy("http", "proxy.example", 3128)).is_direct


# Other ways


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"path": 5}, "path must be the path of a Unix socket"),
        ({"path": ""}, "path must be the path"),
        ({"path": b"/run/smtp"}, "path must be the path"),
        ({"path": os.fsencode}, "path must be the path"),
        ({"path": "/run\0/smtp"}, "path must be the path"),
        ({"source_address": "127.0.0.1"}, "a tuple"),
        ({"source_address": (25, "127.0.0.1")}, "a tuple"),
        ({"source_address": ("127.0.0.1",)}, "a tuple"),
        ({"source_address": 5}, "a tuple"),
        (
            {"source_address": ("127.0.0.1", 99999)},
            "the port of source_address must be",
        ),
        ({"source_address": ("127.0.0.1", -1)}, "the port of source_address must be"),
        ({"source_address": ("127.0.0.1", True)}, "the port of source_address must be"),
        ({"source_address": ("127.0.0.1", None)}, "the port of source_address must be"),
        ({"sock": 5}, "sock must be a connected socket.socket .*, not int"),
        ({"sock": "sock"}, "not str"),
        ({"sock": socket.socket}, "not type"),
    ],
)
@pytest.mark.parametrize("make", [Endpoint, SMTP])
def test_a_way_that_leads_nowhere_is_refused(
    make: Any, arguments: dict[str, Any], why: str
) -> None:
    """Before anything is opened, and not when it is used."""
    with pytest.raises(SMTPArgumentError, match=why):
        make(**arguments)


def test_a_path_like_object_that_gives_octets_is_refused() -> None:
    class Octets:
        def __fspath__(self) -> bytes:
            return b"/run/smtp"

    with pytest.raises(SMTPArgumentError, match="path must be the path"):
        Endpoint(path=Octets())  # type: ignore[arg-type]


def test_a_datagram_socket_is_refused() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as sock,
        pytest.raises(SMTPArgumentError, match="not a stream socket"),
    ):
        Endpoint(sock=sock)


def test_a_socket_with_tls_of_its_own_is_refused(client_tls: ssl.SSLContext) -> None:
    """Asyncio takes none, and the way to do it is another one."""
    with (
        client_tls.wrap_socket(socket.socket(), server_hostname="mx.example") as sock,
        pytest.raises(SMTPArgumentError, match="tls=True"),
    ):
        Endpoint(sock=sock)


def test_there_is_one_way(ours: socket.socket) -> None:
    proxy = Proxy("http", "proxy.example", 3128)
    source = ("127.0.0.1", 0)
    for two, why in [
        ({"sock": ours, "path": "/p"}, "one of sock and path, not both"),
        ({"sock": ours, "proxy": proxy}, "one of sock and proxy, not both"),
        ({"path": "/p", "proxy": proxy}, "one of path and proxy, not both"),
        ({"sock": ours, "source_address": source}, "cannot be used with sock"),
        ({"path": "/p", "source_address": source}, "cannot be used with path"),
    ]:
        with pytest.raises(SMTPArgumentError, match=why):
            Endpoint(**two)  # type: ignore[arg-type]
    assert Endpoint(proxy=proxy, source_address=source).source_address == source


def test_a_system_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(SMTPArgumentError, match="this system has no Unix sockets"):
        Endpoint(path="/run/smtp")
    assert Endpoint().port == 25


# Proxies


@pytest.mark.parametrize(
    ("url", "proxy", "shown"),
    [
        (
            "socks5://proxy.example",
            Proxy("socks5", "proxy.example", 1080),
            "socks5://proxy.example:1080",
        ),
        (
            "SOCKS5H://erin:a%40b@[::1]:9050/",
            Proxy("socks5h", "::1", 9050, "erin", "a@b"),
            "socks5h://[::1]:9050",
        ),
        (
            "socks4a://erin@127.0.0.1",
            Proxy("socks4a", "127.0.0.1", 1080, "erin"),
            "socks4a://127.0.0.1:1080",
        ),
        (
            "http://erin:gr%C3%BC%C3%9Fe@proxy.example:3128",
            Proxy("http", "proxy.example", 3128, "erin", "gr\xfc\xdfe"),
            "http://proxy.example:3128",
        ),
    ],
)
def test_a_proxy_is_named_by_a_url(url: str, proxy: Proxy, shown: str) -> None:
    assert Proxy.of(url) == proxy
    assert str(proxy) == shown
    assert proxy.password is None or proxy.password not in repr(proxy)


def test_the_letter_behind_the_version_says_who_looks_up_the_name() -> None:
    assert Proxy.of(None) is None
    at_the_proxy = [
        scheme
        for scheme in ("socks4", "socks4a", "socks5", "socks5h", "http")
        if Proxy(scheme, "proxy.example", 1).resolves
    ]
    assert at_the_proxy == ["socks4a", "socks5h", "http"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (5, "the proxy's URL must be a str, not int"),
        ("proxy.example:1080", "must begin with a scheme"),
        ("https://proxy.example:1", "begins with socks4://.* or http://, not https://"),
        ("http://proxy.example", "a scheme, a host and a port"),
        ("socks5://", "a scheme, a host and a port"),
        ("socks5://proxy.example/path", "a scheme, a host and a port"),
        ("socks5://proxy.example?rdns=1", "a scheme, a host and a port"),
        ("socks5://proxy.example:0", "between 1 and 65535"),
        ("socks5://a%20b", "the host in the proxy's URL must be a name"),
        (f"socks5://erin:{SECRET}/@proxy.example", "%2F"),
        (f"socks5://erin:{SECRET}@proxy.example@", "%40"),
        (f"socks5://erin:{SECRET}%0A@proxy.example", r"password .* U\+000A"),
        (f"socks5://erin:{SECRET}%C3%BC@proxy.example", "password .* beyond ASCII"),
        (f"socks5://erin:{SECRET * 40}@proxy.example", "password .* 255 octets"),
        (f"socks5://{'e' * 256}:{SECRET}@proxy.example", "user name .* 255 octets"),
        ("socks5://erin@proxy.example", "without the other one"),
        (f"socks5h://:{SECRET}@proxy.example", "without the other one"),
        (f"socks4://erin:{SECRET}@proxy.example", "SOCKS4 has no passwords"),
        (f"http://e%3Arin:{SECRET}@proxy.example:1", "user name .* has a :"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_refused_and_its_password_not_shown(
    url: Any, why: str
) -> None:
    with pytest.raises(SMTPArgumentError, match=why) as caught:
        SMTP(proxy=url)
    assert SECRET not in str(caught.value)


def test_a_proxy_of_socks_says_which_package_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if "socks" in name else real(name),
    )
    with pytest.raises(SMTPArgumentError, match=r'pip install "smtplibaio\[proxy\]"'):
        SMTP(proxy="socks5://proxy.example")
    SMTP(proxy="http://proxy.example:3128")


def test_nothing_secret_is_in_the_repr_of_a_proxy() -> None:
    shown = repr(Endpoint(proxy=Proxy("http", "proxy.example", 3128, "me", "s3cret")))
    assert "'http://proxy.example:3128', username='me'" in shown
    assert "s3cret" not in shown


@pytest.mark.parametrize("hostname", ["localhost ", "mx.example:587", "[2001:db8::1]"])
def test_a_host_name_that_is_more_than_one_says_what_to_do(hostname: str) -> None:
    """H14: S15, S16."""
    with pytest.raises(SMTPArgumentError) as caught:
        Endpoint(hostname)
    assert "without blanks; pass port=, username= and" in str(caught.value)

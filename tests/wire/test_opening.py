"""Addresses, TLS, and what may go wrong before the greeting."""

from __future__ import annotations

import asyncio
import errno
import itertools
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from conversation import serve

from smtplibaio import (
    SMTPConnectionError,
    SMTPConnectionRefusedError,
    SMTPTimeoutError,
    SMTPTLSError,
)
from smtplibaio.wire import dialling
from smtplibaio.wire.endpoint import Endpoint
from smtplibaio.wire.opening import address_literal, is_local, open_connection
from smtplibaio.wire.tls import default_context

OK, REFUSED, HOLE, UNREACHABLE = (
    "127.0.0.2",
    "127.0.0.3",
    "127.0.0.4",
    "127.255.255.255",
)
REFUSES, SILENT, NO_WAY = (
    f"[Errno {errno.ECONNREFUSED}]",
    "no answer",
    f"[Errno {errno.ENETUNREACH}]",
)

GREETING_ONLY = """
    S: 220 hi
    """


# Which address


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Give a port that greets at OK, is silent at HOLE, and closed at REFUSED."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        writer.close()

    async with await asyncio.start_server(greet, OK, 0) as server:
        port = server.sockets[0].getsockname()[1]
        with black_hole(port):
            yield port


@contextmanager
def black_hole(port: int) -> Iterator[None]:
    """Listen with a backlog that is full, so that nobody gets an answer."""
    with socket.socket() as listener:
        listener.bind((HOLE, port))
        listener.listen(0)
        knocking = [socket.socket() for _ in range(4)]
        try:
            for sock in knocking:
                sock.setblocking(False)
                sock.connect_ex((HOLE, port))
            yield
        finally:
            for sock in knocking:
                sock.close()


Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Have mx.example resolve to the given addresses."""

    def as_these(*addresses: str) -> None:
        def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
            assert host == "mx.example"
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
                for address in addresses
            ]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    monkeypatch.setattr(dialling, "HAPPY_EYEBALLS_DELAY", 0.02)
    return as_these


async def open_and_close(endpoint: Endpoint, timeout: float | None = 5) -> str:
    """Connect, and tell to which address."""
    protocol = await open_connection(endpoint, timeout)
    assert (await protocol.greeting).code == 220
    peer = protocol.transport.get_extra_info("peername")
    await protocol.close()
    return str(peer[0])


def test_the_server_is_what_the_client_was_given() -> None:
    assert Endpoint("mx.example", 587).server == ("mx.example", 587)
    assert Endpoint("mx.example", path=Path("/run/smtp")).server == ("/run/smtp", None)
    with socket.socket() as sock:
        assert Endpoint("mx.example", sock=sock).server is None


@pytest.mark.parametrize(
    "addresses",
    [
        pytest.param(order, id="E27-" + "-".join(order))
        for order in itertools.permutations((OK, REFUSED, HOLE))
    ],
)
async def test_the_address_that_answers_is_found_in_every_order(
    resolve: Resolve, port: int, addresses: tuple[str, ...]
) -> None:
    resolve(*addresses)
    assert await open_and_close(Endpoint("mx.example", port)) == OK


@pytest.mark.parametrize(
    ("addresses", "kind", "fates"),
    [
        ((REFUSED, "127.0.0.5"), SMTPConnectionRefusedError, [REFUSES, REFUSES]),
        ((REFUSED, HOLE), SMTPTimeoutError, [REFUSES, SILENT]),
        ((HOLE, REFUSED), SMTPTimeoutError, [SILENT, REFUSES]),
        ((REFUSED, UNREACHABLE), SMTPConnectionError, [REFUSES, NO_WAY]),
        ((UNREACHABLE, REFUSED), SMTPConnectionError, [NO_WAY, REFUSES]),
    ],
)
async def test_the_error_lists_every_address_and_what_became_of_it(
    resolve: Resolve,
    port: int,
    addresses: tuple[str, ...],
    kind: type[Exception],
    fates: list[str],
) -> None:
    """E27: refused means that every address refused; a time-out names the silent."""
    resolve(*addresses)
    with pytest.raises(kind) as caught:
        await open_connection(Endpoint("mx.example", port), 0.3)
    assert type(caught.value) is kind
    assert isinstance(caught.value.__cause__, OSError)
    pairs = zip(addresses, fates, strict=True)
    listed = "; ".join(f"{address}: {re.escape(fate)}[^;]*" for address, fate in pairs)
    assert re.search(rf"\({listed}\)$", str(caught.value))


async def test_a_second_address_is_not_tried_while_the_first_has_its_time(
    resolve: Resolve, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E27: the other addresses are for hosts that do not answer."""
    monkeypatch.setattr(dialling, "HAPPY_EYEBALLS_DELAY", 60)
    resolve(OK, UNREACHABLE)
    attempts: list[str] = []
    loop = asyncio.get_running_loop()
    real = loop.sock_connect

    async def noted(sock: socket.socket, address: Any) -> None:
        attempts.append(address[0])
        await real(sock, address)

    monkeypatch.setattr(loop, "sock_connect", noted)
    await open_and_close(Endpoint("mx.example", port))
    assert attempts == [OK]


async def test_the_loser_of_a_dead_heat_is_closed(
    resolve: Resolve, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E27: two addresses answer in the same turn of the loop; one socket stays."""
    resolve(OK, OK)
    loop = asyncio.get_running_loop()
    real = loop.sock_connect
    arrived: list[socket.socket] = []
    both = loop.create_future()

    async def side_by_side(sock: socket.socket, address: Any) -> None:
        await real(sock, address)
        arrived.append(sock)
        if len(arrived) == 2:
            loop.call_soon(both.set_result, None)
        await both

    monkeypatch.setattr(loop, "sock_connect", side_by_side)
    await open_and_close(Endpoint("mx.example", port))
    assert [sock.fileno() for sock in arrived] == [-1, -1]


async def test_a_cancelled_race_leaves_no_socket(resolve: Resolve, port: int) -> None:
    """E27: the fixture of every test finds what was left."""
    resolve(HOLE, HOLE)
    task = asyncio.create_task(open_connection(Endpoint("mx.example", port), None))
    done, _ = await asyncio.wait((task,), timeout=0.1)
    assert not done
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_address_needs_no_resolver(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    assert await open_and_close(Endpoint(OK, port)) == OK


async def test_an_ipv6_address_needs_none_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    found = await dialling.resolve("::1", 25)
    assert found == [(socket.AF_INET6, ("::1", 25))]


# Which name


@pytest.mark.parametrize(
    "hostname", ["a" * 64 + ".example", "mx..example"], ids=["long", "empty label"]
)
async def test_a_name_that_is_none_is_a_connection_error(hostname: str) -> None:
    """E28: what the resolver's codec raises is typed too."""
    with pytest.raises(SMTPConnectionError) as caught:
        await open_connection(Endpoint(hostname), 5)
    assert isinstance(caught.value.__cause__, UnicodeError)


async def test_a_name_without_an_address_is_a_connection_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E28: NXDOMAIN."""

    def no_such_name(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(
        SMTPConnectionError, match=r"mx\.example:25.*not known"
    ) as caught:
        await open_connection(Endpoint("mx.example"), 5)
    assert type(caught.value) is SMTPConnectionError
    assert isinstance(caught.value.__cause__, socket.gaierror)


async def test_a_name_with_no_address_at_all_is_a_connection_error(
    resolve: Resolve,
) -> None:
    """E28: a resolver that finds nothing and says that all is well."""
    resolve()
    with pytest.raises(SMTPConnectionError, match="has no address"):
        await open_connection(Endpoint("mx.example"), 5)


async def test_a_slow_resolver_is_bounded_by_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """E28: and so is one that is cancelled."""
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait(5) and [])
    try:
        with pytest.raises(
            SMTPTimeoutError, match=r"within 0\.05 s \(the resolver has not"
        ):
            await open_connection(Endpoint("mx.example"), 0.05)
        task = asyncio.create_task(open_connection(Endpoint("mx.example"), None))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not answer.is_set()
    finally:
        answer.set()


# Where from


@asynccontextmanager
async def visitors() -> AsyncIterator[tuple[int, asyncio.Queue[str]]]:
    """Listen, and tell where each client comes from."""
    addresses: asyncio.Queue[str] = asyncio.Queue()

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        addresses.put_nowait(writer.get_extra_info("peername")[0])
        writer.write(b"220 hi\r\n")
        writer.close()

    async with await asyncio.start_server(greet, OK, 0) as server:
        yield server.sockets[0].getsockname()[1], addresses


async def test_what_the_kernel_gives_up_on_is_a_connection_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def give_up(sock: socket.socket, address: object) -> None:
        raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", give_up)
    with pytest.raises(SMTPConnectionError, match="Connection timed out"):
        await open_connection(Endpoint("127.0.0.1"), None)


async def test_the_source_address_is_where_the_connection_comes_from() -> None:
    async with visitors() as (port, addresses):
        await open_and_close(Endpoint(OK, port, ("127.0.0.9", 0)))
        assert await addresses.get() == "127.0.0.9"


async def test_the_source_address_may_be_a_name(resolve: Resolve) -> None:
    resolve("127.0.0.9")
    async with visitors() as (port, addresses):
        await open_and_close(Endpoint(OK, port, ("mx.example", 0)))
        assert await addresses.get() == "127.0.0.9"


async def test_a_source_address_of_this_machine_it_must_be() -> None:
    async with visitors() as (port, _):
        with pytest.raises(SMTPConnectionError, match=f"{OK}:.*assign"):
            await open_connection(Endpoint(OK, port, ("192.0.2.1", 0)), 5)


async def test_a_source_address_of_another_family_is_not_passed_over() -> None:
    async with visitors() as (port, addresses):
        with pytest.raises(SMTPConnectionError, match="source"):
            await open_and_close(Endpoint(OK, port, ("::1", 0)))
        assert addresses.empty()


# Other ways


async def test_a_unix_socket_is_a_way(tmp_path: Path) -> None:
    path = tmp_path / "smtp"

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        writer.close()

    async with await asyncio.start_unix_server(greet, path):
        protocol = await open_connection(Endpoint(path=path), 5)
        assert (await protocol.greeting).code == 220
        assert is_local(protocol.transport)
        assert address_literal(protocol.transport) == "localhost"
        await protocol.close()


async def test_a_unix_socket_that_is_not_there_is_a_connection_error(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "nothing")
    with pytest.raises(SMTPConnectionError, match=f"to {path}") as caught:
        await open_connection(Endpoint(path=path), 5)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


async def test_a_connected_socket_is_a_way_once() -> None:
    async with serve(GREETING_ONLY) as server:
        sock = socket.create_connection((server.host, server.port))
        assert await open_and_close(Endpoint(sock=sock)) == server.host
        assert sock.fileno() == -1
    with pytest.raises(SMTPConnectionError, match="Bad file descriptor"):
        await open_connection(Endpoint(sock=sock), 5)


async def test_what_is_cancelled_as_it_connects_leaves_no_socket(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E01: the transport is there, and its opener is not told of it any more."""
    loop = asyncio.get_running_loop()
    real = loop.create_connection

    async def cancelled(*arguments: Any, **options: Any) -> None:
        await real(*arguments, **options)
        raise asyncio.CancelledError

    monkeypatch.setattr(loop, "create_connection", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await open_connection(Endpoint(OK, port), 5)


@pytest.mark.parametrize("is_given", [True, False])
async def test_a_small_write_does_not_wait_for_an_acknowledgement(
    port: int, is_given: bool
) -> None:
    """Asyncio turns Nagle's algorithm off, but not for every kind of socket."""
    sock = None
    if is_given:
        sock = socket.socket()
        sock.connect((OK, port))
    protocol = await open_connection(Endpoint(OK, port, sock=sock), 5)
    opened = protocol.transport.get_extra_info("socket")
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await protocol.close()


# TLS from the first octet on


async def test_a_certificate_of_the_right_host_is_taken(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with serve(GREETING_ONLY, tls=server_tls, implicit_tls=True) as server:
        endpoint = Endpoint(
            server.host, server.port, context=client_tls, server_hostname="localhost"
        )
        assert await open_and_close(endpoint) == server.host


@pytest.mark.parametrize(
    ("name", "is_known", "why"),
    [
        ("localhost", False, "unable to get local issuer|self.signed"),
        ("mx.example", True, "mx.example"),
    ],
    ids=["unknown authority", "another name"],
)
async def test_a_certificate_that_does_not_verify_is_a_tls_error(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    name: str,
    is_known: bool,
    why: str,
) -> None:
    """B11: the library's own context verifies, authority and name."""
    context = client_tls if is_known else default_context()
    async with tls_listener(server_tls) as port:
        endpoint = Endpoint("127.0.0.1", port, context=context, server_hostname=name)
        with pytest.raises(SMTPTLSError, match=why) as caught:
            await open_connection(endpoint, 5)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@asynccontextmanager
async def tls_listener(context: ssl.SSLContext) -> AsyncIterator[int]:
    """Shake hands with whoever comes; those who turn away are no cause to complain."""
    loop = asyncio.get_running_loop()
    complain = loop.get_exception_handler()
    assert complain is not None

    def complain_but_not_of_visitors(
        loop: asyncio.AbstractEventLoop, event: dict[str, Any]
    ) -> None:
        if "incoming connection" not in event["message"]:
            complain(loop, event)

    loop.set_exception_handler(complain_but_not_of_visitors)
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_tls_with_a_server_that_speaks_first_and_plainly_is_a_tls_error(
    client_tls: ssl.SSLContext,
) -> None:
    """B07: the port is the wrong one; the banner arrives as TLS."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example ESMTP at your service\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SMTPTLSError, match=f"127.0.0.1:{port}") as caught:
            await open_connection(Endpoint("127.0.0.1", port, context=client_tls), 5)
    assert isinstance(caught.value.__cause__, ssl.SSLError)


@pytest.mark.parametrize("direction", ["<close>", "<reset>"])
async def test_a_server_that_hangs_up_on_the_handshake_is_a_connection_error(
    client_tls: ssl.SSLContext, direction: str
) -> None:
    async def hang_up(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        if direction == "<close>":
            await reader.read(4096)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0, limit=1) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((SMTPConnectionError, SMTPTLSError)):
            await open_connection(Endpoint("127.0.0.1", port, context=client_tls), 5)


async def test_a_handshake_without_an_answer_is_a_time_out(
    client_tls: ssl.SSLContext,
) -> None:
    """B08: the deadline of connecting is that of the handshake too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(*listener.getsockname(), context=client_tls)
        with pytest.raises(SMTPTimeoutError, match=r"within 0\.1 s"):
            await open_connection(endpoint, 0.1)


# What a transport tells


@pytest.mark.parametrize(
    ("sockname", "literal"),
    [
        (("192.0.2.1", 40000), "[192.0.2.1]"),
        (("2001:db8::1", 40000, 0, 0), "[IPv6:2001:db8::1]"),
        (("fe80::1%eth0", 40000, 0, 2), "[IPv6:fe80::1]"),
        ("", "localhost"),
        (None, "localhost"),
    ],
)
def test_the_clients_address_is_spelt_as_a_literal(
    sockname: object, literal: str
) -> None:
    """A03: RFC 5321 4.1.3, without a zone, which means nothing to the server."""
    transport = asyncio.BaseTransport(extra={"sockname": sockname})
    assert address_literal(transport) == literal


@pytest.mark.parametrize(
    ("peername", "expected"),
    [
        (("127.0.0.1", 25), True),
        (("127.255.0.1", 25), True),
        (("192.168.0.1", 25), False),
        (("::1", 25, 0, 0), True),
        (("fe80::1%lo", 25, 0, 1), False),
        ("/run/smtp", True),
        (None, False),
        ("", True),
    ],
)
def test_loopback_and_unix_sockets_are_local(peername: object, expected: bool) -> None:
    transport = asyncio.BaseTransport(extra={"peername": peername})
    assert is_local(transport) is expected


@pytest.mark.parametrize(
    ("peername", "expected"),
    [(("127.0.0.1", 25), False), (("::1", 25, 0, 0), False), ("", True), (None, False)],
)
def test_behind_a_proxy_or_a_socket_of_the_callers_loopback_is_not_local(
    peername: object, expected: bool
) -> None:
    transport = asyncio.BaseTransport(extra={"peername": peername})
    assert is_local(transport, is_direct=False) is expected

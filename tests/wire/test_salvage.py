"""What a server says before it resets the connection is heard all the same."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import trustme
import uvloop
from server_process import WAYS, process_of

from smtplibaio import SMTP, SMTP_SSL, SMTPConnectionLostError, SMTPException
from smtplibaio.wire.protocol import SMTPProtocol
from smtplibaio.wire.salvage import is_broken_below, read_what_is_left

BLOCK = b"x" * 62 + b"\r\n"
BLOCK *= 1024

#: Connections at a time.
AT_A_TIME = 20


class Endless:
    """A source without an end."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield BLOCK


@pytest.fixture(scope="module")
def ports(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, bool], int]]:
    """Start the server; give its port for each way to go away, with TLS or without."""
    certificate = tmp_path_factory.mktemp("server") / "certificate.pem"
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(certificate)
    keys = [(way, is_encrypted) for is_encrypted in (False, True) for way in WAYS]
    with process_of("refusing", certificate) as numbers:
        yield dict(zip(keys, numbers, strict=True))


async def errors_of(
    make: Callable[[], SMTP], source: Any, runs: int
) -> list[SMTPException]:
    """Send a mail many times; give what was raised."""
    errors: list[SMTPException] = []

    async def send() -> None:
        async with make() as smtp:
            try:
                await smtp.data(source)
            except SMTPException as exc:
                errors.append(exc)

    for _ in range(runs // AT_A_TIME):
        await asyncio.gather(*[send() for _ in range(AT_A_TIME)])
    return errors


@pytest.mark.parametrize(
    ("new_loop", "runs", "source"),
    [
        pytest.param(asyncio.new_event_loop, 100, Endless(), id="stream"),
        pytest.param(asyncio.new_event_loop, 100, BLOCK * 32, id="whole"),
        pytest.param(uvloop.new_event_loop, 40, Endless(), id="stream-uvloop"),
    ],
)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "TLS"])
def test_a_refusal_is_not_lost_in_the_reset_behind_it(
    is_encrypted: bool,
    way: str,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    runs: int,
    source: Any,
    ports: dict[tuple[str, bool], int],
    client_tls: ssl.SSLContext,
) -> None:
    """E14: the caller learns of the 552, and not of a connection that was lost."""
    make: Any = partial(SMTP_SSL, context=client_tls) if is_encrypted else SMTP
    make = partial(make, "127.0.0.1", ports[way, is_encrypted], "client.example")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        errors = runner.run(errors_of(make, source, runs))
    assert len(errors) == runs
    heard = [error for error in errors if "552 too much" in str(error)]
    share = 0.99 if is_encrypted else 1.0
    if new_loop is uvloop.new_event_loop and way in ("close", "RST"):
        share = 0.5  # what it has not read yet when a write fails is beyond reach
    assert len(heard) >= runs * share


# What a failed write finds


async def connected(
    listener: socket.socket,
) -> tuple[SMTPProtocol, socket.socket]:
    """Connect a bare protocol; give it, and the server's end."""
    loop = asyncio.get_running_loop()
    host, port = listener.getsockname()
    make = partial(SMTPProtocol, loop, None)
    _, protocol = await loop.create_connection(make, host, port)
    peer, _ = listener.accept()
    peer.sendall(b"220 hi\r\n")
    await protocol.greeting
    return protocol, peer


def reset(peer: socket.socket, last_words: bytes) -> None:
    peer.sendall(last_words)
    linger = struct.pack("ii", 1, 0)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.close()


LONG = b"".join(b"552-%050d\r\n" % number for number in range(500))


@pytest.mark.parametrize(
    ("last_words", "lines", "cause"),
    [
        (b"", None, "the connection to .* broke before .*: .*reset"),
        (b"552 n", None, "the connection to .* broke before .*: .*reset"),
        (b"552 no\r\n", 1, "the connection to .* broke before .*: .*reset"),
        (LONG + b"552 no\r\n", 501, "the connection to .* broke before .*: .*reset"),
        (b"421 bye\r\n", None, "ends the session: 421 bye"),
        (b"552 no\r\n250 what\r\n", 1, "nobody asked for: 250 what"),
        (b"nonsense\r\n", None, "not an SMTP reply"),
    ],
    ids=["nothing", "half", "reply", "long", "farewell", "too-much", "nonsense"],
)
async def test_what_is_there_as_a_write_fails_is_read(
    last_words: bytes, lines: int | None, cause: str
) -> None:
    """E14: it counts as it would have, had it been read in time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol, peer = await connected(listener)
        reply = protocol.ask(b"DATA\r\n", None, "DATA")
        reset(peer, last_words)
        protocol.say(b"more")
        protocol.flush()
        await asyncio.wait((reply,))
        if lines is None:
            assert isinstance(reply.exception(), SMTPException)
        else:
            assert reply.result().code == 552
            assert len(reply.result().lines) == lines
        while not protocol.is_lost.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert protocol.cause is not None
        with pytest.raises(SMTPConnectionLostError, match=cause):
            protocol.check()
        await protocol.close()


async def test_nothing_is_read_once_the_cause_is_known() -> None:
    """The first cause wins: what is left may be half of anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol, peer = await connected(listener)
        reply = protocol.ask(b"NOOP\r\n", None, "NOOP")
        first = SMTPConnectionLostError("first")
        reset(peer, b"421 bye\r\n")
        protocol.say(b"more")
        protocol.flush()
        protocol.end(first)
        await protocol.close()
        assert str(protocol.cause) == str(first)
        assert str(reply.exception()) == "first"


@pytest.mark.parametrize(
    "new_loop",
    [asyncio.new_event_loop, uvloop.new_event_loop],
    ids=["asyncio", "uvloop"],
)
@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "TLS"])
def test_a_transport_that_cannot_be_read_past_is_left_alone(
    is_encrypted: bool,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    ports: dict[tuple[str, bool], int],
    client_tls: ssl.SSLContext,
) -> None:
    """Nor is one that stands taken for a broken one."""

    async def look() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(
            partial(SMTPProtocol, loop, None),
            "127.0.0.1",
            ports["stall", is_encrypted],
            ssl=client_tls if is_encrypted else None,
        )
        await protocol.greeting
        assert not is_broken_below(transport)
        read_what_is_left(transport, protocol)  # there is nothing
        assert protocol.cause is None
        await protocol.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(look())

"""What is said in clear around STARTTLS is believed by nobody (CVE-2011-0411)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from conversation import serve
from tls_stage import (
    Hand,
    NewLoop,
    StartTLS,
    Way,
    both_ways,
    on_each_loop,
    run,
    stage,
)

from smtplibaio import (
    SMTP,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTLSError,
)

#: What stands behind the go-ahead.
INJECTIONS = {
    "full EHLO reply": b"250-evil\r\n250 AUTH PLAIN\r\n",
    "fragment": b"250-evil",
    "single octet": b"2",
    "empty line": b"\r\n",
    "like TLS": bytes.fromhex("16 03 03 00 04 0e 00 00 00"),
}

#: When it comes; seconds after the go-ahead, or None for in the same segment.
MOMENTS = {"same segment": None, "next step": 0.0, "0.1 ms": 0.0001, "1 ms": 0.001}

CELLS = [
    pytest.param(injection, delay, id=f"B01-{what}-{when}")
    for what, injection in INJECTIONS.items()
    for when, delay in MOMENTS.items()
]

#: Runs of each cell: more than two hundred in all.
RUNS = 13

#: Verbs that may not be seen outside TLS, nor inside of it after an injection.
FORBIDDEN = (b"EHLO", b"AUTH", b"MAIL", b"QUIT", b"RSET", b"NOOP")


class Attacker:
    """Stand before an honest server, and say something in its name."""

    def __init__(
        self, context: ssl.SSLContext, injection: bytes, delay: float | None
    ) -> None:
        self._context = context
        self._injection = injection
        self._delay = delay
        self.hand: Hand

    async def __call__(self, hand: Hand) -> None:
        self.hand = hand
        transport = hand.peer.transport
        transport.write(b"220 mx\r\n")
        await hand.peer.line()
        transport.write(b"250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
        assert await hand.peer.line() == b"STARTTLS\r\n"
        if self._delay is None:
            transport.write(b"220 go\r\n" + self._injection)
        else:
            transport.write(b"220 go\r\n")
            await asyncio.sleep(self._delay)
            transport.write(self._injection)
        # The honest server would turn to TLS, and take a login.
        with suppress(ssl.SSLError):
            await hand.handshake(self._context)
            await hand.answer(EHLO="250-mx\r\n250 AUTH PLAIN", AUTH="235 ok")


@pytest.mark.parametrize(("injection", "delay"), CELLS)
@on_each_loop
def test_what_is_injected_behind_the_go_ahead_ends_the_connection(
    new_loop: NewLoop,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    injection: bytes,
    delay: float | None,
) -> None:
    """B01, B02: whatever it is, and whenever it comes; in every run."""

    async def scenario() -> None:
        attackers = [Attacker(server_tls, injection, delay) for _ in range(RUNS)]
        refused = 0
        async with stage(*attackers) as port:
            for attacker in attackers:
                client = StartTLS.make(
                    port, client_tls, timeout=0.5, username="me", password="pw"
                )
                with pytest.raises(SMTPException):
                    await client.connect()
                assert not client.is_connected
                refused += 1
                in_clear = bytes(attacker.hand.raw + attacker.hand.peer.received)
                assert in_clear == b"" or in_clear.startswith(b"\x16\x03")
                assert not any(verb in in_clear for verb in FORBIDDEN)
                assert attacker.hand.said == b""
        assert refused == RUNS

    run(new_loop, scenario)


@pytest.mark.parametrize("injection", INJECTIONS.values(), ids=INJECTIONS)
@pytest.mark.parametrize("starttls", ["opportunistic", "required"])
async def test_no_mode_goes_on_after_an_injection(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    injection: bytes,
    starttls: Any,
) -> None:
    """B01: it is not taken for a server without TLS either."""
    attacker = Attacker(server_tls, injection, None)
    async with stage(attacker) as port:
        client = SMTP("127.0.0.1", port, starttls=starttls, tls_context=client_tls)
        with pytest.raises(SMTPProtocolError) as caught:
            await client.connect()
        assert not caught.value.is_transient
        assert not client.is_connected


async def test_reading_stops_in_the_very_step_that_takes_the_go_ahead(
    server_tls: ssl.SSLContext,
) -> None:
    """B02: what comes later waits for TLS to read it."""
    attacker = Attacker(server_tls, b"250 evil\r\n", 0.001)
    async with stage(attacker) as port:
        client = SMTP("127.0.0.1", port)
        await client.connect()
        await client.ehlo()
        protocol = client._connection.session.protocol
        assert protocol is not None
        assert protocol.transport.is_reading()
        reading: list[bool] = []
        go_ahead = protocol.ask_for_tls(b"STARTTLS\r\n", 5)
        go_ahead.add_done_callback(
            lambda _: reading.append(protocol.transport.is_reading())
        )
        assert (await go_ahead).code == 220
        assert reading == [False]
        await asyncio.sleep(0.02)
        assert protocol.cause is None  # the injection has not been read
        await client.close()


@asynccontextmanager
async def connected(script: str, **options: Any) -> AsyncIterator[SMTP]:
    """Connect a client that has said EHLO, without turning to TLS.

    What the script glues together comes in one segment: the client cannot be faster.
    """
    async with serve(script) as server:
        client = SMTP(server.host, server.port, "client.example", **options)
        await client.connect()
        try:
            yield client
        finally:
            await client.close()


@pytest.mark.parametrize("starttls", ["opportunistic", "required"])
async def test_a_go_ahead_before_the_command_ends_the_connection(
    client_tls: ssl.SSLContext, starttls: Any
) -> None:
    """B03: 220 glued to the reply to EHLO; the true answer would be 454."""
    script = """
        S: 220 mx
        C: EHLO client.example
        S: 250-mx
        S: 250 STARTTLS
        S: 220 go
        C: <hangup>
        """
    options = {"starttls": starttls, "tls_context": client_tls}
    with pytest.raises(SMTPConnectionLostError, match="nobody asked for"):
        async with connected(script, **options):
            pytest.fail("it has connected")


async def test_a_success_before_auth_ends_the_connection() -> None:
    """B03: a 235 that comes before AUTH was sent."""
    script = """
        S: 220 mx
        C: EHLO client.example
        S: 250-mx
        S: 250 AUTH PLAIN
        S: 235 ok
        C: <hangup>
        """
    options = {"username": "me", "password": "pw"}
    with pytest.raises(SMTPConnectionLostError, match="nobody asked for: 235"):
        async with connected(script, **options):
            pytest.fail("it has connected")


async def test_a_success_before_mail_ends_the_connection() -> None:
    """B03: a 250 that comes before MAIL was sent."""
    script = """
        S: 220 mx
        C: EHLO client.example
        S: 250 mx
        S: 250 ok
        C: <hangup>
        """
    async with connected(script) as client:
        with pytest.raises(SMTPConnectionLostError, match="nobody asked for: 250"):
            await client.sendmail("a@x.example", "b@y.example", "text")
        assert not client.is_connected


@both_ways
async def test_a_reply_that_nobody_asked_for_inside_tls_ends_the_connection(
    way: Way, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B17: 250 right behind the reply to EHLO (CVE-2009-3555)."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        assert (await hand.line()).startswith(b"EHLO")
        hand.write(b"250 mx\r\n250 ok\r\n")
        hand.raw.clear()
        with pytest.raises(ConnectionResetError):
            await hand.line()

    async with stage(act) as port:
        client = way.make(port, client_tls)

        async def connect_and_send() -> None:
            await client.connect()
            await client.sendmail("a@x.example", "b@y.example", "text")

        with pytest.raises(SMTPConnectionLostError, match="nobody asked for: 250"):
            await connect_and_send()
        assert not client.is_connected


async def test_a_reply_in_the_servers_first_flight_of_tls_ends_the_connection(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B17: TLS 1.3 lets a server speak before the client has finished its handshake."""

    async def act(hand: Hand) -> None:
        await StartTLS.prelude(hand)
        await hand.handshake(server_tls, b"250 mx\r\n")
        with pytest.raises(ConnectionResetError):
            await hand.answer(EHLO="250 AUTH PLAIN", AUTH="235 ok")
        assert hand.said == b""

    async with stage(act) as port:
        client = StartTLS.make(port, client_tls, username="me", password="pw")
        with pytest.raises(SMTPException):
            await client.connect()
        assert not client.is_connected


@pytest.mark.parametrize(
    ("garbage", "expected"),
    [
        pytest.param(b"250 ok\r\n", SMTPTLSError, id="B17-in clear"),
        pytest.param(bytes.fromhex("17 03 03 00 02 00 00"), SMTPTLSError, id="B17-bad"),
    ],
)
@both_ways
@on_each_loop
def test_octets_between_the_records_of_tls_are_a_tls_error(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    garbage: bytes,
    expected: type[SMTPException],
) -> None:
    """E10: whoever waits for a reply is told; and the next call, what happened."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        await hand.answer(EHLO="250 mx")
        hand.peer.transport.write(garbage)
        await hand.peer.everything()

    async def scenario() -> None:
        async with stage(act) as port:
            client = way.make(port, client_tls)
            await client.connect()
            with pytest.raises(expected) as caught:
                await client.noop()
            assert isinstance(caught.value.__cause__, ssl.SSLError)
            assert not client.is_connected
            with pytest.raises(SMTPConnectionError, match=r"TLS with .* has failed"):
                await client.noop()

    run(new_loop, scenario)


async def test_nothing_learnt_in_clear_is_used_inside(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B10: what was announced in clear counts no more, a refused EHLO or not."""

    async def act(hand: Hand) -> None:
        hand.peer.transport.write(b"220 mx\r\n")
        await hand.peer.line()
        hand.peer.transport.write(b"250-mx\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n")
        await hand.peer.line()
        hand.peer.transport.write(b"220 go\r\n")
        await hand.handshake(server_tls)
        await hand.answer(EHLO="500 what?", HELO="250 mx", NOOP="250 ok")

    async with stage(act) as port:
        client = SMTP("127.0.0.1", port, tls_context=client_tls)
        await client.connect()
        await client.ehlo()
        assert client.auth_mechanisms == ["plain"]
        with pytest.raises(SMTPCommandFailedError) as caught:
            await client.starttls()
        assert (caught.value.code, caught.value.command) == (500, "EHLO")
        assert client.is_encrypted
        assert client.extensions == {}
        assert client.auth_mechanisms == []
        await client.noop()
        await client.close()


def test_the_cells_make_two_hundred_runs() -> None:
    """B01: the share of refusals means something."""
    assert len(CELLS) * RUNS >= 200

"""How a session inside TLS ends: in order, cut short, stalled, or by garbage."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

import pytest
from conversation import reset
from tls_stage import (
    Hand,
    ImplicitTLS,
    NewLoop,
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
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
)

Ending = Callable[[Hand], Awaitable[None]]


# What a server may do instead of going on


async def fin(hand: Hand) -> None:
    """Close without close_notify."""
    hand.peer.transport.close()


async def notified_fin(hand: Hand) -> None:
    """Close as TLS has it (RFC 8446 6.1)."""
    assert hand.tls is not None
    with pytest.raises(ssl.SSLWantReadError):
        hand.tls.unwrap()
    hand.flush()
    hand.peer.transport.close()


async def half_close(hand: Hand) -> None:
    """Say nothing more, and go on reading."""
    hand.peer.transport.write_eof()
    await hand.peer.everything()


async def rst(hand: Hand) -> None:
    reset(hand.peer.transport)


async def garbage(hand: Hand) -> None:
    """Break a record."""
    hand.peer.transport.write(bytes.fromhex("17 03 03 00 02 00 00"))
    hand.peer.transport.resume_reading()
    await hand.peer.everything()


async def silence(hand: Hand) -> None:
    await hand.peer.everything()


LOST = (SMTPConnectionLostError, SMTPTLSError, SMTPTimeoutError)
ENDINGS = [fin, notified_fin, half_close, rst, garbage, silence]
every_ending = pytest.mark.parametrize("ending", ENDINGS, ids=lambda e: e.__name__)


def session(
    way: Way,
    context: ssl.SSLContext,
    ending: Ending,
    last: bytes = b"",
    **replies: str,
) -> Callable[[Hand], Awaitable[None]]:
    """Be a server until a command that has no reply; then say what is last, and end."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(context, way.greeting)
        await hand.answer(**{"EHLO": "250 mx"} | replies)
        hand.write(last)
        await ending(hand)

    return act


SHORT = Timeouts(reply=0.2, final=0.2)
TRANSACTION = {"MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go ahead"}


# Without close_notify


@pytest.mark.parametrize("last", [b"221 bye\r\n", b"221 b", b""], ids=str)
@pytest.mark.parametrize("ending", [fin, notified_fin, rst], ids=lambda e: e.__name__)
@both_ways
@on_each_loop
def test_quit_is_done_however_the_server_closes(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
    last: bytes,
) -> None:
    """B15: a FIN after QUIT is a success, with a reply before it or not."""

    async def scenario() -> None:
        start = asyncio.get_running_loop().time()
        async with stage(session(way, server_tls, ending, last)) as port:
            client = way.make(port, client_tls)
            await client.connect()
            assert (await client.quit()).code == 221
            assert not client.is_connected
        assert asyncio.get_running_loop().time() - start < 2

    run(new_loop, scenario)


@both_ways
@on_each_loop
def test_a_whole_reply_counts_and_then_the_connection_is_lost(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    """B15, D19: FIN right behind a reply."""

    async def scenario() -> None:
        act = session(way, server_tls, fin, b"250 ok\r\n")
        async with stage(act) as port:
            client = way.make(port, client_tls)
            await client.connect()
            assert (await client.noop()).code == 250
            with pytest.raises(SMTPConnectionLostError):
                await client.noop()
            assert not client.is_connected

    run(new_loop, scenario)


@pytest.mark.parametrize("size", [100, 4096, 20_000, 60_000])
@pytest.mark.parametrize("ending", [fin, notified_fin], ids=lambda e: e.__name__)
@on_each_loop
def test_a_long_reply_counts_too(
    new_loop: NewLoop,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
    size: int,
) -> None:
    """B15, D19: all of it, though the FIN comes before it is read."""
    line = b"250-%b\r\n" % (b"x" * 92)
    text = line * (size // len(line)) + b"250 ok\r\n"

    async def scenario() -> None:
        act = session(ImplicitTLS, server_tls, ending, text)
        async with stage(act) as port:
            client = ImplicitTLS.make(port, client_tls)
            await client.connect()
            reply = await client.noop()
            assert len(reply.message.split("\n")) == text.count(b"\r\n")
            await client.close()

    run(new_loop, scenario)


@pytest.mark.parametrize("last", [b"250 o", b"250-o\r\n", b"250 ok\r"], ids=str)
@pytest.mark.parametrize("ending", [fin, notified_fin], ids=lambda e: e.__name__)
@both_ways
@on_each_loop
def test_half_a_reply_is_none(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
    last: bytes,
) -> None:
    """B15: truncated within a line, or within the lines of a reply."""

    async def scenario() -> None:
        async with stage(session(way, server_tls, ending, last)) as port:
            client = way.make(port, client_tls)
            await client.connect()
            with pytest.raises(SMTPConnectionLostError, match="middle of its reply"):
                await client.noop()
            assert not client.is_connected

    run(new_loop, scenario)


# In the middle of something


@every_ending
@both_ways
@on_each_loop
def test_a_loss_before_the_final_dot_is_no_delivery(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
) -> None:
    """E11, E18: lost in reply to MAIL; the mail may be sent again."""

    async def scenario() -> None:
        async with stage(session(way, server_tls, ending)) as port:
            client = way.make(port, client_tls, timeout=SHORT)
            await client.connect()
            with pytest.raises(LOST) as caught:
                await client.sendmail("a@x.example", "b@y.example", "text")
            assert caught.value.safe_to_retry
            assert not client.is_connected

    run(new_loop, scenario)


@pytest.mark.parametrize("last", [b"", b"250 o", b"250-o\r\n"], ids=str)
@every_ending
@on_each_loop
def test_a_loss_after_the_final_dot_leaves_it_unknown(
    new_loop: NewLoop,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
    last: bytes,
) -> None:
    """E11: whatever it is that TLS has failed of, the mail may have been accepted."""

    async def scenario() -> None:
        async def until_the_dot(hand: Hand) -> None:
            await ImplicitTLS.prelude(hand)
            await hand.handshake(server_tls, ImplicitTLS.greeting)
            await hand.answer(EHLO="250 mx", **TRANSACTION)  # ends with the text
            assert await hand.line() == b".\r\n"
            hand.write(last)
            await ending(hand)

        async with stage(until_the_dot) as port:
            client = ImplicitTLS.make(port, client_tls, timeout=SHORT)
            await client.connect()
            with pytest.raises(SMTPDeliveryUnknownError) as caught:
                await client.sendmail("a@x.example", "b@y.example", "text")
            assert not caught.value.safe_to_retry
            assert isinstance(caught.value.__cause__, LOST)
            assert not client.is_connected

    run(new_loop, scenario)


@pytest.mark.parametrize(
    "ending", [fin, notified_fin, rst, garbage], ids=lambda e: e.__name__
)
@both_ways
@on_each_loop
def test_every_pending_future_fails_once_with_the_same_cause(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
) -> None:
    """E10: a hundred commands whose replies do not come."""

    async def scenario() -> None:
        calls = 0

        def count(_: object) -> None:
            nonlocal calls
            calls += 1

        act = session(way, server_tls, ending, EHLO="250-mx\r\n250 PIPELINING")
        async with stage(act) as port:
            client = way.make(port, client_tls)
            await client.connect()
            futures = []

            async def reset_a_hundred_times() -> None:
                async with client.pipeline() as pipeline:
                    for _ in range(100):
                        futures.append(pipeline.rset())
                        futures[-1].add_done_callback(count)
                    await asyncio.wait(futures)
                    await futures[0]

            with pytest.raises(SMTPException):
                await reset_a_hundred_times()
            assert calls == 100
            errors = [future.exception() for future in futures]
            assert len({type(error) for error in errors}) == 1
            assert len({id(error.__cause__) for error in errors if error}) == 1

    run(new_loop, scenario)


@pytest.mark.parametrize("ending", [fin, rst, garbage], ids=lambda e: e.__name__)
@both_ways
@on_each_loop
def test_a_writer_that_is_held_up_is_woken_by_the_loss(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
) -> None:
    """E17: the server reads no more of the content, and then the connection is lost."""
    content = b"text\r\n" * 2_000_000

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        await hand.answer(EHLO="250 mx", MAIL="250 ok", RCPT="250 ok", DATA="354 go")
        hand.peer.transport.pause_reading()
        while not held_up():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        await ending(hand)
        hand.peer.transport.resume_reading()

    def held_up() -> bool:
        protocol = clients[0]._connection.protocol
        return protocol is None or protocol._is_writable is not None

    clients: list[SMTP] = []

    async def scenario() -> None:
        async with stage(act) as port:
            client = way.make(port, client_tls)
            clients.append(client)
            await client.connect()
            with pytest.raises((SMTPConnectionLostError, SMTPTLSError)) as caught:
                await client.sendmail("a@x.example", "b@y.example", content)
            assert caught.value.safe_to_retry
            assert not client.is_connected

    run(new_loop, scenario)


@pytest.mark.parametrize("ending", [fin, silence], ids=lambda e: e.__name__)
@both_ways
@on_each_loop
def test_an_early_refusal_is_heard_inside_tls(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    ending: Ending,
) -> None:
    """E14: 552 in the middle of the content, then the server stalls or closes."""
    content = b"text\r\n" * 2_000_000

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        await hand.answer(EHLO="250 mx", MAIL="250 ok", RCPT="250 ok", DATA="354 go")
        hand.write(b"552 too much\r\n")
        await ending(hand)

    async def scenario() -> None:
        async with stage(act) as port:
            client = way.make(port, client_tls)
            await client.connect()
            with pytest.raises(SMTPCommandFailedError) as caught:
                await client.sendmail("a@x.example", "b@y.example", content)
            assert caught.value.code == 552
            assert not client.is_connected

    run(new_loop, scenario)


# Closing


@pytest.mark.parametrize("is_full", [False, True], ids=["idle", "held up"])
@both_ways
@on_each_loop
def test_closing_is_bounded_where_the_server_never_answers(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    *,
    is_full: bool,
) -> None:
    """B16: neither a missing close_notify nor a full buffer holds it up."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        await hand.answer(EHLO="250 mx", MAIL="250 ok", RCPT="250 ok", DATA="354 go")
        hand.peer.transport.pause_reading()
        await over.wait()
        hand.peer.transport.abort()

    over = asyncio.Event()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        sending = None
        async with stage(act) as port:
            client = way.make(port, client_tls)
            await client.connect()
            if is_full:
                mail = ("a@x.example", "b@y.example", b"text\r\n" * 2_000_000)
                sending = asyncio.create_task(client.sendmail(*mail))
                protocol = client._connection.protocol
                assert protocol is not None
                while protocol._is_writable is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
            else:
                sending = asyncio.create_task(client.command("XSTOP"))
                await asyncio.sleep(0.02)
            start = loop.time()
            await client.close()
            assert loop.time() - start < 2.5
            assert not client.is_connected
            with pytest.raises(SMTPConnectionError):
                await sending
            over.set()

    run(new_loop, scenario)


@on_each_loop
def test_an_unanswered_close_notify_takes_about_a_second(
    new_loop: NewLoop, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B16: asyncio itself would wait half a minute."""
    over = asyncio.Event()

    async def act(hand: Hand) -> None:
        await hand.handshake(server_tls, b"220 mx\r\n")
        await over.wait()

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        async with stage(act) as port:
            client = ImplicitTLS.make(port, client_tls)
            await client.connect()
            start = loop.time()
            await client.close()
            assert loop.time() - start < 2.5
            over.set()

    run(new_loop, scenario)


# What goes by without a trace


@pytest.mark.parametrize("tickets", [0, 2, 10])
@both_ways
@on_each_loop
def test_session_tickets_and_replies_in_one_segment_are_told_apart(
    new_loop: NewLoop,
    way: Way,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    tickets: int,
) -> None:
    """B20: TLS 1.3 sends tickets after the handshake, and a reply may follow."""

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        await hand.answer(EHLO="250 mx", NOOP="250 ok")
        hand.write(b"221 bye\r\n")
        hand.peer.transport.close()

    async def scenario() -> None:
        before = server_tls.num_tickets
        server_tls.num_tickets = tickets
        try:
            async with stage(act) as port:
                client = way.make(port, client_tls)
                await client.connect()
                for _ in range(3):
                    assert (await client.noop()).code == 250
                assert (await client.quit()).code == 221
        finally:
            server_tls.num_tickets = before

    run(new_loop, scenario)


@both_ways
async def test_no_application_protocol_is_offered(
    way: Way, client_tls: ssl.SSLContext, server_tls: ssl.SSLContext
) -> None:
    """B19: nothing is registered for SMTP, and some servers refuse what they get."""
    hellos: list[bytes] = []

    async def act(hand: Hand) -> None:
        await way.prelude(hand)
        await hand.handshake(server_tls, way.greeting)
        hellos.append(bytes(hand.raw))
        await hand.answer(EHLO="250 mx")
        hand.peer.transport.close()

    async with stage(act) as port:
        async with way.make(port, client_tls):
            pass
    assert _extensions(hellos[0]) & {0, 10, 43} != set()  # it was read rightly
    assert 16 not in _extensions(hellos[0])


def _extensions(hello: bytes) -> set[int]:
    """List the extensions of a client's hello (RFC 8446 4.1.2)."""
    at = 5 + 4 + 2 + 32  # the record's header, the message's, version, random
    at += 1 + hello[at]  # session
    at += 2 + int.from_bytes(hello[at : at + 2], "big")  # ciphers
    at += 1 + hello[at]  # compression
    end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 2
    found = set()
    while at < end:
        found.add(int.from_bytes(hello[at : at + 2], "big"))
        at += 4 + int.from_bytes(hello[at + 2 : at + 4], "big")
    return found

"""A client as it is configured, connected, introduced, and taken leave of."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
from conversation import client, serve

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    Extensions,
    Reply,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    Timeouts,
)

# Configuration


def test_the_defaults_are_those_of_smtplib() -> None:
    smtp = SMTP()
    assert (smtp.hostname, smtp.port) == ("localhost", 25)
    assert smtp.timeout == Timeouts()


def test_positional_arguments_are_those_of_smtplibaio_2() -> None:
    smtp = SMTP("mx.example", 587, "client.example", 30)
    assert (smtp.hostname, smtp.port, smtp.fqdn) == (
        "mx.example",
        587,
        "client.example",
    )
    assert smtp.timeout == Timeouts(30, 30, 30, 30, 30)


@pytest.mark.parametrize(
    "arguments",
    [
        {"hostname": ""},
        {"port": 0},
        {"timeout": 0},
        {"sock": socket.socket, "path": "/p"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused_at_once(
    arguments: dict[str, Any],
) -> None:
    with pytest.raises(SMTPArgumentError):
        SMTP(**arguments)


@pytest.mark.parametrize(
    "attribute",
    [
        "hostname",
        "port",
        "fqdn",
        "timeout",
        "is_connected",
        "is_encrypted",
        "transport",
        "greeting",
        "extensions",
        "supports_esmtp",
    ],
)
def test_configuration_is_frozen(attribute: str) -> None:
    smtp = SMTP()
    with pytest.raises(AttributeError):
        setattr(smtp, attribute, "other")


def test_an_object_without_a_connection_knows_nothing_of_a_server() -> None:
    smtp = SMTP()
    assert (smtp.is_connected, smtp.is_encrypted) == (False, False)
    assert (smtp.transport, smtp.greeting) == (None, None)
    assert smtp.extensions == {}
    assert smtp.esmtp_extensions == {}
    assert smtp.auth_mechanisms == []
    assert not smtp.supports_esmtp
    assert smtp.last_ehlo_response == (None, None)
    assert smtp.last_helo_response == (None, None)


# The client's name


@pytest.mark.parametrize(
    "name",
    [
        "me\r\nMAIL FROM:<x>",
        "a b",
        "",
        "under_score",
        "a.example.",
        "b\u00fccher.example",
    ],
)
def test_a_name_that_ehlo_cannot_carry_is_refused_at_once(name: str) -> None:
    """A03: control characters, blanks, nothing, and what is no domain."""
    with pytest.raises(SMTPArgumentError, match="fqdn must be a domain"):
        SMTP(fqdn=name)


@pytest.mark.parametrize(
    ("hostname", "announced"),
    [
        pytest.param("client.example", "client.example", id="A03-domain"),
        pytest.param("client", "[127.0.0.1]", id="A03-single-label"),
        pytest.param("my_host.example", "[127.0.0.1]", id="A03-underscore"),
        pytest.param("a.b\r\nDATA", "[127.0.0.1]", id="A03-injection"),
        pytest.param("b\u00fccher.example", "[127.0.0.1]", id="A03-not-ASCII"),
    ],
)
async def test_without_a_name_it_is_the_hosts_or_the_sockets(
    monkeypatch: pytest.MonkeyPatch, hostname: str, announced: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: hostname)
    async with client(
        f"""
        S: 220 hi
        C: EHLO {announced}
        S: 250 mx
        C: HELO {announced}
        S: 250 mx
        """,
        fqdn=None,
    ) as smtp:
        assert smtp.fqdn == announced
        await smtp.ehlo()
        await smtp.helo()


def test_a_name_that_depends_on_the_socket_is_not_known_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A03: `fqdn` is the name that is really sent."""
    monkeypatch.setattr(socket, "gethostname", lambda: "client")
    assert SMTP().fqdn is None
    assert SMTP(fqdn="[192.0.2.1]").fqdn == "[192.0.2.1]"


async def test_a_name_over_ipv6_is_a_tagged_literal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A03: RFC 5321 4.1.3."""
    monkeypatch.setattr(socket, "gethostname", lambda: "client")
    async with client("S: 220 hi", fqdn=None) as smtp:
        assert smtp.transport is not None
        monkeypatch.setitem(smtp.transport._extra, "sockname", ("::1", 1, 0, 0))
        assert smtp.fqdn == "[IPv6:::1]"
        SMTP(fqdn=smtp.fqdn)


# Introduction


async def test_what_ehlo_announces_is_known() -> None:
    async with client("""
        S: 220-mx.example
        S: 220 at your service
        C: EHLO client.example
        S: 250-mx.example
        S: 250-SIZE 1000
        S: 250-auth=LOGIN PLAIN
        S: 250 PIPELINING
        """) as smtp:
        assert smtp.greeting == (220, "mx.example\nat your service")
        reply = await smtp.ehlo()
        assert smtp.last_ehlo_response == reply
        assert smtp.last_helo_response == (None, None)
        assert smtp.supports_esmtp
        assert smtp.extensions["size"] == ("1000",)
        assert isinstance(smtp.extensions, Extensions)
        assert smtp.esmtp_extensions == {
            "size": "1000",
            "auth": "LOGIN PLAIN",
            "pipelining": "",
        }
        assert smtp.auth_mechanisms == ["login", "plain"]
        assert smtp.is_connected
        assert not smtp.is_encrypted
        assert isinstance(smtp.transport, asyncio.Transport)


async def test_helo_takes_the_extensions_back() -> None:
    """D18: after HELO there are none."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: HELO other.example
        S: 250-mx
        S: 250 PIPELINING
        """) as smtp:
        await smtp.ehlo()
        reply = await smtp.helo("other.example")
        assert smtp.last_helo_response == reply
        assert smtp.last_ehlo_response == (None, None)
        assert not smtp.supports_esmtp
        assert smtp.extensions == {}


async def test_the_name_may_be_another_for_once() -> None:
    """A03: ehlo(name)."""
    async with client("""
        S: 220 hi
        C: EHLO other.example
        S: 250 mx
        """) as smtp:
        await smtp.ehlo("other.example")
        assert smtp.fqdn == "client.example"
        for name in "a b", "", "x\r\nDATA", "my_host":
            with pytest.raises(SMTPArgumentError):
                await smtp.ehlo(name)
            with pytest.raises(SMTPArgumentError):
                await smtp.helo(name)


@pytest.mark.parametrize(
    "code",
    [pytest.param(code, id=f"D18-{code}") for code in (500, 501, 502, 503, 550, 554)],
)
async def test_a_server_that_knows_no_ehlo_is_told_helo(code: int) -> None:
    async with client(f"""
        S: 220 hi
        C: EHLO client.example
        S: {code} what?
        C: HELO client.example
        S: 250-mx
        S: 250 PIPELINING
        """) as smtp:
        await smtp.ehlo_or_helo_if_needed()
        await smtp.ehlo_or_helo_if_needed()
        assert not smtp.supports_esmtp
        assert smtp.extensions == {}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param("S: 450 later", SMTPCommandFailedError, id="D18-4xx"),
        pytest.param("S: 421 later", SMTPConnectionLostError, id="D18-421"),
        pytest.param("S: 354 go", SMTPProtocolError, id="D18-3xx"),
        pytest.param("S: <close>", SMTPConnectionLostError, id="D18-close"),
        pytest.param("S: <silence>", SMTPTimeoutError, id="D18-silence"),
    ],
)
async def test_helo_is_no_answer_to_another_failure(
    answer: str, kind: type[Exception]
) -> None:
    async with client(
        f"""
        S: 220 hi
        C: EHLO client.example
        {answer}
        """,
        timeout=Timeouts(reply=0.1),
    ) as smtp:
        with pytest.raises(kind) as caught:
            await smtp.ehlo_or_helo_if_needed()
        assert type(caught.value) is kind
        assert not smtp.supports_esmtp
        assert smtp.last_ehlo_response == (None, None)


async def test_a_server_that_knows_neither_is_asked_again_next_time() -> None:
    """D18: both refused."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 502 what?
        C: HELO client.example
        S: 502 what?
        C: EHLO client.example
        S: 250 mx
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="HELO"):
            await smtp.ehlo_or_helo_if_needed()
        await smtp.ehlo_or_helo_if_needed()
        assert smtp.supports_esmtp


async def test_the_refusal_of_ehlo_survives_a_hang_up_at_helo() -> None:
    """H01: the server has said why it hangs up."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 550 not you
        C: HELO client.example
        S: <close>
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="not you"):
            await smtp.ehlo_or_helo_if_needed()
        assert not smtp.is_connected


async def test_the_refusal_of_helo_survives_a_hang_up() -> None:
    """H01: that EHLO is not known does not say why the server hangs up."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 502 what?
        C: HELO client.example
        S: 450 not now
        S: 421 going down
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="HELO failed: 450") as caught:
            await smtp.ehlo_or_helo_if_needed()
        assert caught.value.is_transient


@pytest.mark.parametrize("end", ["421 too many", "<close>", "<silence>"])
@pytest.mark.parametrize("code", [500, 502, 504])
async def test_that_ehlo_is_unknown_is_no_reason_for_an_end_at_helo(
    code: int, end: str
) -> None:
    """H01: 550 to EHLO may be a verdict on the client; 502 is not, and lasts."""
    async with client(
        f"""
        S: 220 hi
        C: EHLO client.example
        S: {code} no EHLO
        C: HELO client.example
        S: {end}
        """,
        timeout=Timeouts(reply=0.1),
    ) as smtp:
        with pytest.raises(SMTPException, match="to HELO") as caught:
            await smtp.ehlo_or_helo_if_needed()
        assert caught.value.is_transient


async def test_a_refused_ehlo_is_the_callers_affair() -> None:
    """D18: only where the library introduces itself does it say HELO by itself."""
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 502 what?
        """) as smtp:
        with pytest.raises(SMTPCommandFailedError) as caught:
            await smtp.ehlo()
        assert (caught.value.code, caught.value.command) == (502, "EHLO")


# Leaving


async def test_quit_waits_for_the_reply() -> None:
    async with client("""
        S: 220 hi
        C: QUIT
        S: 221-so long
        S: 221 and thanks
        """) as smtp:
        assert await smtp.quit() == (221, "so long\nand thanks")
        assert not smtp.is_connected
        assert smtp.greeting is None


@pytest.mark.parametrize("direction", ["<close>", "<reset>"])
async def test_a_server_that_just_closes_has_said_221(direction: str) -> None:
    async with client(f"""
        S: 220 hi
        C: QUIT
        S: {direction}
        """) as smtp:
        reply = await smtp.quit()
        assert isinstance(reply, Reply)
        assert reply.code == 221


@pytest.mark.parametrize("answer", ["421 timed out before", "500 what?"])
async def test_quit_gives_the_reply_whatever_it_says(answer: str) -> None:
    async with client(f"""
        S: 220 hi
        C: QUIT
        S: {answer}
        """) as smtp:
        reply = await smtp.quit()
        assert f"{reply.code} {reply.message}" == answer
        assert not smtp.is_connected


async def test_quit_is_over_where_another_task_closes_the_connection() -> None:
    script = "S: 220 hi\nC: QUIT\nC: <hangup>"
    async with client(script) as smtp:
        quitting = asyncio.create_task(smtp.quit())
        await asyncio.sleep(0)
        await smtp.close()
        assert (await quitting).code == 221


@pytest.mark.parametrize("answer", ["<silence>", "bye"])
async def test_a_server_that_does_not_answer_quit_counts_as_one_that_said_221(
    answer: str,
) -> None:
    async with client(
        f"""
        S: 220 hi
        C: QUIT
        S: {answer}
        """,
        timeout=Timeouts(quit=0.05),
    ) as smtp:
        assert (await smtp.quit()).code == 221
        assert not smtp.is_connected


async def test_quit_within_tls_counts_a_close_as_221_too(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    async with client(
        """
        S: 220 hi
        C: QUIT
        S: <close>
        """,
        make=SMTP_SSL,
        tls=server_tls,
        implicit_tls=True,
        context=client_tls,
    ) as smtp:
        assert smtp.is_encrypted
        assert (await smtp.quit()).code == 221
        assert not smtp.is_encrypted


async def test_closing_forgets_what_was_learnt() -> None:
    async with client("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 SIZE
        """) as smtp:
        await smtp.ehlo()
        await smtp.close()
        assert smtp.extensions == {}
        assert smtp.last_ehlo_response == (None, None)
        assert (smtp.greeting, smtp.transport) == (None, None)


async def test_a_failed_connect_knows_no_greeting_of_the_connection_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with client("""
        S: 220 hi
        C: NOOP
        S: <close>
        """) as smtp:
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()

        async def refuse(*_: object) -> None:
            raise ConnectionRefusedError

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "sock_connect", refuse)
        with pytest.raises(SMTPConnectionRefusedError):
            await smtp.connect()
        assert smtp.greeting is None
        assert smtp.extensions == {}


async def test_leaving_the_block_in_anger_says_quit_too() -> None:
    class UnrelatedError(Exception):
        pass

    async def use(smtp: SMTP) -> None:
        async with smtp:
            await smtp.noop()
            raise UnrelatedError

    async with serve("""
        S: 220 hi
        C: NOOP
        S: 250 ok
        C: QUIT
        """) as server:
        with pytest.raises(UnrelatedError):
            await use(SMTP(server.host, server.port))

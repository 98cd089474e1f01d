"""A client that turns to TLS, or does not go on."""

from __future__ import annotations

import asyncio
import socket
import ssl
from base64 import b64encode
from typing import Any

import pytest
from conversation import client as connect_to
from conversation import serve

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
)

LOGIN = {"username": "me", "password": "pw"}
PLAIN = "AUTH PLAIN " + b64encode(b"\0me\0pw").decode()

#: Up to the command.
ASKED = """
    S: 220 mx
    C: EHLO client.example
    S: 250-mx
    S: 250-AUTH PLAIN
    S: 250 STARTTLS
    C: STARTTLS
    """

#: Up to the handshake.
AGREED = (
    ASKED
    + """
    S: 220 go
    S: <starttls>
    """
)


def script(*parts: str) -> str:
    """Put scripts together."""
    lines = (line.strip() for part in parts for line in part.strip().splitlines())
    return "\n".join(filter(None, lines))


async def refused(
    text: str, kind: type[Exception], tls: ssl.SSLContext | None = None, **options: Any
) -> Any:
    """Want `connect()` to fail, and nothing to be left of it; give the error."""
    async with serve(text, tls=tls) as server:
        options = {"timeout": 5} | options
        client = SMTP(server.host, server.port, "client.example", **options)
        with pytest.raises(kind) as caught:
            await client.connect()
        assert not client.is_connected
        assert not client.is_encrypted
        assert not client.is_verified
        assert client.transport is None
    return caught.value


#: Who must have TLS.
must = pytest.mark.parametrize(
    "options",
    [
        pytest.param({"starttls": "required"}, id="required"),
        pytest.param({"starttls": "required"} | LOGIN, id="required, with credentials"),
        pytest.param(
            {"starttls": "opportunistic"} | LOGIN, id="opportunistic, with credentials"
        ),
    ],
)
may = {"starttls": "opportunistic"}


# When STARTTLS cannot be had


@must
@pytest.mark.parametrize(
    "introduction",
    [
        pytest.param("S: 250-mx\nS: 250 AUTH PLAIN", id="B04-it was stripped"),
        pytest.param(
            "S: 250-STARTTLS\nS: 250 AUTH PLAIN", id="D17-it is the server's name"
        ),
        pytest.param(
            "S: 500 what?\nC: HELO client.example\nS: 250 mx", id="D18-only HELO"
        ),
    ],
)
async def test_without_starttls_nothing_is_said(
    options: dict[str, Any], introduction: str
) -> None:
    """B04: neither AUTH nor MAIL, nor QUIT."""
    text = script("S: 220 mx\nC: EHLO client.example", introduction, "C: <hangup>")
    error = await refused(text, SMTPCommandNotSupportedError, **options)
    assert error.command == "STARTTLS"


@must
@pytest.mark.parametrize("code", [454, 500, 502, 503, 554])
async def test_a_refused_starttls_ends_the_connection(
    options: dict[str, Any], code: int
) -> None:
    """B05: there is no going on in clear."""
    text = script(ASKED, f"S: {code} no", "C: <hangup>")
    error = await refused(text, SMTPCommandFailedError, **options)
    assert (error.code, error.command) == (code, "STARTTLS")
    assert error.is_transient is (code == 454)


@pytest.mark.parametrize("options", [{"starttls": "required"}, may, may | LOGIN])
async def test_a_farewell_instead_of_the_go_ahead_is_one(
    options: dict[str, Any],
) -> None:
    """B05, D14: 421 ends the connection, whoever says so."""
    text = script(ASKED, "S: 421 too busy", "C: <hangup>")
    error = await refused(text, SMTPConnectionLostError, **options)
    assert error.reply == (421, "too busy")


@pytest.mark.parametrize("options", [{"starttls": "required"}, may, may | LOGIN])
@pytest.mark.parametrize("code", [221, 250, 334, 354])
async def test_only_220_goes_ahead(options: dict[str, Any], code: int) -> None:
    """B03: after any other reply nobody knows what the server waits for."""
    text = script(ASKED, f"S: {code} go", "C: <hangup>")
    await refused(text, SMTPProtocolError, **options)


@pytest.mark.parametrize("options", [{"starttls": "required"}, may])
@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        pytest.param("close", SMTPConnectionLostError, id="E10-FIN"),
        pytest.param("reset", SMTPConnectionLostError, id="E10-RST"),
        pytest.param("silence", SMTPTimeoutError, id="E10-silence"),
    ],
)
async def test_a_loss_instead_of_the_go_ahead_is_one(
    options: dict[str, Any], ending: str, kind: type[SMTPException]
) -> None:
    text = script(ASKED, f"S: <{ending}>")
    await refused(text, kind, timeout=Timeouts(reply=0.1), **options)


@pytest.mark.parametrize("code", [454, 500, 502, 503, 554])
async def test_without_credentials_a_refusal_stops_nobody(code: int) -> None:
    """B05: RFC 7435; there is no secret, and the mail would go in clear anyway."""
    text = script(ASKED, f"S: {code} no", "C: NOOP\nS: 250 ok")
    async with connect_to(text, **may) as client:
        assert not client.is_encrypted
        assert not client.is_verified
        await client.noop()


async def test_without_credentials_no_starttls_stops_nobody() -> None:
    """B04: opportunistic takes what there is."""
    text = "S: 220 mx\nC: EHLO client.example\nS: 250 mx\nC: NOOP\nS: 250 ok"
    async with connect_to(text, **may) as client:
        assert not client.is_encrypted
        await client.noop()


async def test_never_means_that_no_tls_is_asked_for() -> None:
    text = "S: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250 STARTTLS"
    async with connect_to(text) as client:
        await client.ehlo()
        assert not client.is_encrypted


# When it can


@pytest.mark.parametrize("options", [{"starttls": "required"}, may])
async def test_after_the_handshake_the_client_says_ehlo_again(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    options: dict[str, Any],
) -> None:
    """B10: RFC 3207 4.2; what was announced in clear is forgotten."""
    text = script(
        AGREED,
        "C: EHLO client.example\nS: 250-mx\nS: 250-STARTTLS\nS: 250 SIZE 9",
        "C: NOOP\nS: 250 ok",
    )
    async with connect_to(
        text, tls=server_tls, tls_context=client_tls, **options
    ) as client:
        assert client.is_encrypted
        assert client.is_verified
        assert dict(client.extensions) == {"STARTTLS": (), "SIZE": ("9",)}
        assert client.greeting == (220, "mx")
        await client.noop()


@pytest.mark.parametrize(
    "options", [{"starttls": "required"} | LOGIN, may | LOGIN], ids=str
)
async def test_the_login_follows_what_is_announced_inside(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    options: dict[str, Any],
) -> None:
    """B10: mechanisms of the second EHLO, and not of the first."""
    text = script(
        AGREED.replace("AUTH PLAIN", "AUTH CRAM-MD5"),
        "C: EHLO client.example\nS: 250-mx\nS: 250 AUTH PLAIN",
        f"C: {PLAIN}\nS: 235 ok",
    )
    async with connect_to(
        text, tls=server_tls, tls_context=client_tls, **options
    ) as client:
        assert client.auth_mechanisms == ["plain"]


@must
async def test_an_ehlo_that_fails_inside_ends_the_connection(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, options: dict[str, Any]
) -> None:
    """B10: HELO would go with what was announced in clear."""
    text = script(AGREED, "C: EHLO client.example\nS: 500 what?", "C: <hangup>")
    error = await refused(
        text, SMTPCommandFailedError, server_tls, tls_context=client_tls, **options
    )
    assert (error.code, error.command) == (500, "EHLO")


@must
async def test_a_certificate_that_cannot_be_verified_ends_the_connection(
    server_tls: ssl.SSLContext, options: dict[str, Any]
) -> None:
    """B06, B11: nobody logs in with whom nobody knows."""
    error = await refused(script(AGREED), SMTPTLSError, server_tls, **options)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_without_credentials_any_certificate_will_do(
    server_tls: ssl.SSLContext,
) -> None:
    """B06: by a new connection; encrypted, and known not to be verified."""
    text = script(AGREED, "C: EHLO client.example\nS: 250 mx\nC: NOOP\nS: 250 ok")
    async with connect_to(text, tls=server_tls, **may) as client:
        assert client.is_encrypted
        assert not client.is_verified
        await client.noop()


async def test_a_socket_of_the_callers_cannot_be_opened_again(
    server_tls: ssl.SSLContext,
) -> None:
    async with serve(script(AGREED), tls=server_tls) as server:
        sock = socket.create_connection((server.host, server.port))
        client = SMTP(
            sock=sock, fqdn="client.example", server_hostname="localhost", **may
        )
        with pytest.raises(SMTPTLSError, match="no authority"):
            await client.connect()
        assert not client.is_connected


async def test_what_was_learnt_goes_with_a_connection_that_was_not_to_be() -> None:
    """B10, E23: neither greeting nor announcements are there without a connection."""
    async with serve(script(ASKED, "S: 454 no")) as server:
        client = SMTP(server.host, server.port, "client.example", starttls="required")
        with pytest.raises(SMTPCommandFailedError):
            await client.connect()
        assert client.greeting is None
        assert dict(client.extensions) == {}
        assert client.last_ehlo_response == (None, None)


async def test_a_client_can_connect_again_after_a_failure(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """E23: whatever has failed, the next connection starts from nothing."""
    text = script(AGREED, "C: EHLO client.example\nS: 250 mx")
    async with serve(text, tls=server_tls) as server:
        client = SMTP(server.host, server.port, "client.example")
        await client.connect()
        with pytest.raises(SMTPTLSError):
            await client.starttls()
        assert not client.is_connected
        await client.connect()
        assert (await client.starttls(client_tls)) == (220, "go")
        assert client.is_verified
        await client.close()


# Where it must not be


async def test_a_second_starttls_is_an_error_of_the_callers(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    """B10: without a byte, although the server announces it still."""
    text = script(
        AGREED,
        "C: EHLO client.example\nS: 250-mx\nS: 250 STARTTLS\nC: NOOP\nS: 250 ok",
    )
    async with connect_to(text, tls=server_tls, tls_context=client_tls) as client:
        await client.starttls()
        with pytest.raises(SMTPArgumentError, match="encrypted already"):
            await client.starttls()
        await client.noop()


async def test_starttls_within_tls_is_an_error_of_the_callers(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    text = "S: 220 mx\nC: NOOP\nS: 250 ok"
    async with connect_to(
        text, make=SMTP_SSL, tls=server_tls, implicit_tls=True, context=client_tls
    ) as client:
        assert client.is_encrypted
        assert client.is_verified
        with pytest.raises(SMTPArgumentError, match="encrypted already"):
            await client.starttls()
        await client.noop()


async def test_starttls_within_a_transaction_is_an_error_of_the_callers() -> None:
    text = """
        S: 220 mx
        C: EHLO client.example
        S: 250-mx
        S: 250 STARTTLS
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: NOOP
        S: 250 ok
        """
    async with connect_to(text) as client:
        await client.mail("a@x.example")
        with pytest.raises(SMTPArgumentError, match="within a mail transaction"):
            await client.starttls()
        await client.noop()


@pytest.mark.parametrize(
    "names",
    [{"hostname": "localhost"}, {"hostname": "mx", "server_hostname": "localhost"}],
    ids=["hostname", "server_hostname"],
)
async def test_over_a_socket_of_the_callers_the_name_to_verify_is_the_one_given(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, names: dict[str, str]
) -> None:
    """B12: it is server_hostname, else hostname."""
    text = script(AGREED, "C: EHLO client.example\nS: 250 mx")
    async with serve(text, tls=server_tls) as server:
        sock = socket.create_connection((server.host, server.port))
        client = SMTP(
            sock=sock,
            fqdn="client.example",
            starttls="required",
            tls_context=client_tls,
            **names,
        )
        async with client:
            assert client.is_verified


async def test_starttls_that_is_not_announced_is_not_asked_for() -> None:
    text = "S: 220 mx\nC: EHLO client.example\nS: 250 mx\nC: NOOP\nS: 250 ok"
    async with connect_to(text) as client:
        with pytest.raises(SMTPCommandNotSupportedError, match="STARTTLS"):
            await client.starttls()
        await client.noop()


async def test_a_refused_starttls_leaves_the_session_in_step() -> None:
    text = script(ASKED, "S: 454 later\nC: NOOP\nS: 250 ok")
    async with connect_to(text) as client:
        with pytest.raises(SMTPCommandFailedError, match="454 later"):
            await client.starttls()
        assert dict(client.extensions) == {"AUTH": ("PLAIN",), "STARTTLS": ()}
        await client.noop()


async def test_a_cancelled_starttls_ends_the_connection() -> None:
    """E01: a 220 that nobody waits for would be followed by silence."""
    async with connect_to(script(ASKED, "C: <hangup>")) as client:
        await client.ehlo()
        turning = asyncio.create_task(client.starttls())
        protocol = client._connection.session.protocol
        assert protocol is not None
        while not protocol.awaited:  # noqa: ASYNC110
            await asyncio.sleep(0)
        turning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turning
        assert not client.is_connected

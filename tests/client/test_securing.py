"""A client that turns to TLS and logs in, or does not go on."""

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
    SMTPAuthenticationError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
    sasl,
)
from smtplibaio.client import securing

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


async def test_no_password_is_shown_over_a_socket_of_the_callers() -> None:
    """B04: what listens on loopback may be a forwarder to another machine."""
    offer = "S: 250-mx\nS: 250 AUTH PLAIN"
    text = f"S: 220 mx\nC: EHLO client.example\n{offer}\nC: <hangup>"
    async with serve(text) as server:
        sock = socket.create_connection((server.host, server.port))
        client = SMTP(sock=sock, fqdn="client.example", **LOGIN)
        with pytest.raises(SMTPLoginError) as caught:
            await client.connect()
    assert [type(exc) for exc in caught.value.exceptions] == [SMTPTLSError]


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


# Logging in


OFFERED = "S: 220 mx\nC: EHLO client.example\nS: 250-mx\nS: 250 AUTH "


def bearer(token: str) -> str:
    """Spell OAUTHBEARER's first message (RFC 7628 3.1)."""
    return b64encode(sasl.OAUTHBEARER("me", token).start()).decode()


async def test_a_password_at_construction_logs_in() -> None:
    text = script(OFFERED + "PLAIN", f"C: {PLAIN}\nS: 235 ok\nC: NOOP\nS: 250 ok")
    async with connect_to(text, **LOGIN) as client:
        with pytest.raises(SMTPArgumentError, match="authenticated already"):
            await client.auth("me", "pw")
        await client.noop()


async def test_a_login_that_fails_leaves_no_connection() -> None:
    """E23: `connect()` leaves a session that is logged in, or none."""
    text = script(OFFERED + "PLAIN", f"C: {PLAIN}\nS: 535 no", "C: <hangup>")
    error = await refused(text, SMTPLoginError, **LOGIN)
    assert [exc.code for exc in error.exceptions] == [535]


async def test_credentials_without_auth_are_an_error() -> None:
    text = "S: 220 mx\nC: EHLO client.example\nS: 250 mx\nC: <hangup>"
    error = await refused(text, SMTPCommandNotSupportedError, **LOGIN)
    assert error.command == "AUTH"


@pytest.mark.parametrize(
    ("configured", "asked"),
    [(["LOGIN"], None), (None, ["login"]), (["PLAIN"], ["LOGIN"])],
)
async def test_only_the_mechanisms_that_were_named_are_tried(
    configured: list[str] | None,
    asked: list[str] | None,
) -> None:
    """C01: those of the call, or else those of the construction."""
    text = script(
        OFFERED + "CRAM-MD5 PLAIN LOGIN",
        "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: bWU=\nS: 334 UGFzc3dvcmQ6\nC: cHc=",
        "S: 235 ok",
    )
    async with connect_to(text, mechanisms=configured) as client:
        assert (await client.auth("me", "pw", mechanisms=asked)).code == 235


async def test_a_mechanism_of_the_callers_logs_in() -> None:
    text = script(OFFERED + "ANONYMOUS", "C: AUTH ANONYMOUS bWU=\nS: 235 ok")
    async with connect_to(text) as client:
        with pytest.raises(SMTPCommandNotSupportedError, match="AUTH EXTERNAL"):
            await client.authenticate(sasl.External())
        assert (await client.authenticate(sasl.Anonymous("me"))).code == 235
        with pytest.raises(SMTPArgumentError, match="authenticated already"):
            await client.authenticate(sasl.Anonymous("me"))


async def test_auth_within_a_transaction_is_an_error_of_the_callers() -> None:
    """C20: without a byte."""
    text = script(
        OFFERED + "PLAIN",
        "C: MAIL FROM:<a@x.example>\nS: 250 ok\nC: NOOP\nS: 250 ok",
    )
    async with connect_to(text) as client:
        await client.mail("a@x.example")
        with pytest.raises(SMTPArgumentError, match="within a mail transaction"):
            await client.auth("me", "pw")
        await client.noop()


@pytest.mark.parametrize("username", ["me", b"me"])
async def test_a_token_logs_in(username: str | bytes) -> None:
    text = script(
        OFFERED + "XOAUTH2 OAUTHBEARER",
        f"C: AUTH OAUTHBEARER {bearer('t')}\nS: 235 ok",
    )
    async with connect_to(text, username=username, token="t"):
        pass


class Tokens:
    """Give tokens, and remember what was asked for."""

    def __init__(self) -> None:
        self.asked: list[bool] = []

    async def __call__(self, refresh: bool) -> str:
        self.asked.append(refresh)
        return "fresh" if refresh else "stale"


@pytest.mark.parametrize(
    ("first", "second", "asked", "error"),
    [
        pytest.param("235 ok", None, [False], None, id="the first token does"),
        pytest.param("535 no", "235 ok", [False, True], None, id="the second does"),
        pytest.param("535 no", "535 no", [False, True], 535, id="neither does"),
        pytest.param("454 later", None, [False], 454, id="C14-not its fault"),
    ],
)
async def test_a_refused_token_is_refreshed_once(
    first: str, second: str | None, asked: list[bool], error: int | None
) -> None:
    tokens = Tokens()
    text = script(
        OFFERED + "OAUTHBEARER",
        f"C: AUTH OAUTHBEARER {bearer('stale')}\nS: {first}",
        f"C: AUTH OAUTHBEARER {bearer('fresh')}\nS: {second}" if second else "",
    )
    options = {"username": "me", "token": tokens}
    if error is None:
        async with connect_to(text, **options):
            pass
    else:
        caught = await refused(text, SMTPLoginError, **options)
        assert [exc.code for exc in caught.exceptions] == [error]
    assert tokens.asked == asked


# Where a password may not go


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server be on another machine, as far as the client knows."""
    monkeypatch.setattr(securing, "is_local", lambda *_, **__: False)


@pytest.mark.usefixtures("far_away")
async def test_a_password_never_goes_in_clear_to_another_machine() -> None:
    """B04, C01: unless it was allowed."""
    text = script(OFFERED + "PLAIN LOGIN", "C: <hangup>")
    error = await refused(text, SMTPLoginError, **LOGIN)
    assert [type(exc) for exc in error.exceptions] == [SMTPTLSError]
    text = script(OFFERED + "PLAIN", f"C: {PLAIN}\nS: 235 ok")
    async with connect_to(text, allow_cleartext_auth=True, **LOGIN):
        pass


@pytest.mark.usefixtures("far_away")
async def test_a_token_that_may_not_be_shown_is_not_refreshed() -> None:
    """B04: the server has refused nothing."""
    tokens = Tokens()
    text = script(OFFERED + "OAUTHBEARER", "C: <hangup>")
    error = await refused(text, SMTPLoginError, username="me", token=tokens)
    assert [type(exc) for exc in error.exceptions] == [SMTPTLSError]
    assert tokens.asked == [False]


@pytest.mark.usefixtures("far_away")
@pytest.mark.parametrize("is_good", [True, False], ids=["verified", "unverified"])
async def test_after_a_failed_proof_only_a_verified_server_sees_the_password(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, *, is_good: bool
) -> None:
    """C01: whoever stands in between can make the better mechanism fail."""
    context = client_tls
    if not is_good:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    text = script(
        AGREED,
        "C: EHLO client.example\nS: 250-mx\nS: 250 AUTH CRAM-MD5 PLAIN",
        "C: AUTH CRAM-MD5\nS: 504 no",
        f"C: {PLAIN}\nS: 235 ok" if is_good else "",
    )
    async with connect_to(
        text, tls=server_tls, tls_context=context, starttls="required"
    ) as client:
        assert client.is_verified is is_good
        if is_good:
            await client.auth("me", "pw")
        else:
            with pytest.raises(SMTPLoginError) as caught:
                await client.auth("me", "pw")
            kinds = [type(exc) for exc in caught.value.exceptions]
            assert kinds == [SMTPAuthenticationError, SMTPTLSError]

"""A client that logs in with what it was given, or does not go on."""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from typing import Any

import pytest
from conversation import client as connect_to
from conversation import serve

from smtplibaio import (
    SMTP,
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPLoginError,
    SMTPTLSError,
    sasl,
)
from smtplibaio.client import login

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
    monkeypatch.setattr(login, "is_local", lambda *_, **__: False)


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

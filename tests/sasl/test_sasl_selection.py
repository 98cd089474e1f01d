"""What a login sends to whom: the strongest first, and no password in clear."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from conversation import client, serve

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPLoginError,
    SMTPTLSError,
)
from smtplibaio.sasl import (
    OAUTHBEARER,
    XOAUTH2,
    Anonymous,
    CramMD5,
    External,
    Login,
    Mechanism,
    Plain,
)

NOOP = ("C: NOOP", "S: 250 noop")
PLAIN = "C: AUTH PLAIN AHRpbQBodW50ZXIy"


def b64(octets: bytes) -> str:
    return b64encode(octets).decode()


def script(offered: str, *lines: str) -> str:
    """Give the dialogue of a server that offers mechanisms, up to AUTH and on."""
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    return "\n".join([*opening, f"S: 250 AUTH {offered}", *lines])


CRAM = [
    "C: AUTH CRAM-MD5",
    f"S: 334 {b64(b'<1@mx>')}",
    f"C: {b64(CramMD5('tim', 'hunter2').next(b'<1@mx>'))}",
]


class FarSocket(socket.socket):
    """Be connected to another host, as far as anybody can tell."""

    def getpeername(self) -> tuple[str, int]:
        return ("192.0.2.1", 25)


@asynccontextmanager
async def far_client(
    text: str, tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[SMTP]:
    async with serve(text, tls=tls, implicit_tls=tls is not None) as server:
        sock = FarSocket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        address = (server.host, server.port)
        await asyncio.get_running_loop().sock_connect(sock, address)
        if tls is None:
            smtp = SMTP(fqdn="client.example", sock=sock, **options)
        else:
            options["server_hostname"] = "localhost"
            smtp = SMTP_SSL(fqdn="client.example", sock=sock, **options)
        async with smtp:
            yield smtp


def unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def refused(smtp: SMTP, **options: Any) -> list[Exception]:
    """Log in, and give the reasons that it did not work for."""
    with pytest.raises(SMTPLoginError) as caught:
        await smtp.auth("tim", "hunter2", **options)
    return list(caught.value.exceptions)


# Which ones


@pytest.mark.parametrize(
    "offered", list(itertools.permutations(["PLAIN", "LOGIN", "CRAM-MD5"]))
)
async def test_whoever_reorders_the_offer_gets_no_password(
    offered: tuple[str, ...],
) -> None:
    """C01: the strongest goes first, whatever the server would like."""
    text = script(" ".join(offered), *CRAM, "S: 235 ok", *NOOP)
    async with client(text) as smtp:
        await smtp.auth("tim", "hunter2")
        await smtp.noop()


async def test_the_callers_list_allows_nothing_else() -> None:
    """C01: a server that offers only PLAIN gets an error, which says so."""
    async with client(script("PLAIN LOGIN", *NOOP), mechanisms=["CRAM-MD5"]) as smtp:
        (error,) = await refused(smtp)
        assert isinstance(error, SMTPCommandNotSupportedError)
        assert "it offers PLAIN LOGIN" in str(error)
        await smtp.noop()


async def test_the_list_of_a_call_goes_before_that_of_the_client() -> None:
    text = script("PLAIN CRAM-MD5", PLAIN, "S: 235 ok")
    async with client(text, mechanisms=["CRAM-MD5"]) as smtp:
        await smtp.auth("tim", "hunter2", mechanisms=["PLAIN"])


async def test_at_most_three_mechanisms_are_tried() -> None:
    """C02: one of each kind of proof; a server counts failures."""
    offered = "LOGIN PLAIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256"
    lines = [*CRAM, "S: 535 5.7.8 no", PLAIN, "S: 535 5.7.8 no", *NOOP]
    mechanisms = ["CRAM-MD5", "LOGIN", "PLAIN"]
    async with client(script("LOGIN CRAM-MD5 PLAIN", *lines)) as smtp:
        names = [error.mechanism for error in await refused(smtp)]  # type: ignore[attr-defined]
        assert names == ["CRAM-MD5", "PLAIN"]
        await smtp.noop()
    lines = [*CRAM, "S: 535 5.7.8 no", "C: AUTH LOGIN", "S: 535 5.7.8 no", *NOOP]
    async with client(script(offered, *lines)) as smtp:
        names = [e.mechanism for e in await refused(smtp, mechanisms=mechanisms)]  # type: ignore[attr-defined]
        assert names == ["CRAM-MD5", "LOGIN"]
        await smtp.noop()


@pytest.mark.parametrize(
    ("mechanism", "line"),
    [
        (External(), "AUTH EXTERNAL ="),
        (External("tim"), "AUTH EXTERNAL dGlt"),
        (Anonymous(), "AUTH ANONYMOUS ="),
        (Anonymous("sirhc"), "AUTH ANONYMOUS c2lyaGM="),
    ],
    ids=repr,
)
async def test_what_is_no_secret_may_cross_any_connection(
    mechanism: Mechanism, line: str
) -> None:
    """C18: an empty initial response is "="."""
    text = script("EXTERNAL ANONYMOUS", f"C: {line}", "S: 235 ok", *NOOP)
    async with far_client(text) as smtp:
        assert (await smtp.authenticate(mechanism)).code == 235
        await smtp.noop()


async def test_what_was_offered_stands_after_auth() -> None:
    """C21: there is no EHLO after the 235, and none is needed."""
    text = script("PLAIN", PLAIN, "S: 235 ok", *NOOP)
    async with client(text) as smtp:
        await smtp.auth("tim", "hunter2")
        await smtp.ehlo_or_helo_if_needed()
        assert smtp.auth_mechanisms == ["plain"]
        await smtp.noop()


# Clear text

SECRETIVE = [
    Plain("tim", "hunter2"),
    Login("tim", "hunter2"),
    XOAUTH2("tim", "hunter2"),
    OAUTHBEARER("tim", "hunter2"),
]


async def test_no_password_crosses_a_connection_in_clear() -> None:
    """C01: the error tells what to do; nothing but EHLO is sent."""
    async with far_client(script("PLAIN LOGIN", *NOOP)) as smtp:
        (error,) = await refused(smtp)
        assert isinstance(error, SMTPTLSError)
        assert "use SMTP_SSL" in str(error)
        await smtp.noop()


@pytest.mark.parametrize("mechanism", SECRETIVE, ids=lambda mechanism: mechanism.name)
async def test_what_shows_a_secret_needs_tls(mechanism: Mechanism) -> None:
    """C01: tokens as well as passwords."""
    async with far_client(script("PLAIN LOGIN XOAUTH2 OAUTHBEARER", *NOOP)) as smtp:
        with pytest.raises(
            SMTPTLSError, match=f"{mechanism.name} would send the password"
        ):
            await smtp.authenticate(mechanism)
        assert not mechanism.done
        await smtp.noop()


async def test_no_token_crosses_it_when_connecting() -> None:
    """C01: nor is another one asked for."""
    calls = []

    async def token(refresh: bool) -> str:
        calls.append(refresh)
        return "hunter2"

    with pytest.raises(SMTPLoginError) as caught:
        async with far_client(script("XOAUTH2"), username="tim", token=token):
            pass
    (error,) = caught.value.exceptions
    assert isinstance(error, SMTPTLSError)
    assert True not in calls


async def test_a_digest_may_cross_it() -> None:
    """C01, C02: but where it is refused, no password follows."""
    async with far_client(script("PLAIN CRAM-MD5", *CRAM, "S: 535 no", *NOOP)) as smtp:
        kinds = [type(error) for error in await refused(smtp)]
        assert kinds == [SMTPAuthenticationError, SMTPTLSError]
        await smtp.noop()
    async with far_client(script("CRAM-MD5", *CRAM, "S: 235 ok")) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


async def test_a_caller_may_allow_clear_text() -> None:
    """C01: which is allowed after a refusal, too."""
    lines = [*CRAM, "S: 535 no", PLAIN, "S: 235 ok"]
    text = script("PLAIN CRAM-MD5", *lines)
    async with far_client(text, allow_cleartext_auth=True) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


async def test_what_stays_on_this_machine_may_fall_back() -> None:
    """C01: loopback has no listeners but root."""
    lines = [*CRAM, "S: 535 no", PLAIN, "S: 235 ok"]
    async with client(script("PLAIN CRAM-MD5", *lines)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


# Whoever stands between


@pytest.mark.parametrize("verifies", [True, False], ids=["verified", "unverified"])
async def test_a_password_may_cross_tls(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, verifies: bool
) -> None:
    """C01: a caller whose context verifies nothing has asked for that."""
    context = client_tls if verifies else unverified()
    async with far_client(
        script("PLAIN", PLAIN, "S: 235 ok"), server_tls, context=context
    ) as smtp:
        assert smtp.is_verified is verifies
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


REFUSALS = [
    pytest.param([*CRAM, "S: 535 5.7.8 no"], id="535"),
    pytest.param(["C: AUTH CRAM-MD5", "S: 504 what?"], id="504"),
    pytest.param(["C: AUTH CRAM-MD5", "S: 334 !", "C: *", "S: 501 ok"], id="cancelled"),
]


@pytest.mark.parametrize("lines", REFUSALS)
async def test_a_refused_proof_is_followed_by_a_password_to_a_verified_server(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, lines: list[str]
) -> None:
    """C01, C02: which may offer what it cannot do."""
    text = script("PLAIN CRAM-MD5", *lines, PLAIN, "S: 235 ok", *NOOP)
    async with far_client(text, server_tls, context=client_tls) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")
        await smtp.noop()


@pytest.mark.parametrize("lines", REFUSALS)
async def test_nobody_else_gets_a_password_by_refusing_a_proof(
    server_tls: ssl.SSLContext, lines: list[str]
) -> None:
    """C01: TLS with nobody knows whom is no better than clear text then."""
    text = script("PLAIN LOGIN CRAM-MD5", *lines, *NOOP)
    async with far_client(text, server_tls, context=unverified()) as smtp:
        assert smtp.is_encrypted
        kinds = [type(error) for error in await refused(smtp)]
        assert kinds == [SMTPAuthenticationError, SMTPTLSError]
        await smtp.noop()


async def test_a_context_that_checks_no_name_has_verified_nobody(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext, authority: Any
) -> None:
    """C01: any owner of any certificate could stand between."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    text = script("PLAIN CRAM-MD5", *CRAM, "S: 535 no", *NOOP)
    async with far_client(text, server_tls, context=context) as smtp:
        _, error = await refused(smtp)
        assert isinstance(error, SMTPTLSError)
        await smtp.noop()

"""Bearer tokens: what is said, what a refusal tells, when a new token is asked for."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

import pytest
from conversation import client, serve

from smtplibaio import (
    SMTP,
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
)
from smtplibaio.sasl import OAUTHBEARER, XOAUTH2

Kind = type[OAUTHBEARER] | type[XOAUTH2]
KINDS: list[Kind] = [OAUTHBEARER, XOAUTH2]

NOOP = ("C: NOOP", "S: 250 noop")

#: The token of RFC 7628 4.
TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


def script(offered: str, *lines: str) -> str:
    """Give the dialogue of a server that offers mechanisms, up to AUTH and on."""
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    return "\n".join([*opening, f"S: 250 AUTH {offered}", *lines])


def auth_line(kind: Kind, token: str, username: str = "tim") -> str:
    return f"C: AUTH {kind.name} " + b64(kind(username, token).start().decode())


# What they say


async def test_a_token_is_shown_as_rfc_7628_prints_it() -> None:
    """RFC 7628 4.1, the exchange of SMTP."""
    text = """
        S: 220 mx.example.com ESMTP 12sm2095603fks.9
        C: EHLO client.example
        S: 250-mx.example.com at your service,[172.31.135.47]
        S: 250-SIZE 35651584
        S: 250-8BITMIME
        S: 250-AUTH LOGIN PLAIN OAUTHBEARER
        S: 250-ENHANCEDSTATUSCODES
        S: 250 PIPELINING
        C: AUTH OAUTHBEARER bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1w\
bGUuY29tAXBvcnQ9NTg3AWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRX\
VZMjl0Q2c9PQEB
        S: 235 Authentication successful.
        C: NOOP
        S: 250 ok
        """
    async with client(text) as smtp:
        mechanism = OAUTHBEARER(
            "user@example.com", TOKEN, host="server.example.com", port=587
        )
        assert (await smtp.authenticate(mechanism)).code == 235
        assert mechanism.done
        await smtp.noop()


async def test_a_refused_token_goes_as_rfc_7628_prints_it() -> None:
    """C12: RFC 7628 4.4; the answer to the error is "AQ==", and then comes the 535."""
    text = script(
        "LOGIN PLAIN OAUTHBEARER",
        auth_line(OAUTHBEARER, TOKEN, "someuser@example.com"),
        "S: 334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIiwic2NoZW1lcyI6ImJlYXJlciBtYWMiL"
        "CJzY29wZSI6Imh0dHBzOi8vbWFpbC5leGFtcGxlLmNvbS8ifQ==",
        "C: AQ==",
        "S: 535-5.7.1 Username and Password not accepted. Learn more at",
        "S: 535 5.7.1 http://support.example.com/mail/oauth",
        *NOOP,
    )
    async with client(text) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="535") as caught:
            await smtp.authenticate(OAUTHBEARER("someuser@example.com", TOKEN))
        assert caught.value.error == {
            "status": "invalid_token",
            "schemes": "bearer mac",
            "scope": "https://mail.example.com/",
        }
        assert str(caught.value.reply.enhanced) == "5.7.1"
        assert await smtp.noop() == (250, "noop")


def test_xoauth2_says_what_google_has_published() -> None:
    mechanism = XOAUTH2(
        "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"
    )
    assert not mechanism.done
    assert mechanism.start() == b64decode(
        "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52"
        "YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )
    assert mechanism.done


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({}, b""),
        ({"host": "mx.example"}, b"host=mx.example\x01"),
        ({"port": 25}, b"port=25\x01"),
    ],
    ids=repr,
)
def test_oauthbearer_names_the_server_where_it_is_told(
    where: dict[str, Any], said: bytes
) -> None:
    message = OAUTHBEARER("tim", "x", **where).start()
    assert message == b"n,a=tim,\x01" + said + b"auth=Bearer x\x01\x01"


@pytest.mark.parametrize(
    ("username", "saslname"),
    [("a=b,c", "a=3Db=2Cc"), ("=3D", "=3D3D"), ("jürg", "jürg")],
)
def test_oauthbearer_escapes_the_borders_of_its_header(
    username: str, saslname: str
) -> None:
    """RFC 5801 4; XOAUTH2 has no such borders."""
    bearer, elder = OAUTHBEARER(username, "x").start(), XOAUTH2(username, "x").start()
    assert bearer.startswith(f"n,a={saslname},\x01".encode())
    assert elder.startswith(f"user={username}\x01".encode())


UNFIT: list[Any] = ["", "hunter\x01two", "hunter\x00two", "hunter\r\ntwo", "\t"]
UNFIT += ["hunter\ud800two", None, 5, -5, 10**20, ["hunter"], b"hunter2"]


@pytest.mark.parametrize("unfit", UNFIT, ids=ascii)
@pytest.mark.parametrize("kind", KINDS)
def test_what_could_be_more_than_one_part_is_refused(kind: Kind, unfit: Any) -> None:
    r"""A08: a ^A would start another part; octets would be sent as "b'...'"."""
    for arguments, what in (((unfit, "x"), "user name"), (("x", unfit), "token")):
        with pytest.raises(SMTPArgumentError, match=f"^the {what} ") as caught:
            kind(*arguments)
        assert "hunter" not in f"{caught.value!r} {caught.value.args}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_not_shown(kind: Kind) -> None:
    """C16: and it needs a place without listeners, like a password."""
    mechanism = kind("tim", "hunter2")
    assert repr(mechanism) == f"<{kind.__name__} of 'tim'>"
    assert mechanism.secrets == ("hunter2",)
    assert mechanism.is_plaintext


# What a refusal tells

ERRORS = [
    (b'{"status":"400","schemes":"Bearer"}', {"status": "400", "schemes": "Bearer"}),
    (b"[]", []),
    (b"null", None),
    (b"no JSON", "no JSON"),
    (b"", ""),
    (b"\xff{", "\\xff{"),
    (b"9" * 5000, "9" * 5000),
    (b"[" * 6000, "[" * 6000),
]


@pytest.mark.parametrize(("challenge", "error"), ERRORS, ids=lambda e: repr(e)[:20])
@pytest.mark.parametrize(("kind", "answer"), [(OAUTHBEARER, b"\x01"), (XOAUTH2, b"")])
def test_the_error_is_acknowledged_once_and_kept(
    kind: Kind, answer: bytes, challenge: bytes, error: Any
) -> None:
    """C12: whatever it is; after it nothing can succeed, and a second has no answer."""
    mechanism = kind("tim", TOKEN)
    mechanism.start()
    assert mechanism.error is None
    assert mechanism.next(challenge) == answer
    assert mechanism.error == error
    assert not mechanism.done
    with pytest.raises(SMTPArgumentError, match="nothing to say"):
        mechanism.next(challenge)


def test_an_error_that_quotes_the_token_does_not_make_it_known() -> None:
    """C16: the error ends up on an exception."""
    mechanism = XOAUTH2("tim", "hunter2-secret")
    mechanism.start()
    mechanism.next(b'{"status":"400","token":"hunter2-secret"}')
    assert mechanism.error["status"] == "400"
    assert "hunter2" not in json.dumps(mechanism.error)


@pytest.mark.parametrize(("kind", "line"), [(OAUTHBEARER, "C: AQ=="), (XOAUTH2, "C:")])
async def test_the_session_goes_on_after_a_refused_token(kind: Kind, line: str) -> None:
    """C12: the error is no challenge like others, and not the end yet."""
    error = {"status": "401", "schemes": "bearer", "scope": "https://mail.example/"}
    lines = [auth_line(kind, TOKEN), f"S: 334 {b64(json.dumps(error))}", line]
    text = script("XOAUTH2 OAUTHBEARER", *lines, "S: 535 5.7.8 no", *NOOP)
    async with client(text) as smtp:
        with pytest.raises(SMTPAuthenticationError) as caught:
            await smtp.authenticate(kind("tim", TOKEN))
        assert caught.value.error == error
        assert (caught.value.code, caught.value.mechanism) == (535, kind.name)
        assert await smtp.noop() == (250, "noop")


async def test_a_refusal_without_an_error_has_none() -> None:
    text = script("XOAUTH2", auth_line(XOAUTH2, "x"), "S: 535 5.7.8 no", *NOOP)
    async with client(text) as smtp:
        with pytest.raises(SMTPAuthenticationError) as caught:
            await smtp.authenticate(XOAUTH2("tim", "x"))
        assert caught.value.error is None
        await smtp.noop()


async def test_a_second_error_is_cancelled() -> None:
    """C12: and the first one is on the exception."""
    lines = [auth_line(XOAUTH2, "x"), "S: 334 e30=", "C:", "S: 334 W10=", "C: *"]
    async with client(script("XOAUTH2", *lines, "S: 501 ok", *NOOP)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="nothing to say") as caught:
            await smtp.authenticate(XOAUTH2("tim", "x"))
        assert caught.value.error == {}
        await smtp.noop()


async def test_235_after_an_error_is_not_believed() -> None:
    """C12: a server that refuses a token has no success to tell."""
    lines = [auth_line(XOAUTH2, "x"), "S: 334 e30=", "C:", "S: 235 welcome"]
    async with client(script("XOAUTH2", *lines)) as smtp:
        with pytest.raises(SMTPProtocolError, match="235 before XOAUTH2 is done"):
            await smtp.authenticate(XOAUTH2("tim", "x"))
        assert not smtp.is_connected


# Logging in when connecting


@pytest.mark.parametrize(
    ("offered", "mechanisms", "kind"),
    [
        ("PLAIN XOAUTH2 OAUTHBEARER", None, OAUTHBEARER),
        ("PLAIN XOAUTH2", None, XOAUTH2),
        ("OAUTHBEARER XOAUTH2", ["xoauth2"], XOAUTH2),
        ("OAUTHBEARER XOAUTH2", ["XOAUTH2", "OAUTHBEARER"], XOAUTH2),
    ],
)
async def test_a_token_logs_in_with_one_mechanism(
    offered: str, mechanisms: list[str] | None, kind: Kind
) -> None:
    """C21: and nothing is between its 235 and the next command, no EHLO either."""
    text = script(offered, auth_line(kind, TOKEN), "S: 235 ok", *NOOP)
    options = {"username": "tim", "token": TOKEN, "mechanisms": mechanisms}
    async with client(text, **options) as smtp:
        await smtp.noop()


class Source:
    """Give one token after the other, and note what was asked for."""

    def __init__(self, *tokens: Any) -> None:
        self.calls: list[bool] = []
        self._tokens = list(tokens)

    async def __call__(self, refresh: bool) -> Any:
        self.calls.append(refresh)
        token = self._tokens.pop(0)
        if isinstance(token, Exception):
            raise token
        return token


async def connecting_fails(text: str, token: Any) -> SMTPException:
    """Give the error that a login at connect fails with; nothing stays open."""
    async with serve(text) as server:
        address = (server.host, server.port, "client.example")
        smtp = SMTP(*address, username="tim", token=token, timeout=5)
        with pytest.raises(SMTPException) as caught:
            await smtp.connect()
        assert not smtp.is_connected
    return caught.value


async def test_a_good_token_is_asked_for_once() -> None:
    text = script("XOAUTH2", auth_line(XOAUTH2, "new"), "S: 235 ok", *NOOP)
    source = Source("new")
    async with client(text, username="tim", token=source) as smtp:
        await smtp.noop()
    assert source.calls == [False]


@pytest.mark.parametrize("hint", [("S: 334 e30=", "C:"), ()], ids=["334", "535"])
async def test_another_token_is_asked_for_after_a_refusal(
    hint: tuple[str, ...],
) -> None:
    """C12: on the same connection, without another EHLO."""
    lines = [auth_line(XOAUTH2, "old"), *hint, "S: 535 5.7.8 expired"]
    lines += [auth_line(XOAUTH2, "new"), "S: 235 ok", *NOOP]
    source = Source("old", "new")
    text = script("XOAUTH2", *lines)
    async with client(text, username="tim", token=source) as smtp:
        await smtp.noop()
    assert source.calls == [False, True]


async def test_no_third_token_is_asked_for() -> None:
    """C02: a server counts refusals; the second error is the one that is told."""
    lines = [auth_line(XOAUTH2, "old"), "S: 334 e30=", "C:", "S: 535 expired"]
    lines += [auth_line(XOAUTH2, "new"), "S: 334 W10=", "C:", "S: 535 5.7.8 no"]
    source = Source("old", "new")
    error = await connecting_fails(script("XOAUTH2", *lines), source)
    assert isinstance(error, SMTPLoginError)
    (refusal,) = error.exceptions
    assert isinstance(refusal, SMTPAuthenticationError)
    assert (refusal.message, refusal.error) == ("5.7.8 no", [])
    assert source.calls == [False, True]


async def test_a_string_is_tried_once() -> None:
    lines = [auth_line(XOAUTH2, "old"), "S: 535 expired"]
    error = await connecting_fails(script("XOAUTH2", *lines), "old")
    assert isinstance(error, SMTPLoginError)


async def test_a_server_that_cannot_tell_just_now_says_nothing_of_the_token() -> None:
    """C14: a 454 is no refusal."""
    source = Source("old")
    lines = [auth_line(XOAUTH2, "old"), "S: 454 4.7.0 later"]
    error = await connecting_fails(script("XOAUTH2", *lines), source)
    assert isinstance(error, SMTPLoginError)
    assert error.is_transient
    assert source.calls == [False]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(script("PLAIN LOGIN"), id="no mechanism"),
        pytest.param(script("").replace(" AUTH ", " SIZE"), id="no AUTH"),
    ],
)
async def test_where_no_mechanism_fits_no_other_token_would(text: str) -> None:
    source = Source("old")
    error = await connecting_fails(text, source)
    first = error.exceptions[0] if isinstance(error, SMTPLoginError) else error
    assert isinstance(first, SMTPCommandNotSupportedError)
    assert True not in source.calls


async def test_what_the_source_raises_passes_unchanged() -> None:
    source = Source(LookupError("no ticket"))
    async with serve("S: 220 hi") as server:
        smtp = SMTP(server.host, server.port, username="tim", token=source)
        with pytest.raises(LookupError, match="no ticket"):
            await smtp.connect()
        assert not smtp.is_connected


@pytest.mark.parametrize("token", [None, "", "a\x01b", b"octets"], ids=repr)
async def test_a_source_that_gives_no_token_is_an_error(token: Any) -> None:
    """A08: which costs no AUTH, and asks for no other."""
    source = Source(token)
    error = await connecting_fails(script("XOAUTH2"), source)
    assert isinstance(error, SMTPArgumentError)
    assert source.calls == [False]


async def test_a_user_name_in_octets_is_that_name() -> None:
    text = script("XOAUTH2", auth_line(XOAUTH2, "x", "jürg"), "S: 235 ok", *NOOP)
    options = {"username": "jürg".encode(), "token": "x"}
    async with client(text, **options) as smtp:
        await smtp.noop()


async def test_a_long_token_waits_for_its_prompt() -> None:
    """C17: 3 kB, as Microsoft's are, make no line of AUTH."""
    token = "x" * 3000
    response = auth_line(XOAUTH2, token).rpartition(" ")[2]
    lines = ["C: AUTH XOAUTH2", "S: 334 ", f"C: {response}", "S: 235 ok", *NOOP]
    text = script("XOAUTH2", *lines)
    async with client(text, username="tim", token=token) as smtp:
        await smtp.noop()


async def test_a_token_that_fits_no_line_costs_no_octet() -> None:
    """C17: 13 kB are more than a server must take (RFC 4954 4)."""
    error = await connecting_fails(script("XOAUTH2"), "x" * 13000)
    assert isinstance(error, SMTPArgumentError)
    assert "12288" in str(error)
    assert "xxx" not in str(error)

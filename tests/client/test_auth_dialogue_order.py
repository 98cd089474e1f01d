"""What is tried after a refusal, what is not, and what the caller is told of it."""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import Any

import pytest
from conversation import client

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
)
from smtplibaio.sasl import Anonymous, CramMD5, External, Plain

NOOP = ("C: NOOP", "S: 250 noop")
PLAIN = "C: AUTH PLAIN AHRpbQBodW50ZXIy"
LOGIN = "C: AUTH LOGIN"
DIALOGUE = [LOGIN, "S: 334 ", "C: dGlt", "S: 334 ", "C: aHVudGVyMg=="]
CHALLENGE = b64encode(b"<1@mx>").decode()
DIGEST = b64encode(CramMD5("tim", "hunter2").next(b"<1@mx>")).decode()
CRAM = ["C: AUTH CRAM-MD5", f"S: 334 {CHALLENGE}", f"C: {DIGEST}"]


def script(offered: str, *lines: str) -> str:
    """Give the dialogue of a server that offers mechanisms, up to AUTH and on."""
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    return "\n".join([*opening, f"S: 250 {offered}", *lines])


async def failed(smtp: SMTP, **options: Any) -> SMTPLoginError:
    """Log in, and give the error that it failed with."""
    with pytest.raises(SMTPLoginError) as caught:
        await smtp.auth("tim", "hunter2", **options)
    return caught.value


def tried(error: SMTPLoginError) -> list[str]:
    """List the mechanisms that the server has refused."""
    return [getattr(exc, "mechanism", "") for exc in error.exceptions]


# After a refusal


@pytest.mark.parametrize("code", [500, 502, 504])
async def test_a_code_that_judges_no_password_lets_the_next_name_be_tried(
    code: int,
) -> None:
    """S74, C02: LOGIN after PLAIN, though it is the same password."""
    text = script("AUTH PLAIN LOGIN", PLAIN, f"S: {code} what?", *DIALOGUE)
    async with client(text + "\nS: 235 ok") as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


async def test_login_never_follows_a_plain_that_was_judged() -> None:
    """C02: a server counts the wrong passwords."""
    async with client(script("AUTH PLAIN LOGIN", PLAIN, "S: 535 no", *NOOP)) as smtp:
        assert tried(await failed(smtp)) == ["PLAIN"]
        await smtp.noop()


async def test_a_judged_password_goes_on_to_the_next_kind() -> None:
    lines = [*CRAM, "S: 535 no", PLAIN, "S: 535 5.7.8 never", *NOOP]
    async with client(script("AUTH LOGIN PLAIN CRAM-MD5", *lines)) as smtp:
        error = await failed(smtp)
        assert tried(error) == ["CRAM-MD5", "PLAIN"]
        assert (error.code, error.reply) == (535, (535, "5.7.8 never"))
        await smtp.noop()


async def test_a_kind_that_was_judged_is_passed_over_in_the_callers_order_too() -> None:
    """C02: PLAIN, CRAM-MD5, and not LOGIN."""
    lines = [PLAIN, "S: 535 no", *CRAM, "S: 535 no", *NOOP]
    order = ["PLAIN", "CRAM-MD5", "LOGIN"]
    async with client(script("AUTH LOGIN PLAIN CRAM-MD5", *lines)) as smtp:
        assert tried(await failed(smtp, mechanisms=order)) == ["PLAIN", "CRAM-MD5"]
        await smtp.noop()


@pytest.mark.parametrize("code", [432, 450, 454, 501, 503, 530, 534, 538, 550, 571])
async def test_any_other_code_stops(code: int) -> None:
    """S84: what the server has against this login, it has against the next, too."""
    lines = ["C: AUTH CRAM-MD5", f"S: {code} not now", *NOOP]
    async with client(script("AUTH PLAIN CRAM-MD5", *lines)) as smtp:
        error = await failed(smtp)
        assert tried(error) == ["CRAM-MD5"]
        assert error.is_transient is (code < 500)
        assert error.code == code
        await smtp.noop()


@pytest.mark.parametrize("code", [454, 501, 504])
async def test_a_digest_that_the_server_cannot_check_is_followed_by_another_kind(
    code: int,
) -> None:
    """S68: CRAM-MD5 is offered, and fails for everybody."""
    lines = [*CRAM, f"S: {code} no", PLAIN, "S: 235 ok"]
    async with client(script("AUTH PLAIN CRAM-MD5", *lines)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


async def test_a_password_that_the_server_cannot_check_now_is_not_given_again() -> None:
    """S84: 454 to the password itself stops, in the middle of LOGIN as well."""
    lines = [*DIALOGUE, "S: 454 later", *NOOP]
    order = ["LOGIN", "CRAM-MD5"]
    async with client(script("AUTH LOGIN CRAM-MD5", *lines)) as smtp:
        error = await failed(smtp, mechanisms=order)
        assert tried(error) == ["LOGIN"]
        assert error.is_transient
        await smtp.noop()


async def test_a_mechanism_that_the_client_has_broken_off_judges_nothing_else() -> None:
    lines = ["C: AUTH CRAM-MD5", "S: 334 !", "C: *", "S: 501 ok", PLAIN, "S: 235 ok"]
    async with client(script("AUTH PLAIN CRAM-MD5", *lines)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


async def test_another_name_for_a_token_is_tried_where_the_first_is_unknown() -> None:
    oauth = b64encode(b"n,a=tim,\x01auth=Bearer t0ken\x01\x01").decode()
    xoauth = b64encode(b"user=tim\x01auth=Bearer t0ken\x01\x01").decode()
    lines = [f"C: AUTH OAUTHBEARER {oauth}", "S: 504 what?"]
    lines += [f"C: AUTH XOAUTH2 {xoauth}", "S: 235 ok", *NOOP]
    text = script("AUTH XOAUTH2 OAUTHBEARER", *lines)
    async with client(text, username="tim", token="t0ken") as smtp:
        await smtp.noop()


@pytest.mark.parametrize("end", ["S: <close>", "S: <reset>", "S: 421 bye"])
async def test_a_refusal_is_told_whatever_ends_the_connection_after_it(
    end: str,
) -> None:
    """H01, S70: a login that failed, and not a loss that is worth trying again."""
    text = script(
        "AUTH CRAM-MD5 PLAIN", *CRAM, "S: 535 5.7.8 wrong password", PLAIN, end
    )
    async with client(text) as smtp:
        error = await failed(smtp)
        assert tried(error) == ["CRAM-MD5"]
        assert "535 5.7.8 wrong password" in str(error)
        assert error.code == 535
        assert not error.is_transient
        assert isinstance(error.__cause__, SMTPConnectionLostError)


async def test_a_loss_before_any_refusal_is_a_loss() -> None:
    text = script("AUTH CRAM-MD5 PLAIN", "C: AUTH CRAM-MD5", "S: <close>")
    async with client(text) as smtp:
        with pytest.raises(SMTPConnectionLostError):
            await smtp.auth("tim", "hunter2")


async def test_a_refused_token_is_told_though_the_server_hangs_up() -> None:
    """H01: while the second token is tried."""

    async def token(refresh: bool) -> str:
        return "new" if refresh else "old"

    lines = []
    for text in ("old", "new"):
        response = b64encode(f"user=tim\x01auth=Bearer {text}\x01\x01".encode())
        lines += [f"C: AUTH XOAUTH2 {response.decode()}", "S: 535 no good"]
    lines[-1] = "S: <close>"
    with pytest.raises(SMTPLoginError, match="535 no good") as caught:
        async with client(script("AUTH XOAUTH2", *lines), username="tim", token=token):
            pass
    assert caught.value.code == 535
    assert isinstance(caught.value.__cause__, SMTPConnectionLostError)


# Prompts


@pytest.mark.parametrize(
    "prompt",
    ["Username:", "", "!", "VXNlcm5hbWU", "Benutzername f\u00fcr die Anmeldung?", "="],
    ids=ascii,
)
async def test_prompts_of_login_are_answered_by_position(prompt: str) -> None:
    """S64, C03: "the contents of both challenges SHOULD be ignored"."""
    lines = [f"S: 334 {prompt}" if line == "S: 334 " else line for line in DIALOGUE]
    async with client(script("AUTH LOGIN", *lines, "S: 235 ok", *NOOP)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")
        await smtp.noop()


RESPONSE = PLAIN.rsplit(maxsplit=1)[-1]


async def test_plain_is_said_again_where_the_server_asks_again() -> None:
    """S67: a server that passes over the initial response."""
    lines = [PLAIN, "S: 334 ", f"C: {RESPONSE}", "S: 235 ok", *NOOP]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")
        await smtp.noop()


async def test_plain_is_said_again_once() -> None:
    """C06: and not to a challenge, which it has no answer to."""
    asked = ["S: 334 ", f"C: {RESPONSE}"]
    for more in (asked, []):
        lines = [PLAIN, *more, "S: 334 eA==" if more == [] else "S: 334 "]
        lines += ["C: *", "S: 501 ok", *NOOP]
        async with client(script("AUTH PLAIN", *lines)) as smtp:
            error = await failed(smtp)
            assert "PLAIN has nothing to say" in str(error)
            await smtp.noop()


@pytest.mark.parametrize(
    ("mechanism", "line", "response"),
    [(External("tim"), "EXTERNAL dGlt", "dGlt"), (Anonymous(), "ANONYMOUS =", "")],
    ids=repr,
)
async def test_whatever_says_one_thing_says_it_again(
    mechanism: Any, line: str, response: str
) -> None:
    lines = [f"C: AUTH {line}", "S: 334 ", f"C: {response}", "S: 235 ok"]
    async with client(script("AUTH EXTERNAL ANONYMOUS", *lines)) as smtp:
        assert await smtp.authenticate(mechanism) == (235, "ok")


async def test_a_response_that_had_to_wait_is_said_once() -> None:
    """C17: there was no initial response that the server could pass over."""
    password = "x" * 500
    response = b64encode(b"\0tim\0" + password.encode()).decode()
    lines = ["C: AUTH PLAIN", "S: 334 ", f"C: {response}", "S: 334 ", "C: *"]
    async with client(script("AUTH PLAIN", *lines, "S: 501 ok", *NOOP)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="nothing to say"):
            await smtp.authenticate(Plain("tim", password))
        await smtp.noop()


# Short passwords


@pytest.mark.parametrize(
    ("password", "said", "shown"),
    [
        ("a", "535 5.7.8 authentication failed", "authentication failed"),
        ("ai", "535 5.7.8 authentication failed: ai", "authentication failed: ***"),
        ("pass", "535 wrong password", "wrong password"),
        ("pass", "535 wrong: pass.", "wrong: ***."),
        ("pass", '535 wrong: "PASS"', 'wrong: "***"'),
        ("identity", "535 identity? identityx", "***? identityx"),
        ("5", "535 5.7.8 no 5", "***.7.8 no ***"),
        ("hunter-2", "535 xhunter-2x", "x***x"),
        ("?!", "535 what?!x", "what***x"),
    ],
)
async def test_a_short_password_is_hidden_only_where_it_stands_by_itself(
    password: str, said: str, shown: str
) -> None:
    """H15: "f***led" would tell what it is."""
    line = b64encode(f"\0tim\0{password}".encode()).decode()
    text = script("AUTH PLAIN", f"C: AUTH PLAIN {line}", f"S: {said}")
    async with client(text) as smtp:
        with pytest.raises(SMTPLoginError) as caught:
            await smtp.auth("tim", password)
    assert str(caught.value).endswith(shown)


async def test_a_response_is_hidden_wherever_its_encoding_begins() -> None:
    """C16: in the echo of a line, and not within another word."""
    lines = [*DIALOGUE, "S: 535 aHVudGVyMg== dGlt arg=dGltX:dGlt, adGlt"]
    async with client(script("AUTH LOGIN", *lines)) as smtp:
        error = await failed(smtp)
    assert str(error).endswith("535 *** *** arg=***:***, adGlt")


# Texts


async def test_auth_that_may_be_behind_starttls_says_so() -> None:
    """H14, S37: the announcement has the next move in it."""
    async with client(script("STARTTLS", *NOOP)) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError) as caught:
            await smtp.auth("tim", "hunter2")
        assert "announce AUTH: it may after STARTTLS" in str(caught.value)
        assert "pass starttls='required'" in str(caught.value)
        await smtp.noop()


async def test_no_auth_without_starttls_gives_no_advice_to_use_it() -> None:
    """H14: the announcement would contradict it."""
    async with client(script("SIZE", *NOOP)) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError) as caught:
            await smtp.auth("tim", "hunter2")
        assert "takes no login here" in str(caught.value)
        assert "after STARTTLS" not in str(caught.value)
        await smtp.noop()


@pytest.mark.parametrize(
    ("options", "has", "lacks"),
    [
        ({"starttls": "required"}, "use SMTP_SSL", "a password"),
        (
            {"starttls": "opportunistic", "username": "tim", "password": "hunter2"},
            "'opportunistic' is 'required' where a password or a token would follow",
            "leave starttls= out",
        ),
    ],
    ids=["required", "opportunistic"],
)
async def test_where_starttls_is_missing_the_text_says_why_it_matters(
    options: dict[str, Any], has: str, lacks: str
) -> None:
    """H14, S168: and what else would do."""
    with pytest.raises(SMTPCommandNotSupportedError) as caught:
        async with client(script("SIZE"), **options):
            pass
    text = str(caught.value)
    assert text.startswith("the server does not announce STARTTLS: 127.0.0.1 port ")
    assert has in text
    assert lacks not in text


async def test_starttls_that_was_asked_for_by_hand_needs_no_advice() -> None:
    async with client(script("SIZE")) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError, match=r"does not\Z"):
            await smtp.starttls()


async def test_mechanisms_that_nobody_can_use_are_listed_with_those_of_use() -> None:
    """H14, S61: Exchange offers LOGIN behind STARTTLS only."""
    text = script("AUTH GSSAPI NTLM", *NOOP).replace(
        "250-mx", "250-mx\nS: 250-STARTTLS"
    )
    async with client(text) as smtp:
        (error,) = (await failed(smtp, mechanisms=["PLAIN", "LOGIN"])).exceptions
        assert "it offers GSSAPI NTLM; of use here would be PLAIN LOGIN;" in str(error)
        assert "more may be offered after STARTTLS" in str(error)
        await smtp.noop()
    async with client(script("AUTH", *NOOP)) as smtp:
        (error,) = (await failed(smtp, mechanisms=["LOGIN"])).exceptions
        assert str(error).endswith("it offers none at all; of use here would be LOGIN")
        await smtp.noop()


@pytest.mark.parametrize("code", [530, 538])
@pytest.mark.parametrize("is_encrypted", [True, False])
async def test_the_advice_to_turn_to_tls_is_for_clear_text(
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    code: int,
    is_encrypted: bool,
) -> None:
    """H14: over TLS the server must mean something else."""
    text = script("AUTH PLAIN", PLAIN, f"S: {code} 5.7.0 first something else")
    options: dict[str, Any] = {}
    if is_encrypted:
        options = {"make": SMTP_SSL, "context": client_tls, "tls": server_tls}
        options |= {"implicit_tls": True, "server_hostname": "localhost"}
    async with client(text, **options) as smtp:
        error: SMTPException = await failed(smtp)
        assert ("pass starttls='required'" in str(error)) is not is_encrypted


async def test_a_server_that_has_not_proved_itself_is_no_failed_login() -> None:
    """C07: a refusal before it does not hide that."""
    lines = ["C: AUTH PLAIN AHRpbQBodW50ZXIy", "S: 535 no", "C: AUTH CRAM-MD5"]
    text = script("AUTH CRAM-MD5 PLAIN", *lines, "S: 235 welcome")
    async with client(text) as smtp:
        with pytest.raises(SMTPProtocolError, match="has not proved itself"):
            await smtp.auth("tim", "hunter2", mechanisms=["PLAIN", "CRAM-MD5"])

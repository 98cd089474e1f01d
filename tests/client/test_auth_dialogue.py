"""AUTH as RFC 4954 has it: what is said, what is believed, what is never shown."""

from __future__ import annotations

import asyncio
import itertools
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from conversation import Peer, client

from smtplibaio import (
    SMTP,
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
)
from smtplibaio.client.auth_dialogue import MAX_CHALLENGES, check_cleartext
from smtplibaio.sasl import CramMD5, Login, Plain
from smtplibaio.wire.opening import is_local


def b64(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def script(offered: str, *lines: str) -> str:
    """Give the dialogue of a server that offers mechanisms, up to AUTH and on."""
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    return "\n".join([*opening, f"S: 250 {offered}", *lines])


NOOP = ("C: NOOP", "S: 250 noop")


class Custom:
    """Be a caller's own mechanism: it has its answers ready."""

    name = "X-CUSTOM"
    is_plaintext = False

    def __init__(
        self, start: bytes | None, answers: Sequence[Any] = (), *, done: bool = True
    ) -> None:
        self.challenges: list[bytes] = []
        self.done = done
        self._start = start
        self._answers = list(answers)

    def start(self) -> bytes | None:
        return self._start

    def next(self, challenge: bytes) -> bytes:
        self.challenges.append(challenge)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


async def refused(smtp: SMTP, **options: Any) -> SMTPException:
    """Log in, and give the one reason that it did not work for."""
    with pytest.raises(SMTPLoginError) as caught:
        await smtp.auth("tim", "hunter2", **options)
    (error,) = caught.value.exceptions
    return error


# The dialogue


PLAIN_LINE = "C: AUTH PLAIN " + b64("\0tim\0tanstaaftanstaaf")
LOGIN_DIALOGUE = """C: AUTH LOGIN
S: 334 VXNlcm5hbWU6
C: dGlt
S: 334 UGFzc3dvcmQ6
C: dGFuc3RhYWZ0YW5zdGFhZg=="""
CRAM_DIALOGUE = """C: AUTH CRAM-MD5
S: 334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
C: dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"""


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("AUTH PLAIN", PLAIN_LINE), id="PLAIN"),
        pytest.param(("AUTH=LOGIN PLAIN", PLAIN_LINE), id="AUTH="),
        pytest.param(("AUTH LOGIN", LOGIN_DIALOGUE), id="C04-LOGIN"),
        pytest.param(("AUTH CRAM-MD5", CRAM_DIALOGUE), id="RFC 2195"),
    ],
)
async def test_a_user_logs_in(lines: tuple[str, str]) -> None:
    async with client(script(*lines, "S: 235 2.7.0 welcome", *NOOP)) as smtp:
        reply = await smtp.auth("tim", "tanstaaftanstaaf")
        assert reply == (235, "2.7.0 welcome")
        assert await smtp.noop() == (250, "noop")


@pytest.mark.parametrize(
    "prompts",
    [
        ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"),
        ("VXNlcm5hbWUA", "UGFzc3dvcmQA"),
        ("VXNlciBOYW1lAA==", "UGFzc3dvcmQA"),
        ("Username", "Password"),
        ("username", "password"),
        (b64("say who you are"), b64("and the pass word")),
        (b64("Password:"), b64("Username:")),
        ("", ""),
    ],
    ids=repr,
)
async def test_login_answers_any_two_prompts(prompts: tuple[str, str]) -> None:
    """C03: the first gets the user name, the second the password."""
    lines = ["C: AUTH LOGIN", f"S: 334 {prompts[0]}", "C: " + b64("tim")]
    lines += [f"S: 334 {prompts[1]}", "C: " + b64("hunter2"), "S: 235 ok"]
    async with client(script("AUTH LOGIN", *lines)) as smtp:
        assert (await smtp.auth("tim", "hunter2")).code == 235


async def test_a_334_may_have_no_text_at_all() -> None:
    """C03: nor a space."""
    lines = ["C: AUTH LOGIN", "S: 334", "C: dGlt", "S: 334", "C: aHVudGVyMg=="]
    async with client(script("AUTH LOGIN", *lines, "S: 235 ok")) as smtp:
        assert (await smtp.auth("tim", "hunter2")).code == 235


async def test_login_has_no_answer_to_a_third_prompt() -> None:
    """C03: the exchange is cancelled, in step."""
    lines = ["C: AUTH LOGIN", "S: 334 ", "C: dGlt", "S: 334 ", "C: aHVudGVyMg=="]
    lines += ["S: 334 ", "C: *", "S: 501 cancelled", *NOOP]
    async with client(script("AUTH LOGIN", *lines)) as smtp:
        error = await refused(smtp)
        assert isinstance(error, SMTPAuthenticationError)
        assert "LOGIN has nothing to say" in str(error)
        assert (await smtp.noop()).message == "noop"


@pytest.mark.parametrize(
    ("username", "password"),
    [("jürg", "pä"), ("\ufb00", "\u00ad"), ("\u05d0a", "\u0661"), ("u", b"p\xe4")],
    ids=ascii,
)
async def test_credentials_are_utf8(username: str, password: str | bytes) -> None:
    """C19: octets go out as they are."""
    octets = password if isinstance(password, bytes) else password.encode()
    line = "C: AUTH PLAIN " + b64(b"\0" + username.encode() + b"\0" + octets)
    async with client(script("AUTH PLAIN", line, "S: 235 ok")) as smtp:
        await smtp.auth(username, password)


@pytest.mark.parametrize(
    ("username", "password"), [("a\0b", "x"), ("x", "a\0b"), ("", "x"), ("x", "")]
)
async def test_credentials_that_cannot_be_sent_cost_no_octet(
    username: str, password: str
) -> None:
    """A08: not even EHLO is sent."""
    async with client("S: 220 hi\nC: NOOP\nS: 250 ok") as smtp:
        with pytest.raises(SMTPArgumentError, match="NUL"):
            await smtp.auth(username, password)
        await smtp.noop()


# How often, and what is believed


@pytest.mark.parametrize(
    ("offered", "options", "tried"),
    [
        ("PLAIN LOGIN", {}, ["AUTH PLAIN AHRpbQBodW50ZXIy"]),
        ("LOGIN PLAIN", {}, ["AUTH PLAIN AHRpbQBodW50ZXIy"]),
        ("LOGIN", {}, ["AUTH LOGIN"]),
        (
            "LOGIN PLAIN GSSAPI CRAM-MD5",
            {},
            ["AUTH CRAM-MD5", "AUTH PLAIN AHRpbQBodW50ZXIy"],
        ),
        ("LOGIN PLAIN CRAM-MD5", {"mechanisms": ["login", "plain"]}, ["AUTH LOGIN"]),
        ("LOGIN PLAIN CRAM-MD5", {"mechanisms": ["CRAM-MD5"]}, ["AUTH CRAM-MD5"]),
    ],
)
async def test_a_password_is_tried_once_a_kind(
    offered: str, options: dict[str, Any], tried: list[str]
) -> None:
    """C02: after the 535 to PLAIN never LOGIN, lest the account be locked."""
    lines = [voice for line in tried for voice in (f"C: {line}", "S: 535 5.7.8 no")]
    async with client(script(f"AUTH {offered}", *lines, *NOOP)) as smtp:
        with pytest.raises(SMTPLoginError) as caught:
            await smtp.auth("tim", "hunter2", **options)
        names = [error.mechanism for error in caught.value.exceptions]  # type: ignore[attr-defined]
        assert names == [line.split()[1] for line in tried]
        assert not caught.value.is_transient
        await smtp.noop()


async def test_the_next_kind_is_tried_after_a_refusal() -> None:
    """C02: a server may offer what it cannot do."""
    lines = ["C: AUTH CRAM-MD5", "S: 504 what?"]
    lines += ["C: AUTH PLAIN AHRpbQBodW50ZXIy", "S: 235 ok"]
    async with client(script("AUTH PLAIN CRAM-MD5", *lines)) as smtp:
        assert await smtp.auth("tim", "hunter2") == (235, "ok")


@pytest.mark.parametrize(
    ("offered", "options", "text"),
    [
        ("AUTH GSSAPI NTLM", {}, "it offers GSSAPI NTLM"),
        ("AUTH", {}, "it offers none at all"),
        ("AUTH PLAIN", {"mechanisms": ["CRAM-MD5"]}, "it offers PLAIN"),
    ],
)
async def test_where_no_mechanism_fits_none_is_tried(
    offered: str, options: dict[str, Any], text: str
) -> None:
    """C20: the error names what the server offers."""
    async with client(script(offered, *NOOP)) as smtp:
        error = await refused(smtp, **options)
        assert isinstance(error, SMTPCommandNotSupportedError)
        assert text in str(error)
        await smtp.noop()


@pytest.mark.parametrize(
    ("reply", "is_transient", "hint"),
    [
        pytest.param("432 4.7.12 renew", True, "changed or renewed", id="C14-432"),
        pytest.param("454 4.7.0 later", True, "for the moment", id="C14-454"),
        pytest.param("500 5.5.6 long", False, "500 5.5.6 long", id="C14-500"),
        pytest.param("503 5.5.1 already", False, "503 5.5.1 already", id="C13-503"),
        pytest.param("504 5.5.4 what", False, "does not know this", id="C14-504"),
        pytest.param(
            "530 5.7.0 first", False, "wants TLS first: pass start", id="C14-530"
        ),
        pytest.param("534 5.7.9 weak", False, r"534 5.7.9 weak\Z", id="C14-534"),
        pytest.param("535 5.7.8 no", False, "535 5.7.8 no", id="C14-535"),
        pytest.param("538 5.7.11 clear", False, "wants TLS first", id="C14-538"),
    ],
)
async def test_a_refusal_says_what_is_missing(
    reply: str, is_transient: bool, hint: str
) -> None:
    """C13, C14: RFC 4954 6; a 503 to the first AUTH is no success."""
    lines = ["C: AUTH PLAIN AHRpbQBodW50ZXIy", f"S: {reply}", *NOOP]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        with pytest.raises(SMTPLoginError, match=hint) as caught:
            await smtp.auth("tim", "hunter2")
        assert caught.value.is_transient is is_transient
        (error,) = caught.value.exceptions
        assert isinstance(error, SMTPAuthenticationError)
        assert error.is_transient is is_transient
        assert f"{error.code} {error.message}" == reply
        assert reply.split()[1] == str(error.reply.enhanced)
        assert (error.command, error.mechanism) == ("AUTH", "PLAIN")
        await smtp.noop()


@pytest.mark.parametrize("reply", ["250 ok", "220 hi", "221 bye", "354 go"])
async def test_nothing_but_235_is_success(reply: str) -> None:
    """C13: and what is neither yes nor no ends the connection."""
    lines = ["C: AUTH PLAIN AHRpbQBodW50ZXIy", f"S: {reply}"]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        with pytest.raises(
            SMTPProtocolError, match=r"127\.0\.0\.1 port \d+ answered AUTH"
        ):
            await smtp.auth("tim", "hunter2")
        assert not smtp.is_connected


@pytest.mark.parametrize(
    ("make", "lines"),
    [
        (lambda: Login("tim", "hunter2"), []),
        (lambda: Login("tim", "hunter2"), ["S: 334 ", "C: dGlt"]),
        (lambda: CramMD5("tim", "hunter2"), []),
        (lambda: Custom(None, [b"x"], done=False), ["S: 334 ", "C: eA=="]),
    ],
    ids=["LOGIN", "LOGIN after one prompt", "CRAM-MD5", "never done"],
)
async def test_235_before_the_mechanism_is_done_is_not_believed(
    make: Callable[[], Any], lines: list[str]
) -> None:
    mechanism = make()
    name = mechanism.name
    text = script(f"AUTH {name}", f"C: AUTH {name}", *lines, "S: 235 welcome")
    async with client(text) as smtp:
        with pytest.raises(
            SMTPProtocolError, match=rf"port \d+ says 235 before {name} is done"
        ):
            await smtp.authenticate(mechanism)
        assert not smtp.is_connected


# Challenges


@pytest.mark.parametrize("end", ["<close>", "<silence>", "421 bye"])
async def test_a_challenge_that_has_no_answer_is_told_where_the_session_ends(
    end: str,
) -> None:
    """H01: people would try again for ever if the loss were all that they are told."""
    lines = ["C: AUTH CRAM-MD5", "S: 334 !", "C: *", f"S: {end}"]
    limits = Timeouts(reply=0.2)
    async with client(script("AUTH CRAM-MD5", *lines), timeout=limits) as smtp:
        with pytest.raises(SMTPProtocolError) as caught:
            await smtp.auth("tim", "hunter2")
        assert "AUTH CRAM-MD5 was cancelled by the client: " in str(caught.value)
        assert not caught.value.is_transient


@pytest.mark.parametrize(
    "challenge",
    ["abc", "!!!!", "Username:", "\udcff", "VXNl cm5h", "=", "A===", "VXNlcm5hbWU6 "],
    ids=ascii,
)
async def test_a_challenge_that_is_no_base64_is_cancelled(challenge: str) -> None:
    """C05: the server reads no later command as an answer."""
    lines = ["C: AUTH CRAM-MD5", f"S: 334 {challenge}", "C: *", "S: 501 ok", *NOOP]
    async with client(script("AUTH CRAM-MD5", *lines)) as smtp:
        error = await refused(smtp)
        assert isinstance(error, SMTPAuthenticationError)
        assert str(error).startswith("AUTH CRAM-MD5 failed: 501 cancelled by the")
        assert isinstance(error.__cause__, ValueError)
        assert (await smtp.noop()).message == "noop"


async def test_a_challenge_has_one_line() -> None:
    """C05: two of them are not one in base64."""
    lines = ["C: AUTH CRAM-MD5", "S: 334-VXNl", "S: 334 cm5h", "C: *", "S: 501 ok"]
    async with client(script("AUTH CRAM-MD5", *lines, *NOOP)) as smtp:
        await refused(smtp)
        await smtp.noop()


@pytest.mark.parametrize("reply", ["235 welcome", "334 ", "250 ok", "354 go"])
async def test_a_cancelled_exchange_is_refused_or_the_connection_ends(
    reply: str,
) -> None:
    """C05: nobody knows what else the server waits for."""
    lines = ["C: AUTH CRAM-MD5", "S: 334 !", "C: *", f"S: {reply}"]
    async with client(script("AUTH CRAM-MD5", *lines)) as smtp:
        with pytest.raises(
            SMTPProtocolError, match=r"port \d+ answered a cancelled AUTH"
        ):
            await smtp.auth("tim", "hunter2")
        with pytest.raises(SMTPConnectionLostError):
            await smtp.noop()


CHALLENGES = ["S: 334 eA==", "C: eA=="] * MAX_CHALLENGES


async def test_so_many_challenges_are_answered() -> None:
    """C06: and the reply to the last answer is judged like any other."""
    mechanism = Custom(None, [b"x"] * MAX_CHALLENGES)
    lines = ["C: AUTH X-CUSTOM", *CHALLENGES, "S: 235 at last", *NOOP]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        assert await smtp.authenticate(mechanism) == (235, "at last")
        assert mechanism.challenges == [b"x"] * MAX_CHALLENGES
        await smtp.noop()


async def test_one_challenge_more_is_cancelled() -> None:
    """C06: a server that asks for ever gets no answer for ever."""
    mechanism = Custom(None, [b"x"] * (MAX_CHALLENGES + 1))
    lines = ["C: AUTH X-CUSTOM", *CHALLENGES, "S: 334 eA==", "C: *", "S: 501 ok", *NOOP]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="challenges"):
            await smtp.authenticate(mechanism)
        assert len(mechanism.challenges) == MAX_CHALLENGES
        await smtp.noop()


# Mechanisms of the caller's own


@pytest.mark.parametrize(
    ("initial", "line"),
    [(b"", "AUTH X-CUSTOM ="), (b"\0", "AUTH X-CUSTOM AA=="), (None, "AUTH X-CUSTOM")],
)
async def test_an_initial_response_may_be_empty(
    initial: bytes | None, line: str
) -> None:
    """C18: "=" is an empty one, nothing is none."""
    lines = [f"C: {line}", "S: 235 ok"]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        assert await smtp.authenticate(Custom(initial)) == (235, "ok")


async def test_a_later_response_may_be_empty() -> None:
    """C18: it is an empty line."""
    mechanism = Custom(None, [b""])
    lines = ["C: AUTH X-CUSTOM", "S: 334 AP8=", "C:", "S: 235 ok"]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        await smtp.authenticate(mechanism)
    assert mechanism.challenges == [b"\0\xff"]


@pytest.mark.parametrize(
    "answer",
    [ValueError("no"), RuntimeError("a\nb"), IndexError(), None, "text", b"x" * 12288],
    ids=lambda answer: repr(answer)[:30],
)
async def test_a_mechanism_that_fails_cancels_the_exchange(answer: Any) -> None:
    """C05, C17: whatever it raises, and whatever it gives for octets."""
    lines = ["C: AUTH X-CUSTOM", "S: 334 ", "C: *", "S: 501 5.5.0 ok", *NOOP]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError) as caught:
            await smtp.authenticate(Custom(None, [answer]))
        assert (caught.value.code, caught.value.mechanism) == (501, "X-CUSTOM")
        assert caught.value.__cause__ is not None
        assert str(caught.value).isprintable()
        assert await smtp.noop() == (250, "noop")


async def test_what_a_failing_mechanism_says_shows_no_secret() -> None:
    """C16: where the mechanism has told which texts are secret."""
    mechanism = Custom(None, [ValueError("no digest for hunter2")])
    mechanism.secrets = ("hunter2",)  # type: ignore[attr-defined]
    lines = ["C: AUTH X-CUSTOM", "S: 334 ", "C: *", "S: 501 hunter2?", *NOOP]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="no digest for") as caught:
            await smtp.authenticate(mechanism)
        assert "hunter2" not in f"{caught.value!r} {caught.value} {caught.value.reply}"
        await smtp.noop()


async def test_a_mechanism_that_cannot_start_costs_no_octet() -> None:
    class Broken(Custom):
        def start(self) -> bytes:
            raise LookupError("no ticket")

    async with client(script("AUTH X-CUSTOM", *NOOP)) as smtp:
        with pytest.raises(LookupError, match="no ticket"):
            await smtp.authenticate(Broken(None))
        await smtp.noop()


async def test_where_nothing_was_sent_nothing_is_cut_out() -> None:
    lines = ["C: AUTH X-CUSTOM", "S: 535 not ***"]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match=r"535 not \*\*\*"):
            await smtp.authenticate(Custom(None))


class Slow(Custom):
    """Note which thread it computes on."""

    is_slow = True
    thread = 0

    def next(self, challenge: bytes) -> bytes:
        self.thread = threading.get_ident()
        return super().next(challenge)


async def test_a_slow_mechanism_computes_off_the_loop() -> None:
    """C08: and what it raises there cancels the exchange like anything else."""
    slow, quick = Slow(None, [b"x", ValueError("no")]), Custom(None, [b"x"])
    lines = ["C: AUTH X-CUSTOM", "S: 334 ", "C: eA==", "S: 334 ", "C: *", "S: 501 ok"]
    text = script("AUTH X-CUSTOM", *lines, *lines[:3], "S: 235 ok", *NOOP)
    async with client(text) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="by the client: no"):
            await smtp.authenticate(slow)
        assert slow.thread not in (0, threading.get_ident())
        assert (await smtp.authenticate(quick)).code == 235
        await smtp.noop()


@pytest.mark.parametrize("kind", [Custom, Slow])
async def test_a_server_that_a_mechanism_does_not_trust_is_left(
    kind: type[Custom],
) -> None:
    """C07: without a "*", and without another mechanism."""
    mechanism = kind(None, [SMTPProtocolError("it has not proved itself")])
    lines = ["C: AUTH X-CUSTOM", "S: 334 ", "C: <hangup>"]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPProtocolError, match="has not proved itself"):
            await smtp.authenticate(mechanism)
        with pytest.raises(SMTPConnectionLostError, match="has not proved itself"):
            await smtp.noop()


async def test_what_a_mechanism_was_told_is_on_the_exception() -> None:
    """C12: any mechanism may have an `error`; without one there is None."""
    told, silent = Custom(b""), Custom(b"")
    told.error = {"status": "401"}  # type: ignore[attr-defined]
    lines = ["C: AUTH X-CUSTOM =", "S: 535 no"] * 2
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        for mechanism, error in ((told, {"status": "401"}), (silent, None)):
            with pytest.raises(SMTPAuthenticationError) as caught:
                await smtp.authenticate(mechanism)
            assert caught.value.error == error


# The length of lines


@pytest.mark.parametrize("excess", [0, 1])
async def test_a_long_initial_response_waits_for_its_prompt(excess: int) -> None:
    """C17: 512 octets of AUTH and no more (RFC 4954 4)."""
    response = b"x" * (3 * ((512 - len("AUTH X-CUSTOM \r\n")) // 4) + 3 * excess)
    encoded = b64(response)
    assert (len(f"AUTH X-CUSTOM {encoded}\r\n") > 512) is bool(excess)
    lines = [f"C: AUTH X-CUSTOM {encoded}"]
    if excess:
        lines = ["C: AUTH X-CUSTOM", "S: 334 ", f"C: {encoded}"]
    async with client(script("AUTH X-CUSTOM", *lines, "S: 235 ok")) as smtp:
        assert await smtp.authenticate(Custom(response)) == (235, "ok")


async def test_235_before_the_response_that_waits_is_not_believed() -> None:
    """C17: nothing was proved yet, though the mechanism has said its part."""
    lines = ["C: AUTH PLAIN", "S: 235 welcome"]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        with pytest.raises(SMTPProtocolError):
            await smtp.auth("tim", "x" * 500)
        assert not smtp.is_connected


async def test_no_line_is_longer_than_12288_octets() -> None:
    """C17: what would be costs no octet (RFC 4954 4)."""
    async with client(script("AUTH PLAIN", *NOOP)) as smtp:
        with pytest.raises(SMTPArgumentError, match="12288") as caught:
            await smtp.auth("tim", "hunter2" * 2000)
        assert "hunter2" not in str(caught.value)
        await smtp.noop()


# When AUTH is right


async def test_a_session_logs_in_once() -> None:
    """C13, C20: the second time costs no octet; another EHLO changes nothing."""
    lines = ["C: AUTH PLAIN AHRpbQBodW50ZXIy", "S: 235 ok"]
    lines += ["C: EHLO client.example", "S: 250-mx", "S: 250 AUTH PLAIN", *NOOP]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        await smtp.auth("tim", "hunter2")
        with pytest.raises(SMTPArgumentError, match="authenticated already"):
            await smtp.auth("tim", "hunter2")
        await smtp.ehlo()
        with pytest.raises(SMTPArgumentError, match="authenticated already"):
            await smtp.authenticate(Plain("tim", "hunter2"))
        await smtp.noop()


async def test_there_is_no_auth_within_a_transaction() -> None:
    """C20: RFC 4954 4."""
    lines = ["C: MAIL FROM:<a@x.example>", "S: 250 ok", "C: RSET", "S: 250 ok"]
    lines += ["C: AUTH PLAIN AHRpbQBodW50ZXIy", "S: 235 ok"]
    async with client(script("AUTH PLAIN", *lines)) as smtp:
        await smtp.mail("a@x.example")
        with pytest.raises(SMTPArgumentError, match="within a mail transaction"):
            await smtp.auth("tim", "hunter2")
        await smtp.rset()
        await smtp.auth("tim", "hunter2")


async def test_what_is_not_offered_is_not_tried() -> None:
    """C20: neither AUTH nor a mechanism of it."""
    async with client(script("SIZE", *NOOP)) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError, match="AUTH"):
            await smtp.auth("tim", "hunter2")
        await smtp.noop()
    async with client(script("AUTH PLAIN", *NOOP)) as smtp:
        with pytest.raises(SMTPCommandNotSupportedError, match="AUTH X-CUSTOM"):
            await smtp.authenticate(Custom(b""))
        await smtp.noop()


# What is never shown

PASSWORD = 'hünter "2"\t.*' + "x" * 40
ECHOES = [
    b64(f"\0tim\0{PASSWORD}"),
    b64(f"\0tim\0{PASSWORD}").lower(),
    PASSWORD,
    PASSWORD.upper(),
    f"\0tim\0{PASSWORD}",
    b64(f"\0tim\0{PASSWORD}")[:40],
]


#: A part of it would do for a guess.
PARTS = ["hünter", "xxxxxxxx", ECHOES[1][8:18], ECHOES[1][-10:]]


@pytest.mark.parametrize("echo", ECHOES, ids=ascii)
@pytest.mark.parametrize(
    "lines",
    [
        ["S: 535 5.7.8 what is {}?"],
        ["S: 535-no", "S: 535 {}{}"],
        ["S: 235 ok {}"],
        ["S: 250 {}"],
        ["S: 421 {}"],
        ["S: AUTH PLAIN {}"],
        ["S: {}"],
        ["S: 535-{}", "S: 534 {}"],
        ["S: 334 {}", "C: *", "S: 501 {}"],
        ["S: 334 {}", "C: *", "S: 250 {}"],
        ["S: 334 {}", "C: *", "S: 421 {}"],
        ["S: 334 {}", "C: *", "S: {}"],
    ],
    ids=" ".join,
)
async def test_a_server_that_echoes_a_secret_does_not_make_it_known(
    echo: str, lines: list[str]
) -> None:
    """C16: neither errors nor replies nor events have it, in whatever case."""
    seen: list[object] = []
    said = [f"C: AUTH PLAIN {ECHOES[0]}", *(line.replace("{}", echo) for line in lines)]
    async with client(script("AUTH PLAIN", *said), on_event=seen.append) as smtp:
        try:
            seen.append(await smtp.auth("tim", PASSWORD))
        except SMTPException as exc:
            for error in (exc, *getattr(exc, "exceptions", ())):
                seen += [error, vars(error), getattr(error, "reply", None)]
        if not smtp.is_connected:
            with pytest.raises(SMTPConnectionError) as later:
                await smtp.noop()
            seen += [later.value, later.value.__cause__]
    assert seen
    text = "".join(f"{shown} {shown!r}" for shown in seen).lower()
    assert [part for part in PARTS if part in text] == []


async def test_responses_are_hidden_like_passwords() -> None:
    """C16: a caller's mechanism need not say what is secret in them."""
    lines = ["C: AUTH X-CUSTOM dG9rZW4=", "S: 334 ", "C: dG9rZW5zIQ=="]
    lines += ["S: 535 token DG9RZW4= Tokens! dG9rZW5zIQ=="]
    async with client(script("AUTH X-CUSTOM", *lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError) as caught:
            await smtp.authenticate(Custom(b"token", [b"tokens!"]))
    assert caught.value.message == "*** *** *** ***"


# Clear text


@pytest.mark.parametrize(
    ("mechanism", "shows"),
    [
        (Plain("tim", "hunter2"), True),
        (Login("tim", "hunter2"), True),
        (CramMD5("tim", "hunter2"), False),
        (Custom(b""), False),
        (SimpleNamespace(name="X-SILENT"), True),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_shows_the_password_needs_a_place_without_listeners(
    mechanism: Any, shows: bool
) -> None:
    check_cleartext(mechanism, may_show=True)
    if not shows:
        check_cleartext(mechanism, may_show=False)
        return
    with pytest.raises(
        SMTPTLSError, match=f"{mechanism.name} would send the password"
    ) as caught:
        check_cleartext(mechanism, may_show=False)
    assert "hunter2" not in str(caught.value)


def test_a_peer_that_nobody_can_name_may_have_listeners() -> None:
    """C01: a socket that was disconnected meanwhile has no peer name."""
    assert not is_local(asyncio.Transport({"peername": None}))
    assert not is_local(asyncio.Transport())


# Broken off


class Halting(Peer):
    """Give the answers one by one, then fall silent."""

    def __init__(self, answers: Sequence[str]) -> None:
        super().__init__()
        self.answers = list(answers)
        self.lines: list[bytes] = []
        self.is_silent = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"220 hi\r\n")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        *lines, rest = bytes(self.received).split(b"\r\n")
        self.received[:] = rest
        for line in lines:
            self.lines.append(line)
            if line == b"NOOP":
                self.transport.write(b"250 noop\r\n")
            elif self.answers:
                self.transport.write(self.answers.pop(0).encode() + b"\r\n")
            else:
                self.is_silent.set()


@asynccontextmanager
async def halting(
    answers: Sequence[str], **options: Any
) -> AsyncIterator[tuple[Halting, SMTP]]:
    peer = Halting(answers)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: peer, "127.0.0.1", 0)
    address = listener.sockets[0].getsockname()[:2]
    try:
        async with SMTP(*address, "client.example", **options) as smtp:
            yield peer, smtp
    finally:
        await peer.everything()
        peer.transport.abort()
        listener.close()


EHLO = "250-mx\r\n250 AUTH LOGIN"
STAGES = [
    pytest.param([EHLO], id="AUTH"),
    pytest.param([EHLO, "334 "], id="user name"),
    pytest.param([EHLO, "334 ", "334 "], id="password"),
    pytest.param([EHLO, "334 !"], id="cancel"),
]


@pytest.mark.parametrize("answers", STAGES)
async def test_auth_that_is_cancelled_ends_the_connection(answers: list[str]) -> None:
    """C22: the server would take the next command for an answer."""
    async with halting(answers) as (peer, smtp):
        task = asyncio.create_task(smtp.auth("tim", "hunter2"))
        await peer.is_silent.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="AUTH was broken off"):
            await smtp.noop()
    assert len(peer.lines) == len(answers) + 1


async def test_auth_is_safe_to_cancel_at_every_step() -> None:
    """C22: the session is clean or gone, and the server reads no NOOP within AUTH."""
    fates = set()
    for steps in itertools.count():
        answers = [EHLO, "334 ", "334 ", "235 ok"]
        async with halting(answers) as (peer, smtp):
            task = asyncio.create_task(smtp.auth("tim", "hunter2"))
            for _ in range(steps):
                await asyncio.sleep(0)
            if task.done():
                assert await smtp.noop() == (250, "noop")
                break
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            fates.add(smtp.is_connected)
            if smtp.is_connected:
                assert await smtp.noop() == (250, "noop")
                assert not [line for line in peer.lines if b"AUTH" in line]
    assert fates == {True, False}


@pytest.mark.parametrize("answers", STAGES)
async def test_auth_that_takes_too_long_ends_the_connection(
    answers: list[str],
) -> None:
    """C22: each reply has its own deadline; no other mechanism is tried."""
    async with halting(answers, timeout=Timeouts(reply=0.05)) as (peer, smtp):
        with pytest.raises(SMTPTimeoutError, match="AUTH"):
            await smtp.auth("tim", "hunter2")
        assert not smtp.is_connected
    assert len(peer.lines) == len(answers) + 1


@pytest.mark.parametrize("answers", STAGES)
async def test_a_farewell_within_auth_is_kept(answers: list[str]) -> None:
    """It says nothing of the password, and may be tried again."""
    async with halting([*answers, "421 4.3.2 bye"]) as (_, smtp):
        with pytest.raises(SMTPConnectionLostError, match="bye") as caught:
            await smtp.auth("tim", "hunter2")
        assert caught.value.is_transient
        assert caught.value.reply == (421, "4.3.2 bye")

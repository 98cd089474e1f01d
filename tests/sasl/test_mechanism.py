"""What the mechanisms share: credentials as octets, and never shown."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from base64 import b64encode
from typing import Any

import pytest
from conversation import client

from smtplibaio import SMTPArgumentError, SMTPConnectionError, SMTPException
from smtplibaio.sasl import (
    OAUTHBEARER,
    XOAUTH2,
    Anonymous,
    CramMD5,
    External,
    Login,
    Plain,
    ScramSHA1,
    ScramSHA256,
    ScramSHA512,
)
from smtplibaio.sasl.mechanism import Mechanism, Password, credential, nothing_to_say


@pytest.mark.parametrize(
    ("given", "octets"),
    [
        ("tim", b"tim"),
        ("pä", b"p\xc3\xa4"),
        ("\ufb00\u00ad", b"\xef\xac\x80\xc2\xad"),
        (" a\x01,= ", b" a\x01,= "),
        (b"p\xe4", b"p\xe4"),
        (bytearray(b"tim"), b"tim"),
        pytest.param(memoryview(b"tim"), b"tim", id="memoryview"),
    ],
    ids=repr,
)
def test_a_credential_is_utf8_or_octets(given: Any, octets: bytes) -> None:
    """C19: nothing is normalised, for the server's copy may be of any form."""
    found = credential(given, "the password")
    assert found == octets
    assert type(found) is bytes


UNFIT: list[Any] = ["", b"", "hunter\0two", b"hunter\0two", "\0", "hunter\ud800two"]
UNFIT += [None, 5, -5, 10**20, 1.5, True, ["hunter"], [300], ...]


@pytest.mark.parametrize("given", UNFIT, ids=ascii)
def test_what_is_no_credential_is_refused_and_not_quoted(given: Any) -> None:
    """A08, C16: a NUL would be a border in PLAIN; numbers are no octets."""
    with pytest.raises(SMTPArgumentError, match=r"^the token is ") as caught:
        credential(given, "the token")
    shown = f"{caught.value!r} {caught.value} {caught.value.args}"
    assert "hunter" not in shown
    assert "two" not in shown


@pytest.mark.parametrize("secret", ["hunter2", b"hunter2", b"hunter2\xff"], ids=repr)
def test_a_password_is_a_secret_and_the_user_name_is_none(secret: str | bytes) -> None:
    """C16: what is cut out of replies is what would come back in them."""
    mechanism = Password("tim", secret)
    assert repr(mechanism) == "<Password of b'tim'>"
    assert "hunter2" not in f"{mechanism!s} {mechanism!r}"
    assert not mechanism.done
    octets = secret.encode() if isinstance(secret, str) else secret
    (shown,) = mechanism.secrets
    assert shown.encode("utf-8", "surrogateescape") == octets


def test_a_mechanism_is_plaintext_unless_it_says_otherwise() -> None:
    """C01: one that forgets to say so is not trusted with a listener."""
    assert Password("tim", "hunter2").is_plaintext


def test_the_error_for_a_challenge_too_many_names_the_mechanism() -> None:
    error = nothing_to_say("PLAIN")
    assert isinstance(error, SMTPArgumentError)
    assert str(error) == "PLAIN has nothing to say to this challenge"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "mechanism",
    [
        Plain("tim", "hunter2"),
        Login("tim", "hunter2"),
        CramMD5("tim", "hunter2"),
        ScramSHA1("tim", "hunter2"),
        ScramSHA256("tim", "hunter2"),
        ScramSHA512("tim", "hunter2"),
        XOAUTH2("tim", "hunter2"),
        OAUTHBEARER("tim", "hunter2"),
        External("tim"),
        Anonymous("tim"),
    ],
    ids=lambda mechanism: mechanism.name,
)
def test_every_mechanism_has_the_members_of_one(mechanism: Mechanism) -> None:
    """C16: whoever prints one, at any time, sees no secret."""
    assert mechanism.name == mechanism.name.upper()
    assert mechanism.done is False
    initial = mechanism.start()
    assert initial is None or isinstance(initial, bytes)
    assert "hunter2" not in f"{mechanism} {mechanism!r}"
    assert isinstance(mechanism.done, bool)


# In a session


def b64(octets: bytes) -> str:
    return b64encode(octets).decode()


NEVER_SHOWN = [
    (Plain("tim", "hunter2"), ["S: 535 5.7.8 AHRpbQBodW50ZXIy hunter2"]),
    (Plain("tim", "hunter2"), ["S: 235 2.7.0 hello tim hunter2"]),
    (Plain("tim", "hunter2"), ["S: hunter2 AHRpbQBodW50ZXIy"]),
    (Plain("tim", "hunter2"), ["S: 334 hunter2", "C: *", "S: 501 5.5.0 no hunter2"]),
    (Login("tim", "hunter2"), ["S: 334 ", "C: dGlt", "S: 535 dGlt hunter2"]),
    (
        Login("tim", "hunter2"),
        ["S: 334 ", "C: dGlt", "S: 334 ", "C: aHVudGVyMg==", "S: 535 aHVudGVyMg=="],
    ),
    (CramMD5("tim", "hunter2"), ["S: 535 5.7.8 no hunter2"]),
    (XOAUTH2("tim", "hunter2"), ["S: 334 e30=", "C:", "S: 535 5.7.8 hunter2"]),
    (XOAUTH2("tim", "hunter2"), ["S: 334 " + b64(b'"hunter2"'), "C:", "S: 535 no"]),
    (ScramSHA1("tim", "hunter2", nonce="x"), ["S: 334 !", "C: *", "S: 501 no"]),
    (ScramSHA1("tim", "hunter2", nonce="x"), ["S: 334 ", "C: *", "S: 501 no"]),
]


def every_error(exc: BaseException | None) -> list[object]:
    """List an exception, what it holds, and what it is chained to."""
    found: list[object] = []
    while exc is not None:
        found += [exc, exc.args, vars(exc)]
        for member in getattr(exc, "exceptions", ()):
            found += every_error(member)
        exc = exc.__cause__ or exc.__context__
    return found


@pytest.mark.parametrize(("mechanism", "lines"), NEVER_SHOWN)
async def test_secrets_are_in_no_log_and_no_exception(
    caplog: pytest.LogCaptureFixture, mechanism: Any, lines: list[str]
) -> None:
    """C16: with asyncio's debug output of every step, and every logger at DEBUG."""
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().slow_callback_duration = 0
    initial = copy.deepcopy(mechanism).start()
    said = f"C: AUTH {mechanism.name}" + ("" if initial is None else f" {b64(initial)}")
    seen: list[object] = [mechanism]
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    text = "\n".join([*opening, f"S: 250 AUTH {mechanism.name}", said, *lines])
    async with client(text, on_event=seen.append) as smtp:
        try:
            seen.append(await smtp.authenticate(mechanism))
        except SMTPException as exc:
            seen += every_error(exc)
        if not smtp.is_connected:
            with pytest.raises(SMTPConnectionError) as later:
                await smtp.noop()
            seen += every_error(later.value)
    loggers = {record.name for record in caplog.records}
    assert loggers == {"asyncio", "smtplibaio"}
    seen += [caplog.text, *(record.args for record in caplog.records)]
    shown = "".join(f"{item} {item!r}" for item in seen)
    secrets = ["hunter2", b64(b"hunter2"), b64(b"\0tim\0hunter2"), "nter2"]
    assert [secret for secret in secrets if secret in shown] == []

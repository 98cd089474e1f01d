"""SCRAM: the RFCs' vectors, an honest server, and a table of dishonest ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import scramp
import trustme
from conversation import client
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.x509.oid import NameOID

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
)
from smtplibaio.events import Event, ReplyReceived
from smtplibaio.sasl import (
    ScramSHA1,
    ScramSHA1Plus,
    ScramSHA256,
    ScramSHA256Plus,
    ScramSHA512,
    ScramSHA512Plus,
)
from smtplibaio.sasl.scram import MAX_ITERATIONS, MIN_ITERATIONS, can_bind

NOOP = ("C: NOOP", "S: 250 noop")

#: RFC 5802 5
NONCE = "fyko+d2lbbFgONRv9qkxdawL"
CLIENT_FIRST = f"n,,n=user,r={NONCE}"
SALT = "QSXCR+Q6sek8bf92"
SERVER_FIRST = f"r={NONCE}3rfcNHYJY1ZVvWVs7j,s={SALT},i=4096"
CLIENT_FINAL = f"c=biws,r={NONCE}3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
SERVER_FINAL = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ="

#: RFC 7677 3
NONCE_256 = "rOprNGfwEbeRWgbNEkqO"
NONCES_256 = NONCE_256 + "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
DIALOGUE_256 = (
    f"n,,n=user,r={NONCE_256}",
    f"r={NONCES_256},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    f"c=biws,r={NONCES_256},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


def b64(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def challenge(text: str | bytes) -> str:
    return f"S: 334 {b64(text)}"


def response(text: str) -> str:
    return f"C: {b64(text)}".rstrip()


def script(name: str, client_first: str, *lines: str) -> str:
    opening = ["S: 220 hi", "C: EHLO client.example", "S: 250-mx"]
    offer = [f"S: 250 AUTH {name}", f"C: AUTH {name} {b64(client_first)}"]
    return "\n".join([*opening, *offer, *lines])


def sha1_script(*lines: str) -> str:
    return script("SCRAM-SHA-1", CLIENT_FIRST, *lines)


def sha1(**options: Any) -> ScramSHA1:
    return ScramSHA1("user", "pencil", nonce=NONCE, **options)


# The vectors

VECTORS = [
    pytest.param(
        ScramSHA1,
        (CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, SERVER_FINAL),
        id="RFC 5802 5",
    ),
    pytest.param(ScramSHA256, DIALOGUE_256, id="RFC 7677 3"),
]


@pytest.mark.parametrize(("kind", "dialogue"), VECTORS)
def test_a_mechanism_says_what_its_rfc_prints(
    kind: type[ScramSHA1 | ScramSHA256], dialogue: tuple[str, str, str, str]
) -> None:
    """C07: and it is done with the server's signature, not before."""
    client_first, server_first, client_final, server_final = map(str.encode, dialogue)
    mechanism = kind("user", "pencil", nonce=client_first.decode().partition("r=")[2])
    assert mechanism.start() == client_first
    assert mechanism.next(server_first) == client_final
    assert not mechanism.done
    assert mechanism.next(server_final) == b""
    assert mechanism.done
    with pytest.raises(SMTPArgumentError, match=f"{kind.name} has nothing to say"):
        mechanism.next(server_final)


@pytest.mark.parametrize(("kind", "dialogue"), VECTORS)
async def test_the_dialogue_is_that_of_the_rfc(
    kind: type[ScramSHA1 | ScramSHA256],
    dialogue: tuple[str, str, str, str],
) -> None:
    """C07: the server's signature is a challenge, and its answer is empty."""
    client_first, server_first, client_final, server_final = dialogue
    lines = [challenge(server_first), response(client_final)]
    lines += [challenge(server_final), "C:", "S: 235 2.7.0 welcome", *NOOP]
    async with client(script(kind.name, client_first, *lines)) as smtp:
        nonce = client_first.partition("r=")[2]
        reply = await smtp.authenticate(kind("user", "pencil", nonce=nonce))
        assert reply == (235, "2.7.0 welcome")
        assert await smtp.noop() == (250, "noop")


def test_a_signature_may_be_followed_by_what_nobody_knows() -> None:
    """C10: RFC 5802 7 lets the server-final message have extensions."""
    mechanism = sha1()
    mechanism.start()
    mechanism.next(SERVER_FIRST.encode())
    mechanism.next(f"{SERVER_FINAL},x=y".encode())
    assert mechanism.done


@pytest.mark.parametrize("kind", [ScramSHA1, ScramSHA256, ScramSHA512])
def test_a_password_is_not_shown(kind: type[ScramSHA1]) -> None:
    """C16: nor is it said, so that nothing is to be cut out of replies."""
    mechanism = kind("user", "pencil")
    assert repr(mechanism) == f"<{kind.__name__} of b'user'>"
    assert mechanism.secrets == ()
    assert not mechanism.is_plaintext
    assert b"pencil" not in mechanism.start()


def test_nonces_are_new_every_time() -> None:
    assert len({ScramSHA1("user", "pencil").start() for _ in range(100)}) == 100


# Dishonest servers

REFUSED = [
    pytest.param("", id="C07-nothing"),
    pytest.param(SERVER_FINAL, id="C07-server-final first"),
    pytest.param("e=other-error", id="C07-e="),
    pytest.param("e=", id="C07-e= without a reason"),
    pytest.param("e=of-my-own", id="C07-e= of its own"),
    pytest.param("\udcff\udcfe", id="C07-no text"),
    pytest.param("garbage", id="C07-garbage"),
    pytest.param(SERVER_FIRST.replace("r=f", "r=g"), id="C10-another nonce"),
    pytest.param(f"r={NONCE},s={SALT},i=4096", id="C10-our nonce and no more"),
    pytest.param(f"r={NONCE[:-1]},s={SALT},i=4096", id="C10-half of our nonce"),
    pytest.param(f"r=,s={SALT},i=4096", id="C10-no nonce"),
    pytest.param(f"r={NONCE} x,s={SALT},i=4096", id="C10-a space in the nonce"),
    pytest.param(SERVER_FIRST.replace(SALT, ""), id="C10-empty salt"),
    pytest.param(SERVER_FIRST.replace(SALT, "QQ=="), id="C10-short salt"),
    pytest.param(SERVER_FIRST.replace(SALT, "!!!!"), id="C10-no base64 in the salt"),
    pytest.param("m=x," + SERVER_FIRST, id="C10-m="),
    pytest.param(SERVER_FIRST + ",m=x", id="C10-m= at the end"),
    pytest.param(",".join(reversed(SERVER_FIRST.split(","))), id="C10-reordered"),
    pytest.param(SERVER_FIRST + ",i=4096", id="C10-i= twice"),
    pytest.param(f"r={NONCE}x," + SERVER_FIRST, id="C10-r= twice"),
    pytest.param(SERVER_FIRST.replace(f"s={SALT},", ""), id="C10-no salt"),
    pytest.param(SERVER_FIRST.rpartition(",")[0], id="C10-no iterations"),
    *(
        pytest.param(SERVER_FIRST.replace("i=4096", f"i={count}"), id=f"{row}-i={name}")
        for row, count, name in [
            ("C09", "0", "0"),
            ("C09", "1", "1"),
            ("C09", "4095", "4095"),
            ("C08", "-1", "-1"),
            ("C08", "1e9", "1e9"),
            ("C08", "٤٠٩٦", "Arabic digits"),
            ("C08", "04096", "04096"),
            ("C08", " 4096", "a space"),
            ("C08", "4_096", "4_096"),
            ("C08", "+4096", "+4096"),
            ("C08", "", "nothing"),
            ("C08", str(MAX_ITERATIONS + 1), "cap+1"),
            ("C08", "2147483647", "2147483647"),
            ("C08", "9" * 5000, "a number of 5000 digits"),
        ]
    ),
]


@pytest.mark.parametrize("server_first", REFUSED)
async def test_a_server_first_that_is_none_is_cancelled(server_first: str) -> None:
    """C07, C08, C09, C10: no proof is given; the session is in step."""
    octets = server_first.encode("utf-8", "surrogateescape")
    lines = [challenge(octets), "C: *", "S: 501 5.7.0 cancelled", *NOOP]
    async with client(sha1_script(*lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="cancelled by") as caught:
            await smtp.authenticate(sha1())
        assert (caught.value.code, caught.value.mechanism) == (501, "SCRAM-SHA-1")
        assert isinstance(caught.value.__cause__, SMTPArgumentError)
        assert await smtp.noop() == (250, "noop")


PROOF = [challenge(SERVER_FIRST), response(CLIENT_FINAL)]
SIGNATURE = SERVER_FINAL[2:]

UNPROVEN = [
    pytest.param(["S: 235 welcome"], id="C07-235 after AUTH"),
    pytest.param([*PROOF, "S: 235 welcome"], id="C07-235 without server-final"),
    pytest.param([*PROOF, challenge(SERVER_FIRST)], id="C07-server-first twice"),
    pytest.param([*PROOF, challenge("v=" + b64(b"x" * 20))], id="C07-wrong v="),
    pytest.param([*PROOF, challenge("v=" + SIGNATURE[:-4])], id="C07-half of v="),
    pytest.param([*PROOF, challenge("v=" + SIGNATURE.lower())], id="C07-v= in lower"),
    pytest.param([*PROOF, challenge("v=")], id="C07-empty v="),
    pytest.param([*PROOF, challenge("v=!!!!")], id="C07-no base64 in v="),
    pytest.param([*PROOF, challenge("")], id="C07-empty server-final"),
    pytest.param([*PROOF, challenge(b"v=\xff")], id="C07-no text"),
    pytest.param([*PROOF, challenge(f"{SERVER_FINAL},v=x")], id="C10-v= twice"),
    pytest.param([*PROOF, challenge(f"m=x,{SERVER_FINAL}")], id="C10-m="),
    pytest.param([*PROOF, challenge(f"x=y,{SERVER_FINAL}")], id="C10-reordered"),
]


@pytest.mark.parametrize("lines", UNPROVEN)
async def test_a_server_that_does_not_prove_itself_is_left(lines: list[str]) -> None:
    """C07: whoever it is, it does not know the password; not one octet more."""
    async with client(sha1_script(*lines, "C: <hangup>")) as smtp:
        with pytest.raises(SMTPProtocolError, match="has not proved"):
            await smtp.authenticate(sha1())
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="has not proved"):
            await smtp.noop()


async def test_235_along_with_server_first_is_not_believed() -> None:
    """C07: nobody has asked for it while the proof is being computed."""
    text = sha1_script(challenge(SERVER_FIRST), "S: 235 welcome", "C: <hangup>")
    async with client(text) as smtp:
        with pytest.raises(SMTPConnectionLostError, match="nobody asked for"):
            await smtp.authenticate(sha1())
        assert not smtp.is_connected


async def test_a_farewell_while_the_proof_is_computed_is_kept() -> None:
    text = sha1_script(challenge(SERVER_FIRST), "S: 421 4.3.2 bye", "C: <hangup>")
    async with client(text) as smtp:
        with pytest.raises(SMTPConnectionLostError, match="bye") as caught:
            await smtp.authenticate(sha1())
        assert caught.value.reply == (421, "4.3.2 bye")


@pytest.mark.parametrize("why", ["invalid-proof", "of-my-own"])
async def test_a_refusal_in_place_of_the_signature_is_a_refusal(why: str) -> None:
    """C07: RFC 5802 7 has "e=" for a wrong password; it claims nothing."""
    lines = [*PROOF, challenge(f"e={why}"), "C: *", "S: 501 ok", *NOOP]
    async with client(sha1_script(*lines)) as smtp:
        mechanism = sha1()
        with pytest.raises(SMTPAuthenticationError, match=why):
            await smtp.authenticate(mechanism)
        assert not mechanism.done
        await smtp.noop()


async def test_a_refusal_after_the_signature_is_one() -> None:
    """C14: a server may know the password, and still let nobody in."""
    lines = [*PROOF, challenge(SERVER_FINAL), "C:", "S: 535 5.7.8 no", *NOOP]
    async with client(sha1_script(*lines)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="535"):
            await smtp.authenticate(sha1())
        await smtp.noop()


async def test_a_challenge_after_the_signature_is_cancelled() -> None:
    """C06: the client has nothing to say any more."""
    lines = [*PROOF, challenge(SERVER_FINAL), "C:", challenge("more?"), "C: *"]
    async with client(sha1_script(*lines, "S: 501 ok", *NOOP)) as smtp:
        with pytest.raises(SMTPAuthenticationError, match="nothing to say"):
            await smtp.authenticate(sha1())
        await smtp.noop()


# How much work


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, MIN_ITERATIONS),
        ({}, MAX_ITERATIONS),
        ({"max_iterations": 5000}, 5000),
    ],
    ids=repr,
)
def test_so_many_iterations_are_done(options: dict[str, int], count: int) -> None:
    """C08: 4096 and the cap are within the bounds."""
    assert (MIN_ITERATIONS, MAX_ITERATIONS) == (4096, 1_000_000)
    mechanism = sha1(**options)
    mechanism.start()
    answer = mechanism.next(SERVER_FIRST.replace("4096", str(count)).encode())
    assert answer.startswith(b"c=biws,r=")


def test_a_caller_may_allow_less_work() -> None:
    """C08: the cap can be set."""
    mechanism = sha1(max_iterations=5000)
    mechanism.start()
    with pytest.raises(SMTPArgumentError, match="5001 iterations; between 4096 and 50"):
        mechanism.next(SERVER_FIRST.replace("4096", "5001").encode())


# An honest server


class Cancelled(Exception):
    """The client has said "*"."""


class Dialogue:
    """Speak SMTP up to AUTH, and after it; an act plays what is between."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def line(self) -> str:
        return (await self._reader.readline()).decode().rstrip("\r\n")

    def say(self, text: str) -> None:
        self._writer.write(f"{text}\r\n".encode())

    async def exchange(self, text: str) -> str:
        self.say(f"334 {b64(text)}")
        if (answer := await self.line()) == "*":
            raise Cancelled
        return b64decode(answer, validate=True).decode()

    async def perform(self, offered: str, act: Act) -> None:
        self.say("220 hi")
        while line := await self.line():
            match line.split(" "):
                case ["EHLO", _]:
                    self.say(f"250-mx\r\n250 AUTH {offered}")
                case ["AUTH", name, initial]:
                    try:
                        self.say(await act(self, name, b64decode(initial).decode()))
                    except Cancelled:
                        self.say("501 cancelled")
                case ["NOOP"]:
                    self.say("250 noop")
                case _:
                    break


Act = Callable[[Dialogue, str, str], Awaitable[str]]


class Honest:
    """Know one user, and prove it; note what the clients have said first."""

    def __init__(
        self,
        username: str = "user",
        password: str = "pencil",
        *,
        certificate: str | None = None,
        says_why: bool = False,
    ) -> None:
        self.client_firsts: list[tuple[str, str]] = []
        self.failures: list[str] = []
        self._username = username
        self._password = password
        self._says_why = says_why
        self._binding = certificate and ("tls-server-end-point", certificate)

    async def __call__(self, dialogue: Dialogue, name: str, client_first: str) -> str:
        self.client_firsts.append((name, client_first))
        mechanism = scramp.ScramMechanism(name)
        secret = mechanism.make_auth_info(self._password)
        server = mechanism.make_server(
            lambda username: secret if username == self._username else None,
            channel_binding=self._binding,
        )
        try:
            server.set_client_first(client_first)
            server.set_client_final(await dialogue.exchange(server.get_server_first()))
        except scramp.ScramException as exc:
            self.failures.append(str(exc))
            if self._says_why:
                await dialogue.exchange(server.get_server_final())
            return "535 5.7.8 no"
        assert await dialogue.exchange(server.get_server_final()) == ""
        return "235 2.7.0 welcome"


@asynccontextmanager
async def scram_server(
    offered: str, act: Act, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, int, str]]:
    """Give the arguments of a client for a server that plays an act."""
    performances = []

    async def connected(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        performances.append(asyncio.current_task())
        try:
            await Dialogue(reader, writer).perform(offered, act)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield *listener.sockets[0].getsockname()[:2], "client.example"
        async with asyncio.timeout(5):
            await asyncio.gather(*performances)
    finally:
        listener.close()


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_user_logs_in_with_an_honest_server(name: str) -> None:
    """C07: each has proved to the other that it knows the password."""
    honest = Honest()
    async with scram_server(f"PLAIN {name} LOGIN", honest) as address:
        async with SMTP(*address) as smtp:
            assert await smtp.auth("user", "pencil") == (235, "2.7.0 welcome")
            assert await smtp.noop() == (250, "noop")
    ((tried, client_first),) = honest.client_firsts
    assert tried == name
    assert client_first.startswith("n,,n=user,r=")
    assert honest.failures == []


async def test_a_user_logs_in_when_connecting() -> None:
    """C21: and the session goes on with what EHLO has told before."""
    async with scram_server("SCRAM-SHA-256", Honest()) as address:
        async with SMTP(*address, username="user", password="pencil") as smtp:
            assert smtp.auth_mechanisms == ["scram-sha-256"]
            await smtp.noop()


@pytest.mark.parametrize("says_why", [False, True], ids=["535", "C07-e= and 535"])
async def test_a_wrong_password_is_refused(says_why: bool) -> None:
    honest = Honest(says_why=says_why)
    async with scram_server("SCRAM-SHA-256", honest) as address:
        async with SMTP(*address) as smtp:
            with pytest.raises(SMTPLoginError) as caught:
                await smtp.auth("user", "hunter2")
            (error,) = caught.value.exceptions
            assert isinstance(error, SMTPAuthenticationError)
            assert error.mechanism == "SCRAM-SHA-256"
            await smtp.noop()
    assert honest.failures == ["The client keys don't match.: invalid-proof"]


@pytest.mark.parametrize(
    ("given", "known"),
    [
        (("user", "pä"), ("user", "pa\u0308")),
        (("user", "\ufb00"), ("user", "ff")),
        (("user", "I\u00adX"), ("user", "IX")),
        (("user", "a\u00a0b"), ("user", "a b")),
        (("a=b,c", "x"), ("a=b,c", "x")),
        (("\u2168", "\u05d0\u05d1"), ("IX", "\u05d0\u05d1")),
        (("jürg".encode(), "pä".encode()), ("jürg", "pä")),
    ],
    ids=ascii,
)
async def test_credentials_are_prepared(
    given: tuple[Any, Any], known: tuple[str, str]
) -> None:
    """C19: SASLprep (RFC 4013) makes one text of what looks the same."""
    async with scram_server("SCRAM-SHA-256", Honest(*known)) as address:
        async with SMTP(*address) as smtp:
            assert (await smtp.auth(*given)).code == 235


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("user", "hunter\u05d0a"),
        ("user", "hunter\x07"),
        ("user", "hunter\U0001f511"),
        ("user", b"hunter\xff"),
        (b"\xff", "hunter2"),
        ("\u00ad", "hunter2"),
    ],
    ids=ascii,
)
def test_what_cannot_be_prepared_is_refused(
    username: str | bytes, password: str | bytes
) -> None:
    """C16, C19: mixed directions, controls, no text; it is not quoted."""
    with pytest.raises(SMTPArgumentError, match="SCRAM-SHA-1 cannot start") as caught:
        ScramSHA1(username, password)
    assert "hunter" not in f"{caught.value!r} {caught.value.args}"


# Bound to TLS


Identity = tuple[ssl.SSLContext, str]


@pytest.fixture(scope="module")
def identity(authority: trustme.CA) -> Identity:
    """Give the context of a server, and its certificate."""
    certificate = authority.issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context, certificate.cert_chain_pems[0].bytes().decode()


PLUS, PLAIN_256 = "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"
BOTH = f"{PLAIN_256} {PLUS}"


@pytest.mark.parametrize(
    ("encrypted", "offered", "mechanisms", "name", "flag"),
    [
        (False, PLAIN_256, None, PLAIN_256, "n"),
        (False, BOTH, None, PLAIN_256, "n"),
        (True, PLAIN_256, None, PLAIN_256, "y"),
        (True, BOTH, None, PLUS, "p=tls-server-end-point"),
        (True, PLUS, None, PLUS, "p=tls-server-end-point"),
        (True, BOTH, [PLAIN_256], PLAIN_256, "n"),
        (True, f"{PLAIN_256} SCRAM-SHA-1-PLUS", [PLAIN_256], PLAIN_256, "n"),
        (True, f"{PLAIN_256} SCRAM-SHA3-512-PLUS", None, PLAIN_256, "n"),
    ],
)
async def test_the_client_tells_whether_it_could_be_bound(
    identity: Identity,
    client_tls: ssl.SSLContext,
    encrypted: bool,
    offered: str,
    mechanisms: list[str] | None,
    name: str,
    flag: str,
) -> None:
    """C11: "y" only where the server seems to know no binding (RFC 5802 6)."""
    context, certificate = identity
    honest = Honest(certificate=certificate if "-PLUS" in offered else None)
    tls = context if encrypted else None
    async with scram_server(offered, honest, tls) as address:
        smtp = SMTP_SSL(*address, context=client_tls) if encrypted else SMTP(*address)
        async with smtp:
            await smtp.auth("user", "pencil", mechanisms=mechanisms)
    ((tried, client_first),) = honest.client_firsts
    assert tried == name
    assert client_first.startswith(f"{flag},,n=user,r=")


@pytest.mark.parametrize(
    "name", ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512-PLUS"]
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_user_logs_in_bound_to_tls(
    identity: Identity, authority: trustme.CA, name: str, version: ssl.TLSVersion
) -> None:
    """C11: both sides compute the binding from the server's certificate."""
    context, certificate = identity
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    trusting.maximum_version = version
    honest = Honest(certificate=certificate)
    async with scram_server(f"{name} PLAIN", honest, context) as address:
        async with SMTP_SSL(*address, context=trusting) as smtp:
            assert (await smtp.auth("user", "pencil")).code == 235
            await smtp.noop()
    ((tried, client_first),) = honest.client_firsts
    assert tried == name
    assert client_first.startswith("p=tls-server-end-point,,")


async def test_whoever_stands_between_cannot_pass_a_bound_proof_on(
    identity: Identity, authority: trustme.CA, client_tls: ssl.SSLContext
) -> None:
    """C11: the certificate that the client sees is not the server's."""
    context, _ = identity
    other = authority.issue_cert("127.0.0.1").cert_chain_pems[0].bytes().decode()
    honest = Honest(certificate=other)
    async with scram_server(PLUS, honest, context) as address:
        async with SMTP_SSL(*address, context=client_tls) as smtp:
            with pytest.raises(SMTPLoginError):
                await smtp.auth("user", "pencil")
    (failure,) = honest.failures
    assert "channel bindings don't match" in failure


async def test_a_stripped_offer_is_noticed_by_the_server(
    identity: Identity, client_tls: ssl.SSLContext
) -> None:
    """C11: the client's "y" gives away who has taken "-PLUS" off the list."""
    context, certificate = identity
    honest = Honest(certificate=certificate)
    async with scram_server(PLAIN_256, honest, context) as address:
        async with SMTP_SSL(*address, context=client_tls) as smtp:
            with pytest.raises(SMTPLoginError):
                await smtp.auth("user", "pencil")
    (failure,) = honest.failures
    assert "server-does-support-channel-binding" in failure


@pytest.mark.parametrize("kind", [ScramSHA1Plus, ScramSHA256Plus, ScramSHA512Plus])
def test_nothing_is_bound_without_tls(kind: type[ScramSHA1Plus]) -> None:
    """C11: a -PLUS mechanism takes no connection without TLS."""
    with pytest.raises(SMTPArgumentError, match=f"{kind.name} cannot start"):
        kind("user", "pencil")
    assert not can_bind(None)


@pytest.fixture
def ed448(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Give a server whose certificate no binding is defined for, and its client."""
    key = Ed448PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, None)
    )
    path = tmp_path / "ed448.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(path)
    trusting.load_verify_locations(path)
    return server, trusting


async def test_a_certificate_without_a_hash_binds_nothing(
    ed448: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """C11: RFC 5929 4.1 has no binding for it; the client says "n" and logs in."""
    server, trusting = ed448
    honest = Honest()
    async with scram_server(BOTH, honest, server) as address:
        options = {"context": trusting, "server_hostname": "localhost"}
        async with SMTP_SSL(*address, **options) as smtp:
            assert (await smtp.auth("user", "pencil")).code == 235
    ((tried, client_first),) = honest.client_firsts
    assert tried == PLAIN_256
    assert client_first.startswith("n,,")


# Off the loop

#: What the loop may be held up, in seconds.
LIMIT = 0.05

#: A machine's pause is nobody's fault; a blocking call is in every run.
RUNS = 3


def server_first_for(client_first: str, iterations: int) -> str:
    nonce = client_first.rpartition("r=")[2]
    return f"r={nonce}x,s={SALT},i={iterations}"


async def longest_pause(task: asyncio.Task[Any]) -> float:
    """Give the longest time between two turns of the loop while a task runs."""
    longest = 0.0
    while not task.done():
        before = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - before)
    return longest


async def test_the_loop_goes_on_while_a_proof_is_computed() -> None:
    """C08: a million iterations of SHA-512 take most of a second."""

    async def act(dialogue: Dialogue, name: str, client_first: str) -> str:
        await dialogue.exchange(server_first_for(client_first, MAX_ITERATIONS))
        return "535 5.7.8 no"

    pauses = []
    async with scram_server("SCRAM-SHA-512", act) as address:
        async with SMTP(*address) as smtp:
            while len(pauses) < RUNS and min(pauses, default=LIMIT) >= LIMIT:
                began = time.monotonic()
                task = asyncio.create_task(smtp.auth("user", "pencil"))
                pauses.append(await longest_pause(task))
                assert time.monotonic() - began > LIMIT
                assert isinstance(task.exception(), SMTPLoginError)
    assert min(pauses) < LIMIT


async def test_a_proof_that_is_cancelled_ends_the_connection() -> None:
    """C08, C22: nobody waits for the thread, and its answer is never sent."""
    answers: list[str] = []
    is_asked = asyncio.Event()

    async def act(dialogue: Dialogue, name: str, client_first: str) -> str:
        dialogue.say(f"334 {b64(server_first_for(client_first, 300_000))}")
        with suppress(ConnectionError):
            answers.append(await dialogue.line())
        return "535 5.7.8 no"

    def on_event(event: Event) -> None:
        if isinstance(event, ReplyReceived) and event.reply.code == 334:
            is_asked.set()

    async with scram_server("SCRAM-SHA-512", act) as address:
        async with SMTP(*address, on_event=on_event) as smtp:
            task = asyncio.create_task(smtp.auth("user", "pencil"))
            await is_asked.wait()
            for _ in range(8):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not smtp.is_connected
            with pytest.raises(SMTPConnectionError, match="AUTH was broken off"):
                await smtp.noop()
    assert [answer for answer in answers if answer] == []


async def test_every_dishonest_end_is_an_smtp_error_at_connect() -> None:
    """C07: and nothing stays open."""

    async def act(dialogue: Dialogue, name: str, client_first: str) -> str:
        return "235 welcome"

    async with scram_server("SCRAM-SHA-256", act) as address:
        smtp = SMTP(*address, username="user", password="pencil")
        with pytest.raises(SMTPException, match="has not proved"):
            await smtp.connect()
        assert not smtp.is_connected

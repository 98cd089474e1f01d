"""TLS with servers of every kind: honest, misconfigured, hostile and silent."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from conversation import reset
from tls_stage import (
    Act,
    Hand,
    ImplicitTLS,
    NewLoop,
    StartTLS,
    Way,
    both_ways,
    honest,
    on_each_loop,
    run,
    server_context,
    stage,
)

from smtplibaio import (
    SMTP,
    SMTP_SSL,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPException,
    SMTPTimeoutError,
    SMTPTLSError,
    Timeouts,
)
from smtplibaio.wire.protocol import SMTPProtocol
from smtplibaio.wire.tls import (
    default_context,
    is_verified,
    tls_error,
    unverified_context,
)

#: A fatal alert that says handshake_failure (RFC 8446 6.2).
HANDSHAKE_FAILURE = bytes.fromhex("15 03 03 00 02 02 28")


# Contexts


def test_the_default_context_verifies_and_speaks_no_old_version() -> None:
    """B11, B13: certificates and names are verified; TLS 1.2 or later (RFC 8996)."""
    context = default_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert not context.hostname_checks_common_name  # RFC 9525 2
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_the_context_without_authentication_speaks_no_old_version_either() -> None:
    """B13: encryption without authentication is still encryption."""
    context = unverified_context()
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_contexts_are_made_once_however_many_clients_there_are() -> None:
    """E25: a context holds all of the system's authorities."""
    clients = [SMTP_SSL("mx.example") for _ in range(20)]
    contexts = {client._settings.endpoint.context for client in clients}
    assert contexts == {default_context()}
    assert unverified_context() is unverified_context() is not default_context()


@both_ways
async def test_a_context_of_the_callers_is_left_as_it_is(
    way: Way, authority: trustme.CA, server_tls: ssl.SSLContext
) -> None:
    """B13: whoever passes a context knows why."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["smtp"])
    before = _state(context)
    async with stage(honest(way, server_tls)) as port:
        async with way.make(port, context) as client:
            tls = client.transport.get_extra_info("ssl_object")  # type: ignore[union-attr]
            assert tls.version() == "TLSv1.2"
    assert _state(context) == before


def _state(context: ssl.SSLContext) -> list[Any]:
    names = ("verify_mode", "verify_flags", "check_hostname", "options")
    versions = (context.minimum_version, context.maximum_version)
    return [*(getattr(context, name) for name in names), *versions]


@pytest.mark.parametrize(
    ("verify_mode", "check_hostname", "expected"),
    [
        (ssl.CERT_REQUIRED, True, True),
        (ssl.CERT_REQUIRED, False, False),
        (ssl.CERT_OPTIONAL, True, False),
        (ssl.CERT_NONE, False, False),
    ],
)
@both_ways
async def test_verified_means_the_certificate_and_its_name(
    way: Way,
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
    verify_mode: ssl.VerifyMode,
    *,
    check_hostname: bool,
    expected: bool,
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = check_hostname
    context.verify_mode = verify_mode
    async with stage(honest(way, server_tls)) as port:
        async with way.make(port, context) as client:
            assert client.transport is not None
            assert is_verified(client.transport) is expected
            assert client.is_verified is expected
            assert client.is_encrypted
    assert not client.is_verified
    assert not client.is_encrypted


# What went wrong, and what to do


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        pytest.param("[SSL: WRONG_VERSION_NUMBER] wrong", "port 465", id="B07"),
        pytest.param("[SSL] record layer failure", "port 465", id="B07-OpenSSL 3.2"),
        pytest.param("[SSL: HTTP_REQUEST] http request", "no TLS here", id="B07-HTTP"),
        pytest.param(
            "[SSL: TLSV1_UNRECOGNIZED_NAME] tlsv1 unrecognized name",
            "pass server_hostname=",
            id="B11-SNI",
        ),
        pytest.param(
            "[SSL: DH_KEY_TOO_SMALL] dh key too small",
            'set_ciphers("DEFAULT@SECLEVEL=1")',
            id="H14-DH",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: EE "
            "certificate key too weak",
            'set_ciphers("DEFAULT@SECLEVEL=1")',
            id="H14-key",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: CA signature "
            "digest algorithm too weak",
            'set_ciphers("DEFAULT@SECLEVEL=1")',
            id="H14-digest",
        ),
        pytest.param(
            "[SSL: UNSAFE_LEGACY_RENEGOTIATION_DISABLED] unsafe legacy renegotiation "
            "disabled",
            "ssl.OP_LEGACY_SERVER_CONNECT",
            id="H14-renegotiation",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Basic "
            "Constraints of CA cert not marked critical",
            "ssl.VERIFY_X509_STRICT",
            id="H14-strict-constraints",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: CA cert does "
            "not include key usage extension",
            "ssl.VERIFY_X509_STRICT",
            id="H14-strict-key-usage",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Missing "
            "Subject Key Identifier",
            "ssl.VERIFY_X509_STRICT",
            id="H14-strict-subject",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate "
            "is not yet valid",
            "the clock",
            id="H14-early",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate "
            "revoked",
            "revoked",
            id="H14-revoked",
        ),
        pytest.param(
            "[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca",
            "that the client has shown",
            id="H14-client-certificate",
        ),
        pytest.param(
            "certificate verify failed: Hostname mismatch, certificate is not valid "
            "for 'mx.example'.",
            "pass server_hostname=",
            id="B11-name",
        ),
        pytest.param(
            "certificate verify failed: IP address mismatch, certificate is not valid "
            "for '192.0.2.1'.",
            "connect by name",
            id="B11-address",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Missing "
            "Authority Key Identifier (_ssl.c:1020)",
            "ssl.VERIFY_X509_STRICT",
            id="B14",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate "
            "has expired",
            "renewed",
            id="B06-expired",
        ),
        pytest.param(
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get "
            "local issuer certificate",
            "no authority",
            id="B06-authority",
        ),
        pytest.param(
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate "
            "required",
            "wants a client certificate",
            id="B18",
        ),
        pytest.param(
            "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 alert handshake failure",
            "may want a client certificate",
            id="B06-alert",
        ),
        pytest.param(
            "[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version",
            "1.2 or later",
            id="B13-alert",
        ),
        pytest.param(
            "[SSL: UNSUPPORTED_PROTOCOL] unsupported protocol",
            "1.2 or later",
            id="B13-server",
        ),
    ],
)
def test_an_error_says_what_to_do(said: str, advice: str) -> None:
    cause = ssl.SSLError(1, said)
    error = tls_error("no TLS with mx.example:465", cause)
    assert isinstance(error, SMTPTLSError)
    assert str(error).startswith("no TLS with mx.example:465: ")
    assert said in str(error)
    assert advice in str(error)
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    "said",
    [
        "internal error",
        "EOF occurred in violation of protocol",
        "tlsv1 alert no application protocol",
    ],
)
def test_no_advice_is_better_than_a_wrong_one(said: str) -> None:
    assert str(tls_error("no TLS", ssl.SSLError(1, said))).endswith(said)


def test_after_starttls_the_port_is_not_what_is_wrong() -> None:
    """H14: no advice that the server's 220 contradicts."""
    cause = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    text = str(tls_error("no TLS with mx.example port 587", cause, is_starttls=True))
    assert "though it said 220 to STARTTLS" in text
    assert "port 465" not in text


# The name that is verified


@pytest.mark.parametrize(
    ("names", "sni"),
    [
        ({"hostname": "localhost"}, "localhost"),
        ({"hostname": "127.0.0.1"}, None),
        ({"hostname": "localhost."}, "localhost"),
        ({"hostname": "mx.example"}, "mx.example"),
        ({"hostname": "bücher.example"}, "xn--bcher-kva.example"),
        ({"hostname": "straße.example"}, "xn--strae-oqa.example"),
        ({"server_hostname": "mx.example"}, "mx.example"),
        ({"server_hostname": "mx.example."}, "mx.example"),
        ({"server_hostname": "straße.example"}, "xn--strae-oqa.example"),
        ({"hostname": "localhost", "server_hostname": "127.0.0.1"}, None),
        ({"hostname": "localhost", "server_hostname": "::1"}, None),
    ],
    ids=str,
)
@both_ways
async def test_the_configured_name_is_indicated_and_verified(
    way: Way,
    authority: trustme.CA,
    client_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    names: dict[str, str],
    sni: str | None,
) -> None:
    """B11, B12: the name as configured, in A-labels; none for an IP literal."""
    context = server_context(authority, sni or "127.0.0.1", "127.0.0.1", "::1")
    indicated: list[str | None] = []
    context.sni_callback = lambda _, name, __: indicated.append(name)
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    def local(_: str, port: int, **hints: Any) -> Any:
        return resolve("127.0.0.1", port, **hints)

    monkeypatch.setattr(loop, "getaddrinfo", local)
    async with stage(honest(way, context)) as port:
        async with way.make(port, client_tls, **names) as client:
            assert client.is_verified
    assert indicated == [sni]


@pytest.mark.parametrize(
    ("given", "is_good"),
    [
        pytest.param({"names": ("mx.mail.example",)}, True, id="B11-the name"),
        pytest.param({"names": ("*.mail.example",)}, True, id="B11-a wildcard"),
        pytest.param(
            {"names": ("*.mx.mail.example",)}, False, id="B11-a wildcard below the name"
        ),
        pytest.param({"names": ("mx.mail.example.com",)}, False, id="B11-another name"),
        pytest.param({"names": ("127.0.0.1",)}, False, id="B11-the address"),
        pytest.param(
            {"names": ("me@mx.mail.example",), "common_name": "mx.mail.example"},
            False,
            id="B11-only a common name",
        ),
    ],
)
async def test_names_are_verified_as_rfc_9525_says(
    authority: trustme.CA, given: dict[str, Any], *, is_good: bool
) -> None:
    """B11: by the names of the alternative name extension, and nothing else."""
    details = dict(given)
    names = details.pop("names")
    server = server_context(authority, *names, **details)
    context = default_context.__wrapped__()  # one that may be changed
    authority.configure_trust(context)
    async with stage(honest(ImplicitTLS, server)) as port:
        client = SMTP_SSL(
            "127.0.0.1", port, context=context, server_hostname="mx.mail.example"
        )
        if is_good:
            await client.connect()
            await client.close()
        else:
            with pytest.raises(SMTPTLSError, match="the certificate is for"):
                await client.connect()


@both_ways
async def test_an_unknown_authority_is_refused_without_a_context(
    way: Way, server_tls: ssl.SSLContext
) -> None:
    """B11: there is no way to log in with a server that anybody could be."""
    async with stage(honest(way, server_tls)) as port:
        client = way.make(port, None, username="me", password="pw")
        with pytest.raises(SMTPTLSError, match="no authority") as caught:
            await client.connect()
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_chain_without_key_identifiers_is_refused_with_the_flag_named(
    tmp_path: Path,
) -> None:
    """B14: Python 3.13 sets VERIFY_X509_STRICT; here it is set everywhere."""
    root, server = _chain_without_key_identifiers(tmp_path)
    context = ssl.create_default_context(cafile=str(root))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    acts = [honest(ImplicitTLS, server)] * 2
    async with stage(*acts) as port:
        client = SMTP_SSL("127.0.0.1", port, context=context)
        with pytest.raises(SMTPTLSError, match=r"ssl\.VERIFY_X509_STRICT"):
            await client.connect()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        async with client:
            assert client.is_verified


def _chain_without_key_identifiers(home: Path) -> tuple[Path, ssl.SSLContext]:
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives import serialization as as_
    from cryptography.hazmat.primitives.asymmetric import ec

    now = dt.datetime.now(dt.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in ("root", "mx")
    ]
    start = x509.CertificateBuilder(
        issuer_name=names[0],
        not_valid_before=now - dt.timedelta(days=1),
        not_valid_after=now + dt.timedelta(days=1),
    )
    root = start.subject_name(names[0]).public_key(keys[0].public_key())
    root = root.serial_number(1).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    leaf = start.subject_name(names[1]).public_key(keys[1].public_key())
    leaf = leaf.serial_number(2).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]),
        critical=False,
    )
    pem = as_.Encoding.PEM
    root_path, leaf_path = home / "root.pem", home / "leaf.pem"
    root_path.write_bytes(root.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    key = keys[1].private_bytes(pem, as_.PrivateFormat.PKCS8, as_.NoEncryption())
    leaf_path.write_bytes(leaf.sign(keys[0], hashes.SHA256()).public_bytes(pem) + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(leaf_path)
    return root_path, context


# Handshakes that fail


def says(data: bytes) -> Act:
    """Answer the client's hello with some octets, and wait."""

    async def act(hand: Hand) -> None:
        await hand.hello()
        hand.peer.transport.write(data)
        hand.raw += await hand.peer.everything()

    return act


async def drips(hand: Hand) -> None:
    """Send a record without end, an octet now and then."""
    await hand.hello()
    for octet in bytes.fromhex("16 03 03 40 00") + bytes(1000):
        if hand.peer.has_left:
            break
        hand.peer.transport.write(bytes([octet]))
        await asyncio.sleep(0.02)
    hand.raw += hand.peer.received


async def resets(hand: Hand) -> None:
    await hand.hello()
    hand.raw += hand.peer.received
    reset(hand.peer.transport)


async def closes(hand: Hand) -> None:
    await hand.hello()
    hand.raw += hand.peer.received
    hand.peer.transport.close()


async def closes_at_once(hand: Hand) -> None:
    hand.peer.transport.close()
    hand.raw += await hand.peer.everything()


class Shakes:
    """Shake hands with a context that is made of the authority of this run."""

    def __init__(self, make: Callable[[trustme.CA, Path], ssl.SSLContext]) -> None:
        self.make = make


def old_only(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    context = server_context(authority, "127.0.0.1")
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def wants_certificate(version: ssl.TLSVersion) -> Shakes:
    def make(authority: trustme.CA, _: Path) -> ssl.SSLContext:
        context = server_context(authority, "127.0.0.1")
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = version
        return context

    return Shakes(make)


def expired(authority: trustme.CA, _: Path) -> ssl.SSLContext:
    now = dt.datetime.now(dt.UTC)
    days = dt.timedelta(days=1)
    return server_context(
        authority, "127.0.0.1", not_before=now - 2 * days, not_after=now - days
    )


def self_signed(_: trustme.CA, home: Path) -> ssl.SSLContext:
    own = trustme.CA()
    own.cert_pem.write_to_path(home / "own.pem")
    own.private_key_pem.write_to_path(home / "own.key")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(home / "own.pem", home / "own.key")
    return context


VERIFICATION = ssl.SSLCertVerificationError
FAILURES = [
    pytest.param(
        Shakes(lambda authority, _: server_context(authority, "mx.example")),
        (SMTPTLSError, VERIFICATION, "connect by name"),
        id="B06-wrong host",
    ),
    pytest.param(
        Shakes(expired), (SMTPTLSError, VERIFICATION, "renewed"), id="B06-expired"
    ),
    pytest.param(
        Shakes(self_signed),
        (SMTPTLSError, VERIFICATION, "no authority"),
        id="B06-self-signed",
    ),
    pytest.param(
        Shakes(lambda *_: server_context(trustme.CA(), "127.0.0.1")),
        (SMTPTLSError, VERIFICATION, "no authority"),
        id="B06-unknown authority",
    ),
    pytest.param(
        Shakes(old_only),
        (SMTPTLSError, ssl.SSLError, "1.2 or later"),
        id="B13-TLS 1.1 only",
    ),
    pytest.param(
        wants_certificate(ssl.TLSVersion.TLSv1_2),
        (SMTPTLSError, ssl.SSLError, "client certificate"),
        id="B18-client certificate, TLS 1.2",
    ),
    pytest.param(
        wants_certificate(ssl.TLSVersion.TLSv1_3),
        (SMTPTLSError, ssl.SSLError, "client certificate"),
        id="B18-client certificate, TLS 1.3",
    ),
    pytest.param(
        says(HANDSHAKE_FAILURE),
        (SMTPTLSError, ssl.SSLError, "another version"),
        id="B06-alert",
    ),
    pytest.param(
        says(b"454 oops\r\n"),
        (SMTPTLSError, ssl.SSLError, "no TLS here"),
        id="B07-plaintext",
    ),
    pytest.param(
        resets, (SMTPConnectionLostError, OSError, "handshake"), id="B09-reset"
    ),
    pytest.param(closes, (SMTPConnectionLostError, OSError, "handshake"), id="B09-FIN"),
    pytest.param(
        closes_at_once,
        (SMTPConnectionLostError, OSError, "handshake"),
        id="B09-FIN at once",
    ),
    pytest.param(says(b""), (SMTPTimeoutError, None, "handshake"), id="B08-silence"),
    pytest.param(drips, (SMTPTimeoutError, None, "handshake"), id="B08-drip"),
]


@pytest.mark.parametrize(("failure", "expected"), FAILURES)
@on_each_loop
@both_ways
def test_a_handshake_that_fails_leaves_nothing_but_a_good_error(
    new_loop: NewLoop,
    way: Way,
    authority: trustme.CA,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
    tmp_path: Path,
    failure: Act | Shakes,
    expected: tuple[type[Exception], type[Exception] | None, str],
) -> None:
    """B06 to B09: and no command goes out in clear, and the client can connect again.

    E10, E25: no future is left waiting, and nothing is left open.
    """
    hands: list[Hand] = []

    async def bad(hand: Hand) -> None:
        hands.append(hand)
        await way.prelude(hand)
        if isinstance(failure, Shakes):
            with suppress(ssl.SSLError):
                await hand.handshake(failure.make(authority, tmp_path))
            hand.raw += await hand.peer.everything()
        else:
            await failure(hand)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        kind, cause, text = expected
        options = {"username": "me", "password": "pw"}
        limits = Timeouts(connect=0.5 if kind is SMTPTimeoutError else 5)
        good = honest(way, server_tls, EHLO="250-mx\r\n250 AUTH PLAIN", AUTH="235 ok")
        async with stage(bad, good) as port:
            client = way.make(port, client_tls, timeout=limits, **options)
            start = loop.time()
            with pytest.raises(kind) as caught:
                await client.connect()
            assert loop.time() - start < 2
            assert isinstance(caught.value, SMTPException)
            if cause is not None:
                assert isinstance(caught.value.__cause__, cause)
            assert text in str(caught.value)
            assert not str(caught.value).endswith(": ")
            assert not client.is_connected
            assert client.transport is None
            async with client:
                assert client.is_verified
                assert (await client.noop()).code == 250

    run(new_loop, scenario)
    raw = bytes(hands[0].raw)
    assert raw == b"" or raw.startswith(b"\x16\x03")
    assert not any(word in raw for word in (b"EHLO", b"AUTH", b"MAIL", b"QUIT"))


@on_each_loop
@both_ways
def test_a_handshake_that_is_cancelled_leaves_nothing(
    new_loop: NewLoop, way: Way, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """B09, E01: a cancellation passes unchanged."""

    async def scenario() -> None:
        came = asyncio.Event()

        async def silent(hand: Hand) -> None:
            await way.prelude(hand)
            await hand.hello()
            came.set()
            await hand.peer.everything()

        async with stage(silent, honest(way, server_tls)) as port:
            client = way.make(port, client_tls)
            connecting = asyncio.create_task(client.connect())
            await came.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert not client.is_connected
            async with client:
                assert (await client.noop()).code == 250

    run(new_loop, scenario)


@on_each_loop
@pytest.mark.parametrize("leaving", ["close", "exit"])
def test_closing_amid_a_handshake_ends_it_without_a_word_in_clear(
    new_loop: NewLoop, client_tls: ssl.SSLContext, leaving: str
) -> None:
    """B09, E23: QUIT has no place between the client's hello and the server's."""

    async def scenario() -> None:
        came = asyncio.Event()
        hands: list[Hand] = []

        async def silent(hand: Hand) -> None:
            hands.append(hand)
            await StartTLS.prelude(hand)
            await hand.hello()
            came.set()
            hand.raw += await hand.peer.everything()

        async with stage(silent) as port:
            client = SMTP("127.0.0.1", port, "client.example", tls_context=client_tls)
            await client.__aenter__()
            turning = asyncio.create_task(client.starttls())
            await came.wait()
            loop = asyncio.get_running_loop()
            start = loop.time()
            if leaving == "close":
                await client.close()
            else:
                await client.__aexit__(None, None, None)
            assert loop.time() - start < 1.5
            with pytest.raises(SMTPConnectionError, match="closed by the client"):
                await turning
            assert not client.is_connected
        assert b"QUIT" not in hands[0].raw

    run(new_loop, scenario)


@both_ways
async def test_failed_handshakes_are_not_kept_in_memory(
    way: Way, client_tls: ssl.SSLContext
) -> None:
    """E25: a context is shared by everything, and must not collect anything."""

    def alive() -> int:
        gc.collect()
        kinds = (ssl.SSLObject, ssl.MemoryBIO, SMTPProtocol)
        return sum(isinstance(thing, kinds) for thing in gc.get_objects())

    async def bad(hand: Hand) -> None:
        await way.prelude(hand)
        await says(HANDSHAKE_FAILURE)(hand)

    before = alive()
    async with stage(*[bad] * 10) as port:
        client = way.make(port, client_tls)
        for _ in range(10):
            with pytest.raises(SMTPTLSError):
                await client.connect()
    del client
    assert alive() - before <= 2

"""The command `probe` against servers with planted mistakes."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd import smtp as aiosmtpd
from aiosmtpd.handlers import Sink
from bare_server import Streams
from conversation import serve
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from smtplibaio.cli import main, probing
from smtplibaio.cli.certificates import _certificate_of
from smtplibaio.cli.findings import Findings
from smtplibaio.cli.mistakes import mistakes_of
from smtplibaio.cli.probe import page_of
from smtplibaio.cli.probing import probe
from smtplibaio.cli.target import Target
from smtplibaio.testing import SMTPServer

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def trust(monkeypatch: pytest.MonkeyPatch, client_tls: ssl.SSLContext) -> None:
    """Have the system's authorities be that of the tests."""
    monkeypatch.setattr(probing, "default_context", lambda: client_tls)
    for name in ("SMTP_URL", "SMTP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def login(
    server: Any, session: Any, envelope: Any, mechanism: str, given: Any
) -> aiosmtpd.AuthResult:
    return aiosmtpd.AuthResult(success=given.password == b"pass", handled=False)


@asynccontextmanager
async def server(tls: ssl.SSLContext | None, **options: Any) -> AsyncIterator[int]:
    """Run aiosmtpd; give its port."""
    loop = asyncio.get_running_loop()
    options |= {"hostname": "mx.example", "tls_context": tls, "loop": loop}
    async with await loop.create_server(
        lambda: aiosmtpd.SMTP(Sink(), **options), "127.0.0.1", 0
    ) as listener:
        yield listener.sockets[0].getsockname()[1]


async def probed(url: str, password: str = "") -> Findings:
    return await probe(Target.of(url, {"SMTP_PASSWORD": password}))


def codes(found: Findings) -> list[str]:
    return [mistake.code for mistake in mistakes_of(found, NOW)]


async def test_a_server_without_mistakes_has_none(server_tls: ssl.SSLContext) -> None:
    async with server(server_tls, authenticator=login) as port:
        found = await probed(f"smtp://localhost:{port}")
    assert codes(found) == []
    assert found.addresses == ["127.0.0.1"]
    assert found.is_local
    assert str(found.greeting).startswith("(220, ") or found.greeting
    assert found.clear is not None
    assert found.secure is not None
    assert "STARTTLS" in found.clear
    assert found.secure.auth == ("LOGIN", "PLAIN")
    assert found.tls is not None
    assert found.tls[0] == "TLSv1.3"
    assert found.untrusted is None
    assert found.chain is not None
    assert found.chain[0].names == ("localhost", "127.0.0.1")
    assert list(found.times) == [
        "name lookup",
        "connection",
        "greeting",
        "EHLO",
        "STARTTLS and EHLO",
        "QUIT",
    ]
    assert all(0 <= seconds < 5 for seconds in found.times.values())


async def test_auth_in_clear_is_found(server_tls: ssl.SSLContext) -> None:
    options = {"authenticator": login, "auth_require_tls": False}
    async with server(server_tls, **options) as port:
        assert codes(await probed(f"smtp://localhost:{port}")) == ["auth-in-clear"]


@pytest.mark.parametrize(
    ("begin", "end", "wanted"),
    [
        (-60 * DAY, 5 * DAY, ["certificate-expires"]),
        (-60 * DAY, -5 * DAY, ["certificate-expired"]),
        (5 * DAY, 60 * DAY, ["certificate-early"]),
        (-60 * DAY, 60 * DAY, []),
    ],
)
async def test_the_dates_of_a_certificate_are_looked_at(
    authority: trustme.CA, begin: timedelta, end: timedelta, wanted: list[str]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(
        "localhost", not_before=NOW + begin, not_after=NOW + end
    ).configure_cert(context)
    async with server(context, authenticator=login) as port:
        found = await probed(f"smtp://a@localhost:{port}", "pass")
    assert codes(found) == wanted
    assert (found.login == "accepted") is (found.untrusted is None)


@pytest.mark.parametrize("fault", ["name", "authority"])
async def test_a_certificate_that_does_not_verify_is_found(
    authority: trustme.CA, fault: str
) -> None:
    name = "mx.example" if fault == "name" else "localhost"
    issuer = trustme.CA() if fault == "authority" else authority
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issuer.issue_cert(name).configure_cert(context)
    async with server(context, authenticator=login) as port:
        found = await probed(f"smtp://a@localhost:{port}", "pass")
    assert codes(found) == ["certificate-untrusted"]
    assert found.login == "not tried, because the certificate is not verified"
    assert found.secure is not None


@pytest.fixture
def smtps_server() -> Iterator[SMTPServer]:
    with SMTPServer(tls=True) as running:
        yield running


async def test_a_certificate_may_fail_at_the_first_octet_too(
    smtps_server: SMTPServer,
) -> None:
    found = await probed(smtps_server.url)
    assert codes(found) == ["certificate-untrusted"]
    assert found.clear is None
    assert found.secure is not None


async def test_tls_on_a_plaintext_port_is_found(
    smtps_server: SMTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "SILENCE", 0.3)
    monkeypatch.setattr(probing, "default_context", lambda: smtps_server.tls_context)
    found = await probed(smtps_server.url.replace("smtps", "smtp"))
    assert codes(found) == ["tls-at-once"]
    assert found.untrusted is None
    assert "connection and TLS" in found.times


async def test_plaintext_on_a_tls_port_is_found() -> None:
    async with server(None) as port:
        found = await probed(f"smtps://localhost:{port}")
    assert codes(found) == ["no-tls-at-once"]
    assert found.clear is not None


@asynccontextmanager
async def played(play: Any) -> AsyncIterator[int]:
    """Run a server that a coroutine plays; give its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, TimeoutError):
            await play(Streams(r, w))
        w.close()

    def connect(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(connected(r, w)))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as listener:
        yield listener.sockets[0].getsockname()[1]
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)


async def test_broken_pipelining_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that looks at the first command of each packet."""
    monkeypatch.setattr(probing, "REPLY", 0.3)

    async def play(streams: Streams) -> None:
        await streams.greet("PIPELINING")
        while await streams.reader.read(1000):
            streams.say("250 ok")

    async with played(play) as port:
        found = await probed(f"smtp://127.0.0.1:{port}")
    assert codes(found) == ["pipelining-broken"]
    assert found.pipelining is not None
    assert found.pipelining.endswith("are 250, none, none")


async def test_pipelining_is_tried_in_one_write() -> None:
    async with serve(
        """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
        C: RSET
        C: RSET
        C: NOOP
        S: 250 ok
        S: 250 ok
        S: 250 ok
        """
    ) as running:
        url = f"smtp://{running.host}:{running.port}?fqdn=client.example"
        found = await probed(url)
    assert found.pipelining == "works"
    assert codes(found) == []


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("S: 554 go away", ["greeting-refused"]),
        (
            """
            S: 220 hi
            C: EHLO client.example
            S: 502 no
            C: HELO client.example
            S: 250 mx
            """,
            ["no-ehlo"],
        ),
        (
            """
            S: 220 hi
            C: EHLO client.example
            S: 250-mx
            S: 250 STARTTLS
            C: STARTTLS
            S: 454 not now
            """,
            ["starttls-refused"],
        ),
        (
            """
            S: 220 hi
            C: EHLO client.example
            S: 250-mx
            S: 250 STARTTLS
            C: STARTTLS
            S: 220 go
            S: <starttls>
            C: EHLO client.example
            S: 250-mx
            S: 250 STARTTLS
            """,
            ["starttls-in-tls"],
        ),
        (
            """
            S: 220 hi
            C: EHLO client.example
            S: <close>
            """,
            ["failed"],
        ),
        (
            """
            S: 220 hi
            C: EHLO client.example
            S: 250-mx
            S: 250 PIPELINING
            C: RSET
            C: RSET
            C: NOOP
            S: 250 ok
            S: 500 what
            S: 250 ok
            """,
            ["pipelining-broken"],
        ),
    ],
)
async def test_what_a_server_says_wrong_is_found(
    script: str, wanted: list[str], server_tls: ssl.SSLContext
) -> None:
    async with serve(script, tls=server_tls) as running:
        url = f"smtp://localhost:{running.port}?fqdn=client.example"
        assert codes(await probed(url)) == wanted


async def test_a_server_that_says_nothing_has_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "SILENCE", 0.1)
    monkeypatch.setattr(probing, "PATIENCE", 1.0)

    async def silent(streams: Streams) -> None:
        await streams.reader.read()

    async def slow(streams: Streams) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(streams.reader.read(1), 0.4)
        await streams.greet()
        await streams.answer("221 bye")

    async with played(slow) as port:
        assert codes(await probed(f"smtp://127.0.0.1:{port}")) == []
    async with played(silent) as port:
        assert codes(await probed(f"smtp://127.0.0.1:{port}")) == ["failed"]


async def test_a_unix_socket_is_probed_too(tmp_path: Path) -> None:
    async def connected(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        await Streams(r, w).greet()
        await Streams(r, w).answer("221 bye")
        w.close()

    path = tmp_path / "smtp"
    async with await asyncio.start_unix_server(connected, path):
        found = await probed(f"smtp+unix://{path}")
    assert codes(found) == []
    assert found.addresses == [str(path)]
    assert "name lookup" not in found.times


async def test_a_port_where_nobody_listens_is_told() -> None:
    found = await probed("smtp://127.0.0.1:1")
    assert codes(found) == ["failed"]
    assert "refuses connections" in found.failure
    assert found.greeting is None


async def test_a_name_that_leads_nowhere_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nowhere(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    found = await probed("smtp://mx.invalid")
    assert found.failure == "Name or service not known"


# Logging in


@pytest.mark.parametrize(
    ("password", "wanted"), [("pass", []), ("x", ["login-failed"])]
)
async def test_whoever_gives_credentials_has_them_tried(
    server_tls: ssl.SSLContext, password: str, wanted: list[str]
) -> None:
    async with server(server_tls, authenticator=login) as port:
        found = await probed(f"smtp://a@localhost:{port}", password)
    assert codes(found) == wanted
    assert "AUTH" in found.times or wanted


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
async def test_a_token_is_tried_too(mechanism: str) -> None:
    async with serve(
        f"""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 AUTH {mechanism}
        C: AUTH {mechanism} <any>
        S: 235 ok
        """
    ) as running:
        url = f"smtp://a@127.0.0.1:{running.port}?fqdn=client.example&token=t"
        found = await probed(url + "&starttls=never")
    assert found.login == "accepted"


# Certificates


def self_signed(key: Any, name: x509.Name, *more: Any, algorithm: Any) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=False)
    certificate = builder.sign(key, algorithm)
    return certificate.public_bytes(serialization.Encoding.PEM)


NAMED = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example")])
UNNAMED = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")])


@pytest.mark.parametrize(
    ("key", "algorithm", "shown", "is_weak"),
    [
        (rsa.generate_private_key(65537, 1024), hashes.SHA256(), "RSA 1024", True),
        (rsa.generate_private_key(65537, 2048), hashes.SHA256(), "RSA 2048", False),
        (
            ec.generate_private_key(ec.SECP256R1()),
            hashes.SHA256(),
            "EC secp256r1",
            False,
        ),
        (ed25519.Ed25519PrivateKey.generate(), None, "Ed25519", False),
    ],
)
def test_a_certificate_is_read(
    key: Any, algorithm: Any, shown: str, is_weak: bool
) -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("mx.example")])
    certificate = _certificate_of(self_signed(key, NAMED, names, algorithm=algorithm))
    assert (certificate.subject, certificate.issuer) == ("mx.example", "mx.example")
    assert certificate.names == ("mx.example",)
    assert (certificate.key, certificate.is_weak) == (shown, is_weak)
    assert certificate.not_after - certificate.not_before == DAY


def test_a_certificate_without_names_is_read() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate_of(self_signed(key, UNNAMED, algorithm=hashes.SHA256()))
    assert (certificate.subject, certificate.names) == ("O=Example", ())


# What is shown


@pytest.fixture
def starttls_server() -> Iterator[SMTPServer]:
    with SMTPServer(starttls=True, auth="offered") as running:
        yield running


def run(*arguments: str) -> int:
    return main(["probe", *arguments])


def test_the_page_is_for_people(
    starttls_server: SMTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(probing, "default_context", lambda: starttls_server.tls_context)
    url = f"smtp://localhost:{starttls_server.port}"
    assert run(url) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"server        {url}\naddresses     127.0.0.1\n")
    assert "greeting      220 " in shown
    assert "  verified    yes\n" in shown
    assert "  names       localhost, 127.0.0.1\n" in shown
    assert "limits        messages up to " in shown
    assert shown.endswith("\n\nNo mistakes were found.\n")
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 79


def test_the_mistakes_stand_below(
    starttls_server: SMTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(starttls_server.url) == 1
    shown = capsys.readouterr().out
    assert "logged in     not tried" in shown
    assert "  verified    no: " in shown
    assert "\n\n! the certificate is not trusted: " in shown
    assert starttls_server.password not in shown


def test_json_has_everything(
    starttls_server: SMTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(starttls_server.url, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["url"] == f"smtp://127.0.0.1:{starttls_server.port}"
    assert found["greeting"][0] == 220
    assert found["certificate"]["is_verified"] is False
    assert found["certificate"]["chain"][0]["names"] == ["localhost", "127.0.0.1"]
    assert found["extensions"]["clear"]["STARTTLS"] == []
    assert [m["code"] for m in found["mistakes"]] == ["certificate-untrusted"]


def test_json_of_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("smtp://127.0.0.1:1", "--json") == 75
    found = json.loads(capsys.readouterr().out)
    assert found["tls"] is found["certificate"] is found["greeting"] is None


def test_without_the_extra_the_rest_is_shown(
    starttls_server: SMTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delitem(sys.modules, "smtplibaio.cli.certificates", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert run(f"smtp://127.0.0.1:{starttls_server.port}") == 1
    assert "pip install 'smtplibaio[cli]'" in capsys.readouterr().out
    run(f"smtp://127.0.0.1:{starttls_server.port}", "--json")
    assert json.loads(capsys.readouterr().out)["certificate"]["chain"] is None


def test_a_wrong_url_is_a_wrong_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("http://x")
    assert exit_.value.code == 2


def test_ctrl_c_ends_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(_: Target) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("smtplibaio.cli.probe.probe", interrupted)
    assert run("smtp://127.0.0.1:1") == 130


def test_a_unix_socket_and_an_ipv6_address_have_urls() -> None:
    assert str(Target.of("lmtp+unix:///run/lmtp", {})) == "lmtp+unix:///run/lmtp"
    assert str(Target.of("smtps://[::1]", {})) == "smtps://[::1]:465"


def test_a_server_without_a_certificate_has_no_chain_to_show() -> None:
    tls = ("TLSv1.2", "ADH-AES256-GCM-SHA384")
    found = Findings("smtp://mx.example:25", "mx.example", tls=tls)
    page = [*page_of(found, [], NOW, is_coloured=False)]
    assert "  verified    yes" in page
    assert not any("chain" in line for line in page)


def test_a_terminal_wants_colours_unless_it_says_otherwise(
    starttls_server: SMTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for term, no_color, is_coloured in (
        ("xterm", "", True),
        ("xterm", "1", False),
        ("dumb", "", False),
    ):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("NO_COLOR", no_color)
        run(starttls_server.url)
        assert ("\x1b[31m!" in capsys.readouterr().out) is is_coloured


def test_the_page_has_colours_where_they_are_wanted() -> None:
    found = Findings("smtp://mx.example:25", "mx.example", failure="no\x1b[2J")
    page = [*page_of(found, mistakes_of(found, NOW), NOW, is_coloured=True)]
    assert page[-1] == "\x1b[31m!\x1b[m no\\x1b[2J"
    page = [*page_of(found, [], NOW, is_coloured=True)]
    assert page[-1] == "\x1b[32mNo mistakes were found.\x1b[m"

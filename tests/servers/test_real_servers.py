"""Postfix with Cyrus SASL and with Dovecot: what real servers make of the client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import real_servers
import trustme
from real_servers import PASSWORD, USERNAME, RealServer

from smtplibaio import (
    SMTP,
    Mail,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPLoginError,
    SMTPTLSError,
)

pytestmark = pytest.mark.skipif(
    real_servers.missing() != "", reason=real_servers.missing()
)


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """Give a directory that the servers' own users may enter.

    pytest's are for nobody else, and the next run of it sees to that.
    """
    with TemporaryDirectory(prefix="smtplibaio-") as name:
        yield Path(name)


@pytest.fixture(scope="session")
def with_cyrus(home: Path, authority: trustme.CA) -> Iterator[RealServer]:
    """Give a Postfix that asks Cyrus SASL."""
    with real_servers.postfix(home / "cyrus", authority) as server:
        yield server


@pytest.fixture(scope="session")
def with_dovecot(home: Path, authority: trustme.CA) -> Iterator[RealServer]:
    """Give a Postfix that asks Dovecot."""
    with (
        real_servers.dovecot(home / "dovecot") as listener,
        real_servers.postfix(
            home / "postfix", authority, dovecot_socket=listener
        ) as server,
    ):
        yield server


MECHANISMS = {
    "with_cyrus": [
        "SCRAM-SHA-512",
        "SCRAM-SHA-256",
        "SCRAM-SHA-1",
        "CRAM-MD5",
        "PLAIN",
        "LOGIN",
    ],
    "with_dovecot": ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN"],
}

each_mechanism = pytest.mark.parametrize(
    ("server", "mechanism"),
    [
        pytest.param(server, mechanism, id=f"{server}-{mechanism}")
        for server, mechanisms in MECHANISMS.items()
        for mechanism in mechanisms
    ],
    indirect=["server"],
)
each_server = pytest.mark.parametrize("server", MECHANISMS, indirect=True)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> RealServer:
    """Give the server that the test names."""
    chosen: RealServer = request.getfixturevalue(request.param)
    return chosen


@each_mechanism
async def test_each_mechanism_logs_in(
    server: RealServer, client_tls: ssl.SSLContext, mechanism: str
) -> None:
    """B10, C01: after TLS, by the one mechanism that is allowed."""
    async with SMTP(
        "localhost",
        server.port,
        username=USERNAME,
        password=PASSWORD,
        mechanisms=[mechanism],
        starttls="required",
        tls_context=client_tls,
    ) as client:
        assert client.is_verified
        assert mechanism.lower() in client.auth_mechanisms
        assert (await client.noop()).code == 250
        assert (await client.quit()).code == 221


@each_mechanism
async def test_a_wrong_password_is_refused_and_the_session_goes_on(
    server: RealServer, client_tls: ssl.SSLContext, mechanism: str
) -> None:
    """C14: the right one works on the same connection."""
    async with SMTP(
        "localhost", server.port, starttls="required", tls_context=client_tls
    ) as client:
        with pytest.raises(SMTPLoginError) as caught:
            await client.auth(USERNAME, "wrong", mechanisms=[mechanism])
        [error] = caught.value.exceptions
        assert isinstance(error, SMTPAuthenticationError)
        assert error.mechanism == mechanism
        assert error.code == 535
        reply = await client.auth(USERNAME, PASSWORD, mechanisms=[mechanism])
        assert reply.code == 235


@pytest.mark.parametrize(
    ("server", "expected"),
    [(server, mechanisms[0]) for server, mechanisms in MECHANISMS.items()],
    indirect=["server"],
)
async def test_the_strongest_mechanism_is_chosen(
    server: RealServer, client_tls: ssl.SSLContext, expected: str
) -> None:
    """C01: of what the server announces, whatever its order; and nothing is shown."""
    shown: list[str] = []
    async with SMTP(
        "localhost",
        server.port,
        username=USERNAME,
        password=PASSWORD,
        starttls="required",
        tls_context=client_tls,
        on_event=lambda event: shown.append(str(event)),
    ):
        pass
    tried = [line.split()[2] for line in shown if line.startswith("C: AUTH")]
    assert tried == [expected]
    assert PASSWORD not in "\n".join(shown)


@each_server
async def test_without_the_authority_nobody_logs_in(server: RealServer) -> None:
    """B11: with the system's authorities this server is anybody."""
    client = SMTP(
        "localhost",
        server.port,
        username=USERNAME,
        password=PASSWORD,
        starttls="opportunistic",
    )
    with pytest.raises(SMTPTLSError, match="no authority"):
        await client.connect()
    assert not client.is_connected


@each_server
async def test_opportunistic_without_credentials_is_encrypted_all_the_same(
    server: RealServer,
) -> None:
    """B06: RFC 7435."""
    async with SMTP("localhost", server.port, starttls="opportunistic") as client:
        assert client.is_encrypted
        assert not client.is_verified
        assert (await client.noop()).code == 250


@each_server
async def test_starttls_is_announced_once(
    server: RealServer, client_tls: ssl.SSLContext
) -> None:
    """B10: Postfix announces it no more inside TLS."""
    async with SMTP("localhost", server.port, tls_context=client_tls) as client:
        await client.ehlo()
        assert "STARTTLS" in client.extensions
        await client.starttls()
        assert "STARTTLS" not in client.extensions
        with pytest.raises(SMTPException, match="encrypted already"):
            await client.starttls()


@each_server
async def test_a_mechanism_that_is_not_offered_is_not_tried(
    server: RealServer, client_tls: ssl.SSLContext
) -> None:
    async with SMTP(
        "localhost", server.port, starttls="required", tls_context=client_tls
    ) as client:
        with pytest.raises(SMTPLoginError) as caught:
            await client.auth(USERNAME, PASSWORD, mechanisms=["SCRAM-SHA-512-PLUS"])
        [error] = caught.value.exceptions
        assert isinstance(error, SMTPCommandNotSupportedError)


#: Everything that could be garbled: dots, 8-bit, long and empty lines.
CONTENT = (
    b"Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nMessage-ID: <1@mx.example>\r\n"
    b"From: alice@mx.example\r\nSubject: =?utf-8?q?a_test?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b".\r\n..\r\n.dot\r\n\r\nFrom here: not a mailbox's\r\n"
    + "gr\u00fc\u00dfe \u2013 \U0001f600\r\n".encode()
    + b"x" * 998
    + b"\r\n\r\n"
    + b"many lines\r\n" * 5000
    + b"tab\tand trailing blank \r\n\r\n"
)


@each_server
async def test_a_mail_is_stored_octet_for_octet_for_the_known_recipient_only(
    server: RealServer, client_tls: ssl.SSLContext
) -> None:
    """A10: through Postfix and back from its maildir."""
    before = len(server.mails("bob@mx.example"))
    async with SMTP(
        "localhost",
        server.port,
        username=USERNAME,
        password=PASSWORD,
        starttls="required",
        tls_context=client_tls,
    ) as client:
        result = await client.sendmail(
            USERNAME, ["bob@mx.example", "nobody@mx.example"], CONTENT
        )
    assert list(result) == ["nobody@mx.example"]
    assert result["nobody@mx.example"].code == 550
    async with asyncio.timeout(20):
        while len(server.mails("bob@mx.example")) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # Postfix tells nobody when it delivers
    stored = server.mails("bob@mx.example")[-1]
    assert stored.endswith(CONTENT.replace(b"\r\n", b"\n"))
    assert server.mails("nobody@mx.example") == []


def numbered(number: int) -> bytes:
    """Give a mail that is like no other, of a size of its own, with dots at stake."""
    lines = [b"%d.%d.%d" % (number, n, n * number) for n in range(number * 20)]
    return (
        b"X-Number: %d\r\nDate: Fri, 21 Nov 1997 09:55:06 -0600\r\n"
        b"Message-ID: <run.%d@mx.example>\r\nFrom: alice@mx.example\r\n\r\n"
        b"%s\r\n.\r\n..%d\r\n"
    ) % (number, number, b"\r\n.".join(lines), number)


@pytest.mark.parametrize(
    ("window", "mailbox"), [(1, "carol@mx.example"), (8, "alice@mx.example")]
)
async def test_a_run_of_mails_is_stored_once_each_octet_for_octet(
    with_cyrus: RealServer, window: int, mailbox: str
) -> None:
    """A10: a hundred, as fast as they go; one recipient of each is refused."""
    assert with_cyrus.mails(mailbox) == []
    mails = [
        Mail(numbered(n), "alice@mx.example", [mailbox, "nobody@mx.example"])
        for n in range(100)
    ]
    said: list[str] = []
    async with SMTP(
        "localhost", with_cyrus.port, on_event=lambda event: said.append(str(event))
    ) as client:
        outcomes = [outcome async for outcome in client.send_many(mails, window=window)]
        assert (await client.noop()).code == 250
    assert [outcome.mail for outcome in outcomes] == mails
    assert {outcome.status for outcome in outcomes} == {"partial"}
    verb = "C: DATA" if window == 1 else "C: BDAT"
    assert sum(line.startswith(verb) for line in said) == 100
    names = {outcome.result.queue_id for outcome in outcomes if outcome.result}
    assert len(names - {None}) == 100
    async with asyncio.timeout(60):
        while len(with_cyrus.mails(mailbox)) < 100:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # Postfix tells nobody when it delivers
    mark = b"X-Number: "
    stored = [mail[mail.index(mark) :] for mail in with_cyrus.mails(mailbox)]
    expected = [numbered(n).replace(b"\r\n", b"\n") for n in range(100)]
    assert sorted(stored) == sorted(expected)

"""Runs of a hundred mails on real servers: each mail is stored once, or refused."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import courier
import dovecot_lmtp
import haraka
import pytest
import real_servers
import trustme
from real_servers import PASSWORD, USERNAME

from smtplibaio import LMTP, SMTP, Mail

_MAILS = 100
_SUBJECT = re.compile(rb"^Subject: mail (\d+)\r?$", re.MULTILINE)


@dataclass
class Server:
    """A server that runs.

    Attributes:
        client: Makes a client for it.
        known: A recipient that it takes.
        unknown: One that it refuses.
        numbers: Lists the numbers of the mails that it has stored, once a recipient.
        says_unknown: Whether the refusal is for good.
    """

    client: Callable[[], SMTP]
    known: str
    unknown: str
    numbers: Callable[[], list[int]]
    says_unknown: bool = True


def numbers_of(contents: list[bytes]) -> list[int]:
    """The numbers in the subjects of some mails."""
    return [int(number) for content in contents for number in _SUBJECT.findall(content)]


def need(lacking: str) -> None:
    if lacking:
        pytest.skip(lacking)


class Servers:
    """Start servers for the tests of this file; each once, when it is asked for."""

    def __init__(self, stack: ExitStack, home: Path, authority: trustme.CA) -> None:
        self._stack = stack
        self._home = home
        self._authority = authority
        self._started: dict[str, Server] = {}

    def get(self, name: str) -> Server:
        if name not in self._started:
            self._started[name] = getattr(self, f"_{name}")()
        return self._started[name]

    def _postfix(self) -> Server:
        need(real_servers.missing())
        server = self._stack.enter_context(
            real_servers.postfix(self._home / "postfix", self._authority)
        )
        return self._of_postfix(server, lambda: SMTP("127.0.0.1", server.port))

    def _of_postfix(
        self, server: real_servers.RealServer, client: Callable[[], SMTP]
    ) -> Server:
        return Server(
            client,
            "bob@mx.example",
            "nobody@mx.example",
            lambda: numbers_of(server.mails("bob@mx.example")),
        )

    def _submission(self) -> Server:
        """Dovecot's submission server in front of a Postfix."""
        need(real_servers.missing())
        relay = self._stack.enter_context(
            real_servers.postfix(self._home / "relay", self._authority)
        )
        certificate = self._authority.issue_cert("localhost", "127.0.0.1")
        # Who logs in has to have a place for mailboxes, used or not.
        more = (
            f"submission_relay_port = {relay.port}\n"
            f"mail_location = maildir:{relay.mailboxes}/front"
        )
        port = self._stack.enter_context(
            real_servers.dovecot_submission(self._home / "front", certificate, more)
        )
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return self._of_postfix(
            relay,
            lambda: SMTP(
                "localhost",
                port,
                username=USERNAME,
                password=PASSWORD,
                starttls="required",
                tls_context=context,
            ),
        )

    def _haraka(self) -> Server:
        need(haraka.missing())
        server = self._stack.enter_context(haraka.haraka(self._home / "haraka"))
        return Server(
            lambda: SMTP("127.0.0.1", server.port),
            "bob@mx.example",
            "nobody@mx.example",
            lambda: numbers_of([content for _, _, content in server.stored()]),
        )

    def _courier(self) -> Server:
        need(courier.missing())
        server = self._stack.enter_context(courier.courier(self._home / "courier"))
        return Server(
            lambda: SMTP("127.0.0.1", server.port),
            "bob@example.org",
            "nobody@mx.example",
            lambda: numbers_of([content for _, _, content in server.stored()]),
            says_unknown=False,
        )

    def _lmtp(self, *, is_local: bool = False) -> Server:
        need(dovecot_lmtp.missing())
        home = self._home / ("lmtp-local" if is_local else "lmtp")
        server = self._stack.enter_context(dovecot_lmtp.dovecot_lmtp(home))

        def client() -> SMTP:
            if is_local:
                return LMTP(path=server.path)
            return LMTP("127.0.0.1", server.port)

        return Server(
            client,
            "bob@mx.example",
            "nobody@mx.example",
            lambda: numbers_of(server.mails("bob@mx.example")),
        )

    def _lmtp_unix(self) -> Server:
        return self._lmtp(is_local=True)


@pytest.fixture(scope="module")
def servers(authority: trustme.CA) -> Iterator[Servers]:
    # pytest's directories are for nobody else; these servers have their own users.
    with TemporaryDirectory(prefix="smtplibaio-") as home, ExitStack() as stack:
        yield Servers(stack, Path(home), authority)


def mails_for(server: Server) -> Iterator[tuple[int, Mail, str]]:
    """A hundred mails, and what becomes of each."""
    for number in range(_MAILS):
        if number % 10 == 7:
            recipients, status = [server.unknown], "refused"
        elif number % 5 == 1:
            recipients, status = [server.unknown, server.known], "partial"
        else:
            recipients, status = [server.known], "accepted"
        lines = (
            b"From: alice@mx.example\r\nSubject: mail %d\r\n\r\n.\r\n..\r\n" % number
        )
        content = lines + b"QUIT\r\n" * (number % 4)
        sender = f"sender{number}@example.org"
        yield number, Mail(content, sender, recipients), status


def arrived(server: Server, expected: list[int]) -> list[int]:
    """What was stored, when it is all there: some servers deliver later."""
    deadline = time.monotonic() + 20
    while len(found := server.numbers()) < len(expected):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    return sorted(found)


@pytest.mark.parametrize(
    "name", ["postfix", "submission", "haraka", "courier", "lmtp", "lmtp_unix"]
)
async def test_a_run_stores_each_mail_once_and_tells_of_the_refused(
    servers: Servers, name: str
) -> None:
    server = servers.get(name)
    planned = list(mails_for(server))
    async with server.client() as client:
        mails = [mail for _, mail, _ in planned]
        outcomes = [outcome async for outcome in client.send_many(mails, window=1)]
    assert [outcome.status for outcome in outcomes] == [s for _, _, s in planned]
    expected = [number for number, _, status in planned if status != "refused"]
    assert arrived(server, expected) == expected
    for outcome in outcomes:
        if outcome.status == "partial":
            assert outcome.result is not None
            assert list(outcome.result) == [server.unknown]
            assert outcome.result[server.unknown].is_permanent is server.says_unknown

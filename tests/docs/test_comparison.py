"""The comparison table is true: each library of Python runs against a server."""

from __future__ import annotations

import asyncio
import inspect
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aiosmtplib
import pytest
import trustme
from doc_blocks import ROOT

import smtplibaio

LIBRARIES = ("smtplibaio", "aiosmtplib", "smtplib")
HEAD = [*LIBRARIES, "nodemailer"]
#: What belongs to other packages, or to no client of Python.
NOT_OURS = {"Builds messages", "Signs with DKIM"}


def table(page: str) -> dict[str, tuple[str, ...]]:
    """Read the comparison: what a row is about, and its cells."""
    lines = (ROOT / page).read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.split()[1:] == HEAD)
    border = lines[at - 1]
    starts = [i for i, c in enumerate(border) if c == "=" and border[i - 1 : i] != "="]
    rows: dict[str, tuple[str, ...]] = {}
    for line in lines[at + 2 :]:
        if line.startswith("="):
            return rows
        ends = [*starts[1:], 200]
        label, *cells = (line[a:b].strip() for a, b in zip(starts, ends, strict=True))
        rows[label] = tuple(cells)
    raise AssertionError("the table has no end")


class Server:
    """A blocking server for one client at a time; it keeps what it reads.

    Args:
        extensions: What it announces.
        closes_at: The line at which it closes instead of answering.
        is_lmtp: Whether it answers a message once for each recipient.
    """

    def __init__(
        self, *extensions: str, closes_at: str = "never", is_lmtp: bool = False
    ) -> None:
        self.reads: list[bytes] = []
        self._extensions = extensions
        self._closes_at = closes_at.encode()
        self._is_lmtp = is_lmtp

    @contextmanager
    def listening(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            yield listener.getsockname()[1]
            thread.join(10)

    def _serve(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionResetError):
            connection.settimeout(10)
            connection.sendall(b"220 mx.example\r\n")
            self._is_content, self._skip, self._recipients = False, 0, 0
            left = b""
            while octets := connection.recv(65536):
                self.reads.append(octets)
                *lines, left = (left + octets).split(b"\r\n")
                answers = [self._answer(line) for line in lines]
                if None in answers:
                    return
                connection.sendall(b"".join(filter(None, answers)))

    def _answer(self, line: bytes) -> bytes | None:
        if self._skip:
            self._skip = max(0, self._skip - len(line) - 2)
            return b"" if self._skip else b"250 2.0.0 ok\r\n"
        if self._closes_at and line.upper().startswith(self._closes_at):
            return None
        if self._is_content:
            if line != b".":
                return b""
            self._is_content = False
            if self._is_lmtp:
                return b"250 ok\r\n" + b"550 5.1.1 no\r\n" * (self._recipients - 1)
            return b"250 2.0.0 ok\r\n"
        return self._command(line)

    def _command(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb in {b"EHLO", b"LHLO"}:
            names = ["mx.example", *self._extensions]
            return b"".join(
                b"250%b%b\r\n" % (b" " if n is names[-1] else b"-", n.encode())
                for n in names
            )
        if verb == b"DATA":
            self._is_content = True
            return b"354 go\r\n"
        if verb == b"BDAT":
            self._skip = int(line.split()[1])
            return b""
        if verb == b"AUTH":
            return b"535 no\r\n"
        if verb == b"QUIT":
            return b"221 2.0.0 bye\r\n"
        self._recipients += verb == b"RCPT"
        return b"250 2.0.0 ok\r\n"


MAIL = ("a@x.example", ["b@x.example", "c@x.example"], "Subject: x\n\nhi\n")


def send(library: str, port: int, *, message: Any = MAIL[2], **options: Any) -> Any:
    """Send a mail with one of the libraries; give what it returns or raises."""
    login = options.pop("login", None)
    kind = options.pop("kind", "SMTP")

    async def with_coroutines() -> Any:
        if library == "smtplibaio":
            client: Any = getattr(smtplibaio, kind)("localhost", port, **options)
        else:
            client = aiosmtplib.SMTP(hostname="localhost", port=port, start_tls=False)
        async with client:
            if login:
                await (client.auth if library == "smtplibaio" else client.login)(*login)
            return await client.sendmail(*MAIL[:2], message)

    try:
        if library != "smtplib":
            return asyncio.run(with_coroutines())
        with getattr(smtplib, kind)("localhost", port) as client:
            if login:
                client.login(*login)
            return client.sendmail(*MAIL[:2], message)
    except Exception as exc:
        return exc


def reads_of(library: str, server: Server, **options: Any) -> list[bytes]:
    with server.listening() as port:
        send(library, port, **options)
    return server.reads


def signature(library: str, function: str) -> set[str]:
    module = {"smtplibaio": smtplibaio, "aiosmtplib": aiosmtplib, "smtplib": smtplib}
    client = module[library].SMTP
    found = client if function == "SMTP" else getattr(client, function)
    return {*inspect.signature(found).parameters}


def is_asynchronous(library: str) -> bool:
    module = {"smtplibaio": smtplibaio, "aiosmtplib": aiosmtplib, "smtplib": smtplib}
    return inspect.iscoroutinefunction(module[library].SMTP.sendmail)


def has_replies(library: str) -> bool:
    refusing = Server("SIZE 1000")
    command = refusing._command
    refusing._command = lambda line: (  # type: ignore[method-assign]
        b"550 5.1.1 no\r\n" if b"<c@x.example>" in line else command(line)
    )
    with refusing.listening() as port:
        result = send(library, port)
    refused = result[0] if isinstance(result, tuple) else result
    return dict(refused)["c@x.example"][0] == 550


def has_unknown(library: str) -> bool:
    kinds = set()
    for closes_at in ("MAIL", "."):
        with Server("SIZE 1000", closes_at=closes_at).listening() as port:
            kinds.add(type(send(library, port)))
    return len(kinds) == 2


def groups(library: str) -> bool:
    reads = reads_of(library, Server("PIPELINING"))
    return any(b"MAIL" in read and b"RCPT" in read for read in reads)


def groups_mails(library: str) -> bool:
    """Whether the end of a mail and the next MAIL arrive in one read."""

    async def two_mails(port: int) -> None:
        if library == "smtplibaio":
            async with smtplibaio.SMTP("localhost", port) as client:
                mail = smtplibaio.Mail(MAIL[2], *MAIL[:2])
                _ = [outcome async for outcome in client.send_many([mail, mail])]
        else:
            client = aiosmtplib.SMTP(hostname="localhost", port=port, start_tls=False)
            async with client:
                for _ in range(2):
                    await client.sendmail(*MAIL)

    server = Server("PIPELINING")
    with server.listening() as port:
        if library == "smtplib":
            with smtplib.SMTP("localhost", port) as client:
                for _ in range(2):
                    client.sendmail(*MAIL)
        else:
            asyncio.run(two_mails(port))
    return any(b".\r\n" in read and b"MAIL FROM" in read for read in server.reads)


def has_bdat(library: str) -> bool:
    options = {"chunking": True} if library == "smtplibaio" else {}
    return any(b"BDAT" in r for r in reads_of(library, Server("CHUNKING"), **options))


def has_pool(library: str) -> bool:
    module = {"smtplibaio": smtplibaio, "aiosmtplib": aiosmtplib, "smtplib": smtplib}
    return any("pool" in name.lower() for name in module[library].__all__)


def verifies(library: str) -> bool:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as tls:
                    tls.sendall(b"220 mx.example\r\n")
                    tls.recv(100)
            except OSError:
                pass

    async def connect(port: int) -> None:
        client: Any = (
            smtplibaio.SMTP_SSL("localhost", port)
            if library == "smtplibaio"
            else aiosmtplib.SMTP(hostname="localhost", port=port, use_tls=True)
        )
        await client.connect()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        try:
            if library == "smtplib":
                smtplib.SMTP_SSL("localhost", port).close()
            else:
                asyncio.run(connect(port))
        except Exception as exc:
            return "certificate" in str(exc).lower() + str(exc.__cause__).lower()
        finally:
            thread.join(10)
    return False


def has_scram(library: str) -> bool:
    server = Server("AUTH SCRAM-SHA-256")
    return any(b"AUTH SCRAM" in r for r in reads_of(library, server, login=("a", "b")))


def has_tokens(library: str) -> bool:
    return bool(signature(library, "SMTP") & {"token", "oauth_token_generator"})


def streams(library: str) -> bool:
    reads = reads_of(library, Server("SIZE 1000"), message=iter([b"Subject: x\r\n"]))
    return any(b"Subject: x" in read for read in reads)


def has_dsn(library: str) -> bool:
    return "notify" in signature(library, "send_message")


def has_lmtp(library: str) -> bool:
    """Whether the second recipient's refusal, after the message, is heard."""
    if library == "aiosmtplib":
        return hasattr(aiosmtplib, "LMTP")
    with Server("PIPELINING", is_lmtp=True).listening() as port:
        result = send(library, port, kind="LMTP")
    return not isinstance(result, Exception) and "c@x.example" in dict(result)


def has_proxy(library: str) -> bool:
    return "proxy" in signature(library, "SMTP")


def has_url(library: str) -> bool:
    module = {"smtplibaio": smtplibaio, "aiosmtplib": aiosmtplib, "smtplib": smtplib}
    return hasattr(module[library].SMTP, "from_url")


CHECKS: dict[str, Callable[[str], bool]] = {
    "``asyncio``": is_asynchronous,
    "A reply for each recipient": has_replies,
    '"May have been accepted" is an error of its own': has_unknown,
    "The commands of a mail in one write (PIPELINING)": groups,
    "One round trip per mail, for many mails": groups_mails,
    "BDAT (CHUNKING)": has_bdat,
    "A connection pool with retries": has_pool,
    "Certificates verified by default": verifies,
    "SCRAM logins": has_scram,
    "OAuth 2 with fresh tokens": has_tokens,
    "Messages read while they are sent": streams,
    "DSN as named arguments": has_dsn,
    "LMTP with a reply for each recipient": has_lmtp,
    "SOCKS and HTTP proxies": has_proxy,
    "Settings from a URL": has_url,
}


def test_every_row_is_checked() -> None:
    assert table("docs/comparison.rst").keys() == CHECKS.keys() | NOT_OURS


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("row", CHECKS)
def test_a_cell_says_what_the_library_does(row: str, library: str) -> None:
    cell = table("docs/comparison.rst")[row][LIBRARIES.index(library)]
    assert cell == ("yes" if CHECKS[row](library) else "no")


def test_the_readme_has_the_same_table() -> None:
    assert table("README.rst") == table("docs/comparison.rst")

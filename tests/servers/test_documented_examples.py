"""The examples of smtplibaio 2, unchanged, against Postfix."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import real_servers
import trustme
from real_servers import PASSWORD, USERNAME, RealServer, free_port

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def lacking() -> str:
    """Say why the examples cannot run here; "" for no reason.

    The first one has no host and no port: it needs port 465 of this machine.
    """
    try:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", 465))
    except OSError as exc:
        return f"port 465 is not to be had: {exc}"
    return real_servers.missing()


pytestmark = pytest.mark.skipif(lacking() != "", reason=lacking())


@pytest.fixture(scope="module")
def postfix(authority: trustme.CA) -> Iterator[tuple[RealServer, dict[str, str]]]:
    """Give a Postfix, and the environment that points the examples at it."""
    with TemporaryDirectory(prefix="smtplibaio-") as name:
        home = Path(name)
        port = free_port()
        authority.cert_pem.write_to_path(home / "ca.pem")
        environment = {
            "SSL_CERT_FILE": str(home / "ca.pem"),
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(port),
            "SMTP_USERNAME": USERNAME,
            "SMTP_PASSWORD": PASSWORD,
        }
        with real_servers.postfix(
            home / "postfix", authority, tls_ports=(465, port)
        ) as server:
            yield server, environment


@pytest.mark.parametrize(
    ("script", "header"),
    [
        ("documented_basic.py", b"Hi Alice!"),
        ("documented_with_login.py", b"From: Bob <bob@example.net>\nTo: Alice"),
    ],
)
def test_a_documented_example_is_delivered(
    postfix: tuple[RealServer, dict[str, str]], script: str, header: bytes
) -> None:
    server, environment = postfix
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script)],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        delivered = server.mails("alice@example.org")
        if any(header in mail for mail in delivered):
            break
        time.sleep(0.05)  # Postfix has it in its queue
    [mail] = [mail for mail in delivered if header in mail]
    assert b"Return-Path: <bob@example.net>" in mail

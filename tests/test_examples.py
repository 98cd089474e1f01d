"""Every example runs as it is: without a server of one's own, and with one."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd import smtp as aiosmtpd

EXAMPLES = Path(__file__).parent.parent / "examples"
#: Those that send each recipient a mail of their own.
ONE_EACH = {"newsletter.py"}
#: Those that bring no server: they run against a real one, in tests/servers.
DOCUMENTED = {"documented_basic.py", "documented_with_login.py"}
SCRIPTS = sorted(
    {p.name for p in EXAMPLES.glob("*.py")} - {"environment.py"} - DOCUMENTED
)

#: Runs an example where what the extra "demo" brings is not there.
WITHOUT_DEMO = """\
import runpy, sys
sys.modules["aiosmtpd"] = sys.modules["trustme"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""


async def run(script: str, *options: str, **environment: str) -> str:
    """Run an example in a process of its own; give what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-W", "error"),
        *options,
        str(EXAMPLES / script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@pytest.mark.parametrize("script", SCRIPTS)
async def test_an_example_brings_its_own_server(script: str) -> None:
    printed = await run(script)
    together = script not in ONE_EACH
    assert ("Stored for bob@demo.example, carol@demo.example:" in printed) is together
    assert ("Stored for carol@demo.example:" in printed) is not together


NO_LOGIN = ("", "")
LOGIN = ("erin", "a:p@ss/?#%")
TWO, ONE = "f@y.example, g@y.example", "f@y.example"


@pytest.mark.parametrize(
    ("script", "login", "to", "recipients"),
    [
        *(pytest.param(name, LOGIN, TWO, ["f", "g"], id=name) for name in SCRIPTS),
        ("send.py", NO_LOGIN, TWO.replace(" ", ""), ["f", "g"]),
        ("send_with_login.py", NO_LOGIN, TWO, ["f", "g"]),
        ("one_call.py", NO_LOGIN, ONE, ["f"]),
        ("send_with_login.py", LOGIN, ONE, ["f"]),
    ],
)
async def test_an_example_takes_a_server_from_the_environment(
    script: str,
    login: tuple[str, str],
    to: str,
    recipients: list[str],
    authority: trustme.CA,
    tmp_path: Path,
) -> None:
    """And needs nothing of the extra "demo" then."""
    stored: list[aiosmtpd.Envelope] = []
    logins: list[tuple[str, str]] = []

    class Handler:
        async def handle_DATA(
            self, server: object, session: object, envelope: aiosmtpd.Envelope
        ) -> str:
            stored.append(envelope)
            return "250 ok"

    def authenticator(*arguments: Any) -> aiosmtpd.AuthResult:
        given = arguments[-1]
        logins.append((given.login.decode(), given.password.decode()))
        return aiosmtpd.AuthResult(success=True)

    loop = asyncio.get_running_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with await loop.create_server(
        lambda: aiosmtpd.SMTP(
            Handler(),
            hostname="mx.example",
            authenticator=authenticator,
            auth_require_tls=False,
            loop=loop,
        ),
        "127.0.0.1",
        0,
        ssl=context,
    ) as listener:
        await run(
            script,
            *("-c", WITHOUT_DEMO),
            PYTHONPATH=f"{EXAMPLES}:{os.environ.get('PYTHONPATH', '')}",
            SSL_CERT_FILE=str(tmp_path / "ca.pem"),
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(listener.sockets[0].getsockname()[1]),
            SMTP_USERNAME=login[0],
            SMTP_PASSWORD=login[1],
            SMTP_FROM="erin@x.example",
            SMTP_TO=to,
        )
    addresses = [f"{name}@y.example" for name in recipients]
    if script in ONE_EACH:
        assert [envelope.rcpt_tos for envelope in stored] == [[a] for a in addresses]
    else:
        assert [envelope.rcpt_tos for envelope in stored] == [addresses]
        assert b"g@y.example" not in (stored[0].original_content or b"")
    assert {envelope.mail_from for envelope in stored} == {"erin@x.example"}
    assert logins == ([login] if login[0] else [])


async def test_an_example_says_which_variable_is_missing() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / "send.py"),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "SMTP_HOST": "127.0.0.1", "SMTP_FROM": "a@x.example"},
    )
    _, said = await process.communicate()
    assert said == b"SMTP_HOST is set, but SMTP_TO is not: an address\n"
    assert process.returncode == 1

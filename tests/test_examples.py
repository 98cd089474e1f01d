"""Every example runs as it is: without a server of one's own, and with one."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path

import pytest
import trustme
from aiosmtpd import smtp as aiosmtpd

EXAMPLES = Path(__file__).parent.parent / "examples"
#: Those that send each recipient a mail of their own.
ONE_EACH = {"newsletter.py"}
SCRIPTS = sorted({p.name for p in EXAMPLES.glob("*.py")} - {"environment.py"})


async def run(script: str, **environment: str) -> str:
    """Run an example in a process of its own; give what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
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


@pytest.mark.parametrize("script", SCRIPTS)
async def test_an_example_takes_a_server_from_the_environment(
    script: str, authority: trustme.CA, tmp_path: Path
) -> None:
    stored: list[aiosmtpd.Envelope] = []

    class Handler:
        async def handle_DATA(
            self, server: object, session: object, envelope: aiosmtpd.Envelope
        ) -> str:
            stored.append(envelope)
            return "250 ok"

    def authenticator(*arguments: object) -> aiosmtpd.AuthResult:
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
            SSL_CERT_FILE=str(tmp_path / "ca.pem"),
            SMTP_HOST="127.0.0.1",
            SMTP_PORT=str(listener.sockets[0].getsockname()[1]),
            SMTP_USERNAME="erin",
            SMTP_PASSWORD="a password",
            SMTP_FROM="erin@x.example",
            SMTP_TO="f@y.example,g@y.example",
        )
    recipients = [envelope.rcpt_tos for envelope in stored]
    if script in ONE_EACH:
        assert recipients == [["f@y.example"], ["g@y.example"]]
    else:
        assert recipients == [["f@y.example", "g@y.example"]]
        assert b"g@y.example" not in (stored[0].original_content or b"")
    assert {envelope.mail_from for envelope in stored} == {"erin@x.example"}

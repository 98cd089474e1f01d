"""Install each extra alone into a fresh environment, and use it there.

`python tests/support/try_extras.py DIST` takes a wheel or an sdist, and needs the extra
`testing` itself, because the server that the programs talk to runs in this process.
Further arguments are the interpreters to try; by default the one that runs this.

Rules:

1. Each program runs in an empty directory, isolated (`-I`), with warnings as errors.
2. Where an extra is missing, the error names the command that installs it.
3. Every extra of setup.cfg has a program here, except those that develop this project.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from configparser import ConfigParser
from pathlib import Path

from smtplibaio.testing import SMTPServer, authority

__all__ = ["PROGRAMS", "main"]

ROOT = Path(__file__).parents[2]

#: Extras for those who develop this project; the other steps of .ci/run use them.
OURS = {"bench", "docs", "lint", "mutants", "test"}

START = """
import asyncio, os, subprocess, sys
from email.message import EmailMessage
import smtplibaio

URL = os.environ["SMTP_URL"]
MAIL = EmailMessage()
MAIL["From"], MAIL["To"], MAIL["Subject"] = "a@x.example", "b@y.example", "Hi"
MAIL.set_content("Hi!\\n")

async def greeted(client):
    async with client:
        return client.greeting.message

def needs(what, call):
    try:
        call()
    except (ModuleNotFoundError, smtplibaio.SMTPArgumentError) as exc:
        told = str(exc)
    else:
        raise SystemExit(f"nothing was said of {what}")
    assert "pip install" in told and f"smtplibaio[{what}]" in told, told

def command(*arguments):
    ran = subprocess.run(
        [sys.executable, "-m", "smtplibaio", *arguments],
        capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL,
    )
    return ran.returncode, ran.stdout + ran.stderr
"""

#: What is done where only this extra is installed; "" is the core.
PROGRAMS = {
    "": """
from smtplibaio import sasl
from smtplibaio.testing import Conversation

BEYOND_ASCII = ["b@gr\\u00fc\\u00dfe.example"]
sent = smtplibaio.send(MAIL, URL, recipients=BEYOND_ASCII)
assert asyncio.run(sent).accepted == BEYOND_ASCII
assert sasl.ScramSHA256("alice", "open sesame").start()

with Conversation("S: 220 hi") as server:
    assert asyncio.run(greeted(smtplibaio.SMTP.from_url(server.url))) == "hi"

def proxied():
    smtplibaio.SMTP("mx.example", proxy="socks5://127.0.0.1:1080")

def traced():
    import smtplibaio.otel

def tested():
    from smtplibaio.testing import SMTPServer
    SMTPServer()

needs("proxy", proxied)
needs("otel", traced)
needs("testing", tested)
status, told = command("demo")
assert status == 1 and "pip install 'smtplibaio[demo]'" in told, told
status, told = command(
    "send", "--from", "a@x.example", "--to", "b@y.example", "--text", "Hi"
)
assert status == 0 and "accepted  1" in told, told
status, told = command("probe")
assert status == 0 and "pip install 'smtplibaio[cli]'" in told, told
""",
    "cli": """
import rich

status, told = command("probe")
assert status == 0 and "  names       localhost" in told, told
if os.name == "posix":
    import pty
    def send():
        sys.argv[1:] = ["send", "--from", "a@x.example", "--to", "b@y.example"]
        sys.argv += ["--text", "Hi"]
        from smtplibaio.cli import main
        return main()
    pid, terminal = pty.fork()
    if not pid:
        os._exit(send())
    shown = b""
    while True:
        try:
            octets = os.read(terminal, 65536)
        except OSError:
            break
        if not octets:
            break
        shown += octets
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown.decode()
    assert "\\u2501".encode() in shown, shown.decode()  # a bar of rich
""",
    "testing": """
from smtplibaio.testing import Conversation, SMTPServer

with SMTPServer(starttls=True, auth=True) as server:
    context = server.tls_context
    asyncio.run(smtplibaio.send(MAIL, server.url, tls_context=context))
    assert server.messages[0].username == "alice"
with Conversation("S: 220 hi", tls=True) as server:
    client = smtplibaio.SMTP.from_url(server.url, tls_context=server.tls_context)
    assert asyncio.run(greeted(client)) == "hi"
""",
    "demo": """
status, told = command("demo")
assert status == 0 and "250-8BITMIME" in told and "550 5.1.1" in told, told
""",
    "otel": """
from smtplibaio.otel import instrument

sent = smtplibaio.send(MAIL, URL, on_event=instrument())
assert asyncio.run(sent).accepted == ["b@y.example"]
""",
    "proxy": """
async def through_a_proxy():
    said = []
    async def serve(reader, writer):
        said.append(await reader.read(1))
        writer.close()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    client = smtplibaio.SMTP("mx.example", proxy=f"socks5h://127.0.0.1:{port}")
    try:
        await client.connect()
    except smtplibaio.SMTPConnectionError:
        listener.close()
        return said
assert asyncio.run(through_a_proxy()) == [b"\\x05"]
""",
}


def users_extras() -> set[str]:
    """List the extras of setup.cfg that are for users."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    return set(config["options.extras_require"]) - OURS


def try_extra(python: str, dist: Path, extra: str, url: str, trusted: Path) -> None:
    """Make an environment, install, and run the program."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        environment = directory / "venv"
        empty = directory / "empty"
        empty.mkdir()
        subprocess.run([python, "-m", "venv", "--without-pip", environment], check=True)
        inner = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        wanted = f"{dist.resolve()}[{extra}]" if extra else str(dist.resolve())
        pip = [sys.executable, "-m", "pip", "--python", inner, "install", "-q", wanted]
        subprocess.run(pip, check=True, cwd=empty)
        program = directory / "program.py"
        program.write_text(START + PROGRAMS[extra], "utf-8")
        ran = subprocess.run(
            [inner, "-I", "-W", "error", program],
            check=False,
            cwd=empty,
            env={**os.environ, "SMTP_URL": url, "SSL_CERT_FILE": str(trusted)},
        )
        if ran.returncode:
            raise SystemExit(f"the program of [{extra}] failed with {python}")


def main(dist: Path, pythons: list[str]) -> None:
    """Try the core and every extra."""
    assert {"", *users_extras()} == set(PROGRAMS)
    with SMTPServer(starttls=True) as server, tempfile.TemporaryDirectory() as name:
        trusted = Path(name) / "authority.pem"
        authority._authority().cert_pem.write_to_path(trusted)
        for python in pythons:
            for extra in PROGRAMS:
                started = time.monotonic()
                try_extra(python, dist, extra, server.url, trusted)
                seconds = time.monotonic() - started
                title = f"[{extra}]" if extra else "no extra"
                print(f"{title} works by itself ({seconds:.1f} s)", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or [sys.executable])

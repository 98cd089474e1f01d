"""Haraka from npm, with a configuration of its own.

It listens on a free loopback port, takes mail for `MAILBOXES` only, and stores each
mail as a file: first a line of JSON with its envelope, then its content. It needs node
and the npm package Haraka, in `HOME` (`.ci/run` installs it there).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from real_servers import CACHE, MAILBOXES, free_port, wait_for

__all__ = ["HOME", "Haraka", "haraka", "missing"]

HOME = CACHE / "haraka"
_PACKAGE = HOME / "node_modules" / "Haraka"
_PROGRAM = HOME / "node_modules" / ".bin" / "haraka"

_PLUGIN = """\
const fs = require("fs");
const mailboxes = %s;

exports.hook_rcpt = (next, connection, params) => {
    const known = mailboxes.includes(params[0].address);
    return known ? next(OK) : next(DENY, "no such user here");
};

exports.hook_queue = (next, connection) => {
    const t = connection.transaction;
    const name = "%s/" + t.uuid;
    const envelope = {
        sender: t.mail_from.address, recipients: t.rcpt_to.map(r => r.address),
    };
    const file = fs.createWriteStream(name + ".part");
    file.write(JSON.stringify(envelope) + "\\n");
    t.message_stream.pipe(file, { dot_stuffing: false, ending_dot: false });
    file.on("close", () => { fs.renameSync(name + ".part", name); next(OK); });
};
"""


def missing() -> str:
    """Say what Haraka lacks on this machine; "" for nothing."""
    if shutil.which("node") is None:
        return "not installed: node"
    if not _PROGRAM.exists():
        return f"not installed: Haraka (npm install --prefix {HOME} Haraka@3)"
    return ""


@dataclass
class Haraka:
    """A Haraka that listens on a port of 127.0.0.1."""

    port: int
    mails: Path

    def stored(self) -> list[tuple[str, tuple[str, ...], bytes]]:
        """Sender, recipients and content of each mail that it took."""
        found = []
        for path in self.mails.iterdir():
            line, _, content = path.read_bytes().partition(b"\n")
            envelope = json.loads(line)
            recipients = tuple(envelope["recipients"])
            found.append((envelope["sender"], recipients, content))
        return found


@contextmanager
def haraka(home: Path) -> Iterator[Haraka]:
    """Run a Haraka that keeps what it takes.

    Args:
        home: A directory that is made.
    """
    for name in ("plugins", "mails"):
        (home / name).mkdir(parents=True)
    # Its own defaults, or it cannot greet.
    shutil.copytree(_PACKAGE / "config", home / "config")
    port = free_port()
    (home / "config" / "smtp.ini").write_text(
        dedent(f"""\
        listen=127.0.0.1:{port}
        nodes=0
        """)
    )
    (home / "config" / "me").write_text("mx.example\n")
    (home / "config" / "plugins").write_text("store\n")
    (home / "config" / "loglevel").write_text("WARN\n")
    plugin = _PLUGIN % (json.dumps(MAILBOXES), home / "mails")
    (home / "plugins" / "store.js").write_text(plugin)
    log = home / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [_PROGRAM, "-c", home], stdout=output, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            wait_for(port, log)
            yield Haraka(port, home / "mails")
        finally:
            process.terminate()

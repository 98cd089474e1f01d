"""Dovecot's LMTP server (RFC 2033), on a port of 127.0.0.1 and on a Unix socket.

It delivers to a maildir for each of `MAILBOXES` and refuses everybody else. It needs
the package dovecot-lmtpd, and root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from real_servers import MAILBOXES, PATH, free_port, wait_for

__all__ = ["Lmtp", "dovecot_lmtp", "missing"]

_SERVER = Path("/usr/lib/dovecot/lmtp")


def missing() -> str:
    """Say what this server lacks on this machine; "" for nothing."""
    if not _SERVER.exists():
        return "not installed: dovecot-lmtpd"
    return "" if os.geteuid() == 0 else "Dovecot starts as root only"


@dataclass
class Lmtp:
    """A Dovecot that listens.

    Attributes:
        port: Where, on 127.0.0.1.
        path: Its Unix socket.
        mailboxes: The directory of its maildirs, one a recipient.
    """

    port: int
    path: Path
    mailboxes: Path

    def mails(self, recipient: str) -> list[bytes]:
        """What it has delivered to a recipient."""
        new = self.mailboxes / recipient / "Maildir" / "new"
        return [path.read_bytes() for path in new.iterdir()] if new.exists() else []


@contextmanager
def dovecot_lmtp(home: Path) -> Iterator[Lmtp]:
    """Run Dovecot's LMTP server.

    Args:
        home: A directory that is made.
    """
    mailboxes, users, log = home / "mail", home / "users", home / "log"
    mailboxes.mkdir(parents=True)
    for directory in (home, *home.parents):
        if directory != Path("/"):
            directory.chmod(directory.stat().st_mode | 0o711)
    shutil.chown(mailboxes, "nobody", "nogroup")
    lines = [f"{name}:::::{mailboxes}/{name}::\n" for name in MAILBOXES]
    users.write_text("".join(lines))
    port, path = free_port(), home / "lmtp"
    configuration = home / "dovecot.conf"
    configuration.write_text(
        dedent(f"""\
        base_dir = {home}/run
        log_path = {log}
        listen = 127.0.0.1
        protocols = lmtp
        hostname = mx.example
        postmaster_address = postmaster@mx.example
        ssl = no
        mail_location = maildir:~/Maildir
        first_valid_uid = 1
        userdb {{
            driver = passwd-file
            args = {users}
            default_fields = uid=nobody gid=nogroup
        }}
        passdb {{
            driver = static
            args = nopassword=y
        }}
        service lmtp {{
            inet_listener lmtp {{
                address = 127.0.0.1
                port = {port}
            }}
            unix_listener {path} {{
                mode = 0666
            }}
        }}
        """)
    )
    process = subprocess.Popen(
        ["dovecot", "-F", "-c", str(configuration)],
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, log)
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield Lmtp(port, path, mailboxes)
    finally:
        process.terminate()
        process.wait(20)

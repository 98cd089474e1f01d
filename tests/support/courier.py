"""Courier's SMTP server from Debian's packages, in a directory of its own.

Courier and Postfix cannot be installed side by side. So the packages are only unpacked,
in `HOME` (`.ci/run` does it), and the server runs with that directory, completed by the
libraries that it needs, as its root. It takes mail for any domain but its own, where it
looks for mailboxes in a daemon that does not run: 450. What it took stays in its queue.

Courier reads nothing that stands behind the dot in the same write: it announces XVERP
and XEXDATA.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real_servers import CACHE, free_port, wait_for

__all__ = ["HOME", "Courier", "courier", "missing"]

HOME = CACHE / "courier"
_SERVER = "usr/lib/courier/courier/modules/esmtp/courieresmtpd"
_LISTENER = "usr/sbin/couriertcpd"
_PROGRAMS = (_LISTENER, _SERVER, "usr/lib/courier/courier/submit")
_LIBRARIES = "/usr/lib/x86_64-linux-gnu:/usr/lib"


def missing() -> str:
    """Say what Courier lacks on this machine; "" for nothing."""
    if not (HOME / _SERVER).exists():
        return f"not unpacked: courier-mta, in {HOME} (see .ci/run)"
    return "" if os.geteuid() == 0 else "only root changes the root of a process"


@dataclass
class Courier:
    """A Courier that listens on a port of 127.0.0.1."""

    port: int
    queue: Path

    def stored(self) -> list[tuple[str, tuple[str, ...], bytes]]:
        """Sender, recipients and content of each mail that it took."""
        found = []
        for control in self.queue.glob("*/C*"):
            lines = control.read_text().splitlines()
            sender = next(line[1:] for line in lines if line.startswith("s"))
            recipients = tuple(line[1:] for line in lines if line.startswith("r"))
            content = control.with_name("D" + control.name[1:]).read_bytes()
            found.append((sender, recipients, content))
        return found


@contextmanager
def courier(home: Path) -> Iterator[Courier]:
    """Run a Courier that keeps what it takes.

    Args:
        home: A directory that is made.
    """
    shutil.copytree(HOME, home, symlinks=True)
    _complete(home)
    port, log = free_port(), home / "log"
    listener = [f"/{_LISTENER}", "-address=127.0.0.1", "-stderr=/log", "-nodnslookup"]
    limits = ["-noidentlookup", "-maxprocs=10", "-maxperip=10", "-maxperc=10"]
    with subprocess.Popen(
        ["/usr/sbin/chroot", home, *listener, *limits, str(port), f"/{_SERVER}"],
        env={"LD_LIBRARY_PATH": _LIBRARIES, "RELAYCLIENT": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_for(port, log)
            yield Courier(port, home / "var/lib/courier/tmp")
        finally:
            process.terminate()


def _complete(root: Path) -> None:
    """Add what the programs need of this machine."""
    own = ":".join(f"{root}{path}" for path in _LIBRARIES.split(":"))
    for program in _PROGRAMS:
        needed = subprocess.run(
            ["ldd", root / program],
            env={**os.environ, "LD_LIBRARY_PATH": own},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for library in re.findall(r"(/\S+\.so\S*)", needed):
            copy = root / library.removeprefix("/")
            if not library.startswith(str(root)) and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, copy)
    for name in ("dev", "run/courier"):
        (root / name).mkdir(parents=True)
    (root / "dev/null").touch()
    (root / "log").touch()
    (root / "etc/passwd").write_text("courier:x:0:0::/:/bin/false\n")
    (root / "etc/group").write_text("courier:x:0:\n")
    (root / "etc/courier/me").write_text("mx.example\n")
    (root / "etc/courier/locals").write_text("mx.example\n")

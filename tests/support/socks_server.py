"""A SOCKS5 proxy from Debian's package microsocks, on a free loopback port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from real_servers import PATH, free_port

USERNAME = "erin"
PASSWORD = "paper & pencil: 100 %"


def missing() -> str:
    """Say what it lacks on this machine; "" for nothing."""
    found = shutil.which("microsocks", path=PATH)
    return "" if found else "not installed: microsocks"


@contextmanager
def microsocks() -> Iterator[int]:
    """Run the proxy, which asks for the user and the password; give its port."""
    port = free_port()
    command = shutil.which("microsocks", path=PATH) or "microsocks"
    process = subprocess.Popen(
        (command, "-i", "127.0.0.1", "-p", str(port), "-u", USERNAME, "-P", PASSWORD),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.02)
        yield port
    finally:
        process.terminate()
        process.wait(20)

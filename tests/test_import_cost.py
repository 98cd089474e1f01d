"""What a program imports before it sends anything: what making a client needs."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, ssl, sys
from smtplibaio import SMTP
SMTP()
print(*sys.modules)
"""

#: What only some sessions need, or none before it connects.
NEEDLESS = {
    "email",
    "idna",
    "scramp",
    "smtplibaio.client.outbox",
    "smtplibaio.client.transfer",
    "smtplibaio.wire.protocol",
    "urllib.parse",
}


def test_the_first_client_imports_no_engine_and_no_tables() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert set(ran.stdout.split()) & NEEDLESS == set()

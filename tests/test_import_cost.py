"""What a program pays before it sends anything: the imports up to the first client."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

#: The part of another library's cost that is allowed, and how often both are measured.
MOST = 0.6
RUNS = 9

PROGRAM = """
import asyncio, ssl, sys, time
start = time.process_time()
from {} import SMTP
SMTP()
print(time.process_time() - start)
print(*sys.modules)
"""


def measured(package: str, cache: Path) -> tuple[float, set[str]]:
    """Make a client in fresh processes; give the median of seconds, and the modules."""
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(cache)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds = []
    modules = ""
    for number in range(RUNS + 1):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(package)],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        spent, modules = ran.stdout.splitlines()
        if number:  # the first one compiles
            seconds.append(float(spent))
    return statistics.median(seconds), set(modules.split())


def test_the_first_client_costs_little(tmp_path: Path) -> None:
    """In seconds of the processor, which others on the machine do not take."""
    pytest.importorskip("aiosmtplib", reason="the extra test is not installed")
    ours, modules = measured("smtplibaio", tmp_path)
    theirs, _ = measured("aiosmtplib", tmp_path)
    assert ours <= MOST * theirs, f"{ours * 1e3:.1f} ms, theirs {theirs * 1e3:.1f} ms"
    needless = {"email", "idna", "scramp", "logging.handlers", "urllib.parse"}
    assert modules & needless == set()
    assert "smtplibaio.wire.protocol" not in modules

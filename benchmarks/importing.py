"""What the first client costs a fresh interpreter that has asyncio and ssl already."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from .meter import Result
from .work import Work

__all__ = ["aiosmtplib", "ours"]

_REPEATS = 9
_PROGRAM = """
import asyncio, json, pathlib, ssl, time

def resident():
    rollup = pathlib.Path("/proc/self/smaps_rollup")
    path, name = (rollup, "Rss:") if rollup.exists() else (
        pathlib.Path("/proc/self/status"), "VmRSS:")
    return int(path.read_text().split(name)[1].split()[0]) * 1024

resident()
memory, start = resident(), time.process_time()
from {module} import SMTP
SMTP()
end = time.process_time()
print(json.dumps({{"ms": (end - start) * 1e3, "memory": resident() - memory}}))
"""


def _run(module: str) -> Result:
    program = _PROGRAM.format(module=module)
    # The first may have to compile.
    results = [_fresh(program) for _ in range(_REPEATS + 1)][1:]
    return {
        key: statistics.median(result[key] for result in results)
        for key in ("ms", "memory")
    }


def _fresh(program: str) -> Result:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode().strip().splitlines()[-1])
    result: Result = json.loads(done.stdout)
    return result


def ours(_: Work) -> Result:
    """Import smtplibaio, and make a client."""
    return _run("smtplibaio")


def aiosmtplib(_: Work) -> Result:
    """Import aiosmtplib, and make a client."""
    return _run("aiosmtplib")

"""Start the sink and the clients, each on a core of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

from .meter import Result
from .work import Work

__all__ = ["Failure", "Harness", "cores"]

_ROOT = Path(__file__).resolve().parent.parent
_PYTHON = (sys.executable, "-m")
_PATIENCE = 120.0


class Failure(Exception):  # noqa: N818
    """Tell why a client has given no figures."""


def cores() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the core of the sink and that of the clients; none where there is one."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return (), ()
    return (available[0],), (available[1],)


@dataclass(frozen=True)
class Harness:
    """Run clients against a sink."""

    base: Work
    environment: Mapping[str, str]

    @classmethod
    @contextmanager
    def open(cls, node_modules: str = "") -> Iterator[Harness]:
        """Start a sink for the block."""
        sink_cores, client_cores = cores()
        with TemporaryDirectory() as directory:
            authority, server = _certificates(Path(directory))
            process = subprocess.Popen(  # noqa: S603
                [*_PYTHON, "benchmarks.sink", server, *map(str, sink_cores)],
                cwd=_ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            with process:
                assert process.stdout is not None  # noqa: S101
                ports = json.loads(process.stdout.readline())
                work = Work(
                    "",
                    cores=client_cores,
                    authority=authority,
                    node_modules=node_modules,
                    **ports,
                )
                yield cls(work, _environment(f"{directory}/bytecode"))

    def run(self, work: Work) -> Result:
        """Run one client.

        Raises:
            Failure: It has failed, or the sink has counted otherwise.
        """
        return self._run(work, (), self.environment)

    def instructions(self, work: Work) -> int:
        """The user instructions of a client's whole process, counted by valgrind.

        Raises:
            Failure: The client has failed, or valgrind is not installed.
        """
        if shutil.which("valgrind") is None:
            raise Failure("valgrind is not installed; on Debian: apt install valgrind")
        with TemporaryDirectory() as directory:
            counted = Path(directory, "counted")
            options = ("-q", "--tool=cachegrind", "--cache-sim=no")
            out = f"--cachegrind-out-file={counted}"
            environment = {**self.environment, "PYTHONHASHSEED": "0"}
            # What is compiled in the first run would not drop out of a difference.
            self._run(replace(work, messages=1), (), environment)
            self._run(work, ("valgrind", *options, out), environment)
            summary = counted.read_text().rpartition("summary:")[2]
            return int(summary)

    def _run(
        self, work: Work, prefix: tuple[str, ...], environment: Mapping[str, str]
    ) -> Result:
        work = replace(
            work,
            port=self.base.port,
            tls_port=self.base.tls_port,
            authority=self.base.authority,
            cores=self.base.cores,
            node_modules=self.base.node_modules,
        )
        before = self._counted()
        values = json.dumps(work.values())
        done = subprocess.run(  # noqa: S603
            [*prefix, *_PYTHON, "benchmarks.clients", work.client, values],
            cwd=_ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no word"]
            raise Failure(lines[-1])
        result: Result = json.loads(done.stdout)
        if "sent" in result:
            self._check(before + int(result["sent"]))
        return result

    def _check(self, expected: int) -> None:
        # The sink adds up when it has seen the end of the connection.
        end = time.monotonic() + 5
        while (counted := self._counted()) != expected:
            if time.monotonic() > end:
                raise Failure(f"the sink counted {counted}, not {expected} messages")
            time.sleep(0.02)

    def _counted(self) -> int:
        with socket.create_connection(("127.0.0.1", self.base.port)) as sock:
            replies = sock.makefile("rb")
            replies.readline()
            sock.sendall(b"XCOUNT\r\n")
            return int(replies.readline())


def _environment(bytecode: str) -> dict[str, str]:
    """Let what is imported be compiled once, as what is installed is."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _certificates(directory: Path) -> tuple[str, str]:
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(directory / "authority.pem")
    server.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
    return str(directory / "authority.pem"), str(directory / "server.pem")

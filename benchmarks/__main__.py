"""The command line: `python -m benchmarks all --quick`."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console

from . import instructions, report
from .comparing import Row
from .harness import Harness
from .measuring import Measured, measure
from .rows import rows

_NODEMAILER = "nodemailer@10"
_OF_NODEMAILER = ("sendmail", "pool")


def _arguments(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure smtplibaio and its peers."
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="'all', or names")
    parser.add_argument("--list", action="store_true", help="tell the names of rows")
    parser.add_argument("--quick", action="store_true", help="take shorter loops")
    parser.add_argument(
        "--rounds", type=int, default=None, help="3 with --quick, else 9"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write tables and the plot"
    )
    parser.add_argument(
        "--node-modules",
        default="",
        metavar="DIR",
        help="where nodemailer is installed; else npm installs it for this run",
    )
    arguments = parser.parse_args()
    unknown = set(arguments.rows) - {"all", *names}
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; see --list")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("a round is the least that can be measured")
    if not arguments.rows:
        arguments.list = True
    return arguments


def _install_nodemailer(stack: ExitStack) -> str:
    """Give where nodemailer is, or nothing where it cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return ""
    directory = mkdtemp()
    stack.callback(shutil.rmtree, directory)
    done = subprocess.run(  # noqa: S603
        [npm, "install", "--silent", "--no-audit", "--no-fund", _NODEMAILER],
        cwd=directory,
        capture_output=True,
        check=False,
    )
    return "" if done.returncode else f"{directory}/node_modules"


def main() -> None:
    """Measure what the arguments name."""
    if sys.argv[1:2] == ["instructions"]:
        instructions.main(sys.argv[2:])
        return
    names = [row.name for row in rows(seconds=0, link=0)]
    arguments = _arguments(names)
    table = rows(
        seconds=0.15 if arguments.quick else 1.0,
        link=0.005 if arguments.quick else 0.02,
    )
    console = Console()
    if arguments.list:
        for row in table:
            console.print(f"{row.name:12} {row.title}", highlight=False)
        return
    wanted = [r for r in table if "all" in arguments.rows or r.name in arguments.rows]
    rounds = arguments.rounds or (3 if arguments.quick else 9)
    measured = _measure(wanted, rounds, arguments.node_modules, console)
    report.show(measured, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(report.as_json(measured), indent=1) + "\n")
    if arguments.output:
        report.write(measured, arguments.output)


def _measure(
    wanted: list[Row], rounds: int, node_modules: str, console: Console
) -> list[Measured]:
    with ExitStack() as stack:
        if not node_modules and any(row.name in _OF_NODEMAILER for row in wanted):
            node_modules = _install_nodemailer(stack)
        harness = stack.enter_context(Harness.open(node_modules))
        status = stack.enter_context(console.status("starting"))
        return [measure(harness, row, rounds, status.update) for row in wanted]


if __name__ == "__main__":
    main()

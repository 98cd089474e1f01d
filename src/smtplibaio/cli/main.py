"""The whole command line: its commands, and the exit status."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from .probe import add_probe
from .reports import ExitStatus
from .send import add_send

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="smtplibaio", description="Send mail, and examine mail servers."
    )
    subparsers = parser.add_subparsers(required=True, metavar="command")
    add_send(subparsers)
    add_probe(subparsers)
    demo = subparsers.add_parser(
        "demo", help="start a server, send it a message, and show the conversation"
    )
    demo.set_defaults(run=_demo)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except KeyboardInterrupt:  # while mails are sent, `deliver` takes care of it
        print("Stopped.", file=sys.stderr)
        return ExitStatus.INTERRUPTED


def _demo(_: argparse.Namespace) -> int:
    try:
        from ..demo import show
    except ModuleNotFoundError as exc:
        print(
            f"the demo needs {exc.name}: pip install 'smtplibaio[demo]'",
            file=sys.stderr,
        )
        return 1
    asyncio.run(show())
    return 0

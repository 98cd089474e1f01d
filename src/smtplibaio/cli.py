"""The command line: `python -m smtplibaio demo`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m smtplibaio", description="An SMTP client for asyncio."
    )
    subparsers = parser.add_subparsers(required=True, metavar="command")
    demo = subparsers.add_parser(
        "demo", help="send a message to a server of our own, and show what was said"
    )
    demo.set_defaults(run=_demo)
    run = parser.parse_args(arguments).run
    return int(run())


def _demo() -> int:
    try:
        from .demo import show
    except ModuleNotFoundError as exc:
        print(
            f"The demo needs {exc.name}: pip install 'smtplibaio[demo]'",
            file=sys.stderr,
        )
        return 1
    asyncio.run(show())
    return 0

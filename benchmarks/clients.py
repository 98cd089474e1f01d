"""One client process: `python -m benchmarks.clients NAME JSON` prints a JSON line."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

from .work import Work, pin

__all__ = ["CLIENTS", "main"]

#: Where the run of a name is found; modules are imported only when they are run.
CLIENTS = {
    "ours": "ours.sendmail",
    "ours-many": "ours_many.run",
    "ours-connections": "ours_many.connections",
    "ours-connecting": "ours.connecting",
    "ours-held": "ours.held",
    "ours-streamed": "ours.streamed",
    "aiosmtplib": "peers.aiosmtplib_sendmail",
    "aiosmtplib-connections": "peers.aiosmtplib_connections",
    "aiosmtplib-connecting": "peers.aiosmtplib_connecting",
    "aiosmtplib-held": "peers.aiosmtplib_held",
    "smtplib": "peers.smtplib_sendmail",
    "nodemailer": "peers.nodemailer",
    "smtp-source": "peers.smtp_source",
    "floor-socket": "floors.socket_loop",
    "floor-two-turns": "floors.two_turns",
    "floor-one-turn": "floors.one_turn",
    "floor-streaming": "floors.streaming",
    "floor-bulk": "floors.bulk_write",
    "floor-connecting": "floors.connecting",
    "calls": "calls.run",
    "pool-ours": "pools.ours",
    "pool-bare": "pools.bare",
    "pool-sendmail": "pools.sendmail",
    "pool-sendmail-bare": "pools.sendmail_bare",
    "pool-aiosmtplib": "pools.aiosmtplib",
    "pool-nodemailer": "peers.nodemailer",
    "flatten-ours": "flattening.ours",
    "flatten-stdlib": "flattening.stdlib",
    "import-ours": "importing.ours",
    "import-aiosmtplib": "importing.aiosmtplib",
    "turns-ours": "turn_clients.ours",
    "turns-many": "turn_clients.many",
    "turns-aiosmtplib": "turn_clients.aiosmtplib",
}


def main() -> None:
    """Do what the arguments say."""
    work = Work.of(json.loads(sys.argv[2]))
    pin(work.cores)
    module, name = CLIENTS[sys.argv[1]].split(".")
    function = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    print(json.dumps(_run(function, work)))


def _run(function: Callable[[Work], Any], work: Work) -> Any:
    if not inspect.iscoroutinefunction(function):
        return function(work)
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    if work.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(function(work))


if __name__ == "__main__":
    main()

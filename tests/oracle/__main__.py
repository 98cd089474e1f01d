"""The command line; see the package."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterator

from .playing import LOOPS, play_seed
from .report import show, summary
from .shrinking import shrink

#: Seconds that no world takes.
_LONGEST = 60.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.oracle", description="Play random worlds."
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="60 by default")
    parser.add_argument("--worlds", type=int, default=0, help="at most so many")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--loop", choices=LOOPS, default="asyncio")
    parser.add_argument(
        "--show", action="store_true", help="show worlds that hold, too"
    )
    parser.add_argument("--go-on", action="store_true", help="do not stop at a finding")
    return parser.parse_args()


def _seeds(arguments: argparse.Namespace) -> Iterator[int]:
    end = time.monotonic() + arguments.seconds
    seed = arguments.seed
    while time.monotonic() < end:
        yield seed
        seed += 1
        if arguments.worlds and seed == arguments.seed + arguments.worlds:
            return


def main() -> int:
    """Play worlds; 1 where one has shown a fault."""
    arguments = _arguments()
    # Of sockets that are gone asyncio says nothing that is not known.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    gc.freeze()  # each world is collected at its end, which need not look at modules
    counts: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    for seed in _seeds(arguments):
        # A world that never waits is stopped from outside, with what it was doing.
        faulthandler.dump_traceback_later(_LONGEST, exit=True)
        played = play_seed(seed, arguments.loop)
        faulthandler.cancel_dump_traceback_later()
        counts["worlds"] += 1
        counts += played.ledger.counts(played.model)
        if arguments.show:
            print(show(played))
        if not played.ledger.findings:
            continue
        counts["worlds that failed"] += 1
        if arguments.go_on:
            first = played.ledger.findings[0]
            rules[first.rule] += 1
            print(f"seed {seed}: {str(first)[:160]}", flush=True)
            continue
        print(show(shrink(played, arguments.loop)))
        break
    print(summary(counts))
    for rule, count in rules.most_common():
        print(f"  {rule}: {count} worlds")
    return 1 if counts["worlds that failed"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""User instructions a mail, counted by valgrind: a figure that a busy machine keeps.

Each client runs twice, with some mails and with twice as many, so that the start and
the warm-up drop out of the difference. The server is a process of its own and is not
counted. Hash seeds are fixed and the bytecode is compiled before. Two runs differ by
about 1 % (window 32, whose replies come in reads of any size: 3 %).

What valgrind does not see: the kernel, caches, and predictions that fail.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from .harness import Failure, Harness
from .work import Work

__all__ = ["main"]


@dataclass(frozen=True)
class _Row:
    """One client, and the most instructions that one mail may take."""

    name: str
    work: Work
    goal: int | None = None
    messages: int = 300
    #: Where `work.messages` counts batches: the mails of one.
    each: int = 1


_SENDMAIL = Work("ours")
_ROWS = (
    _Row("sendmail", _SENDMAIL, 200_000),
    _Row("window-1", Work("ours-many", window=1), 140_000),
    _Row("window-32", Work("ours-many", window=32), 70_000, 640),
    _Row("pool", Work("pool-ours", connections=5)),
    _Row("pool-bare", Work("pool-bare", connections=5)),
    _Row("pool-sendmail", Work("pool-sendmail", connections=5)),
    _Row("pool-sendmail-bare", Work("pool-sendmail-bare", connections=5)),
    _Row("floor-two-turns", Work("floor-two-turns")),
    _Row("floor-one-turn", Work("floor-one-turn")),
    _Row("floor-streaming", Work("floor-streaming", window=32), None, 20, 32),
    _Row("smtplib", Work("smtplib")),
    _Row("aiosmtplib", Work("aiosmtplib"), None, 200),
    _Row("connecting", Work("ours-connecting"), None, 60),
    _Row("floor-connecting", Work("floor-connecting"), None, 60),
)
_CALLS = "calls"
_COUNTED = 50


def _arguments(words: list[str]) -> list[str]:
    names = [row.name for row in _ROWS] + [_CALLS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks instructions",
        description="Count user instructions a mail, with valgrind.",
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"all by default: {' '.join(names)}"
    )
    wanted: list[str] = parser.parse_args(words).rows or names
    unknown = set(wanted) - set(names)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    return wanted


def _instructions(harness: Harness, row: _Row) -> float:
    """The instructions of one mail."""
    once, twice = (
        harness.instructions(replace(row.work, messages=row.messages * factor))
        for factor in (1, 2)
    )
    return (twice - once) / (row.messages * row.each)


def _show_calls(harness: Harness, console: Console) -> None:
    """Print what one `sendmail` calls of our own code, the most frequent first."""
    calls = harness.run(replace(_SENDMAIL, client="calls", messages=_COUNTED))
    table = Table("calls a sendmail", "function", title="Our own Python functions")
    total, coroutines = calls.pop("total"), calls.pop("coroutines")
    del calls["sent"]
    for name, count in sorted(calls.items(), key=lambda item: -item[1]):
        table.add_row(f"{count:.2f}", name)
    console.print(table)
    console.print(f"{total:.1f} calls a sendmail (goal: 45)", highlight=False)
    console.print(f"{coroutines:.1f} of them coroutines (goal: 4)", highlight=False)


def main(words: list[str]) -> None:
    """Count what the words name; everything by default."""
    wanted = _arguments(words)
    console = Console()
    table = Table("row", "instructions a mail", "goal", "goal reached")
    with Harness.open() as harness:
        for row in _ROWS:
            if row.name not in wanted:
                continue
            try:
                count = _instructions(harness, row)
            except Failure as error:
                table.add_row(row.name, "failed", "", str(error))
                continue
            goal = f"{row.goal:,}" if row.goal else ""
            reached = ("yes" if count <= row.goal else "no") if row.goal else ""
            console.print(f"{row.name:16} {count:12,.0f}", highlight=False)
            table.add_row(row.name, f"{count:,.0f}", goal, reached)
        if table.row_count:
            console.print(table)
        if _CALLS in wanted:
            _show_calls(harness, console)

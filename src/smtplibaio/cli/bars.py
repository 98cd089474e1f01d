"""Progress bars and a table on a terminal, drawn by `rich` (extra `cli`)."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from ..exceptions import printable
from .display import Display, rate_of, rows_of, size_of, total_of
from .reports import Report, Tally

__all__ = ["BarDisplay"]

#: The colour of each status. With NO_COLOR, `rich` uses no colours.
_STYLES = {"accepted": "green", "partial": "yellow", "refused": "red"}

#: Columns of a bar. A terminal of 80 columns then has room for the "^C" that it shows.
#: Without room, "^C" begins a new line, and rich cannot find the bars again.
_WIDTH = 20


class _Amount(ProgressColumn):
    """The number of mails or octets that are done, and their number per second."""

    def render(self, task: Task) -> Text:
        seconds, done, total = task.elapsed or 0.0, task.completed, task.total or 0.0
        if task.description == "octets":
            speed = size_of(done / seconds if seconds else 0.0)
            return Text(f"{size_of(done)} of {size_of(total)}, {speed}/s")
        return Text(f"{done:.0f} of {total:.0f}, {rate_of(done, seconds)}/s")


class BarDisplay(Display):
    """Show a bar of the mails, a bar of the octets, and a summary as a table.

    Args:
        errors: The terminal.
    """

    def __init__(self, errors: TextIO) -> None:
        super().__init__(errors)
        self._progress = Progress(
            TextColumn("{task.description:>6}"),
            BarColumn(bar_width=_WIDTH),
            _Amount(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(),
            console=Console(file=errors, highlight=False),
        )
        self._mails = self._progress.add_task("mails")
        self._octets = self._progress.add_task("octets")

    def start(self, mails: int, octets: int) -> None:
        """Show the bars, for so many mails and octets."""
        self._progress.update(self._mails, total=mails)
        self._progress.update(self._octets, total=octets)
        self._progress.start()

    def sent(self, octets: int) -> None:
        """Count octets that were sent."""
        self._progress.advance(self._octets, octets)

    def report(self, report: Report) -> None:
        """Count a mail."""
        self._progress.advance(self._mails)
        super().report(report)

    def say(self, text: str) -> None:
        """Show a line above the bars."""
        self._progress.console.print(printable(text), markup=False)

    def stop(self) -> None:
        """Stop updating the bars."""
        self._progress.stop()

    def summarise(self, tally: Tally, seconds: float, output: TextIO) -> None:
        """Show the result of the run as a table."""
        table = Table("", Column("mails", justify="right"))
        table.add_column("octets", justify="right")
        for status, what, mails, octets in rows_of(tally):
            table.add_row(what, mails, octets, style=_STYLES.get(status))
        console = Console(file=output, highlight=False)
        console.print(table)
        console.print(total_of(tally, seconds))

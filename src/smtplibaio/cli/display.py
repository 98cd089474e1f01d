"""What people see while mails are sent, and after: plain lines, or nothing but errors.

Rules:

1. Progress and errors go to stderr; stdout is for the summary, or for JSON.
2. A line about a mail that was not accepted is shown at once, whatever else is shown.
3. No control character of a server or a file reaches the terminal.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from ..exceptions import printable
from .reports import Report, Tally

__all__ = [
    "Display",
    "PlainDisplay",
    "duration_of",
    "rate_of",
    "rows_of",
    "size_of",
    "total_of",
]

#: Seconds between two lines about progress.
INTERVAL = 5.0

#: What the envelope of a mail costs, in octets, for the estimate of the time left.
_ENVELOPE = 1000


def size_of(octets: float) -> str:
    """Write a number of octets as people do: "3.4 MB"."""
    if octets < 999.95:
        return f"{octets:.0f} octets"
    power = 1 + (octets >= 999_950) + (octets >= 999_950_000)
    return f"{octets / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def rate_of(number: float, seconds: float) -> str:
    """Write how many there are in a second."""
    rate = number / seconds if seconds > 0 else 0.0
    return f"{rate:.1f}" if rate < 10 else f"{rate:.0f}"


def duration_of(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours: "0:21", "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


#: The rows of the summary: each status, and the words for it.
_ROWS = {
    "accepted": "accepted",
    "partial": "accepted for some recipients",
    "refused": "refused",
    "unknown": "unknown",
    "not sent": "not sent",
    "skipped": "accepted by an earlier run",
}


def rows_of(tally: Tally) -> list[tuple[str, str, str, str]]:
    """Give the rows of the summary: status, words for it, mails, octets."""
    return [
        (status, words, str(tally.mails[status]), size_of(tally.octets[status]))
        for status, words in _ROWS.items()
        if tally.mails[status]
    ]


def total_of(tally: Tally, seconds: float) -> str:
    """Give the last line of the summary."""
    total = sum(tally.mails.values())
    tried = total - tally.mails["not sent"] - tally.mails["skipped"]
    some = f"{tried} of {total}" if tried < total else f"{total}"
    return (
        f"{some} {'mail' if total == 1 else 'mails'} in {seconds:.1f} s, "
        f"{rate_of(tried, seconds)} a second"
    )


class Display:
    """Show nothing but what went wrong: the display of `--quiet` and of `--json`.

    Args:
        errors: Where that goes: stderr.
    """

    def __init__(self, errors: TextIO) -> None:
        self._errors = errors

    def start(self, mails: int, octets: int) -> None:
        """Begin, with so much to send."""

    def sent(self, octets: int) -> None:
        """Count octets that have left."""

    def report(self, report: Report) -> None:
        """Show what became of a mail, where it is not what was wanted."""
        if report.status not in ("accepted", "skipped"):
            for reason in report.reasons:
                self.say(f"{report.status}: {report.name}: {reason}")

    def say(self, text: str) -> None:
        """Show a line."""
        print(printable(text), file=self._errors, flush=True)

    def stop(self) -> None:
        """End what is shown while mails are sent."""

    def summarise(self, tally: Tally, seconds: float, output: TextIO) -> None:
        """Show what became of all mails."""


class PlainDisplay(Display):
    """Show a line about progress now and then, and a summary: where no terminal is.

    Args:
        errors: Where progress goes: stderr.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, errors: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(errors)
        self._clock = clock
        self._mails = self._octets = 0
        self._done_mails = self._done_octets = 0
        self._started = self._shown = 0.0

    def start(self, mails: int, octets: int) -> None:
        """Begin, with so much to send."""
        self._mails, self._octets = mails, octets
        self._started = self._shown = self._clock()

    def sent(self, octets: int) -> None:
        """Count octets that have left."""
        self._done_octets += octets
        now = self._clock()
        if now - self._shown >= INTERVAL:
            self._shown = now
            self.say(self._line(now - self._started))

    def report(self, report: Report) -> None:
        """Count a mail."""
        self._done_mails += 1
        super().report(report)

    def _line(self, seconds: float) -> str:
        done = self._done_octets + _ENVELOPE * self._done_mails
        all_ = self._octets + _ENVELOPE * self._mails
        left = duration_of(seconds * (all_ - done) / done) if done else "unknown"
        return (
            f"{self._done_mails} of {self._mails} mails, "
            f"{size_of(self._done_octets)} of {size_of(self._octets)}, "
            f"{rate_of(self._done_mails, seconds)} mails/s, time left {left}"
        )

    def summarise(self, tally: Tally, seconds: float, output: TextIO) -> None:
        """Show what became of all mails, as lines with columns."""
        rows = [row[1:] for row in rows_of(tally)]
        wide, narrow, broad = (
            max(map(len, column)) for column in zip(*rows, strict=True)
        )
        for what, mails, octets in rows:
            print(f"{what:{wide}}  {mails:>{narrow}}  {octets:>{broad}}", file=output)
        print(total_of(tally, seconds), file=output)

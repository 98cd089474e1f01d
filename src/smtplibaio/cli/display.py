"""The output for people while mails are sent, and after: plain lines, or only errors.

Rules:

1. Progress and errors go to stderr; the summary, or JSON, goes to stdout.
2. If a mail is not accepted, a line about it is shown at once.
3. Control characters from a server or a file never reach the terminal.
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

#: Seconds between two progress lines.
INTERVAL = 5.0

#: The octets that are added for each envelope, to estimate the time that is left.
_ENVELOPE = 1000


def size_of(octets: float) -> str:
    """Write a number of octets for people: "3.4 MB"."""
    if octets < 999.95:
        return f"{octets:.0f} octets"
    power = 1 + (octets >= 999_950) + (octets >= 999_950_000)
    return f"{octets / 1000**power:.1f} {('kB', 'MB', 'GB')[power - 1]}"


def rate_of(number: float, seconds: float) -> str:
    """Write a number per second."""
    rate = number / seconds if seconds > 0 else 0.0
    return f"{rate:.1f}" if rate < 10 else f"{rate:.0f}"


def duration_of(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours: "0:21", "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


#: The rows of the summary: each status, and its text.
_ROWS = {
    "accepted": "accepted",
    "partial": "accepted for some recipients",
    "refused": "refused",
    "unknown": "unknown",
    "not sent": "not sent",
    "skipped": "accepted by an earlier run",
}


def rows_of(tally: Tally) -> list[tuple[str, str, str, str]]:
    """Return the rows of the summary: status, its text, mails, octets."""
    return [
        (status, words, str(tally.mails[status]), size_of(tally.octets[status]))
        for status, words in _ROWS.items()
        if tally.mails[status]
    ]


def total_of(tally: Tally, seconds: float) -> str:
    """Return the last line of the summary."""
    total = sum(tally.mails.values())
    tried = total - tally.mails["not sent"] - tally.mails["skipped"]
    some = f"{tried} of {total}" if tried < total else f"{total}"
    return (
        f"{some} {'mail' if total == 1 else 'mails'} in {seconds:.1f} s, "
        f"{rate_of(tried, seconds)} per second"
    )


class Display:
    """Show only errors: the display for `--quiet` and `--json`.

    Args:
        errors: The stream for errors: stderr.
    """

    def __init__(self, errors: TextIO) -> None:
        self._errors = errors

    def start(self, mails: int, octets: int) -> None:
        """Begin to send so many mails and octets."""

    def sent(self, octets: int) -> None:
        """Count octets that were sent."""

    def report(self, report: Report) -> None:
        """Show the reason if a mail was not accepted."""
        if report.status not in ("accepted", "skipped"):
            for reason in report.reasons:
                self.say(f"{report.status}: {report.name}: {reason}")

    def say(self, text: str) -> None:
        """Show a line."""
        print(printable(text), file=self._errors, flush=True)

    def stop(self) -> None:
        """Stop showing progress."""

    def summarise(self, tally: Tally, seconds: float, output: TextIO) -> None:
        """Show the result of the run."""


class PlainDisplay(Display):
    """Show a progress line every few seconds, and a summary: without a terminal.

    Args:
        errors: The stream for progress: stderr.
        clock: A function that returns the time in seconds.
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
        """Begin to send so many mails and octets."""
        self._mails, self._octets = mails, octets
        self._started = self._shown = self._clock()

    def sent(self, octets: int) -> None:
        """Count octets that were sent."""
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
        """Show the result of the run in columns."""
        rows = [row[1:] for row in rows_of(tally)]
        wide, narrow, broad = (
            max(map(len, column)) for column in zip(*rows, strict=True)
        )
        for what, mails, octets in rows:
            print(f"{what:{wide}}  {mails:>{narrow}}  {octets:>{broad}}", file=output)
        print(total_of(tally, seconds), file=output)

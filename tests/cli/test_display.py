"""What people see: plain lines, and bars where there is a terminal."""

from __future__ import annotations

from io import StringIO

import pytest

from smtplibaio.cli.bars import BarDisplay
from smtplibaio.cli.display import (
    Display,
    PlainDisplay,
    duration_of,
    rate_of,
    size_of,
    total_of,
)
from smtplibaio.cli.reports import Report, Tally

REFUSED = Report("b.eml", 2000, "refused", (), {"c@y.example": "550 no"})


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (0, "0 octets"),
        (999, "999 octets"),
        (1000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_951, "1.0 MB"),
        (2_500_000_000_000, "2500.0 GB"),
    ],
)
def test_sizes_are_written_as_people_do(octets: int, shown: str) -> None:
    assert size_of(octets) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0:00"), (61, "1:01"), (3723, "1:02:03")]
)
def test_times_are_written_as_people_do(seconds: float, shown: str) -> None:
    assert duration_of(seconds) == shown


@pytest.mark.parametrize(
    ("number", "seconds", "shown"), [(5, 0, "0.0"), (5, 2, "2.5"), (500, 2, "250")]
)
def test_rates_are_by_the_second(number: float, seconds: float, shown: str) -> None:
    assert rate_of(number, seconds) == shown


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def tally() -> Tally:
    made = Tally()
    made.add(Report("a.eml", 1000, "accepted"), Report("a.eml", 1000, "accepted"))
    made.add(REFUSED)
    return made


def test_without_a_terminal_a_line_tells_of_progress_now_and_then() -> None:
    clock, errors = Clock(), StringIO()
    display = PlainDisplay(errors, clock)
    display.start(4, 4000)
    display.sent(0)
    clock.now += 5
    display.sent(0)
    clock.now += 5
    display.sent(1000)
    display.report(Report("a.eml", 1000, "accepted"))
    display.sent(1000)
    clock.now += 10
    display.sent(0)
    display.stop()
    assert errors.getvalue().splitlines() == [
        "0 of 4 mails, 0 octets of 4.0 kB, 0.0 mails/s, time left unknown",
        "0 of 4 mails, 1.0 kB of 4.0 kB, 0.0 mails/s, time left 1:10",
        "1 of 4 mails, 2.0 kB of 4.0 kB, 0.1 mails/s, time left 0:33",
    ]


def test_what_was_not_accepted_is_shown_at_once() -> None:
    errors = StringIO()
    display = Display(errors)
    display.start(2, 2000)
    display.sent(1000)
    display.report(Report("a.eml", 1000, "accepted"))
    display.report(Report("a.eml", 1000, "skipped"))
    display.report(REFUSED)
    display.report(Report("c\x1b.eml", 1, "not sent", why="lost"))
    display.stop()
    display.summarise(tally(), 1, errors)
    assert errors.getvalue().splitlines() == [
        "refused: b.eml: c@y.example: 550 no",
        "not sent: c\\x1b.eml: lost",
    ]


def test_the_summary_has_columns() -> None:
    output = StringIO()
    PlainDisplay(StringIO()).summarise(tally(), 2, output)
    assert output.getvalue() == (
        "accepted  2  2.0 kB\nrefused   1  2.0 kB\n3 mails in 2.0 s, 1.5 per second\n"
    )


def test_what_was_not_tried_makes_nothing_faster() -> None:
    made = tally()
    made.add(Report("d.eml", 1, "not sent"), Report("e.eml", 1, "skipped"))
    assert total_of(made, 2) == "3 of 5 mails in 2.0 s, 1.5 per second"
    alone = Tally()
    alone.add(Report("a.eml", 1, "accepted"))
    assert total_of(alone, 2) == "1 mail in 2.0 s, 0.5 per second"


def test_bars_show_mails_and_octets() -> None:
    errors, output = StringIO(), StringIO()
    display = BarDisplay(errors)
    display.start(2, 4000)
    display.sent(1000)
    display.report(Report("a.eml", 1000, "accepted"))
    display.report(REFUSED)
    display.say("[bold]\x1b text")
    display.stop()
    shown = errors.getvalue()
    assert "refused: b.eml: c@y.example: 550 no\n" in shown
    assert "[bold]\\x1b text\n" in shown
    assert "2 of 2" in shown
    assert "1.0 kB of 4.0 kB" in shown
    display.summarise(tally(), 2, output)
    assert "accepted" in output.getvalue()
    assert output.getvalue().endswith("3 mails in 2.0 s, 1.5 per second\n")

"""Rounds: every run of a row once, then every run again."""

from __future__ import annotations

import statistics
import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from .comparing import Comparison, Row
from .harness import Failure, Harness
from .meter import Result
from .work import Work

__all__ = ["Measured", "Outcome", "measure"]


@dataclass(frozen=True)
class Outcome:
    """Hold the figures of a comparison, one a round; or why there are none."""

    comparison: Comparison
    figures: tuple[float, ...]
    reason: str = ""

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Give the lower quartile, the median, the upper quartile."""
        if len(self.figures) == 1:
            return (self.figures[0],) * 3
        low, middle, high = statistics.quantiles(self.figures, method="inclusive")
        return low, middle, high

    @property
    def is_reached(self) -> bool:
        """Tell whether the median is as good as the goal."""
        return bool(self.figures) and self.comparison.is_reached(self.quartiles[1])


@dataclass
class Measured:
    """Hold what a row has come to."""

    row: Row
    outcomes: list[Outcome] = field(default_factory=list)
    results: dict[Work, list[Result]] = field(default_factory=dict)


def measure(
    harness: Harness, row: Row, rounds: int, told: Callable[[str], object]
) -> Measured:
    """Measure a row; a run that fails is not run again."""
    failed: dict[Work, str] = {}
    kept: list[dict[Work, Result]] = []
    for number in range(row.rounds or rounds):
        told(f"{row.title}: round {number + 1} of {row.rounds or rounds}")
        kept.append(_round(harness, row, failed))
    measured = Measured(row)
    measured.outcomes = [_outcome(c, kept, failed) for c in row.comparisons]
    results = defaultdict(list)
    for of_round in kept:
        for work, result in of_round.items():
            results[work].append(result)
    measured.results = dict(results)
    return measured


def _round(harness: Harness, row: Row, failed: dict[Work, str]) -> dict[Work, Result]:
    results = {}
    for work in row.works:
        if work in failed:
            continue
        try:
            results[work] = harness.run(work)
        except (Failure, subprocess.TimeoutExpired) as error:
            failed[work] = f"{work.client}: {error}"
    return results


def _outcome(
    comparison: Comparison, kept: list[dict[Work, Result]], failed: dict[Work, str]
) -> Outcome:
    reasons = [failed[work] for work in comparison.works if work in failed]
    if reasons:
        return Outcome(comparison, (), reasons[0])
    try:
        figures = tuple(comparison.value(results) for results in kept)
    except (KeyError, ValueError) as error:
        return Outcome(comparison, (), str(error))
    return Outcome(comparison, figures)

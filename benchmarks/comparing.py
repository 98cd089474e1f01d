"""What is compared: figures of runs, their ratios, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .meter import Result
from .work import Work

__all__ = ["BULK", "MIB", "Comparison", "Row", "figure", "ratio", "uvloop"]

#: What a round has measured.
Results = Mapping[Work, Result]

MIB = 1 << 20
BULK = 25 * MIB


@dataclass(frozen=True)
class Comparison:
    """What is divided by what, and what it should come to.

    Args:
        name: What is compared, as it stands in the table.
        works: The runs that are needed.
        value: Computes the figure of one round.
        goal: The limit; None where there is only something to know.
        is_floor: Whether the goal is the least that will do, not the most.
        unit: Of the figure; "x" for a ratio.
    """

    name: str
    works: tuple[Work, ...]
    value: Callable[[Results], float]
    goal: float | None = None
    is_floor: bool = False
    unit: str = "x"

    def is_reached(self, figure: float) -> bool:
        """Whether a figure is as good as the goal."""
        if self.goal is None:
            return True
        return figure >= self.goal if self.is_floor else figure <= self.goal

    def of_goal(self, figure: float) -> float:
        """A figure in parts of the goal: up to 1 is reached."""
        if self.goal is None:
            raise ValueError("there is no goal")
        least = 1e-6
        if self.is_floor:
            return self.goal / max(figure, least)
        return max(figure, least) / self.goal


@dataclass(frozen=True)
class Row:
    """The comparisons of one kind of work."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...]
    rounds: int | None = None

    @property
    def works(self) -> list[Work]:
        """Every run once, in the order of the comparisons."""
        return list(dict.fromkeys(w for c in self.comparisons for w in c.works))


def ratio(
    name: str,
    ours: Work,
    peer: Work,
    goal: float | None = None,
    *,
    key: str = "cpu",
    is_rate: bool = False,
) -> Comparison:
    """Compare a figure of two runs; a rate is the inverse of a time."""

    def value(results: Results) -> float:
        times = results[ours][key] / results[peer][key]
        return 1 / times if is_rate else times

    return Comparison(name, (ours, peer), value, goal, is_rate)


def figure(
    name: str, work: Work, key: str, goal: float | None, unit: str, scale: float = 1
) -> Comparison:
    """Show one figure of one run."""
    return Comparison(
        name, (work,), lambda results: results[work][key] * scale, goal, unit=unit
    )


def uvloop(ours: Work, prefix: str = "") -> Comparison:
    """Compare a run on uvloop with the same run on asyncio's loop."""
    name = "uvloop: CPU / stdlib loop"
    return ratio(prefix + name, replace(ours, loop="uvloop"), ours, 1.0)

"""Draw how far each figure is from its goal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .measuring import Measured, Outcome

__all__ = ["draw"]

_GOOD, _BAD = "#2f7d4f", "#b3392f"


def draw(measured: list[Measured], path: Path) -> None:
    """Write an SVG: a bar a goal, up to the line at 1 where it is reached."""
    bars = [
        (f"{each.row.name}: {outcome.comparison.name}", outcome)
        for each in measured
        for outcome in each.outcomes
        if outcome.figures and outcome.comparison.goal is not None
    ]
    # Text as text is small, and the salt makes the identifiers the same each time.
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "smtplibaio",
        "font.size": 8,
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8, 0.8 + 0.2 * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        for place, (_, outcome) in enumerate(bars):
            _bar(axes, place, outcome)
        axes.set_xscale("log")
        axes.axvline(1, color="black", linewidth=1)
        axes.set_yticks(range(len(bars)), [label for label, _ in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlabel("measured / goal (log; up to 1 is reached), quartiles")
        axes.grid(axis="x", linewidth=0.3)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _bar(axes: mpl.axes.Axes, place: int, outcome: Outcome) -> None:
    ends = sorted(map(outcome.comparison.of_goal, outcome.quartiles))
    low, middle, high = ends
    axes.barh(
        place,
        middle,
        height=0.7,
        color=_GOOD if outcome.is_reached else _BAD,
        xerr=[[middle - low], [high - middle]],
        error_kw={"linewidth": 0.8, "capsize": 2},
    )
    axes.annotate(
        f"{middle:.2f}",
        (high, place),
        xytext=(4, 0),
        textcoords="offset points",
        verticalalignment="center",
        fontsize=7,
    )

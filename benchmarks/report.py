"""Show what was measured: to the terminal, as reStructuredText, as JSON."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .harness import cores
from .measuring import Measured, Outcome
from .work import Work

__all__ = ["as_json", "environment", "show", "write"]

_HEADINGS = ("measured", "goal", "median", "quartiles", "verdict")
_PACKAGES = ("smtplibaio", "aiosmtplib", "uvloop")


def environment() -> dict[str, Any]:
    """Tell where the figures come from."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "pinned": bool(cores()[0]),
        **versions,
    }


def _number(figure: float) -> str:
    return f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"


def _cells(outcome: Outcome) -> tuple[str, str, str, str, str]:
    comparison = outcome.comparison
    unit = "" if comparison.unit == "x" else f" {comparison.unit}"
    goal = "-"
    if comparison.goal is not None:
        goal = f"{'>=' if comparison.is_floor else '<='} {comparison.goal:g}{unit}"
    if not outcome.figures:
        verdict = "left out" if "LeftOut" in outcome.reason else "failed"
        return comparison.name, goal, "-", "-", verdict
    low, middle, high = outcome.quartiles
    verdict = ""
    if comparison.goal is not None:
        verdict = "reached" if outcome.is_reached else "not reached"
    spread = f"{_number(low)} to {_number(high)}" if len(outcome.figures) > 1 else "-"
    return comparison.name, goal, _number(middle) + unit, spread, verdict


def _table(measured: list[Measured]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for each in measured:
        title = each.row.title
        for outcome in each.outcomes:
            lines.append((title, *_cells(outcome)))
            title = ""
    return lines


def _label(work: Work) -> str:
    words = [work.client]
    if work.window:
        words.append(f"window {work.window}")
    if work.recipients > 1:
        words.append(f"{work.recipients} recipients")
    if work.connections > 1 or work.client.startswith("pool-"):
        words.append(f"{work.connections} connections")
    if work.link:
        words.append("slow link")
    if work.size > 1 << 20:
        words.append(f"{work.size >> 20} MiB")
    if work.tls:
        words.append("TLS")
    if work.loop != "asyncio":
        words.append(work.loop)
    return ", ".join(words)


def _figures(measured: list[Measured]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for each in measured:
        title = each.row.title
        for work, results in each.results.items():
            if "cpu" not in results[0]:
                continue
            medians = [
                sorted(result[key] for result in results)[len(results) // 2]
                for key in ("cpu", "wall")
            ]
            lines.append((title, _label(work), *map(_number, medians)))
            title = ""
    return lines


def show(measured: list[Measured], console: Console) -> None:
    """Print the table, and the figures that the ratios are made of."""
    styles = {"reached": "green", "not reached": "bold red", "failed": "bold red"}
    table = Table(*_HEADINGS, title="In one run, median and quartiles of the rounds")
    for title, *line in _table(measured):
        if title:
            table.add_section()
            table.add_row(f"[bold]{title}")
        table.add_row(*line, style=styles.get(line[-1], "dim"))
    console.print(table)
    for reason in _reasons(measured):
        console.print(f"No figures from {reason}", highlight=False)
    figures = Table("client", "CPU", "time", title="Microseconds a unit, medians")
    for title, *line in _figures(measured):
        if title:
            figures.add_section()
            figures.add_row(f"[bold]{title}")
        figures.add_row(*line)
    console.print(figures)
    console.print(_summary(measured), highlight=False)


def _reasons(measured: list[Measured]) -> list[str]:
    """Give why runs have failed or were left out, each once."""
    reasons = dict.fromkeys(o.reason for m in measured for o in m.outcomes if o.reason)
    return [reason.replace("benchmarks.peers.LeftOut: ", "") for reason in reasons]


def _summary(measured: list[Measured]) -> str:
    goals = [o for m in measured for o in m.outcomes if o.comparison.goal is not None]
    reached = sum(o.is_reached for o in goals)
    told = ", ".join(f"{key} {value}" for key, value in environment().items())
    return f"{reached} of {len(goals)} goals reached ({told})."


def as_json(measured: list[Measured]) -> dict[str, Any]:
    """Give every figure of every round."""
    return {
        "environment": environment(),
        "arguments": sys.argv[1:],
        "rows": [
            {
                "name": each.row.name,
                "title": each.row.title,
                "comparisons": [_outcome_as_json(o) for o in each.outcomes],
                "runs": [
                    {"work": _label(work), **_options(work), "results": results}
                    for work, results in each.results.items()
                ],
            }
            for each in measured
        ],
    }


def _outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    comparison = outcome.comparison
    return {
        "name": comparison.name,
        "goal": comparison.goal,
        "is_floor": comparison.is_floor,
        "unit": comparison.unit,
        "figures": outcome.figures,
        "quartiles": outcome.quartiles if outcome.figures else None,
        "is_reached": outcome.is_reached if comparison.goal is not None else None,
        "reason": outcome.reason,
    }


def _options(work: Work) -> dict[str, Any]:
    values = asdict(work)
    for name in ("port", "tls_port", "authority", "node_modules", "cores", "host"):
        del values[name]
    return values


def _rst(headings: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    text = [".. list-table::", "   :header-rows: 1", ""]
    for line in [headings, *lines]:
        for n, cell in enumerate(line):
            # A dash alone would be a list of its own.
            shown = "" if cell == "-" else cell
            text.append(f"   {'* -' if n == 0 else '  -'} {shown}".rstrip())
    return "\n".join(text) + "\n"


def write(measured: list[Measured], directory: Path) -> None:
    """Write table.rst, figures.rst, table.txt and plot.svg."""
    from .plot import draw

    directory.mkdir(parents=True, exist_ok=True)
    table = _rst(("work", *_HEADINGS), _table(measured))
    notes = [f"* No figures from {reason}" for reason in _reasons(measured)]
    told = "\n".join([_summary(measured), "", *notes]).rstrip()
    (directory / "table.rst").write_text(f"{table}\n{told}\n")
    figures = _rst(("work", "client", "CPU us", "time us"), _figures(measured))
    (directory / "figures.rst").write_text(figures)
    with (directory / "table.txt").open("w") as file:
        show(measured, Console(file=file, width=120))
    draw(measured, directory / "plot.svg")

"""Show a world so that its reader can play it by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import Any

from .driver import Played

__all__ = ["show", "summary"]

#: Of a conversation that is shown.
_MOST_LINES = 100


def show(played: Played) -> str:
    """The world, what was said on each connection, what was told, and what is wrong."""
    world = played.world
    settings = f"{world.kind}, {world.clients} clients, chunking={world.chunking}"
    limits = f"pipelining={world.pipelining}, patience {world.patience}"
    lines = [
        f"== seed {world.seed}",
        f"{_brief(world.profile)}; {settings}, {limits}",
    ]
    number = 0
    for actor, ops in enumerate(world.actors):
        for op in ops:
            lines.append(f"task {actor}, op {number}: {_brief(op)}")
            number += 1
    lines.extend(f"fault at {step}: {_brief(f)}" for step, f in world.faults.items())
    lines.extend(_brief(disturbance) for disturbance in world.disturbances)
    for number, transcript in enumerate(played.model.transcripts, 1):
        lines.append(f"-- connection {number}")
        lines.extend(transcript[:_MOST_LINES])
        if len(transcript) > _MOST_LINES:
            lines.append(f"... and {len(transcript) - _MOST_LINES} lines more")
    lines.append("-- told")
    for number, told in sorted(played.ledger.told.items()):
        lines.append(f"m{number}: {told.status}: {told.text[:300]}")
    lines.append("-- found" if played.ledger.findings else "-- nothing found")
    lines.extend(map(str, played.ledger.findings))
    return "\n".join(lines)


def _brief(value: Any) -> str:
    """A dataclass without what is as by default."""
    shown = []
    for each in fields(value):
        held = getattr(value, each.name)
        if held == each.default:
            continue
        if (
            isinstance(held, tuple)
            and held
            and hasattr(held[0], "__dataclass_fields__")
        ):
            text = f"({', '.join(map(_brief, held))})"
        else:
            text = repr(held)
        shown.append(f"{each.name}={text}")
    return f"{type(value).__name__}({', '.join(shown)})"


def summary(counts: Counter[str]) -> str:
    """The ledger of many worlds."""
    stored = {status: counts[f"{status}, stored"] for status in _STATUSES}
    told = " + ".join(
        f"{stored[status]} of {counts[status]} told {words}"
        for status, words in _STATUSES.items()
    )
    return (
        f"{counts['worlds']} worlds, {counts['worlds that failed']} failed; "
        f"{counts['mails']} mails, {counts['stored']} stored = {told}"
    )


#: What callers are told, in the words of the ledger and in those of its reader.
_STATUSES = {
    "accepted": "accepted",
    "unknown": "unknown",
    "nothing": "refused or not sent",
    "untold": "nothing",
}

"""Make a world that fails smaller, while it breaks one of the same rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from .driver import Played
from .letters import Letter
from .plan import Fault, Op, World
from .playing import play_world

__all__ = ["shrink"]

_TRIES = 600


def shrink(played: Played, loop: str) -> Played:
    """The smallest world that was found, played."""
    rules = {finding.rule for finding in played.ledger.findings}
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for world in _smaller(played.world):
            tries += 1
            if tries > _TRIES:
                return played
            again = play_world(world, loop)
            if rules & {finding.rule for finding in again.ledger.findings}:
                played = again
                is_smaller = True
                break
    return played


def _smaller(world: World) -> Iterator[World]:
    """Worlds that lack one thing."""
    for n in range(len(world.disturbances)):
        rest = world.disturbances[:n] + world.disturbances[n + 1 :]
        yield replace(world, disturbances=rest)
    for actor, ops in enumerate(world.actors):
        for n, op in enumerate(ops):
            for smaller in _smaller_ops(op):
                yield _with(world, actor, n, smaller)
    for step, fault in world.faults.items():
        others = {s: f for s, f in world.faults.items() if s != step}
        yield replace(world, faults=others)
        if fault.then and fault.code:
            yield replace(world, faults={**world.faults, step: Fault(fault.code)})
    for profile in _plainer(world.profile, ("narrow", "turns", *_HABITS)):
        yield replace(world, profile=profile)
    if world.kind != "smtp":
        yield replace(world, kind="smtp")
    if world.chunking is not None:
        yield replace(world, chunking=None)


_HABITS = ("keeps", "always_354", "buffered", "cut")


def _plainer(thing: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """The same with one thing as it is by default."""
    defaults = {field.name: field.default for field in fields(thing)}
    for name in names:
        if getattr(thing, name) != defaults[name]:
            yield replace(thing, **{name: defaults[name]})


def _with(world: World, actor: int, at: int, op: Op) -> World:
    ops = world.actors[actor]
    ops = (*ops[:at], op, *ops[at + 1 :])
    actors = (*world.actors[:actor], ops, *world.actors[actor + 1 :])
    return replace(world, actors=actors)


def _smaller_ops(op: Op) -> Iterator[Op]:
    if op.letters:
        # An op that does nothing keeps the numbers of the others.
        yield Op("many", (), op.client)
    if op.kind in ("many", "pipeline", "chunks") and len(op.letters) > 1:
        for n in range(len(op.letters)):
            yield replace(op, letters=op.letters[:n] + op.letters[n + 1 :])
    for n, letter in enumerate(op.letters):
        for smaller in _smaller_letters(letter):
            letters = (*op.letters[:n], smaller, *op.letters[n + 1 :])
            yield replace(op, letters=letters)
    yield from _plainer(op, ("limit", "failure", "leave_after", "source", "waits"))
    if op.window > 2:
        yield replace(op, window=2)


def _smaller_letters(letter: Letter) -> Iterator[Letter]:
    if letter.lines > 4500:
        yield replace(letter, lines=4500)
    if letter.lines:
        yield replace(letter, lines=0)
    if letter.failure:
        yield replace(letter, failure="")
    elif letter.form != "bytes":
        yield replace(letter, form="bytes")
    if letter.recipients > 1:
        yield replace(letter, recipients=1)
    if letter.all_or_nothing:
        yield replace(letter, all_or_nothing=False)

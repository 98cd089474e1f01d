"""Play the world of a seed on the loop that is named."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import Callable

from .clock import VirtualLoop
from .drawing import world_of
from .driver import Played, play
from .model import Model
from .plan import World

__all__ = ["LOOPS", "play_seed", "play_world"]

#  The loops: asyncio's with a virtual clock, the same with eager tasks (Python 3.12),
# and uvloop, whose clock is real.
LOOPS = ("asyncio", "eager", "uvloop")

#: A second of a plan, where the clock is real.
_PACE = 0.004


def play_seed(seed: int, loop: str = "asyncio") -> Played:
    """Play the world of a seed."""
    return play_world(world_of(seed), loop)


def play_world(
    world: World, loop: str = "asyncio", model: type[Model] = Model
) -> Played:
    """Play a world."""
    with warnings.catch_warnings():
        # Loops that are closed with all that is under way leave much behind.
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            return play(world, _NEW[loop], _PACE if loop == "uvloop" else 1.0, model)
        finally:
            gc.collect()
            sys.unraisablehook = hook


def _eager() -> asyncio.AbstractEventLoop:
    if sys.version_info < (3, 12):
        raise RuntimeError("eager tasks need Python 3.12")
    loop = VirtualLoop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


_NEW: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": VirtualLoop,
    "eager": _eager,
    "uvloop": _uvloop,
}

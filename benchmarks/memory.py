"""How much memory this process holds, as the kernel counts it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Self

__all__ = ["Peak", "resident"]

_PROCESS = Path("/proc/self")


def resident() -> int:
    """Give the octets that are resident, exactly where the kernel can tell."""
    rollup = _PROCESS / "smaps_rollup"
    if rollup.exists():
        return _field("Rss", rollup)
    return _field("VmRSS", _PROCESS / "status")


class Peak:
    """Give, after the block, the peak above the start."""

    def __init__(self) -> None:
        self.octets = 0
        self._start = 0

    def __enter__(self) -> Self:
        # 5 resets the peak (proc(5)); a process that is fresh has none to reset.
        (_PROCESS / "clear_refs").write_text("5")
        self._start = _field("VmRSS", _PROCESS / "status")
        return self

    def __exit__(self, *_: object) -> None:
        self.octets = max(0, _field("VmHWM", _PROCESS / "status") - self._start)


def _field(name: str, path: Path) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{path} does not tell {name}")
    return int(found[1]) * 1024

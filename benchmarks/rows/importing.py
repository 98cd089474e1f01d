"""What the import and the first client cost."""

from __future__ import annotations

from dataclasses import replace

from ..comparing import MIB, Row, figure, ratio
from ..work import Work

__all__ = ["row"]


def row(base: Work, _: float) -> Row:
    """The row, for loops as `base` says."""
    ours = replace(base, client="import-ours")
    peer = replace(base, client="import-aiosmtplib")
    return Row(
        "import",
        "import and first client, above asyncio and ssl",
        (
            ratio("CPU / aiosmtplib", ours, peer, 0.6, key="ms"),
            figure("time", ours, "ms", None, "ms"),
            figure("memory", ours, "memory", None, "MiB", 1 / MIB),
            figure("time, aiosmtplib", peer, "ms", None, "ms"),
            figure("memory, aiosmtplib", peer, "memory", None, "MiB", 1 / MIB),
        ),
    )

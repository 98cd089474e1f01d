"""Count the calls of our own Python functions that one `sendmail` makes.

`sys.monitoring` (Python 3.12) tells of each start of a function, of a coroutine or of a
generator; what is resumed after a wait is not counted again.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from pathlib import Path
from types import CodeType

import smtplibaio

from .meter import Result
from .ours import client
from .work import SENDER, Work, addresses, letter

__all__ = ["run"]

_WARM_UP = 20
_ROOT = str(Path(smtplibaio.__file__).parent)


async def run(work: Work) -> Result:
    """Count by function: the calls of one `sendmail`, their sum, the coroutines."""
    if sys.version_info < (3, 12):
        raise RuntimeError("sys.monitoring needs Python 3.12")
    counts: Counter[CodeType] = Counter()

    def count(code: CodeType, _: int) -> object:
        if not code.co_filename.startswith(_ROOT):
            return sys.monitoring.DISABLE
        counts[code] += 1
        return None

    monitoring, tool = sys.monitoring, sys.monitoring.PROFILER_ID
    message, recipients = letter(work.size), addresses(1)
    async with client(work) as smtp:
        for n in range(_WARM_UP):
            await smtp.sendmail(SENDER, recipients[n], message)
        monitoring.use_tool_id(tool, "benchmarks.calls")
        monitoring.register_callback(tool, monitoring.events.PY_START, count)
        monitoring.set_events(tool, monitoring.events.PY_START)
        for n in range(work.messages):
            await smtp.sendmail(SENDER, recipients[n], message)
        monitoring.set_events(tool, 0)
        monitoring.free_tool_id(tool)
    return _result(counts, work.messages)


def _result(counts: Counter[CodeType], messages: int) -> Result:
    result: Result = {}
    for code, count in counts.items():
        module = Path(code.co_filename).relative_to(_ROOT).with_suffix("")
        result[f"{module}: {code.co_qualname}"] = count / messages
    coroutines = sum(
        count for code, count in counts.items() if code.co_flags & inspect.CO_COROUTINE
    )
    return {
        **result,
        "total": counts.total() / messages,
        "coroutines": coroutines / messages,
        "sent": messages + _WARM_UP,
    }

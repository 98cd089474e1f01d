"""What became of each mail, of all of them, and which exit status that is.

Rules:

1. The exit status is the first that applies: 130, the user stopped the command; 3, some
   mail may or may not have been accepted; 1, something was refused for good; 75, all
   that is left may succeed later; 0. (2, a wrong command line, is argparse's own.)
2. Of a mail that was accepted for some of its recipients the others count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from ..exceptions import SMTPDeliveryUnknownError, one_line, printable
from ..mail.result import Outcome

__all__ = ["ExitStatus", "Report", "Tally"]


class ExitStatus(IntEnum):
    """What the command tells the shell."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNKNOWN = 3
    TRANSIENT = 75  # EX_TEMPFAIL of sysexits.h
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one mail.

    Attributes:
        name: Where the message stands.
        octets: Its size.
        status: As in `Outcome`; or "skipped", where an earlier run has sent it.
        accepted: The recipients for whom the server has taken it.
        refused: What the server said of each other recipient.
        why: The error; empty where there was none.
        is_transient: Whether what failed may succeed later.
        queue_id: What the server calls the mail, where it says so.
    """

    name: str
    octets: int
    status: str
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    is_transient: bool = False
    queue_id: str | None = None

    @classmethod
    def of(cls, name: str, octets: int, outcome: Outcome) -> Report:
        """Make a report of what the client gives."""
        error, result = outcome.error, outcome.result
        if isinstance(error, SMTPDeliveryUnknownError):
            result = error.result
        replies = dict(result or getattr(error, "refused", {}))
        return cls(
            name,
            octets,
            outcome.status,
            () if result is None else tuple(result.accepted),
            {to: printable(one_line(*reply)) for to, reply in replies.items()},
            "" if error is None else str(error),
            all(reply.is_transient for reply in replies.values())
            if error is None
            else error.is_transient,
            None if result is None else result.queue_id,
        )

    @property
    def reasons(self) -> list[str]:
        """Why it was not accepted, one line for each recipient where that is known."""
        return [f"{to}: {reply}" for to, reply in self.refused.items()] or [self.why]


class Tally:
    """Count what became of the mails.

    Attributes:
        mails: How many there are of each status.
        octets: How large they are together, by status.
        was_interrupted: Whether the user has stopped the command.
    """

    def __init__(self) -> None:
        self.mails: Counter[str] = Counter()
        self.octets: Counter[str] = Counter()
        self.was_interrupted = False
        self._is_any_permanent = False

    def add(self, *reports: Report) -> None:
        """Count some mails."""
        for report in reports:
            self.mails[report.status] += 1
            self.octets[report.status] += report.octets
            if report.status in _FAILED and not report.is_transient:
                self._is_any_permanent = True

    @property
    def is_half_done(self) -> bool:
        """Whether something was sent, or may have been, and something is left."""
        was_begun = any(self.mails[s] for s in ("accepted", "partial", "unknown"))
        return was_begun and any(self.mails[s] for s in (*_FAILED, "unknown"))

    @property
    def exit_status(self) -> ExitStatus:
        """The first status that applies."""
        if self.was_interrupted:
            return ExitStatus.INTERRUPTED
        if self.mails["unknown"]:
            return ExitStatus.UNKNOWN
        if self._is_any_permanent:
            return ExitStatus.REFUSED
        if any(self.mails[status] for status in _FAILED):
            return ExitStatus.TRANSIENT
        return ExitStatus.OK


_FAILED = ("partial", "refused", "not sent")

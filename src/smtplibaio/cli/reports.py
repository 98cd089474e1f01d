"""The result of each mail, the result of the run, and the exit status.

Rules:

1. The exit status is the first that applies: 130, Ctrl-C stopped the command; 3, a mail
   may or may not have been accepted; 1, a failure is permanent; 75, all failures may
   succeed later; 0. (2, for a wrong command line, comes from argparse.)
2. If a mail was accepted only for some recipients, the others count as a failure.
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
    """The exit status of the command."""

    OK = 0
    REFUSED = 1
    USAGE = 2
    UNKNOWN = 3
    TRANSIENT = 75  # EX_TEMPFAIL of sysexits.h
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one mail.

    Attributes:
        name: The place of the message.
        octets: Its size.
        status: As in `Outcome`, or "skipped" if an earlier run has sent it.
        accepted: The recipients for whom the server has accepted it.
        refused: The server's reply for each other recipient.
        why: The error; empty if there was none.
        is_transient: Whether a failure may succeed later.
        queue_id: The server's name for the mail, if its reply has one.
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
        """Make a report from an outcome of the client."""
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
        """Why it was not accepted: a line for each refused recipient, or the error."""
        return [f"{to}: {reply}" for to, reply in self.refused.items()] or [self.why]


class Tally:
    """Count the results of the mails.

    Attributes:
        mails: The number of mails, by status.
        octets: The number of octets, by status.
        was_interrupted: Whether Ctrl-C has stopped the command.
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
        """Whether some mails were sent, or may have been, and others are left."""
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

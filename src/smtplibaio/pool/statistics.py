"""The figures of a pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ..mail.result import Status
from .signs import reason_of

__all__ = ["PoolStatistics", "Tally"]


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """The figures of a pool at one time.

    Attributes:
        open: Sessions that are open: `idle` and `busy` together.
        idle: Sessions that are not in use.
        busy: Sessions that are in use.
        waiting: Callers that wait for a session.
        limit: The largest number of connections now: the size of the pool, or less
            after the server has said that it is overloaded.
        accepted: Mails that were accepted for every recipient.
        partial: Mails that were accepted for some of their recipients.
        refused: Mails that the server refused.
        unknown: Mails that may or may not have been accepted.
        not_sent: Mails that the server has neither accepted nor refused.
        cancelled: Mails that are in no other figure: the caller was cancelled, and the
            server may have accepted the mail or not; or the caller has left the loop of
            `send_many` before the mail was begun.
        retries: Further attempts to send a mail.
        connects: Connections that were opened.
        replaced: Sessions that failed before MAIL was accepted, so that the mail was
            sent in another session. This does not count as an attempt.
        reasons: The number of failures of transactions and connections, by reply code,
            or by the name of the error if there was no reply.
    """

    open: int = 0
    idle: int = 0
    busy: int = 0
    waiting: int = 0
    limit: int = 0
    accepted: int = 0
    partial: int = 0
    refused: int = 0
    unknown: int = 0
    not_sent: int = 0
    cancelled: int = 0
    retries: int = 0
    connects: int = 0
    replaced: int = 0
    reasons: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(slots=True)
class Tally:
    """The figures that only grow, while they are counted.

    Attributes:
        mails: How many mails have ended, by what became of them.
        retries: As in `PoolStatistics`, like those below.
    """

    mails: Counter[Status | Literal["cancelled"]] = field(default_factory=Counter)
    retries: int = 0
    connects: int = 0
    replaced: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def failed(self, error: BaseException) -> None:
        """Count a failure by its reason."""
        self.reasons[reason_of(error)] += 1

    def goes_on(self, *, is_replaced: bool) -> None:
        """Count what follows a failure: another session, or another attempt."""
        if is_replaced:
            self.replaced += 1
        else:
            self.retries += 1

    def with_sessions(
        self, *, idle: int, busy: int, waiting: int, limit: int
    ) -> PoolStatistics:
        """Join these figures with those of the moment."""
        return PoolStatistics(
            open=idle + busy,
            idle=idle,
            busy=busy,
            waiting=waiting,
            limit=limit,
            accepted=self.mails["accepted"],
            partial=self.mails["partial"],
            refused=self.mails["refused"],
            unknown=self.mails["unknown"],
            not_sent=self.mails["not sent"],
            cancelled=self.mails["cancelled"],
            retries=self.retries,
            connects=self.connects,
            replaced=self.replaced,
            reasons=MappingProxyType(dict(self.reasons)),
        )

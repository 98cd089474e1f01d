"""Sending letters one after the other, so that at any moment it is known what is known.

Rules:

1. A mail is in the journal before it is given to the client, and its outcome is there
   before anything is shown of it.
2. Ctrl-C stops giving mails. Those that were given have some seconds to get their
   outcome; a second Ctrl-C does not wait. What has none then is unknown.
3. A message that cannot be read, or names no envelope, is "not sent", and the others
   go on. With a lost connection they do not.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol

from ..exceptions import (
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPException,
)
from ..mail.mail import Mail
from ..mail.result import Outcome
from .display import Display
from .journal import Journal, JournalError, still_due
from .letters import Letter, Loaded, loaded
from .reports import Report, Tally

__all__ = ["Client", "Delivery", "Envelope", "deliver"]

#: Errors that say nothing of the mails behind.
_OF_ONE_MAIL = (SMTPArgumentError, SMTPCommandNotSupportedError)

#: Seconds that mails on their way have after Ctrl-C.
PATIENCE = 10.0

#: Seconds that connections have to be closed in order, after that.
GRACE = 0.5


class Client(Protocol):
    """What sends mails: a session or a pool."""

    async def __aenter__(self) -> object: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> object: ...

    def send_many(
        self, messages: Iterator[Mail], *, window: int
    ) -> AsyncIterator[Outcome]:
        """Send mails, and give what became of each."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the command line says of every envelope.

    Attributes:
        sender: None for the sender that each message names.
        recipients: Empty for the recipients that each message names.
    """

    sender: str | None = None
    recipients: tuple[str, ...] = ()


@dataclass(slots=True)
class _Given:
    """A mail that the client has, and how much of it has left."""

    name: str
    letter: Letter
    octets: int = 0


class Delivery:
    """One run: which letters are given to the client, and what comes back.

    Attributes:
        tally: What became of the letters so far.

    Args:
        letters: What is to be sent.
        envelope: What the command line says of every envelope.
        journal: Where it is written down.
        display: Where it is shown.
        on_report: Called with the report of each mail.
        resend_unknown: Whether to send what may have been accepted by an earlier run.
        follows_octets: Whether the octets of a mail are counted as they leave.
    """

    def __init__(
        self,
        letters: Sequence[Letter],
        envelope: Envelope,
        journal: Journal,
        display: Display,
        on_report: Callable[[Report], object],
        *,
        resend_unknown: bool = False,
        follows_octets: bool = True,
    ) -> None:
        self.tally = Tally()
        self._letters = iter(letters)
        self._envelope = envelope
        self._journal = journal
        self._display = display
        self._on_report = on_report
        self._resend_unknown = resend_unknown
        self._follows_octets = follows_octets
        self._given: dict[int, _Given] = {}  # by the identity of the mail
        self._is_stopped = False
        self._failure: SMTPException | None = None

    @property
    def waiting(self) -> int:
        """How many mails the client has that have no outcome yet."""
        return len(self._given)

    def stop(self) -> None:
        """Give the client no more mails: the user wants so."""
        self._is_stopped = self.tally.was_interrupted = True

    async def run(self, client: Client, window: int) -> None:
        """Send the letters, until one shows that there is no connection any more.

        Raises:
            SMTPException: There is no connection; what was not given is still left.
            JournalError: The journal cannot be written.
        """
        async with client:
            async for outcome in client.send_many(self._mails(), window=window):
                self._ended(outcome)
        if self._failure is not None:
            raise self._failure

    def leave(self, why: str, *, is_transient: bool) -> None:
        """Count what the client did not give back, and what it was not given.

        Args:
            why: The reason, for people.
            is_transient: Whether another try may succeed.
        """
        for given in self._given.values():
            rest = given.letter.size - given.octets
            self._display.sent(rest)
            self._tell(Report(given.letter.name, given.letter.size, "unknown", why=why))
        for letter in self._letters:
            self.tally.add(
                Report(letter.name, letter.size, "not sent", (), {}, why, is_transient)
            )

    def _mails(self) -> Iterator[Mail]:
        while not self._is_stopped:
            letter = next(self._letters, None)
            if letter is None:
                return
            try:
                found = loaded(letter, self._envelope.sender, self._envelope.recipients)
            except (SMTPException, OSError) as exc:
                self._pass_over(letter, "not sent", str(exc))
                continue
            name, entry = self._journal.name_of(found.digest)
            due = still_due(
                entry, found.recipients, resend_unknown=self._resend_unknown
            )
            if found.recipients and not due:
                is_unknown = entry is not None and entry.status == "unknown"
                why = "an earlier run has begun it, and has not seen its outcome"
                status = "unknown" if is_unknown else "skipped"
                self._pass_over(letter, status, why if is_unknown else "")
                continue
            yield self._mail_of(name, letter, found, due)

    def _mail_of(
        self, name: str, letter: Letter, found: Loaded, due: list[str]
    ) -> Mail:
        given = _Given(name, letter)
        mail = Mail(
            found.message,
            found.sender,
            due,
            add_missing=True,
            progress=partial(self._left, given) if self._follows_octets else None,
        )
        self._journal.begin(name, letter.name, due)
        self._given[id(mail)] = given
        return mail

    def _left(self, given: _Given, octets: int, _total: int | None) -> None:
        """Count the octets of a mail that have left, as its file counts them."""
        octets = min(octets, given.letter.size)
        self._display.sent(octets - given.octets)
        given.octets = octets

    def _ended(self, outcome: Outcome) -> None:
        given = self._given[id(outcome.mail)]
        report = Report.of(given.letter.name, given.letter.size, outcome)
        why = "; ".join(report.reasons)
        self._journal.end(given.name, report.status, report.accepted, why)
        del self._given[id(outcome.mail)]
        if report.status == "not sent" and not isinstance(outcome.error, _OF_ONE_MAIL):
            self._is_stopped, self._failure = True, outcome.error
        self._left(given, given.letter.size, None)
        self._tell(report)

    def _pass_over(self, letter: Letter, status: str, why: str) -> None:
        self._display.sent(letter.size)
        self._tell(Report(letter.name, letter.size, status, why=why))

    def _tell(self, report: Report) -> None:
        self.tally.add(report)
        self._display.report(report)
        self._on_report(report)


async def deliver(
    delivery: Delivery, client: Client, window: int, say: Callable[[str], object]
) -> str:
    """Send the letters until they are sent, the connection is lost, or Ctrl-C.

    Args:
        delivery: The letters.
        client: What sends them.
        window: How many mails may be on their way without an outcome.
        say: Shows a line to the user.

    Returns:
        Why some were not sent; empty where nothing stood in the way.
    """
    loop = asyncio.get_running_loop()
    worker = asyncio.create_task(delivery.run(client, window))

    def break_off() -> None:
        worker.cancel()
        # A pool that is left waits for what it has begun, until that is cancelled, too.
        timers.append(loop.call_later(GRACE, worker.cancel))

    def stop() -> None:
        is_repeated = delivery.tally.was_interrupted
        delivery.stop()
        if is_repeated or not delivery.waiting:
            break_off()
            return
        timers.append(loop.call_later(PATIENCE, break_off))
        say(
            f"Stopping: {delivery.waiting} on the way, whose outcome is waited for "
            f"up to {PATIENCE:.0f} s (Ctrl-C again: not at all)."
        )

    timers: list[asyncio.TimerHandle] = []
    with _on_ctrl_c(lambda: loop.call_soon_threadsafe(stop)):
        await asyncio.wait({worker})
    for timer in timers:
        timer.cancel()
    error = None if worker.cancelled() else worker.exception()
    if isinstance(error, SMTPException):
        delivery.leave(str(error), is_transient=error.is_transient)
        return str(error)
    if isinstance(error, JournalError):
        delivery.leave(str(error), is_transient=False)
        return str(error)
    if error is not None:
        raise error
    is_stopped = delivery.tally.was_interrupted
    why = "the command was stopped" if is_stopped else "the client gave no outcome"
    delivery.leave(why, is_transient=True)
    return ""


@contextmanager
def _on_ctrl_c(call: Callable[[], object]) -> Iterator[None]:
    """Call something on Ctrl-C, in place of what would be done else."""
    before = signal.signal(signal.SIGINT, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

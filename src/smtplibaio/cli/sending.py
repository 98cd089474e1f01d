"""Sending the messages, with a record of each step in the journal.

Rules:

1. A mail is in the journal before the client gets it. Its outcome is in the journal
   before it is shown.
2. After Ctrl-C, the client gets no more mails. The mails that it has may still get
   their outcome, for some seconds; a second Ctrl-C ends that wait. A mail without an
   outcome is then unknown.
3. A message that cannot be read, or that does not name its recipients, is "not sent",
   and the other messages are sent. After a lost connection they are not sent.
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

#: Errors that concern only one mail: the next mails are sent.
_OF_ONE_MAIL = (SMTPArgumentError, SMTPCommandNotSupportedError)

#: Seconds in which mails may get their outcome after Ctrl-C.
PATIENCE = 10.0

#: Seconds in which connections may be closed normally, after that.
GRACE = 0.5


class Client(Protocol):
    """A client or a pool."""

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
        """Send mails, and yield the outcome of each."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The sender and the recipients on the command line.

    Attributes:
        sender: The sender; None for the sender that each message names.
        recipients: The recipients; empty for those that each message names.
    """

    sender: str | None = None
    recipients: tuple[str, ...] = ()


@dataclass(slots=True)
class _Given:
    """A mail that the client has, and the number of its octets that were sent."""

    name: str
    letter: Letter
    octets: int = 0


class Delivery:
    """One run: it gives messages to the client, and takes the outcomes.

    Attributes:
        tally: The results up to now.

    Args:
        letters: The messages to send.
        envelope: The sender and the recipients on the command line.
        journal: The record of the run.
        display: The output for people.
        on_report: A function that is called with the report of each mail.
        resend_unknown: Whether to send mails again that may have been accepted by an
            earlier run.
        follows_octets: Whether octets are counted while a mail is sent.
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
        """The number of mails that the client has, and that have no outcome yet."""
        return len(self._given)

    def stop(self) -> None:
        """Give no more mails to the client, because of Ctrl-C."""
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
                why = "an earlier run has begun it, and did not learn its outcome"
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
    """Send the messages until all are sent, the connection is lost, or Ctrl-C.

    Args:
        delivery: The messages.
        client: The client or the pool that sends them.
        window: The number of mails that may wait for their replies.
        say: A function that shows a line to the user.

    Returns:
        Why some were not sent; empty if there was no error.
    """
    loop = asyncio.get_running_loop()
    worker = asyncio.create_task(delivery.run(client, window))

    def break_off() -> None:
        worker.cancel()
        # A pool that is left waits for the mails that it has begun, until cancelled.
        timers.append(loop.call_later(GRACE, worker.cancel))

    def stop() -> None:
        is_repeated = delivery.tally.was_interrupted
        delivery.stop()
        if is_repeated or not delivery.waiting:
            break_off()
            return
        timers.append(loop.call_later(PATIENCE, break_off))
        say(
            f"Stopping. Waiting up to {PATIENCE:.0f} s for the outcome of "
            f"{delivery.waiting} {'mail' if delivery.waiting == 1 else 'mails'}. Press "
            "Ctrl-C again to stop at once."
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
    why = "Ctrl-C stopped the command" if is_stopped else "the client gave no outcome"
    delivery.leave(why, is_transient=True)
    return ""


@contextmanager
def _on_ctrl_c(call: Callable[[], object]) -> Iterator[None]:
    """Call a function on Ctrl-C, in place of the usual handler."""
    before = signal.signal(signal.SIGINT, lambda *_: call())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

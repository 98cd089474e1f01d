"""The ops of callers, each noting what it was told of its mails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from smtplibaio import (
    SMTP,
    Mail,
    Outcome,
    SendResult,
    SMTPCommandFailedError,
    SMTPException,
    SMTPPool,
)

from .ledger import Ledger
from .letters import Letter, numbers_in
from .plan import Op
from .sources import SourceError, mails_of, message_of

__all__ = ["Operator"]


class Operator:
    """Perform ops; one a loop.

    Args:
        ledger: What is noted.
        pace: What each second of the plan takes.
    """

    def __init__(self, ledger: Ledger, pace: float) -> None:
        self._ledger = ledger
        self._pace = pace
        self._connecting: dict[int, asyncio.Lock] = {}
        self._by_hand: dict[int, asyncio.Lock] = {}
        self._connected: set[int] = set()
        self._pending: list[tuple[Letter, list[asyncio.Future[Any]]]] = []

    async def perform(self, client: SMTP | SMTPPool, op: Op) -> None:
        """Perform one op.

        Raises:
            Exception: One that no caller can expect.
        """
        limit = None if op.limit is None else op.limit * self._pace
        is_cut_off = False
        try:
            async with asyncio.timeout(limit):
                if await self._connect(client, op):
                    await getattr(self, f"_{_METHODS.get(op.kind, op.kind)}")(
                        client, op
                    )
        except TimeoutError as exc:
            is_cut_off = True
            if op.limit is None or isinstance(exc, SMTPException):
                raise
        except BaseException:  # nobody was told; an odd one is noted by who waits
            is_cut_off = True
            raise
        finally:
            for letter in op.letters:
                if letter.number not in self._ledger.told:
                    status = "unknown" if is_cut_off else "untold"
                    self._ledger.tell(letter, status, "nothing")

    async def _connect(self, client: Any, op: Op) -> bool:
        """Connect where nobody has in this loop, and tell whether that is done."""
        if isinstance(client, SMTPPool):
            return True
        lock = self._connecting.setdefault(id(client), asyncio.Lock())
        async with lock:
            if client.is_connected and id(client) in self._connected:
                return True
            try:
                await client.connect()
            except SMTPException as exc:
                for letter in op.letters:
                    self._error(letter, exc)
                return False
            self._connected.add(id(client))
            return True

    # One mail

    async def _sendmail(self, client: Any, op: Op) -> None:
        (letter,) = op.letters
        try:
            result = await client.sendmail(
                letter.sender, letter.to, message_of(letter, self._pace)
            )
        except (SMTPException, SourceError) as exc:
            self._error(letter, exc)
        else:
            self._result(letter, result)

    async def _send_message(self, client: Any, op: Op) -> None:
        (letter,) = op.letters
        try:
            result = await client.send_message(
                message_of(letter, self._pace),
                letter.sender,
                letter.to,
                all_or_nothing=letter.all_or_nothing,
            )
        except (SMTPException, SourceError) as exc:
            self._error(letter, exc)
        else:
            self._result(letter, result)

    # Many mails

    async def _many(self, client: Any, op: Op) -> None:
        mails = [
            Mail(
                message_of(letter, self._pace),
                letter.sender,
                letter.to,
                all_or_nothing=letter.all_or_nothing,
            )
            for letter in op.letters
        ]
        handed: list[int] = []
        source = mails_of(op, mails, handed, self._pace, client)
        rest = "unknown"
        count = 0
        told: set[int] = set()
        outcomes = client.send_many(source, window=op.window)
        try:
            while count != op.leave_after:
                try:
                    outcome = await anext(outcomes)
                except StopAsyncIteration:
                    rest = "untold"
                    break
                number = next(n for n, m in enumerate(mails) if m is outcome.mail)
                if number != count and not isinstance(client, SMTPPool):
                    self._ledger.find("out of order", f"{outcome.mail}, not {count}")
                self._outcome(op.letters[number], outcome)
                told.add(number)
                count += 1
            else:
                await outcomes.aclose()
        except SourceError:
            rest = "nothing"
        except SMTPException as exc:
            rest = "nothing" if exc.safe_to_retry else "unknown"
        finally:
            del outcomes
            for n in set(range(len(mails))) - told:
                status = rest if n in handed else "nothing"
                self._ledger.tell(op.letters[n], status, "no outcome")

    def _outcome(self, letter: Letter, outcome: Outcome) -> None:
        if outcome.status in ("accepted", "partial"):
            result = outcome.result
            assert result is not None
            if (outcome.status == "partial") != bool(result):
                self._ledger.find("odd outcome", f"{outcome.status}: {result}")
            self._result(letter, result)
            return
        error = outcome.error
        assert error is not None
        if (outcome.status == "unknown") == error.safe_to_retry:
            self._ledger.find("odd outcome", f"{outcome.status}: {error!r}")
        self._error(letter, error)

    # Piece by piece

    async def _pipeline(self, client: Any, op: Op) -> None:
        given: list[tuple[Letter, list[asyncio.Future[Any]]]] = []
        try:
            async with client.pipeline() as pipeline:
                for letter in op.letters:
                    futures = [pipeline.mail(letter.sender)]
                    given.append((letter, futures))
                    futures += [pipeline.rcpt(to) for to in letter.to]
                    if op.kind == "chunks":
                        half = len(letter.content) // 2
                        futures.append(pipeline.bdat(letter.content[:half]))
                        futures.append(pipeline.bdat(letter.content[half:], last=True))
                    else:
                        futures.append(pipeline.data())
                        message = message_of(letter, self._pace)
                        futures.append(pipeline.content(message))
                    if op.waits:
                        await asyncio.wait(futures[-1:])
        except (SMTPException, SourceError):
            pass
        finally:
            for letter, futures in given:
                self._futures(letter, futures)
            for letter in op.letters[len(given) :]:
                self._ledger.tell(letter, "nothing", "not given to the pipeline")

    def check_futures(self) -> None:
        """See that what pipelines have given came to an end, at the end of a life."""
        for letter, futures in self._pending:
            if not all(future.done() for future in futures):
                self._ledger.find("a future never ends", f"m{letter.number}: {futures}")

    def _futures(self, letter: Letter, futures: list[asyncio.Future[Any]]) -> None:
        """Note what the futures of one mail of a pipeline say."""
        if not all(future.done() for future in futures):
            self._pending.append((letter, futures))
            self._ledger.tell(letter, "unknown", "left")
            return
        replies = [
            None if future.cancelled() or future.exception() else future.result()
            for future in futures
        ]
        if len(futures) < 1 + letter.recipients + 2:
            self._ledger.tell(letter, "nothing", "no content was given")
            return
        final = futures[-1]
        if final.cancelled():
            self._ledger.tell(letter, "unknown", "cancelled")
        elif (exc := final.exception()) is not None:
            self._error(letter, exc, replies)
        elif final.result().code >= 300:
            self._ledger.tell(letter, "nothing", f"{final.result()}")
        else:
            verdicts = zip(letter.to, replies[1:], strict=False)
            accepted = [to for to, r in verdicts if r is not None and r.code < 300]
            self._ledger.tell(letter, "accepted", f"{replies}", accepted)
        for line, reply in zip([letter.sender, *letter.to], replies, strict=False):
            self._pairing(letter, line, reply)

    async def _hand(self, client: Any, op: Op) -> None:
        (letter,) = op.letters
        lock = self._by_hand.setdefault(id(client), asyncio.Lock())
        async with lock:
            try:
                await client.rset()
                await client.mail(letter.sender)
                accepted = await self._rcpts(client, letter)
                if not accepted:
                    self._ledger.tell(letter, "nothing", "no recipient")
                    return
                if op.kind == "abandon":
                    self._ledger.tell(letter, "nothing", "abandoned")
                    return
                reply = await client.data(message_of(letter, self._pace))
            except (SMTPException, SourceError) as exc:
                self._error(letter, exc)
            else:
                self._ledger.tell(letter, "accepted", f"{reply}", accepted)
                self._pairing(letter, f"m{letter.number}", reply)

    async def _rcpts(self, client: Any, letter: Letter) -> list[str]:
        accepted = []
        for to in letter.to:
            try:
                self._pairing(letter, to, await client.rcpt(to))
            except SMTPCommandFailedError:
                continue
            accepted.append(to)
        return accepted

    # What was told

    def _result(self, letter: Letter, result: SendResult) -> None:
        text = f"{result.reply}, {dict(result)}"
        self._ledger.tell(letter, "accepted", text, result.accepted)
        if set(result.accepted) | set(result) != set(letter.to):
            self._ledger.find("odd result", f"{letter.to}: {text}")
        for recipient, reply in result.items():
            self._pairing(letter, recipient, reply)
        self._pairing(letter, f"m{letter.number}", result.reply)

    def _error(
        self, letter: Letter, error: BaseException, replies: Iterable[Any] = ()
    ) -> None:
        if not isinstance(error, (SMTPException, SourceError)):
            self._ledger.find("an odd error", f"m{letter.number}: {error!r}")
            self._ledger.tell(letter, "unknown", repr(error))
            return
        is_certain = isinstance(error, SourceError) or error.safe_to_retry
        status = "nothing" if is_certain else "unknown"
        text = " ".join([repr(error), *map(str, replies)])
        result: SendResult | None = getattr(error, "result", None)
        if result is not None and result.accepted:
            if status == "nothing":
                self._ledger.find(
                    "an odd error", f"safe to retry, but {result}: {text}"
                )
            status = "unknown"
        if status == "unknown" and result is not None:
            text = f"{text} {result.accepted} {dict(result)}"
            known = {"accepted": result.accepted, "refused": list(result)}
            self._ledger.tell(letter, status, text, error=error, **known)
        else:
            self._ledger.tell(letter, status, text, error=error)
        refused: Iterable[tuple[str, Any]] = getattr(error, "refused", {}).items()
        for recipient, reply in refused:
            self._pairing(letter, recipient, reply)

    def _pairing(self, letter: Letter, name: str, reply: Any) -> None:
        """See that a reply that names a command names this one."""
        if reply is None or not numbers_in(reply[1]):
            return
        if numbers_in(reply[1]) != {letter.number} or name not in reply[1]:
            self._ledger.find("mispaired", f"{name} got {reply!r}")


_METHODS = {"chunks": "pipeline", "abandon": "hand"}

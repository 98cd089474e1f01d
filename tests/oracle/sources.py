"""What messages and mails are given as, and how their sources fail."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as POLICY
from typing import Any

from smtplibaio import SMTP, SMTPException

from .letters import Letter
from .plan import Op

__all__ = ["SourceError", "mails_of", "message_of"]


class SourceError(Exception):
    """What a source of this world raises."""


class _Unwritable(EmailMessage):
    """A message that raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise SourceError(name)


class _Cancelling(EmailMessage):
    """A message that raises CancelledError whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise asyncio.CancelledError


def message_of(letter: Letter, pace: float) -> Any:
    """The content of a mail, in its form, with its failure."""
    content = letter.content
    match letter.form:
        case "str":
            return content.decode()
        case "message" if letter.failure:
            kind = _Cancelling if letter.failure == "cancelled" else _Unwritable
            return kind.__new__(kind)
        case "message":
            return BytesParser(policy=POLICY).parsebytes(content)
        case "generator":
            return _blocks(letter)
        case "iterable":
            return _Blocks(letter)
        case "async":
            return _async_blocks(letter, pace)
        case "file":
            return _file(letter)
    return content


def _pieces(content: bytes) -> list[bytes]:
    size = max(len(content) // 3, 1)
    return [content[at : at + size] for at in range(0, len(content), size)]


class _Blocks:
    """An iterable that can be read again."""

    def __init__(self, letter: Letter) -> None:
        self._letter = letter

    def __iter__(self) -> Iterator[bytes]:
        return _blocks(self._letter)


def _blocks(letter: Letter) -> Iterator[bytes]:
    is_whole = False
    try:
        for n, piece in enumerate(_pieces(letter.content)):
            _fail(letter.failure, n)
            yield piece
        is_whole = True
    finally:
        if letter.failure == "cleanup" and not is_whole:
            raise SourceError("cleanup")


async def _async_blocks(letter: Letter, pace: float) -> AsyncIterator[bytes]:
    is_whole = False
    try:
        for n, piece in enumerate(_pieces(letter.content)):
            if letter.failure == "slow":
                await asyncio.sleep(3 * pace)
            _fail(letter.failure, n)
            yield piece
        is_whole = True
    finally:
        if letter.failure == "cleanup" and not is_whole:
            raise SourceError("cleanup")


def _fail(failure: str, n: int) -> None:
    if failure == "at once" or (failure == "in the middle" and n == 1):
        raise SourceError(failure)
    if failure == "cancelled" and n == 1:
        raise asyncio.CancelledError


class _File(io.BytesIO):
    """A binary file that fails as its letter says."""

    def __init__(self, letter: Letter) -> None:
        super().__init__(letter.content)
        self._failure = letter.failure
        self._reads = 0

    def read(self, size: int | None = -1) -> bytes:
        if self._failure == "at once" or self._reads:
            raise SourceError("read")
        self._reads += 1
        return super().read(1000)


def _file(letter: Letter) -> Any:
    return _File(letter) if letter.failure else io.BytesIO(letter.content)


def mails_of(
    op: Op, mails: list[Any], handed: list[int], pace: float, client: Any
) -> Any:
    """The iterable of an op's mails, which notes how many were handed over."""
    if op.source == "list":
        return _Noting(mails, handed)
    if op.source == "own":
        return _own_mails(op, mails, handed, client)
    if op.source == "async":
        return _async_mails(op, mails, handed, pace)
    return _mails(op, mails, handed)


class _Noting(Iterable[Any]):
    def __init__(self, mails: list[Any], handed: list[int]) -> None:
        self._mails = mails
        self._handed = handed

    def __iter__(self) -> Iterator[Any]:
        for n, mail in enumerate(self._mails):
            self._handed.append(n)
            yield mail


def _mails(op: Op, mails: list[Any], handed: list[int]) -> Iterator[Any]:
    is_over = False
    try:
        for n, mail in enumerate(mails):
            _fail_at(op, n)
            handed.append(n)
            yield mail
        _fail_at(op, len(mails))
        is_over = True
    finally:
        if op.failure == "cleanup" and not is_over:
            raise SourceError("cleanup")


async def _async_mails(
    op: Op, mails: list[Any], handed: list[int], pace: float
) -> AsyncIterator[Any]:
    is_over = False
    try:
        for n, mail in enumerate(mails):
            if op.failure == "slow":
                await asyncio.sleep(2 * pace)
            _fail_at(op, n)
            handed.append(n)
            yield mail
        _fail_at(op, len(mails))
        is_over = True
    finally:
        if op.failure == "cleanup" and not is_over:
            raise SourceError("cleanup")


async def _own_mails(
    op: Op, mails: list[Any], handed: list[int], client: Any
) -> AsyncIterator[Any]:
    for n, mail in enumerate(mails):
        if n == len(mails) - 1:
            try:
                if isinstance(client, SMTP):
                    await client.noop()
            except SMTPException:
                raise SourceError("the client is not to be had") from None
        handed.append(n)
        yield mail


def _fail_at(op: Op, n: int) -> None:
    if n != op.fails_at:
        return
    if op.failure == "raise":
        raise SourceError("the mails")
    if op.failure == "cancelled":
        raise asyncio.CancelledError

"""Items from where they come: in order, no faster than they are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from smtplibaio import SMTPArgumentError
from smtplibaio.client.prefetch import END, NOTHING_YET, Prefetch


class Failure(Exception):
    """What a source raises."""


class Stop(BaseException):
    """What a source raises that is no mere error, as test kits and others do."""


async def steps(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Source:
    """Give numbers from 1 on, and note what becomes of it.

    Attributes:
        given: How many numbers have been taken.
        is_closed: Whether it was left in order.
        gate: What each number waits for.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.given = 0
        self.is_closed = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def items(self) -> AsyncIterator[int]:
        try:
            while self.given < self.count:
                await self.gate.wait()
                self.given += 1
                yield self.given
        finally:
            await asyncio.sleep(0)
            self.is_closed = True


class NoGenerator:
    """Be an asynchronous iterator that has no `aclose`."""

    def __init__(self, count: int) -> None:
        self._items = Source(count).items()

    def __aiter__(self) -> NoGenerator:
        return self

    async def __anext__(self) -> int:
        return await anext(self._items)


async def all_of(prefetch: Prefetch) -> list[Any]:
    found = []
    while (item := await prefetch.next()) is not END:
        found.append(item)
    return found


@pytest.mark.parametrize("ahead", [1, 2, 5])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [1, 2, 3], id="a list"),
        pytest.param(lambda: (n for n in (1, 2, 3)), id="a generator"),
        pytest.param(lambda: Source(3).items(), id="an asynchronous generator"),
        pytest.param(lambda: NoGenerator(3), id="an asynchronous iterator"),
    ],
)
async def test_every_item_comes_once_and_in_order(make: Any, ahead: int) -> None:
    prefetch = Prefetch(make(), ahead)
    assert await all_of(prefetch) == [1, 2, 3]
    assert await prefetch.next() is END  # and again
    assert prefetch.at_once() is END
    await prefetch.close()


@pytest.mark.parametrize(
    "source", [3, None, "text", b"octets", object(), EmailMessage()]
)
async def test_what_is_no_iterable_is_refused(source: object) -> None:
    with pytest.raises(SMTPArgumentError, match=type(source).__name__):
        Prefetch(source, 1)


async def test_an_iterable_of_both_kinds_is_read_without_holding_the_loop_up() -> None:
    class Both(NoGenerator):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError

    prefetch = Prefetch(Both(2), 1)
    assert await all_of(prefetch) == [1, 2]
    await prefetch.close()


# As fast as they are asked for


async def test_an_iterable_is_read_when_it_is_asked() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in (1, 2):
            taken.append(number)
            yield number

    prefetch = Prefetch(items(), 5)
    assert taken == []
    assert prefetch.at_once() == 1
    assert taken == [1]
    assert await prefetch.next() == 2
    assert await prefetch.next() is END
    await prefetch.close()


@pytest.mark.parametrize("ahead", [1, 3])
async def test_an_asynchronous_iterable_is_read_no_further_ahead_than_told(
    ahead: int,
) -> None:
    source = Source(10)
    prefetch = Prefetch(source.items(), ahead)
    await steps()
    assert source.given == 0  # nobody has asked
    for asked in range(1, 5):
        assert await prefetch.next() == asked
        await steps()
        assert source.given == asked + ahead
    await prefetch.close()
    assert source.is_closed


async def test_what_is_not_there_yet_is_told_and_comes_when_it_is_there() -> None:
    source = Source(2)
    prefetch = Prefetch(source.items(), 1)
    assert prefetch.at_once() is NOTHING_YET
    await steps()
    source.gate.clear()
    assert prefetch.at_once() == 1
    await steps()
    assert prefetch.at_once() is NOTHING_YET
    waiting = asyncio.ensure_future(prefetch.next())
    await steps()
    assert not waiting.done()
    source.gate.set()
    assert await waiting == 2
    assert await prefetch.next() is END
    await prefetch.close()


# What a source raises


@pytest.mark.parametrize("error", [Failure, Stop, asyncio.CancelledError])
async def test_what_an_asynchronous_source_raises_comes_behind_its_items(
    error: type[BaseException],
) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise error("from the source")

    prefetch = Prefetch(items(), 3)
    assert [await prefetch.next(), await prefetch.next()] == [1, 2]
    for _ in range(2):
        with pytest.raises(error, match="from the source"):
            await prefetch.next()
        with pytest.raises(error):
            prefetch.at_once()
    await prefetch.close()


@pytest.mark.parametrize("error", [Failure, Stop])
async def test_what_a_source_raises_comes_at_once(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error("from the source")

    prefetch = Prefetch(items(), 3)
    assert prefetch.at_once() == 1
    with pytest.raises(error):
        prefetch.at_once()
    await prefetch.close()


async def test_an_aiter_that_raises_is_told() -> None:
    class Broken:
        def __aiter__(self) -> AsyncIterator[int]:
            raise Failure

    with pytest.raises(Failure):
        async with asyncio.timeout(1):
            await Prefetch(Broken(), 1).next()


# The end


async def test_closing_before_anything_was_asked_reads_nothing() -> None:
    source = Source(3)
    prefetch = Prefetch(source.items(), 1)
    prefetch.cancel()
    await prefetch.close()
    assert source.given == 0


@pytest.mark.parametrize("where", ["at the source", "for room", "at the end"])
async def test_closing_waits_until_the_source_has_been_left(where: str) -> None:
    source = Source(1 if where == "at the end" else 9)
    prefetch = Prefetch(source.items(), 1)
    assert await prefetch.next() == 1
    if where == "at the source":
        await steps()
        source.gate.clear()
        assert await prefetch.next() == 2  # it was read ahead
    await steps()
    await prefetch.close()
    assert source.is_closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_iterator_that_is_no_generator_is_left_alone() -> None:
    source = NoGenerator(3)
    prefetch = Prefetch(source, 1)
    assert await prefetch.next() == 1
    await prefetch.close()
    assert [number async for number in source] == [2, 3]


async def test_cancelling_leaves_the_source_without_being_waited_for() -> None:
    source = Source(9)
    prefetch = Prefetch(source.items(), 1)
    assert await prefetch.next() == 1
    prefetch.cancel()
    assert not source.is_closed
    await steps()
    assert source.is_closed


async def test_a_cancelled_wait_takes_no_item_along() -> None:
    source = Source(2)
    source.gate.clear()
    prefetch = Prefetch(source.items(), 1)
    waiting = asyncio.ensure_future(prefetch.next())
    await steps()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    source.gate.set()
    assert await all_of(prefetch) == [1, 2]
    await prefetch.close()

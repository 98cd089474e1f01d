"""Several mails on their way at a time, each with its outcome, whatever happens."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from conversation import session

from smtplibaio import (
    SMTP,
    Mail,
    Outcome,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPTimeoutError,
    Timeouts,
)
from smtplibaio.content.forms import BLOCK

HELLO = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-PIPELINING
    S: 250-BINARYMIME
    S: 250 CHUNKING
"""
RESET = "S: 250 reset\n"
RSET = "C: RSET\n" + RESET
NOOP = "C: NOOP\nS: 250 in step\n"


def head(number: int) -> str:
    return f"C: MAIL FROM:<a{number}@x.example>\nC: RCPT TO:<b{number}@y.example>\n"


def whole(*numbers: int) -> str:
    """Write mails as they leave together."""
    return "C: RSET\n".join(f"{head(n)}C: BDAT 8 LAST\nC: mail {n}\n" for n in numbers)


def behind(*numbers: int) -> str:
    """Write mails as they leave while others have no final reply yet."""
    return "C: RSET\n" + whole(*numbers)


def taken(*numbers: int) -> str:
    return RESET.join(f"S: 250 ok\nS: 250 ok\nS: 250 taken {n}\n" for n in numbers)


def by_data(number: int) -> str:
    """Write a mail that travels alone."""
    go = "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
    return head(number) + go + f"C: mail {number}\nC: .\nS: 250 taken {number}\n"


def mail(number: int, message: Any = None, **parameters: Any) -> Mail:
    """Give a mail whose number is in its addresses, and in its content."""
    return Mail(
        f"mail {number}\r\n" if message is None else message,
        f"a{number}@x.example",
        f"b{number}@y.example",
        **parameters,
    )


def mails(count: int) -> list[Mail]:
    return [mail(number) for number in range(1, count + 1)]


async def run(smtp: SMTP, given: Any, window: int = 8) -> list[Outcome]:
    return [outcome async for outcome in smtp.send_many(given, window=window)]


async def collect(run: AsyncIterator[Outcome], outcomes: list[Outcome]) -> None:
    """Note outcomes one by one, so that those before an exception are there."""
    async for outcome in run:
        outcomes.append(outcome)  # noqa: PERF401


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


class Failure(Exception):
    """What a source raises."""


class Relay:
    """Answer MAIL and RCPT, and leave it to a function what becomes of a BDAT.

    There is nobody whose name is nobody.

    Attributes:
        is_over: Set when the test is.
    """

    def __init__(self, take: Callable[[Relay, int], Awaitable[None]]) -> None:
        self._take = take
        self._tasks: list[asyncio.Task[None] | None] = []
        self.is_over = asyncio.Event()

    async def __aenter__(self) -> int:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=sock)
        port: int = sock.getsockname()[1]
        return port

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        self.is_over.set()
        await asyncio.gather(*filter(None, self._tasks))

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._tasks.append(asyncio.current_task())
        self.reader, self.writer = reader, writer
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(b"220 hi\r\n")
            while line := await reader.readline():
                if line.startswith(b"EHLO"):
                    writer.write(b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
                elif line.startswith(b"BDAT"):
                    await self._take(self, int(line.split()[1]))
                elif b"nobody@" in line:
                    writer.write(b"550 nobody\r\n")
                else:
                    writer.write(b"250 ok\r\n")
        writer.transport.abort()


# What leaves together


async def test_as_many_as_told_are_on_their_way_at_a_time() -> None:
    """And half of them are sent again when the other half was answered."""
    async with session(
        HELLO,
        whole(1, 2, 3, 4),
        taken(1, 2),
        behind(5, 6),
        RESET + taken(3, 4),
        behind(7),
        RESET + taken(5, 6, 7),
        NOOP,
    ) as smtp:
        outcomes = await run(smtp, iter(mails(7)), 4)
        assert (await smtp.noop()).message == "in step"
    assert [outcome.mail for outcome in outcomes] == mails(7)
    assert statuses(outcomes) == ["accepted"] * 7
    results = [outcome.result for outcome in outcomes]
    assert [result.reply.message for result in results if result is not None] == [
        f"taken {n}" for n in range(1, 8)
    ]


async def test_two_at_a_time() -> None:
    async with session(
        HELLO,
        whole(1, 2),
        taken(1),
        behind(3),
        RESET + taken(2),
        behind(4),
        RESET + taken(3, 4),
    ) as smtp:
        assert statuses(await run(smtp, mails(4), 2)) == ["accepted"] * 4


async def test_mails_are_taken_as_they_are_sent() -> None:
    last = 0

    def given() -> Iterator[Mail]:
        nonlocal last
        for item in mails(6):
            last += 1
            yield item

    async with session(
        HELLO,
        whole(1, 2, 3, 4),
        taken(1, 2),
        behind(5, 6),
        RESET + taken(3, 4, 5, 6),
    ) as smtp:
        seen = [last async for _ in smtp.send_many(given(), window=4)]
    assert seen == [4, 4, 6, 6, 6, 6]


async def test_no_mail_waits_for_one_that_is_not_there_yet() -> None:
    is_taken = asyncio.Event()

    async def given() -> AsyncIterator[Mail]:
        yield mail(1)
        await is_taken.wait()
        is_taken.clear()
        yield mail(2)
        await is_taken.wait()

    async with session(HELLO, whole(1), taken(1), whole(2), taken(2)) as smtp:
        async for outcome in smtp.send_many(given(), window=8):
            assert outcome.status == "accepted"
            is_taken.set()


@pytest.mark.parametrize("window", [2, 3, 32])
async def test_large_and_small_mails_arrive_as_they_are(window: int) -> None:
    """F12: octet for octet, and as many of them as their BDAT says."""
    contents = [
        b"%08d.\r\n" % n * (size // 11) + b"x" * (size % 11 - 2) + b"\r\n"
        for n, size in enumerate((2, BLOCK - 1, BLOCK, 3 * BLOCK, 4, 3, 2 * BLOCK))
    ]
    received: list[bytes] = []

    async def take(relay: Relay, size: int) -> None:
        received.append(await relay.reader.readexactly(size))
        relay.writer.write(b"250 taken\r\n")

    async with Relay(take) as port:
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            given = [mail(n, content) for n, content in enumerate(contents)]
            outcomes = await run(smtp, given, window)
    assert statuses(outcomes) == ["accepted"] * len(contents)
    assert received == contents


async def test_binary_content_goes_along() -> None:
    """A17: BODY=BINARYMIME; its octets leave as they are."""
    binary = mail(2, b"m\0il 2\r\n", mail_options=["BODY=BINARYMIME"])
    said = whole(1, 2, 3).replace("a2@x.example>", "a2@x.example> BODY=BINARYMIME")
    async with session(
        HELLO, said.replace("mail 2", "m\0il 2"), taken(1, 2, 3)
    ) as smtp:
        outcomes = await run(smtp, [mail(1), binary, mail(3)])
    assert statuses(outcomes) == ["accepted"] * 3


@pytest.mark.parametrize(
    ("hello", "options"),
    [
        pytest.param(HELLO.replace("250 CHUNKING", "250 X"), {}, id="not offered"),
        pytest.param(HELLO, {"chunking": False}, id="switched off"),
    ],
)
async def test_without_chunking_a_turn_a_mail_is_the_best_there_is(
    hello: str, options: dict[str, Any]
) -> None:
    data = "C: DATA\n"
    go = "S: 250 ok\nS: 250 ok\nS: 354 go\n"
    async with session(
        hello,
        head(1) + data + go,
        "C: mail 1\nC: .\nC: RSET\n" + head(2) + data,
        "S: 250 taken\n" + RESET + go,
        "C: mail 2\nC: .\nS: 250 taken",
        **options,
    ) as smtp:
        assert statuses(await run(smtp, mails(2))) == ["accepted", "accepted"]


# What travels alone


async def chunks(number: int) -> AsyncIterator[bytes]:
    yield b"mail "
    yield b"%d\r\n" % number


ALONE = [
    pytest.param(lambda: mail(2, chunks(2)), id="a stream"),
    pytest.param(lambda: mail(2, progress=print), id="progress"),
]


@pytest.mark.parametrize("make", ALONE)
async def test_what_cannot_leave_at_once_travels_alone(
    make: Callable[[], Mail],
) -> None:
    async with session(
        HELLO, whole(1), taken(1), by_data(2), whole(3, 4), taken(3, 4)
    ) as smtp:
        outcomes = await run(smtp, [mail(1), make(), mail(3), mail(4)])
    assert statuses(outcomes) == ["accepted"] * 4


@pytest.mark.parametrize("is_refused", [False, True])
async def test_where_all_are_wanted_the_content_waits_for_the_verdicts(
    is_refused: bool,
) -> None:
    """F03: nothing else is on its way meanwhile."""
    code = 550 if is_refused else 250
    rest = RSET if is_refused else "C: DATA\nS: 354 go\nC: mail 2\nC: .\nS: 250 taken\n"
    both = Mail(
        "mail 2\r\n",
        "a2@x.example",
        ["b2@y.example", "c@y.example"],
        all_or_nothing=True,
    )
    async with session(
        HELLO,
        whole(1),
        taken(1),
        head(2) + f"C: RCPT TO:<c@y.example>\nS: 250 ok\nS: 250 ok\nS: {code} c\n",
        rest,
        whole(3),
        taken(3),
    ) as smtp:
        outcomes = await run(smtp, [mail(1), both, mail(3)])
    status = "refused" if is_refused else "accepted"
    assert statuses(outcomes) == ["accepted", status, "accepted"]


@pytest.mark.parametrize("make", ALONE)
async def test_a_mail_that_travels_alone_behind_a_refusal_waits_for_the_rset(
    make: Callable[[], Mail],
) -> None:
    """F12: the state behind a refused BDAT is indeterminate."""
    async with session(
        HELLO,
        whole(1),
        "S: 250 ok\nS: 250 ok\nS: 452 full",
        RSET,
        by_data(2),
        whole(3),
        taken(3),
    ) as smtp:
        outcomes = await run(smtp, [mail(1), make(), mail(3)])
    assert statuses(outcomes) == ["refused", "accepted", "accepted"]


async def test_what_the_source_of_a_content_raises_is_an_outcome() -> None:
    """And the end of the connection: half a mail must not be finished."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half a mail\r\n"
        raise Failure

    go = "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n"
    async with session(HELLO, whole(1), taken(1), head(2) + go, "C: <hangup>") as smtp:
        outcomes = await run(smtp, [mail(1), mail(2, broken()), mail(3)])
        assert not smtp.is_connected
    assert statuses(outcomes) == ["accepted", "not sent", "not sent"]
    error = outcomes[1].error
    assert isinstance(error, SMTPArgumentError)
    assert isinstance(error.__cause__, Failure)


# Refusals


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        pytest.param([550, 503, 503], SMTPCommandFailedError, id="F12-MAIL"),
        pytest.param([250, 550, 503], SMTPNoRecipientError, id="F12-RCPT"),
        pytest.param([250, 250, 452], SMTPCommandFailedError, id="F13-BDAT"),
    ],
)
async def test_behind_a_refused_mail_nothing_leaves_before_the_rset(
    replies: list[int], error: type[SMTPException]
) -> None:
    """What was on its way already has its own replies."""
    no = "".join(f"S: {code} two\n" for code in replies)
    async with session(
        HELLO,
        whole(1, 2, 3, 4),
        taken(1) + RESET + no + RESET + taken(3, 4),
        RSET,
        whole(5, 6),
        taken(5, 6),
    ) as smtp:
        outcomes = await run(smtp, mails(6), 4)
    assert statuses(outcomes) == [
        "accepted",
        "refused",
        *["accepted"] * 4,
    ]
    assert type(outcomes[1].error) is error


async def test_the_rset_waits_for_every_reply() -> None:
    """F12: RFC 3030 2, "the resulting state from a failed BDAT is indeterminate"."""
    answers = iter([b"250 taken", b"452 full", b"250 taken", b"250 taken"])
    count = 0

    async def take(relay: Relay, size: int) -> None:
        nonlocal count
        count += 1
        await relay.reader.readexactly(size)
        if count == 4:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    raise AssertionError(await relay.reader.read(100))
        relay.writer.write(next(answers, b"250 taken") + b"\r\n")

    async with Relay(take) as port:
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            outcomes = await run(smtp, mails(5), 4)
    assert statuses(outcomes) == ["accepted", "refused", *["accepted"] * 3]


@pytest.mark.parametrize("refusal", [502, 421])
async def test_a_session_that_cannot_be_put_in_order_has_ended(refusal: int) -> None:
    async with session(
        HELLO,
        whole(1),
        "S: 250 ok\nS: 250 ok\nS: 452 full",
        f"C: RSET\nS: {refusal} no",
        "C: <hangup>",
    ) as smtp:
        outcomes = await run(smtp, later(mails(3)), 2)
        assert not smtp.is_connected
    assert statuses(outcomes) == ["refused", "not sent", "not sent"]


async def later(given: list[Mail]) -> AsyncIterator[Mail]:
    """Give each mail when the one before had its time to be answered."""
    for item in given:
        for _ in range(200):
            await asyncio.sleep(0)
        yield item


async def test_a_mail_that_is_refused_at_the_end_has_its_rset_later() -> None:
    """It is the next operation's, whatever that is."""
    async with session(
        HELLO,
        whole(1),
        "S: 250 ok\nS: 250 ok\nS: 452 full",
        RSET,
        by_data(2),
    ) as smtp:
        assert statuses(await run(smtp, mails(1))) == ["refused"]
        await smtp.sendmail("a2@x.example", "b2@y.example", "mail 2\r\n")


async def test_each_recipient_has_its_verdict() -> None:
    """F14: a hundred get it, and the others are told to try later."""
    names = [f"{n}@y.example" for n in range(102)]
    rcpts = "".join(f"C: RCPT TO:<{name}>\n" for name in names)
    replies = "S: 250 ok\n" * 101 + "S: 452 4.5.3 too many\n" * 2
    async with session(
        HELLO,
        f"C: MAIL FROM:<a1@x.example>\n{rcpts}C: BDAT 8 LAST\nC: mail 1\n",
        behind(2),
        replies + "S: 250 taken 1\n" + RESET + taken(2),
    ) as smtp:
        many = Mail("mail 1\r\n", "a1@x.example", names)
        outcomes = await run(smtp, [many, mail(2)])
    assert statuses(outcomes) == ["partial", "accepted"]
    result = outcomes[0].result
    assert result is not None
    assert list(result) == names[100:]
    assert result.accepted == names[:100]


NOT_RESET = whole(1, 2, 3), "S: 250 ok\nS: 250 ok\nS: 452 full\n"


@pytest.mark.parametrize(
    ("replies", "end", "expected"),
    [
        (RESET + taken(3), "C: <hangup>", "accepted"),
        ("", "C: <hangup>", "unknown"),
        (RESET + "S: 550 no\n", "C: <hangup>", "refused"),
    ],
)
async def test_a_mail_that_was_taken_for_another_is_unknown(
    replies: str, end: str, expected: str
) -> None:
    """F12: 503 to its MAIL, for the refused mail before it was not forgotten."""
    async with session(
        HELLO,
        *NOT_RESET,
        "S: 503 no RSET\nS: 503 nested MAIL\nS: 250 ok\nS: 250 taken",
        replies,
        end,
    ) as smtp:
        outcomes = await run(smtp, mails(4), 3)
        assert not smtp.is_connected
    assert statuses(outcomes) == ["refused", "unknown", expected, "not sent"]
    error = outcomes[1].error
    assert isinstance(error, SMTPDeliveryUnknownError)
    assert "503" in str(error)
    assert not error.safe_to_retry


@pytest.mark.parametrize("first", ["503 not now", "554 spam"])
async def test_a_mail_in_the_wake_of_a_refused_one_was_judged_by_nobody(
    first: str,
) -> None:
    """F12: 503 to all of it, RSET too, from a server that wants a pause before it."""
    async with session(
        HELLO,
        whole(1, 2),
        f"S: 250 ok\nS: 250 ok\nS: {first}\n" + "S: 503 not here\n" * 4,
        RSET,
        whole(3),
        taken(3),
    ) as smtp:
        outcomes = await run(smtp, mails(3), 2)
    assert statuses(outcomes) == ["refused", "not sent", "accepted"]
    error = outcomes[1].error
    assert isinstance(error, SMTPCommandFailedError)
    assert error.code == 503
    assert error.safe_to_retry


# What cannot be sent


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Mail("hi", "a@x.example", "b@y.example\n"), id="address"),
        pytest.param(mail(9, b"a\0b"), id="NUL"),
        pytest.param(3, id="no message"),
    ],
)
async def test_a_mail_that_cannot_be_sent_is_an_outcome_in_its_place(
    bad: Any, place: int
) -> None:
    given: list[Any] = mails(2)
    given.insert(place, bad)
    async with session(HELLO, whole(1, 2), taken(1, 2)) as smtp:
        outcomes = await run(smtp, given)
    expected = ["accepted", "accepted"]
    expected.insert(place, "not sent")
    assert statuses(outcomes) == expected
    assert isinstance(outcomes[place].error, SMTPArgumentError)


@pytest.mark.parametrize("kind", [Failure, asyncio.CancelledError])
async def test_what_as_bytes_raises_is_an_outcome_and_the_run_goes_on(
    kind: type[BaseException],
) -> None:
    """H05: the mails behind it have outcomes, too."""

    class Broken:
        def as_bytes(self) -> bytes:
            raise kind

    async with session(HELLO, whole(1, 3), taken(1, 3), NOOP) as smtp:
        outcomes = await run(smtp, [mail(1), mail(2, Broken()), mail(3)])
        await smtp.noop()
    assert statuses(outcomes) == ["accepted", "not sent", "accepted"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_the_source_of_the_mails_raises_comes_behind_their_outcomes(
    is_async: bool,
) -> None:
    def given() -> Iterator[Mail]:
        yield mail(1)
        yield mail(2)
        raise Failure

    async def as_given() -> AsyncIterator[Mail]:
        for item in given():
            yield item

    source: Any = as_given() if is_async else given()
    outcomes: list[Outcome] = []
    async with session(HELLO, whole(1, 2), taken(1, 2), NOOP) as smtp:
        with pytest.raises(Failure):
            await collect(smtp.send_many(source, window=8), outcomes)
        await smtp.noop()
    assert statuses(outcomes) == ["accepted", "accepted"]


# The end of the connection


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param("S: <close>", ["unknown"] * 3, id="before any reply"),
        pytest.param("S: 354 what?\nS: <close>", ["unknown"] * 3, id="behind a 3yz"),
        pytest.param(
            "S: 250 ok\nS: 250 ok\nS: <close>", ["unknown"] * 3, id="before the first"
        ),
        pytest.param(
            taken(1) + "S: <close>",
            ["accepted", "unknown", "unknown"],
            id="behind the first",
        ),
        pytest.param(
            taken(1) + RESET + "S: 550 no\nS: <close>",
            ["accepted", "refused", "unknown"],
            id="behind a refused MAIL",
        ),
        pytest.param(
            taken(1) + RESET + "S: 250 ok\nS: 550 no\nS: <close>",
            ["accepted", "refused", "unknown"],
            id="behind the last refused RCPT",
        ),
        pytest.param(
            taken(1) + "S: <reset>", ["accepted", "unknown", "unknown"], id="reset"
        ),
        pytest.param(
            taken(1) + "S: what?\nC: <hangup>",
            ["accepted", "unknown", "unknown"],
            id="no reply",
        ),
        pytest.param(
            "S: 421 bye\nC: <hangup>", ["not sent"] * 3, id="421 to the first MAIL"
        ),
        pytest.param(
            taken(1) + RESET + "S: 250 ok\nS: 250 ok\nS: 421 bye\nC: <hangup>",
            ["accepted", "refused", "not sent"],
            id="421 to a content",
        ),
        pytest.param(
            taken(1) + RESET + "S: 250 ok\nS: 421 bye\nC: <hangup>",
            ["accepted", "not sent", "not sent"],
            id="421 to a RCPT",
        ),
        pytest.param(
            taken(1) + RESET + "S: 250 ok\nS: 550 no\nS: 421 bye\nC: <hangup>",
            ["accepted", "refused", "not sent"],
            id="421 to a content that nobody gets",
        ),
        pytest.param(
            taken(1, 2) + RESET + "S: 550 no\nS: 421 bye\nC: <hangup>",
            ["accepted", "accepted", "refused"],
            id="421 behind a refused MAIL",
        ),
    ],
)
async def test_what_had_its_final_reply_keeps_it(
    said: str, expected: list[str]
) -> None:
    """D12, D14: the rest is unknown, but behind a 421, which nothing was done after."""
    # With two answers there is room for more.
    more = 0 if expected[1] == "accepted" else 2
    async with session(HELLO, whole(1, 2, 3), said) as smtp:
        outcomes = await run(smtp, mails(3 + more), 3)
        assert not smtp.is_connected
    assert statuses(outcomes) == expected + ["not sent"] * more
    for outcome in outcomes:
        if outcome.status == "unknown":
            assert isinstance(outcome.error, SMTPDeliveryUnknownError)
            assert isinstance(outcome.error.__cause__, SMTPException)
        elif outcome.error is not None:
            assert outcome.error.safe_to_retry


@pytest.mark.parametrize(
    ("replies", "status", "error"),
    [
        ("S: 354 what?", "not sent", SMTPProtocolError),
        ("S: 250 ok\nS: 250 ok\nS: 354 go", "unknown", SMTPDeliveryUnknownError),
        ("S: 250 ok\nS: 250 ok\nS: 221 bye", "unknown", SMTPDeliveryUnknownError),
    ],
)
async def test_a_reply_that_means_nothing_ends_the_connection(
    replies: str, status: str, error: type[SMTPException]
) -> None:
    rest = "S: 503 no\nS: 503 no\n" if replies.count("S:") == 1 else ""
    async with session(HELLO, whole(1, 2), replies, rest, "C: <hangup>") as smtp:
        outcomes = await run(smtp, mails(3), 2)
    assert statuses(outcomes) == [status, "unknown", "not sent"]
    assert isinstance(outcomes[0].error, error)


async def test_a_final_reply_that_does_not_come_leaves_all_unknown() -> None:
    async with session(
        HELLO,
        whole(1, 2),
        "S: 250 ok\nS: 250 ok\nS: <silence>",
        timeout=Timeouts(final=0.05),
    ) as smtp:
        outcomes = await run(smtp, mails(3), 2)
    assert statuses(outcomes) == ["unknown", "unknown", "not sent"]
    assert isinstance(outcomes[0].error, SMTPDeliveryUnknownError)
    assert isinstance(outcomes[0].error.__cause__, SMTPTimeoutError)


async def test_a_connection_that_was_closed_sends_nothing_more() -> None:
    """Closed by the loop's own body: what was on its way is unknown."""
    async with session(HELLO, whole(1, 2), taken(1), "C: <hangup>") as smtp:
        outcomes = []
        async for outcome in smtp.send_many(mails(6), window=2):
            outcomes.append(outcome)
            await smtp.close()
    assert statuses(outcomes) == ["accepted", "unknown", *["not sent"] * 4]
    assert isinstance(outcomes[-1].error, SMTPConnectionError)


# A server that reads slowly, or not at all


LARGE = b"x" * 98 + b"\r\n"
LARGE *= 100_000  # more than any socket's buffer takes


@pytest.mark.parametrize("farewell", [b"", b"421 going down\r\n"])
async def test_a_mail_that_has_not_left_to_its_end_is_not_sent(
    farewell: bytes,
) -> None:
    """Nor is a mail behind it: of that not an octet has left."""

    async def take(relay: Relay, size: int) -> None:
        await relay.reader.read(100)
        relay.writer.write(farewell)
        relay.writer.write_eof()
        await relay.reader.readexactly(size)

    async with Relay(take) as port:
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            async with asyncio.timeout(5):
                outcomes = await run(smtp, [mail(1, LARGE), mail(2), mail(3)], 2)
    assert statuses(outcomes) == ["not sent"] * 3
    for outcome in outcomes:
        assert isinstance(outcome.error, SMTPConnectionLostError)
        assert (outcome.error.reply is None) is (farewell == b"")


async def test_a_content_that_is_not_taken_in_time_is_not_sent() -> None:
    async def take(relay: Relay, size: int) -> None:
        await relay.is_over.wait()

    async with Relay(take) as port:
        timeouts = Timeouts(content=0.1)
        async with SMTP("127.0.0.1", port, "client.example", timeouts) as smtp:
            outcomes = await run(smtp, [mail(1, LARGE), mail(2), mail(3)], 2)
    assert statuses(outcomes) == ["not sent"] * 3
    assert isinstance(outcomes[0].error, SMTPTimeoutError)


async def test_the_limit_for_the_final_reply_begins_when_all_was_sent() -> None:
    """D09: as long as the content moves, it may take its time."""
    final = 0.25

    async def take(relay: Relay, size: int) -> None:
        for _ in range(10):
            await asyncio.sleep(final / 5)
            await relay.reader.readexactly(size // 10)
        relay.writer.write(b"250 taken\r\n")

    async with Relay(take) as port:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sock.connect(("127.0.0.1", port))
            async with SMTP(
                sock=sock, fqdn="client.example", timeout=Timeouts(final=final)
            ) as smtp:
                outcomes = await run(smtp, [mail(1, LARGE)], 2)
    assert statuses(outcomes) == ["accepted"]


# Leaving


async def test_a_cancelled_wait_for_the_last_mail_leaves_the_rset_to_the_next() -> None:
    """F12: its BDAT is refused when nobody waits any more."""
    is_there = asyncio.Event()

    def heard(event: object) -> None:
        if str(event) == "S: 250 sender":
            is_there.set()

    async with session(
        HELLO,
        whole(1),
        "S: 250 sender\nS: 250 ok\nS: 452 full",
        RSET,
        by_data(2),
        on_event=heard,
    ) as smtp:
        waiting = asyncio.ensure_future(anext(smtp.send_many(mails(1), window=8)))
        await is_there.wait()
        assert waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await smtp.sendmail("a2@x.example", "b2@y.example", "mail 2\r\n")


async def test_being_cancelled_in_the_middle_of_a_content_ends_the_connection() -> None:
    is_begun = asyncio.Event()

    async def take(relay: Relay, size: int) -> None:
        is_begun.set()
        await relay.is_over.wait()

    async with Relay(take) as port, asyncio.timeout(5):
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            waiting = asyncio.ensure_future(
                anext(smtp.send_many([mail(1, LARGE)], window=2))
            )
            await is_begun.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            with pytest.raises(SMTPConnectionLostError, match="broken off"):
                await smtp.noop()


@pytest.mark.parametrize("error", [Failure, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_source_that_fails_behind_a_large_mail_cuts_nothing_short(
    *, is_async: bool, error: type[BaseException]
) -> None:
    """H04: octets of a BDAT that are missing would be taken from the next command."""
    taken = bytearray()

    async def take(relay: Relay, size: int) -> None:
        while len(taken) < size:
            taken.extend(await relay.reader.read(min(65536, size - len(taken))))
            await asyncio.sleep(0)
        relay.writer.write(b"250 taken\r\n")

    def given() -> Iterator[Mail]:
        yield mail(1, LARGE)
        raise error

    async def as_given() -> AsyncIterator[Mail]:
        for item in given():
            yield item

    outcomes: list[Outcome] = []
    async with Relay(take) as port, asyncio.timeout(10):
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            source: Any = as_given() if is_async else given()
            with pytest.raises(error):
                await collect(smtp.send_many(source, window=2), outcomes)
            assert await smtp.noop() == (250, "ok")
    assert statuses(outcomes) == ["accepted"]
    assert taken == LARGE


async def test_no_mail_follows_a_large_one_that_is_refused_on_its_way() -> None:
    """H11: the refusal is read while the content is written."""
    asked: list[int] = []
    before: list[int] = []

    async def take(relay: Relay, size: int) -> None:
        relay.writer.write(b"552 too much\r\n" if size > 8 else b"250 taken\r\n")
        for _ in range(50):
            await asyncio.sleep(0)
        await relay.reader.readexactly(size)
        if size > 8:
            before.extend(asked)

    def given() -> Iterator[Mail]:
        for number in (1, 2):
            asked.append(number)
            yield mail(number, LARGE if number == 1 else None)

    async with Relay(take) as port, asyncio.timeout(10):
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            outcomes = await run(smtp, given(), window=2)
    assert statuses(outcomes) == ["refused", "accepted"]
    assert before == [1]


async def test_a_recipient_refused_while_a_large_mail_leaves_holds_nothing_up() -> None:
    """The next mail is on its way before the large one has its final reply."""
    asked: list[int] = []
    before: list[int] = []

    async def take(relay: Relay, size: int) -> None:
        await relay.reader.readexactly(size)
        if size > 8:
            for _ in range(50):
                await asyncio.sleep(0)
            before.extend(asked)
        relay.writer.write(b"250 taken\r\n")

    def given() -> Iterator[Mail]:
        asked.append(1)
        yield Mail(LARGE, "a1@x.example", ["b1@y.example", "nobody@y.example"])
        asked.append(2)
        yield mail(2)

    async with Relay(take) as port, asyncio.timeout(10):
        async with SMTP("127.0.0.1", port, "client.example") as smtp:
            outcomes = await run(smtp, given(), window=2)
    assert statuses(outcomes) == ["partial", "accepted"]
    assert before == [1, 2]


async def test_a_recipient_refused_among_others_holds_nothing_up() -> None:
    """The mail is accepted all the same: the next one leaves."""
    two = Mail("mail 1\r\n", "a1@x.example", ["b1@y.example", "c@y.example"])
    first = head(1) + "C: RCPT TO:<c@y.example>\nC: BDAT 8 LAST\nC: mail 1\n"
    group = "S: 250 ok\nS: 250 ok\nS: 550 nobody\n"
    async with session(
        HELLO,
        first + behind(2),
        group + "S: 250 taken 1\n" + RESET + "S: 250 ok\nS: 250 ok\n",
        behind(3) + "S: 250 taken 2\n" + RESET + taken(3),
    ) as smtp:
        run = smtp.send_many([two, mail(2), mail(3)], window=2)
        outcomes = [outcome async for outcome in run]
    assert statuses(outcomes) == ["partial", "accepted", "accepted"]


async def test_no_mail_leaves_once_a_refusal_has_been_read() -> None:
    """H11: not even those that nobody has asked for; RSET is first."""
    asked: list[int] = []

    def given() -> Iterator[Mail]:
        for number in (1, 2, 3, 4, 5):
            asked.append(number)
            yield mail(number)

    no = "S: 250 ok\nS: 250 ok\nS: 554 no\n"
    async with session(
        HELLO,
        whole(1, 2),
        no + RESET + "S: 250 ok\nS: 250 ok\nS: 250 taken 2\n",
        RSET,
        whole(3, 4),
        taken(3, 4),
        whole(5),
        taken(5),
    ) as smtp:
        run = smtp.send_many(given(), window=2)
        assert (await anext(run)).status == "refused"
        assert asked == [1, 2]
        assert statuses([outcome async for outcome in run]) == ["accepted"] * 4


# Who asks


async def test_who_has_begun_a_run_may_ask_for_its_outcomes_in_another_task() -> None:
    """E05: and is told that a command of its own would wait for ever."""
    async with session(HELLO, whole(1, 2), taken(1, 2), NOOP) as smtp:
        outcomes = smtp.send_many(mails(2), window=8)
        first = asyncio.create_task(anext(outcomes))  # type: ignore[arg-type]
        assert (await first).status == "accepted"
        with pytest.raises(SMTPConnectionError, match="in use"):
            await smtp.noop()
        assert [outcome.status async for outcome in outcomes] == ["accepted"]
        await smtp.noop()


async def test_a_run_that_another_thread_drops_gives_the_turn_back() -> None:
    """E24: garbage is collected in whichever thread it is found."""
    async with session(HELLO, whole(1, 2), taken(1, 2), RSET, NOOP) as smtp:
        kept = [smtp.send_many(mails(2), window=8)]
        assert (await anext(kept[0])).status == "accepted"
        await asyncio.to_thread(kept.clear)
        await smtp.noop()


def test_a_run_that_another_thread_drops_after_its_loop_was_closed_is_forgotten() -> (
    None
):
    """E24: there is nobody left to give a turn back to."""
    kept: list[Any] = []

    async def main() -> None:
        async with session(HELLO, whole(1, 2), taken(1, 2)) as smtp:
            kept.append(smtp.send_many(mails(2), window=8))
            await anext(kept[0])
            await smtp.close()

    asyncio.run(main())
    thread = threading.Thread(target=kept.clear)
    thread.start()
    thread.join()
    assert kept == []

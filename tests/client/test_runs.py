"""Mails one after another on one connection: a turn each, and an outcome each."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import session

from smtplibaio import (
    LMTP,
    SMTP,
    Mail,
    Outcome,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
    Timeouts,
)
from smtplibaio.content.forms import BLOCK

HELLO = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-SIZE 5000000
    S: 250 PIPELINING
"""
CHUNKING = HELLO.replace("250-SIZE", "250-CHUNKING\nS: 250-BINARYMIME\nS: 250-SIZE")
SERIAL = """
    S: 220 hi
    C: EHLO client.example
    S: 250-CHUNKING
    S: 250 mx
"""
GROUP = "C: MAIL FROM:<a{0}@x.example>\nC: RCPT TO:<b{0}@y.example>\nC: DATA\n"
GO = "S: 250 ok\nS: 250 ok\nS: 354 go\n"
CONTENT = "C: mail {0}\nC: .\n"
TAKEN = "S: 250 taken {0}\n"
RESET = "S: 250 reset\n"
RSET = "C: RSET\n" + RESET
NOOP = "C: NOOP\nS: 250 in step\n"


def mail(number: int, message: Any = None, **parameters: Any) -> Mail:
    """Give a mail whose number is in its addresses, and in its content."""
    return Mail(
        f"mail {number}\r\n" if message is None else message,
        f"a{number}@x.example",
        f"b{number}@y.example",
        **parameters,
    )


def sized(number: int) -> str:
    """Write a mail as it leaves where its SIZE is told."""
    return GROUP.format(number).replace(
        f"a{number}@x.example>", f"a{number}@x.example> SIZE=8"
    )


def behind(number: int) -> str:
    """Write the commands of a mail as they leave behind the content of another."""
    return "C: RSET\n" + sized(number)


def turns(*numbers: int) -> str:
    """Write mails that are taken, as they leave one behind another."""
    script, before = sized(numbers[0]), ""
    for number, following in zip(numbers, [*numbers[1:], None], strict=True):
        group = "" if following is None else behind(following)
        script += before + GO + CONTENT.format(number) + group + TAKEN.format(number)
        before = RESET
    return script


async def run(smtp: SMTP, *mails: Any, **options: Any) -> list[Outcome]:
    return [outcome async for outcome in smtp.send_many(mails, **options)]


async def run_of(smtp: SMTP, mails: Any) -> list[Outcome]:
    return [outcome async for outcome in smtp.send_many(mails)]


async def collect(run: AsyncIterator[Outcome], outcomes: list[Outcome]) -> None:
    """Note outcomes one by one, so that those before an exception are there."""
    async for outcome in run:
        outcomes.append(outcome)  # noqa: PERF401


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


# The turns


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_run_of_three_mails_turn_by_turn(is_async: bool) -> None:
    """Content and dot of one leave with MAIL, RCPT and DATA of the next."""
    mails = [mail(1), mail(2), mail(3)]

    async def later() -> AsyncIterator[Mail]:
        for item in mails:
            yield item

    async with session(
        HELLO,
        """
        C: MAIL FROM:<a1@x.example> SIZE=8
        C: RCPT TO:<b1@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: mail 1
        C: .
        C: RSET
        C: MAIL FROM:<a2@x.example> SIZE=8
        C: RCPT TO:<b2@y.example>
        C: DATA
        S: 250 taken 1
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: mail 2
        C: .
        C: RSET
        C: MAIL FROM:<a3@x.example> SIZE=8
        C: RCPT TO:<b3@y.example>
        C: DATA
        S: 250 taken 2
        S: 250 reset
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: mail 3
        C: .
        S: 250 taken 3
        """,
        NOOP,
    ) as smtp:
        outcomes = [
            outcome
            async for outcome in smtp.send_many(later() if is_async else iter(mails))
        ]
        assert [outcome.mail for outcome in outcomes] == mails
        assert statuses(outcomes) == ["accepted"] * 3
        results = [outcome.result for outcome in outcomes]
        assert [result.reply.message for result in results if result is not None] == [
            "taken 1",
            "taken 2",
            "taken 3",
        ]
        assert (await smtp.noop()).message == "in step"


@pytest.mark.parametrize(
    ("hello", "options"),
    [
        pytest.param(SERIAL, {}, id="F08-not offered"),
        pytest.param(
            SERIAL.replace("S: 250 mx", "S: 250 PIPELINING"),
            {"pipelining": False},
            id="F08-switched off",
        ),
    ],
)
@pytest.mark.parametrize("window", [1, 8])
async def test_without_pipelining_each_command_waits_for_its_reply(
    hello: str, options: dict[str, Any], window: int
) -> None:
    """F08: strictly one by one, whatever was asked for."""
    one = """
        C: MAIL FROM:<a{0}@x.example>
        S: 250 ok
        C: RCPT TO:<b{0}@y.example>
        S: 250 ok
        C: DATA
        S: 354 go
        C: mail {0}
        C: .
        S: 250 taken
        """
    async with session(hello, one.format(1), one.format(2), **options) as smtp:
        outcomes = await run(smtp, mail(1), mail(2), window=window)
        assert statuses(outcomes) == ["accepted", "accepted"]


async def test_a_server_that_takes_no_group_refuses_every_mail() -> None:
    """F08: PIPELINING offered, and then held against the client."""
    no = "S: 503 improper command pipelining\n"
    async with session(
        HELLO, sized(1), no * 3, RSET, sized(2), no * 3, RSET, NOOP
    ) as smtp:
        outcomes = await run(smtp, mail(1), mail(2))
        assert statuses(outcomes) == ["refused", "refused"]
        await smtp.noop()


async def test_content_waits_for_no_mail_that_is_not_there_yet() -> None:
    is_taken = asyncio.Event()

    async def mails() -> AsyncIterator[Mail]:
        yield mail(1)
        await is_taken.wait()
        yield mail(2)

    async with session(HELLO, turns(1), turns(2)) as smtp:
        async for outcome in smtp.send_many(mails()):
            assert outcome.status == "accepted"
            is_taken.set()


async def test_mails_are_taken_as_they_are_sent() -> None:
    """One more than was answered, for its commands leave with the last content."""
    taken = 0

    def mails() -> Iterator[Mail]:
        nonlocal taken
        for taken in (1, 2, 3, 4):
            yield mail(taken)

    async with session(HELLO, turns(1, 2, 3, 4)) as smtp:
        seen = [taken async for _ in smtp.send_many(mails())]
    assert seen == [2, 3, 4, 4]


async def test_a_message_that_names_its_recipients_needs_no_mail() -> None:
    message = EmailMessage()
    message["From"], message["To"] = "a1@x.example", "b1@y.example"
    message.set_content("mail 1")
    lines = message.as_bytes().decode().splitlines()
    group = sized(1).replace("SIZE=8", f"SIZE={len(message.as_bytes()) + len(lines)}")
    async with session(
        HELLO, group, GO, "".join(f"C: {line}\n" for line in lines), "C: .\nS: 250 ok"
    ) as smtp:
        [outcome] = await run(smtp, message)
        assert outcome.mail == Mail(message)
        assert outcome.status == "accepted"


async def test_no_mails_are_no_words() -> None:
    async with session(HELLO) as smtp:
        assert await run(smtp) == []


# Refusals


@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param(
            "S: 250 ok\nS: 550 no\nS: 503 no\n" + RSET,
            SMTPNoRecipientError,
            id="RCPT",
        ),
        pytest.param(
            "S: 250 ok\nS: 550 no\nS: 354 go\nC: .\nS: 554 no valid recipients\n"
            + RSET,
            SMTPNoRecipientError,
            id="RCPT, and a 354",
        ),
        pytest.param(
            "S: 250 ok\nS: 250 ok\nS: 451 later\n" + RSET,
            SMTPCommandFailedError,
            id="DATA",
        ),
    ],
)
async def test_a_refused_mail_is_an_outcome_and_the_run_goes_on(
    said: str, error: type[SMTPException]
) -> None:
    """F01, F02: the last content leaves alone, and the next mail begins afresh."""
    async with session(
        HELLO,
        sized(1),
        GO,
        CONTENT.format(1) + behind(2),
        TAKEN.format(1) + RESET,
        said,
        turns(3, 4),
    ) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3, 4)))
    assert statuses(outcomes) == ["accepted", "refused", "accepted", "accepted"]
    assert type(outcomes[1].error) is error
    assert outcomes[1].result is None
    assert outcomes[0].error is None


@pytest.mark.parametrize("judgement", ["250 ok", "550 no"])
@pytest.mark.parametrize("reset", ["250 reset", "503 not here"])
async def test_a_mail_refused_behind_a_dot_is_sent_once_more_alone(
    judgement: str, reset: str
) -> None:
    """H03: nobody has judged it; and nothing more is sent behind a dot."""
    no = "S: 503 no\n"
    again = RSET + sized(2) if reset == "250 reset" else behind(2) + RESET
    rest = no + no + RSET if judgement == "550 no" else ""
    rest = rest or "S: 250 ok\nS: 354 go\n" + CONTENT.format(2) + TAKEN.format(2)
    async with session(
        HELLO,
        sized(1),
        GO,
        CONTENT.format(1) + behind(2),
        TAKEN.format(1) + f"S: {reset}\n" + no * 3,
        again + f"S: {judgement}\n" + rest,
        turns(3),
        turns(4),
    ) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3, 4)))
    status = "refused" if judgement == "550 no" else "accepted"
    assert statuses(outcomes) == ["accepted", status, "accepted", "accepted"]


async def test_a_refused_content_does_not_touch_the_mail_behind_it() -> None:
    script = turns(1, 2, 3).replace("250 taken 2", "554 not this one")
    async with session(HELLO, script) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3)))
    assert statuses(outcomes) == ["accepted", "refused", "accepted"]
    error = outcomes[1].error
    assert isinstance(error, SMTPCommandFailedError)
    assert error.reply == (554, "not this one")


async def test_recipients_beyond_the_servers_limit_are_told_one_by_one() -> None:
    """F14: a hundred get it, and each of the others has its reply."""
    names = [f"{n}@y.example" for n in range(103)]
    replies = ["250 ok"] * 100 + ["452 4.5.3 too many", "452 later", "552 too many"]
    many = [
        "C: MAIL FROM:<a2@x.example> SIZE=8",
        *(f"C: RCPT TO:<{name}>" for name in names),
        "C: DATA",
    ]
    async with session(
        HELLO,
        sized(1),
        GO,
        CONTENT.format(1) + "C: RSET\n" + "\n".join(many),
        TAKEN.format(1) + RESET + "S: 250 ok\n" + "\n".join(f"S: {r}" for r in replies),
        "S: 354 go",
        CONTENT.format(2) + behind(3),
        TAKEN.format(2) + RESET + GO,
        CONTENT.format(3) + TAKEN.format(3),
    ) as smtp:
        outcomes = await run(
            smtp, mail(1), Mail("mail 2\r\n", "a2@x.example", names), mail(3)
        )
    assert statuses(outcomes) == ["accepted", "partial", "accepted"]
    result = outcomes[1].result
    assert result is not None
    assert result.accepted == names[:100]
    assert {name: reply.code for name, reply in result.items()} == {
        names[100]: 452,
        names[101]: 452,
        names[102]: 552,
    }
    assert result.reply.message == "taken 2"


BAD = [
    pytest.param(
        Mail("hi", "a@x.example\r\nQUIT", "b@y.example"), SMTPArgumentError, id="sender"
    ),
    pytest.param(Mail("hi", "a@x.example", []), SMTPArgumentError, id="no recipients"),
    pytest.param(mail(2, b"a\0b"), SMTPArgumentError, id="NUL"),
    pytest.param(mail(2, b"x\r\n" * 1666667), SMTPArgumentError, id="too large"),
    pytest.param(mail(2, "\u20ac"), SMTPCommandNotSupportedError, id="8 bit"),
    pytest.param(mail(2, envid="x"), SMTPCommandNotSupportedError, id="DSN"),
    pytest.param("no Mail, and nobody's", SMTPArgumentError, id="no envelope"),
    pytest.param(3, SMTPArgumentError, id="no message"),
]


@pytest.mark.parametrize(("bad", "error"), BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_mail_that_cannot_be_sent_is_an_outcome_in_its_place(
    bad: Any, error: type[SMTPException], place: int
) -> None:
    mails: list[Any] = [mail(1), mail(3)]
    mails.insert(place, bad)
    script = turns(1) + turns(3) if place == 1 else turns(1, 3)
    async with session(HELLO, script) as smtp:
        outcomes = await run(smtp, *mails)
    expected = ["accepted", "accepted"]
    expected.insert(place, "not sent")
    assert statuses(outcomes) == expected
    assert isinstance(outcomes[place].error, error)
    assert outcomes[place].mail == (bad if isinstance(bad, Mail) else Mail(bad))


@pytest.mark.parametrize("refused", [True, False])
async def test_where_all_are_wanted_data_waits_for_the_verdicts(refused: bool) -> None:
    """F03: so MAIL and RCPT ride with the content before, and DATA does not."""
    head, _ = sized(2).split("C: DATA")
    head += "C: RCPT TO:<c@y.example>\n"
    if refused:
        rest = "S: 250 ok\nS: 250 ok\nS: 550 no\n" + RSET + sized(3)
    else:
        rest = "S: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n"
        rest += CONTENT.format(2) + behind(3) + TAKEN.format(2) + RESET
    async with session(
        HELLO,
        sized(1),
        GO,
        CONTENT.format(1) + "C: RSET\n" + head,
        TAKEN.format(1) + RESET + rest,
        GO + CONTENT.format(3) + TAKEN.format(3),
    ) as smtp:
        both = Mail(
            "mail 2\r\n",
            "a2@x.example",
            ["b2@y.example", "c@y.example"],
            all_or_nothing=True,
        )
        outcomes = await run(smtp, mail(1), both, mail(3))
    status = "refused" if refused else "accepted"
    assert statuses(outcomes) == ["accepted", status, "accepted"]
    if refused:
        assert isinstance(outcomes[1].error, SMTPRecipientRefusedError)


# Content that is read as it is sent


async def lines_of(*lines: bytes) -> AsyncIterator[bytes]:
    for line in lines:
        await asyncio.sleep(0)
        yield line


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: lines_of(b"mail 2", b"\r\n"), id="asynchronous"),
        pytest.param(lambda: iter([b"mail", b" 2\r\n"]), id="iterable"),
        pytest.param(lambda: io.BytesIO(b"mail 2\n"), id="file"),
    ],
)
async def test_the_next_mail_rides_with_the_end_of_a_stream_too(
    make: Callable[[], Any],
) -> None:
    told: list[tuple[int, int | None]] = []
    streamed = mail(2, make(), progress=lambda *now: told.append(now))
    script = turns(1, 2, 3).replace("a2@x.example> SIZE=8", "a2@x.example>")
    async with session(HELLO, script) as smtp:
        outcomes = await run(smtp, mail(1), streamed, mail(3))
    assert statuses(outcomes) == ["accepted"] * 3
    assert told[-1][0] == 8


class Failure(Exception):
    """What a source raises."""


@pytest.mark.parametrize("kind", [Failure, asyncio.CancelledError])
@pytest.mark.parametrize("place", [1, 2])
async def test_what_the_source_of_a_content_raises_is_an_outcome(
    place: int, kind: type[BaseException]
) -> None:
    """And the end of the connection: half a mail must not be finished."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"half a mail\r\n"
        raise kind

    mails = [mail(n, broken() if n == place else None) for n in (1, 2, 3)]
    script = turns(*range(1, place + 1)).split(f"C: mail {place}")[0]
    script = script.replace(f"a{place}@x.example> SIZE=8", f"a{place}@x.example>")
    async with session(HELLO, script, "C: <hangup>") as smtp:
        outcomes = await run(smtp, *mails)
        assert not smtp.is_connected
        with pytest.raises(SMTPConnectionLostError, match="broken off"):
            await smtp.noop()
    expected = ["accepted"] * (place - 1) + ["not sent"] * (4 - place)
    assert statuses(outcomes) == expected
    error = outcomes[place - 1].error
    assert isinstance(error, SMTPArgumentError)
    assert isinstance(error.__cause__, kind)


@pytest.mark.parametrize("kind", [Failure, asyncio.CancelledError])
async def test_what_as_bytes_raises_is_an_outcome_and_the_run_goes_on(
    kind: type[BaseException],
) -> None:
    """H05: one bad message does not end a run."""

    class Broken:
        def as_bytes(self) -> bytes:
            raise kind

    async with session(HELLO, turns(1), turns(3), NOOP) as smtp:
        outcomes = await run(smtp, mail(1), mail(2, Broken()), mail(3))
        await smtp.noop()
    assert statuses(outcomes) == ["accepted", "not sent", "accepted"]
    error = outcomes[1].error
    assert isinstance(error, SMTPArgumentError)
    assert isinstance(error.__cause__, kind)


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_the_source_of_the_mails_raises_comes_behind_their_outcomes(
    is_async: bool,
) -> None:
    def mails() -> Iterator[Mail]:
        yield mail(1)
        yield mail(2)
        raise Failure

    async def later() -> AsyncIterator[Mail]:
        for item in mails():
            yield item

    outcomes: list[Outcome] = []
    async with session(HELLO, turns(1, 2), NOOP) as smtp:
        source: Any = later() if is_async else mails()
        with pytest.raises(Failure):
            await collect(smtp.send_many(source), outcomes)
        await smtp.noop()
    assert statuses(outcomes) == ["accepted", "accepted"]


async def test_an_iterable_cannot_end_a_run_without_a_word() -> None:
    """What ends `async for` is not taken from an iterable that is not asynchronous."""

    class Source:
        def __iter__(self) -> Iterator[Mail]:
            return self

        def __next__(self) -> Mail:
            raise StopAsyncIteration

    async with session(HELLO, NOOP) as smtp:
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
            await run_of(smtp, Source())
        await smtp.noop()


# LMTP


@pytest.mark.parametrize("recipients", [1, 2])
async def test_nothing_follows_the_dot_where_lmtp_has_several_replies(
    recipients: int,
) -> None:
    """F16: a server that leaves one out would answer with those to the next mail."""
    both = [f"b{n}@y.example" for n in range(recipients)]
    rcpts = "".join(f"C: RCPT TO:<{name}>\n" for name in both)
    group = "C: MAIL FROM:<a@x.example>\n" + rcpts + "C: DATA\n"
    go = "S: 250 ok\n" + "S: 250 ok\n" * recipients + "S: 354 go\n"
    content, taken = "C: mail\nC: .\n", "S: 250 taken\n" * recipients
    mails = [Mail("mail\r\n", "a@x.example", both)] * 2
    if recipients == 1:
        turns = (group, go, content, "C: RSET\n", group, taken, RESET, go, content)
    else:
        turns = (group, go, content, taken, group, go, content)
    hello = "S: 220 hi\nC: LHLO client.example\nS: 250-mx\nS: 250 PIPELINING\n"
    async with session(hello, *turns, taken, NOOP, make=LMTP) as smtp:
        assert statuses(await run(smtp, *mails)) == ["accepted", "accepted"]
        await smtp.noop()


# BDAT


async def test_bdat_is_the_last_of_its_group() -> None:
    """F09, F12: it waits for the verdicts; and after a refused one comes RSET."""
    group = sized(1).split("C: DATA")[0]
    async with session(
        CHUNKING,
        group,
        "S: 250 ok\nS: 250 ok\nC: BDAT 8 LAST\nC: mail 1\nS: 452 full",
        RSET,
        group.replace("a1", "a2").replace("b1", "b2"),
        "S: 250 ok\nS: 250 ok\nC: BDAT 8 LAST\nC: mail 2\nS: 250 taken",
        group.replace("a1", "a3").replace("b1", "b3"),
        "S: 250 ok\nS: 550 no",
        RSET,
        NOOP,
        chunking=True,
    ) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3)))
        await smtp.noop()
    assert statuses(outcomes) == ["refused", "accepted", "refused"]


async def test_binary_content_goes_with_bdat_between_mails_that_do_not() -> None:
    """A17: its MAIL rides with the content before; what follows it begins afresh."""
    binary = mail(2, b"m\0il 2\r\n", mail_options=["BODY=BINARYMIME"])
    head, _ = sized(2).replace("SIZE=8", "BODY=BINARYMIME SIZE=8").split("C: DATA")
    async with session(
        CHUNKING,
        sized(1),
        GO,
        CONTENT.format(1) + "C: RSET\n" + head,
        TAKEN.format(1) + RESET + "S: 250 ok\nS: 250 ok\n",
        "C: BDAT 8 LAST\nC: m\0il 2\n" + TAKEN.format(2),
        turns(3),
    ) as smtp:
        outcomes = await run(smtp, mail(1), binary, mail(3))
    assert statuses(outcomes) == ["accepted"] * 3


Relay = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def relaying(take: Relay, **options: Any) -> AsyncIterator[SMTP]:
    """Connect to a server that leaves it to a function what becomes of a content."""

    async def serve_one(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"220 hi\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                writer.write(b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
            elif line.startswith((b"DATA", b"BDAT")):
                writer.write(b"354 go\r\n" if line == b"DATA\r\n" else b"")
                commands.append(line)
                await take(reader, writer)
            else:
                writer.write(b"250 ok\r\n")
        writer.close()

    commands: list[bytes] = []
    listener = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with (
        asyncio.timeout(5),
        SMTP("127.0.0.1", port, "client.example", **options) as smtp,
    ):
        yield smtp
    listener.close()
    await listener.wait_closed()
    assert set(commands) <= {b"DATA\r\n", b"BDAT 65536\r\n"}


async def test_a_refused_chunk_stops_those_behind_it() -> None:
    """F13: two chunks are on their way as the first is refused; the rest stays."""
    block = b"".join(b"%097d\r\n" % n for n in range(BLOCK // 99 + 1))[:BLOCK]
    is_refused = asyncio.Event()
    given = 0

    async def content() -> AsyncIterator[bytes]:
        nonlocal given
        for given in range(1, 99):
            yield block
            if given == 3:
                await is_refused.wait()

    received: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readexactly(BLOCK))
        if len(received) == 2:
            writer.write(b"452 full\r\n452 full\r\n")
            is_refused.set()

    async with relaying(take, chunking=True) as smtp:
        outcomes = await run(smtp, mail(1, content()), mail(2))
        assert not smtp.is_connected
    assert statuses(outcomes) == ["refused", "not sent"]
    assert isinstance(outcomes[0].error, SMTPCommandFailedError)
    assert outcomes[0].error.reply == (452, "full")
    assert set(received) == {block}
    assert given < 9


# The end of the connection


async def test_a_farewell_together_with_the_354_leaves_every_mail_unsent() -> None:
    """D14: the content has not left, so the 421 is no answer to it."""
    async with session(HELLO, sized(1), GO, "S: 421 going down", "C: <hangup>") as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3)))
    assert statuses(outcomes) == ["not sent"] * 3
    for outcome in outcomes:
        assert isinstance(outcome.error, SMTPConnectionLostError)
        assert outcome.error.reply == (421, "going down")
        assert outcome.error.is_transient


@pytest.mark.parametrize("end", ["S: <close>", "S: 421 going down\nC: <hangup>"])
async def test_a_connection_that_ends_while_content_is_read_leaves_it_unsent(
    end: str,
) -> None:
    """And the mail behind it is not waited for."""

    async def content(smtp: SMTP) -> AsyncIterator[bytes]:
        yield b"half a mail\r\n"
        while smtp.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(0)  # nobody tells when it ends
        yield b"the other half\r\n"

    group = sized(1).replace(" SIZE=8", "")
    async with session(HELLO, group, GO, end) as smtp:
        outcomes = await run(smtp, mail(1, content(smtp)), mail(2), mail(3))
    assert statuses(outcomes) == ["not sent"] * 3


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ("S: <close>", "unknown", SMTPDeliveryUnknownError),
        ("S: <reset>", "unknown", SMTPDeliveryUnknownError),
        ("S: <silence>", "unknown", SMTPDeliveryUnknownError),
        ("S: 354 what?\nC: <hangup>", "unknown", SMTPDeliveryUnknownError),
        ("S: 221 bye\nC: <hangup>", "unknown", SMTPDeliveryUnknownError),
        ("S: what?\nC: <hangup>", "unknown", SMTPDeliveryUnknownError),
        ("S: 421 bye\nC: <hangup>", "refused", SMTPConnectionLostError),
    ],
)
async def test_what_was_sent_and_not_answered_is_unknown_and_the_rest_not_sent(
    answer: str, status: str, error: type[SMTPException]
) -> None:
    """D12: a 421 is an answer, and it is no."""
    async with session(
        HELLO,
        turns(1, 2).replace(TAKEN.format(2), behind(3)),
        answer,
        timeout=Timeouts(final=0.05),
    ) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3, 4)))
        assert not smtp.is_connected
    assert statuses(outcomes) == ["accepted", status, "not sent", "not sent"]
    assert isinstance(outcomes[1].error, error)
    errors = [outcome.error for outcome in outcomes[1:]]
    assert [e.safe_to_retry for e in errors if e is not None] == [
        status == "refused",
        True,
        True,
    ]


async def test_a_mail_whose_commands_are_not_answered_in_time_is_not_sent() -> None:
    async with session(
        HELLO,
        sized(1),
        GO,
        CONTENT.format(1) + behind(2),
        TAKEN.format(1) + RESET + "S: 250 ok",
        "S: <silence>",
        timeout=Timeouts(reply=0.05),
    ) as smtp:
        outcomes = await run(smtp, *map(mail, (1, 2, 3)))
    assert statuses(outcomes) == ["accepted", "not sent", "not sent"]
    assert isinstance(outcomes[1].error, SMTPTimeoutError)
    assert isinstance(outcomes[2].error, SMTPConnectionLostError)


async def test_a_354_behind_a_refused_mail_ends_the_connection() -> None:
    """F02: with a recipient accepted, a lone dot would deliver an empty mail."""
    async with session(
        HELLO, sized(1), "S: 550 no\nS: 250 ok\nS: 354 go", "C: <hangup>"
    ) as smtp:
        outcomes = await run(smtp, mail(1), mail(2))
    assert statuses(outcomes) == ["refused", "not sent"]


async def test_a_reply_that_means_nothing_ends_the_connection() -> None:
    async with session(
        HELLO, sized(1), "S: 250 ok\nS: 250 ok\nS: 250 ok", "C: <hangup>"
    ) as smtp:
        outcomes = await run(smtp, mail(1), mail(2))
    assert statuses(outcomes) == ["not sent", "not sent"]
    assert isinstance(outcomes[0].error, SMTPProtocolError)


async def test_a_refusal_in_the_middle_of_a_content_ends_the_connection() -> None:
    """D13: what was not said to its end cannot be ended by anything but hanging up."""
    is_refused = asyncio.Event()

    async def content() -> AsyncIterator[bytes]:
        yield b"x\r\n" * BLOCK
        await is_refused.wait()
        yield b"x\r\n"

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"552 too much\r\n")
        await reader.read()

    async with relaying(take) as smtp:
        outcomes = await run(smtp, mail(1, content()), mail(2))
    assert statuses(outcomes) == ["refused", "not sent"]
    assert isinstance(outcomes[0].error, SMTPCommandFailedError)


# Leaving


async def test_a_mail_that_has_begun_is_given_up_with_the_connection() -> None:
    """After its 354 a dot would be a mail: the only way out is to hang up."""
    async with session(
        HELLO, turns(1, 2).split("S: 250 taken 1")[0], TAKEN.format(1), "C: <hangup>"
    ) as smtp:
        async for outcome in smtp.send_many(map(mail, (1, 2, 3))):
            assert outcome.status == "accepted"
            break
        with pytest.raises(SMTPConnectionLostError, match="left before its end"):
            await smtp.noop()


async def test_a_mail_that_cannot_begin_is_given_up_without_a_word() -> None:
    async with session(HELLO, turns(1), NOOP) as smtp:
        async for outcome in smtp.send_many([mail(1), mail(2, b"a\0b"), mail(3)]):
            assert outcome.status == "accepted"
            break
        await smtp.noop()

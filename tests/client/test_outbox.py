"""What a pipeline was given, on its way: groups, contents, chunks, and their ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
from conversation import session, until
from pipelining import Mishap, begin, is_awaited, outcomes, raising

from smtplibaio import (
    SMTP,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
    Timeouts,
)

SERIAL = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250 CHUNKING
"""
HELLO = SERIAL + "S: 250 PIPELINING\n"
HELLO = HELLO.replace("250 CHUNKING", "250-CHUNKING")
GROUP = """
    C: MAIL FROM:<a@x.example>
    C: RCPT TO:<b@y.example>
"""
BEGIN = f"""{GROUP}
    S: 250 sender
    S: 250 recipient
"""
#: A mail that shows that the dialogue is in step.
NEXT = f"""{BEGIN}
    C: BDAT 6 LAST
    C: next
    S: 250 next
"""


async def give_next(smtp: SMTP) -> None:
    async with smtp.pipeline() as p:
        begin(p)
        taken = p.bdat(b"next", last=True)
    assert taken.result() == (250, "next")
    assert not p.in_transaction


# Chunks on their way


async def test_chunks_wait_for_the_verdicts_and_leave_without_turns() -> None:
    """F12, F09: none before the reply to RCPT; nothing before that to BDAT LAST."""
    async with session(
        HELLO,
        GROUP,
        """
        C: RCPT TO:<c@y.example>
        S: 250 sender
        S: 250 b
        S: 450 c
        C: BDAT 4
        C: hi
        C: BDAT 0
        C: BDAT 7 LAST
        C: .
        C: ho
        S: 250 one
        S: 250 two
        S: 250 three
        """,
        NEXT,
        "C: RSET\nC: NOOP\nS: 250 reset\nS: 250 noop",
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.rcpt("c@y.example")
            chunks = p.bdat(b"hi\n"), p.bdat(b""), p.bdat(b".\nho", last=True)
            begin(p)
            last = p.bdat(b"next", last=True)
            p.rset()
            p.noop()
        assert [c.result().message for c in chunks] == ["one", "two", "three"]
        assert last.result().message == "next"
        assert not p.in_transaction


async def test_what_is_behind_a_chunk_leaves_with_it() -> None:
    """F09: only BDAT LAST must be the last of its group; RSET clears the chunks."""
    async with session(
        HELLO,
        BEGIN,
        """
        C: NOOP
        S: 250 noop
        C: BDAT 4
        C: hi
        C: BDAT 0
        C: RSET
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        S: 250 one
        S: 250 empty
        S: 250 reset
        S: 250 sender
        S: 250 recipient
        C: BDAT 4 LAST
        C: ho
        S: 250 two
        """,
    ) as smtp:
        async with smtp.pipeline() as p:
            await begin(p)[1]
            p.noop()
            p.bdat(b"hi\n")
            p.bdat(b"")
            p.rset()
            begin(p)
            assert (await p.bdat(b"ho\n", last=True)).message == "two"


async def test_without_pipelining_each_chunk_waits_for_its_reply() -> None:
    """F08, F09: the same code, one by one."""
    async with session(
        SERIAL,
        """
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 250 recipient
        C: BDAT 4
        C: hi
        S: 250 one
        C: BDAT 4
        C: hi
        S: 250 two
        C: BDAT 0 LAST
        S: 250 three
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RSET
        S: 250 reset
        """,
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            chunks = p.bdat(b"hi\n"), p.bdat(b"hi\n"), p.bdat(b"", last=True)
            p.mail("a@x.example")
            p.rset()
        assert [c.result().message for c in chunks] == ["one", "two", "three"]


async def test_data_and_chunks_take_turns_in_one_pipeline() -> None:
    """F09: commands ride with a final dot, and wait for the reply to BDAT LAST."""
    data = f"""{GROUP}
        C: DATA
        S: 250 sender
        S: 250 recipient
        S: 354 go
        C: ..
        C: .
    """
    async with session(
        HELLO,
        data,
        "C: RSET\n" + GROUP,
        "S: 250 taken\nS: 250 reset\nS: 250 sender\nS: 250 recipient",
        "C: BDAT 3 LAST\nC: .\nS: 554 spam",
        "C: RSET\nC: NOOP\nS: 250 reset\nS: 250 noop",
        data,
        "S: 250 taken too",
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.data()
            one = p.content(b".\r\n")
            begin(p)
            two = p.bdat(b".\r\n", last=True)
            p.rset()
            p.noop()
            begin(p)
            p.data()
            three = p.content(b".\r\n")
        assert await outcomes(one, two, three) == [250, 554, 250]


async def test_chunks_may_follow_a_transaction_that_was_begun_before() -> None:
    """F12: command by command, whose replies its caller has."""
    begun = "C: MAIL FROM:<a@x.example>\nS: 250 a\nC: RCPT TO:<b@y.example>\nS: 250 b"
    async with session(
        HELLO, begun, "C: BDAT 4\nC: hi\nC: BDAT 0 LAST\nS: 250 one\nS: 250 two", NEXT
    ) as smtp:
        await smtp.mail("a@x.example")
        await smtp.rcpt("b@y.example")
        async with smtp.pipeline() as p:
            chunks = p.bdat(b"hi\n"), p.bdat(b"", last=True)
        assert await outcomes(*chunks) == [250, 250]
        await give_next(smtp)


# Refusals


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
@pytest.mark.parametrize(
    ("mail", "b", "c", "refusal"),
    [
        (550, 503, 503, 550),
        (550, 250, 250, 550),
        (250, 550, 451, 550),
        (354, 250, 250, 354),
    ],
)
async def test_chunks_for_nobody_are_not_sent(
    hello: str, mail: int, b: int, c: int, refusal: int
) -> None:
    """F12: each future has the reply for which it was kept back."""
    lines = [*GROUP.strip().splitlines(), "C: RCPT TO:<c@y.example>"]
    replies = [f"S: {code} hm" for code in (mail, b, c)]
    if hello is HELLO:
        said = [*lines, *replies]
    else:
        said = [line for pair in zip(lines, replies, strict=True) for line in pair]
    async with session(hello, "\n".join(said), "C: RSET\nS: 250 reset") as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.rcpt("c@y.example")
            chunks = p.bdat(b"RSET\r\n"), p.bdat(b"QUIT\r\n", last=True)
            assert (await p.rset()).message == "reset"
        assert await outcomes(*chunks) == [refusal, refusal]


async def test_no_more_chunks_follow_a_refused_one() -> None:
    """F13: those in flight have their own replies, the others have the refusal."""
    async with session(
        HELLO,
        BEGIN,
        """
        C: BDAT 5
        C: one
        C: BDAT 5
        C: two
        S: 452 no room
        S: 503 failed
        C: RSET
        S: 250 reset
        """,
        NEXT,
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            one, two = p.bdat(b"one\n"), p.bdat(b"two\n")
            assert (await one).code == 452
            three, four = p.bdat(b"three\n"), p.bdat(b"", last=True)
            assert p.in_transaction
            await p.rset()
        assert await outcomes(one, two, three, four) == [452, 503, 452, 452]
        assert not p.in_transaction
        await give_next(smtp)


async def test_a_refused_last_chunk_is_followed_by_rset() -> None:
    """F12: by the caller's, or by the one with which the next mail begins."""
    async with session(
        HELLO,
        BEGIN,
        "C: BDAT 4 LAST\nC: hi\nS: 554 spam\nC: RSET",
        GROUP,
        "C: DATA\nS: 250 reset\nS: 250 sender\nS: 250 b\nS: 354 go",
        "C: hi\nC: .\nS: 250 taken",
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            chunk = p.bdat(b"hi\n", last=True)
        assert chunk.result() == (554, "spam")
        await smtp.sendmail("a@x.example", "b@y.example", "hi")


async def test_a_last_chunk_taken_after_a_refused_one_leaves_the_mail_unknown() -> None:
    """F13: a server that does so has taken half of the content, or none."""
    async with session(
        HELLO,
        BEGIN,
        "C: BDAT 4\nC: hi\nC: BDAT 4 LAST\nC: ho\nS: 552 no\nS: 250 ok\nC: <hangup>",
    ) as smtp:
        async with raising(SMTPDeliveryUnknownError, smtp) as p:
            begin(p)
            futures = p.bdat(b"hi\n"), p.bdat(b"ho\n", last=True), p.noop()
        assert await outcomes(*futures) == [
            *(552, SMTPDeliveryUnknownError, SMTPProtocolError)
        ]
        assert not smtp.is_connected


async def test_a_rcpt_between_chunks_is_no_verdict_before_its_reply() -> None:
    """F12: it comes too late to be one."""
    async with session(
        HELLO,
        BEGIN,
        """
        C: BDAT 4
        C: hi
        C: RCPT TO:<c@y.example>
        C: BDAT 4 LAST
        C: ho
        S: 250 one
        S: 503 too late
        S: 250 taken
        """,
        NEXT,
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            futures = p.bdat(b"hi\n"), p.rcpt("c@y.example"), p.bdat(b"ho\n", last=True)
        assert await outcomes(*futures) == [250, 503, 250]
        await give_next(smtp)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param("552 too much\r\n", id="E13"),
        pytest.param("552 too much\r\n421 bye\r\n", id="E13-and farewell"),
        pytest.param(None, id="E03"),
    ],
)
@pytest.mark.parametrize("what", ["BDAT", "BDAT LAST", "the final dot"])
async def test_content_that_is_cut_short_ends_the_connection(
    what: str, refusal: str | None
) -> None:
    """E13, E03: refused early, or broken off; what was given behind it is not sent."""
    received = bytearray()

    async def play(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        for said in "220 hi", "250-mx\r\n250 CHUNKING", "250 a", "250 b":
            w.write(f"{said}\r\n".encode())
            await r.readline()
        if what == "the final dot":
            w.write(b"354 go\r\n")
        if refusal is not None:
            await r.readexactly(70_000)
            w.write(refusal.encode())
        with suppress(ConnectionError):
            while data := await r.read(65536):
                received.extend(data)
        w.close()

    listener = await asyncio.start_server(play, "127.0.0.1", 0)
    error = SMTPConnectionLostError if refusal else Mishap
    octets = b"x\r\n" * 3_000_000
    async with listener, SMTP(*listener.sockets[0].getsockname(), timeout=5) as smtp:
        async with raising(error, smtp, refusal and refusal.split()[-1]) as p:
            begin(p)
            if what == "the final dot":
                p.data()
                futures = [p.content(octets)]
            elif what == "BDAT":
                futures = [p.bdat(octets), p.bdat(b"", last=True)]
            else:
                futures = [p.bdat(octets, last=True)]
            noop = p.noop()
            if refusal is None:
                begun = "the content" if what == "the final dot" else "BDAT"
                await until(is_awaited(smtp, begun))
                raise Mishap
        ends = await outcomes(*futures)
        assert ends == [refusal and 552] * len(futures)
        assert noop.cancelled() is (refusal is None)
        assert noop.done()
        assert not smtp.is_connected
    assert not received.endswith((b"\r\n.\r\n", b"LAST\r\n"))


# Futures that are cancelled


@pytest.mark.parametrize(
    ("cancelled", "said"),
    [
        pytest.param("b", "C: MAIL FROM:<a@x.example>\nS: 250 sender", id="F12-RCPT"),
        pytest.param("mail", "C: RCPT TO:<b@y.example>\nS: 503 no", id="F12-MAIL"),
        pytest.param("mail b", "", id="F12-both"),
    ],
)
async def test_no_chunk_leaves_without_a_recipient(cancelled: str, said: str) -> None:
    """F12: nor without MAIL: withdrawn before they left, they had no reply at all."""
    async with session(HELLO, said, "C: RSET\nS: 250 reset", NEXT) as smtp:
        async with smtp.pipeline() as p:
            mail, b = begin(p)
            chunks = p.bdat(b"QUIT\n"), p.bdat(b"RSET\n", last=True)
            for future in [mail] * ("mail" in cancelled) + [b] * ("b" in cancelled):
                future.cancel()
            assert (await p.rset()).message == "reset"
        assert all(c.cancelled() or c.result().code == 503 for c in chunks)
        await give_next(smtp)


async def test_a_recipient_withdrawn_among_others_keeps_no_chunk_back() -> None:
    async with session(HELLO, BEGIN, "C: BDAT 4 LAST\nC: hi\nS: 250 taken") as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.rcpt("c@y.example").cancel()
            assert (await p.bdat(b"hi\n", last=True)).message == "taken"


@pytest.mark.parametrize("position", range(3))
async def test_a_chunk_withdrawn_before_it_left_takes_the_rest_with_it(
    position: int,
) -> None:
    """E03: a mail without its middle is none; RSET clears what was sent of it."""
    sent = "".join(f"C: BDAT 3\nC: {n}\n" for n in range(position))
    replies = "".join(f"S: 250 {n}\n" for n in range(position))
    async with session(
        HELLO, BEGIN, sent, "C: RSET", replies, "S: 250 reset", NEXT
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            chunks = [p.bdat(b"%d\n" % n, last=n == 2) for n in range(3)]
            chunks[position].cancel()
            p.rset()
        expected = [250] * position + [None] * (3 - position)
        assert await outcomes(*chunks) == expected
        assert not p.in_transaction
        await give_next(smtp)


@pytest.mark.parametrize("number", [0, 1], ids=["more", "LAST"])
async def test_a_chunk_cancelled_later_changes_nothing(number: int) -> None:
    """E01: its octets have left, and its reply is read and dropped."""
    async with session(
        HELLO,
        BEGIN,
        "C: BDAT 4\nC: hi\nC: BDAT 4 LAST\nC: ho\nS: 250 one\nS: 250 two",
        NEXT,
    ) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            chunks = p.bdat(b"hi\n"), p.bdat(b"ho\n", last=True)
            await until(is_awaited(smtp, "BDAT"))
            await asyncio.sleep(0)  # BDAT LAST leaves
            await asyncio.sleep(0)
            chunks[number].cancel()
        assert await outcomes(*chunks) == [[None, 250], [250, None]][number]
        await give_next(smtp)


async def test_commands_and_content_withdrawn_in_time_leave_nothing() -> None:
    """E01: DATA with them; and content after a refused DATA has its reply."""
    async with session(
        HELLO,
        "C: MAIL FROM:<a@x.example>\nC: DATA\nS: 250 sender\nS: 503 no\nC: RSET\n",
        "S: 250 reset",
    ) as smtp:
        async with smtp.pipeline() as p:
            _, b = begin(p)
            data = p.data()
            withdrawn = p.content(b"hi\n")
            data.cancel()
            b.cancel()
            p.data()
            refused = p.content(b"hi\n")
            p.rset()
        assert await outcomes(data, withdrawn, refused) == [None, None, 503]


async def test_content_withdrawn_after_the_354_ends_the_connection() -> None:
    """E02: a lone dot would deliver an empty mail."""
    go = "C: DATA\nS: 250 sender\nS: 250 b\nS: 354 go\nC: <hangup>"
    async with session(HELLO, GROUP, go) as smtp:
        async with raising(SMTPConnectionLostError, smtp, "withdrawn") as p:
            begin(p)
            p.data()
            content = p.content(b"hi\n")
            noop = p.noop()
            content.cancel()
        assert await outcomes(content, noop) == [None, SMTPConnectionLostError]


# Sources that fail


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
@pytest.mark.parametrize(
    "error",
    [
        Mishap(),
        OSError(),
        SMTPArgumentError("from within"),
        SMTPCommandFailedError(550, "of another session", "RCPT"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_source_that_raises_fails_its_future_and_those_behind_it(
    hello: str, error: Exception
) -> None:
    """E16: there is no dot; its own exception comes out of the future and the block."""

    def source() -> Iterator[bytes]:
        yield b"hi\r\n"
        raise error

    begun = "C: MAIL FROM:<a@x.example>\nS: 250 a\nC: RCPT TO:<b@y.example>\nS: 250 b"
    async with session(hello, begun, "C: DATA\nS: 354 go\nC: <hangup>") as smtp:
        await smtp.mail("a@x.example")
        await smtp.rcpt("b@y.example")
        async with raising(type(error), smtp) as p:
            data = p.data()
            content = p.content(source())
            noop, rset = p.noop(), p.rset()
            _, pending = await asyncio.wait((content, noop, rset), timeout=0.5)
            assert not pending
        lost = SMTPConnectionLostError
        assert await outcomes(data, content, noop, rset) == [
            354,
            type(error),
            lost,
            lost,
        ]
        assert not smtp.is_connected


# Blocks that are broken off


async def test_a_refused_chunk_that_was_reset_leaves_the_session() -> None:
    """E01: after RSET there is no transaction that an exception could break."""
    async with session(
        HELLO,
        BEGIN,
        "C: BDAT 4\nC: hi\nS: 550 no\nC: RSET\nS: 250 reset",
        NEXT,
    ) as smtp:
        async with raising(Mishap, smtp) as p:
            begin(p)
            await p.bdat(b"hi\n")
            await p.rset()
            raise Mishap
        await give_next(smtp)


@pytest.mark.parametrize("what", ["BDAT", "BDAT LAST", "the final dot", "MAIL", "NOOP"])
async def test_a_block_broken_off_leaves_the_session_clean_or_dead(what: str) -> None:
    """E02, E03, E04: only where all was sent the mail is unknown."""
    chunk = "C: BDAT 4\nC: hi\n"
    last = "C: BDAT 4 LAST\nC: hi\n"
    dot = "C: DATA\nS: 250 a\nS: 250 b\nS: 354 go\nC: hi\nC: .\n"
    said = {
        "MAIL": f"{GROUP}",
        "NOOP": "C: NOOP",
        "BDAT": f"{BEGIN}{chunk}{last}",
        "BDAT LAST": f"{BEGIN}{chunk}{last}S: 250 one\n",
        "the final dot": f"{GROUP}{dot}",
    }[what]
    async with session(
        HELLO, said, "S: 250 noop" if what == "NOOP" else "C: <hangup>"
    ) as smtp:
        async with raising(Mishap, smtp) as p:
            if what == "NOOP":
                p.noop()
            one, two = begin(p)
            if what == "the final dot":
                p.data()
                three = p.content(b"hi\n")
            else:
                one, three = p.bdat(b"hi\n"), p.bdat(b"hi\n", last=True)
            await until(is_awaited(smtp, what))
            if what == "BDAT":
                await asyncio.sleep(0)  # BDAT LAST leaves
                await asyncio.sleep(0)
            raise Mishap
        ends = await outcomes(one, two, three)
        assert smtp.is_connected is (what == "NOOP")
        is_sent = what in ("BDAT", "BDAT LAST", "the final dot")
        assert ends[2] is (SMTPDeliveryUnknownError if is_sent else None)


async def test_a_mail_broken_off_behind_one_that_was_taken_is_not_unknown() -> None:
    """E02: its chunk waited for the verdicts."""
    async with session(HELLO, NEXT, GROUP, "C: <hangup>") as smtp:
        async with raising(Mishap, smtp) as p:
            begin(p)
            one = p.bdat(b"next", last=True)
            begin(p)
            two = p.bdat(b"next", last=True)
            await one
            await until(is_awaited(smtp, "MAIL"))
            raise Mishap
        assert await outcomes(one, two) == [250, None]


# Connections that end


async def test_a_farewell_right_behind_the_354_fails_what_is_behind_it() -> None:
    """E10: in one read with it; nobody waits for what was taken and not sent."""
    go = "C: DATA\nS: 250 sender\nS: 250 b\nS: 354 go\nS: 421 bye\nC: <hangup>"
    async with session(HELLO, GROUP, go) as smtp:
        async with raising(SMTPConnectionLostError, smtp, "421 bye") as p:
            begin(p)
            p.data()
            futures = p.content(b"hi\n"), *begin(p), p.bdat(b"hi", last=True)
            _, pending = await asyncio.wait(futures, timeout=0.5)
            assert not pending
        assert await outcomes(*futures) == [SMTPConnectionLostError] * 4


@pytest.mark.parametrize("answered", range(3))
@pytest.mark.parametrize(
    ("end", "error"),
    [
        ("<close>", SMTPConnectionLostError),
        ("<reset>", SMTPConnectionLostError),
        ("421 bye", SMTPConnectionLostError),
        ("oops", SMTPProtocolError),
    ],
)
async def test_a_connection_lost_among_chunks_fails_each_in_its_way(
    end: str, error: type[SMTPException], answered: int
) -> None:
    """F06, F07, E11: answered ones keep their replies; LAST is unknown, but for 421."""
    replies = "".join(f"S: 250 {n}\n" for n in range(answered))
    async with session(
        HELLO,
        BEGIN,
        "C: BDAT 3\nC: 0\nC: BDAT 3\nC: 1\nC: BDAT 3 LAST\nC: 2",
        replies,
        f"S: {end}",
    ) as smtp:
        raised = SMTPConnectionLostError if "421" in end else SMTPDeliveryUnknownError
        async with raising(raised, smtp) as p:
            begin(p)
            chunks = [p.bdat(b"%d\n" % n, last=n == 2) for n in range(3)]
            noop = p.noop()
        ends = await outcomes(*chunks, noop)
        assert ends == [250] * answered + [error] * (2 - answered) + [raised, error]
        assert not smtp.is_connected


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
@pytest.mark.parametrize("end", ["<close>", "421 bye"])
async def test_a_connection_lost_before_the_last_chunk_leaves_nothing_unknown(
    hello: str, end: str
) -> None:
    """E10: it had not left, whenever it was given."""
    begun = (
        BEGIN
        if hello is HELLO
        else (
            "C: MAIL FROM:<a@x.example>\nS: 250 a\nC: RCPT TO:<b@y.example>\nS: 250 b"
        )
    )
    async with session(hello, begun, f"C: BDAT 4\nC: hi\nS: {end}") as smtp:
        async with raising(SMTPConnectionLostError, smtp) as p:
            begin(p)
            one = p.bdat(b"hi\n")
            if hello is SERIAL:
                two = p.bdat(b"hi\n", last=True)
            await asyncio.wait((one,))
            if hello is HELLO:
                with pytest.raises(SMTPConnectionLostError):
                    p.bdat(b"hi\n", last=True)
                two = one
        assert await outcomes(one, two) == [SMTPConnectionLostError] * 2


@pytest.mark.parametrize("position", range(3))
async def test_a_loss_while_the_verdicts_are_awaited_fails_every_chunk(
    position: int,
) -> None:
    """E10: none of them has left."""
    replies = "S: 250 sender\nS: 250 b\n".splitlines()[:position]
    async with session(HELLO, GROUP, "\n".join(replies), "S: 421 bye") as smtp:
        async with raising(SMTPConnectionLostError, smtp, "421") as p:
            begin(p)
            chunks = p.bdat(b"hi\n"), p.bdat(b"hi\n", last=True)
        assert await outcomes(*chunks) == [SMTPConnectionLostError] * 2


async def test_a_loss_after_the_last_reply_is_the_next_calls_affair() -> None:
    """D19: the block has all of its replies; afterwards it takes nothing more."""
    async with session(HELLO, "C: NOOP\nS: 250 ok\nS: <close>") as smtp:
        async with smtp.pipeline() as p:
            await p.noop()
            while smtp.is_connected:  # noqa: ASYNC110
                await asyncio.sleep(0)
            with pytest.raises(SMTPConnectionLostError):
                p.noop()


# Time limits


@pytest.mark.parametrize(
    ("said", "ends", "raised", "match"),
    [
        ("", [False, False], SMTPConnectionLostError, r"no reply from .* to RCPT"),
        (
            "S: 250 b\nC: BDAT 4\nC: hi\nC: BDAT 4 LAST\nC: ho\nS: 250 one",
            [True, False],
            SMTPDeliveryUnknownError,
            r"no reply from .* to BDAT LAST",
        ),
    ],
    ids=["RCPT", "BDAT LAST"],
)
async def test_a_reply_that_does_not_come_has_a_limit(
    said: str, ends: list[bool], raised: type[SMTPException], match: str
) -> None:
    """F05: and the reply to BDAT LAST one of its own."""
    timeouts = Timeouts(reply=0.1, final=0.15)
    async with session(
        HELLO, GROUP, "S: 250 sender", said, "S: <silence>", timeout=timeouts
    ) as smtp:
        async with raising(raised, smtp, match) as p:
            begin(p)
            chunks = p.bdat(b"hi\n"), p.bdat(b"ho\n", last=True)
        assert [end == 250 for end in await outcomes(*chunks)] == ends
        assert isinstance(chunks[1].exception(), SMTPException)

"""A pipeline whose connection ends: what becomes of each future, and of the block."""

from __future__ import annotations

import asyncio
import gc

import pytest
from conversation import session, until
from pipelining import (
    HELLO,
    HI,
    SERIAL,
    TRANSACTION,
    Mishap,
    begin,
    is_awaited,
    raising,
)

from smtplibaio import (
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
)


def a_hundred(end: str) -> str:
    lines = "".join(f"        C: RCPT TO:<{n}@y.example>\n" for n in range(100))
    return f"{HELLO}{lines}        S: 250 only one\n        S: {end}\n"


@pytest.mark.parametrize("end", ["<close>", "<reset>", "421 bye"])
async def test_a_lost_connection_fails_each_future_once(end: str) -> None:
    """E10, F06: a hundred in flight, with one cause; leaving the block raises it."""
    async with session(a_hundred(end)) as smtp:
        await smtp.ehlo()
        protocol = smtp._connection.session.protocol
        calls: list[int] = []
        async with raising(SMTPConnectionLostError, smtp) as p:
            futures = [p.rcpt(f"{n}@y.example") for n in range(100)]
            for n, future in enumerate(futures):
                future.add_done_callback(lambda _, n=n: calls.append(n))
        await until(lambda: len(calls) == 100)
        assert sorted(calls) == list(range(100))
        assert futures[0].result() == (250, "only one")
        failures = [future.exception() for future in futures[1:]]
        assert {type(exc) for exc in failures} == {SMTPConnectionLostError}
        assert {id(e.__cause__) for e in failures if e} == {id(protocol.cause)}


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize(
    ("said", "error"),
    [
        pytest.param("421 bye", SMTPConnectionLostError, id="D14-F06-421"),
        pytest.param("oops", SMTPProtocolError, id="F07-garbage"),
    ],
)
async def test_the_end_fails_its_place_and_all_behind_it(
    said: str, error: type[SMTPException], position: int
) -> None:
    """D14, F06, F07: what was answered before keeps its reply; a "250" is nobody's."""
    replies = "".join(f"S: 250 reply {n}\n" for n in range(position))
    async with session(f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: RSET
        C: NOOP
        {replies}
        S: {said}
        S: 250 not yours
        C: <hangup>
        """) as smtp:
        async with raising(SMTPException, smtp, said) as p:
            futures = [p.mail("a@x.example"), p.rcpt("b@y.example"), p.rset(), p.noop()]
        for n, future in enumerate(futures):
            if n < position:
                assert future.result() == (250, f"reply {n}")
            else:
                assert isinstance(future.exception(), error)


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "serial"])
async def test_what_has_not_left_a_lost_connection_fails_too(hello: str) -> None:
    """E10: nobody waits for the reply to a command that cannot be written any more."""
    async with session(f"{hello}        C: NOOP\n        S: <close>") as smtp:
        async with raising(
            SMTPConnectionLostError, smtp, match="closed the connection"
        ) as p:
            given = [p.noop(), p.mail("a@x.example"), p.noop(), p.data()]
            given.append(p.content(HI))
        done, waiting = await asyncio.wait(given, timeout=0.1)
        assert not waiting
        for future in done:
            assert isinstance(future.exception(), SMTPConnectionLostError)


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "serial"])
async def test_a_dead_pipeline_takes_nothing_more(hello: str) -> None:
    """E10: within the block, too, it is told at once."""
    async with session(f"{hello}        C: NOOP\n        S: <close>") as smtp:
        async with raising(SMTPConnectionLostError, smtp, "closed the connection") as p:
            noop = p.noop()
            p.data()
            await asyncio.wait((noop,))
            await asyncio.wait((p._sender,), timeout=0.1)
            with pytest.raises(SMTPConnectionLostError):
                p.rset()
            with pytest.raises(SMTPConnectionLostError):
                p.content(HI)


@pytest.mark.parametrize("end", ["<close>", "<reset>", "421 bye"])
@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
@pytest.mark.parametrize("is_of_mail", [True, False], ids=["MAIL", "every RCPT"])
async def test_a_refusal_reaches_the_content_in_spite_of_a_hang_up(
    hello: str, end: str, *, is_of_mail: bool
) -> None:
    """H01: it decides; that the connection ended behind it does not."""
    said = ["S: 550 not you"] if is_of_mail else ["S: 250 sender", "S: 550 not you"]
    lines = ["C: MAIL FROM:<a@x.example>", "C: RCPT TO:<b@y.example>", "C: DATA"]
    if hello is SERIAL:
        said = [line for pair in zip(lines, said, strict=False) for line in pair]
        said.append(lines[len(said) // 2])
        lines = []
    async with session(hello, "\n".join([*lines, *said, f"S: {end}"])) as smtp:
        async with raising(SMTPConnectionLostError, smtp) as p:
            begin(p)
            p.data()
            content = p.content(HI)
        assert content.result() == (550, "not you")


async def test_one_refused_recipient_of_two_decides_nothing() -> None:
    """H01: the other one was not answered."""
    async with session(
        HELLO,
        """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: RCPT TO:<c@y.example>
        C: DATA
        S: 250 sender
        S: 550 nobody
        S: <close>
        """,
    ) as smtp:
        async with raising(SMTPConnectionLostError, smtp) as p:
            begin(p)
            p.rcpt("c@y.example")
            p.data()
            content = p.content(HI)
        assert isinstance(content.exception(), SMTPConnectionLostError)


async def test_the_senders_own_failure_is_no_complaint_of_the_loop() -> None:
    """E10: where the block raises first, nothing is left "never retrieved"."""
    async with session(f"{HELLO}        C: NOOP\n        S: <close>") as smtp:
        async with raising(Mishap, smtp) as p:
            noop = p.noop()
            p.noop()
            await asyncio.wait((noop,))
            await asyncio.wait((p._sender,), timeout=0.1)
            raise Mishap
    del p, noop
    gc.collect()


@pytest.mark.parametrize("end", ["<close>", "<reset>", "oops", "354 more"])
async def test_a_loss_after_the_final_dot_leaves_the_mail_unknown(end: str) -> None:
    """E11: and what rode with the dot fails; the block raises the same."""
    async with session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        C: RSET
        S: {end}
        """) as smtp:
        async with raising(SMTPDeliveryUnknownError, smtp) as p:
            begin(p)
            p.data()
            content = p.content(HI)
            rset = p.rset()
        assert isinstance(content.exception(), SMTPDeliveryUnknownError)
        assert rset.exception() is not None
        assert not smtp.is_connected


async def test_a_cancellation_after_the_final_dot_leaves_the_mail_unknown() -> None:
    """E04: whoever holds the content's future is not told that nothing happened."""
    async with session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        C: <hangup>
        """) as smtp:
        async with raising(Mishap, smtp) as p:
            begin(p)
            p.data()
            content = p.content(HI)
            await until(is_awaited(smtp, "the final dot"))
            raise Mishap
        await asyncio.wait((content,), timeout=0.1)
        assert isinstance(content.exception(), SMTPDeliveryUnknownError)

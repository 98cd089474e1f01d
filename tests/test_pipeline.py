"""Commands now, futures back: what leaves together, and what becomes of the futures."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
from conversation import CUTS, client

from smtplibaio import (
    SMTP,
    Pipeline,
    SMTPArgumentError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPProtocolError,
)

HELLO = """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 PIPELINING
"""
SERIAL = """
        S: 220 hi
        C: EHLO client.example
        S: 250 mx
"""
TRANSACTION = """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 sender
        S: 250 recipient
        S: 354 go ahead
"""

#: One line with its end, and so one block with the final dot.
HI = b"hi\r\n"


class Mishap(Exception):
    """Something that has nothing to do with SMTP."""


@asynccontextmanager
async def session(script: str, **options: Any) -> AsyncIterator[SMTP]:
    """Connect a client; the script may be put together from parts."""
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    async with client("\n".join(lines), **options) as smtp:
        yield smtp


@pytest.fixture(params=CUTS)
def cut_session(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Give `session` with the server's answers cut in each way."""
    return partial(session, cut=request.param)


@asynccontextmanager
async def raising(
    error: type[BaseException], smtp: SMTP, match: str | None = None
) -> AsyncIterator[Pipeline]:
    """Open a pipeline whose block is to raise an error as it is left."""
    with pytest.raises(error, match=match):
        async with smtp.pipeline() as p:
            yield p


async def until(is_so: Callable[[], object]) -> None:
    """Step the loop until something is so."""
    async with asyncio.timeout(5):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


def is_awaited(smtp: SMTP, what: str) -> Callable[[], bool]:
    """Make a test whether the reply that is due next is the one to something."""
    protocol = smtp._connection.protocol
    return lambda: protocol.awaited == what


def begin(pipeline: Pipeline) -> tuple[asyncio.Future[Any], ...]:
    return pipeline.mail("a@x.example"), pipeline.rcpt("b@y.example"), pipeline.data()


# Groups


async def test_what_is_given_without_awaiting_leaves_together(cut_session: Any) -> None:
    """F04: up to the first command that ends a group; the next waits for its reply."""
    async with cut_session(f"""{HELLO}
        C: RSET
        C: MAIL FROM:<a@x.example> BODY=8BITMIME
        C: RCPT TO:<b@y.example> NOTIFY=NEVER
        C: RCPT TO:<c@y.example>
        C: VRFY b
        S: 250-reset
        S: 250 really
        S: 250 mail
        S: 250 rcpt 1
        S: 550 rcpt 2
        S: 252 vrfy
        C: RSET
        C: EXPN list
        S: 250 reset
        S: 250-expn
        S: 250 more
        C: HELP
        S: 214 help
        C: HELP VRFY
        S: 214 help vrfy
        C: NOOP
        S: 250 noop
        C: NOOP x
        S: 250 noop x
        C: XYZZY 1 2
        S: 500 what?
        """) as smtp:
        async with smtp.pipeline() as p:
            futures = [
                p.rset(),
                p.mail("a@x.example", ["BODY=8BITMIME"]),
                p.rcpt("b@y.example", ["NOTIFY=NEVER"]),
                p.rcpt("c@y.example"),
                p.vrfy("b"),
                p.rset(),
                p.expn("list"),
                p.help(),
                p.help("VRFY"),
                p.noop(),
                p.noop("x"),
                p.command("xyzzy", "1", "2"),
            ]
        assert [future.result().lines[0] for future in futures] == [
            *("reset", "mail", "rcpt 1", "rcpt 2", "vrfy", "reset", "expn"),
            *("help", "help vrfy", "noop", "noop x", "what?"),
        ]


@pytest.mark.parametrize(
    ("hello", "options"),
    [(SERIAL, {}), (HELLO, {"pipelining": False})],
    ids=["not offered", "switched off"],
)
async def test_without_pipelining_commands_leave_one_by_one(
    cut_session: Any, hello: str, options: dict[str, Any]
) -> None:
    """F08: not offered, or switched off; the same code, and the same results."""
    script = f"""{hello}
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 250 recipient
        C: DATA
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        C: MAIL FROM:<a@x.example>
        S: 250 again
        C: RSET
        S: 250 reset
        """
    async with cut_session(script, **options) as smtp:
        async with smtp.pipeline() as p:
            mail, rcpt, data = begin(p)
            content = p.content(HI)
            again = p.mail("a@x.example")
            rset = p.rset()
        futures = mail, rcpt, data, content, again, rset
        assert [f.result().message for f in futures] == [
            *("sender", "recipient", "go ahead", "taken", "again", "reset"),
        ]


# Content


async def test_the_next_group_rides_with_the_final_dot(cut_session: Any) -> None:
    """F04: content after the 354, and no turn between two messages but one."""
    async with cut_session(f"""{HELLO}{TRANSACTION}
        C: ..one
        C: .
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 taken
        S: 250 sender
        S: 250 recipient
        S: 354 go ahead
        C: two
        C: .
        C: RSET
        C: NOOP
        S: 554 not taken
        S: 250 reset
        S: 250 noop
        """) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            one = p.content(".one")
            begin(p)
            two = p.content(b"two\r\n")
            p.rset()
            p.noop()
        assert one.result() == (250, "taken")
        assert two.result() == (554, "not taken")
        assert not p.in_transaction


async def test_the_group_and_the_next_one_with_the_dot_are_one_write_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        C: MAIL FROM:<a@x.example>
        C: RSET
        S: 250 taken
        S: 250 sender
        S: 250 reset
        """) as smtp:
        await smtp.ehlo()
        writes: list[bytes] = []
        write = smtp.transport.write
        monkeypatch.setattr(
            smtp.transport, "write", lambda data: (writes.append(data), write(data))
        )
        async with smtp.pipeline() as p:
            begin(p)
            p.content(HI)
            p.mail("a@x.example")
            p.rset()
        assert [data.split(b"\r\n", 1)[0] for data in writes if data] == [
            b"MAIL FROM:<a@x.example>",
            b"hi",
        ]


@pytest.mark.parametrize("refusal", ["451 later", "554 no valid recipients"])
async def test_content_after_a_refused_data_is_not_sent(
    cut_session: Any, refusal: str
) -> None:
    """F01: its future has DATA's reply, and what was given behind it leaves."""
    async with cut_session(f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 550 not you
        S: 503 no sender
        S: {refusal}
        C: RSET
        C: NOOP
        S: 250 reset
        S: 250 noop
        """) as smtp:
        async with smtp.pipeline() as p:
            mail, rcpt, data = begin(p)
            content = p.content(HI)
            p.rset()
            noop = p.noop()
        assert (mail.result().code, rcpt.result().code) == (550, 503)
        assert content.result() == data.result() == (int(refusal[:3]), refusal[4:])
        assert noop.result() == (250, "noop")


@pytest.mark.parametrize("code", [250, 334, 350, 353])
async def test_content_follows_a_354_and_nothing_else(code: int) -> None:
    """D22: after any other 2yz or 3yz the dialogue is out of step."""
    async with session(f"""{HELLO}
        C: DATA
        S: {code} hm
        C: <hangup>
        """) as smtp:
        async with raising(
            SMTPProtocolError, smtp, match=f"{code} is no reply to DATA"
        ) as p:
            p.data()
            content = p.content(HI)
        assert isinstance(content.exception(), SMTPProtocolError)
        assert not smtp.is_connected


async def test_other_commands_may_follow_a_data_that_was_refused(
    cut_session: Any,
) -> None:
    async with cut_session(f"""{HELLO}
        C: DATA
        S: 503 no recipients
        C: NOOP
        S: 250 ok
        C: DATA
        S: 503 no recipients
        """) as smtp:
        async with smtp.pipeline() as p:
            assert (await p.data()).code == 503
            p.noop()
            with pytest.raises(SMTPArgumentError, match="follows data"):
                p.content(HI)
            assert (await p.data()).code == 503
        with pytest.raises(SMTPArgumentError, match="has been left"):
            p.content(HI)


@pytest.mark.parametrize("is_awaited", [True, False])
async def test_after_data_only_content_can_follow(is_awaited: bool) -> None:
    """A command would be mail; so the block ends the connection, without a dot."""
    async with session(f"""{HELLO}
        C: DATA
        S: 354 go ahead
        C: <hangup>
        """) as smtp:
        async with raising(
            SMTPArgumentError, smtp, match="not followed by content"
        ) as p:
            data = p.data()
            if is_awaited:
                assert (await data).code == 354
            with pytest.raises(SMTPArgumentError, match="only content"):
                p.noop()
            with pytest.raises(SMTPArgumentError, match="only content"):
                p.data()
        assert not smtp.is_connected


async def test_content_without_data_is_an_error(cut_session: Any) -> None:
    async with cut_session(f"{HELLO}C: NOOP\nS: 250 ok\n") as smtp:
        async with smtp.pipeline() as p:
            with pytest.raises(SMTPArgumentError, match="follows data"):
                p.content(HI)
            with pytest.raises(SMTPArgumentError):
                p.rcpt("b@y.example\r\nDATA")
            with pytest.raises(SMTPArgumentError):
                p.command("QUIT")
        await smtp.noop()


@pytest.mark.parametrize("is_refused", [True, False], ids=["E13", "E03"])
async def test_content_that_is_cut_short_ends_the_connection(is_refused: bool) -> None:
    """E13, E03: refused early, or broken off; what was given behind it is not sent."""
    received = bytearray()

    async def play(r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        for said in "220 hi", "250 mx", "354 go ahead":
            w.write(f"{said}\r\n".encode())
            await r.readline()
        if is_refused:
            w.write(b"552 too much\r\n")
        with suppress(ConnectionError):
            while data := await r.read(65536):
                received.extend(data)
        w.close()

    listener = await asyncio.start_server(play, "127.0.0.1", 0)
    error = SMTPConnectionLostError if is_refused else Mishap
    async with listener, SMTP(*listener.sockets[0].getsockname(), timeout=5) as smtp:
        async with raising(error, smtp, "552" if is_refused else None) as p:
            p.data()
            content = p.content(b"x\r\n" * 3_000_000)
            noop = p.noop()
            if not is_refused:
                await until(lambda: p._outbox._in_content)
                raise Mishap
        assert noop.done()
        assert content.cancelled() or content.result() == (552, "too much")
        assert content.cancelled() is noop.cancelled() is not is_refused
    assert b"." not in received


# Futures that are cancelled


async def test_a_command_that_is_cancelled_before_it_left_is_not_sent(
    cut_session: Any,
) -> None:
    """E01: the commands around it have their own replies."""
    async with cut_session(f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        C: NOOP
        S: 250 mail
        S: 250 noop
        """) as smtp:
        async with smtp.pipeline() as p:
            mail = p.mail("a@x.example")
            p.rcpt("b@y.example").cancel()
            noop = p.noop()
            data = p.data()
            content = p.content(HI)
            data.cancel()
        assert mail.result().message == "mail"
        assert noop.result().message == "noop"
        assert content.cancelled()
        assert smtp.is_connected


async def test_the_reply_to_a_command_cancelled_later_is_dropped(
    cut_session: Any,
) -> None:
    """E01: its waiter stays in the queue."""
    async with cut_session(f"""{HELLO}
        C: RSET
        C: NOOP
        S: 250 reset
        S: 250 noop
        C: RSET
        S: 250 other
        """) as smtp:
        async with smtp.pipeline() as p:
            rset = p.rset()
            noop = p.noop()
            await until(is_awaited(smtp, "RSET"))
            rset.cancel()
            assert (await noop).message == "noop"
            assert (await p.rset()).message == "other"
        async with smtp.pipeline():
            pass


async def test_a_data_cancelled_after_it_left_is_followed_by_its_content(
    cut_session: Any,
) -> None:
    """E02: the server waits for it, whatever becomes of the caller's future."""
    async with cut_session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        async with smtp.pipeline() as p:
            *_, data = begin(p)
            await until(is_awaited(smtp, "MAIL"))
            data.cancel()
            content = p.content(HI)
        assert data.cancelled()
        assert content.result() == (250, "taken")


async def test_content_withdrawn_after_the_354_ends_the_connection() -> None:
    """E02: there is no other way out but a dot, which would deliver an empty mail."""
    async with session(f"{HELLO}{TRANSACTION}        C: <hangup>") as smtp:
        async with raising(SMTPException, smtp, match="withdrawn") as p:
            begin(p)
            p.content(HI).cancel()
        assert not smtp.is_connected


async def test_content_cancelled_on_its_way_is_sent_to_its_end(
    cut_session: Any,
) -> None:
    """E03: a dot on half of it would deliver that."""
    async with cut_session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        S: 250 taken
        C: NOOP
        S: 250 ok
        """) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            content = p.content(HI)
            await until(is_awaited(smtp, "the final dot"))
            content.cancel()
            assert (await p.noop()).message == "ok"


# Blocks that are broken off


async def test_an_exception_in_the_block_drops_what_has_not_left(
    cut_session: Any,
) -> None:
    """E01: outside a transaction the session stays; it is the block's own exception."""
    async with cut_session(f"""{HELLO}
        C: NOOP
        S: 250 one
        C: NOOP last
        S: 250 last
        """) as smtp:
        async with raising(Mishap, smtp) as p:
            noop = p.noop()
            rset = p.rset()
            await until(is_awaited(smtp, "NOOP"))
            raise Mishap
        assert rset.cancelled()
        assert await smtp.noop("last") == (250, "last")
        assert noop.result() == (250, "one")


@pytest.mark.parametrize("where", ["MAIL", "DATA", "the final dot"])
async def test_an_exception_within_a_transaction_ends_the_connection(
    where: str,
) -> None:
    """E02, E03: wherever it stands; nothing but the content is ever said after DATA."""
    said = {
        "MAIL": "",
        "DATA": "        S: 250 sender\n        S: 250 recipient\n",
        "the final dot": "        S: 250 sender\n        S: 250 recipient\n"
        "        S: 354 go ahead\n        C: hi\n        C: .\n",
    }[where]
    script = f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
{said}        C: <hangup>
        """
    async with session(script) as smtp:
        async with raising(Mishap, smtp) as p:
            begin(p)
            content = p.content(HI)
            await until(is_awaited(smtp, where))
            raise Mishap
        assert not smtp.is_connected
        await asyncio.wait((content,), timeout=0.1)
        assert content.done()


async def test_an_exception_after_a_data_without_mail_ends_the_connection() -> None:
    """E02: if the server says 354 to it, the next command would be mail."""
    async with session(f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 250 recipient
        C: DATA
        C: <hangup>
        """) as smtp:
        await smtp.mail("a@x.example")
        await smtp.rcpt("b@y.example")
        async with raising(Mishap, smtp) as p:
            p.data()
            p.content(HI)
            await until(is_awaited(smtp, "DATA"))
            raise Mishap
        assert not smtp.is_connected


async def test_a_pipeline_knows_of_a_transaction_that_was_begun_before_it() -> None:
    """E02: so that the next one begins with RSET."""
    async with session(f"""{HELLO}
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: NOOP
        S: 250 ok
        C: RSET
        S: 250 reset
        {TRANSACTION.strip()}
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        await smtp.mail("a@x.example")
        async with smtp.pipeline() as p:
            p.noop()
        await smtp.sendmail("a@x.example", "b@y.example", "hi")


@pytest.mark.parametrize("in_transaction", [False, True])
@pytest.mark.parametrize("is_leaving", [False, True])
async def test_a_task_cancelled_in_the_block_leaves_the_session_clean_or_dead(
    in_transaction: bool, is_leaving: bool
) -> None:
    """E01: clean outside a transaction, dead within one."""
    then = "C: <hangup>" if in_transaction else "S: 250 ok\nC: NOOP\nS: 250 own"
    first = "C: MAIL FROM:<a@x.example>\n" if in_transaction else ""
    script = f"{HELLO}{first}C: NOOP first\n{then}"
    async with session(script) as smtp:
        unsent: list[asyncio.Future[Any]] = []
        is_left = asyncio.Event()

        async def use() -> None:
            async with smtp.pipeline() as p:
                if in_transaction:
                    p.mail("a@x.example")
                noop = p.noop("first")
                unsent.append(p.rset())
                if not is_leaving:
                    await asyncio.shield(noop)
            is_left.set()

        task = asyncio.create_task(use())
        awaited = is_awaited(smtp, "MAIL" if in_transaction else "NOOP")
        await until(awaited)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
        assert not is_left.is_set()
        assert unsent[0].cancelled()
        if in_transaction:
            assert not smtp.is_connected
        else:
            assert (await smtp.noop()).message == "own"


async def test_a_pipeline_that_was_left_takes_nothing_more(cut_session: Any) -> None:
    async with cut_session(f"{HELLO}") as smtp:
        async with smtp.pipeline() as p:
            pass
        for give in (p.noop, p.data, p.rset, lambda: p.content(HI)):
            with pytest.raises(SMTPArgumentError):
                give()


async def test_a_sender_that_somebody_cancels_leaves_nobody_waiting() -> None:
    """A shutdown that cancels every task does not make silence of a lost command."""
    async with session(f"{HELLO}") as smtp:
        async with raising(BaseException, smtp) as p:
            await asyncio.sleep(0)
            noop = p.noop()
            p._sender.cancel()
        assert noop.done()


# The session belongs to the block


async def test_the_session_itself_fails_within_the_block(cut_session: Any) -> None:
    """It would wait for the block to be left, for ever."""
    async with cut_session(f"""{HELLO}
        C: NOOP
        S: 250 ok
        C: NOOP after
        S: 250 ok
        """) as smtp:
        async with asyncio.timeout(5), smtp.pipeline() as p:
            noop = p.noop()
            for attempt in (smtp.noop, smtp.quit, smtp.rset):
                with pytest.raises(SMTPConnectionError, match="of this very task"):
                    await attempt()
            with pytest.raises(SMTPConnectionError, match="of this very task"):
                await smtp.sendmail("a@x.example", "b@y.example", "hi")
            with pytest.raises(SMTPConnectionError, match="of this very task"):
                async with smtp.pipeline():
                    pass
            assert await noop == (250, "ok")
        await smtp.noop("after")


# Connections that end


def a_hundred(end: str) -> str:
    lines = "".join(f"        C: RCPT TO:<{n}@y.example>\n" for n in range(100))
    return f"{HELLO}{lines}        S: 250 only one\n        S: {end}\n"


@pytest.mark.parametrize("end", ["<close>", "<reset>", "421 bye"])
async def test_a_lost_connection_fails_each_future_once(end: str) -> None:
    """E10, F06: a hundred in flight, with one cause; leaving the block raises it."""
    async with session(a_hundred(end)) as smtp:
        await smtp.ehlo()
        protocol = smtp._connection.protocol
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
    cut_session: Any, said: str, error: type[SMTPException], position: int
) -> None:
    """D14, F06, F07: what was answered before keeps its reply; a "250" is nobody's."""
    replies = "".join(f"S: 250 reply {n}\n" for n in range(position))
    async with cut_session(f"""{HELLO}
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
        async with raising(SMTPConnectionLostError, smtp, match="server closed") as p:
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
        async with raising(SMTPConnectionLostError, smtp, "server closed") as p:
            noop = p.noop()
            p.data()
            await asyncio.wait((noop,))
            await asyncio.wait((p._sender,), timeout=0.1)
            with pytest.raises(SMTPConnectionLostError):
                p.rset()
            with pytest.raises(SMTPConnectionLostError):
                p.content(HI)


async def test_a_loss_after_the_last_reply_is_the_next_calls_affair() -> None:
    """D19: the block has all of its replies."""
    async with session(f"""{HELLO}
        C: NOOP
        S: 250 ok
        S: <close>
        """) as smtp:
        async with smtp.pipeline() as p:
            noop = p.noop()
            await until(lambda: not smtp.is_connected)
        assert noop.result() == (250, "ok")
        with pytest.raises(SMTPConnectionLostError):
            async with smtp.pipeline():
                pass


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
            content = p.content(HI)
            await until(is_awaited(smtp, "the final dot"))
            raise Mishap
        await asyncio.wait((content,), timeout=0.1)
        assert isinstance(content.exception(), SMTPDeliveryUnknownError)

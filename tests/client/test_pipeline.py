"""Commands now, futures back: what leaves together, and what becomes of the futures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bdat_server import EXTENSIONS, BdatServer
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
    SMTP,
    Pipeline,
    Reply,
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPException,
    SMTPProtocolError,
)


def begin_data(p: Pipeline) -> tuple[asyncio.Future[Reply], ...]:
    return *begin(p), p.data()


# Groups


async def test_what_is_given_without_awaiting_leaves_together() -> None:
    """F04: up to the first command that ends a group; the next waits for its reply."""
    async with session(f"""{HELLO}
        C: RSET
        C: MAIL FROM:<a@x.example> XANY=1
        C: RCPT TO:<b@y.example> XOTHER
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
                p.mail("a@x.example", ["XANY=1"]),
                p.rcpt("b@y.example", ["XOTHER"]),
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
    hello: str, options: dict[str, Any]
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
    async with session(script, **options) as smtp:
        async with smtp.pipeline() as p:
            mail, rcpt, data = begin_data(p)
            content = p.content(HI)
            again = p.mail("a@x.example")
            rset = p.rset()
        futures = mail, rcpt, data, content, again, rset
        assert [f.result().message for f in futures] == [
            *("sender", "recipient", "go ahead", "taken", "again", "reset"),
        ]


# Content


async def test_the_next_group_rides_with_the_final_dot() -> None:
    """F04: content after the 354, and no turn between two messages but one."""
    async with session(f"""{HELLO}{TRANSACTION}
        C: ..one
        C: .
        C: RSET
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 taken
        S: 250 reset
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
            begin_data(p)
            one = p.content(".one")
            begin_data(p)
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
        C: RSET
        C: MAIL FROM:<a@x.example>
        C: RSET
        S: 250 taken
        S: 250 reset
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
            begin_data(p)
            p.content(HI)
            p.mail("a@x.example")
            p.rset()
        assert [data.split(b"\r\n", 1)[0] for data in writes if data] == [
            b"MAIL FROM:<a@x.example>",
            b"hi",
        ]


@pytest.mark.parametrize("refusal", ["451 later", "554 no valid recipients"])
async def test_content_after_a_refused_data_is_not_sent(refusal: str) -> None:
    """F01: its future has DATA's reply, and what was given behind it leaves."""
    async with session(f"""{HELLO}
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
            mail, rcpt, data = begin_data(p)
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
            SMTPProtocolError, smtp, match=f"answered DATA with {code}"
        ) as p:
            p.data()
            content = p.content(HI)
        assert isinstance(content.exception(), SMTPProtocolError)
        assert not smtp.is_connected


async def test_other_commands_may_follow_a_data_that_was_refused() -> None:
    async with session(f"""{HELLO}
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
            with pytest.raises(SMTPArgumentError, match=r"call data\(\) before"):
                p.content(HI)
            assert (await p.data()).code == 503
        with pytest.raises(SMTPArgumentError, match="has ended"):
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
            with pytest.raises(
                SMTPArgumentError, match=r"after data\(\), call content"
            ):
                p.noop()
            with pytest.raises(
                SMTPArgumentError, match=r"after data\(\), call content"
            ):
                p.data()
        assert not smtp.is_connected


async def test_content_without_data_is_an_error() -> None:
    async with session(f"{HELLO}C: NOOP\nS: 250 ok\n") as smtp:
        async with smtp.pipeline() as p:
            with pytest.raises(SMTPArgumentError, match=r"call data\(\) before"):
                p.content(HI)
            with pytest.raises(SMTPArgumentError):
                p.rcpt("b@y.example\r\nDATA")
            with pytest.raises(SMTPArgumentError):
                p.command("QUIT")
        await smtp.noop()


@pytest.mark.parametrize("content", ["h\u00e9", b"too much"])
async def test_whole_content_that_cannot_travel_is_refused_at_once(
    content: str | bytes,
) -> None:
    """A19, A22: and other content may take its place."""
    async with session("""
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250 SIZE 6
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 250 recipient
        C: DATA
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        async with smtp.pipeline() as p:
            begin_data(p)
            with pytest.raises(SMTPException):
                p.content(content)
            assert (await p.content(HI)).message == "taken"


# Chunks


async def test_chunks_are_canonical_across_their_borders_or_binary() -> None:
    """A16: a CR waits for its LF; a chunk that cannot be sent leaves no trace."""
    async with BdatServer() as server, SMTP(*server.address) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.bdat(b"\na\r")
            with pytest.raises(SMTPArgumentError, match="NUL"):
                p.bdat(b"\0")
            p.bdat(memoryview(b".b\r"))
            p.bdat(bytearray(b"c"), last=True)
            begin(p, "BODY=BINARYMIME")
            p.bdat(b"\na\r")
            p.bdat(b"\0", last=True)
        assert not p.in_transaction
    sizes = [line[5:] for line in server.commands if line.startswith("BDAT")]
    assert sizes == ["3", "4", "5 LAST", "3", "1 LAST"]
    contents = [mail.content for mail in server.stored]
    assert contents == [b"\r\na\r\n.b\r\nc\r\n", b"\na\r\0"]


@pytest.mark.parametrize(
    "begin_it",
    [
        pytest.param(lambda p: p.mail("a@x.example"), id="MAIL"),
        pytest.param(lambda p: p.rcpt("a@x.example"), id="RCPT"),
        pytest.param(lambda p: (begin(p), p.rset()), id="RSET"),
        pytest.param(lambda p: (begin(p), p.bdat(b"", last=True)), id="LAST"),
        pytest.param(lambda p: (begin(p), p.data(), p.content(b"hi")), id="content"),
    ],
)
async def test_a_chunk_has_its_place_in_a_transaction(begin_it: Any) -> None:
    """A16: anywhere else it is an error of the call."""
    async with BdatServer() as server, SMTP(*server.address) as smtp:
        async with smtp.pipeline() as p:
            begin_it(p)
            with pytest.raises(
                SMTPArgumentError, match=r"call mail\(\) and rcpt\(\) before"
            ):
                p.bdat(b"hi", last=True)
            p.rset()


async def test_data_and_chunks_are_never_mixed() -> None:
    """A17: either way round, after BINARYMIME, and in the pipeline that comes next."""
    async with BdatServer() as server, SMTP(*server.address) as smtp:
        async with smtp.pipeline() as p:
            begin(p)
            p.data()
            with pytest.raises(
                SMTPArgumentError, match=r"after data\(\), call content"
            ):
                p.bdat(b"hi", last=True)
            p.content(b"hi")
            for options in (("BODY=BINARYMIME",), ()):
                p.rset()
                begin(p, *options)
                if not options:
                    p.bdat(b"hi\r")
                with pytest.raises(
                    SMTPArgumentError, match=r"send the content with bdat"
                ):
                    p.data()
        assert p.in_transaction
        async with smtp.pipeline() as p:
            with pytest.raises(SMTPArgumentError, match=r"send the content with bdat"):
                p.data()
            with pytest.raises(SMTPArgumentError, match="cannot be continued"):
                p.bdat(b"\n", last=True)
            p.rset()
            begin(p)
            p.bdat(b"\n", last=True)
    assert [mail.content for mail in server.stored] == [b"hi\r\n", b"\r\n"]


@pytest.mark.parametrize(
    ("chunk", "extensions"),
    [
        pytest.param("hi", EXTENSIONS, id="str"),
        pytest.param([b"hi"], EXTENSIONS, id="list"),
        pytest.param(b"\xe9", ("CHUNKING",), id="8 bit"),
        pytest.param(b"hi", ("8BITMIME",), id="not offered"),
    ],
)
async def test_a_chunk_that_may_not_leave_is_refused(
    chunk: Any, extensions: tuple[str, ...]
) -> None:
    async with (
        BdatServer(extensions=extensions) as server,
        SMTP(*server.address) as smtp,
    ):
        async with smtp.pipeline() as p:
            begin(p)
            with pytest.raises((SMTPArgumentError, SMTPCommandNotSupportedError)):
                p.bdat(chunk)
        with pytest.raises(SMTPArgumentError, match="has ended"):
            p.bdat(b"hi")
    assert not any(line.startswith("BDAT") for line in server.commands)


# Futures that are cancelled


async def test_a_command_that_is_cancelled_before_it_left_is_not_sent() -> None:
    """E01: the commands around it have their own replies."""
    async with session(f"""{HELLO}
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


async def test_the_reply_to_a_command_cancelled_later_is_dropped() -> None:
    """E01: its waiter stays in the queue."""
    async with session(f"""{HELLO}
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


async def test_a_data_cancelled_after_it_left_is_followed_by_its_content() -> None:
    """E02: the server waits for it, whatever becomes of the caller's future."""
    async with session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        S: 250 taken
        """) as smtp:
        async with smtp.pipeline() as p:
            *_, data = begin_data(p)
            await until(is_awaited(smtp, "MAIL"))
            data.cancel()
            content = p.content(HI)
        assert data.cancelled()
        assert content.result() == (250, "taken")


async def test_content_withdrawn_after_the_354_ends_the_connection() -> None:
    """E02: there is no other way out but a dot, which would deliver an empty mail."""
    async with session(f"{HELLO}{TRANSACTION}        C: <hangup>") as smtp:
        async with raising(SMTPException, smtp, match="withdrawn") as p:
            begin_data(p)
            p.content(HI).cancel()
        assert not smtp.is_connected


async def test_content_cancelled_on_its_way_is_sent_to_its_end() -> None:
    """E03: a dot on half of it would deliver that."""
    async with session(f"""{HELLO}{TRANSACTION}
        C: hi
        C: .
        S: 250 taken
        C: NOOP
        S: 250 ok
        """) as smtp:
        async with smtp.pipeline() as p:
            begin_data(p)
            content = p.content(HI)
            await until(is_awaited(smtp, "the final dot"))
            content.cancel()
            assert (await p.noop()).message == "ok"


# Blocks that are broken off


async def test_an_exception_in_the_block_drops_what_has_not_left() -> None:
    """E01: outside a transaction the session stays; it is the block's own exception."""
    async with session(f"""{HELLO}
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
            begin_data(p)
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
        {TRANSACTION.strip().replace("S:", "S: 250 reset" + chr(10) + "S:", 1)}
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


async def test_a_pipeline_that_was_left_takes_nothing_more() -> None:
    async with session(f"{HELLO}") as smtp:
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


async def test_the_session_itself_fails_within_the_block() -> None:
    """It would wait for the block to be left, for ever."""
    async with session(f"""{HELLO}
        C: NOOP
        S: 250 ok
        C: NOOP after
        S: 250 ok
        """) as smtp:
        async with asyncio.timeout(5), smtp.pipeline() as p:
            noop = p.noop()
            for attempt in (smtp.noop, smtp.quit, smtp.rset):
                with pytest.raises(SMTPConnectionError, match="of this task"):
                    await attempt()
            with pytest.raises(SMTPConnectionError, match="of this task"):
                await smtp.sendmail("a@x.example", "b@y.example", "hi")
            with pytest.raises(SMTPConnectionError, match="of this task"):
                async with smtp.pipeline():
                    pass
            assert await noop == (250, "ok")
        await smtp.noop("after")

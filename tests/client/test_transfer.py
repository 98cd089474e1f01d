"""One mail transaction: what is judged, in what order, and what is put in order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conversation import session

from smtplibaio import (
    SMTP,
    Mail,
    SendResult,
    SMTPCommandFailedError,
    SMTPConnectionLostError,
    SMTPDeliveryUnknownError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPProtocolError,
    SMTPRecipientRefusedError,
    SMTPTimeoutError,
    Timeouts,
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
GROUP = """
    C: MAIL FROM:<a@x.example>
    C: RCPT TO:<b@y.example>
    C: RCPT TO:<c@y.example>
    C: DATA
"""
#: A second transaction, which shows that the dialogue is in step.
NEXT = f"""{GROUP}
    S: 250 sender
    S: 250 b
    S: 250 c
    S: 354 go ahead
    C: hi
    C: .
    S: 250 taken
"""
RECIPIENTS = ["b@y.example", "c@y.example"]


async def send(smtp: SMTP, message: Any = "hi\r\n") -> SendResult:
    return await smtp.sendmail("a@x.example", RECIPIENTS, message)


# What the replies amount to


@pytest.mark.parametrize(
    "code", [200, 250, pytest.param(251, id="D21-251"), pytest.param(252, id="D21-252")]
)
async def test_any_2yz_accepts_a_recipient(code: int) -> None:
    """D21: and 551 refuses it; the replies are there to be looked at."""
    async with session(
        HELLO,
        GROUP,
        f"""
        S: 250 sender
        S: {code} will forward
        S: 551-not here,
        S: 551 try elsewhere
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """,
    ) as smtp:
        result = await send(smtp)
        assert result == {"c@y.example": (551, "not here,\ntry elsewhere")}
        assert result.accepted == ["b@y.example"]
        assert result.replies["b@y.example"] == (code, "will forward")
        assert result.reply == (250, "taken")


@pytest.mark.parametrize(
    ("rcpts", "data"),
    [(("503", "503"), "503"), (("250", "550"), "503"), (("503", "503"), "451")],
)
async def test_a_refused_mail_has_all_statuses_read(
    rcpts: tuple[str, str], data: str
) -> None:
    """F01: it is MAIL's error that is raised, and the next mail goes its way."""
    async with session(
        HELLO,
        GROUP,
        f"S: 550 not you\nS: {rcpts[0]} b\nS: {rcpts[1]} c\nS: {data} data",
        "C: RSET\nS: 250 reset",
        NEXT,
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.command) == (550, "MAIL")
        assert not await send(smtp)


@pytest.mark.parametrize("answer", ["554 no valid recipients", "250 taken, why not"])
async def test_a_354_with_nobody_accepted_is_answered_by_a_lone_dot(
    answer: str,
) -> None:
    """F02: a server that takes the nothing has no recipient to deliver it to."""
    async with session(
        HELLO,
        GROUP,
        f"""
        S: 250 sender
        S: 550 b
        S: 450 c
        S: 354 go ahead
        C: .
        S: {answer}
        C: RSET
        S: 250 reset
        """,
        NEXT,
    ) as smtp:
        with pytest.raises(SMTPNoRecipientError) as info:
            await send(smtp)
        assert info.value.refused == {
            "b@y.example": (550, "b"),
            "c@y.example": (450, "c"),
        }
        assert [exc.code for exc in info.value.exceptions] == [550, 450]
        assert not info.value.is_transient
        assert not await send(smtp)


async def test_a_354_that_would_deliver_an_empty_mail_is_not_answered() -> None:
    """F03: MAIL was refused, a RCPT accepted; a dot could deliver, so there is none."""
    async with session(
        HELLO, GROUP, "S: 550 no\nS: 250 b\nS: 550 c\nS: 354 go ahead\nC: <hangup>"
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.command) == (550, "MAIL")
        assert not smtp.is_connected


async def test_a_refused_data_is_an_error_of_the_whole() -> None:
    """F01: some recipients were accepted, and nobody gets anything."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 250 b\nS: 550 c\nS: 451 later\nC: RSET\nS: 250 reset",
        NEXT,
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.command) == (451, "DATA")
        assert not await send(smtp)


@pytest.mark.parametrize(
    "replies",
    [
        pytest.param("354 x, 250 b, 250 c, 354 go", id="D22-354 to MAIL"),
        pytest.param("250 x, 334 b, 250 c, 354 go", id="D22-334 to RCPT"),
        pytest.param("250 x, 250 b, 550 c, 250 go", id="D22-250 to DATA"),
        pytest.param("250 x, 250 b, 250 c, 334 go", id="D22-334 to DATA"),
        pytest.param("250 x, 250 b, 250 c, 350 go", id="D22-350 to DATA"),
        pytest.param("250 x, 250 b, 250 c, 353 go", id="D22-353 to DATA"),
    ],
)
async def test_a_reply_to_something_else_ends_the_connection(replies: str) -> None:
    """D22: content follows a 354 to DATA; any other 2yz or 3yz is out of step."""
    said = "".join(f"S: {reply}\n" for reply in replies.split(", "))
    async with session(HELLO, GROUP, said, "C: <hangup>") as smtp:
        with pytest.raises(SMTPProtocolError, match="the server answered"):
            await send(smtp)
        assert not smtp.is_connected


@pytest.mark.parametrize(
    "final",
    [
        pytest.param("451 later", id="E31-4yz"),
        pytest.param("554 spam", id="E31-5yz"),
    ],
)
async def test_a_final_reply_that_refuses_is_an_error(final: str) -> None:
    """E31: the mail was not accepted, and the session stands."""
    refused = NEXT.replace("250 taken", final)
    head, go = NEXT.split("C: DATA\n")
    again = f"C: RSET\n{head}C: DATA\nS: 250 reset\n{go}"  # it may keep the old one
    async with session(HELLO, refused, again) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.message) == (int(final[:3]), final[4:])
        assert not await send(smtp)


@pytest.mark.parametrize("final", ["354 more", "221 bye"])
async def test_a_final_reply_that_means_nothing_leaves_the_mail_unknown(
    final: str,
) -> None:
    """E31: 3yz and 221 are no answers to a dot."""
    odd = NEXT.replace("250 taken", final)
    async with session(HELLO, odd, "C: <hangup>") as smtp:
        with pytest.raises(SMTPDeliveryUnknownError, match=final[:3]) as info:
            await send(smtp)
        assert not info.value.safe_to_retry
        assert not smtp.is_connected


@pytest.mark.parametrize(
    ("final", "name"),
    [("250 2.0.0 Ok: queued as 4F2A01", "4F2A01"), ("250 taken", None)],
)
async def test_the_result_has_the_servers_name_for_the_mail(
    final: str, name: str | None
) -> None:
    async with session(HELLO, NEXT.replace("250 taken", final)) as smtp:
        result = await send(smtp)
        assert (result.queue_id, result.reply.message) == (name, final[4:])


async def test_recipients_beyond_the_servers_limit_are_told_one_by_one() -> None:
    """F14: a hundred get it, each of the others has its reply; nothing is resent."""
    names = [f"{n}@y.example" for n in range(103)]
    replies = ["250 ok"] * 100 + ["452 4.5.3 too many", "452 later", "552 too many"]
    async with session(
        HELLO,
        "C: MAIL FROM:<a@x.example>\n",
        "".join(f"C: RCPT TO:<{name}>\n" for name in names),
        "C: DATA\nS: 250 sender\n",
        "".join(f"S: {reply}\n" for reply in replies),
        "S: 354 go\nC: hi\nC: .\nS: 250 taken",
        NEXT,
    ) as smtp:
        result = await smtp.sendmail("a@x.example", names, "hi\r\n")
        assert result == {
            names[100]: (452, "4.5.3 too many"),
            names[101]: (452, "later"),
            names[102]: (552, "too many"),
        }
        assert result.accepted == names[:100]
        assert list(result.replies) == names
        assert [reply.is_transient for reply in result.values()] == [True, True, True]
        assert str(result[names[100]].enhanced) == "4.5.3"
        assert not await send(smtp)


# All or nothing


@pytest.mark.parametrize("hello", [HELLO, SERIAL], ids=["grouped", "one by one"])
@pytest.mark.parametrize("is_refused", [True, False])
async def test_where_all_are_wanted_data_waits_for_the_verdicts(
    hello: str, is_refused: bool
) -> None:
    """F03: after a 354 the only way out would be to hang up."""
    lines = GROUP.split("C: DATA", maxsplit=1)[0].strip().splitlines()
    replies = ["S: 250 sender", f"S: {450 if is_refused else 250} b", "S: 250 c"]
    if hello is HELLO:
        said = [*lines, *replies]
    else:
        said = [line for pair in zip(lines, replies, strict=True) for line in pair]
    end = (
        "C: RSET\nS: 250 reset\n"
        if is_refused
        else "C: DATA\nS: 354 go\nC: hi\nC: .\nS: 250 taken\n"
    )
    async with session(hello, "\n".join(said), end, "C: NOOP\nS: 250 ok") as smtp:
        sent = smtp.send_message(
            "hi\r\n", "a@x.example", RECIPIENTS, all_or_nothing=True
        )
        if is_refused:
            with pytest.raises(SMTPRecipientRefusedError) as info:
                await sent
            assert info.value.refused == {"b@y.example": (450, "b")}
        else:
            assert (await sent).accepted == RECIPIENTS
        await smtp.noop()


# Grouped, or one by one


@pytest.mark.parametrize("end", ["\r\n", "\n", ""], ids=["CRLF", "LF", "no end"])
async def test_a_mail_is_two_writes(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group and the content: two kilobytes to three recipients."""
    lines = ("x" * 76 + "\r\n") * 26
    body = "".join(f"C: {'x' * 76}\n" for _ in range(27))
    recipients = [f"{n}@y.example" for n in range(3)]
    async with session(
        HELLO,
        "C: MAIL FROM:<a@x.example>",
        "".join(f"C: RCPT TO:<{recipient}>\n" for recipient in recipients),
        "C: DATA\nS: 250 sender\nS: 250 0\nS: 250 1\nS: 250 2\nS: 354 go ahead",
        body,
        "C: .\nS: 250 taken",
    ) as smtp:
        await smtp.ehlo()
        writes: list[bytes] = []
        write = smtp.transport.write
        monkeypatch.setattr(
            smtp.transport, "write", lambda data: (writes.append(data), write(data))
        )
        await smtp.sendmail("a@x.example", recipients, lines + "x" * 76 + end)
        assert [data.count(b"\r\n") for data in writes if data] == [5, 28]


@pytest.mark.parametrize(
    ("hello", "options"),
    [(SERIAL, {}), (HELLO, {"pipelining": False})],
    ids=["not offered", "switched off"],
)
async def test_without_pipelining_each_command_waits_for_its_reply(
    hello: str, options: dict[str, Any]
) -> None:
    """F08: strictly one by one."""
    async with session(
        hello,
        """
        C: MAIL FROM:<a@x.example>
        S: 250 sender
        C: RCPT TO:<b@y.example>
        S: 550 b
        C: RCPT TO:<c@y.example>
        S: 250 c
        C: DATA
        S: 354 go ahead
        C: hi
        C: .
        S: 250 taken
        """,
        **options,
    ) as smtp:
        assert list(await send(smtp)) == ["b@y.example"]


async def test_pipelining_is_what_the_last_ehlo_says() -> None:
    """F08: it was offered, and is no more."""
    async with session(
        HELLO,
        SERIAL.replace("S: 220 hi", ""),
        "C: MAIL FROM:<a@x.example>\nS: 550 no\nC: RSET\nS: 250 reset",
    ) as smtp:
        await smtp.ehlo()
        await smtp.ehlo()
        with pytest.raises(SMTPCommandFailedError):
            await send(smtp)


async def test_a_server_that_takes_no_group_refuses_it() -> None:
    """F08: PIPELINING offered, and then held against the client."""
    async with session(
        HELLO,
        GROUP,
        """
        S: 250 sender
        S: 503 5.5.0 improper command pipelining
        S: 503 5.5.0 improper command pipelining
        S: 503 5.5.0 improper command pipelining
        C: RSET
        S: 250 reset
        """,
        NEXT,
    ) as smtp:
        with pytest.raises(SMTPNoRecipientError, match="improper"):
            await send(smtp)
        assert not await send(smtp)


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ("550", SMTPCommandFailedError),
        ("250 550 550", SMTPNoRecipientError),
        ("250 550 250 554", SMTPCommandFailedError),
    ],
)
async def test_one_by_one_nothing_follows_a_hopeless_reply(
    replies: str, error: type[SMTPException]
) -> None:
    """F08, F02: there is no DATA without a recipient."""
    commands = GROUP.strip().splitlines()
    said = "".join(
        f"{line}\nS: {code} hm\n"
        for line, code in zip(commands, replies.split(), strict=False)
    )
    async with session(SERIAL, said, "C: RSET\nS: 250 reset") as smtp:
        with pytest.raises(error):
            await send(smtp)
        assert smtp.is_connected


async def test_however_replies_are_cut_each_has_its_command() -> None:
    """F04: folded over lines, a text that looks like a reply within."""
    async with session(
        HELLO,
        GROUP,
        """
        S: 250-sender
        S: 250-550 no
        S: 250 ok
        S: 550-b
        S: 550 250 ok
        S: 250-c
        S: 250
        S: 354-go
        S: 354 ahead
        C: hi
        C: .
        S: 250-2.0.0 taken
        S: 250 2.0.0 as 12345
        """,
    ) as smtp:
        result = await send(smtp)
        assert dict(result) == {"b@y.example": (550, "b\n250 ok")}
        assert len(result.reply.lines) == 2


# Replies that are too many, too few, or none


async def test_one_reply_too_few_is_waited_for_in_vain() -> None:
    """F05: there is a deadline; nothing was accepted, and no session is left."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 250 b\nS: 250 c\nS: <silence>",
        timeout=Timeouts(reply=0.1),
    ) as smtp:
        with pytest.raises(SMTPTimeoutError, match=r"no reply from .* to DATA") as info:
            await send(smtp)
        assert info.value.safe_to_retry
        assert not smtp.is_connected


async def test_one_reply_too_many_is_not_the_final_one() -> None:
    """F05: it came before the dot, so it cannot be the answer to it."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 250 b\nS: 250 c\nS: 354 go ahead\nS: 250 taken\nC: <hangup>",
    ) as smtp:
        with pytest.raises(SMTPException, match="nobody asked for") as info:
            await send(smtp)
        assert info.value.safe_to_retry


@pytest.mark.parametrize("position", range(5))
async def test_a_421_in_any_place_of_the_group_is_the_end(position: int) -> None:
    """D14, F06: and, at the final dot, it is a no."""
    replies = ["250 sender", "250 b", "550 c", "354 go ahead"][:position]
    said = "".join(f"S: {reply}\n" for reply in replies)
    content = "C: hi\nC: .\n" if position == 4 else ""
    async with session(HELLO, GROUP, said, content, "S: 421 bye\nC: <hangup>") as smtp:
        with pytest.raises(SMTPConnectionLostError, match="421 bye") as info:
            await send(smtp)
        assert info.value.reply == (421, "bye")
        assert info.value.safe_to_retry
        with pytest.raises(SMTPConnectionLostError, match="421 bye"):
            await smtp.noop()


@pytest.mark.parametrize("position", range(5))
async def test_garbage_in_any_place_of_the_group_is_the_end(position: int) -> None:
    """F07: a "250" behind it is nobody's; after the dot the mail is unknown."""
    replies = ["250 sender", "250 b", "550 c", "354 go ahead"][:position]
    said = "".join(f"S: {reply}\n" for reply in replies)
    content = "C: hi\nC: .\n" if position == 4 else ""
    async with session(
        HELLO, GROUP, said, content, "S: oops\nS: 250 ok\nC: <hangup>"
    ) as smtp:
        with pytest.raises(SMTPException, match="oops") as info:
            await send(smtp)
        assert info.value.safe_to_retry is (position < 4)
        assert not smtp.is_connected


# Putting the session in order


@pytest.mark.parametrize(
    ("rset", "is_left"),
    [
        pytest.param("S: <close>", False, id="E15-dropped"),
        pytest.param("S: <reset>", False, id="E15-reset"),
        pytest.param("S: <silence>", False, id="E15-stalled"),
        pytest.param("S: 500 no\nC: <hangup>", False, id="E15-refused"),
        pytest.param("S: 421 no\nC: <hangup>", False, id="E15-farewell"),
        pytest.param("S: 354 no\nC: <hangup>", False, id="E15-out of step"),
        pytest.param("S: 250 ok", True, id="E15-granted"),
    ],
)
async def test_what_becomes_of_rset_hides_no_error(rset: str, is_left: bool) -> None:
    """E15: the caller has the refusal; the next call has the loss."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 250 b\nS: 250 c\nS: 552 too big\nC: RSET",
        rset,
        timeout=Timeouts(quit=0.05),
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.command) == (552, "DATA")
        assert smtp.is_connected is is_left
        if not is_left:
            with pytest.raises(SMTPConnectionLostError):
                await smtp.noop()


@pytest.mark.parametrize("end", ["<close>", "<silence>", "421 bye"])
async def test_what_becomes_of_the_lone_dot_hides_no_error(end: str) -> None:
    """E15: every recipient was refused, and that is what the caller is told."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 550 b\nS: 550 c\nS: 354 go ahead\nC: .",
        f"S: {end}",
        timeout=Timeouts(quit=0.05),
    ) as smtp:
        with pytest.raises(SMTPNoRecipientError):
            await send(smtp)
        assert not smtp.is_connected


# Broken off


async def broken_off(smtp: SMTP, awaited: str, send_it: Any) -> asyncio.CancelledError:
    """Cancel a call when a certain reply is due; give what it raised."""
    protocol = smtp._connection.session.protocol
    task = asyncio.create_task(send_it)
    async with asyncio.timeout(5):
        while protocol.awaited != awaited:  # noqa: ASYNC110
            await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as info:
        await task
    return info.value


@pytest.mark.parametrize(
    ("awaited", "replies"),
    [
        ("MAIL", ""),
        ("RCPT", "S: 250 sender"),
        ("DATA", "S: 250 sender\nS: 250 b\nS: 550 c"),
    ],
)
async def test_cancelled_in_the_group_the_session_has_ended(
    awaited: str, replies: str
) -> None:
    """E02: after the 354 that may come, any command would be mail."""
    async with session(HELLO, GROUP, replies, "C: <hangup>") as smtp:
        cancelled = await broken_off(smtp, awaited, send(smtp))
        assert not hasattr(cancelled, "__notes__")
        assert not smtp.is_connected


async def test_cancelled_while_a_lone_data_waits_the_session_has_ended() -> None:
    """E02: so with `data`, command by command."""
    async with session(SERIAL, "C: DATA\nC: <hangup>") as smtp:
        await smtp.ehlo()
        await broken_off(smtp, "DATA", smtp.data("hi"))
        assert not smtp.is_connected


async def test_cancelled_while_putting_in_order_the_session_has_ended() -> None:
    """E02: with the lone dot unanswered, too."""
    replies = "S: 250 sender\nS: 550 b\nS: 550 c\nS: 354 go ahead\nC: ."
    async with session(HELLO, GROUP, replies, "C: <hangup>") as smtp:
        await broken_off(smtp, "a lone dot", send(smtp))
        assert not smtp.is_connected


async def test_cancelled_after_the_dot_a_note_says_that_nobody_knows() -> None:
    """E04: the exception is the caller's own and unchanged; it carries a note."""
    async with session(
        HELLO, NEXT.replace("S: 250 taken", "C: <hangup>").rstrip()
    ) as smtp:
        cancelled = await broken_off(smtp, "the final dot", send(smtp))
        assert "may have been accepted" in cancelled.__notes__[0]
        assert not smtp.is_connected


# With BDAT


CHUNKING = HELLO.replace("S: 250 PIP", "S: 250-CHUNKING\n    S: 250 PIP")
CHUNKING_SERIAL = SERIAL.replace("S: 250 mx", "S: 250-mx\n    S: 250 CHUNKING")
#: A transaction whose verdicts are in.
VERDICTS = GROUP.replace("C: DATA", "S: 250 sender\nS: 250 b\nS: 450 c")
CHUNK = "C: BDAT 4 LAST\nC: hi\n"
NEXT_CHUNK = f"{VERDICTS}{CHUNK}S: 250 taken"


@pytest.mark.parametrize("all_or_nothing", [False, True])
@pytest.mark.parametrize("hello", [CHUNKING, CHUNKING_SERIAL], ids=["grouped", "not"])
async def test_bdat_waits_for_the_verdicts(hello: str, all_or_nothing: bool) -> None:
    """F12, A17: it leaves with its content, and there is no DATA."""
    lines = VERDICTS.strip().splitlines()
    if hello is CHUNKING_SERIAL:
        lines = [
            line for pair in zip(lines[:3], lines[3:], strict=True) for line in pair
        ]
    then = "C: RSET\nS: 250 reset" if all_or_nothing else f"{CHUNK}S: 250 taken"
    async with session(
        hello, "\n".join(lines), then, "C: NOOP\nS: 250 ok", chunking=True
    ) as smtp:
        sent = smtp.send_message(
            "hi\r\n", "a@x.example", RECIPIENTS, all_or_nothing=all_or_nothing
        )
        if all_or_nothing:
            with pytest.raises(SMTPRecipientRefusedError):
                await sent
        else:
            result = await sent
            assert (result.accepted, result.reply.message) == (RECIPIENTS[:1], "taken")
        await smtp.noop()


@pytest.mark.parametrize("hello", [CHUNKING, CHUNKING_SERIAL], ids=["grouped", "not"])
@pytest.mark.parametrize(
    ("replies", "error"),
    [
        pytest.param((550, 503, 503), SMTPCommandFailedError, id="F12-MAIL"),
        pytest.param((550, 250, 503), SMTPCommandFailedError, id="F12-but RCPT"),
        pytest.param((250, 550, 450), SMTPNoRecipientError, id="F12-RCPT"),
    ],
)
async def test_no_bdat_follows_verdicts_that_leave_nobody(
    hello: str, replies: tuple[int, ...], error: type[SMTPException]
) -> None:
    """F12, F02: nor a lone dot; RSET, and the next mail goes its way."""
    lines = VERDICTS.strip().splitlines()[:3]
    answers = [f"S: {code} hm" for code in replies]
    said = [*lines, *answers]
    if hello is CHUNKING_SERIAL:
        said = [line for pair in zip(lines, answers, strict=True) for line in pair]
        said = said[:2] if replies[0] == 550 else said
    async with session(
        hello,
        "\n".join(said),
        "C: RSET\nS: 250 reset\nC: NOOP\nS: 250 ok",
        chunking=True,
    ) as smtp:
        with pytest.raises(error):
            await send(smtp)
        await smtp.noop()


async def test_a_refused_bdat_is_followed_by_rset() -> None:
    """F12, E31: RFC 3030 wants one, for the state is indeterminate."""
    async with session(
        CHUNKING,
        f"{VERDICTS}{CHUNK}S: 554 spam\nC: RSET\nS: 250 reset",
        NEXT_CHUNK,
        chunking=True,
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError) as info:
            await send(smtp)
        assert (info.value.code, info.value.command) == (554, "BDAT")
        assert (await send(smtp)).accepted == RECIPIENTS[:1]


@pytest.mark.parametrize(
    "rset", ["<close>", "<reset>", "<silence>", "500 no\nC: <hangup>", "421 bye"]
)
async def test_what_becomes_of_rset_after_bdat_hides_no_error(rset: str) -> None:
    """E15: a server that executed the content answers it with a 500, say."""
    async with session(
        CHUNKING,
        f"{VERDICTS}{CHUNK}S: 552 full\nC: RSET\nS: {rset}",
        chunking=True,
        timeout=Timeouts(quit=0.05),
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="full"):
            await send(smtp)
        assert not smtp.is_connected


@pytest.mark.parametrize(
    "end",
    ["<close>", "<reset>", "<silence>", "354 more", "221 bye", "oops", "421 bye"],
)
async def test_a_bdat_without_its_reply_leaves_the_mail_unknown(end: str) -> None:
    """E11, E31, F06, F07: but a farewell is a no."""
    error = SMTPConnectionLostError if "421" in end else SMTPDeliveryUnknownError
    async with session(
        CHUNKING,
        f"{VERDICTS}{CHUNK}S: {end}",
        chunking=True,
        timeout=Timeouts(final=0.1),
    ) as smtp:
        with pytest.raises(error):
            await send(smtp)
        assert not smtp.is_connected


@pytest.mark.parametrize(
    ("awaited", "said"),
    [("MAIL", ""), ("BDAT LAST", CHUNK), ("RSET", f"{CHUNK}S: 554 no\nC: RSET")],
)
async def test_cancelled_with_bdat_the_session_has_ended(
    awaited: str, said: str
) -> None:
    """E02, E04: with a note only where the content is unanswered."""
    begun = "\n".join(VERDICTS.strip().splitlines()[: 6 if said else 3])
    async with session(CHUNKING, begun, said, "C: <hangup>", chunking=True) as smtp:
        cancelled = await broken_off(smtp, awaited, send(smtp))
        assert hasattr(cancelled, "__notes__") is (awaited == "BDAT LAST")
        assert not smtp.is_connected


async def test_a_transaction_may_have_begun_with_the_content_before_it() -> None:
    """F04: its first group has left already; its replies are judged all the same."""
    async with session(
        HELLO,
        GROUP,
        "S: 250 sender\nS: 250 b\nS: 250 c\nS: 354 go\nC: hi\nC: .",
        "C: RSET\n" + GROUP.strip(),
        "S: 250 taken\nS: 250 reset\nS: 250 sender\nS: 550 b\nS: 450 c\nS: 554 nobody",
        "C: RSET\nS: 250 reset",
    ) as smtp:
        mails = [Mail("hi\r\n", "a@x.example", RECIPIENTS)] * 2
        one, two = [outcome async for outcome in smtp.send_many(mails)]
        assert one.status == "accepted"
        assert isinstance(two.error, SMTPNoRecipientError)


# DATA on its own


async def test_data_sends_the_content_and_gives_the_final_reply() -> None:
    async with session(SERIAL, "C: DATA\nS: 354 go\nC: hi\nC: .\nS: 250 taken") as smtp:
        await smtp.ehlo()
        assert await smtp.data("hi") == (250, "taken")


@pytest.mark.parametrize("code", [250, 334, 350, 353])
async def test_data_goes_on_after_354_only(code: int) -> None:
    """D22: one of the codes with which other clients went on."""
    async with session(SERIAL, f"C: DATA\nS: {code} go\nC: <hangup>") as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPProtocolError, match=f"answered DATA with {code}"):
            await smtp.data("hi")
        assert not smtp.is_connected


@pytest.mark.parametrize("said", ["503 first MAIL", "354 go\nC: hi\nC: .\nS: 554 spam"])
async def test_data_that_is_refused_leaves_the_session(said: str) -> None:
    """E31: before the content or after it."""
    async with session(SERIAL, f"C: DATA\nS: {said}\nC: NOOP\nS: 250 ok") as smtp:
        await smtp.ehlo()
        with pytest.raises(SMTPCommandFailedError) as info:
            await smtp.data("hi")
        assert info.value.command == "DATA"
        await smtp.noop()

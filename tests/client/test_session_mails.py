"""A client that sends whole mails: what it asks, of whom, and what it leaves."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

import pytest
from conversation import serve, session

from smtplibaio import (
    SMTP,
    Mail,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPConnectionLostError,
    SMTPRecipientRefusedError,
    SMTPTLSError,
)
from smtplibaio.content.forms import BLOCK

HELLO = """
    S: 220 hi
    C: EHLO client.example
    S: 250-mx
    S: 250-DSN
    S: 250-BINARYMIME
    S: 250-CHUNKING
    S: 250-REQUIRETLS
    S: 250 PIPELINING
"""
BEGUN = "C: MAIL FROM:<z@x.example>\nS: 250 ok\n"
RSET = "C: RSET\nS: 250 reset\n"
NOOP = "C: NOOP\nS: 250 in step\n"
GROUP = "C: MAIL FROM:<a@x.example>\nC: RCPT TO:<b@y.example>\n"
MAIL = GROUP + (
    "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nC: hi\nC: .\nS: 250 queued as 4F2A01\n"
)
RESET_MAIL = (
    "C: RSET\n" + GROUP + "C: DATA\nS: 250 reset\n" + MAIL.partition("C: DATA\n")[2]
)
CHUNK = GROUP + "S: 250 ok\nS: 250 ok\nC: BDAT 4 LAST\nC: hi\nS: 250 taken\n"


async def send_one(smtp: SMTP) -> None:
    assert not await smtp.sendmail("a@x.example", "b@y.example", "hi\r\n")


async def send_a_message(smtp: SMTP) -> None:
    assert not await smtp.send_message("hi\r\n", "a@x.example", "b@y.example")


async def send_many(smtp: SMTP) -> None:
    mails = [Mail("hi\r\n", "a@x.example", "b@y.example")]
    [outcome] = [outcome async for outcome in smtp.send_many(mails)]
    assert outcome.status == "accepted"


each_way = pytest.mark.parametrize("send", [send_one, send_a_message, send_many])


@each_way
async def test_a_mail_is_one_transaction(send: Any) -> None:
    async with session(HELLO, MAIL, NOOP) as smtp:
        await send(smtp)
        await smtp.noop()


@each_way
async def test_a_transaction_that_was_begun_by_hand_is_forgotten_first(
    send: Any,
) -> None:
    async with session(HELLO, BEGUN, RESET_MAIL, MAIL) as smtp:
        await smtp.mail("z@x.example")
        await send(smtp)
        await send(smtp)


@each_way
async def test_a_session_that_cannot_forget_a_transaction_sends_no_mail(
    send: Any,
) -> None:
    """Nobody knows what the server holds then, so the connection ends."""
    refused = f"C: RSET\n{GROUP}C: DATA\nS: 451 later\n" + "S: 503 no\n" * 3
    async with session(HELLO, BEGUN, refused, "C: <hangup>") as smtp:
        await smtp.mail("z@x.example")
        with pytest.raises((SMTPCommandFailedError, AssertionError)):
            await send(smtp)
        assert not smtp.is_connected


@each_way
async def test_without_a_connection_no_mail_is_sent(send: Any) -> None:
    with pytest.raises(SMTPConnectionError, match="not connected"):
        await send(SMTP())


@each_way
@pytest.mark.parametrize("chunking", [None, True, False])
async def test_content_goes_with_bdat_where_that_was_asked_for(
    send: Any, chunking: bool | None
) -> None:
    script = CHUNK if chunking else MAIL
    async with session(HELLO, script, chunking=chunking) as smtp:
        await send(smtp)


@each_way
async def test_what_the_server_offers_is_what_its_last_ehlo_said(send: Any) -> None:
    """F08: it pipelined and took chunks, and does no more."""
    poor = "C: EHLO client.example\nS: 250 mx\n"
    serial = """
        C: MAIL FROM:<a@x.example>
        S: 250 ok
        C: RCPT TO:<b@y.example>
        S: 250 ok
        C: DATA
        S: 354 go
        C: hi
        C: .
        S: 250 taken
        """
    async with session(HELLO, CHUNK, poor, serial, chunking=True) as smtp:
        await send(smtp)
        await smtp.ehlo()
        await send(smtp)


async def test_what_a_run_was_left_with_is_known() -> None:
    """The session of a run that has ended owes no RSET."""
    async with session(HELLO, MAIL, "C: DATA\nS: 503 no", NOOP) as smtp:
        await send_many(smtp)
        with pytest.raises(SMTPCommandFailedError):
            await smtp.data("hi")
        await smtp.noop()


@pytest.mark.parametrize("name", ["sendmail", "send_mail"])
async def test_the_result_tells_the_name_of_the_mail(name: str) -> None:
    async with session(HELLO, MAIL) as smtp:
        result = await getattr(smtp, name)("a@x.example", ["b@y.example"], b"hi")
        assert result == {}
        assert result.queue_id == "4F2A01"
        assert result.accepted == ["b@y.example"]


async def test_options_may_be_none() -> None:
    async with session(HELLO, MAIL, MAIL) as smtp:
        await smtp.sendmail("a@x.example", "b@y.example", "hi", None, None)
        await smtp.send_message(
            "hi", "a@x.example", "b@y.example", mail_options=None, rcpt_options=None
        )


async def test_every_parameter_of_a_message_has_its_place() -> None:
    said = MAIL.replace("a@x.example>", "a@x.example> BODY=7BIT RET=HDRS ENVID=id")
    said = said.replace("b@y.example>", "b@y.example> NOTIFY=NEVER ORCPT=rfc822;c@z")
    told: list[tuple[int, int | None]] = []
    options = {
        "mail_options": ["BODY=7BIT"],
        "ret": "HDRS",
        "envid": "id",
        "notify": "NEVER",
        "orcpt": {"b@y.example": "c@z"},
        "progress": lambda *now: told.append(now),
    }
    hello = HELLO.replace("250-DSN", "250-DSN\nS: 250-8BITMIME")
    async with session(hello, said, said) as smtp:
        await smtp.send_message("hi", "a@x.example", "b@y.example", **options)
        mails = [Mail("hi", "a@x.example", "b@y.example", **options)]
        assert [o.status async for o in smtp.send_many(mails)] == ["accepted"]
    assert told[-1] == (4, 4)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"require_tls": True}, SMTPTLSError),
        ({"deliver_by": (60, "R")}, SMTPCommandNotSupportedError),
        ({"mt_priority": 3}, SMTPCommandNotSupportedError),
        ({"hold_for": 60}, SMTPCommandNotSupportedError),
        ({"rcpt_options": ["A B"]}, SMTPArgumentError),
    ],
)
async def test_what_cannot_be_asked_of_the_server_is_not_sent(
    options: dict[str, Any], error: type[Exception]
) -> None:
    async with session(HELLO, NOOP) as smtp:
        with pytest.raises(error):
            await smtp.send_message("hi", "a@x.example", "b@y.example", **options)
        mail = Mail("hi", "a@x.example", "b@y.example", **options)
        [outcome] = [outcome async for outcome in smtp.send_many([mail])]
        assert isinstance(outcome.error, error)
        assert outcome.status == "not sent"
        await smtp.noop()


async def test_all_or_nothing_is_nothing_where_one_was_refused() -> None:
    """F03: and DATA was not in the group."""
    two = GROUP + "C: RCPT TO:<c@y.example>\nS: 250 ok\nS: 250 ok\nS: 550 no\n"
    async with session(HELLO, two, RSET, NOOP) as smtp:
        with pytest.raises(SMTPRecipientRefusedError):
            await smtp.send_message(
                "hi",
                "a@x.example",
                ["b@y.example", "c@y.example"],
                all_or_nothing=True,
            )
        await smtp.noop()


async def test_a_message_tells_its_sender_and_recipients() -> None:
    message = EmailMessage()
    message["From"], message["Bcc"] = "a@x.example", "b@y.example"
    message.set_content("hi")
    head = "C: Content-Transfer-Encoding: 7bit\nC: MIME-Version: 1.0\nC:\nC: hi"
    said = MAIL.replace(
        "C: hi",
        f'C: From: a@x.example\nC: Content-Type: text/plain; charset="utf-8"\n{head}',
    )
    async with session(HELLO, said) as smtp:
        assert not await smtp.send_message(message)


# The pipeline


async def test_a_pipeline_belongs_to_its_block_and_leaves_what_it_began() -> None:
    async with session(HELLO, BEGUN, RESET_MAIL) as smtp:
        async with smtp.pipeline() as pipeline:
            begun = pipeline.mail("z@x.example")
            with pytest.raises(SMTPConnectionError, match="pipeline"):
                await smtp.noop()
        assert (await begun).code == 250
        await send_one(smtp)


async def test_a_pipeline_goes_on_with_what_was_begun_by_hand() -> None:
    rest = "C: RCPT TO:<b@y.example>\nC: DATA\nS: 250 ok\nS: 354 go\nC: hi\nC: .\n"
    async with session(HELLO, BEGUN, rest, "S: 250 taken", MAIL) as smtp:
        await smtp.mail("z@x.example")
        async with smtp.pipeline() as pipeline:
            pipeline.rcpt("b@y.example")
            pipeline.data()
            taken = pipeline.content("hi")
        assert (await taken).message == "taken"
        await send_one(smtp)  # and there is nothing to forget


async def test_a_pipeline_that_breaks_off_a_transaction_ends_the_connection() -> None:
    async with session(HELLO, BEGUN, "C: <hangup>") as smtp:
        await smtp.mail("z@x.example")
        with pytest.raises(ZeroDivisionError):
            async with smtp.pipeline():
                raise ZeroDivisionError
        with pytest.raises(SMTPConnectionLostError, match="broken off"):
            await smtp.noop()


# What leaves together


class Recorder(socket.socket):
    """Note what is sent, by call."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.sent: list[bytes] = []
        self.connect((host, port))

    def send(self, data: Any, flags: int = 0) -> int:
        number = super().send(data, flags)
        self.sent.append(bytes(data[:number]))
        return number


LINE = b"x" * 62 + b"\r\n"


@pytest.mark.parametrize("size", [0, 1, BLOCK // 64 - 1, BLOCK // 64, BLOCK // 64 + 1])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("is_stream", [False, True])
async def test_the_end_of_a_content_leaves_with_its_last_block(
    size: int, is_chunked: bool, is_stream: bool
) -> None:
    """F11: CRLF . CRLF does not span writes, nor does a BDAT leave its octets."""
    content = LINE * size
    lines = "".join(f"C: {line}\n" for line in content.decode().splitlines())
    said = GROUP + "S: 250 ok\nS: 250 ok\n"
    if not is_chunked:
        said = GROUP + "C: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\n" + lines + "C: .\n"
    elif is_stream and len(content) > BLOCK:
        *first, last = lines.splitlines()
        said += f"C: BDAT {BLOCK}\n" + "\n".join(first)
        said += f"\nC: BDAT {len(LINE)} LAST\n{last}\nS: 250 chunk\n"
    else:
        said += f"C: BDAT {len(content)} LAST\n{lines}"
    script = "\n".join(map(str.strip, f"{HELLO}{said}S: 250 taken".splitlines()))
    message = iter([content]) if is_stream else content
    async with serve("\n".join(filter(None, script.splitlines()))) as server:
        with Recorder(server.host, server.port) as sock:
            async with SMTP(
                sock=sock, fqdn="client.example", chunking=is_chunked
            ) as smtp:
                await smtp.sendmail("a@x.example", "b@y.example", message)
            _, _, *blocks, quit_ = sock.sent
    assert quit_ == b"QUIT\r\n"
    assert b"".join(blocks).count(LINE) == size
    if not is_chunked:
        assert blocks[-1].endswith(b"\r\n.\r\n" if size else b".\r\n")
    for block in blocks:
        command, _, octets = block.partition(b"\r\n")
        if command.startswith(b"BDAT"):
            assert octets or not size


async def test_the_next_mail_of_a_run_leaves_with_the_end_of_the_last() -> None:
    """F11: the last block, the final dot, and MAIL, RCPT and DATA in one write."""
    content = LINE * (BLOCK // len(LINE) + 1)
    group = GROUP + "C: DATA\n"
    go = "S: 250 ok\nS: 250 ok\nS: 354 go\n"
    lines = "".join(f"C: {line}\n" for line in content.decode().splitlines())
    behind = f"C: RSET\n{group}S: 250 taken\nS: 250 reset\n{go}"
    script = f"{HELLO}{group}{go}{lines}C: .\n{behind}C: hi\nC: .\n"
    script = "\n".join(map(str.strip, f"{script}S: 250 taken".splitlines()))
    mails = [Mail(message, "a@x.example", "b@y.example") for message in (content, "hi")]
    async with serve("\n".join(filter(None, script.splitlines()))) as server:
        with Recorder(server.host, server.port) as sock:
            async with SMTP(sock=sock, fqdn="client.example") as smtp:
                outcomes = [outcome async for outcome in smtp.send_many(mails)]
            _, first, *blocks, last, second, _ = sock.sent
    assert [outcome.status for outcome in outcomes] == ["accepted", "accepted"]
    commands = group.replace("C: ", "").replace("\n", "\r\n").encode()
    assert first == commands
    assert b"".join(blocks) == content[:BLOCK]
    assert last == LINE + b".\r\nRSET\r\n" + commands
    assert second == b"hi\r\n.\r\n"


async def test_the_mails_of_a_window_leave_in_one_write() -> None:
    """F11: MAIL, RCPT and BDAT with its octets, of all of them."""
    said = "C: RSET\n".join([GROUP + "C: BDAT 4 LAST\nC: hi\n"] * 3)
    replies = "S: 250 reset\n".join(["S: 250 ok\nS: 250 ok\nS: 250 taken\n"] * 3)
    script = f"{HELLO}{said}{replies}"
    script = "\n".join(filter(None, map(str.strip, script.splitlines())))
    async with serve(script) as server:
        with Recorder(server.host, server.port) as sock:
            async with SMTP(sock=sock, fqdn="client.example") as smtp:
                mails = [Mail("hi", "a@x.example", "b@y.example")] * 3
                assert len([o async for o in smtp.send_many(mails, window=3)]) == 3
            _, together, _ = sock.sent
    assert together == said.replace("C: ", "").replace("\n", "\r\n").encode()


# So many recipients that the buffers are full


@contextmanager
def stubborn_server(received: list[int]) -> Iterator[int]:
    """Serve one client: read only when all that was to be said has been taken."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

    def serve_one() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"220 hi\r\n")
            rest, in_content, number = b"", False, 0
            while data := connection.recv(2048):
                *lines, rest = (rest + data).split(b"\r\n")
                replies = []
                for line in lines:
                    verb, code = line[:4], b"250 "
                    if in_content:
                        if line != b".":
                            continue
                        in_content = False
                    elif verb == b"EHLO":
                        replies.append(b"250-mx\r\n")
                        code = b"250 PIPELINING "
                    elif verb == b"RCPT":
                        number += 1
                    elif verb == b"DATA":
                        in_content, code = True, b"354 "
                    elif verb == b"QUIT":
                        code = b"221 "
                    replies.append(code + b"%0496d\r\n" % number)
                connection.sendall(b"".join(replies))
            received.append(number)

    thread = threading.Thread(target=serve_one)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(30)
        listener.close()


@pytest.mark.parametrize("is_run", [False, True])
async def test_any_number_of_recipients_leaves_without_a_deadlock(
    is_run: bool,
) -> None:
    """F10: what does not fit into both buffers is read while it is written."""
    count = 50_000
    names = [f"{n}@y.example" for n in range(count)]
    received: list[int] = []
    with stubborn_server(received) as port, socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        sock.connect(("127.0.0.1", port))
        async with SMTP(sock=sock, fqdn="client.example") as smtp:
            if is_run:
                mails = [
                    Mail("hi", "a@x.example", names[: count // 2]),
                    Mail("hi", "a@x.example", names[count // 2 :]),
                ]
                results = [outcome.result async for outcome in smtp.send_many(mails)]
            else:
                results = [await smtp.sendmail("a@x.example", names, "hi")]
            await smtp.quit()
    accepted = [n for result in results if result is not None for n in result.accepted]
    assert accepted == names
    assert received == [count]
    numbers = [
        int(reply.message)
        for result in results
        if result is not None
        for reply in result.replies.values()
    ]
    assert numbers == list(range(1, count + 1))

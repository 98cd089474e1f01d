"""The strict server sees what a client does wrong, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from strict_server import PATIENCE, Event, Stored, StrictServer

from smtplibaio import SMTP

MAIL = b"MAIL FROM:<a@x.example>\r\n"
RCPT = b"RCPT TO:<b@y.example>\r\n"
EHLO = b"EHLO client.example\r\n"
CONTENT = b"..a dot\r\n.\r\n"


class Talk:
    """A client that says what it likes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def reply(self) -> str:
        lines = [await self._reader.readline()]
        while lines[-1][3:4] == b"-":
            lines.append(await self._reader.readline())
        return lines[0].decode().rstrip()

    async def say(self, *said: bytes, replies: int = 1) -> list[str]:
        """Write at once, and read so many replies."""
        self._writer.write(b"".join(said))
        return [await self.reply() for _ in range(replies)]


@asynccontextmanager
async def talk(server: StrictServer) -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        talker = Talk(reader, writer)
        assert await talker.reply() == "220 0 GREETING mx.example"
        yield talker
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_client_that_does_everything_right_is_blamed_for_nothing() -> None:
    async with StrictServer() as server, talk(server) as client:
        await client.say(EHLO)
        assert await client.say(MAIL, RCPT, RCPT, b"DATA\r\n", replies=4) == [
            "250 2 MAIL <a@x.example>",
            "250 3 RCPT <b@y.example>",
            "250 4 RCPT <b@y.example>",
            "354 5 DATA",
        ]
        assert await client.say(CONTENT, MAIL, b"NOOP x\r\n", replies=3) == [
            "250 6 CONTENT <a@x.example>",
            "250 7 MAIL <a@x.example>",
            "250 8 NOOP x",
        ]
        assert await client.say(b"QUIT\r\n") == ["221 9 QUIT"]
        recipients = ("b@y.example", "b@y.example")
        assert server.stored == [Stored("a@x.example", recipients, b".a dot\r\n")]
        assert server.violations == []


@pytest.mark.parametrize(
    ("steps", "violation"),
    [
        pytest.param([(EHLO, 1), (MAIL + MAIL, 2)], "a nested MAIL", id="nested"),
        pytest.param([(MAIL, 1)], "a wrong MAIL", id="unintroduced"),
        pytest.param([(EHLO, 1), (b"XYZZY\r\n", 1)], "no command", id="unknown"),
        pytest.param([(EHLO, 1), (b"NOOP\n", 1)], "a bare CR or LF", id="bare-LF"),
        pytest.param([(EHLO, 1), (b"NOOP a\rb\r\n", 1)], "a bare CR", id="bare-CR"),
        pytest.param(
            [(EHLO, 1), (b"NOOP %s\r\n" % (b"x" * 600), 1)], "a line too", id="long"
        ),
        pytest.param([(EHLO + MAIL, 2)], "before the reply to EHLO", id="group-EHLO"),
        pytest.param(
            [(EHLO, 1), (b"NOOP\r\n" + MAIL, 2)], "the reply to NOOP", id="group-NOOP"
        ),
        pytest.param(
            [(EHLO, 1), (MAIL + RCPT + b"DATA\r\nbody\r\n.\r\n", 4)],
            "before the reply to DATA",
            id="group-DATA",
        ),
        pytest.param(
            [(EHLO, 1), (MAIL + RCPT + b"DATA\r\n", 3), (MAIL + b".\r\n", 1)],
            "a command in the content",
            id="command-in-content",
        ),
        pytest.param(
            [(EHLO, 1), (MAIL + RCPT + b"DATA\r\n", 3), (b"a\nb\r\n.\r\n", 1)],
            "a bare CR or LF in the content",
            id="bare-LF-in-content",
        ),
        pytest.param(
            [(EHLO, 1), (b"AUTH LOGIN\r\n", 1), (b"NOOP\r\n", 1)],
            "a command within AUTH",
            id="command-in-AUTH",
        ),
        pytest.param(
            [
                (EHLO, 1),
                (b"MAIL FROM:<a@x.example> SIZE=9\r\n", 1),
                (RCPT + b"DATA\r\n", 2),
                (CONTENT, 1),
            ],
            "not the 9 octets of SIZE",
            id="another-SIZE",
        ),
    ],
)
async def test_what_a_client_does_wrong_is_noted(
    steps: list[tuple[bytes, int]], violation: str
) -> None:
    async with StrictServer() as server, talk(server) as client:
        for said, replies in steps:
            assert server.violations == []
            await client.say(said, replies=replies)
        assert violation in server.violations[0]


BDAT = b"BDAT 11 LAST\r\n\0\r.\r\n.\r\na\r\n"
BINARY = b"MAIL FROM:<a@x.example> BODY=BINARYMIME\r\n"


async def test_bdat_takes_as_many_octets_as_it_says() -> None:
    """A16: one more is a command, one less takes the next command in."""
    offered = {"chunking": True, "binarymime": True}
    async with StrictServer(**offered) as server, talk(server) as client:
        await client.say(EHLO)
        await client.say(BINARY, RCPT, replies=2)
        assert await client.say(b"BDAT 4\r\na\nb\0", BDAT, replies=2) == [
            "250 4 BDAT <a@x.example>",
            "250 5 CONTENT <a@x.example>",
        ]
        content = b"a\nb\0\0\r.\r\n.\r\na\r\n"
        assert server.stored == [Stored("a@x.example", ("b@y.example",), content)]
        assert server.begun == server.answered == ["a@x.example"]
        await client.say(MAIL, RCPT, replies=2)
        assert await client.say(b"BDAT 0 LAST\r\n") == ["250 8 CONTENT <a@x.example>"]
        assert server.stored[1].content == b""
        assert server.violations == []


@pytest.mark.parametrize(
    ("steps", "violation"),
    [
        pytest.param([(b"BDAT 3 LAST\r\na\r\nb\r\n", 2)], "no command", id="A16-short"),
        pytest.param(
            [(b"BDAT 11 LAST\r\na\r\nNOOP\r\n\r\n", 1)],
            "a command in the content",
            id="A16-long",
        ),
        pytest.param([(b"BDAT 1 LAST\r\na", 1)], "no end of the last line", id="line"),
        pytest.param([(b"BDAT 4 LAST\r\na\n\r\n", 1)], "a bare CR or LF", id="bare-LF"),
        pytest.param([(b"BDAT LAST\r\n", 1)], "a wrong BDAT", id="no-size"),
        pytest.param(
            [(b"BDAT 0\r\n", 1), (b"DATA\r\n", 1)], "only BDAT may", id="A17-DATA"
        ),
        pytest.param(
            [(b"RSET\r\n", 1), (BINARY, 1)], "BINARYMIME is not", id="not-offered"
        ),
        pytest.param(
            [(b"RSET\r\n", 1), (MAIL + RCPT + b"BDAT 0 LAST\r\n", 3)],
            "before the verdicts",
            id="F12-early",
        ),
        pytest.param(
            [(b"BDAT 0 LAST\r\n" + MAIL, 2)], "the reply to BDAT", id="group-LAST"
        ),
        pytest.param(
            [(b"RSET\r\n", 1), (b"BDAT 0\r\n", 1), (b"NOOP\r\n", 1), (MAIL, 1)],
            "no RSET after a refused BDAT",
            id="F13-no-RSET",
        ),
        pytest.param(
            [
                (said, 1)
                for said in (b"RSET\r\n", b"BDAT 0\r\n", b"NOOP\r\n", b"BDAT 1\r\na")
            ],
            "a BDAT behind a refused one",
            id="F13-more",
        ),
    ],
)
async def test_what_a_client_does_wrong_with_bdat_is_noted(
    steps: list[tuple[bytes, int]], violation: str
) -> None:
    async with StrictServer(chunking=True) as server, talk(server) as client:
        await client.say(EHLO)
        await client.say(MAIL, RCPT, replies=2)
        for said, replies in steps:
            assert server.violations == []
            await client.say(said, replies=replies)
        assert any(violation in noted for noted in server.violations)


async def test_bdat_may_come_at_once_where_windows_are_agreed_on() -> None:
    """F12: what is refused is read for nothing; RSET makes good."""
    async with (
        StrictServer(chunking=True, windows=True) as server,
        talk(server) as client,
    ):
        await client.say(EHLO)
        nobody = b"RCPT TO:<nobody@y.example>\r\n"
        bdat = b"BDAT 3 LAST\r\na\r\n"
        said = (MAIL, nobody, bdat, MAIL, RCPT, bdat)
        assert (await client.say(*said, replies=6))[2:] == [
            "554 4 CONTENT no valid recipients",
            "250 5 MAIL <a@x.example>",
            "250 6 RCPT <b@y.example>",
            "250 7 CONTENT <a@x.example>",
        ]
        await client.say(b"NOOP\r\n")
        await client.say(b"RSET\r\n")
        await client.say(MAIL, RCPT, bdat, replies=3)
        assert server.stored == [Stored("a@x.example", ("b@y.example",), b"a\r\n")] * 2
        assert server.violations == []


@pytest.mark.parametrize(
    ("begin", "begun", "rest", "refusal"),
    [
        ((MAIL, RCPT, b"DATA\r\n"), b"half a", b"line\r\n.\r\n", "552 5 CONTENT"),
        ((MAIL, RCPT), b"BDAT 3 LAST\r\na", b"\r\n", "552 5 CONTENT"),
        ((MAIL, RCPT), b"BDAT 3\r\na", b"\r\n", "552 5 CONTENT"),
    ],
    ids=["DATA", "LAST", "chunk"],
)
async def test_the_server_refuses_what_has_not_ended(
    begin: tuple[bytes, ...], begun: bytes, rest: bytes, refusal: str
) -> None:
    """E13: what still comes is read for nothing."""
    async with StrictServer(chunking=True) as server, talk(server) as client:
        await client.say(EHLO)
        server.strike("refuse")
        await client.say(*begin, replies=len(begin))
        client._writer.write(begun)
        for _ in range(2 * PATIENCE):
            await asyncio.sleep(0)
        server.strike("refuse")
        server.strike("refuse")
        assert (await client.reply()).startswith(refusal)
        (reply,) = await client.say(rest, b"RSET\r\n")
        assert reply.endswith(" RSET")
        assert server.stored == server.violations == []


@pytest.mark.parametrize(
    ("group", "blocker"), [(MAIL + RCPT, "MAIL"), (b"RSET\r\n" + MAIL, "RSET")]
)
async def test_a_group_is_noted_where_pipelining_is_not_offered(
    group: bytes, blocker: str
) -> None:
    async with StrictServer(pipelining=False) as server, talk(server) as client:
        await client.say(EHLO)
        await client.say(group, replies=2)
        assert f"before the reply to {blocker}" in server.violations[0]


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "PLAIN", "LOGIN"])
@pytest.mark.parametrize("password", ["secret", "wrong"])
async def test_auth_tells_a_right_password_from_a_wrong_one(
    mechanism: str, password: str
) -> None:
    async with (
        StrictServer() as server,
        SMTP(server.host, server.port, "client.example") as client,
    ):
        try:
            reply: Any = await client.auth("user", password, mechanisms=[mechanism])
            text = reply.message
        except Exception as exc:
            text = str(exc)
        assert ("535 " in text) == (password == "wrong")
        assert server.violations == []


@pytest.mark.parametrize(
    ("event", "heard", "stored"),
    [
        ("close", b"", 1),
        ("drop", b"", 1),
        ("reset", None, 1),
        ("mute", b"250 5 CONTENT ", 1),
        ("stall", b"", 0),
        ("farewell", b"421 4.3.2 going down\r\n", 0),
    ],
)
async def test_the_server_strikes_as_it_is_told(
    event: Event, heard: bytes | None, stored: int
) -> None:
    async with StrictServer() as server, talk(server) as client:
        await client.say(EHLO)
        await client.say(MAIL, RCPT, b"DATA\r\n", replies=3)
        is_struck = asyncio.Event()

        def strike() -> None:
            server.strike(event)
            is_struck.set()

        server.strike_at_reply(0, strike)
        client._writer.write(CONTENT)
        await is_struck.wait()
        assert server.struck_at == "CONTENT"
        assert len(server.stored) == stored
        if heard is None:
            with pytest.raises(ConnectionResetError):
                await client._reader.read(100)
        elif heard or event not in ("mute", "stall"):
            assert await client._reader.read(100) == heard
        server.recover()
        if event in ("mute", "stall"):
            rest = b"250 5 CONTENT <a@x.example>\r\n".removeprefix(heard or b"")
            assert await client._reader.readline() == rest
            assert len(server.stored) == 1

"""CHUNKING and BINARYMIME, end to end: when BDAT goes out, and that its counts hold."""

from __future__ import annotations

import array
import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bdat_server import EXTENSIONS, MARK, BdatServer
from conversation import client
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio import (
    SMTP,
    Mail,
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPNoRecipientError,
    SMTPTimeoutError,
    Timeouts,
)
from smtplibaio.testing import SMTPServer

SENDER, RECIPIENT = "a@x.example", "b@y.example"
BINARY = ["BODY=BINARYMIME"]

#: As many octets as are worked on at a time.
BLOCK = 65536

#: Content every line of which would do harm as a command.
HARMFUL = b"".join(
    line.encode() + b"\r\n"
    for line in (
        "Subject: x",
        "",
        ".",
        f"MAIL FROM:<{MARK}@x.example>",
        "RSET",
        f"BDAT 3 LAST {MARK}",
        f"DATA {MARK}",
        "..",
        f"QUIT {MARK}",
        ".",
    )
)

#: As long as a message has to be for a BDAT to take several writes.
LONG = b"Subject: xyz\r\n\r\n" + b"." * 62 + b"\r\n" + (b"x" * 62 + b"\r\n") * 2100


class Mishap(Exception):
    """Something that has nothing to do with SMTP."""


@asynccontextmanager
async def peer(
    chunking: bool | None = True, *, timeout: Any = 5, **options: Any
) -> AsyncIterator[tuple[SMTP, BdatServer]]:
    """Connect a client to a strict peer."""
    async with BdatServer(**options) as server:
        async with SMTP(
            *server.address, "client.example", timeout, chunking=chunking
        ) as smtp:
            yield smtp, server


def sizes(server: BdatServer) -> list[str]:
    """List the arguments of each BDAT."""
    return [line[5:] for line in server.commands if line.startswith("BDAT")]


# When


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("is_offered", [True, False], ids=["offered", "not offered"])
@pytest.mark.parametrize("chunking", [True, None, False])
async def test_text_goes_with_bdat_where_that_is_wanted_and_offered(
    chunking: bool | None, is_offered: bool, is_stream: bool
) -> None:
    """A16: and with DATA else; the same octets, without a stuffed dot, are taken."""
    extensions = EXTENSIONS if is_offered else ("PIPELINING", "8BITMIME")
    async with peer(chunking, extensions=extensions) as (smtp, server):
        message = iter([HARMFUL]) if is_stream else HARMFUL
        await smtp.sendmail(SENDER, RECIPIENT, message)
        await smtp.noop()
    (mail,) = server.stored
    assert mail.content == HARMFUL
    assert mail.verb == ("BDAT" if chunking and is_offered else "DATA")
    assert sizes(server) == [f"{len(HARMFUL)} LAST"] * (mail.verb == "BDAT")


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("chunking", [True, None])
async def test_binary_content_goes_with_bdat_as_it_is(
    chunking: bool | None, is_stream: bool
) -> None:
    """A16: no line end is changed or added; NUL, bare CR and long lines travel."""
    content = bytes(range(256)) * 8 + b"\r\r\n\n.\n\0" + HARMFUL + b"\r"
    async with peer(chunking) as (smtp, server):
        message = iter([content]) if is_stream else content
        await smtp.sendmail(SENDER, RECIPIENT, message, BINARY)
    (mail,) = server.stored
    assert (mail.content, mail.is_binary, mail.verb) == (content, True, "BDAT")


async def test_the_same_octets_are_text_in_one_mail_and_binary_in_the_next() -> None:
    """A16: the octets of a newsletter are looked at once, but not as another kind."""
    octets = b"Subject: x\r\n\r\na\nb"
    kinds = [(), BINARY, (), (), BINARY]
    async with peer(True) as (smtp, server):
        mails = [Mail(octets, SENDER, RECIPIENT, kind) for kind in kinds]
        outcomes = [outcome async for outcome in smtp.send_many(mails)]
    assert [outcome.status for outcome in outcomes] == ["accepted"] * len(kinds)
    text = b"Subject: x\r\n\r\na\r\nb\r\n"
    stored = [mail.content for mail in server.stored]
    assert stored == [octets if kind else text for kind in kinds]


@pytest.mark.parametrize(
    ("chunking", "extensions", "error"),
    [
        pytest.param(False, EXTENSIONS, SMTPArgumentError, id="A17-forbidden"),
        pytest.param(
            None, ("BINARYMIME",), SMTPCommandNotSupportedError, id="A17-no CHUNKING"
        ),
        pytest.param(
            True, ("CHUNKING",), SMTPCommandNotSupportedError, id="A17-no BINARYMIME"
        ),
    ],
)
async def test_binary_content_never_goes_with_data(
    chunking: bool | None, extensions: tuple[str, ...], error: type[SMTPException]
) -> None:
    """A17: nothing is sent where BDAT is no way."""
    async with peer(chunking, extensions=extensions) as (smtp, server):
        with pytest.raises(error):
            await smtp.sendmail(SENDER, RECIPIENT, b"\0", BINARY)
        await smtp.noop()
    assert [line.split()[0] for line in server.commands] == ["EHLO", "NOOP", "QUIT"]


@pytest.mark.parametrize("is_given", ["by mail", "by pipeline"])
async def test_after_binarymime_by_hand_data_is_refused(is_given: str) -> None:
    """A17: by the client and by its pipeline, wherever MAIL was said; RSET forgets."""
    async with peer() as (smtp, server):
        if is_given == "by mail":
            await smtp.mail(SENDER, BINARY)
            await smtp.rcpt(RECIPIENT)
        else:
            async with smtp.pipeline() as p:
                p.mail(SENDER, BINARY)
                p.rcpt(RECIPIENT)
        with pytest.raises(SMTPArgumentError, match="BINARYMIME"):
            await smtp.data(b"hi")
        async with smtp.pipeline() as p:
            with pytest.raises(SMTPArgumentError, match="BINARYMIME"):
                p.data()
            p.bdat(b"\0\n", last=True)
        await smtp.mail(SENDER, BINARY)
        await smtp.rset()
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
        assert await smtp.data(b"hi") == (250, "taken")
    assert [mail.content for mail in server.stored] == [b"\0\n", b"hi\r\n"]


async def test_data_after_the_chunks_of_an_earlier_pipeline_is_refused() -> None:
    """A17: nor can another pipeline continue them: what was held back is gone."""
    async with peer() as (smtp, server):
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
            p.bdat(b"\r\nhi\r")
        with pytest.raises(SMTPArgumentError):
            await smtp.data(b"hi")
        async with smtp.pipeline() as p:
            with pytest.raises(SMTPArgumentError):
                p.data()
            with pytest.raises(SMTPArgumentError):
                p.bdat(b"\nyou", last=True)
        await smtp.sendmail(SENDER, RECIPIENT, b"hi")
    assert [mail.content for mail in server.stored] == [b"hi\r\n"]


# Streams


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def opened(path: Path, octets: bytes) -> io.BufferedReader:
    path.write_bytes(octets)
    return path.open("rb")


@pytest.mark.parametrize("is_grouped", [True, False], ids=["grouped", "one by one"])
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", ["0 LAST"]),
        (b"\r\n" + b"x" * 62 + b"\r\n", ["66 LAST"]),
        ((b"x" * 62 + b"\r\n") * 1024, ["65536 LAST"]),
        (LONG[:BLOCK], ["65536", "2 LAST"]),
        (LONG[: 2 * BLOCK + 3], ["65536", "65536"]),
    ],
    ids=["empty", "short", "a block", "a block without its end", "more"],
)
async def test_a_stream_goes_in_chunks_as_it_is_read(
    content: bytes, expected: list[str], is_grouped: bool, tmp_path: Path
) -> None:
    """A16: each is counted when it is there, the end of the last line included."""
    extensions = EXTENSIONS if is_grouped else EXTENSIONS[1:]
    async with peer(extensions=extensions) as (smtp, server):
        with opened(tmp_path / "mail", content) as file:
            for source in (
                iter([content]),
                chunks_of(content[:3], content[3:]),
                io.BytesIO(content),
                file,
            ):
                await smtp.sendmail(SENDER, RECIPIENT, source)
    ends = b"" if content.endswith(b"\n") or not content else b"\r\n"
    assert {mail.content for mail in server.stored} == {content + ends}
    assert sizes(server)[: len(expected)] == expected
    assert len(server.stored) == 4


async def test_line_ends_are_counted_as_they_leave() -> None:
    """A16: normalised, across chunk borders, and before they are counted."""
    content = b"Subject: x\n\na\rb\r\n\r" + (b"\n" * 40_000) + b"end"
    expected = b"Subject: x\r\n\r\na\r\nb\r\n" + b"\r\n" * 40_000 + b"end\r\n"
    async with peer() as (smtp, server):
        await smtp.sendmail(SENDER, RECIPIENT, content)
        pieces = [content[i : i + 7] for i in range(0, len(content), 7)]
        await smtp.sendmail(SENDER, RECIPIENT, iter(pieces))
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
            for i in range(0, len(content), 9999):
                p.bdat(content[i : i + 9999])
            p.bdat(b"", last=True)
    assert [mail.content == expected for mail in server.stored] == [True] * 3


@pytest.mark.parametrize("chunks", [1, 3], ids=["early", "later"])
@pytest.mark.parametrize("options", [(), BINARY], ids=["text", "binary"])
async def test_a_source_that_raises_has_no_last_chunk(
    options: Sequence[str], chunks: int
) -> None:
    """A16: half a message is none; its own exception comes out."""

    def source() -> Iterator[bytes]:
        for _ in range(chunks):
            yield LONG
        raise Mishap

    async with peer() as (smtp, server):
        with pytest.raises(Mishap):
            await smtp.sendmail(SENDER, RECIPIENT, source(), options)
        assert not smtp.is_connected
    assert server.stored == []


async def test_a_source_that_is_silent_has_no_last_chunk() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield LONG
        await asyncio.Event().wait()

    timeouts = Timeouts(content=0.05)
    async with peer(timeout=timeouts) as (smtp, server):
        with pytest.raises(SMTPTimeoutError):
            await smtp.sendmail(SENDER, RECIPIENT, source())
        assert not smtp.is_connected
    assert server.stored == []


# Octets that are not what they say


class Short(bytes):
    """Octets that say that they are fewer, and others."""

    def __len__(self) -> int:
        return 3

    def __bytes__(self) -> bytes:
        return b"RSET\r\n"

    def __bool__(self) -> bool:
        return False

    def __getitem__(self, key: Any) -> Any:
        return b"?"

    def __iter__(self) -> Iterator[int]:
        return iter(b"NOOP\r\n")


class Long(bytes):
    """Octets that say that they are more."""

    def __len__(self) -> int:
        return 100_000


class LyingArray(bytearray):
    """The same, of those that can change."""

    def __len__(self) -> int:
        return 3


class Wrapped:
    """An object that gives lying octets for the whole."""

    def as_bytes(self) -> bytes:
        return Long(HARMFUL)


class Many(list[bytes]):
    """Chunks that say that there is none."""

    def __len__(self) -> int:
        return 0


class Generous:
    """A file that gives more than it is asked for, as lying octets."""

    def __init__(self) -> None:
        self.chunks = [Short(HARMFUL), LONG, b""]

    def read(self, size: int) -> bytes:
        return self.chunks.pop(0)


def wide() -> memoryview:
    assert len(LONG) % 8 == 0
    view = memoryview(array.array("Q", LONG))
    assert len(view) * 8 == len(LONG)
    return view


WHOLE: dict[str, tuple[Callable[[], Any], bytes]] = {
    "few": (lambda: Short(HARMFUL), HARMFUL),
    "many": (lambda: Long(HARMFUL), HARMFUL),
    "array": (lambda: LyingArray(HARMFUL), HARMFUL),
    "view": (lambda: memoryview(LyingArray(HARMFUL)), HARMFUL),
    "wide": (wide, LONG),
    "strided": (lambda: memoryview(b"".join(b"%c?" % c for c in LONG))[::2], LONG),
}
LIARS: dict[str, tuple[Callable[[], Any], bytes]] = {
    **WHOLE,
    "as_bytes": (Wrapped, HARMFUL),
    "list": (lambda: Many([HARMFUL, LONG]), HARMFUL + LONG),
    "file": (Generous, HARMFUL + LONG),
    "chunks": (lambda: iter([Short(HARMFUL), Long(LONG)]), HARMFUL + LONG),
    "wide chunks": (lambda: chunks_of(HARMFUL, wide()), HARMFUL + LONG),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("options", [(), BINARY], ids=["text", "binary"])
@pytest.mark.parametrize(("make", "octets"), LIARS.values(), ids=LIARS)
async def test_a_source_that_lies_of_its_length_does_not_break_the_framing(
    make: Callable[[], Any], octets: bytes, options: Sequence[str]
) -> None:
    """A16: what is counted is what is sent."""
    async with peer() as (smtp, server):
        await smtp.sendmail(SENDER, RECIPIENT, make(), options)
        await smtp.sendmail(SENDER, RECIPIENT, b"\r\nnext\r\n")
    assert [mail.content for mail in server.stored] == [octets, b"\r\nnext\r\n"]


@pytest.mark.parametrize(("make", "octets"), WHOLE.values(), ids=WHOLE)
async def test_a_chunk_that_lies_of_its_length_does_not_break_the_framing(
    make: Callable[[], Any], octets: bytes
) -> None:
    """A16: in a pipeline, with the caller's own chunks."""
    async with peer(None) as (smtp, server):
        async with smtp.pipeline() as p:
            for options in ((), BINARY):
                p.mail(SENDER, options)
                p.rcpt(RECIPIENT)
                p.bdat(make())
                p.bdat(make(), last=True)
    assert [mail.content for mail in server.stored] == [octets * 2] * 2


@pytest.mark.parametrize("options", [(), BINARY], ids=["text", "binary"])
async def test_octets_that_change_while_they_are_sent_are_sent_as_they_were(
    options: Sequence[str],
) -> None:
    """A16: a buffer that its owner uses again, or empties."""
    buffer = bytearray(LONG)

    async def reusing() -> AsyncIterator[bytearray]:
        for octet in b"abc":
            buffer[:] = b"\r\n%c\r\n" % octet
            yield buffer
        buffer.clear()

    async with peer() as (smtp, server):
        task = asyncio.create_task(smtp.sendmail(SENDER, RECIPIENT, buffer, options))
        await asyncio.sleep(0)
        buffer.clear()
        await task
        await smtp.sendmail(SENDER, RECIPIENT, reusing(), options)
        async with smtp.pipeline() as p:
            p.mail(SENDER, options)
            p.rcpt(RECIPIENT)
            buffer[:] = LONG
            p.bdat(buffer, last=True)
            buffer.clear()
    reused = b"\r\na\r\n\r\nb\r\n\r\nc\r\n"
    assert [mail.content for mail in server.stored] == [LONG, reused, LONG]


# Refusals


@pytest.mark.parametrize("swallows", [True, False], ids=["swallows", "does not"])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("refused", [{SENDER}, {RECIPIENT}], ids=["MAIL", "RCPT"])
async def test_no_octet_of_content_leaves_for_nobody(
    refused: set[str], is_stream: bool, swallows: bool
) -> None:
    """F12: there would be a server that executes it."""
    async with peer(refused=refused, swallows=swallows) as (smtp, server):
        message = iter([HARMFUL]) if is_stream else HARMFUL
        with pytest.raises((SMTPCommandFailedError, SMTPNoRecipientError)):
            await smtp.sendmail(SENDER, RECIPIENT, message)
        async with smtp.pipeline() as p:
            mail, rcpt = p.mail(SENDER), p.rcpt(RECIPIENT)
            chunks = p.bdat(HARMFUL), p.bdat(HARMFUL, last=True)
        refusal = mail.result() if SENDER in refused else rcpt.result()
        assert [chunk.result() for chunk in chunks] == [refusal] * 2
        server.refused = ()
        await smtp.sendmail(SENDER, RECIPIENT, HARMFUL)
    assert [mail.content for mail in server.stored] == [HARMFUL]
    assert len(sizes(server)) == 1


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_a_refused_bdat_is_followed_by_rset(is_stream: bool) -> None:
    """F12: for the state is indeterminate, and the next mail goes its way."""
    async with peer(refused_chunks={0}) as (smtp, server):
        message = iter([HARMFUL]) if is_stream else HARMFUL
        with pytest.raises(SMTPCommandFailedError) as info:
            await smtp.sendmail(SENDER, RECIPIENT, message)
        assert (info.value.code, info.value.command) == (552, "BDAT")
        await smtp.sendmail(SENDER, RECIPIENT, HARMFUL)
    assert [mail.content for mail in server.stored] == [HARMFUL]
    bdat = server.commands.index(f"BDAT {len(HARMFUL)} LAST")
    assert server.commands[bdat + 1] == "RSET"


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("is_grouped", [True, False], ids=["grouped", "one by one"])
async def test_a_chunk_refused_among_others_fails_the_mail(
    is_grouped: bool, number: int
) -> None:
    """F13: its reply is what the caller gets; the session is clean or has ended."""
    extensions = EXTENSIONS if is_grouped else EXTENSIONS[1:]
    refused = {number}
    async with peer(extensions=extensions, refused_chunks=refused) as (smtp, server):
        with pytest.raises(SMTPCommandFailedError) as info:
            await smtp.sendmail(SENDER, RECIPIENT, iter([LONG, LONG[16:]]))
        assert (info.value.code, info.value.command) == (552, "BDAT")
        if not smtp.is_connected:
            await smtp.connect()
        await smtp.sendmail(SENDER, RECIPIENT, b"\r\nnext\r\n")
    assert [mail.content for mail in server.stored] == [b"\r\nnext\r\n"]


async def test_a_server_that_executes_what_it_refused_costs_the_connection() -> None:
    """F12: it answers each line of the content; none of that is paired with a call."""
    async with client(
        """
        S: 220 hi
        C: EHLO client.example
        S: 250-mx
        S: 250-CHUNKING
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        S: 250 sender
        S: 250 recipient
        C: BDAT 10 LAST
        C: NOOP
        C: hi
        S: 503 no
        S: 250 ok
        S: 500 what?
        C: <hangup>
        """,
        chunking=True,
    ) as smtp:
        with pytest.raises(SMTPCommandFailedError, match="503"):
            await smtp.sendmail(SENDER, RECIPIENT, "NOOP\r\nhi\r\n")
        assert not smtp.is_connected


# The same octets, whichever way


#: Line ends, dots, and lines that would be commands; long lines in parts.
PARTS = [
    *(b"\r\n", b"\r", b"\n", b".", b"a", b"\xe9", b"\n" + b"x" * 970, b"\n.\n"),
    *(b"\r\nRSET\r\n", b"\r\n.\r\nQUIT\r\n", f"\nBDAT 9 {MARK}\n".encode()),
]
MESSAGES = st.lists(st.sampled_from(PARTS), max_size=24).map(
    lambda parts: b"Subject: x\r\n\r\n" + b"".join(parts)
)
PLACES = st.lists(st.integers(0, 5000), max_size=6)


def cut(message: bytes, places: Sequence[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(message) + 1) for place in places), len(message)]
    return [message[a:b] for a, b in pairwise(borders)]


@settings(deadline=None, max_examples=50)
@given(MESSAGES, PLACES)
async def test_data_and_bdat_deliver_the_same_octets(
    message: bytes, places: Sequence[int]
) -> None:
    """A16: whole, read in any chunks, or given as chunks; and it is no command."""
    pieces = cut(message, places)
    with SMTPServer() as aiosmtpd:  # which has no BDAT
        async with SMTP(aiosmtpd.hostname, aiosmtpd.port) as smtp:
            await smtp.sendmail(SENDER, RECIPIENT, message)
            await smtp.sendmail(SENDER, RECIPIENT, chunks_of(*pieces))
    taken = [mail.content for mail in aiosmtpd.messages]
    async with peer() as (smtp, server):
        await smtp.sendmail(SENDER, RECIPIENT, message)
        await smtp.sendmail(SENDER, RECIPIENT, chunks_of(*pieces))
        async with smtp.pipeline() as p:
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
            for piece in pieces[:-1]:
                p.bdat(piece)
            p.bdat(pieces[-1], last=True)
            p.mail(SENDER)
            p.rcpt(RECIPIENT)
            p.data()
            p.content(iter(pieces))
    assert len(taken) == 2
    assert [mail.verb for mail in server.stored] == ["BDAT"] * 3 + ["DATA"]
    assert {mail.content for mail in server.stored} == set(taken)
    assert taken[0] == taken[1]


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300), PLACES)
async def test_binary_content_is_delivered_as_it_is(
    message: bytes, places: Sequence[int]
) -> None:
    """A16: whole, read in any chunks, or given as chunks."""
    pieces = cut(message, places)
    async with peer(None) as (smtp, server):
        await smtp.sendmail(SENDER, RECIPIENT, message, BINARY)
        await smtp.sendmail(SENDER, RECIPIENT, chunks_of(*pieces), BINARY)
        await smtp.mail(SENDER, BINARY)
        await smtp.rcpt(RECIPIENT)
        async with smtp.pipeline() as p:
            for piece in pieces[:-1]:
                p.bdat(piece)
            p.bdat(pieces[-1], last=True)
    assert [mail.content for mail in server.stored] == [message] * 3


# The peer


@pytest.mark.parametrize(
    ("said", "is_wrong"),
    [
        pytest.param(b"BDAT 4\r\nhi\r\nBDAT 0 LAST\r\n", False, id="all is right"),
        pytest.param(b"BDAT 3\r\nhi\r\n", True, id="too short a count"),
        pytest.param(b"BDAT 4\r\nhi\r\nx\r\n", True, id="octets behind"),
        pytest.param(b"BDAT 4\r\nhi\r\nDATA\r\n", True, id="DATA after BDAT"),
        pytest.param(b"BDAT 0 LAST\r\nRSET\r\n", True, id="a command behind LAST"),
        pytest.param(b"BDAT 0 LAST\r\nBDAT 0 LAST\r\n", True, id="LAST twice"),
        pytest.param(b"BDAT 4 LAST\r\nhi\n\n", True, id="a bare LF"),
        pytest.param(b"RSET\r\nBDAT 0 LAST\r\n", True, id="no recipient"),
        pytest.param(b"RSET\r\nNOOP smuggled\r\n", True, id="content as a command"),
    ],
)
async def test_the_peer_notes_what_is_wrong(said: bytes, is_wrong: bool) -> None:
    async with BdatServer() as server:
        reader, writer = await asyncio.open_connection(*server.address)
        await reader.readline()
        writer.write(b"EHLO client.example\r\n")
        while not (await reader.readline()).startswith(b"250 "):
            pass
        writer.write(b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n" + said)
        while not (server.violations or server.stored):  # noqa: ASYNC110
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        assert bool(server.violations) is is_wrong
        server.violations.clear()

"""Framed content, undone by a reader that takes nothing on trust, is what it was."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtplibaio.content.forms import Canonicaliser, octets_of
from smtplibaio.content.framing import Chunk, Chunks, Dots, Framing, stuff_dots

HEADER = b"Subject: x\r\n\r\n"

#: Messages as callers have them, dense in what decides: line ends and dots.
MESSAGES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b".", b"a", b"\xe9", b"BDAT 9\r\n"]),
    max_size=24,
).map(lambda parts: HEADER + b"".join(parts))

#: The same in canonical form, from its first octet on.
CANONICAL = st.lists(
    st.sampled_from([b"\r\n", b"\r\n.", b".", b"a", b"\r\n.\r\n", b"\xe9"]), max_size=24
).map(lambda parts: b"".join([*parts, b"\r\n"]) if parts else b"")

#: Octets that are no lines.
BINARY = st.lists(
    st.sampled_from([b"\0", b"\r", b"\n", b".", b"\xff", b"BDAT 1 LAST\r\n"])
).map(b"".join)

PLACES = st.lists(st.integers(0, 500), max_size=12)

#: The machine's pauses are nobody's fault.
unhurried = settings(deadline=None)


def cut(octets: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut octets into chunks; the same place twice makes an empty one."""
    borders = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[a:b] for a, b in pairwise(borders)]


def framed(framing: Framing, blocks: Sequence[bytes]) -> bytes:
    *rest, last = blocks
    frames = [framing.frame(block, is_last=False) for block in rest]
    return b"".join([*frames, framing.frame(last, is_last=True)])


def one_chunk(blocks: Sequence[bytes]) -> bytes:
    return framed(Chunk(sum(map(len, blocks))), blocks)


def converted(chunks: Iterable[bytes]) -> list[bytes]:
    """Bring chunks into canonical form, as they are."""
    canonicaliser = Canonicaliser()
    return [*map(canonicaliser.feed, chunks), canonicaliser.finish()]


# Two servers


def read_data(octets: bytes) -> bytes:
    """Read content as RFC 5321 4.5.2 has the server do it; nothing may be left over."""
    content = b""
    while True:
        line, line_end, octets = octets.partition(b"\r\n")
        assert line_end, "there is no line with the final dot"
        assert b"\r" not in line, "a bare CR"
        assert b"\n" not in line, "a bare LF"
        if line == b".":
            assert not octets, "this would be read as commands"
            return content
        content += line.removeprefix(b".") + line_end


def read_bdat(octets: bytes) -> bytes:
    """Read content as RFC 3030 2 has the server do it; nothing may be left over."""
    content = b""
    while True:
        command, line_end, octets = octets.partition(b"\r\n")
        match = re.fullmatch(rb"BDAT (0|[1-9][0-9]*)( LAST)?", command)
        assert match is not None, f"{command!r} is no BDAT"
        size = int(match[1])
        assert line_end
        assert len(octets) >= size, "there are fewer octets than it says"
        content, octets = content + octets[:size], octets[size:]
        if match[2]:
            assert not octets, "this would be read as commands"
            return content


# Dots


@pytest.mark.parametrize(
    ("chunk", "at_line_start", "stuffed"),
    [
        (b"", True, b""),
        (b".", True, b".."),
        (b".", False, b"."),
        (b"a.\r\n", True, b"a.\r\n"),
        (b"..\r\n.\r\n", True, b"...\r\n..\r\n"),
        (b"..\r\n.\r\n", False, b"..\r\n..\r\n"),
        (b"\n.", False, b"\n.."),
        (b"\r\n\r\n.a\r\n", False, b"\r\n\r\n..a\r\n"),
    ],
)
def test_the_dot_of_a_line_that_starts_with_one_is_doubled(
    chunk: bytes, at_line_start: bool, stuffed: bytes
) -> None:
    """A11: what came before the chunk decides about its first octet only."""
    assert stuff_dots(chunk, at_line_start=at_line_start) == stuffed


@pytest.mark.parametrize(
    ("blocks", "wire"),
    [
        pytest.param([b""], b".\r\n", id="A11-nothing"),
        pytest.param([b"a\r\n"], b"a\r\n.\r\n", id="A11-one block"),
        pytest.param([b".\r\n"], b"..\r\n.\r\n", id="A11-first octet"),
        pytest.param([b"a\r\n", b".\r\n"], b"a\r\n..\r\n.\r\n", id="A11-CRLF, dot"),
        pytest.param([b"a\r", b"\n.\r\n"], b"a\r\n..\r\n.\r\n", id="A11-CR, LF dot"),
        pytest.param([b"a", b".\r\n"], b"a.\r\n.\r\n", id="A11-in a line"),
        pytest.param([b"a\r\n", b""], b"a\r\n.\r\n", id="A11-empty last"),
        pytest.param([b"", b".\r\n"], b"..\r\n.\r\n", id="A11-empty first"),
        pytest.param(
            [b"a\r\n", b"", b".\r\n"], b"a\r\n..\r\n.\r\n", id="A11-empty between lines"
        ),
        pytest.param(
            [b"a", b"", b".\r\n"], b"a.\r\n.\r\n", id="A11-empty within a line"
        ),
        pytest.param(
            [b".", b".", b"\r", b"\n", b".", b"\r", b"\n"],
            b"...\r\n..\r\n.\r\n",
            id="A11-octets",
        ),
    ],
)
def test_a_dot_is_doubled_wherever_the_blocks_are_cut(
    blocks: list[bytes], wire: bytes
) -> None:
    assert framed(Dots(), blocks) == wire
    assert framed(Dots(), [b"".join(blocks)]) == wire


@unhurried
@given(CANONICAL, PLACES)
def test_cuts_do_not_change_what_follows_data(
    content: bytes, places: Sequence[int]
) -> None:
    """A11: empty chunks, and single octets, included."""
    whole = framed(Dots(), [content])
    assert framed(Dots(), cut(content, places)) == whole
    assert framed(Dots(), cut(content, range(len(content)))) == whole


@unhurried
@given(MESSAGES, PLACES)
def test_a_message_is_the_same_on_the_wire_in_chunks_and_whole(
    message: bytes, places: Sequence[int]
) -> None:
    """A11: canonical form and dots together, across every border."""
    whole = b"".join(converted([message]))
    wire = framed(Dots(), [whole])
    for chunks in cut(message, places), cut(message, range(len(message))):
        assert framed(Dots(), converted(chunks)) == wire
    assert read_data(wire) == whole
    assert (b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - 3


def test_the_state_of_one_content_is_not_that_of_the_next() -> None:
    """A11: each has its own `Dots`."""
    for _ in range(2):
        dots = Dots()
        assert dots.frame(b".", is_last=False) == b".."
        assert dots.frame(b".\r\n", is_last=True) == b".\r\n.\r\n"


# Chunks


@pytest.mark.parametrize(
    ("size", "is_last", "blocks", "wire"),
    [
        (0, True, [b""], b"BDAT 0 LAST\r\n"),
        (3, True, [b".\r\n"], b"BDAT 3 LAST\r\n.\r\n"),
        (3, False, [b"a\r\n"], b"BDAT 3\r\na\r\n"),
        (5, True, [b"a\r\n", b"\r\n"], b"BDAT 5 LAST\r\na\r\n\r\n"),
        (2, True, [b"", b".", b"", b"."], b"BDAT 2 LAST\r\n.."),
    ],
)
def test_content_of_known_size_has_one_bdat(
    size: int, is_last: bool, blocks: list[bytes], wire: bytes
) -> None:
    """A16: no dot is doubled, and nothing stands behind the last octet."""
    assert framed(Chunk(size, is_last=is_last), blocks) == wire


@pytest.mark.parametrize(
    ("blocks", "wire"),
    [
        ([b""], b"BDAT 0 LAST\r\n"),
        ([b".\r\n"], b"BDAT 3 LAST\r\n.\r\n"),
        ([b"a\r\n", b".\r\n"], b"BDAT 3\r\na\r\nBDAT 3 LAST\r\n.\r\n"),
        ([b"a\r\n", b""], b"BDAT 3\r\na\r\nBDAT 0 LAST\r\n"),
        ([b"\0" * 10, b"\n"], b"BDAT 10\r\n" + b"\0" * 10 + b"BDAT 1 LAST\r\n\n"),
    ],
)
def test_content_of_unknown_size_has_a_bdat_for_each_block(
    blocks: list[bytes], wire: bytes
) -> None:
    """A16: the last one may have no octets (RFC 3030 2)."""
    assert framed(Chunks(), blocks) == wire


class Shorter(bytes):
    """Say of itself that it is shorter than it is."""

    def __len__(self) -> int:
        return 1


class Longer(bytes):
    """Say of itself that it is longer than it is."""

    def __len__(self) -> int:
        return 1000


@pytest.mark.parametrize("kind", [Shorter, Longer])
@pytest.mark.parametrize("frame", [one_chunk, lambda blocks: framed(Chunks(), blocks)])
def test_octets_that_lie_of_their_number_are_counted(
    kind: type[bytes], frame: Callable[[Sequence[bytes]], bytes]
) -> None:
    """A16: too few in the count, and the rest would be commands."""
    smuggled = b"RSET\r\nMAIL FROM:<evil@x.example>\r\n"
    blocks = [octets_of(kind(smuggled)), octets_of(memoryview(kind(b"x")))]
    assert read_bdat(frame(blocks)) == smuggled + b"x"


# Whichever way


@unhurried
@given(MESSAGES, PLACES)
def test_data_and_bdat_deliver_the_same_octets(
    message: bytes, places: Sequence[int]
) -> None:
    """A16, A11: the size of a canonical form is counted, not that of its source."""
    whole = b"".join(converted([message]))
    for blocks in [whole], cut(whole, places), converted(cut(message, places)):
        assert read_data(framed(Dots(), blocks)) == whole
        assert read_bdat(framed(Chunks(), blocks)) == whole
        assert read_bdat(one_chunk(blocks)) == whole


@unhurried
@given(BINARY, PLACES)
def test_chunks_deliver_any_octets(octets: bytes, places: Sequence[int]) -> None:
    """A16, A18: NUL, bare line ends, and what looks like a command."""
    blocks = cut(octets, places)
    assert read_bdat(framed(Chunks(), blocks)) == octets
    assert read_bdat(one_chunk(blocks)) == octets


@pytest.mark.parametrize(
    ("framing", "verb", "end", "asks_each_time"),
    [
        (Dots(), "DATA", "the final dot", False),
        (Chunk(9), "BDAT", "BDAT LAST", False),
        (Chunk(9, is_last=False), "BDAT", "BDAT", False),
        (Chunks(), "BDAT", "BDAT LAST", True),
    ],
)
def test_a_framing_tells_what_is_answered(
    framing: Framing, verb: str, end: str, asks_each_time: bool
) -> None:
    assert framing.verb == verb
    assert framing.end == end
    assert framing.asks_each_time is asks_each_time

"""Canonical form, transparency and what may not travel, however the content is cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import (
    HEADER,
    MESSAGES,
    PLACES,
    SOUND_MESSAGES,
    canonical,
    cut,
    unhurried,
    unstuffed,
    wire,
)

from smtplibaio import (
    SMTP,
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPException,
)
from smtplibaio.content.canonical import (
    BLOCK,
    Canonicaliser,
    find_long_line,
    is_plain,
)
from smtplibaio.content.forms import (
    Content,
)
from smtplibaio.content.framing import stuff_dots
from smtplibaio.testing import SMTPServer

#: What an octet beyond ASCII raises without 8BITMIME.
NO_8BIT = SMTPCommandNotSupportedError(
    "8BITMIME", "the content has octets beyond ASCII"
)

# Canonical form


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", b".\r\n"),
        (b"\n", b"\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"..", b"...\r\n.\r\n"),
        (b".x", b"..x\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"x.", b"x.\r\n.\r\n"),
        (b"x\n.\n..\n.y\n", b"x\r\n..\r\n...\r\n..y\r\n.\r\n"),
        (b"x\r\n\r\n.\r\n", b"x\r\n\r\n..\r\n.\r\n"),
        ("é\n", b"\xc3\xa9\r\n.\r\n"),
    ],
)
def test_a_line_that_starts_with_a_dot_gets_another(
    message: bytes | str, expected: bytes
) -> None:
    """A10: wherever the line stands."""
    assert wire(message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(b"", b".\r\n", id="empty"),
        pytest.param(b"a", b"a\r\n.\r\n", id="no line end"),
        pytest.param(b"a\n", b"a\r\n.\r\n", id="LF"),
        pytest.param(b"a\r\n", b"a\r\n.\r\n", id="CRLF"),
        pytest.param(HEADER + b"a\r", HEADER + b"a\r\n.\r\n", id="CR"),
        pytest.param(HEADER + b"\r", HEADER + b"\r\n.\r\n", id="CR alone"),
        pytest.param(b".", b"..\r\n.\r\n", id="dot"),
    ],
)
def test_content_ends_in_one_crlf_and_one_dot(message: bytes, expected: bytes) -> None:
    """A15: whatever its last line ends in."""
    assert wire(message) == expected


#: Octets that one server or another has taken for the end of the content.
LOOK_ALIKES = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r.\n",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r\r\n.\r\n",
    b"\r\n.\r\r\n",
    b"\x85.\r\n",
]
SMUGGLED = b"MAIL FROM:<evil@x.example>\r\nRCPT TO:<victim@y.example>\r\nDATA\r\n"


@pytest.mark.parametrize("as_text", [False, True], ids=["bytes", "str"])
@pytest.mark.parametrize("look_alike", LOOK_ALIKES)
def test_nothing_in_a_body_looks_like_its_end(look_alike: bytes, as_text: bool) -> None:
    """A12, A13: neither a bare CR nor a bare LF leaves, and the dots are stuffed."""
    message = HEADER + b"a" + look_alike + SMUGGLED
    out = wire(message.decode("latin-1") if as_text else message)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", out)
    assert out.index(b"\r\n.\r\n") == len(out) - 5
    assert b"\n.." in out or b"\x85.\r\n" in out


@pytest.mark.parametrize(
    "message",
    [b"\r\n\0.\r\n", b"\0", HEADER + b"a\0", b"Sub\0ject: x\r\n\r\n"],
)
def test_a_nul_is_refused_by_its_offset(message: bytes) -> None:
    """A12, A14: the twelfth look-alike, and a NUL in the header block."""
    with pytest.raises(SMTPArgumentError, match="NUL") as caught:
        Content.of(message)
    assert caught.value.offset == message.index(b"\0")


async def test_every_look_alike_is_one_transaction_for_a_server() -> None:
    """A12: as aiosmtpd reads it."""
    messages = [HEADER + b"a" + octets + SMUGGLED for octets in LOOK_ALIKES]
    with SMTPServer() as server:
        async with SMTP(server.hostname, server.port) as smtp:
            for message in messages:
                await smtp.sendmail("a@x.example", "b@y.example", message)
    envelope = ("a@x.example", ["b@y.example"])
    mails = [(mail.sender, mail.recipients, mail.content) for mail in server.messages]
    assert mails == [(*envelope, canonical([m])) for m in messages]


# The header block


@pytest.mark.parametrize(
    ("message", "offset"),
    [
        (b"Subject: x\rBcc: evil@x", 10),
        (b"Subject: a\r\r\nTo: b\r\n", 10),
        (b"\r\r\n", 0),
        (b"\rSubject: x", 0),
        (b"Subject: x\r\nTo: b\r", 17),
        (b"Subject: x\n\rTo: b\n\nbody", 11),
        (b"Subject: x\nTo: b\rBcc: evil@x", 16),
        (b"Subject: x\r\n\r\r\nbody", 12),
        (b"\r", 0),
    ],
)
def test_a_bare_cr_makes_no_header_field(message: bytes, offset: int) -> None:
    """A14: in the header block it is an error that says where."""
    with pytest.raises(SMTPArgumentError, match="bare CR in its header") as caught:
        Content.of(message)
    assert caught.value.offset == offset
    assert f"octet {offset}" in str(caught.value)
    assert canonical(cut(message, range(len(message)))) == offset


@pytest.mark.parametrize("header", [b"", b"a: b\r\n", b"a: b\n", b"a: b\nc: d\r\n"])
@pytest.mark.parametrize("border", [b"\r\n", b"\n"])
def test_the_first_empty_line_ends_the_header_block(
    header: bytes, border: bytes
) -> None:
    """A13: behind it a bare CR is a line end."""
    message = header + border + b"a\r.\rb"
    expected = header.replace(b"\r", b"").replace(b"\n", b"\r\n")
    assert wire(message) == expected + b"\r\na\r\n..\r\nb\r\n.\r\n"
    assert canonical(cut(message, range(len(message)))) == canonical([message])


# Long lines

LINE_ENDS = [b"\r\n", b"\n", b"\r", b""]


@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize(
    "before",
    [b"", b"x\n", b"x\ry\n", b"x\r\n" * 400, b"x" * (BLOCK - 500) + b"\n"],
    ids=["first", "LF before", "CR before", "400 before", "across a block"],
)
@pytest.mark.parametrize("tail", [b"", b"z\n"], ids=["last", "not last"])
def test_a_line_has_998_octets_and_no_more(
    line_end: bytes, before: bytes, tail: bytes
) -> None:
    """A20: the CRLF does not count; the error names the line and where it starts."""
    before = b"\n" + before.replace(b"x" * 900, b"x" * 899 + b"\n")
    tail = tail if line_end else b""
    content = Content.of(before + b"y" * 998 + line_end + tail)
    assert b"\r\n" + b"y" * 998 + b"\r\n" in b"".join(content.wire())
    lines = before.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n")
    with pytest.raises(
        SMTPArgumentError,
        match=f"more than 998 octets, at octet {len(before)}, in line {lines + 1}$",
    ) as caught:
        Content.of(before + b"y" * 999 + line_end + tail)
    assert caught.value.offset == len(before)


@pytest.mark.parametrize("before", [b"", b"\r\n", b"a: b\r\n\r\n" * 300], ids=len)
@pytest.mark.parametrize("tail", [b"\r\n", b"\r\nz\r\n"])
def test_a_message_in_canonical_form_has_no_long_line_either(
    before: bytes, tail: bytes
) -> None:
    """A20: nothing has to be converted, and yet it is looked at."""
    message = before + b"y" * 998 + tail
    assert b"".join(Content.of(message).blocks()) == message
    with pytest.raises(SMTPArgumentError, match="more than 998 octets") as caught:
        Content.of(before + b"y" * 999 + tail)
    assert caught.value.offset == len(before)


@pytest.mark.parametrize("octets", [998, 999, 1000, 1001, 5000])
@pytest.mark.parametrize("line_end", LINE_ENDS)
@pytest.mark.parametrize("size", [1, 2, 997, 998, 999, 1000, 1001])
def test_a_line_is_as_long_in_pieces(octets: int, line_end: bytes, size: int) -> None:
    """A20: across chunk borders."""
    message = b"\nx\n" + b"y" * octets + line_end
    chunks = [message[i : i + size] for i in range(0, len(message), size)]
    long = 3
    short = b"\r\nx\r\n" + b"y" * octets + b"\r\n"
    assert canonical(chunks) == (short if octets <= 998 else long)


@pytest.mark.parametrize("shift", range(-3, 4))
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r", b"\r\n.", b"\n.", b"."])
def test_a_block_border_changes_nothing(shift: int, line_end: bytes) -> None:
    """A10: nor does what stands across it."""
    line = b"x" * 62 + b"\r\n"
    head = b"\r\n" + line * (BLOCK // 64)
    head = head[: BLOCK - 64] + b"y" * (64 + shift)
    message = head + line_end + b"." + b"\r\n" + line * 3
    content = Content.of(message)
    expected = canonical(cut(message, range(0, len(message), 1000)))
    assert unstuffed(b"".join(content.wire())) == expected
    assert isinstance(expected, bytes)
    assert content.size == len(expected)


@pytest.mark.parametrize("octets", [3, 4, BLOCK - 1, BLOCK])
@pytest.mark.parametrize("last", [b"\r\n", b"\n", b"\r", b"x"])
def test_what_fits_into_a_block_leaves_in_one(octets: int, last: bytes) -> None:
    """A15: with the line end it may lack, and the final dot: one write, one segment."""
    message = (b"\n" + (b"x" * 62 + b"\r\n") * (BLOCK // 64))[: octets - len(last)]
    assert len(list(Content.of(message + last).wire())) == 1


@pytest.mark.parametrize("octets", [BLOCK + 1, BLOCK + 2, 2 * BLOCK, 2 * BLOCK + 1])
@pytest.mark.parametrize("last", [b"\r\n", b"\n", b"\r", b"x"])
def test_the_final_dot_never_stands_alone_in_a_block(octets: int, last: bytes) -> None:
    """A15: nor are the blocks larger than they have to be."""
    message = (b"\n" + (b"x" * 62 + b"\r\n") * (octets // 64))[: octets - len(last)]
    blocks = list(Content.of(message + last).wire())
    assert len(blocks[-1]) > len(b".\r\n")
    assert len(blocks) == -(-octets // BLOCK)
    assert max(map(len, blocks)) < BLOCK + 10


# Any message, any cut


@unhurried
@given(MESSAGES, PLACES)
def test_cuts_change_neither_the_canonical_form_nor_the_fault(
    message: bytes, places: Sequence[int]
) -> None:
    """A20, A14: the same octets, or the same offset."""
    whole = canonical([message])
    assert canonical(cut(message, places)) == whole
    assert canonical(cut(message, range(len(message)))) == whole


@pytest.mark.parametrize(
    ("message", "offset"),
    [
        pytest.param(b"a\rb\0", 1, id="CR, NUL"),
        pytest.param(b"a\0b\rc", 1, id="NUL, CR"),
        pytest.param(b"x" * 1100 + b"\0", 0, id="long, NUL"),
        pytest.param(b"x" * 998 + b"\0", 998, id="not long, NUL"),
        pytest.param(b"x" * 999 + b"\0", 0, id="just long, NUL"),
        pytest.param(b"x" * 999 + b"\ry", 0, id="just long, CR"),
        pytest.param(b"x" * 998 + b"\ry" + b"x" * 999, 998, id="CR, long"),
    ],
)
def test_the_first_fault_counts(message: bytes, offset: int) -> None:
    """A14: a long line is one as soon as its 999th octet is there."""
    assert canonical([message]) == offset
    assert canonical(cut(message, range(len(message)))) == offset


@unhurried
@given(SOUND_MESSAGES, PLACES)
def test_the_wire_form_gives_the_canonical_form_back(
    message: bytes, places: Sequence[int]
) -> None:
    """A10, A12, A13: and has its end nowhere but at its end."""
    expected = canonical(cut(message, places))
    assert isinstance(expected, bytes)
    content = Content.of(message)
    out = b"".join(content.wire())
    assert unstuffed(out) == expected
    assert content.size == len(expected)
    assert (b"\r\n" + out).index(b"\r\n.\r\n") == len(out) - 3
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", out)
    assert content.is_8bit is not message.isascii()


@unhurried
@given(SOUND_MESSAGES, PLACES)
def test_dots_are_stuffed_wherever_the_cuts_are(
    message: bytes, places: Sequence[int]
) -> None:
    """A10: chunks of a canonical form may end between CR and LF."""
    whole = canonical([message])
    assert isinstance(whole, bytes)
    out = b""
    before = b"\n"
    for chunk in filter(None, cut(whole, places)):
        out += stuff_dots(chunk, at_line_start=before.endswith(b"\n"))
        before = chunk
    assert out == stuff_dots(whole, at_line_start=True)


# Octets beyond ASCII that cannot travel

SEVEN_BIT = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\xe9", b"\0", b"x" * 998]),
    max_size=8,
).map(b"".join)


@pytest.mark.parametrize("place", [0, 1, BLOCK, 10_000_000])
def test_an_octet_beyond_ascii_is_found_wherever_it_is(place: int) -> None:
    """A19: as it is about to be sent."""
    line = b"\r\n" + b"x" * 62
    canonicaliser = Canonicaliser(no_8bit=NO_8BIT)
    for _ in range(place // BLOCK):
        assert canonicaliser.feed(line * (BLOCK // 64))
    canonicaliser.feed(b"x" * (place % 64))
    with pytest.raises(SMTPCommandNotSupportedError, match="beyond ASCII") as caught:
        canonicaliser.feed(b"\xe9")
    assert caught.value.command == "8BITMIME"


def test_an_octet_beyond_ascii_may_travel_where_8bitmime_is_offered() -> None:
    """A19: which is what is assumed where nothing is said."""
    for canonicaliser in Canonicaliser(), Canonicaliser(no_8bit=None):
        assert canonicaliser.feed(b"a\n") == b"a\r\n"
        assert canonicaliser.feed(b"\xe9") == b"\xe9"
        assert canonicaliser.feed(b"\n") == b"\r\n"


def seven_bit(chunks: Iterable[bytes]) -> bytes | type[SMTPException]:
    canonicaliser = Canonicaliser(no_8bit=NO_8BIT)
    try:
        return b"".join([*map(canonicaliser.feed, chunks), canonicaliser.finish()])
    except SMTPException as exc:
        return type(exc)


@unhurried
@given(SEVEN_BIT, PLACES)
def test_the_first_of_all_faults_counts_wherever_the_cuts_are(
    message: bytes, places: Sequence[int]
) -> None:
    """A19: an octet beyond ASCII among them, where it cannot travel."""
    whole = seven_bit([message])
    assert seven_bit(cut(message, places)) == whole
    assert seven_bit(cut(message, range(len(message)))) == whole


# What needs no change


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a: b\r\n\r\nhi\r\n", True),
        (b"\r\n", True),
        (b"", False),
        (b"no line end", False),
        (b"a\nb\r\n", False),
        (b"a\rb\r\n", False),
        (b"\0\r\n", False),
        (b"x" * 998 + b"\r\n", True),
        (b"x" * 999 + b"\r\n", False),
    ],
)
def test_plain_is_what_is_sent_as_it_stands(octets: bytes, *, expected: bool) -> None:
    assert is_plain(octets) is expected


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a: b\r\n", b"\r\nhi\r\n"], False),
        ([b"a: b\r", b"\n\r\nhi\r\n"], False),
        ([b"a: b\r\n", b"\r\nhi\n"], True),
        ([b"\r\nhi\r\n", b"there\r"], True),
        ([b"\r\nhi"], True),
        ([], False),
    ],
)
def test_content_has_changed_where_a_line_end_was_put_right(
    chunks: list[bytes], *, expected: bool
) -> None:
    canonicaliser = Canonicaliser()
    out = b"".join(map(canonicaliser.feed, chunks)) + canonicaliser.finish()
    assert canonicaliser.has_changed is expected
    assert (out != b"".join(chunks)) is expected


@pytest.mark.parametrize(
    ("octets", "offset", "text"),
    [
        (b"a\r\n\r\n\0b\0", 5, "has a NUL, which SMTP cannot carry"),
        (b"a: \rb\r\n\r\n", 3, "has a bare CR in its header block"),
        (b"x" * 999 + b"\n\0", 0, "has a line of more than 998 octets"),
    ],
)
def test_a_fault_has_its_kind_and_the_offset_of_the_first(
    octets: bytes, offset: int, text: str
) -> None:
    with pytest.raises(SMTPArgumentError) as caught:
        Canonicaliser().feed(octets)
    assert str(caught.value) == f"the content {text}, at octet {offset}"
    assert caught.value.offset == offset


def test_an_empty_line_is_no_part_of_the_long_line_behind_it() -> None:
    assert find_long_line(b"\n" + b"x" * 999, line_end=b"\n") == 1
    assert find_long_line(b"\n" + b"x" * 998, line_end=b"\n") is None


def test_an_empty_line_behind_a_line_of_the_most_octets_ends_no_long_line() -> None:
    octets = b"x" * 998 + b"\n\n" + b"x" * 998
    assert find_long_line(octets, line_end=b"\n") is None
    assert find_long_line(octets + b"x", line_end=b"\n") == 1000

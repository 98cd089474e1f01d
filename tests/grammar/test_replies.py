"""The grammar of replies: what passes, what does not, and how much of it."""

from __future__ import annotations

import copy
import itertools
import operator
import pickle
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtplibaio.exceptions import SMTPProtocolError
from smtplibaio.grammar import replies as module
from smtplibaio.grammar.replies import (
    MAX_LINE,
    MAX_LINES,
    MAX_REPLY,
    USUAL_LINE,
    USUAL_LINES,
    EnhancedStatus,
    Reply,
    ReplyParser,
    as_verdict_on_rcpt,
    queue_id,
)

many = settings(deadline=None, max_examples=300)

#: What was read of a stream: the replies, then the error that ended it, if one did.
Result = tuple[list[Reply], str | None]


def read(pieces: Iterable[bytes]) -> Result:
    parser = ReplyParser()
    found = [reply for piece in pieces for reply in parser.feed(piece)]
    return found, None if parser.fault is None else str(parser.fault)


def cut(octets: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut octets into pieces of these sizes, over and over."""
    pieces = []
    for size in itertools.cycle(sizes):
        if not octets:
            return pieces
        pieces.append(octets[:size])
        octets = octets[size:]
    raise AssertionError("there are no sizes")


def octet_by_octet(octets: bytes) -> list[bytes]:
    return cut(octets, [1])


def read_both(octets: bytes) -> Result:
    """Read octets that come at once, and one by one: the result is the same."""
    result = read([octets])
    assert read(octet_by_octet(octets)) == result
    return result


# What is a reply


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"250 ok\r\n", [(250, "ok")], id="one-line"),
        pytest.param(
            b"250-a\r\n250-b\r\n250 c\r\n", [(250, "a\nb\nc")], id="three-lines"
        ),
        pytest.param(b"250 a\r\n550 b\r\n", [(250, "a"), (550, "b")], id="two"),
        pytest.param(b"250\r\n", [(250, "")], id="D02-no-text"),
        pytest.param(b"250 \r\n", [(250, "")], id="D02-a-space-and-no-text"),
        pytest.param(b"250-\r\n250\r\n", [(250, "\n")], id="D02-two-empty-lines"),
        pytest.param(b"250-\r\n250-\r\n250 \r\n", [(250, "\n\n")], id="D02-three"),
        pytest.param(b"250  ok \r\n", [(250, " ok ")], id="spaces-are-text"),
        pytest.param(b"250 -ok\r\n", [(250, "-ok")], id="hyphen-is-text"),
        pytest.param(b"200 a\r\n559 b\r\n", [(200, "a"), (559, "b")], id="D03-ends"),
        pytest.param(
            b"571 a\r\n471 b\r\n591 c\r\n",
            [(571, "a"), (471, "b"), (591, "c")],
            id="D03-what-Exchange-says",
        ),
        pytest.param(
            b"260 a\r\n599 b\r\n", [(260, "a"), (599, "b")], id="D03-any-digit"
        ),
        pytest.param(
            b"550-a\r\n554 b\r\n", [(554, "a\nb")], id="D01-the-last-code-counts"
        ),
        pytest.param(
            b"450-a\r\n451-b\r\n421 c\r\n", [(421, "a\nb\nc")], id="D01-three-codes"
        ),
        pytest.param(b"250-a\r\n251\r\n", [(251, "a\n")], id="D01-no-text"),
        pytest.param(b"250 ok\n", [(250, "ok")], id="D04-bare-LF"),
        pytest.param(b"250-a\n250 b\r\n", [(250, "a\nb")], id="D04-both-line-ends"),
        pytest.param(b"250 ok\r\r\n", [(250, "ok\r")], id="D04-CR-CR-LF"),
        pytest.param(b"250 a\rb\r\n", [(250, "a\rb")], id="D04-CR-is-text"),
        pytest.param(b"250 a\r250 b\r\n", [(250, "a\r250 b")], id="D04-no-new-line"),
        pytest.param(b"250 ok", [], id="D04-unfinished"),
        pytest.param(b"250 ok\r", [], id="D04-CR-ends-nothing"),
        pytest.param(b"250-a\r\n250", [], id="unfinished-line-of-several"),
    ],
)
def test_a_reply_is_lines_of_one_code(
    octets: bytes, expected: list[tuple[int, str]]
) -> None:
    assert read_both(octets) == (expected, None)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"250ok", id="D03-no-separator"),
        pytest.param(b"2500 x", id="D03-four-digits"),
        pytest.param(b"250250 x", id="D03-two-codes"),
        pytest.param(b"25 x", id="D03-two-digits"),
        pytest.param(b"25", id="D03-two-digits-alone"),
        pytest.param(b"2", id="D03-one-digit"),
        pytest.param(b"+25 x", id="D03-plus"),
        pytest.param(b"-12 x", id="D03-minus"),
        pytest.param(b"2_5 x", id="D03-underscore"),
        pytest.param(b" 25 x", id="D03-leading-space"),
        pytest.param(b" 250 x", id="D03-indented"),
        pytest.param(b"25 0 x", id="D03-inner-space"),
        pytest.param("\u0662\u0665\u0660 x".encode(), id="D03-arabic-digits"),
        pytest.param("\uff12\uff15\uff10 x".encode(), id="D03-full-width-digits"),
        pytest.param(b"000 x", id="D03-000"),
        pytest.param(b"099 x", id="D03-099"),
        pytest.param(b"100 x", id="D03-1yz"),
        pytest.param(b"199 x", id="D03-199"),
        pytest.param(b"600 x", id="D03-6yz"),
        pytest.param(b"999 x", id="D03-999"),
        pytest.param(b"250\tx", id="D03-tab"),
        pytest.param(b"250\x00x", id="D03-NUL"),
        pytest.param(b"\xff\xfe250 x", id="D03-byte-order-mark"),
        pytest.param(b"250\r", id="D04-CR-behind-the-code"),
        pytest.param(b"HTTP/1.1 400 Bad Request", id="another-protocol"),
        pytest.param(b"5z1 x", id="D03-a-letter"),
        pytest.param(b" ", id="D10-a-space"),
        pytest.param(b"\r\r", id="D10-CRs"),
    ],
)
def test_any_other_line_is_an_error(line: bytes) -> None:
    """D03: the replies before it are given, and no other ever is."""
    # A CR before a LF is part of the line end.
    ends = [b"\r\n"] if line.endswith(b"\r") else [b"\r\n", b"\n"]
    for end in ends:
        wrong = line + end + b"250 ok\r\n"
        for before, replies in ((b"", []), (b"220 hi\r\n", [(220, "hi")])):
            found, error = read_both(before + wrong)
            assert found == replies
            assert str(error).startswith("not an SMTP reply: ")
        found, error = read_both(b"250-a\r\n" + wrong)
        assert found == []
        assert error is not None


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"250-a\r\n550 b\r\n", id="D01-2yz-5yz"),
        pytest.param(b"550-a\r\n250 b\r\n", id="D01-5yz-2yz"),
        pytest.param(b"354-a\r\n250 b\r\n", id="D01-354-250"),
        pytest.param(b"450-a\r\n550 b\r\n", id="D01-4yz-5yz"),
        pytest.param(b"250-a\r\n251-b\r\n550-c\r\n550 d\r\n", id="D01-third-line"),
        pytest.param(b"250-a\r\n550\r\n", id="D01-no-text"),
    ],
)
def test_the_first_digit_may_not_change_within_a_reply(octets: bytes) -> None:
    found, error = read_both(b"220 hi\r\n" + octets)
    assert found == [(220, "hi")]
    assert error is not None
    assert error.startswith("a reply whose code changes from ")


def test_an_error_quotes_the_line_without_its_control_characters() -> None:
    """D05: text of the server's cannot move a terminal's cursor."""
    found, error = read([b"\x1b[2J\x00\xff\xc3\xa9\xe2\x80\xae" + b"x" * 60 + b"\r\n"])
    assert found == []
    assert error is not None
    assert error.isprintable()
    assert error.startswith('not an SMTP reply: "\\x1b[2J\\x00\\xffé\\u202exxx')
    assert error.endswith('x"...')


def test_an_error_quotes_sixty_octets_at_most() -> None:
    line = b"".join(b"%d," % number for number in range(40))
    _, error = read([line[:60] + b"\r\n"])
    assert error == f'not an SMTP reply: "{line[:60].decode()}"'
    _, error = read([line[:61] + b"\r\n"])
    assert error == f'not an SMTP reply: "{line[:60].decode()}"...'


# Text


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        pytest.param("größer".encode(), "größer", id="D05-UTF-8"),
        pytest.param("🦉".encode(), "🦉", id="D05-four-octets"),
        pytest.param(b"gr\xf6\xdfer", "gr\udcf6\udcdfer", id="D05-Latin-1"),
        pytest.param(b"\xc3", "\udcc3", id="D05-half-a-character"),
        pytest.param(b"\xed\xa0\x80", "\udced\udca0\udc80", id="D05-a-surrogate"),
        pytest.param(b"\xc0\xae", "\udcc0\udcae", id="D05-overlong"),
        pytest.param(b"a\x00b", "a\x00b", id="D05-NUL"),
        pytest.param(b"\x1b[2J", "\x1b[2J", id="D05-ESC"),
        pytest.param(b"a\x85b\x0b\x0c\x1c", "a\udc85b\x0b\x0c\x1c", id="D05-no-line"),
        pytest.param("a\u2028b".encode(), "a\u2028b", id="D05-U+2028"),
    ],
)
def test_text_is_utf_8_and_any_other_octet_is_kept(octets: bytes, text: str) -> None:
    stream = b"550-" + octets + b"\r\n550 " + octets + b"\r\n550 " + octets + b"\r\n"
    found, error = read_both(stream)
    assert (found, error) == ([(550, f"{text}\n{text}"), (550, text)], None)
    assert found[0].lines == [text, text]
    assert found[1].message.encode("utf-8", "surrogateescape") == octets


def test_half_characters_of_two_lines_do_not_make_one() -> None:
    """D05: the line end stands between them."""
    assert read([b"250-\xc3\r\n250 \xa9\r\n"]) == ([(250, "\udcc3\n\udca9")], None)


# Whatever the cuts

CORPUS = (
    b"220 mx.example ESMTP\r\n"
    b"250-mx.example gr\xc3\xbc\xc3\x9ft\r\n250-SIZE 1000\n250-\r\n250 PIPELINING\r\n"
    b"250\r\n250 \n354 go\r\r\n550-5.1.1 no\r\n550 5.1.1 \xff\r\n421 bye"
)


def test_every_cut_of_a_dialogue_gives_the_same_replies() -> None:
    """D09: every single cut, and every two."""
    expected = read([CORPUS])
    assert [reply.code for reply in expected[0]] == [220, 250, 250, 250, 354, 550]
    places = range(len(CORPUS) + 1)
    for a, b in itertools.combinations_with_replacement(places, 2):
        assert read([CORPUS[:a], CORPUS[a:b], CORPUS[b:]]) == expected, (a, b)


def without_lf(text: bytes) -> bytes:
    return text.replace(b"\n", b"")


codes = st.sampled_from([b"200", b"220", b"250", b"354", b"421", b"550", b"559"])
texts = st.binary(max_size=40).map(without_lf) | st.text(max_size=20).map(
    lambda text: without_lf(text.encode("utf-8", "surrogatepass"))
)
sizes = st.lists(st.integers(1, 60), min_size=1, max_size=8)


@st.composite
def rendered(draw: st.DrawFn) -> tuple[bytes, Reply]:
    """Draw a reply and one of the ways to write it."""
    code = draw(codes)
    lines = draw(st.lists(texts, min_size=1, max_size=4))
    octets = b""
    for number, text in enumerate(lines, 1):
        separator = b" " if number == len(lines) else b"-"
        if separator == b" " and not text and draw(st.booleans()):
            separator = b""
        # A CR before a bare LF would be part of the line end.
        needs_cr = text.endswith(b"\r") or draw(st.booleans())
        octets += code + separator + text + (b"\r\n" if needs_cr else b"\n")
    message = b"\n".join(lines).decode("utf-8", "surrogateescape")
    return octets, Reply(int(code), message)


@settings(many, max_examples=150)
@given(st.lists(rendered(), max_size=4), sizes)
def test_any_replies_cut_anywhere_come_out_as_they_were(
    stream: list[tuple[bytes, Reply]], sizes: list[int]
) -> None:
    """D09: the replies, all of them, and nothing left over."""
    parser = ReplyParser()
    found = []
    for piece in cut(b"".join(octets for octets, _ in stream), sizes):
        found += parser.feed(piece)
    assert found == [reply for _, reply in stream]
    assert parser.is_empty


garbage = st.lists(
    st.binary(max_size=12)
    | st.sampled_from(
        [b"250 ok\r\n", b"250-a\r\n", b"250", b"550 ", b"-", b"\r\n", b"\n", b"\r"]
    ),
    max_size=30,
).map(b"".join)


@many
@given(garbage, sizes)
def test_garbage_gives_replies_or_a_protocol_error_whatever_the_cuts(
    octets: bytes, sizes: list[int]
) -> None:
    """D09: any other exception would come out of `read`."""
    assert read(cut(octets, sizes)) == read([octets])


@many
@given(garbage, sizes)
@example(b"250 3456789012345\n", [17])
@example(b"250-\n" * 4 + b"250 \n", [1])
def test_the_bounds_do_not_depend_on_the_cuts(octets: bytes, sizes: list[int]) -> None:
    """D09: with bounds so low that garbage often runs into them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_LINE", 17)
        patch.setattr(module, "MAX_REPLY", 24)
        patch.setattr(module, "MAX_LINES", 4)
        patch.setattr(module, "_known", {})
        assert read(cut(octets, sizes)) == read([octets])


# Bounds


@pytest.mark.parametrize("end", [b"\r\n", b"\n"], ids=["CRLF", "LF"])
def test_a_line_has_a_bound(end: bytes) -> None:
    """D08: the longest line passes, and one octet more does not."""
    text = "x" * (MAX_LINE - len(b"250 " + end))
    assert read_both(b"250 " + text.encode() + end) == ([(250, text)], None)
    found, error = read_both(b"220 hi\r\n250 x" + text.encode() + end)
    assert found == [(220, "hi")]
    assert error == f"a reply line of more than {MAX_LINE} octets"


def test_a_line_is_given_up_where_its_end_would_be_one_octet_too_much() -> None:
    """D08: no more is held than a line may have."""
    parser = ReplyParser()
    assert parser.feed(b"250 " + b"x" * (MAX_LINE - 5)) == []
    assert parser.fault is None
    assert parser.feed(b"x") == []
    assert str(parser.fault) == f"a reply line of more than {MAX_LINE} octets"


def test_a_reply_has_a_bound_in_octets() -> None:
    """D06: the longest reply passes, and one octet more does not."""
    start = (b"250-" + b"x" * 4092 + b"\r\n") * 15
    last = b"y" * (MAX_REPLY - 15 * 4096 - 4)
    (reply,), error = read_both(start + b"250 " + last + b"\r\n")
    assert error is None
    assert len(reply.message) == MAX_REPLY - 16 * 4 + 15
    found, error = read_both(start + b"250 y" + last + b"\r\n")
    assert found == []
    assert error == f"a reply of more than {MAX_REPLY} octets or {MAX_LINES} lines"


def test_a_reply_has_a_bound_in_lines() -> None:
    """D06: the most lines pass, and one more does not."""
    start = b"250-\r\n" * (MAX_LINES - 1)
    assert read_both(start + b"250 \r\n") == (
        [(250, "\n" * (MAX_LINES - 1))],
        None,
    )
    found, error = read_both(start + b"250-\r\n250 \r\n")
    assert found == []
    assert error == f"a reply of more than {MAX_REPLY} octets or {MAX_LINES} lines"


def test_the_bounds_are_for_each_reply_anew() -> None:
    """D06: what has come out does not count."""
    line = b"250-" + b"x" * 7000 + b"\r\n"
    found, error = read([(line * 8 + b"250 ok\r\n") * 20])
    assert (len(found), error) == (20, None)
    found, error = read([(b"250-\r\n" * 1000 + b"250 ok\r\n") * 3])
    assert (len(found), error) == (3, None)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"250-\r\n" * 682, id="D06-short-lines"),
        pytest.param(b"250-" + b"x" * 4090 + b"\r\n", id="D06-long-lines"),
        pytest.param(b"x" * 4096, id="D08-no-line-end"),
        pytest.param(b"250 ok\r" * 585, id="D04-a-server-that-ends-lines-with-CR"),
        pytest.param(b"\x00" * 4096, id="D08-zeros"),
    ],
)
def test_what_never_ends_is_given_up_with_little_memory_used(block: bytes) -> None:
    parser = ReplyParser()

    tracemalloc.start()
    try:
        for octets in itertools.repeat(block, 4096):
            assert parser.feed(octets) == []
        assert "more than" in str(parser.fault)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 512 * 1024


def test_replies_that_have_come_out_are_forgotten() -> None:
    """D06: a long session needs no more memory than a short one."""
    parser = ReplyParser()
    block = b"250-a\r\n250 b\r\n" * 292
    tracemalloc.start()
    try:
        for _ in range(25):
            parser.feed(block)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 64 * 1024


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"250-\r\n" * (MAX_LINES + 1), id="D07-lines"),
        pytest.param((b"250-" + b"x" * 8000 + b"\r\n") * 9, id="D07-octets"),
        pytest.param(b"250 " + b"x" * MAX_LINE, id="D07-line"),
    ],
)
def test_beyond_a_bound_no_reply_comes_any_more(octets: bytes) -> None:
    """D07: the tail of what was too long is not taken for a reply."""
    parser = ReplyParser()
    assert parser.feed(octets) == []
    fault = parser.fault
    assert isinstance(fault, SMTPProtocolError)
    for more in (b"250 tail\r\n", b"\r\n", b"250 ok\r\n"):
        assert parser.feed(more) == []
        assert parser.fault is fault


class CountingBuffer(bytearray):
    """Count the octets that are looked at for a line end, when they are taken out."""

    looked_at = 0

    def __bytes__(self) -> bytes:
        self.looked_at += len(self)
        return b"".join((self,))


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"250 " + b"x" * 8000 + b"\r\n", id="D08-one-line"),
        pytest.param((b"250-" + b"x" * 500 + b"\r\n") * 40, id="D08-many-lines"),
        pytest.param(b"250 ok\r\n" * 500, id="D08-many-replies"),
        pytest.param(b"x" * MAX_LINE, id="D08-no-line-end"),
    ],
)
def test_every_octet_is_looked_at_once_however_slowly_it_comes(octets: bytes) -> None:
    parser = ReplyParser()
    parser._rest = buffer = CountingBuffer()
    for piece in octet_by_octet(octets):
        parser.feed(piece)
    assert buffer.looked_at + octets.count(b"\n") + len(buffer) == len(octets)


# Asking the parser, and the reply


@pytest.mark.parametrize(
    ("octets", "has_partial", "is_empty"),
    [
        (b"", False, True),
        (b"2", True, False),
        (b"250", True, False),
        (b"250 ok\r\n", False, True),
        (b"250-a\r\n", True, False),  # a line is whole, the reply is not
        (b"250-a\r\n\r", True, False),
        (b"250-a\r\n250 b\r\n", False, True),
        (b"250 ok\r\n25", True, False),
        (b"250 ok\r\n\r\n", False, False),  # an empty line is no part of a reply
        (b"250 ok\r\n\r", False, False),
        (b"\r\n250 ok\r\n", False, True),
    ],
)
def test_the_parser_tells_what_stands_behind_the_last_reply(
    octets: bytes, has_partial: bool, is_empty: bool
) -> None:
    for pieces in ([octets], octet_by_octet(octets)):
        parser = ReplyParser()
        for piece in pieces:
            parser.feed(piece)
        assert (parser.has_partial, parser.is_empty) == (has_partial, is_empty)


def test_the_replies_before_a_fault_are_given() -> None:
    """H01: a refusal is not lost because of what the server says behind it."""
    parser = ReplyParser()
    assert parser.feed(b"250 a\r\n550 b\r\ngarbage\r\n250 c\r\n") == [
        (250, "a"),
        (550, "b"),
    ]
    assert str(parser.fault) == 'not an SMTP reply: "garbage"'
    assert parser.fault is not None
    assert parser.fault.__traceback__ is None  # H13


def is_remembered(line: bytes) -> bool:
    """Return whether two replies of this line are one object."""
    (first, second), _ = read([line + b"\n" + line + b"\n"])
    return first is second


@pytest.mark.parametrize(
    ("octets", "expected"), [(USUAL_LINE, True), (USUAL_LINE + 1, False)]
)
def test_a_reply_of_one_usual_line_is_read_once(
    octets: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_known", {})
    assert is_remembered(b"250 ok".ljust(octets, b"x")) is expected


def test_no_more_lines_are_remembered_than_are_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The most lines are all remembered; with one more they are all forgotten."""
    monkeypatch.setattr(module, "_known", {})
    lines = [b"250 queued as %d\r\n" % number for number in range(USUAL_LINES + 1)]
    found, _ = read(lines[:-1])
    again, _ = read(lines[:-1])
    assert all(map(operator.is_, found, again))
    read(lines[-1:])
    assert len(module._known) == 1


# Empty lines


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"\r\n250 ok\r\n", [(250, "ok")], id="before"),
        pytest.param(b"\n\r\n\n250 ok\r\n", [(250, "ok")], id="several"),
        pytest.param(b"250 a\r\n\r\n250 b\r\n", [(250, "a"), (250, "b")], id="between"),
        pytest.param(
            b"250 a\r\n\r\n250-b\r\n250 c\r\n\r\n250 a\r\n",
            [(250, "a"), (250, "b\nc"), (250, "a")],
            id="around one of several lines",
        ),
    ],
)
def test_empty_lines_between_replies_are_passed_over(
    octets: bytes, expected: list[tuple[int, str]]
) -> None:
    """S160: servers behind a gateway say them."""
    assert read_both(octets) == (expected, None)


@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b" \r\n", b"\r\r\n"])
def test_no_line_within_a_reply_is_empty(blank: bytes) -> None:
    """D10: and a line of blanks or CRs is not an empty one."""
    found, error = read_both(b"250-a\r\n" + blank + b"250 b\r\n")
    assert found == []
    assert str(error).startswith("not an SMTP reply: ")


def test_empty_lines_count_for_the_reply_behind_them() -> None:
    """D06: a server that says nothing else is given up."""
    too_many = f"a reply of more than {MAX_REPLY} octets or {MAX_LINES} lines"
    for reply in (b"250 ok\r\n", b"250-\r\n250 ok\r\n"):
        most = MAX_LINES - reply.count(b"\n")
        found, error = read_both((b"\r\n" * most + reply) * 3)
        assert (len(found), error) == (3, None)
        assert read_both(b"\r\n" * (most + 1) + reply) == ([], too_many)
    assert read_both(b"\n" * (MAX_LINES + 1)) == ([], too_many)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_the_parser_takes_octets_of_any_kind(kind: type) -> None:
    parser = ReplyParser()
    octets = bytearray(b"250 ok\r\n")
    assert parser.feed(kind(octets)) == [(250, "ok")]
    octets[4:6] = b"no"
    unfinished = kind(octets[:6])
    assert parser.feed(unfinished) == []
    octets[:] = bytes(8)  # the transport's buffer is used again
    assert parser.feed(b"\r\n") == [(250, "no")]


@pytest.mark.parametrize(
    ("code", "positive", "transient", "permanent"),
    [
        (200, True, False, False),
        (250, True, False, False),
        (354, True, False, False),
        (399, True, False, False),
        (400, False, True, False),
        (499, False, True, False),
        (500, False, False, True),
        (599, False, False, True),
    ],
)
def test_a_reply_tells_its_class(
    code: int, positive: bool, transient: bool, permanent: bool
) -> None:
    reply = Reply(code, "text")
    assert (reply.is_positive, reply.is_transient, reply.is_permanent) == (
        positive,
        transient,
        permanent,
    )


def test_a_reply_is_a_pair() -> None:
    code, message = reply = Reply(250, "a\nb")
    assert reply == (250, "a\nb") == (code, message)
    assert reply.lines == ["a", "b"]


@pytest.mark.parametrize(
    ("code", "message", "shown"),
    [
        (550, "5.1.1 no such user", "5.1.1"),
        (550, "5.1.1", "5.1.1"),
        (550, "5.1.1\n5.1.1 second line", "5.1.1"),
        (450, "4.7.999 greylisted", "4.7.999"),
        (250, "2.0.0 ok", "2.0.0"),
        (550, "4.1.1 of another class", None),
        (354, "3.0.0 there is no such class", None),
        (550, "5.1.1000 too long", None),
        (550, "5.1 too short", None),
        (550, "5.1.1.1 an address", None),
        (550, "5.1.1: a colon", None),
        (550, " 5.1.1 indented", None),
        (550, "no 5.1.1 in front", None),
        (550, "\u0665.1.1 arabic", None),
        (550, "5.1.1\u00a0no ASCII space", None),
        (250, "", None),
    ],
)
def test_the_enhanced_status_is_at_the_start_of_the_text(
    code: int, message: str, shown: str | None
) -> None:
    status = Reply(code, message).enhanced
    assert (None if status is None else str(status)) == shown


def test_an_enhanced_status_is_three_numbers() -> None:
    assert Reply(550, "5.07.001 x").enhanced == EnhancedStatus(5, 7, 1) == (5, 7, 1)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        pytest.param("2.0.0 Ok: queued as 4F2A0123B4", "4F2A0123B4", id="Postfix"),
        pytest.param("2.0.0 Ok: queued as 3zXyZ1bcDFz9", "3zXyZ1bcDFz9", id="its long"),
        pytest.param(
            "2.0.0 from MTA(smtp:[127.0.0.1]:10025): 250 2.0.0 Ok: queued as 4F2A01",
            "4F2A01",
            id="Postfix behind amavis",
        ),
        pytest.param(
            "OK id=1rAbCd-0001aB-Cd", "1rAbCd-0001aB-Cd", id="Exim before 4.97"
        ),
        pytest.param(
            "OK id=1rAbCd-000000001aB-2Cd3", "1rAbCd-000000001aB-2Cd3", id="Exim"
        ),
        pytest.param(
            "2.0.0 3AM1Bc2d012345 Message accepted for delivery",
            "3AM1Bc2d012345",
            id="Sendmail",
        ),
        pytest.param(
            "3AM1Bc2d012345 Message accepted for delivery",
            "3AM1Bc2d012345",
            id="Sendmail without a status",
        ),
        pytest.param(
            "2.0.0 1a2b3c4d Message accepted for delivery", "1a2b3c4d", id="OpenSMTPD"
        ),
        pytest.param(
            "2.0.0: 1a2b3c4d Message accepted for delivery",
            "1a2b3c4d",
            id="OpenSMTPD before 6",
        ),
        pytest.param(
            "2.6.0 <x@y.example> [InternalId=38002457542915, Hostname=MX.y.example] "
            "8325 bytes in 0.141, 57.527 KB/sec Queued mail for delivery",
            "38002457542915",
            id="Exchange",
        ),
        pytest.param(
            "2.6.0 <x@y.example> [InternalId=17] Queued mail for delivery",
            "17",
            id="Exchange 2010",
        ),
        pytest.param(
            "2.0.0 OK  1700000000 a1-20020a17sm1234567wrn.12 - gsmtp",
            "a1-20020a17sm1234567wrn.12",
            id="Gmail",
        ),
        pytest.param("2.0.0 first\nOk: queued as 4F2A01", "4F2A01", id="second line"),
        pytest.param(
            "2.0.0\n1a2b3c4d Message accepted for delivery", "1a2b3c4d", id="its start"
        ),
        pytest.param("2.0.0 Message accepted for delivery", None, id="no name"),
        pytest.param("2.0.0 Your Message accepted for delivery", None, id="a word"),
        pytest.param("ok 1700000000 qp 12345", None, id="another server"),
        pytest.param("queued as \u0664\u0662", None, id="not ASCII"),
        pytest.param("queued as 4F2A01\u5b8c", "4F2A01", id="text of another script"),
        pytest.param("unqueued as 4F2A01", None, id="another word"),
        pytest.param("queued as ", None, id="nothing"),
        pytest.param("ok", None, id="ok"),
        pytest.param("", None, id="no text"),
    ],
)
def test_the_final_reply_may_tell_what_the_server_calls_the_mail(
    message: str, name: str | None
) -> None:
    assert queue_id(Reply(250, message)) == name


# 552 to RCPT


@pytest.mark.parametrize(
    ("reply", "is_transient"),
    [
        (Reply(552, "too many recipients"), True),
        (Reply(552, "5.5.3 Maximum limit of 1 recipients reached"), True),
        (Reply(552, "5.3.1 mail system full"), True),
        (Reply(552, "5.2.2 mailbox full"), False),
        (Reply(552, "5.2.3 message too long for the mailbox"), False),
        (Reply(552, "5.3.4 message too big for system"), False),
        (Reply(452, "4.5.3 too many recipients"), True),
        (Reply(550, "5.1.1 no such user"), False),
    ],
)
def test_too_many_recipients_is_a_refusal_for_now(
    reply: Reply, is_transient: bool
) -> None:
    """RFC 5321 4.5.3.1.10: unless it is the mailbox or the size that is at fault."""
    verdict = as_verdict_on_rcpt(reply)
    assert verdict.is_transient is is_transient
    assert verdict.is_permanent is not is_transient
    assert not verdict.is_positive


def test_a_verdict_is_the_tuple_that_the_reply_is() -> None:
    reply = Reply(552, "5.5.3 too many")
    verdict = as_verdict_on_rcpt(reply)
    assert isinstance(verdict, Reply)
    assert verdict == reply == (552, "5.5.3 too many")
    assert hash(verdict) == hash(reply)
    assert repr(verdict) == repr(reply)
    for other in (copy.copy(verdict), pickle.loads(pickle.dumps(verdict))):
        assert other == reply
        assert other.is_transient
    assert verdict._replace(message="5.5.3 so many").is_transient

"""Where the messages of an mbox stand."""

from __future__ import annotations

from io import BytesIO

import pytest

from smtplibaio.cli.mbox import begins_like_mbox, parts_of, read_part

MARK = b"From a@x.example Thu Jan  1 00:00:00 2026\n"


def messages(octets: bytes) -> list[bytes]:
    file = BytesIO(octets)
    return [read_part(file, part) for part in parts_of(file)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_messages_are_cut_at_from_lines_behind_empty_lines(end: bytes) -> None:
    mbox = b"".join([MARK, b"Subject: 1\n\none\n\n", MARK, b"Subject: 2\n\ntwo\n\n"])
    wanted = [b"Subject: 1\n\none\n", b"Subject: 2\n\ntwo\n"]
    assert messages(mbox.replace(b"\n", end)) == [
        message.replace(b"\n", end) for message in wanted
    ]


def test_a_from_line_in_a_paragraph_is_text() -> None:
    mbox = MARK + b"Subject: 1\n\nhe came\nFrom afar\n\n"
    assert messages(mbox) == [b"Subject: 1\n\nhe came\nFrom afar\n"]


def test_only_the_empty_line_that_separates_is_dropped() -> None:
    assert messages(MARK + b"a: b\n\ntext\n\n\n" + MARK + b"c: d\n\nx") == [
        b"a: b\n\ntext\n\n",
        b"c: d\n\nx",
    ]


def test_quoted_from_lines_lose_one_quote() -> None:
    mbox = MARK + b"a: b\n\n>From me\n>>From you\n> From us\n\n"
    assert messages(mbox) == [b"a: b\n\nFrom me\n>From you\n> From us\n"]


@pytest.mark.parametrize("octets", [b"", b"Subject: x\n\nhi\n"])
def test_a_file_without_a_from_line_has_no_messages(octets: bytes) -> None:
    assert messages(octets) == []
    assert not begins_like_mbox(octets)


def test_a_message_may_be_empty() -> None:
    assert messages(MARK) == [b""]
    assert messages(MARK + b"\n" + MARK + b"\n") == [b"", b""]
    assert begins_like_mbox(MARK)

"""Messages of all kinds, ways to cut them, and what a server makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st

from smtplibaio import (
    SMTPArgumentError,
)
from smtplibaio.content.canonical import Canonicaliser
from smtplibaio.content.forms import (
    Content,
)

HEADER = b"Subject: x\r\n\r\n"

#: What decides: line ends, dots, faults, octets beyond ASCII; and long lines in parts.
MESSAGES = st.lists(
    st.sampled_from(
        (b"\r\n", b"\r", b"\n", b".", b"a: b\r\n", HEADER, b"\xe9", b"\0", b"x" * 998)
    ),
    max_size=8,
).map(b"".join)

#: The same without what is a fault wherever it stands.
SOUND_MESSAGES = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\xe9", b"\n" + b"x" * 970]),
    max_size=24,
).map(lambda parts: HEADER + b"".join(parts))

PLACES = st.lists(st.integers(0, 5000), max_size=12)

#: The machine's pauses are nobody's fault.
unhurried = settings(deadline=None)


def cut(message: bytes, places: Iterable[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(message) + 1) for place in places), len(message)]
    return [message[a:b] for a, b in pairwise(borders)]


def canonical(chunks: Iterable[bytes]) -> bytes | int | None:
    """Give the canonical form, or the offset of the fault."""
    canonicaliser = Canonicaliser()
    try:
        return b"".join([*map(canonicaliser.feed, chunks), canonicaliser.finish()])
    except SMTPArgumentError as exc:
        return exc.offset


def wire(message: bytes | str) -> bytes:
    return b"".join(Content.of(message).wire())


def unstuffed(octets: bytes) -> bytes:
    """Read the wire form as RFC 5321 4.5.2 has the receiver do it."""
    content = octets.removesuffix(b".\r\n")
    lines = content.split(b"\r\n")
    return b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)

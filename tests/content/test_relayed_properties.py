"""A message that was read leaves with its fields: as they were, if they can travel.

What cannot travel as it is says the same to a reader that shares no code with us.
"""

from __future__ import annotations

import email
import re
from email import policy
from email.errors import ObsoleteHeaderDefect
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from mails import POLICIES
from servers_and_policies import SERVERS, in_ascii, one_space, sent

NAMES = st.sampled_from(
    [
        *("Subject", "Comments", "X-Note", "x-note", "Date", "Received"),
        *("From", "To", "Reply-To", "Resent-To", "Message-ID", "References"),
        *("List-Id", "List-Unsubscribe", "Content-Description", "Keywords"),
    ]
)
PIECES = st.sampled_from(
    [
        *(
            b"word",
            b"a@x.example",
            b"<a@x.example>",
            b"x" * 300,
            b" =?utf-8?q?=C3=BC?= ",
        ),
        *(b" ", b"  ", b" ", b"\t", b"\n ", b"\r\n\t", b" ", b",", b", ", b";", b":"),
        *(
            b'"',
            b"(",
            b")",
            b"<",
            b">",
            b"@",
            b".",
            b"\\",
            b"=?",
            b"?=",
            b" =?x?q?y?= ",
        ),
        *(
            "ü".encode(),
            "日本".encode(),
            b"\xfc",
            b"a\x0bb",
            b"a\x85b",
            b"\x01",
            b"\x7f",
        ),
        b" =?iso-8859-1?b?/A==?= ",
    ]
)
VALUES = (
    st.lists(PIECES, max_size=12)
    .map(b"".join)
    .filter(
        # a line without a word is not for all readers, and what ends in blanks is cut
        lambda value: all(line.strip(b" \t") for line in re.split(rb"\r?\n", value))
    )
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)


def lenient(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("iso-8859-1")


def said(value: bytes) -> str:
    """Read text as the standard library does."""
    unfolded = lenient(re.sub(rb"\r?\n(?=[ \t])", b"", value))
    return one_space(str(policy.default.header_factory("Subject", unfolded)))


def mailboxes(value: bytes) -> list[tuple[str, str, str]] | None:
    """Read addresses as the standard library does; None where it cannot, or crashes."""
    unfolded = lenient(re.sub(rb"\r?\n(?=[ \t])", b"", value))
    try:
        field: Any = policy.default.header_factory("To", unfolded)
    except Exception:
        return None
    if any(not isinstance(defect, ObsoleteHeaderDefect) for defect in field.defects):
        return None
    return [
        (
            "".join(address.display_name.split()),
            address.username,
            in_ascii(address.domain),
        )
        for address in field.addresses
    ]


def can_travel(value: bytes) -> bool:
    lines = re.split(rb"\r?\n", b"Content-Description: " + value)
    return re.fullmatch(rb"[\t\r\n -~]*", value) is not None and (
        max(map(len, lines)) <= 998
    )


@settings(deadline=None)
@given(
    fields=FIELDS,
    policy_=st.sampled_from([*POLICIES.values()]),
    server=st.sampled_from(SERVERS),
)
def test_a_field_that_was_read_leaves_as_it_was_or_says_the_same(
    fields: list[tuple[str, bytes]], policy_: Any, server: dict[str, Any]
) -> None:
    """G01, G03, G04, G05, G06, G08."""
    octets = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in fields)
    message = email.message_from_bytes(octets + b"\r\nhi\r\n", policy=policy_)
    arrived = sent(message, server)
    if arrived is None:
        return
    head = b"\r\n" + arrived.partition(b"\r\n\r\n")[0]
    found = re.split(rb"\r\n([!-9;-~]+):", head)[1:]
    assert [name.decode() for name in found[::2]] == [name for name, _ in fields]
    for (name, value), written in zip(fields, found[1::2], strict=True):
        if can_travel(value):
            canonical = re.sub(rb"\r?\n", b"\r\n", value)
            assert written.lstrip(b" \t") == canonical.lstrip(b" \t")
        elif name in ("Subject", "Comments", "X-Note", "Content-Description"):
            assert said(written) == said(value)
        elif name in ("From", "To", "Reply-To", "Resent-To"):
            assert mailboxes(value) in (None, mailboxes(written))

"""Whatever tree of parts is built, of either kind of message, two readers find it.

One reader is the parser of the standard library, the other one is `fast-mail-parser`,
which shares no code with it.
"""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

from fast_mail_parser import parse_email_tree
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from servers_and_policies import POLICIES, SERVERS, one_space, sent

CHARACTERS = st.sampled_from([*"ab =.-\n\r\t\x0b\x0c\x85", "ä", "€", "\u2028", "😊"])
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=40),
    st.sampled_from(
        [
            "",
            "From x\n.\n..\n",
            "x" * 2000,
            "é" * 900,
            "trailing \t\n\n\n",
            "--a\n--a--",
        ]
    ),
)
NAMES = st.none() | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]),
    min_size=1,
    max_size=60,
).filter(lambda name: name == name.strip() and "=?" not in name)
#: A charset, and the encoding that an EmailMessage is told to take.
CHARSETS = st.sampled_from(
    [
        ("utf-8", None),
        ("utf-8", "8bit"),
        ("utf-8", "base64"),
        ("utf-8", "quoted-printable"),
        ("iso-8859-1", None),
        ("utf-16", "base64"),
    ]
)


@dataclass
class Part:
    """A part as a program means it.

    Attributes:
        maker: Who makes it: "new" or "legacy".
        type: The content type.
        content: Text, octets, or parts.
        name: The name of the file.
        charset: The charset of text, and its transfer encoding.
        boundary: The boundary of a multipart; None for one that is made.
        texts: The preamble and the epilogue.
        subject: The Subject of a message that is attached.
    """

    maker: str
    type: str
    content: Any
    name: str | None = None
    charset: tuple[str, str | None] = ("utf-8", None)
    boundary: str | None = None
    texts: tuple[str | None, str | None] = (None, None)
    subject: str = ""

    def make(self) -> Message:
        """Make the message object.

        Raises:
            Exception: What the email package says to what it does not take.
        """
        if self.type.startswith("multipart/"):
            return self._multipart()
        if self.type == "message/rfc822":
            return self._attached()
        return self._leaf()

    def _leaf(self) -> Message:
        charset, cte = self.charset
        kind, _, subtype = self.type.partition("/")
        made: Any
        if self.maker == "new":
            made = EmailMessage()
            if kind == "text":
                made.set_content(self.content, subtype, charset, cte)
            else:
                made.set_content(self.content, kind, subtype, cte or "base64")
        elif kind == "text":
            made = MIMEText(self.content, subtype, charset)
        elif cte == "8bit":
            made = Message()
            made["Content-Type"] = self.type
            made.set_payload(self.content.decode("ascii", "surrogateescape"))
        else:
            made = MIMEApplication(self.content, subtype)
        if self.name is not None:
            made.add_header("Content-Disposition", "attachment", filename=self.name)
        return made

    def _multipart(self) -> Message:
        subtype = self.type.partition("/")[2]
        made: Any
        if self.maker == "new":
            made = EmailMessage()
            made["Content-Type"] = self.type
        else:
            made = MIMEMultipart(subtype)
        made.set_payload([part.make() for part in self.content])
        if self.boundary is not None:
            made.set_boundary(self.boundary)
        made.preamble, made.epilogue = self.texts
        return made

    def _attached(self) -> Message:
        inner = self.content.make()
        inner["Subject"] = self.subject
        if self.maker == "legacy":
            return MIMEMessage(inner)
        made = EmailMessage()
        made.set_content(inner) if isinstance(inner, EmailMessage) else (
            made.set_payload([inner]),
            made.add_header("Content-Type", "message/rfc822"),
        )
        return made

    def leaves(self) -> Iterator[tuple[str, str, bytes]]:
        """List the parts that hold content: types, names and octets."""
        if self.type.startswith("multipart/"):
            for part in self.content:
                yield from part.leaves()
        elif self.type == "message/rfc822":
            yield self.type, one_space(self.subject), b""
            yield from self.content.leaves()
        else:
            content = self.content
            if isinstance(content, str):
                content = content.encode(self.charset[0])
            yield self.type, self.name or "", lines(content)


def lines(content: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\n", content).rstrip(b"\n")


MAKERS = st.sampled_from(["new", "legacy"])
LEAVES = st.builds(
    Part, MAKERS, st.sampled_from(["text/plain", "text/html"]), TEXTS, NAMES, CHARSETS
) | st.builds(
    Part,
    MAKERS,
    st.sampled_from(["application/pdf", "application/x"]),
    st.binary(max_size=99) | st.just(b"\0\xff" * 600),
    NAMES,
    CHARSETS,
)
PLAIN = st.none() | st.sampled_from(["for old readers\n", "für alte\n", "--a\n"])


def branches(children: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    return st.builds(
        Part,
        MAKERS,
        st.sampled_from(["multipart/mixed", "multipart/alternative"]),
        st.lists(children, min_size=1, max_size=4),
        boundary=st.sampled_from([None, "a", "a b", "ä", "-", "a'()+_,-./:=?b"]),
        texts=st.tuples(PLAIN, PLAIN),
    ) | st.builds(
        Part,
        MAKERS,
        st.just("message/rfc822"),
        children,
        subject=st.text("ab ä=?", max_size=90).filter(lambda s: "=?" not in s),
    )


def leaves_by_stdlib(message: Any) -> Iterator[tuple[str, str, bytes]]:
    kind = message.get_content_type()
    if kind == "message/rfc822":
        (inner,) = message.get_payload()
        yield kind, one_space(str(inner["Subject"] or "")), b""
        yield from leaves_by_stdlib(inner)
    elif message.is_multipart():
        for part in message.get_payload():
            yield from leaves_by_stdlib(part)
    else:
        octets = message.get_payload(decode=True)
        yield kind, message.get_filename() or "", lines(octets)


def leaves_by_the_other(part: Any) -> Iterator[tuple[str, str, bytes]]:
    if part.content_type == "message/rfc822":
        (inner,) = part.children
        yield part.content_type, one_space("".join(inner.headers["Subject"])), b""
    for child in part.children:
        yield from leaves_by_the_other(child)
    if not part.content_type.startswith(("multipart/", "message/")):
        yield part.content_type, part.filename, lines(part.content)


def without_quotes(
    leaves: list[tuple[str, str, bytes]], expected: list[tuple[str, str, bytes]]
) -> list[tuple[str, str, bytes]]:
    """Leave out the names that the other reader, which cuts quotes at ";", misreads."""
    return [
        (kind, "" if re.search(r'[;"\\]', wanted[1]) else name, content)
        for (kind, name, content), wanted in zip(leaves, expected, strict=True)
    ]


@settings(deadline=None)
@given(
    part=st.recursive(LEAVES, branches, max_leaves=8),
    policy_=st.sampled_from(POLICIES),
    server=st.sampled_from(SERVERS),
)
def test_a_tree_of_parts_is_found_again(
    part: Part, policy_: Any, server: dict[str, Any]
) -> None:
    """G05, G08, G12."""
    try:
        message = part.make()
    except Exception:
        assume(False)
    message.policy = policy_ if isinstance(message, EmailMessage) else message.policy
    message["From"] = "a@x.example"
    octets = sent(message, server)
    assert octets is not None
    expected = [*part.leaves()]
    read = email.message_from_bytes(octets, policy=policy.default)
    assert [*leaves_by_stdlib(read)] == expected
    by_the_other = [*leaves_by_the_other(parse_email_tree(octets))]
    assert without_quotes(by_the_other, expected) == without_quotes(expected, expected)

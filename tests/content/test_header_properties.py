"""Whatever message can be built says the same to two other readers, or is refused.

One reader is the parser of the standard library, the other one is `fast-mail-parser`,
which shares no code with it.
"""

from __future__ import annotations

import email
import re
from email import policy
from email.headerregistry import Address, Group
from email.message import EmailMessage
from email.mime.text import MIMEText
from email.policy import Policy
from typing import Any

from fast_mail_parser import parse_email
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from servers_and_policies import POLICIES, SERVERS, in_ascii, one_space, sent

#: What has broken writers of mail before, and the rest of Unicode.
CHARACTERS = st.sampled_from(
    [
        *"ab ,;:<>@\"\\()[].=?_'\t\x0b\x0c\x1c\x7f",
        "ä",
        "€",
        "日",
        "😊",
        "\x85",
        "\u2028",
    ]
) | st.characters(codec="utf-8", exclude_categories=["Cs"])
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=30),
    st.text("ab \u00e4", min_size=60, max_size=300),
    st.lists(st.sampled_from(["word", "=?utf-8?q?x?=", "=?", "wörd", "q" * 80]))
    .map(" ".join),
)  # fmt: skip
LOCAL_PARTS = st.sampled_from(
    ["a", "a.b", "user..name", "odd user", "x@y", 'quo"te', "jörg", "a" * 60, "name."]
)
DOMAINS = st.sampled_from(
    ["x.example", "mail.x.example", "bücher.example", "[192.0.2.1]"]
)
ADDRESSES = st.builds(
    Address,
    TEXTS.map(lambda text: text.replace("\r", "").replace("\n", "")),
    LOCAL_PARTS,
    DOMAINS,
)
LISTS = st.lists(
    ADDRESSES | st.builds(Group, st.just("team"), st.lists(ADDRESSES, max_size=3)),
    min_size=1,
    max_size=5,
)
ADDRESS_FIELDS = ["From", "To", "Cc", "Reply-To", "Resent-To"]
TEXT_FIELDS = ["Subject", "Comments", "X-Note"]
#: What the other reader calls them.
READ = {"To": "to", "Cc": "cc", "Reply-To": "reply_to"}
FIELDS = st.lists(
    st.tuples(st.sampled_from(ADDRESS_FIELDS), LISTS)
    | st.tuples(st.sampled_from(TEXT_FIELDS), TEXTS),
    max_size=5,
    unique_by=lambda field: field[0],
)


def spelt(item: Address | Group) -> str:
    """Spell an address as a careful program does."""
    if isinstance(item, Group):
        return f"{item.display_name}: {', '.join(map(spelt, item.addresses))};"
    local_part = item.username
    if not re.fullmatch(r"[a-zö]+(\.[a-z]+)*", local_part):
        local_part = '"' + re.sub(r'(["\\])', r"\\\1", local_part) + '"'
    name = '"' + re.sub(r'(["\\])', r"\\\1", item.display_name) + '" '
    return f"{name if name.strip(' ') else ''}<{local_part}@{item.domain}>"


def no_space(text: str) -> str:
    return "".join(text.split())


def in_parts(address: str) -> tuple[str, str]:
    local_part, _, domain = address.rpartition("@")
    return local_part, in_ascii(domain)


def flat(items: list[Address | Group]) -> list[tuple[str, str, str]]:
    mailboxes = [
        mailbox
        for item in items
        for mailbox in (item.addresses if isinstance(item, Group) else [item])
    ]
    return [
        (one_space(m.display_name), m.username, in_ascii(m.domain)) for m in mailboxes
    ]


def check(octets: bytes, fields: list[tuple[str, Any]]) -> None:
    """Read what was sent with both readers, and compare."""
    by_stdlib: Any = email.message_from_string(octets.decode(), policy=policy.default)
    by_other = parse_email(octets)
    for name, value in fields:
        (other,) = by_other.headers[name]
        assert len(by_stdlib.get_all(name)) == 1
        if isinstance(value, str):
            assert one_space(other) == one_space(value)
            assert one_space(str(by_stdlib[name])) == one_space(value)
            continue
        expected = flat(value)
        # Up to Python 3.13 the standard library reads a space between two words of a
        # name that is too long for one, so blanks within names are not compared.
        assert [
            (no_space(a.display_name), a.username, in_ascii(a.domain))
            for a in by_stdlib[name].addresses
        ] == [(no_space(name), *rest) for name, *rest in expected]
        # The other one reads no groups, and wants brackets around quotes.
        if name in READ and all(
            isinstance(a, Address) and re.fullmatch(r"[a-z]+([.][a-z]+)*", a.username)
            for a in value
        ):
            found = getattr(by_other, READ[name])
            assert [
                (one_space(a.display_name or ""), *in_parts(a.address)) for a in found
            ] == [*expected]


@settings(deadline=None)
@given(
    fields=FIELDS,
    policy_=st.sampled_from(POLICIES),
    server=st.sampled_from(SERVERS),
)
def test_a_new_message_says_the_same_to_other_readers(
    fields: list[tuple[str, Any]], policy_: Policy[Any], server: dict[str, Any]
) -> None:
    """G01, G02, G03, G08."""
    message = EmailMessage(policy=policy_)
    for name, value in fields:
        try:
            message[name] = value
        except Exception:
            assume(False)
    message.set_payload("hi\n")
    octets = sent(message, server)
    if octets is not None:
        said = [(n, v if isinstance(v, list) else str(message[n])) for n, v in fields]
        check(octets, said)


@settings(deadline=None)
@given(fields=FIELDS, server=st.sampled_from(SERVERS))
def test_a_legacy_message_says_the_same_to_other_readers(
    fields: list[tuple[str, Any]], server: dict[str, Any]
) -> None:
    message = MIMEText("hi\n")
    assume(
        not any("=?" in spelt(a) for _, v in fields if isinstance(v, list) for a in v)
    )
    for name, value in fields:
        message[name] = (
            value if isinstance(value, str) else ", ".join(map(spelt, value))
        )
    octets = sent(message, server)
    if octets is not None:
        check(octets, [f for f in fields if isinstance(f[1], list) or "=?" not in f[1]])

"""The servers and policies that properties are tried with, and what leaves for them."""

from __future__ import annotations

import re
from email import policy
from email.message import Message
from email.policy import Policy
from typing import Any

from smtplibaio import SMTPArgumentError, SMTPCommandNotSupportedError
from smtplibaio.content.email import fit
from smtplibaio.content.forms import Content
from smtplibaio.grammar.addresses import to_a_labels

SERVERS: list[dict[str, Any]] = [
    {},
    {"8BITMIME": ()},
    {"8BITMIME": (), "SMTPUTF8": ()},
]
POLICIES: list[Policy[Any]] = [
    policy.default,
    policy.SMTP,
    policy.SMTPUTF8,
    policy.HTTP,
    policy.SMTP.clone(cte_type="7bit", max_line_length=50),
]


def sent(message: Message, server: dict[str, Any]) -> bytes | None:
    """Give what leaves; None where it is refused, as documented."""
    before = list(message.raw_items())
    try:
        content = fit(message, server)
    except (SMTPArgumentError, SMTPCommandNotSupportedError):
        return None
    finally:
        assert list(message.raw_items()) == before
    assert isinstance(content, Content)
    octets = b"".join(content.blocks())
    head = re.split(rb"(?:^|\r\n)\r\n", octets, maxsplit=1)[0]
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", octets)
    assert re.fullmatch(rb"[\t\r\n -~\x80-\xff]*", head)
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert "SMTPUTF8" in server or head.isascii()
    assert "8BITMIME" in server or octets.isascii()
    assert all(
        re.match(rb"[!-9;-~]+:|[ \t]+[^ \t]", line) for line in head.splitlines()
    )
    return octets


def one_space(text: str) -> str:
    return re.sub(r"[ \t\r\n]+", " ", text).strip(" ")


def in_ascii(domain: str) -> str:
    return domain if domain.isascii() else to_a_labels(domain)

"""Real-world messages arrive with the payloads, types and addresses that they had.

Where the messages are from is told in `tests/support/corpus.py`.
"""

from __future__ import annotations

import email
import re
from collections import Counter
from collections.abc import Iterator
from email import policy
from email.policy import Policy
from typing import Any

import pytest
from corpus import SDISTS, messages
from mails import POLICIES
from storing_server import storing

from smtplibaio import SMTPException

MESSAGES = messages()


def test_there_are_hundreds_of_messages() -> None:
    if not SDISTS.exists():
        pytest.skip(f"{SDISTS} is not there (.ci/run downloads it): less is tested")
    assert len(MESSAGES) >= 300


@pytest.mark.parametrize("is_8bit", [True, False], ids=["8bit", "7bit"])
@pytest.mark.parametrize("policy_", POLICIES.values(), ids=POLICIES)
async def test_real_messages_arrive_as_what_they_are(
    policy_: Policy[Any], is_8bit: bool
) -> None:
    """G06, G08."""
    counts: Counter[str] = Counter()
    sent: list[str] = []
    async with storing(is_8bit=is_8bit) as (client, store):
        for name, octets in MESSAGES.items():
            message = email.message_from_bytes(octets, policy=policy_)
            try:
                await client.send_message(message, "a@x.example", "b@y.example")
            except SMTPException as exc:
                counts[f"refused: {re.sub('[0-9]+', '', str(exc))[:60]}"] += 1
            else:
                sent.append(name)
        for name, arrived in zip(sent, store.mails, strict=True):
            octets = MESSAGES[name]
            counts["octet for octet"] += arrived == canonical(octets)
            assert said(arrived) == said(octets), name
    print(f"\n{len(MESSAGES)} messages, {len(sent)} sent:", *counts.items(), sep="\n  ")
    assert len(sent) > 0.9 * len(MESSAGES)


def canonical(octets: bytes) -> bytes:
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", octets)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def said(octets: bytes) -> list[Any]:
    """Read what must arrive: types, payloads, and the ASCII of the address fields."""
    message = email.message_from_bytes(octets, policy=policy.compat32)
    return [*leaves(message), *addresses(message)]


def leaves(message: Any) -> Iterator[tuple[str, bytes]]:
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status":
            # The parser keeps no empty lines there.
            fields = [f"{n}:{v}" for inner in part.walk() for n, v in inner.items()]
            yield (
                "message/delivery-status",
                "".join("".join(fields).split()).encode("utf-8", "surrogatepass"),
            )
        elif not part.is_multipart():
            payload = part.get_payload(decode=True)
            lines = re.sub(rb"\r\n|\r|\n", b"\n", payload)
            yield part.get_content_type(), lines.rstrip(b"\n")


def addresses(message: Any) -> Iterator[tuple[str, list[str]]]:
    for name in ("From", "To", "Cc", "Reply-To", "Sender"):
        for value in message.get_all(name, []):
            yield name, re.findall(r"[!-;=?-~]+@[!-;=?-~]+", str(value))

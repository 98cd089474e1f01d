"""Signed mail through Postfix, with 8BITMIME and without: what is delivered is valid.

Everything that is signed in `test_signed_mail` is built, and read with every policy,
and sent over one connection. Every signature verifies, or the mail was refused.
"""

from __future__ import annotations

import asyncio
import email
from collections import Counter
from collections.abc import Callable, Iterator
from email.message import EmailMessage, Message
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import real_servers
import signing
import trustme
from mails import POLICIES
from real_servers import RealServer
from signing import INNER, KINDS, TEXTS, canonical, multipart_signed, signed_slice

from smtplibaio import SMTP, SMTPArgumentError
from smtplibaio.content.email import fit
from smtplibaio.content.forms import Content

pytestmark = pytest.mark.skipif(
    real_servers.missing() != "", reason=real_servers.missing()
)

ALICE = "alice@mx.example"

#: A message, and whether what was delivered of it is valid.
Case = tuple[Message, Callable[[bytes], bool]]


@pytest.fixture(scope="module", params=["8bit", "7bit"])
def server(
    request: pytest.FixtureRequest, authority: trustme.CA
) -> Iterator[RealServer]:
    settings = {"local_header_rewrite_clients": ""}
    if request.param == "7bit":
        settings["smtpd_discard_ehlo_keywords"] = "8bitmime, smtputf8"
    with (
        TemporaryDirectory(prefix="smtplibaio-") as name,
        real_servers.postfix(
            Path(name) / "postfix", authority, settings=settings
        ) as server,
    ):
        yield server


def written(message: Message) -> bytes:
    """Write a message as a program does that keeps what is signed."""
    content = fit(message, {"8BITMIME": ()})
    assert isinstance(content, Content)
    return b"".join(content.blocks())


def relayed(octets: bytes, is_valid: Callable[[bytes], bool]) -> list[Case]:
    """Read a message with every policy."""
    assert is_valid(octets)
    return [
        (email.message_from_bytes(octets, policy=policy), is_valid)
        for policy in POLICIES.values()
    ]


def pgp_cases() -> Iterator[Case]:
    with signing.gnupg() as keyring:
        for inner in INNER.values():
            signature = keyring.sign(canonical(inner.as_bytes()))

            def is_valid(octets: bytes, signature: bytes = signature) -> bool:
                return keyring.is_valid(signed_slice(octets), signature)

            for kind in (EmailMessage, Message):
                made = multipart_signed(inner, signature, kind(), "pgp-signature")
                yield made, is_valid
            yield from relayed(written(made), is_valid)


def smime_cases() -> Iterator[Case]:
    for inner in INNER.values():
        signature = signing.smime_sign(canonical(inner.as_bytes()))
        for kind in (EmailMessage, Message):
            made = multipart_signed(inner, signature, kind(), "pkcs7-signature")
            yield made, signing.is_smime_valid
        yield from relayed(written(made), signing.is_smime_valid)


def dkim_cases() -> Iterator[Case]:
    for text in TEXTS.values():
        for kind in KINDS:
            yield signing.dkim_signed(kind, text, "relaxed"), signing.is_dkim_valid
            for form in ("relaxed", "simple"):
                octets = signing.sealed(kind, text, form)
                yield from relayed(octets, signing.is_dkim_valid)


def arc_cases() -> Iterator[Case]:
    for text in TEXTS.values():
        for kind in KINDS:
            octets = signing.sealed(kind, text, "relaxed")
            yield from relayed(octets, signing.is_arc_valid)


@pytest.mark.parametrize(
    ("cases", "program"),
    [
        (pgp_cases, "gpg"),
        (smime_cases, "openssl"),
        (dkim_cases, "python3"),
        (arc_cases, "python3"),
    ],
    ids=["pgp", "smime", "dkim", "arc"],
)
async def test_every_signature_is_valid_in_the_mailbox_or_the_mail_was_refused(
    server: RealServer, cases: Callable[[], Iterator[Case]], program: str
) -> None:
    """G07."""
    if reason := signing.missing(program):
        pytest.skip(reason)
    counts: Counter[str] = Counter()
    async with SMTP("127.0.0.1", server.port) as client:
        for message, is_valid in cases():
            refusal = await refused(client, message)
            if refusal is None:
                arrived = await delivered(server, message)
                assert is_valid(arrived), arrived.decode()
                counts["valid"] += 1
            else:
                assert "signed" in refusal
                assert "8BITMIME" not in client.extensions
                counts["refused"] += 1
    print(counts)
    assert counts["valid"] > counts["refused"]


async def refused(client: SMTP, message: Message) -> str | None:
    try:
        await client.send_message(message, "a@x.example", ALICE)
    except SMTPArgumentError as exc:
        return str(exc)
    return None


async def delivered(server: RealServer, message: Any) -> bytes:
    """Wait for a message in the mailbox, and take it out."""
    mailbox = server.mailboxes / ALICE / "new"
    async with asyncio.timeout(60):
        while True:
            for path in mailbox.iterdir() if mailbox.exists() else ():
                octets = path.read_bytes()
                path.unlink()
                assert message["Message-ID"].encode() in octets
                return canonical(octets)
            await asyncio.sleep(0.01)  # Postfix tells nobody when it delivers

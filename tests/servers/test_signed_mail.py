"""Mail that is signed for real: every signature is valid where it arrives, or it stays.

It is sent to a server with 8BITMIME and to one without.
"""

from __future__ import annotations

import email
from collections.abc import Iterator
from email.message import EmailMessage, Message
from email.policy import Policy
from typing import Any

import pytest
import signing
from cryptography.hazmat.primitives.serialization import Encoding
from mails import POLICIES
from signing import INNER, KINDS, TEXTS, canonical, multipart_signed, signed_slice
from storing_server import storing

from smtplibaio import SMTPArgumentError

every_policy = pytest.mark.parametrize("policy_", POLICIES.values(), ids=POLICIES)
every_server = pytest.mark.parametrize("is_8bit", [True, False], ids=["8bit", "7bit"])
every_inner = pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
every_kind = pytest.mark.parametrize("kind", [EmailMessage, Message])
needs_openssl = pytest.mark.skipif(
    signing.missing("openssl") != "", reason=signing.missing("openssl")
)


async def stored(message: Any, *, is_8bit: bool, is_ascii: bool) -> bytes | None:
    """Send a message and give what arrives; None where it is refused as signed.

    It is refused where what is signed is beyond ASCII, and the server takes no such
    octets.
    """
    async with storing(is_8bit=is_8bit) as (client, store):
        if is_8bit or is_ascii:
            await client.send_message(message, "a@x.example", "b@y.example")
            (octets,) = store.mails
            return octets
        with pytest.raises(SMTPArgumentError, match="signed"):
            await client.send_message(message, "a@x.example", "b@y.example")
        return None


# PGP/MIME


@pytest.fixture(scope="module")
def gnupg() -> Iterator[signing.Gnupg]:
    if reason := signing.missing("gpg"):
        pytest.skip(reason)
    with signing.gnupg() as keyring:
        yield keyring


@every_inner
@every_server
@every_kind
async def test_a_pgp_signature_over_a_part_stays_valid(
    gnupg: signing.Gnupg, inner: Message, is_8bit: bool, kind: type[Message]
) -> None:
    """G07, RFC 3156 5: the part is signed as `as_bytes()` writes it, in CRLF."""
    signed = canonical(inner.as_bytes())
    signature = gnupg.sign(signed)
    message = multipart_signed(inner, signature, kind(), "pgp-signature")
    octets = await stored(message, is_8bit=is_8bit, is_ascii=signed.isascii())
    assert octets is None or gnupg.is_valid(signed_slice(octets), signature)


@every_inner
@every_server
@every_policy
async def test_a_pgp_signature_stays_valid_when_the_mail_is_read_and_sent_again(
    gnupg: signing.Gnupg, inner: Message, is_8bit: bool, policy_: Policy[Any]
) -> None:
    signed = canonical(inner.as_bytes())
    signature = gnupg.sign(signed)
    made = multipart_signed(inner, signature, Message(), "pgp-signature")
    first = await stored(made, is_8bit=True, is_ascii=False)
    assert first is not None
    message = email.message_from_bytes(first, policy=policy_)
    octets = await stored(message, is_8bit=is_8bit, is_ascii=signed.isascii())
    assert octets in (None, first)
    assert gnupg.is_valid(signed_slice(first), signature)


# S/MIME


@needs_openssl
@every_inner
@every_server
@every_kind
async def test_an_smime_signature_over_a_part_stays_valid(
    inner: Message, is_8bit: bool, kind: type[Message]
) -> None:
    """G07, RFC 8551 3.5.3: as OpenSSL says of what the server has kept."""
    signed = canonical(inner.as_bytes())
    signature = signing.smime_sign(signed)
    message = multipart_signed(inner, signature, kind(), "pkcs7-signature")
    octets = await stored(message, is_8bit=is_8bit, is_ascii=signed.isascii())
    assert octets is None or signing.is_smime_valid(octets)


@needs_openssl
@every_server
@every_policy
async def test_an_smime_message_of_another_program_stays_valid(
    is_8bit: bool, policy_: Policy[Any]
) -> None:
    octets = signing.smime_sign(
        b"Content-Type: text/plain\r\n\r\nhello\r\n\r\n", Encoding.SMIME
    )
    message = email.message_from_bytes(octets, policy=policy_)
    arrived = await stored(message, is_8bit=is_8bit, is_ascii=True)
    assert arrived is not None
    assert signing.is_smime_valid(arrived)


# DKIM and ARC


@every_text
@pytest.mark.parametrize(
    ("kind", "form"),
    # An EmailMessage takes no value with folds, and `simple` has signed the folds.
    [*((kind, "relaxed") for kind in KINDS), *((kind, "simple") for kind in KINDS[2:])],
)
@every_server
async def test_a_dkim_signature_of_what_as_bytes_gives_stays_valid(
    kind: str, text: str, form: str, is_8bit: bool
) -> None:
    """G07, M73: a program signs what `as_bytes()` gives, and puts the field on top."""
    message = signing.dkim_signed(kind, text, form)
    is_ascii = message.as_bytes().isascii()
    arrived = await stored(message, is_8bit=is_8bit, is_ascii=is_ascii)
    assert arrived is None or signing.is_dkim_valid(arrived)


@every_text
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["relaxed", "simple"])
@every_server
@every_policy
async def test_a_dkim_signature_of_a_mail_that_is_relayed_stays_valid(
    kind: str, text: str, form: str, is_8bit: bool, policy_: Policy[Any]
) -> None:
    """G06, G07: and so does the ARC set that a relay has added."""
    octets = signing.sealed(kind, text, form)
    message = email.message_from_bytes(octets, policy=policy_)
    arrived = await stored(message, is_8bit=is_8bit, is_ascii=octets.isascii())
    assert arrived in (None, octets)
    assert signing.is_arc_valid(octets)

"""What signatures cover, and what their body hash proves."""

from __future__ import annotations

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import example, given
from hypothesis import strategies as st

from smtplibaio.content.signatures import covers, is_exact, is_sealed, proves


@pytest.mark.parametrize(
    ("value", "exact", "bcc"),
    [
        ("v=1; c=relaxed/simple; h=from:to", False, False),
        ("v=1;\r\n c = Relaxed; h=from : bcc", False, True),
        ("v=1; c=simple/relaxed; h=Bcc", True, True),
        ("v=1; h=from", True, False),
    ],
)
def test_a_signature_says_what_it_is_over(value: str, exact: bool, bcc: bool) -> None:
    """RFC 6376 3.5."""
    for name in ("DKIM-Signature", "ARC-Message-Signature"):
        fields = [("To", "x"), (name, value)]
        assert is_sealed(fields)
        assert is_exact(fields) is exact
        assert covers(fields, "bcc") is bcc
    assert not is_sealed([("To", value)])
    assert not is_exact([("ARC-Seal", value)])


KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)
LINES = st.lists(st.sampled_from(["a", " ", "\t", "  b ", "", "", "."]), max_size=8)


def signed(body: bytes, form: bytes, length: bool = False) -> list[tuple[str, str]]:
    message = b"From: a@x.example\r\n\r\n" + body
    field = dkim.sign(
        message,
        b"s",
        b"x.example",
        KEY,
        canonicalize=(b"relaxed", form),
        length=length,
    ).decode()
    return [("DKIM-Signature", field.partition(": ")[2])]


@pytest.mark.parametrize("form", [b"simple", b"relaxed"])
@given(lines=LINES, length=st.booleans())
@example(lines=["a"], length=True)
def test_the_body_hash_is_that_of_another_implementation(
    form: bytes, lines: list[str], length: bool
) -> None:
    """RFC 6376 3.4.3, 3.4.4, 3.7."""
    body = "".join(f"{line}\r\n" for line in lines).encode()
    fields = signed(body, form, length)
    assert proves(fields, body)
    assert length or not proves(fields, b"x" + body)


@pytest.mark.parametrize(
    "value", ["", "a=rsa-sha256; bh=!", "a=rsa-md5; bh=aaaa", "a=rsa-sha1; bh=a"]
)
def test_a_signature_that_is_broken_proves_nothing(value: str) -> None:
    assert not proves([("DKIM-Signature", value)], b"x\r\n")

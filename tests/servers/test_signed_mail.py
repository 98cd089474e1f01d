"""Mail that is signed for real: every signature is valid where it arrives, or it stays.

S/MIME by `cryptography`, PGP/MIME by GnuPG, DKIM and ARC by dkimpy; sent to a server
with 8BITMIME and to one without.
"""

from __future__ import annotations

import base64
import datetime as dt
import email
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Policy
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID
from mails import POLICIES
from storing_server import storing

from smtplibaio import SMTPArgumentError

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
every_policy = pytest.mark.parametrize("policy_", POLICIES.values(), ids=POLICIES)
every_server = pytest.mark.parametrize("is_8bit", [True, False], ids=["8bit", "7bit"])
TEXTS = {
    "ascii": "hello\n.\nFrom here\ntrailing blanks  \n\n\n",
    "8bit": "the café is open\n",
    "empty": "",
}


async def stored(message: Any, *, is_8bit: bool) -> bytes | None:
    """Send a message and give what arrives; None where it is refused as signed."""
    async with storing(is_8bit=is_8bit) as (client, store):
        with suppress_if_signed():
            await client.send_message(message, "a@x.example", "b@y.example")
        return store.mails[0] if store.mails else None


@contextmanager
def suppress_if_signed() -> Iterator[None]:
    try:
        yield
    except SMTPArgumentError as exc:
        if "signed" not in str(exc):
            raise


def envelope_fields(message: Message) -> None:
    message["From"] = "Jörg <a@x.example>"
    message["To"] = "b@y.example"
    message["Subject"] = "a long subject of many words " * 5 + "café"
    message["Message-ID"] = f"<{'i' * 40}@x.example>"


def inner_parts() -> dict[str, Message]:
    """Make what is signed: by programs, of either kind, with and without parts."""
    made: dict[str, Message] = {}
    for name, text in TEXTS.items():
        for cte in ("8bit", "quoted-printable"):
            part = EmailMessage()
            part.set_content(text or "\n", cte=cte)
            made[f"new {name} {cte}"] = part
    part = EmailMessage()
    part.set_content("see the file\n")
    part.add_attachment(b"\xff" * 200, "application", "pdf", filename="ü" * 40 + ".pdf")
    part.add_attachment(b"x", "application", "x", filename="n" * 70 + ".bin")
    made["new with files"] = part
    made["legacy text"] = MIMEText("the café is open\n", "plain", "utf-8")
    legacy = MIMEMultipart("alternative")
    legacy.attach(MIMEText("hello\n"))
    legacy.attach(MIMEText("<p>hello</p>\n", "html"))
    nested = MIMEMultipart()
    nested.attach(legacy)
    nested.attach(MIMEApplication(b"abc", name="long name " * 9 + ".bin"))
    made["legacy with parts"] = nested
    return made


INNER = inner_parts()
every_inner = pytest.mark.parametrize("inner", INNER.values(), ids=INNER)


def canonical(octets: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def signed_slice(octets: bytes, boundary: bytes) -> bytes:
    """Give what a verifier of multipart/signed looks at (RFC 1847 2.1)."""
    mark = b"\r\n--" + boundary
    _, first, _ = octets.split(mark)[:3]
    return first.removeprefix(b"\r\n")


# PGP/MIME


@pytest.fixture(scope="module")
def gnupg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    if shutil.which("gpg") is None:
        pytest.skip("GnuPG is not installed (Debian: gnupg)")
    home = Path("/tmp") / f"gpg-{tmp_path_factory.mktemp('x').stat().st_ino}"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-tty"]
    make = ["--passphrase", "", "--quick-gen-key", "a@x.example", "ed25519", "sign"]
    subprocess.run([*gpg, *make], check=True, capture_output=True)
    yield gpg
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    shutil.rmtree(home)


def pgp_signature(gnupg: list[str], octets: bytes) -> bytes:
    ran = subprocess.run(
        [*gnupg, "--armor", "--detach-sign"],
        input=octets,
        capture_output=True,
        check=True,
    )
    return ran.stdout


def is_pgp_valid(gnupg: list[str], octets: bytes, signature: bytes, path: Path) -> bool:
    (path / "signature").write_bytes(signature)
    ran = subprocess.run(
        [*gnupg, "--verify", str(path / "signature"), "-"], input=octets, check=False
    )
    return ran.returncode == 0


def pgp_message(inner: Message, signature: bytes, outer: Message) -> Message:
    envelope_fields(outer)
    outer["MIME-Version"] = "1.0"
    outer["Content-Type"] = (
        'multipart/signed; boundary="=-sig"; micalg="pgp-sha512"; '
        'protocol="application/pgp-signature"'
    )
    part = MIMEApplication(signature, "pgp-signature", lambda _: None)
    outer.set_payload([inner, part])
    return outer


@every_inner
@every_server
@pytest.mark.parametrize("kind", [EmailMessage, Message])
async def test_a_pgp_signature_over_a_part_stays_valid(
    gnupg: list[str], inner: Message, is_8bit: bool, kind: type[Message], tmp_path: Path
) -> None:
    """G07, RFC 3156 5: the part is signed as `as_bytes()` writes it, in CRLF."""
    signature = pgp_signature(gnupg, canonical(inner.as_bytes()))
    octets = await stored(pgp_message(inner, signature, kind()), is_8bit=is_8bit)
    if octets is None:
        assert not inner.as_bytes().isascii()
        assert not is_8bit
    else:
        signed = signed_slice(octets, b"=-sig")
        assert is_pgp_valid(gnupg, signed, signature, tmp_path)


@every_inner
@every_server
@every_policy
async def test_a_pgp_signature_stays_valid_when_the_mail_is_read_and_sent_again(
    gnupg: list[str],
    inner: Message,
    is_8bit: bool,
    policy_: Policy[Any],
    tmp_path: Path,
) -> None:
    signature = pgp_signature(gnupg, canonical(inner.as_bytes()))
    first = await stored(pgp_message(inner, signature, Message()), is_8bit=True)
    assert first is not None
    message = email.message_from_bytes(first, policy=policy_)
    octets = await stored(message, is_8bit=is_8bit)
    if octets is None:
        assert not inner.as_bytes().isascii()
        assert not is_8bit
    else:
        assert octets == first
        signed = signed_slice(octets, b"=-sig")
        assert is_pgp_valid(gnupg, signed, signature, tmp_path)


# S/MIME


def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a@x.example")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(9))
        .sign(KEY, hashes.SHA256())
    )


CERTIFICATE = certificate()


@every_server
@every_policy
async def test_an_smime_signature_stays_valid(
    is_8bit: bool, policy_: Policy[Any], tmp_path: Path
) -> None:
    """G07, RFC 8551 3.5.3: as OpenSSL says of what the server has kept."""
    if shutil.which("openssl") is None:
        pytest.skip("OpenSSL is not installed (Debian: openssl)")
    signed = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(b"Content-Type: text/plain\r\n\r\nhello\r\n\r\n")
        .add_signer(CERTIFICATE, KEY, hashes.SHA256())
        .sign(serialization.Encoding.SMIME, [pkcs7.PKCS7Options.DetachedSignature])
    )
    message = email.message_from_bytes(signed, policy=policy_)
    octets = await stored(message, is_8bit=is_8bit)
    assert octets is not None
    assert is_smime_valid(octets, tmp_path)


def is_smime_valid(octets: bytes, path: Path) -> bool:
    (path / "ca").write_bytes(CERTIFICATE.public_bytes(serialization.Encoding.PEM))
    verify = ["openssl", "smime", "-verify", "-CAfile", str(path / "ca")]
    ran = subprocess.run([*verify, "-purpose", "any"], input=octets, check=False)
    return ran.returncode == 0


# DKIM and ARC


def keys(name: bytes, timeout: float = 5) -> bytes:
    der = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


PRIVATE = KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.TraditionalOpenSSL,
    serialization.NoEncryption(),
)


KINDS = ["new", "new with parts", "legacy", "legacy with parts"]


def built(kind: str, text: str) -> Message:
    message: Message
    if kind == "new":
        message = EmailMessage()
        message.set_content(text or "\n", cte="8bit")
    elif kind == "new with parts":
        message = EmailMessage()
        message.set_content(text or "\n", cte="8bit")
        message.add_attachment(b"\xff" * 99, "application", "x", filename="ü" * 50)
    elif kind == "legacy":
        message = MIMEText(text, "plain", "utf-8")
    else:
        message = MIMEMultipart()
        message.attach(MIMEText(text, "plain", "utf-8"))
        message.attach(MIMEApplication(b"abc", name="name"))
    envelope_fields(message)
    return message


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
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
    message = built(kind, text)
    octets = message.as_bytes()
    field = dkim.sign(
        octets, b"s", b"x.example", PRIVATE, canonicalize=(form.encode(), form.encode())
    ).decode()
    name, _, value = field.partition(": ")
    if isinstance(message, EmailMessage):
        value = re.sub(r"\r\n", "", value)
    message[name] = value.removesuffix("\r\n")
    arrived = await stored(message, is_8bit=is_8bit)
    if arrived is not None:
        assert dkim.verify(arrived, dnsfunc=keys)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["relaxed", "simple"])
@every_server
@every_policy
async def test_a_dkim_signature_of_a_mail_that_is_relayed_stays_valid(
    kind: str, text: str, form: str, is_8bit: bool, policy_: Policy[Any]
) -> None:
    """G06, G07: and so does the ARC set that a relay has added."""
    octets = canonical(built(kind, text).as_bytes())
    forms = (form.encode(), form.encode())
    octets = dkim.sign(octets, b"s", b"x.example", PRIVATE, canonicalize=forms) + octets
    result = b"Authentication-Results: lists.example; dkim=pass\r\n"
    sealed = dkim.arc_sign(
        result + octets, b"s", b"x.example", PRIVATE, b"lists.example"
    )
    octets = b"".join(sealed) + result + octets
    assert dkim.verify(octets, dnsfunc=keys)
    arrived = await stored(
        email.message_from_bytes(octets, policy=policy_), is_8bit=is_8bit
    )
    if arrived is None:
        assert not is_8bit
        assert not octets.isascii()
        return
    assert arrived == octets
    assert dkim.verify(arrived, dnsfunc=keys)
    assert dkim.arc_verify(arrived, dnsfunc=keys)[0] == dkim.CV_Pass

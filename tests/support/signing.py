"""Mail that is signed, and who verifies it: S/MIME, PGP/MIME, DKIM and ARC.

S/MIME is signed by `cryptography` and verified by OpenSSL, PGP/MIME by GnuPG, DKIM and
ARC by dkimpy. What is signed is what `as_bytes()` gives, with CRLF.
"""

from __future__ import annotations

import base64
import datetime as dt
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.utils import formataddr
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import dkim
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

TEXTS = {
    "ascii": "hello\n.\nFrom here\ntrailing blanks  \n\n\n",
    "8bit": "the café is open\n",
    "empty": "",
}


def canonical(octets: bytes) -> bytes:
    return re.sub(rb"\r\n|\r|\n", b"\r\n", octets)


def envelope_fields(message: Message) -> None:
    message["From"] = formataddr(("Jörg", "a@x.example"))
    message["To"] = "b@y.example"
    message["Subject"] = "a long subject of many words " * 5 + "café"
    message["Message-ID"] = f"<{secrets.token_hex(20)}@x.example>"


# Parts that are signed


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


def multipart_signed(
    inner: Message, signature: bytes, outer: Message, protocol: str
) -> Message:
    """Put a part and its signature into a new message (RFC 1847 2.1)."""
    envelope_fields(outer)
    outer["MIME-Version"] = "1.0"
    outer["Content-Type"] = (
        'multipart/signed; boundary="=-sig"; micalg="sha-256"; '
        f'protocol="application/{protocol}"'
    )
    outer.set_payload([inner, MIMEApplication(signature, protocol)])
    return outer


def signed_slice(octets: bytes) -> bytes:
    """Give what a verifier of multipart/signed looks at."""
    _, first, _ = octets.split(b"\r\n--=-sig")[:3]
    return first.removeprefix(b"\r\n")


class Gnupg:
    """A keyring with one key."""

    def __init__(self, home: str) -> None:
        self._command = ["gpg", "--homedir", home, "--batch", "--quiet", "--no-tty"]
        self._run(
            *("--passphrase", "", "--quick-gen-key", "a@x.example", "ed25519", "sign")
        )

    def _run(self, *words: str, octets: bytes = b"", check: bool = True) -> bytes:
        ran = subprocess.run(
            [*self._command, *words], input=octets, capture_output=True, check=check
        )
        return ran.stdout if ran.returncode == 0 else b"FAILED"

    def sign(self, octets: bytes) -> bytes:
        return self._run("--detach-sign", octets=octets)

    def is_valid(self, octets: bytes, signature: bytes) -> bool:
        with TemporaryDirectory() as path:
            file = Path(path) / "signature"
            file.write_bytes(signature)
            said = self._run("--verify", str(file), "-", octets=octets, check=False)
        return said != b"FAILED"


@contextmanager
def gnupg() -> Iterator[Gnupg]:
    """Make a keyring; its path is short enough for the socket of the agent."""
    with TemporaryDirectory(prefix="gpg-", dir="/tmp") as home:
        try:
            yield Gnupg(home)
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


# S/MIME


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def certificate() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a@x.example")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key().public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(9))
        .sign(key(), hashes.SHA256())
    )


def smime_sign(
    octets: bytes, encoding: serialization.Encoding = serialization.Encoding.DER
) -> bytes:
    """Sign octets: the signature alone, or with `Encoding.SMIME` a whole message."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(octets)
    signer = builder.add_signer(certificate(), key(), hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature]
    if encoding is serialization.Encoding.DER:
        options.append(pkcs7.PKCS7Options.Binary)
    return signer.sign(encoding, options)


def is_smime_valid(octets: bytes) -> bool:
    """Ask OpenSSL whether a message is as it was signed."""
    with TemporaryDirectory() as path:
        ca = Path(path) / "ca"
        ca.write_bytes(certificate().public_bytes(serialization.Encoding.PEM))
        verify = ["openssl", "smime", "-verify", "-CAfile", str(ca), "-purpose", "any"]
        ran = subprocess.run(verify, input=octets, capture_output=True, check=False)
    return ran.returncode == 0


# DKIM and ARC

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


def public_key(name: bytes, timeout: float = 5) -> bytes:
    """Answer as the DNS does."""
    der = (
        key()
        .public_key()
        .public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)


@cache
def private_key() -> bytes:
    return key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def dkim_field(octets: bytes, form: str) -> str:
    """Sign a message; give the field that goes on top of it."""
    forms = (form.encode(), form.encode())
    signed = dkim.sign(octets, b"s", b"x.example", private_key(), canonicalize=forms)
    return signed.decode()


def dkim_signed(kind: str, text: str, form: str) -> Message:
    """Build a message, and sign what `as_bytes()` gives."""
    message = built(kind, text)
    name, _, value = dkim_field(message.as_bytes(), form).partition(": ")
    if isinstance(message, EmailMessage):  # which takes no value with folds
        value = value.replace("\r\n", "")
    message[name] = value.removesuffix("\r\n")
    return message


def sealed(kind: str, text: str, form: str) -> bytes:
    """Give a message as a relay has it that has signed it, and sealed that."""
    octets = canonical(built(kind, text).as_bytes())
    octets = dkim_field(octets, form).encode() + octets
    result = b"Authentication-Results: lists.example; dkim=pass\r\n"
    seals = dkim.arc_sign(
        result + octets, b"s", b"x.example", private_key(), b"lists.example"
    )
    octets = b"".join(seals) + result + octets
    assert is_dkim_valid(octets)
    return octets


def is_dkim_valid(octets: bytes) -> bool:
    return bool(dkim.verify(octets, dnsfunc=public_key))


def is_arc_valid(octets: bytes) -> bool:
    return bool(dkim.arc_verify(octets, dnsfunc=public_key)[0] == dkim.CV_Pass)


def missing(program: str) -> str:
    """Say that a program is not installed; "" where it is."""
    if shutil.which(program) is None:
        return f"{program} is not installed (Debian has it as a package)"
    return ""

"""The certificates that a server sends, read by the `cryptography` package."""

from __future__ import annotations

import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import NameOID

from .findings import Certificate

__all__ = ["chain_of"]


def chain_of(tls: ssl.SSLObject) -> list[Certificate]:
    """Read the chain that the server has sent, its own certificate first."""
    # Python 3.13 has this in public; older versions only in this private object.
    below: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    chain = below.get_unverified_chain() or []
    return [
        _certificate_of(certificate.public_bytes().encode()) for certificate in chain
    ]


def _certificate_of(pem: bytes) -> Certificate:
    certificate = x509.load_pem_x509_certificate(pem)
    key, is_weak_key = _key_of(certificate)
    return Certificate(
        _name_of(certificate.subject),
        _name_of(certificate.issuer),
        _names_of(certificate),
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        key,
        is_weak_key or isinstance(certificate.signature_hash_algorithm, (MD5, SHA1)),
    )


def _name_of(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()


def _names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


def _key_of(certificate: x509.Certificate) -> tuple[str, bool]:
    """Name the key; return whether it is weak: less than 2048 bits RSA, 224 bits EC."""
    key = certificate.public_key()
    if isinstance(key, RSAPublicKey):
        return f"RSA {key.key_size}", key.key_size < 2048
    if isinstance(key, EllipticCurvePublicKey):
        return f"EC {key.curve.name}", key.curve.key_size < 224
    return type(key).__name__.removesuffix("PublicKey").lstrip("_"), False

"""TLS: the context that verifies, and errors that say what to do."""

from __future__ import annotations

import asyncio
import functools
import ssl

from ..exceptions import SMTPConnectionLostError, SMTPTimeoutError, SMTPTLSError

__all__ = [
    "A_DAY",
    "default_context",
    "handshake",
    "is_verified",
    "tls_error",
    "unverified_context",
]

#: The limit of asyncio for a handshake, longer than any: ours has its own deadline.
A_DAY = 86400.0

_VERSION = """\
the server speaks no version of TLS that the context allows: 1.2 or later by default"""

_NO_TLS = """\
the server speaks no TLS here: port 465 is for SMTP_SSL, 587 and 25 for starttls="""

_STRICT = """\
since 3.13 Python checks certificates by the letter of RFC 5280; if the authority can \
issue no better one, clear ssl.VERIFY_X509_STRICT in the verify_flags of a context of \
your own"""

_WEAK = """\
the server's key or signature is too weak for OpenSSL; until it has a better one, call \
set_ciphers("DEFAULT@SECLEVEL=1") on a context of your own, and pass that"""

#: What to do, by a part of the text of OpenSSL; the first part that fits counts.
_ADVICE = {
    "waits for TLS": """\
this port speaks TLS from the first octet on: use SMTP_SSL, or smtps:// in a URL""",
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "RECORD LAYER FAILURE": _NO_TLS,  # OpenSSL 3.2 and later
    "HTTP_REQUEST": _NO_TLS,
    "Hostname mismatch": """\
the certificate is for another name; connect by that name, or pass server_hostname=""",
    "IP address mismatch": """\
the certificate is for a name; connect by name, or pass server_hostname=""",
    "UNRECOGNIZED_NAME": """\
the server knows no such name; connect by the name that its certificate is for, or \
pass server_hostname=""",
    "Key Identifier": _STRICT,
    "Basic Constraints of CA cert not marked critical": _STRICT,
    "CA cert does not include key usage": _STRICT,
    "Path length": _STRICT,
    "DH_KEY_TOO_SMALL": _WEAK,
    "KEY_TOO_SMALL": _WEAK,
    "key too weak": _WEAK,
    "MD_TOO_WEAK": _WEAK,
    "digest algorithm too weak": _WEAK,
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": """\
the server's TLS is too old (RFC 5746); until it is renewed, set \
ssl.OP_LEGACY_SERVER_CONNECT in the options of a context of your own, and pass that""",
    "certificate has expired": "the server's certificate must be renewed",
    "certificate is not yet valid": """\
the server's certificate is for later, or the clock of this machine is wrong""",
    "certificate revoked": "the authority has revoked the server's certificate",
    "UNKNOWN_CA": """\
the server does not trust the authority of the certificate that the client has shown""",
    "CERTIFICATE_VERIFY_FAILED": """\
no authority that the context trusts vouches for the server; if one of your own does, \
pass a context that has loaded its certificate""",
    "CERTIFICATE_REQUIRED": """\
the server wants a client certificate; load one into the context""",
    "HANDSHAKE_FAILURE": """\
the server may want a client certificate, or another version of TLS""",
    "PROTOCOL_VERSION": _VERSION,
    "UNSUPPORTED_PROTOCOL": _VERSION,
}


@functools.cache
def default_context() -> ssl.SSLContext:
    """Make the context that verifies certificates and host names, once."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.hostname_checks_common_name = False  # RFC 9525 2
    return context


@functools.cache
def unverified_context() -> ssl.SSLContext:
    """Make a context for encryption without authentication (RFC 7435), once."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_verified(transport: asyncio.BaseTransport) -> bool:
    """Return whether the server's certificate and name were verified."""
    context = transport.get_extra_info("sslcontext")
    return (
        context is not None
        and context.verify_mode is ssl.CERT_REQUIRED
        and bool(context.check_hostname)
    )


async def handshake(
    loop: asyncio.AbstractEventLoop,
    plain: asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    context: ssl.SSLContext,
    server_hostname: str,
    timeout: float | None,
    peer: str,
) -> asyncio.Transport:
    """Turn a connection to TLS; return the transport that replaces the old one.

    Raises:
        SMTPTLSError: The handshake failed, or the certificate did not verify.
        SMTPTimeoutError: It took too long.
        SMTPConnectionLostError: The connection ended meanwhile.
    """
    try:
        async with asyncio.timeout(timeout):
            transport = await loop.start_tls(
                plain,
                protocol,
                context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=A_DAY,
            )
        if transport is None:  # asyncio raises this if the connection ends
            raise ConnectionResetError("the server closed the connection")
    except ssl.SSLError as exc:
        raise tls_error(f"no TLS with {peer}", exc, is_starttls=True) from exc
    except TimeoutError as exc:
        text = f"no TLS handshake with {peer} within {timeout} s"
        raise SMTPTimeoutError(text) from exc
    except OSError as exc:
        text = f"{peer} closed the connection during the TLS handshake"
        raise SMTPConnectionLostError(text) from exc
    return transport


def tls_error(
    what: str, cause: Exception, *, is_starttls: bool = False
) -> SMTPTLSError:
    """Make the error for a failed handshake; the text says what to do.

    Args:
        what: What failed, and with which server.
        cause: What the `ssl` module says.
        is_starttls: Whether the server has answered STARTTLS with 220. Then the port is
            right.
    """
    said = str(cause)
    cures = (_ADVICE[sign] for sign in _ADVICE if sign.lower() in said.lower())
    advice = next(cures, "")
    if is_starttls and advice is _NO_TLS:
        advice = "the server speaks no TLS here, though it said 220 to STARTTLS"
    error = SMTPTLSError(f"{what}: {said}" + (advice and f" ({advice})"))
    error.__cause__ = cause
    return error

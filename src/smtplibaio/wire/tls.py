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

#: What asyncio is given for a handshake, since ours has a deadline of its own.
A_DAY = 86400.0

_VERSION = """\
the server speaks no version of TLS that the context allows: 1.2 or later by default"""

#: What to do, by a part of what OpenSSL says; the first that fits is told.
_ADVICE = {
    "waits for TLS": """\
this port speaks TLS from the first octet on: use SMTP_SSL""",
    "WRONG_VERSION_NUMBER": """\
the server speaks no TLS here: port 465 is for SMTP_SSL, 587 and 25 for starttls=""",
    # The same from OpenSSL 3.2 on.
    "RECORD LAYER FAILURE": """\
the server speaks no TLS here: port 465 is for SMTP_SSL, 587 and 25 for starttls=""",
    "Hostname mismatch": """\
the certificate is for another name; connect by that name, or pass server_hostname=""",
    "IP address mismatch": """\
the certificate is for a name; connect by name, or pass server_hostname=""",
    "Authority Key Identifier": """\
Python 3.13 asks for this extension; if the authority can issue no better certificate, \
clear ssl.VERIFY_X509_STRICT in the verify_flags of a context of your own""",
    "certificate has expired": "the server's certificate must be renewed",
    "CERTIFICATE_VERIFY_FAILED": """\
no authority that the context trusts vouches for the server; if one of your own does, \
pass a context that has loaded its certificate""",
    "CERTIFICATE_REQUIRED": """\
the server wants a client certificate; load one into the context""",
    "HANDSHAKE_FAILURE": """\
the server may want a client certificate, or another version of TLS""",
    "ALERT_PROTOCOL_VERSION": _VERSION,
    "UNSUPPORTED_PROTOCOL": _VERSION,
}


@functools.cache
def default_context() -> ssl.SSLContext:
    """Give the context that verifies certificates and host names; made once."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.hostname_checks_common_name = False  # RFC 9525 2
    return context


@functools.cache
def unverified_context() -> ssl.SSLContext:
    """Give a context for encryption without authentication (RFC 7435); made once."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def is_verified(transport: asyncio.BaseTransport) -> bool:
    """Tell whether the server's certificate was verified, for the name it goes by."""
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
    """Turn a connection to TLS; give the transport that takes the place of the old one.

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
        if transport is None:  # asyncio's way of saying so
            raise ConnectionResetError("the server closed the connection")
    except ssl.SSLError as exc:
        raise tls_error(f"no TLS with {peer}", exc) from exc
    except TimeoutError as exc:
        text = f"no TLS handshake with {peer} within {timeout} s"
        raise SMTPTimeoutError(text) from exc
    except OSError as exc:
        text = f"{peer} closed the connection during the TLS handshake"
        raise SMTPConnectionLostError(text) from exc
    return transport


def tls_error(what: str, cause: Exception) -> SMTPTLSError:
    """Make the error for a failed handshake: its cause chained, its cure told."""
    said = str(cause)
    cures = (_ADVICE[sign] for sign in _ADVICE if sign.lower() in said.lower())
    advice = next(cures, "")
    error = SMTPTLSError(f"{what}: {said}" + (advice and f" ({advice})"))
    error.__cause__ = cause
    return error

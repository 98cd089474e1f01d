"""A throw-away certificate authority, one for each process.

It is made when it is first needed, because it takes longer than most tests to make
keys and to import the package that makes them.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["client_context", "extra", "server_context"]


@contextmanager
def extra() -> Iterator[None]:
    """Say what to install if an import in the block fails."""
    try:
        yield
    except ModuleNotFoundError as exc:
        raise ModuleNotFoundError(
            f"smtplibaio.testing needs {exc.name}: pip install 'smtplibaio[testing]'",
            name=exc.name,
        ) from exc


@cache
def _authority() -> Any:
    with extra():
        import trustme
    return trustme.CA()


@cache
def server_context() -> ssl.SSLContext:
    """Make the TLS context of a server that is called localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    """Make a TLS context that trusts the authority of this process."""
    context = ssl.create_default_context()
    _authority().configure_trust(context)
    return context

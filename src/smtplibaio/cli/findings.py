"""What a probe has found out about a server: values, without a judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..grammar.extensions import Extensions
from ..grammar.replies import Reply

__all__ = ["Certificate", "Findings"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of the chain that the server has sent.

    Attributes:
        subject: Whose it is: the common name where there is one, else all of it.
        issuer: Whose authority has signed it, likewise.
        names: The host names and addresses that it is for.
        not_before: When it begins to be valid.
        not_after: When it ends to be valid.
        key: The kind of its key, with its size: "RSA 2048".
        is_weak: Whether its key or its signature is weaker than today's minimum.
    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    is_weak: bool


@dataclass(slots=True)
class Findings:
    """What was found, as far as the probe came.

    Attributes:
        url: The server, without credentials.
        host: Its name, as the user has written it.
        is_local: Whether no octet leaves this machine.
        wants_tls: Whether the URL means TLS from the first octet on.
        has_tls_at_once: Whether the server speaks TLS from the first octet on; None
            where it said nothing in either way.
        addresses: What the name leads to.
        greeting: The greeting.
        clear: What was announced before TLS; None where nothing was asked in clear.
        secure: What was announced within TLS; None where there is no TLS.
        is_esmtp: Whether the server knows EHLO.
        starttls: The refusal of STARTTLS.
        tls: The version and the cipher.
        chain: The certificates, the server's own first; None where they cannot be read
            because the `cryptography` package is missing.
        untrusted: Why the certificate did not verify: OpenSSL's code and words; None
            where it did.
        pipelining: "works", "broken: ...", or None where it is not offered.
        login: "accepted", or why not; None where nobody was to log in.
        times: The seconds of each step, in their order.
        failure: Why the probe ended early; empty where it did not.
    """

    url: str
    host: str
    is_local: bool = False
    wants_tls: bool = False
    has_tls_at_once: bool | None = None
    addresses: list[str] = field(default_factory=list)
    greeting: Reply | None = None
    clear: Extensions | None = None
    secure: Extensions | None = None
    is_esmtp: bool = True
    starttls: Reply | None = None
    tls: tuple[str, str] | None = None
    chain: list[Certificate] | None = field(default_factory=list)
    untrusted: tuple[int, str] | None = None
    pipelining: str | None = None
    login: str | None = None
    times: dict[str, float] = field(default_factory=dict)
    failure: str = ""

    @property
    def extensions(self) -> Extensions:
        """What was announced last."""
        return self.secure or self.clear or Extensions()

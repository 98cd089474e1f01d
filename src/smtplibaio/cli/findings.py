"""The findings of a probe: facts about a server, without a verdict."""

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
        subject: The name of its owner: the common name, or else the whole name.
        issuer: The name of the authority that has signed it, in the same form.
        names: The host names and addresses that it is valid for.
        not_before: The beginning of its validity.
        not_after: The end of its validity.
        key: The kind and the size of its key: "RSA 2048".
        is_weak: Whether its key or its signature is too weak today.
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
    """The findings, up to the point where the probe has ended.

    Attributes:
        url: The server, without credentials.
        host: Its name, as the user has written it.
        is_local: Whether no octet leaves this machine.
        wants_tls: Whether the URL asks for TLS from the first octet on.
        has_tls_at_once: Whether the server speaks TLS from the first octet on; None if
            it gave no greeting, with TLS and without.
        addresses: The addresses of the name.
        greeting: The greeting.
        clear: The extensions before TLS; None if there was no EHLO before TLS.
        secure: The extensions within TLS; None if there is no TLS.
        is_esmtp: Whether the server knows EHLO.
        starttls: The refusal of STARTTLS.
        tls: The version and the cipher.
        chain: The certificates, the server's own first; None if the `cryptography`
            package, which reads them, is missing.
        untrusted: Why the certificate was not verified: OpenSSL's code and text; None
            if it was verified.
        pipelining: "works", "broken: ...", or None if it is not offered.
        login: "accepted", or the reason why not; None if no login was asked for.
        times: The seconds that each step took, in the order of the steps.
        failure: Why the probe ended early; empty if it did not.
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
        """The extensions of the last EHLO."""
        return self.secure or self.clear or Extensions()

"""What the clients have to do, the same for each."""

from __future__ import annotations

import os
import ssl
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "SENDER",
    "Work",
    "addresses",
    "bulk",
    "client_context",
    "file_of",
    "letter",
    "pin",
    "stuffed",
]

SENDER = "alice@sender.example"
_HEADER = (
    b"From: alice@sender.example\r\n"
    b"To: bob@recipient.example\r\n"
    b"Subject: A message of a benchmark\r\n"
    b"\r\n"
)
_LINE = b"The quick brown fox jumps over the lazy dog, and then once more on foot.\r\n"
#: One line in 250 starts with a dot.
_BLOCK = _LINE * 249 + b"." + _LINE


@dataclass(frozen=True)
class Work:
    """Say what one client process is to do; it crosses to the process as JSON."""

    client: str
    loop: str = "asyncio"
    tls: bool = False
    size: int = 2048
    recipients: int = 1
    connections: int = 1
    messages: int = 0
    window: int = 0
    seconds: float = 0.0
    link: float = 0.0
    port: int = 0
    tls_port: int = 0
    authority: str = ""
    node_modules: str = ""
    cores: tuple[int, ...] = ()
    host: str = field(default="127.0.0.1", repr=False)

    @property
    def to(self) -> int:
        """Give the port to connect to."""
        return self.tls_port if self.tls else self.port

    @classmethod
    def of(cls, values: dict[str, Any]) -> Work:
        """Take what `values` gave."""
        return cls(**{**values, "cores": tuple(values["cores"])})

    def values(self) -> dict[str, Any]:
        """Give what JSON can carry."""
        return asdict(self)


def pin(cores: tuple[int, ...]) -> None:
    """Keep this process, and those that it starts, on some cores."""
    if cores:
        os.sched_setaffinity(0, cores)


def client_context(work: Work) -> ssl.SSLContext:
    """Give the context that trusts the sink's authority."""
    return ssl.create_default_context(cafile=work.authority)


def letter(size: int) -> bytes:
    """Give a small message in canonical form, of about `size` octets."""
    lines = (size - len(_HEADER)) // len(_LINE)
    return _HEADER + _LINE * lines


def bulk(size: int) -> bytes:
    """Give a message of text lines of about `size` octets."""
    return _HEADER + _BLOCK * (size // len(_BLOCK))


def stuffed(message: bytes) -> bytes:
    """Give a message as it is on the wire, without the final dot."""
    return message.replace(b"\r\n.", b"\r\n..")


def addresses(recipients: int) -> list[list[str]]:
    """Give lists of recipients, each of its own, so that no cache is flattered."""
    lists = max(64, 8192 // recipients)
    return [
        [f"user{n * recipients + i}@recipient.example" for i in range(recipients)]
        for n in range(lists)
    ]


def file_of(path: Path, size: int) -> None:
    """Write a message of about `size` octets to a file."""
    path.write_bytes(bulk(size))

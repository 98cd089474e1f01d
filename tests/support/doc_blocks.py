"""The code blocks of the README and of the pages in `docs/`.

Rules:

1. A block is a `.. code-block:: LANGUAGE` with what is indented under it. A literal
   block ("::") is a figure and no code, except in the README, where it is a command.
2. The Python blocks of a page share one namespace, from the top to the bottom.
3. A `text` block is what the Python or shell block above it prints; "..." stands for
   anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

__all__ = ["PAGES", "ROOT", "Block", "blocks_of", "literals_of", "name_of"]

ROOT = Path(__file__).parent.parent.parent
PAGES = [
    *(ROOT / name for name in ("README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst")),
    *sorted((ROOT / "docs").rglob("*.rst")),
]

_DIRECTIVE = re.compile(r"^( *)\.\. code-block:: *(\w+)$")
_OPTION = re.compile(r"^ *:[\w-]+:")
_LITERAL = re.compile(r"^( *)(?!\.\. ).*::$")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: What `code-block` names.
        line: The line of the page that the code starts at, counted from 1.
        code: The code, without its indentation.
    """

    language: str
    line: int
    code: str


def name_of(page: Path) -> str:
    """The name of a page as people say it: "docs/quickstart.rst"."""
    return str(page.relative_to(ROOT))


def _indented(lines: list[str], start: int, margin: int) -> tuple[int, str]:
    """Find the indented text that starts at a line or behind empty lines."""
    while start < len(lines) and not lines[start].strip():
        start += 1
    end = start
    while end < len(lines) and (
        not lines[end].strip() or lines[end].startswith(" " * (margin + 1))
    ):
        end += 1
    return start, dedent("\n".join(lines[start:end])).rstrip() + "\n"


def blocks_of(page: Path) -> Iterator[Block]:
    """List the code blocks of a page."""
    lines = page.read_text().splitlines()
    for at, line in enumerate(lines):
        if match := _DIRECTIVE.match(line):
            start = at + 1
            while start < len(lines) and _OPTION.match(lines[start]):
                start += 1
            first, code = _indented(lines, start, len(match[1]))
            yield Block(match[2], first + 1, code)


def literals_of(page: Path) -> Iterator[Block]:
    """List the literal blocks of a page."""
    lines = page.read_text().splitlines()
    for at, line in enumerate(lines):
        if (match := _LITERAL.match(line)) and line.strip() != "::":
            first, code = _indented(lines, at + 1, len(match[1]))
            yield Block("literal", first + 1, code)

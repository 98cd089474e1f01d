"""The picture of a trace shows the spans that a real run has."""

from __future__ import annotations

import re
import subprocess
import sys

from doc_blocks import ROOT


def texts(svg: str) -> list[str]:
    """List what stands in a picture, without the times."""
    return [text for text in re.findall(r">([^<>]+)</text>", svg) if " ms" not in text]


def test_the_picture_has_the_spans_of_a_run() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "docs" / "draw_trace.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    kept = (ROOT / "docs" / "_static" / "trace.svg").read_text()
    assert texts(drawn) == texts(kept)
    assert "smtp.status=refused" in kept

"""Every code block of the README and of the documentation runs as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, blocks_of, name_of

SUPPORT = ROOT / "tests" / "support"
LANGUAGES = {"python", "text", "console", "ini", "rst"}
WITH_CODE = [
    page
    for page in PAGES
    if any(b.language == "python" or "$ smtplibaio" in b.code for b in blocks_of(page))
]


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_blocks_of_a_page_run_in_order(page: Path, tmp_path: Path) -> None:
    """Against the servers of `doc_world`; nothing in a block is undefined."""
    path = [ROOT / "src", SUPPORT, os.environ.get("PYTHONPATH", "")]
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", SUPPORT / "run_doc_page.py", page],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
    )
    assert ran.returncode == 0, ran.stderr
    for complaint in ("Warning", "Traceback", "never retrieved"):
        assert complaint not in ran.stderr, ran.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_has_a_language_that_is_checked(page: Path) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES

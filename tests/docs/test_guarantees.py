"""The page of promises names tests that exist."""

from __future__ import annotations

import re

from doc_blocks import ROOT


def test_every_test_that_holds_a_promise_exists() -> None:
    page = (ROOT / "docs" / "guarantees.rst").read_text()
    named = set(re.findall(r"``(test_\w+)``", page))
    tests = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for text in tests for name in re.findall(r"def (test_\w+)\(", text)}
    assert named
    assert named - defined == set()

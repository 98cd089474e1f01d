"""The repository checks itself: what imports what, what is public, what is tested."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import smtplibaio

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "smtplibaio"

#: From the ground up; an import only ever points down. Above the line are rules, which
#: can be tested without a loop.
RULES = [
    "exceptions",
    "timeouts",
    "progress",
    "replies",
    "verdicts",
    "events",
    "commands",
    "extensions",
    "addresses",
    "framing",
    "canonical",
    "content",
    "parameters",
    "envelope",
    "message",
    "fitting",
    "planning",
    "mails",
    "mechanism",
    "oauth",
    "scram",
    "sasl",
    "session",
]
BELOW_THE_LINE = [
    "tls",
    "deadline",
    "owed",
    "indivisible",
    "salvage",
    "protocol",
    "dialogue",
    "sources",
    "sending",
    "outbox",
    "pipeline",
    "transaction",
    "supply",
    "runs",
    "windows",
    "many",
    "connecting",
    "connection",
    "settings",
    "authentication",
    "client",
    "securing",
    "commanding",
    "mailing",
    "smtp",
    "demo",
    "cli",
]
HOUSE = RULES + BELOW_THE_LINE
MODULES = sorted(p.stem for p in SOURCE.glob("*.py") if not p.stem.startswith("__"))


def imports(module: str) -> Iterator[str]:
    """List what a module imports: ".name" from the package, "name" from elsewhere."""
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level and node.module is None:
                yield from (f".{alias.name}" for alias in node.names)
            else:
                name = (node.module or "").partition(".")[0]
                yield f".{name}" if node.level else name


def test_every_module_has_its_place_in_the_house() -> None:
    assert sorted(HOUSE) == MODULES


@pytest.mark.parametrize("module", HOUSE)
def test_imports_point_down_only(module: str) -> None:
    below = {f".{name}" for name in HOUSE[: HOUSE.index(module)]}
    assert {name for name in imports(module) if name.startswith(".")} <= below


@pytest.mark.parametrize("module", RULES)
def test_the_rules_know_no_loop_and_no_socket(module: str) -> None:
    assert set(imports(module)).isdisjoint({"asyncio", "socket", "ssl"})


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_own_test_file(module: str) -> None:
    assert (ROOT / "tests" / f"test_{module}.py").exists()


@pytest.mark.parametrize("module", MODULES)
def test_no_file_holds_two_ideas(module: str) -> None:
    assert len((SOURCE / f"{module}.py").read_text().splitlines()) <= 420


@pytest.mark.parametrize("module", MODULES)
def test_what_a_module_is_for_is_named_in_its_all(module: str) -> None:
    tree = ast.parse((SOURCE / f"{module}.py").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    defined = {
        node.name
        for node in tree.body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    } | {
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign))
    }
    if module == "sasl":  # which gathers what others define
        defined |= {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.level
            for alias in node.names
        }
    assert set(names) <= defined


def test_the_public_names_are_those_of_the_readme() -> None:
    readme = (ROOT / "README.rst").read_text()
    section = readme.partition("The public names\n====")[2].partition("The licence")[0]
    assert set(re.findall(r"``(\w+)``", section)) == set(smtplibaio.__all__)


def test_every_public_name_is_there_and_documented() -> None:
    for name in smtplibaio.__all__:
        assert getattr(smtplibaio, name).__doc__, name


def test_names_are_imported_when_they_are_asked_for() -> None:
    """`import smtplibaio` costs next to nothing, and all that one expects is there."""
    script = (
        "import sys, smtplibaio as s\n"
        "print([m for m in sys.modules if m.startswith('smtplibaio.')])\n"
        "assert {*s.__all__, 'exceptions', 'smtp'} == {*dir(s)}\n"
        "assert s.SMTP is s.SMTP is s.smtp.SMTP and s.exceptions and s.events\n"
        "s.nothing\n"
    )
    ran = subprocess.run(  # the tests have imported everything already
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "[]\n"
    assert ran.stderr.splitlines()[-1] == (
        "AttributeError: module 'smtplibaio' has no attribute 'nothing'"
    )
    assert set(dir(smtplibaio)) >= set(smtplibaio.__all__)


def test_everything_that_raises_is_in_the_readme() -> None:
    readme = (ROOT / "README.rst").read_text()
    for name in smtplibaio.exceptions.__all__:
        assert f"``{name}``" in readme, name


def test_the_package_is_marked_as_typed() -> None:
    assert (SOURCE / "py.typed").exists()

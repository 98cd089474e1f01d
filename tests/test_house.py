"""The repository checks itself: what imports what, what is public, what is tested."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import smtplibaio

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "smtplibaio"

#: From the ground up; a room imports only from rooms that stand below it.
ROOMS = [
    "exceptions",
    "timeouts",
    "grammar",
    "events",
    "otel",
    "content",
    "wire",
    "sasl",
    "mail",
    "client",
    "services",
    "url",
    "smtp",
    "once",
    "testing",
    "pool",
    "demo",
    "cli",
]

#: Rooms that can be tested without a loop.
RULES = [
    "exceptions",
    "timeouts",
    "grammar",
    "events",
    "otel",
    "content",
    "sasl",
    "mail",
    "services",
    "url",
]

#: Lines of code of a file, its docstrings, comments and empty lines not counted.
MOST_LINES = 330

#: The facade holds one idea, in many methods of two lines.
MOST_LINES_OF = {"smtp": 470}


def room_of(path: Path) -> str:
    """Name the room that a file stands in; a file of its own is a room of one."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


MODULES = sorted(p for p in SOURCE.rglob("*.py") if room_of(p)[:2] != "__")


def name_of(path: Path) -> str:
    """Name a module as people say it: "client/session"."""
    return str(path.relative_to(SOURCE).with_suffix(""))


def running(node: ast.AST) -> Iterator[ast.AST]:
    """List the nodes of a tree, but for what only a type checker reads."""
    is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(
        node.test
    )
    if not is_for_types:
        yield node
        for child in ast.iter_child_nodes(node):
            yield from running(child)


def imports(path: Path) -> Iterator[str]:
    """List what a module imports: ".room.module" from the package, "name" from out."""
    package = ["", *path.relative_to(SOURCE).parent.parts]
    for node in running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            where = package[: len(package) - node.level + 1]
            where += node.module.split(".") if node.module else []
            yield from (".".join([*where, alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def code_lines(path: Path) -> int:
    """Count the lines that are neither docstring nor comment nor empty."""
    text = path.read_text()
    passed_over: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_documented = isinstance(
            node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        )
        if is_documented and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            passed_over |= {*range(docstring.lineno, (docstring.end_lineno or 0) + 1)}
    return sum(
        bool(line.strip())
        and not line.strip().startswith("#")
        and at not in passed_over
        for at, line in enumerate(text.split("\n"), 1)
    )


def test_every_room_has_its_place_in_the_house() -> None:
    assert {room_of(path) for path in MODULES} == set(ROOMS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down_only(path: Path) -> None:
    room = room_of(path)
    below = set(ROOMS[: ROOMS.index(room) + 1])
    used = {name.split(".")[1] for name in imports(path) if name.startswith(".")}
    assert used <= below


@pytest.mark.parametrize("room", sorted({room_of(path) for path in MODULES}))
def test_no_two_modules_of_a_room_need_each_other(room: str) -> None:
    needs = {
        name_of(path): {
            "/".join(name.split(".")[1:3])
            for name in imports(path)
            if name.startswith(f".{room}.")
        }
        for path in MODULES
        if room_of(path) == room
    }
    while ready := [name for name, below in needs.items() if not below & needs.keys()]:
        for name in ready:
            del needs[name]
    assert needs == {}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(path) in RULES], ids=name_of
)
def test_the_rules_know_no_loop_and_no_socket(path: Path) -> None:
    assert set(imports(path)).isdisjoint({"asyncio", "socket", "ssl"})


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_holds_two_ideas(path: Path) -> None:
    assert code_lines(path) <= MOST_LINES_OF.get(name_of(path), MOST_LINES)


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.stem != "__init__"], ids=name_of
)
def test_what_a_module_is_for_is_named_in_its_all(path: Path) -> None:
    tree = ast.parse(path.read_text())
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
    assert set(names) <= defined


def test_every_public_name_is_there_and_documented() -> None:
    aliases = {"AddressLike", "Message", "Notify", "StartTLS", "Token"}
    for name in smtplibaio.__all__:
        value = getattr(smtplibaio, name)
        assert name in aliases or value.__doc__, name


def test_names_are_imported_when_they_are_asked_for() -> None:
    """`import smtplibaio` costs next to nothing, and all that one expects is there."""
    script = (
        "import sys, smtplibaio as s\n"
        "print([m for m in sys.modules if m.startswith('smtplibaio.')])\n"
        "assert {*s.__all__} == {*dir(s)}\n"
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


def test_the_package_is_marked_as_typed() -> None:
    assert (SOURCE / "py.typed").exists()

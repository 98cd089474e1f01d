"""Run the Python blocks of a page in order: python run_doc_page.py PAGE.

The working directory should be empty, for blocks write files. A block with an `await`
outside of a function runs in one event loop, as in `python -m asyncio`; any other block
runs without a loop, so that it can call `asyncio.run`.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import dis
import doctest
import inspect
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType, ModuleType

from doc_blocks import Block, blocks_of
from doc_world import World

from smtplibaio.cli import main

#: It is loaded by itself where smtplibaio is installed with its entry points.
PLUGIN = ["-p", "smtplibaio.testing.plugin", "-p", "no:cacheprovider"]


def run(page: Path) -> None:
    """Run a page; raise what its blocks raise."""
    module = ModuleType("__main__")
    sys.modules["__main__"] = module  # dataclasses and pickle look there
    printed = ""
    with asyncio.Runner() as runner:
        for block in blocks_of(page):
            if block.language == "python":
                with contextlib.redirect_stdout(io.StringIO()) as out:
                    run_block(block, page, module, runner.get_loop())
                printed = out.getvalue()
            elif block.language == "console":
                run_commands(block, page)
            elif block.language == "text" and printed:
                check_printed(block, printed, page)
    check_names(page)
    run_tests(page)


def run_tests(page: Path) -> None:
    """Let pytest run the test functions of a page, if it has any."""
    code = "\n".join(b.code for b in blocks_of(page) if b.language == "python")
    if "\ndef test_" in code or "\nasync def test_" in code:
        script = Path("test_page.py")
        script.write_text(code)
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *PLUGIN, script],
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise AssertionError(f"{page}: a test of the page fails\n{ran.stdout}")


def names_in(code: CodeType) -> Iterator[tuple[str, str, int]]:
    """List what code does with global names, in its functions too: how, name, line."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = getattr(instruction.positions, "lineno", None) or line
        how, _, where = instruction.opname.partition("_")
        if where in {"GLOBAL", "NAME"}:
            yield how, instruction.argval, line
        if isinstance(instruction.argval, CodeType):
            yield from names_in(instruction.argval)


def check_names(page: Path) -> None:
    """Look for names that nothing defines, also where running did not reach them."""
    used = [
        found
        for block in blocks_of(page)
        if block.language == "python"
        for found in names_in(compiled(block, page))
    ]
    known = {name for how, name, _ in used if how == "STORE"} | {*dir(builtins)}
    for how, name, line in used:
        if how == "LOAD" and name not in known | {"__name__", "__file__"}:
            raise NameError(f"{page}:{line}: nothing defines {name}")


def compiled(block: Block, page: Path) -> CodeType:
    """Compile a block so that a traceback shows the lines of the page."""
    return compile(
        "\n" * (block.line - 1) + block.code,
        str(page),
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )


def run_block(
    block: Block, page: Path, module: ModuleType, loop: asyncio.AbstractEventLoop
) -> None:
    """Run one block, in the loop of the page where it awaits."""
    code = compiled(block, page)
    if code.co_flags & inspect.CO_COROUTINE:
        loop.run_until_complete(eval(code, module.__dict__))
    else:
        exec(code, module.__dict__)


def run_commands(block: Block, page: Path) -> None:
    """Run the commands of smtplibaio in a shell block; compare what they show."""
    for part in re.split(r"^\$ ", block.code, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        words = shlex.split(command)
        while words and "=" in words[0]:
            name, _, value = words.pop(0).partition("=")
            os.environ[name] = value
        if words[:1] == ["smtplibaio"]:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                main(words[1:])
            if shown.strip():
                check_printed(replace(block, code=shown), out.getvalue(), page)


def check_printed(block: Block, printed: str, page: Path) -> None:
    """Compare what a block printed with what the page says."""
    if not doctest.OutputChecker().check_output(
        block.code, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    ):
        raise AssertionError(f"{page}:{block.line}: the block above prints\n{printed}")


if __name__ == "__main__":
    world = World()
    world.start()
    try:
        run(Path(sys.argv[1]))
    finally:
        world.stop()

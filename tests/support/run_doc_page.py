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
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, ModuleType

from doc_blocks import Block, blocks_of
from doc_world import World


def run(page: Path) -> None:
    """Run a page; raise what its blocks raise."""
    module = ModuleType("__main__")
    sys.modules["__main__"] = module  # dataclasses and pickle look there
    loop = asyncio.new_event_loop()
    printed = ""
    for block in blocks_of(page):
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                run_block(block, page, module, loop)
            printed = out.getvalue()
        elif block.language == "text" and printed:
            check_printed(block, printed, page)
    check_names(page, module)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def globals_of(code: CodeType) -> Iterator[tuple[str, int]]:
    """List the global names that code reads, in its functions too, with their lines."""
    line = code.co_firstlineno
    for instruction in dis.get_instructions(code):
        line = getattr(instruction.positions, "lineno", None) or line
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
            yield instruction.argval, line
        if isinstance(instruction.argval, CodeType):
            yield from globals_of(instruction.argval)


def check_names(page: Path, module: ModuleType) -> None:
    """Look for names that nothing defines, also where running did not reach them."""
    for block in blocks_of(page):
        if block.language == "python":
            for name, line in globals_of(compiled(block, page)):
                if not hasattr(module, name) and not hasattr(builtins, name):
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

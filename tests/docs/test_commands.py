"""The shell commands of the pages, checked without doing what they do."""

from __future__ import annotations

import io
import re
import shlex
from configparser import ConfigParser
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from doc_blocks import PAGES, ROOT, blocks_of, literals_of, name_of

from smtplibaio.cli import main

CONFIG = ConfigParser()
CONFIG.read(ROOT / "setup.cfg")
EXTRAS = CONFIG["options.extras_require"].keys()


def commands_of(page: Path) -> list[str]:
    """List the commands of a page: lines of console blocks that begin with "$"."""
    blocks = [b for b in blocks_of(page) if b.language == "console"]
    shown = [
        line[2:] for b in blocks for line in b.code.splitlines() if line[:2] == "$ "
    ]
    if page.name == "README.rst":
        shown += [line for b in literals_of(page) for line in b.code.splitlines()]
    inline = re.findall(
        r"``((?:pip install|python -m|smtplibaio) [^`]+)``", page.read_text()
    )
    return [part for line in shown + inline for part in line.split(" && ")]


COMMANDS = [
    pytest.param(command, id=f"{name_of(page)}: {command}")
    for page in PAGES
    for command in commands_of(page)
]

#: Commands of other programs, as they stand in a page.
TOOLS = {
    ". venv/bin/activate",
    ".ci/run",
    "apt-get install dovecot-core dovecot-submissiond dovecot-lmtpd microsocks",
    "apt-get install postfix libsasl2-modules sasl2-bin",
    "cd dist/smtplibaio-*/",
    "coverage combine",
    "coverage report",
    "coverage run -m pytest",
    "mutmut results",
    "mutmut run",
    "mutmut run smtplibaio.grammar.replies.*",
    "mypy",
    "ruff check .",
    "ruff format .",
    "sphinx-build -W docs docs/_build",
    "tar -xzf dist/smtplibaio-*.tar.gz -C dist",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_can_work(command: str) -> None:
    words = shlex.split(command)
    match [word for word in words if not re.match("[A-Z_]+=", word)]:
        case []:
            assert words  # a variable for the commands that follow
        case ["pip", "install", *arguments]:
            check_pip(arguments)
        case ["python", "-m", module, *arguments]:
            check_module(module, arguments)
        case ["python", script, *arguments]:
            assert (ROOT / script).exists()
            for path in arguments:  # dist/ is what `python -m build` makes
                assert (ROOT / path).exists() or path.startswith("dist/"), path
        case ["smtplibaio", *arguments]:
            check_cli(arguments)
        case other if " ".join(other) not in TOOLS:
            pytest.fail(f"no rule says how to check {other}")


def check_pip(arguments: list[str]) -> None:
    """Only what exists: extras of this package, and packages with the right name."""
    for argument in arguments:
        assert argument in {"-e", "build", "dkimpy", "httpx2", "."} or re.match(
            r"(\.|smtplibaio)(\[|>=3)", argument
        ), argument
        if extras := re.search(r"\[(.+)\]", argument):
            assert set(extras[1].split(",")) <= set(EXTRAS), argument


def check_module(module: str, arguments: list[str]) -> None:
    if module == "smtplibaio":
        check_cli(arguments)
    elif module in {"tests.oracle", "benchmarks"}:
        assert (ROOT / module.replace(".", "/") / "__main__.py").exists(), module
    else:
        assert module in {"asyncio", "build", "pytest", "venv"}, module


def check_cli(arguments: list[str]) -> None:
    """What is not there would be an error of usage, before anything is sent."""
    command = [word.strip(",") for word in arguments[:1]]
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert left.value.code == 0
    for option in re.findall(r"(?<!\S)--[\w-]+", " ".join(arguments)):
        assert option in out.getvalue(), option

"""A misspelt name is an error before the program runs, and the right ones are not."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import smtplibaio

ROOT = Path(__file__).parent.parent

RIGHT = "\n".join(f"smtplibaio.{name}" for name in smtplibaio.__all__)
PROGRAM = f"import smtplibaio\n{RIGHT}\nsmtplibaio.SMPT\n"


def complaints(command: list[str], program: Path) -> list[str]:
    """Run a type checker, and list what it says of a program."""
    ran = subprocess.run(
        [sys.executable, "-m", *command, str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=program.parent,
        env={"PATH": "/usr/bin:/bin", "MYPYPATH": str(ROOT / "src"), "HOME": "/tmp"},
    )
    return [line for line in ran.stdout.splitlines() if f"{program.name}:" in line]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def test_mypy_finds_a_misspelt_name_and_no_other(program: Path) -> None:
    pytest.importorskip("mypy", reason="the extra lint is not installed")
    found = complaints(["mypy", "--no-incremental"], program)
    assert len(found) == 1, found
    assert 'Module has no attribute "SMPT"' in found[0]


def test_pyright_finds_a_misspelt_name_and_no_other(program: Path) -> None:
    pytest.importorskip("pyright", reason="pyright is not installed")
    settings = f'{{"extraPaths": ["{ROOT / "src"}"], "reportUnusedExpression": false}}'
    (program.parent / "pyrightconfig.json").write_text(settings)
    found = complaints(["pyright"], program)
    assert len(found) == 1, found
    assert '"SMPT" is not a known attribute of module' in found[0]


def test_jedi_knows_the_names_and_no_other() -> None:
    jedi = pytest.importorskip("jedi", reason="jedi is not installed")
    project = jedi.Project(ROOT, added_sys_path=[str(ROOT / "src")])
    for name in smtplibaio.__all__:
        script = jedi.Script(f"import smtplibaio\nsmtplibaio.{name}", project=project)
        assert script.infer(2, 13), name
    script = jedi.Script("import smtplibaio\nsmtplibaio.SMPT", project=project)
    assert script.infer(2, 13) == []
    completions = {
        name.name
        for name in jedi.Script(
            "import smtplibaio\nsmtplibaio.", project=project
        ).complete(2, 11)
    }
    assert completions >= set(smtplibaio.__all__)


def test_the_version_is_that_of_the_package() -> None:
    assert smtplibaio.__version__ == version("smtplibaio")


def test_a_misspelt_name_is_an_error_at_run_time_too() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'SMPT'"):
        getattr(smtplibaio, "SMPT")  # noqa: B009

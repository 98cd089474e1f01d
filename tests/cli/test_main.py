"""The command line, from the outside and from the inside."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from smtplibaio.cli import main


def test_the_demo_shows_the_conversation_and_what_was_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "C: AUTH PLAIN ***" in shown
    assert "accepted  bob@demo.example" in shown
    assert "refused   nobody@demo.example: 550 5.1.1 no such user here" in shown
    assert "The server has stored, for bob@demo.example:" in shown
    assert "\n  .\n" in shown
    assert "open sesame" not in shown


def test_without_its_extra_the_demo_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "smtplibaio.demo", raising=False)
    monkeypatch.setitem(sys.modules, "trustme", None)
    assert main(["demo"]) == 1
    assert "pip install 'smtplibaio[demo]'" in capsys.readouterr().err


def test_a_command_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([])
    assert exit_.value.code == 2
    assert "usage: smtplibaio" in capsys.readouterr().err


def test_the_exit_status_is_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["smtplibaio", "demo"])
    monkeypatch.delitem(sys.modules, "smtplibaio.__main__", raising=False)
    with pytest.raises(SystemExit) as exit_:
        importlib.import_module("smtplibaio.__main__")
    assert exit_.value.code == 0


def test_the_package_runs_as_a_module() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "smtplibaio", "demo"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr == ""
    assert "stored as message 1" in run.stdout

"""The command line in a pseudo-terminal, as somebody sees it who types it."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtplibaio.testing import Fault, SMTPServer

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """A program that runs in a terminal of 80 columns."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        ours, theirs = pty.openpty()
        keep = {k: v for k, v in os.environ.items() if not k.startswith("SMTP_")}
        environment = {"TERM": "xterm-256color", "COLUMNS": "80", **environment}
        keep.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "smtplibaio", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**keep, **environment},
        )
        os.close(theirs)
        self._ours = ours
        self.shown = ""

    def read_until(self, text: str) -> None:
        """Read what is shown, until something is there."""
        while text not in self.shown and self._read():
            pass
        assert text in self.shown, self.shown

    def finish(self) -> int:
        """Read to the end; give the exit status."""
        while self._read():
            pass
        os.close(self._ours)
        return self.process.wait(10)

    def _read(self) -> bool:
        try:
            octets = os.read(self._ours, 65536)
        except OSError:  # EIO: the program has left its terminal
            return False
        self.shown += octets.decode()
        return bool(octets)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(*arguments: str, **environment: str) -> Terminal:
        made.append(Terminal(*arguments, **environment))
        return made[-1]

    yield make
    for each in made:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def outbox(tmp_path: Path) -> str:
    for number in range(20):
        (tmp_path / f"{number:02}.eml").write_text(
            f"From: a@x.example\nTo: b@y.example\nSubject: {number}\n\nhello\n"
        )
    return str(tmp_path)


def test_a_terminal_shows_bars_and_a_table(
    terminal: Callable[..., Terminal], outbox: str
) -> None:
    with SMTPServer(reply={"RCPT": [None, "550 no"]}) as server:
        shell = terminal(
            "send", outbox, "--url", server.url, "--journal", f"{outbox}/j"
        )
        assert shell.finish() == 1
    assert "━" in shell.shown
    assert "20 of 20" in shell.shown
    assert "refused: " in shell.shown
    assert COLOUR.search(shell.shown)
    assert "accepted" in shell.shown.rpartition("20 of 20")[2]


def test_the_bars_leave_room_for_what_ctrl_c_shows(
    terminal: Callable[..., Terminal], outbox: str
) -> None:
    """A full line would break at the "^C", and the bars would be drawn twice."""
    with SMTPServer() as server:
        shell = terminal("send", outbox, "--url", server.url)
        assert shell.finish() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", COLOUR.sub("", shell.shown))
    bars = [
        line for line in re.split(r"[\r\n]+", plain) if "━" in line and "of" in line
    ]
    assert bars
    assert max(map(len, bars)) <= 80 - len("^C")


def test_no_color_is_honoured(terminal: Callable[..., Terminal], outbox: str) -> None:
    with SMTPServer() as server:
        shell = terminal("send", outbox, "--url", server.url, NO_COLOR="1")
        assert shell.finish() == 0
        probe = terminal("probe", server.url, NO_COLOR="1")
        assert probe.finish() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shell.shown)
    assert "\x1b" not in probe.shown


def test_a_dumb_terminal_gets_plain_lines(
    terminal: Callable[..., Terminal], outbox: str
) -> None:
    with SMTPServer() as server:
        shell = terminal("send", outbox, "--url", server.url, TERM="dumb")
        assert shell.finish() == 0
        probe = terminal("probe", server.url, TERM="dumb")
        assert probe.finish() == 0
    assert "\x1b" not in shell.shown + probe.shown
    assert shell.shown.startswith("accepted  20  ")


def test_the_verdict_of_a_probe_is_coloured(terminal: Callable[..., Terminal]) -> None:
    with SMTPServer() as server:
        shell = terminal("probe", server.url)
        assert shell.finish() == 0
    assert "\x1b[32mNo mistakes were found.\x1b[m" in shell.shown


def test_ctrl_c_twice_ends_the_run_and_says_what_is_unknown(
    terminal: Callable[..., Terminal], outbox: str
) -> None:
    with SMTPServer(reply={".": [None] * 5 + [Fault.SILENCE]}) as server:
        journal = f"{outbox}/j"
        shell = terminal("send", outbox, "--url", server.url, "--journal", journal)
        shell.read_until("5 of 20")
        shell.process.send_signal(signal.SIGINT)
        shell.read_until("Stopping. ")
        shell.process.send_signal(signal.SIGINT)
        assert shell.finish() == 130
        text = " ".join(shell.shown.split())
        assert "may or may not have been accepted" in text
        assert "Traceback" not in text
        assert len(server.messages) == 5
        rest = terminal("send", outbox, "--url", server.url, "--resume", journal)
        assert rest.finish() == 3
        subjects = [mail.message["Subject"] for mail in server.messages]
    assert len(subjects) == len(set(subjects))
    assert len(subjects) >= 18


def test_ctrl_c_before_the_first_mail_leaves_no_traceback(
    terminal: Callable[..., Terminal],
) -> None:
    shell = terminal("send", "--url", "smtp://127.0.0.1:1")
    shell.read_until("Reading a message from the terminal")
    shell.process.send_signal(signal.SIGINT)
    assert shell.finish() == 130
    assert "Stopped." in shell.shown
    assert "Traceback" not in shell.shown


def test_a_run_that_was_killed_can_be_gone_on_with(
    terminal: Callable[..., Terminal], outbox: str
) -> None:
    journal = f"{outbox}/j"
    with SMTPServer() as server:
        shell = terminal("send", outbox, "--url", server.url, "--journal", journal)

        def kill(command: str) -> None:
            if command == "." and len(server.messages) == 7:
                shell.process.kill()

        server.reply = kill
        assert shell.finish() == -signal.SIGKILL
        server.reply = {}
        rest = terminal("send", outbox, "--url", server.url, "--resume", journal)
        assert rest.finish() in (0, 3)  # 3 where the last one's reply was on its way
        subjects = [mail.message["Subject"] for mail in server.messages]
    assert len(subjects) == len(set(subjects)) >= 18


@pytest.mark.parametrize("command", [[], ["send"], ["probe"], ["demo"]])
def test_help_fits_into_80_columns(
    terminal: Callable[..., Terminal], command: list[str]
) -> None:
    shell = terminal(*command, "--help")
    assert shell.finish() == 0
    lines = shell.shown.splitlines()
    assert lines[0].startswith("usage: smtplibaio")
    assert max(map(len, lines)) < 80

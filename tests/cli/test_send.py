"""The command `send`, from its arguments to what a server has got."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from smtplibaio.cli import journal as journals
from smtplibaio.cli import main, sending
from smtplibaio.cli.display import PlainDisplay
from smtplibaio.cli.journal import JournalError
from smtplibaio.testing import Fault, SMTPServer

ENVELOPE = ["--from", "a@x.example", "--to", "b@y.example"]


def message(number: int) -> bytes:
    return (
        f"From: a@x.example\nTo: b{number}@y.example\nBcc: c@y.example\n"
        f"Subject: {number}\n\nhello\n"
    ).encode()


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a directory with three messages, in an empty working directory."""
    folder = tmp_path / "outbox"
    folder.mkdir()
    for number in (1, 2, 3):
        (folder / f"{number}.eml").write_bytes(message(number))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMTP_URL", raising=False)
    monkeypatch.delenv("SMTP_PASSWORD", raising=False)


@pytest.fixture
def server() -> Iterator[SMTPServer]:
    with SMTPServer() as running:
        yield running


def send(server: SMTPServer, *arguments: str | Path) -> int:
    return main(["send", "--url", server.url, *map(str, arguments)])


def subjects(server: SMTPServer) -> list[str]:
    return [mail.message["Subject"] for mail in server.messages]


def test_messages_leave_as_files_of_a_directory(
    server: SMTPServer, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(server, outbox) == 0
    assert subjects(server) == ["1", "2", "3"]
    mail = server.messages[0]
    assert mail.sender == "a@x.example"
    assert list(mail.recipients) == ["b1@y.example", "c@y.example"]
    assert mail.message["Bcc"] is None
    assert mail.message["Date"]
    assert mail.message["Message-ID"]
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.startswith("accepted  3  ")
    assert not list(Path().glob("*.journal"))


def test_a_message_is_made_of_options(server: SMTPServer, tmp_path: Path) -> None:
    attachment = tmp_path / "a.bin"
    attachment.write_bytes(b"\0\1")
    options = ["--subject", "Hi", "--text", "Hello", "--attach", attachment]
    assert send(server, *ENVELOPE, *options) == 0
    (mail,) = server.messages
    assert mail.message["Subject"] == "Hi"
    assert [part.get_content_type() for part in mail.message.walk()] == [
        "multipart/mixed",
        "text/plain",
        "application/octet-stream",
    ]


@pytest.mark.parametrize("arguments", [["-"], []])
def test_a_message_comes_from_stdin(
    server: SMTPServer, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(message(7))))
    assert send(server, *arguments) == 0
    assert subjects(server) == ["7"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_text_comes_from_stdin(
    server: SMTPServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_terminal: bool,
) -> None:
    stdin = io.StringIO("typed\n")
    monkeypatch.setattr(stdin, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert send(server, *ENVELOPE, "--text", "-") == 0
    assert server.messages[0].message.get_content().strip() == "typed"
    is_invited = "Reading the text from the terminal" in capsys.readouterr().err
    assert is_invited == is_terminal


def test_the_server_and_the_password_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, outbox: Path
) -> None:
    with SMTPServer(auth=True) as server:
        without = server.url.replace(":open%20sesame", "") + "?starttls=never"
        monkeypatch.setenv("SMTP_URL", without)
        monkeypatch.setenv("SMTP_PASSWORD", server.password)
        assert main(["send", str(outbox)]) == 0
        assert {mail.username for mail in server.messages} == {"alice"}


@pytest.mark.parametrize("window", ["1", "5"])
def test_json_has_one_object_a_mail_and_one_at_the_end(
    outbox: Path, capsys: pytest.CaptureFixture[str], window: str
) -> None:
    with SMTPServer(reply={"RCPT TO:<b2@": "550 5.1.1 no"}) as server:
        assert send(server, outbox, "--json", "--window", window) == 1
    shown = capsys.readouterr()
    *mails, summary = map(json.loads, shown.out.splitlines())
    assert [mail["status"] for mail in mails] == ["accepted", "partial", "accepted"]
    assert mails[1]["refused"] == {"b2@y.example": "550 5.1.1 no"}
    assert mails[1]["accepted"] == ["c@y.example"]
    assert summary["mails"] == {"accepted": 2, "partial": 1}
    assert summary["exit_status"] == 1
    assert Path(summary["journal"]).exists()


def test_quiet_shows_errors_only(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SMTPServer(reply={"MAIL": ["450 4.3.0 later"]}) as server:
        assert send(server, outbox / "1.eml", "--quiet") == 75
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "450 4.3.0 later" in shown.err


def test_what_cannot_be_sent_does_not_keep_the_others_back(
    server: SMTPServer, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (outbox / "2.eml").write_bytes(b"Subject: nobody\n\nhi\n")
    (outbox / "25.eml").write_bytes(b"From: a@x.example\nSubject: to nobody\n\nhi\n")
    assert send(server, outbox) == 1
    assert subjects(server) == ["1", "3"]
    shown = capsys.readouterr()
    assert "not sent: " in shown.err
    assert "pass sender=" in shown.err
    assert "there is no recipient" in shown.err


def test_a_lost_connection_ends_the_run_and_says_how_to_go_on(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = {"MAIL": [None, Fault.CLOSE]}
    with SMTPServer(reply=faults) as server:
        assert send(server, outbox, "--journal", "j") == 75
        assert subjects(server) == ["1"]
        assert "--resume j" in capsys.readouterr().err
        assert send(server, outbox, "--resume", "j") == 0
        assert subjects(server) == ["1", "2", "3"]
    assert "accepted by an earlier run  1" in capsys.readouterr().out


def test_after_a_lost_connection_nothing_more_is_read(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4, 60):
        (outbox / f"{number}.eml").write_bytes(message(number))
    with SMTPServer(reply={"MAIL": [None, Fault.CLOSE]}) as server:
        assert send(server, outbox, "--json") == 75
    *tried, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(tried) < 5
    assert summary["mails"] == {"accepted": 1, "not sent": 58}


def test_octets_are_counted_as_they_leave(
    server: SMTPServer, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []
    monkeypatch.setattr(PlainDisplay, "sent", lambda _, octets: counted.append(octets))
    path = outbox / "1.eml"
    path.write_bytes(message(1) + b"0123456789\n" * 400_000)
    assert send(server, path) == 0
    assert sum(counted) == path.stat().st_size
    assert len([octets for octets in counted if octets > 0]) > 1


def test_what_is_unknown_is_not_sent_again_unless_told(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SMTPServer(reply={".": [Fault.CLOSE_AFTER_DOT]}) as server:
        assert send(server, outbox, "--journal", "j") == 3
        shown = capsys.readouterr()
        assert "1 mail may or may not have been accepted" in shown.err
        assert send(server, outbox, "--resume", "j") == 3
        shown = capsys.readouterr()
        assert "an earlier run has begun it" in shown.err
        assert subjects(server)[1:] == ["2", "3"]
        assert send(server, outbox, "--resume", "j", "--resend-unknown") == 0
        assert subjects(server)[1:] == ["2", "3", "1"]


def test_only_those_who_were_refused_get_a_partial_mail_again(outbox: Path) -> None:
    refusal = {"RCPT TO:<b1@": ["450 later"]}
    with SMTPServer(reply=refusal) as server:
        assert send(server, outbox / "1.eml", "--journal", "j") == 75
        assert send(server, outbox / "1.eml", "--resume", "j") == 0
        got = [list(mail.recipients) for mail in server.messages]
    assert got == [["c@y.example"], ["b1@y.example"]]


def test_a_journal_is_kept_where_a_run_was_half_done(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with SMTPServer(reply={"MAIL": [None, Fault.CLOSE]}) as server:
        assert send(server, outbox) == 75
        (path,) = Path().glob("smtplibaio-*.journal")
        assert f"--resume {path}" in capsys.readouterr().err
        assert send(server, outbox, "--resume", path) == 0
        assert subjects(server) == ["1", "2", "3"]


def test_where_no_journal_can_be_kept_that_is_said(
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unwritable(*_: object) -> None:
        raise JournalError("the disk is full")

    monkeypatch.setattr(journals.Journal, "save", unwritable)
    with SMTPServer(reply={"MAIL": [None, Fault.CLOSE]}) as server:
        assert send(server, outbox) == 75
    assert "No journal could be saved: the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(("fails_at", "sent"), [("begin", []), ("end", ["1"])])
def test_no_mail_leaves_that_cannot_be_written_down(
    server: SMTPServer,
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    fails_at: str,
    sent: list[str],
) -> None:
    def unwritable(*_: object) -> None:
        raise JournalError("the disk is full")

    monkeypatch.setattr(journals.Journal, fails_at, unwritable)
    assert send(server, outbox, "--journal", "j") == (3 if sent else 1)
    assert subjects(server)[:1] == sent
    assert "the disk is full" in capsys.readouterr().err


def test_without_a_server_nothing_is_sent_and_no_journal_kept(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["send", "--url", "smtp://127.0.0.1:1", str(outbox)]) == 75
    shown = capsys.readouterr()
    assert shown.err.count("refuses connections") == 1
    assert "not sent  3" in shown.out
    assert not list(Path().glob("*.journal"))


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_gets_bars_where_rich_is_installed(
    server: SMTPServer,
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    has_rich: bool,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    if not has_rich:
        monkeypatch.delitem(sys.modules, "smtplibaio.cli.bars", raising=False)
        monkeypatch.setitem(sys.modules, "rich.console", None)
    assert send(server, outbox) == 0
    shown = capsys.readouterr()
    assert ("3 of 3" in shown.err) is has_rich
    assert ("accepted  3  " in shown.out) is not has_rich


# Ctrl-C


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def pressing(at: Callable[[str], bool], then: object = None) -> Any:
    """Make a rule that presses Ctrl-C once, at a command, and answers to it."""
    presses = [press]

    def rule(command: str) -> object:
        if not at(command):
            return None
        if presses:
            presses.pop()()
        return then

    return rule


def at_dot(command: str) -> bool:
    return command == "."


@pytest.mark.parametrize("options", [[], ["--pool", "2"]])
def test_after_ctrl_c_mails_on_their_way_get_their_outcome(
    outbox: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    for number in range(4, 20):
        (outbox / f"{number}.eml").write_bytes(message(number))
    with SMTPServer(reply=pressing(at_dot)) as server:
        assert send(server, outbox, "--json", "--journal", "j", *options) == 130
        shown = capsys.readouterr()
        assert "Stopping. " in shown.err
        summary = json.loads(shown.out.splitlines()[-1])
        assert summary["mails"].keys() == {"accepted", "not sent"}
        assert summary["mails"]["accepted"] == len(server.messages) < 19
        server.reply = {}
        assert send(server, outbox, "--resume", "j") == 0
        assert sorted(subjects(server)) == sorted(map(str, range(1, 20)))


@pytest.mark.parametrize("options", [[], ["--pool", "2"]])
@pytest.mark.parametrize("is_repeated", [False, True])
def test_what_has_no_outcome_after_ctrl_c_is_unknown(
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_repeated: bool,
    options: list[str],
) -> None:
    say = PlainDisplay.say

    def say_and_press(display: PlainDisplay, text: str) -> None:
        say(display, text)
        if text.startswith("Stopping"):
            press()

    if is_repeated:
        monkeypatch.setattr(PlainDisplay, "say", say_and_press)
    else:
        monkeypatch.setattr(sending, "PATIENCE", 0.2)
    with SMTPServer(reply=pressing(at_dot, Fault.SILENCE)) as server:
        assert send(server, outbox, "--journal", "j", *options) == 130
        shown = capsys.readouterr()
        assert "unknown: " in shown.err
        assert "Ctrl-C stopped the command" in shown.err
        assert "--resume j" in shown.err


def test_ctrl_c_while_nothing_is_on_its_way_ends_at_once(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = pressing(lambda command: command == "CONNECT", Fault.SILENCE)
    with SMTPServer(reply=rule) as server:
        assert send(server, outbox) == 130
    assert "not sent  3" in capsys.readouterr().out


def test_after_the_command_ctrl_c_is_what_it_was_before(
    server: SMTPServer, outbox: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert send(server, outbox) == 0
    assert signal.getsignal(signal.SIGINT) is before


def test_a_mistake_in_the_program_is_not_hidden(
    server: SMTPServer, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(journals.Journal, "begin", broken)
    with pytest.raises(ZeroDivisionError):
        send(server, outbox)


# Mistakes on the command line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["nothing.eml"], "nothing.eml: No such file or directory"),
        (["1.eml", "--subject", "x"], "--subject makes a message: do not give FILE"),
        (["--text", "x"], "--text makes a message: give --from and --to, too"),
        (
            ["--to", "b@y.example", "1.eml"],
            "--to reads 1.eml as a recipient: write FILE before --to",
        ),
        (["1.eml", "--window", "0"], "--window: 0 is not a whole number above 0"),
        (["1.eml", "--rate", "0"], "--rate: 0 is not a number above 0"),
        (["1.eml", "--rate", "fast"], "--rate: fast is not a number above 0"),
        (["1.eml", "--pool", "x"], "--pool: x is not a whole number above 0"),
        (["1.eml", "--journal", "1.eml"], "the file 1.eml exists"),
        (["1.eml", "--resume", "1.eml"], "1.eml is not a journal"),
        (["1.eml", "--journal", "a", "--resume", "b"], "give no --journal"),
        (["1.eml", "--resend-unknown"], "--resend-unknown needs --resume"),
        (["1.eml", "--url", "http://x"], "the URL's scheme is smtp://"),
    ],
)
def test_a_mistake_is_found_before_anything_is_sent(
    outbox: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    text: str,
) -> None:
    monkeypatch.chdir(outbox)
    with pytest.raises(SystemExit) as exit_:
        main(["send", "--url", "smtp://127.0.0.1:1", *arguments])
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_a_server_must_be_named(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["send", str(outbox)])
    assert "use --url, or set SMTP_URL" in capsys.readouterr().err


# Several connections


@pytest.mark.parametrize("options", [["--pool", "3"], ["--rate", "200"]])
def test_a_pool_connects_again_where_a_connection_is_lost(
    outbox: Path, options: list[str]
) -> None:
    for number in range(4, 20):
        (outbox / f"{number}.eml").write_bytes(message(number))
    with SMTPServer(reply={"MAIL": [None, Fault.CLOSE]}) as server:
        assert send(server, outbox, "--journal", "j", *options) == 0
        assert sorted(subjects(server)) == sorted(map(str, range(1, 20)))


def test_a_rate_is_kept(outbox: Path, server: SMTPServer) -> None:
    started = time.monotonic()
    assert send(server, outbox, "--rate", "10") == 0
    assert time.monotonic() - started >= 0.2
    assert subjects(server) == ["1", "2", "3"]


def test_a_pool_without_a_server_does_not_try_for_each_mail(
    outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4, 100):
        (outbox / f"{number}.eml").write_bytes(message(number))
    url = "smtp://127.0.0.1:1"
    assert main(["send", "--url", url, str(outbox), "--pool", "1", "--json"]) == 75
    shown = capsys.readouterr()
    assert "refuses connections" in shown.err
    *tried, summary = map(json.loads, shown.out.splitlines())
    assert len(tried) < 10
    assert summary["mails"] == {"not sent": 99}

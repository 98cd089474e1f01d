"""The journal: what it knows after anything may have happened."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from smtplibaio.cli.journal import Entry, Journal, JournalError, still_due

RECIPIENTS = ["b@y.example", "c@y.example"]


def begun(journal: Journal, digest: str = "d") -> str:
    name, _ = journal.name_of(digest)
    journal.begin(name, "a.eml", RECIPIENTS)
    return name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.journal"


def entry_of(path: Path, digest: str = "d") -> Entry | None:
    journal = Journal.resume(path)
    try:
        return journal.name_of(digest)[1]
    finally:
        journal.close()


def write(path: Path, *ends: tuple[str, list[str]]) -> None:
    journal = Journal()
    journal.save(path)
    for status, accepted in ends:
        journal.end(begun(journal), status, accepted, "")
    journal.close()


def test_what_was_accepted_is_known_to_the_next_run(path: Path) -> None:
    write(path, ("partial", RECIPIENTS[:1]))
    assert entry_of(path) == Entry("partial", {"b@y.example"})
    assert entry_of(path, "another") is None


def test_what_has_begun_and_has_no_end_is_unknown(path: Path) -> None:
    journal = Journal()
    journal.save(path)
    begun(journal)
    journal.close()
    assert entry_of(path) == Entry("unknown", set())


def test_the_same_message_twice_is_two_mails(path: Path) -> None:
    write(path, ("accepted", RECIPIENTS), ("refused", []))
    journal = Journal.resume(path)
    assert journal.name_of("d")[1] == Entry("accepted", set(RECIPIENTS))
    assert journal.name_of("d")[1] == Entry("refused", set())
    assert journal.name_of("d")[1] is None
    journal.close()


def test_what_was_accepted_in_any_run_stays_accepted(path: Path) -> None:
    write(path, ("partial", RECIPIENTS[:1]))
    journal = Journal.resume(path)
    begun(journal)
    journal.close()
    assert entry_of(path) == Entry("unknown", {"b@y.example"})


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_last_line_is_cut_off(path: Path, cut: int) -> None:
    write(path, ("accepted", RECIPIENTS))
    os.truncate(path, path.stat().st_size - cut)
    journal = Journal.resume(path)
    name, entry = journal.name_of("d")
    assert entry == Entry("unknown", set())
    journal.begin(name, "a.eml", RECIPIENTS)
    journal.end(name, "refused", [], "no")
    journal.close()
    assert entry_of(path) == Entry("refused", set())
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_nothing_of_a_torn_line_is_left(path: Path) -> None:
    write(path, ("accepted", RECIPIENTS))
    good = path.read_bytes()
    path.write_bytes(good + b'{"begin": "' + b"x" * 1000)
    Journal.resume(path).close()
    assert path.read_bytes() == good


@pytest.mark.parametrize(
    "octets",
    [b"", b"Subject: no newline", b"Subject: x\n\nhi\n", b'{"a": 1}\n', b"[\n"],
)
def test_a_file_that_is_not_a_journal_is_left_alone(path: Path, octets: bytes) -> None:
    path.write_bytes(octets)
    with pytest.raises(JournalError, match=r"run\.journal is not a journal"):
        Journal.resume(path)
    assert path.read_bytes() == octets


@pytest.mark.parametrize("line", ["{", '{"end": "d-1"}', '{"end": "x"}', "[]", "1"])
def test_a_damaged_line_is_an_error(path: Path, line: str) -> None:
    write(path, ("accepted", RECIPIENTS))
    text = path.read_text().splitlines()
    path.write_text("\n".join([*text[:2], line, *text[2:], ""]))
    with pytest.raises(JournalError, match="is damaged in line 3"):
        Journal.resume(path)


def test_a_journal_is_written_by_one_process_at_a_time(path: Path) -> None:
    journal = Journal()
    journal.save(path)
    with pytest.raises(JournalError, match="another process"):
        Journal.resume(path)
    journal.close()
    Journal.resume(path).close()


def test_a_new_journal_overwrites_no_file(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(JournalError, match=f"exists: .* --resume {path}"):
        Journal().save(path)
    assert path.read_text() == "precious"


def test_a_journal_in_memory_can_be_saved_later(path: Path) -> None:
    journal = Journal()
    journal.end(begun(journal), "accepted", RECIPIENTS, "")
    assert journal.path is None
    journal.close()
    journal.save(path)
    begun(journal, "e")
    journal.close()
    assert journal.path == path
    assert entry_of(path) == Entry("accepted", set(RECIPIENTS))
    assert entry_of(path, "e") == Entry("unknown", set())


def test_a_journal_that_cannot_be_opened_says_why(path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        Journal.resume(path)


def test_a_mail_must_not_leave_where_it_cannot_be_written_down(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal()
    journal.save(path)
    on_disk: list[int] = []

    def full(descriptor: int) -> None:
        on_disk.append(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(JournalError, match="No space left"):
        begun(journal)
    assert len(on_disk) == 1
    journal.close()


@pytest.mark.parametrize(
    ("entry", "resend_unknown", "due"),
    [
        (None, False, RECIPIENTS),
        (Entry("accepted", set(RECIPIENTS)), True, []),
        (Entry("partial", {"b@y.example"}), False, ["c@y.example"]),
        (Entry("refused", set()), False, RECIPIENTS),
        (Entry("not sent", set()), False, RECIPIENTS),
        (Entry("unknown", set()), False, []),
        (Entry("unknown", {"b@y.example"}), True, ["c@y.example"]),
    ],
)
def test_who_is_still_to_get_a_mail(
    entry: Entry | None, resend_unknown: bool, due: list[str]
) -> None:
    assert still_due(entry, RECIPIENTS, resend_unknown=resend_unknown) == due

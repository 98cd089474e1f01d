r"""What was begun and what became of it, on disk, so that a run can be gone on with.

A journal is a file of JSON objects, one a line. The first line says that it is a
journal. Before a mail leaves, a line {"begin": mail, ...} is written; with its outcome
known, a line {"end": mail, "status": ...}. Each line is on the disk (fsync) before
anything else happens.

Rules:

1. What has begun and has no end may have been accepted: it is unknown.
2. The last line may be torn (the machine went down as it was written): it is passed
   over, and cut off before more is written. Any other line that cannot be read is an
   error: a journal that lies would have mail sent twice.
3. A recipient that was accepted in any run stays accepted.
4. Two processes never write the same journal at once, where the system has `flock`.
5. A mail is named by its digest and a number: the same file given twice is two mails.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

__all__ = ["Entry", "Journal", "JournalError", "read_journal", "still_due"]

_TITLE = {"journal": "smtplibaio", "version": 1}


class JournalError(Exception):
    """Report a journal that cannot be used; the text says what to do."""


@dataclass(slots=True)
class Entry:
    """What a journal knows of one mail.

    Attributes:
        status: As in `Outcome`; "unknown" also where it has begun and has no end.
        accepted: The recipients that a server has accepted, in any run.
    """

    status: str = "unknown"
    accepted: set[str] = field(default_factory=set)


def read_journal(octets: bytes, name: str) -> tuple[dict[str, Entry], int]:
    """Read a journal.

    Args:
        octets: All of it.
        name: What errors call it.

    Returns:
        What is known of each mail, and how many octets are good: without a torn line.

    Raises:
        JournalError: It is not a journal, or a line in it cannot be read.
    """
    known: dict[str, Entry] = {}
    *lines, torn = octets.split(b"\n")
    for number, line in enumerate(lines or [torn], 1):
        try:
            record = json.loads(line)
            if number == 1 and record != _TITLE:
                raise ValueError
            if number > 1:
                _take(record, known)
        except (ValueError, KeyError, TypeError) as exc:
            what = "is not a journal" if number == 1 else f"is damaged in line {number}"
            raise JournalError(f"{name} {what}") from exc
    return known, len(octets) - len(torn)


def _take(record: Mapping[str, Any], known: dict[str, Entry]) -> None:
    if "begin" in record:
        known.setdefault(record["begin"], Entry()).status = "unknown"
    else:
        entry = known[record["end"]]
        entry.status = record["status"]
        entry.accepted.update(record["accepted"])


def still_due(
    entry: Entry | None, recipients: Iterable[str], *, resend_unknown: bool
) -> list[str]:
    """List the recipients of a mail that it is to be sent to in this run.

    Args:
        entry: What earlier runs know of the mail; None where they did not begin it.
        recipients: All of its recipients.
        resend_unknown: Whether to send what may have been accepted before.
    """
    if entry is None:
        return list(recipients)
    if entry.status == "unknown" and not resend_unknown:
        return []
    return [recipient for recipient in recipients if recipient not in entry.accepted]


class Journal:
    """Write down what happens: in a file, or in memory until `save` is called.

    Attributes:
        path: The file; None while it is in memory.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._known: dict[str, Entry] = {}
        self._numbers: Counter[str] = Counter()
        self._file: BinaryIO | None = None
        self._lines = [_line_of(_TITLE)]

    @classmethod
    def resume(cls, path: Path) -> Journal:
        """Go on with a journal.

        Raises:
            JournalError: It cannot be read or written, or another process writes it.
        """
        journal = cls()
        journal._open(path, "r+b")
        return journal

    def save(self, path: Path) -> None:
        """Write everything to a new file, and all that follows, too.

        Raises:
            JournalError: The file exists, or it cannot be written.
        """
        self._open(path, "xb")

    def _open(self, path: Path, mode: Literal["xb", "r+b"]) -> None:
        try:
            file = path.open(mode)
            try:
                _lock(file)
                if mode == "r+b":
                    self._known, size = read_journal(file.read(), f"the file {path}")
                    file.truncate(size)
                    file.seek(size)
                else:
                    _write(file, self._lines)
            except BaseException:
                file.close()
                raise
        except BlockingIOError:
            raise JournalError(f"another process writes the journal {path}") from None
        except FileExistsError:
            raise JournalError(
                f"the file {path} exists: go on with it with --resume {path}, or give "
                "the journal another name"
            ) from None
        except OSError as exc:
            raise JournalError(f"the journal {path}: {exc.strerror}") from exc
        self.path, self._file = path, file

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def name_of(self, digest: str) -> tuple[str, Entry | None]:
        """Name the next mail with this digest, and say what earlier runs know of it."""
        self._numbers[digest] += 1
        name = f"{digest}-{self._numbers[digest]}"
        return name, self._known.get(name)

    def begin(self, name: str, where: str, recipients: Iterable[str]) -> None:
        """Write that a mail is about to leave.

        Raises:
            JournalError: That cannot be written; then the mail must not leave.
        """
        self._append({"begin": name, "from": where, "recipients": list(recipients)})

    def end(self, name: str, status: str, accepted: Iterable[str], why: str) -> None:
        """Write what became of a mail.

        Args:
            name: The mail.
            status: As in `Outcome`.
            accepted: The recipients for whom a server has taken it.
            why: The error or the refusals, for people.

        Raises:
            JournalError: That cannot be written; the mail is unknown to the next run.
        """
        record = {"end": name, "status": status, "accepted": list(accepted)}
        self._append(record | ({"why": why} if why else {}))

    def _append(self, record: Mapping[str, object]) -> None:
        line = _line_of({**record, "time": datetime.now(UTC).isoformat()})
        if self._file is None:
            self._lines.append(line)
            return
        try:
            _write(self._file, [line])
        except OSError as exc:
            raise JournalError(f"the journal {self.path}: {exc.strerror}") from exc


def _write(file: BinaryIO, lines: Iterable[bytes]) -> None:
    file.writelines(lines)
    file.flush()
    os.fsync(file.fileno())


def _line_of(record: Mapping[str, object]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _lock(file: BinaryIO) -> None:
    with suppress(ImportError):  # Windows has none
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

r"""A record on disk of the mails that were begun, and of their results.

With its journal, a run can be continued later. A journal is a file with one JSON object
in each line. The first line says that it is a journal. Before a mail is sent, a line
{"begin": mail, ...} is written. When its outcome is known, a line {"end": mail,
"status": ...} is written. Each line is on the disk (fsync) before anything else is
done.

Rules:

1. A mail that was begun and has no end may have been accepted: it is unknown.
2. The last line may be incomplete, if the machine has crashed while it was written. It
   is ignored, and removed before more is written. Any other line that cannot be read is
   an error: with a wrong journal, mail would be sent twice.
3. A recipient that was accepted in any run stays accepted.
4. Two processes never write the same journal at once, if the system has `flock`.
5. A mail is named by its digest and a number: a file that is given twice is two mails.
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
    """The record of one mail in a journal.

    Attributes:
        status: As in `Outcome`; "unknown", too, if it was begun and has no end.
        accepted: The recipients that a server has accepted, in any run.
    """

    status: str = "unknown"
    accepted: set[str] = field(default_factory=set)


def read_journal(octets: bytes, name: str) -> tuple[dict[str, Entry], int]:
    """Read a journal.

    Args:
        octets: The content of the file.
        name: The name of the journal in errors.

    Returns:
        The record of each mail, and the number of octets without an incomplete line.

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
    """List the recipients to whom this run must send a mail.

    Args:
        entry: The record of the mail; None if no earlier run has begun it.
        recipients: All of its recipients.
        resend_unknown: Whether to send mails again that may have been accepted.
    """
    if entry is None:
        return list(recipients)
    if entry.status == "unknown" and not resend_unknown:
        return []
    return [recipient for recipient in recipients if recipient not in entry.accepted]


class Journal:
    """Record what happens: in a file, or in memory until `save` is called.

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
        """Continue with a journal.

        Raises:
            JournalError: It cannot be read or written, or another process writes it.
        """
        journal = cls()
        journal._open(path, "r+b")
        return journal

    def save(self, path: Path) -> None:
        """Write the whole record to a new file, and from now on each new line.

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
            raise JournalError(
                f"another process is writing the journal {path}"
            ) from None
        except FileExistsError:
            raise JournalError(
                f"the file {path} exists: continue that run with --resume {path}, or "
                "give the journal another name"
            ) from None
        except OSError as exc:
            raise JournalError(f"the journal {path}: {exc.strerror}") from exc
        self.path, self._file = path, file

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def name_of(self, digest: str) -> tuple[str, Entry | None]:
        """Name the next mail with this digest; return its record of earlier runs."""
        self._numbers[digest] += 1
        name = f"{digest}-{self._numbers[digest]}"
        return name, self._known.get(name)

    def begin(self, name: str, where: str, recipients: Iterable[str]) -> None:
        """Record that a mail will be sent now.

        Raises:
            JournalError: The line cannot be written; then the mail must not be sent.
        """
        self._append({"begin": name, "from": where, "recipients": list(recipients)})

    def end(self, name: str, status: str, accepted: Iterable[str], why: str) -> None:
        """Record the outcome of a mail.

        Args:
            name: The mail.
            status: As in `Outcome`.
            accepted: The recipients for whom a server has accepted it.
            why: The error or the refusals, for people.

        Raises:
            JournalError: The line cannot be written; for the next run, the mail is
                unknown.
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
    with suppress(ImportError):  # Windows has no fcntl
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

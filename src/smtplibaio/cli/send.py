"""The command `send`: its options, and what they come to."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from .composing import composed
from .display import Display, PlainDisplay
from .journal import Journal, JournalError
from .letters import Letter, letters_in, letters_of_stream
from .reports import Report, Tally
from .sending import Client, Delivery, Envelope, deliver
from .target import URL_HELP, Target

__all__ = ["add_send", "display_of"]

_DESCRIPTION = """\
Send messages from files, or one that is made of the options below. The
envelope is what --from and --to say, or else what each message says: Sender or
From, and To, Cc and Bcc. Bcc does not leave."""

_EPILOG = f"""\
FILE is a message (.eml), an mbox, a Maildir, a directory with .eml files, or
"-" for stdin, which is read, too, where there is no FILE.

{URL_HELP}

exit status, the first that applies:
  130  stopped by Ctrl-C
    3  some mail may or may not have been accepted: never send it again blindly
    1  something was refused
   75  something failed that may succeed later
    2  a mistake on the command line
    0  everything was accepted

examples:
  smtplibaio send --from a@x.example --to b@y.example --subject Hi --text Hello
  smtplibaio send outbox/ --pool 4 --journal run.journal
  smtplibaio send outbox/ --pool 4 --resume run.journal
"""


def add_send(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to those that there are."""
    parser = subparsers.add_parser(
        "send",
        help="send messages from files, or one that is made here",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, fail=parser.error)
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="what to send")
    add("--url", help="the server; by default the variable SMTP_URL")
    envelope = parser.add_argument_group("envelope").add_argument
    envelope("--from", dest="sender", metavar="A", help="the sender")
    envelope(
        "--to", nargs="+", action="extend", default=[], metavar="B", help="recipients"
    )
    message = parser.add_argument_group("a message that is made here").add_argument
    message("--subject", metavar="S", help="its subject")
    message("--text", metavar="T", help='its text; "-" reads it from stdin')
    message("--html", metavar="H", help="its text as HTML")
    message(
        "--attach", nargs="+", action="extend", default=[], type=Path, metavar="F",
        help="files to attach",
    )  # fmt: skip
    way = parser.add_argument_group("how").add_argument
    way("--window", type=_positive, default=1, metavar="N",
        help="mails on their way without an answer, on each connection")  # fmt: skip
    way("--pool", type=_positive, metavar="N",
        help="connections at a time; those that are lost are opened again")  # fmt: skip
    way("--rate", type=_rate, metavar="R", help="mails a second, at most")
    way("--journal", type=Path, metavar="FILE",
        help="a new file to write down in what became of each mail")  # fmt: skip
    way("--resume", type=Path, metavar="FILE",
        help="go on with a journal: what was accepted is not sent again, and neither "
        "is what may have been")  # fmt: skip
    way("--resend-unknown", action="store_true",
        help="with --resume, send what may have been accepted, too")  # fmt: skip
    shown = parser.add_argument_group("what is shown").add_argument
    shown("--json", action="store_true",
          help="for machines: one JSON object a mail, and one at the end")  # fmt: skip
    shown("--quiet", action="store_true", help="nothing but errors")


def _positive(text: str) -> int:
    with suppress(ValueError):
        if (number := int(text)) > 0:
            return number
    raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")


def _rate(text: str) -> float:
    with suppress(ValueError):
        if 0 < (number := float(text)) < float("inf"):
            return number
    raise argparse.ArgumentTypeError(f"{text} is not a number above 0")


def _run(arguments: argparse.Namespace) -> int:
    try:
        letters = _letters(arguments)
        client = _client(arguments)
        journal = _journal(arguments)
    except OSError as exc:
        arguments.fail(f"{exc.filename}: {exc.strerror}")
    except (JournalError, ValueError) as exc:
        arguments.fail(str(exc))
    display = display_of(arguments)
    delivery = Delivery(
        letters,
        Envelope(arguments.sender, tuple(arguments.to)),
        journal,
        display,
        _print_report if arguments.json else lambda _: None,
        resend_unknown=arguments.resend_unknown,
        # A mail whose octets are followed travels without a window.
        follows_octets=arguments.window == 1 and type(display) is not Display,
    )
    display.start(len(letters), sum(letter.size for letter in letters))
    started = time.monotonic()
    try:
        error = asyncio.run(deliver(delivery, client, arguments.window, display.say))
    finally:
        display.stop()
    seconds = time.monotonic() - started
    if error:
        display.say(error)
    if not arguments.json and not arguments.quiet:
        display.summarise(delivery.tally, seconds, sys.stdout)
    for line in _advice(delivery.tally, journal, len(letters)):
        display.say(line)
    journal.close()
    if arguments.json:
        _print_summary(delivery.tally, journal, seconds, error)
    return delivery.tally.exit_status


def _client(arguments: argparse.Namespace) -> Client:
    """Make one session, or a pool where several connections or a rate are wanted."""
    target = Target.of(arguments.url, os.environ)
    if arguments.pool is None and arguments.rate is None:
        return target.client()
    return target.pool(arguments.pool or 1, arguments.rate)


# What there is to send


def _letters(arguments: argparse.Namespace) -> list[Letter]:
    """List what is to be sent.

    Raises:
        ValueError: The options do not fit together; the text says how.
        OSError: A file cannot be read.
    """
    names = ("subject", "text", "html", "attach")
    made = [f"--{name}" for name in names if getattr(arguments, name)]
    if made and arguments.files:
        raise ValueError(f"{made[0]} makes a message, and FILE is another: give one")
    if made and not (arguments.sender and arguments.to):
        raise ValueError(f"{made[0]} makes a message, which needs --from and --to")
    if made:
        text = arguments.text
        if text == "-":
            _invite("the text")
            text = sys.stdin.read()
        return [
            composed(
                arguments.sender,
                arguments.to,
                arguments.subject,
                text,
                arguments.html,
                arguments.attach,
            )
        ]
    for name in arguments.to:
        if "@" not in name and Path(name).exists():
            raise ValueError(f"--to takes {name}: write FILE in front of the options")
    return [letter for name in arguments.files or ["-"] for letter in _named(name)]


def _named(name: str) -> Iterable[Letter]:
    if name == "-":
        _invite("a message")
        return letters_of_stream(sys.stdin.buffer, "stdin")
    return letters_in(Path(name))


def _invite(what: str) -> None:
    """Say that stdin is read, where somebody has to type it."""
    if sys.stdin.isatty():
        print(
            f"Reading {what} from the terminal. Press Ctrl-D at its end (on Windows "
            "Ctrl-Z and Enter).",
            file=sys.stderr,
        )


def _journal(arguments: argparse.Namespace) -> Journal:
    if arguments.journal and arguments.resume:
        raise ValueError("--resume goes on with its own journal: give no --journal")
    if arguments.resend_unknown and not arguments.resume:
        raise ValueError("--resend-unknown needs --resume")
    if arguments.resume:
        return Journal.resume(arguments.resume)
    journal = Journal()
    if arguments.journal:
        journal.save(arguments.journal)
    return journal


# What is shown


def display_of(arguments: argparse.Namespace) -> Display:
    """Choose what is shown: nothing but errors, plain lines, or bars on a terminal."""
    if arguments.json or arguments.quiet:
        return Display(sys.stderr)
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with suppress(ModuleNotFoundError):
            from .bars import BarDisplay

            return BarDisplay(sys.stderr)
    return PlainDisplay(sys.stderr)


def _advice(tally: Tally, journal: Journal, letters: int) -> Iterator[str]:
    """Say how to go on; keep a journal where there is something to go on with."""
    if tally.mails["unknown"]:
        count = tally.mails["unknown"]
        yield (
            f"{count} {'mail' if count == 1 else 'mails'} may or may not have been "
            "accepted: look in the server's log or the mailbox before sending again."
        )
    if letters == 1 or not tally.is_half_done:
        return
    if journal.path is None:
        now = datetime.now(UTC).astimezone()
        path = Path(f"smtplibaio-{now:%Y%m%d-%H%M%S}.journal")
        try:
            journal.save(path)
        except JournalError as exc:
            yield f"What was sent could not be written down: {exc}"
            return
    yield (
        f"To go on, give the same command with --resume {journal.path}: what was "
        "accepted is not sent again, and neither is what may have been."
    )


def _print_report(report: Report) -> None:
    print(json.dumps({"type": "mail", **asdict(report)}), flush=True)


def _print_summary(tally: Tally, journal: Journal, seconds: float, error: str) -> None:
    summary = {
        "type": "summary",
        "mails": +tally.mails,
        "octets": +tally.octets,
        "seconds": round(seconds, 3),
        "error": error,
        "journal": None if journal.path is None else str(journal.path),
        "exit_status": tally.exit_status,
    }
    print(json.dumps(summary), flush=True)

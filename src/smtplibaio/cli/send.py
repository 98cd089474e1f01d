"""The command `send`: its options, the run, and the summary."""

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
Send messages from files, or make a message from options and send it. The
sender and the recipients are those of --from and --to. Without these options,
each message names them: in Sender or From, and in To, Cc and Bcc. The field
Bcc itself is not sent."""

_EPILOG = f"""\
FILE is a message (.eml), an mbox, a Maildir, a directory with .eml files, or
"-" for standard input. Without FILE, standard input is read.

{URL_HELP}

exit status, the first that applies:
  130  Ctrl-C stopped the command
    3  a mail may or may not have been accepted: read the server's log before
       you send it again
    1  a mail or a recipient was refused
   75  a mail failed, and may succeed later
    2  the command line has a mistake
    0  every mail was accepted

examples:
  smtplibaio send --from a@x.example --to b@y.example --subject Hi --text Hello
  smtplibaio send outbox/ --pool 4 --journal run.journal
  smtplibaio send outbox/ --pool 4 --resume run.journal
"""


def add_send(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `send`."""
    parser = subparsers.add_parser(
        "send",
        help="send messages from files, or make a message and send it",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, fail=parser.error)
    add = parser.add_argument
    add("files", nargs="*", metavar="FILE", help="messages to send")
    add("--url", help="the server (default: the variable SMTP_URL)")
    envelope = parser.add_argument_group("envelope").add_argument
    envelope("--from", dest="sender", metavar="A", help="the sender")
    envelope(
        "--to", nargs="+", action="extend", default=[], metavar="B", help="recipients"
    )
    message = parser.add_argument_group("make a message").add_argument
    message("--subject", metavar="S", help="the subject")
    message("--text", metavar="T", help='the text; "-" reads it from standard input')
    message("--html", metavar="H", help="the text as HTML")
    message(
        "--attach", nargs="+", action="extend", default=[], type=Path, metavar="F",
        help="files to attach",
    )  # fmt: skip
    way = parser.add_argument_group("speed and journal").add_argument
    way("--window", type=_positive, default=1, metavar="N",
        help="send up to N mails on a connection before the first reply")  # fmt: skip
    way("--pool", type=_positive, metavar="N",
        help="use up to N connections; a lost connection is opened again")  # fmt: skip
    way("--rate", type=_rate, metavar="R", help="send at most R mails per second")
    way("--journal", type=Path, metavar="FILE",
        help="record the result of each mail in this new file")  # fmt: skip
    way("--resume", type=Path, metavar="FILE",
        help="go on with this journal: mails that were accepted, or may have been "
        "accepted, are not sent again")  # fmt: skip
    way("--resend-unknown", action="store_true",
        help="with --resume: also send mails that may have been accepted")  # fmt: skip
    shown = parser.add_argument_group("output").add_argument
    shown("--json", action="store_true",
          help="print one JSON object for each mail, and a summary")  # fmt: skip
    shown("--quiet", action="store_true", help="print only errors")


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


# The messages


def _letters(arguments: argparse.Namespace) -> list[Letter]:
    """List the messages to send.

    Raises:
        ValueError: The options contradict each other; the text says how.
        OSError: A file cannot be read.
    """
    names = ("subject", "text", "html", "attach")
    made = [f"--{name}" for name in names if getattr(arguments, name)]
    if made and arguments.files:
        raise ValueError(f"{made[0]} makes a message: do not give FILE as well")
    if made and not (arguments.sender and arguments.to):
        raise ValueError(f"{made[0]} makes a message: give --from and --to, too")
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
            raise ValueError(
                f"--to reads {name} as a recipient: write FILE before --to"
            )
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
        raise ValueError("--resume writes into its own journal: give no --journal")
    if arguments.resend_unknown and not arguments.resume:
        raise ValueError("--resend-unknown needs --resume")
    if arguments.resume:
        return Journal.resume(arguments.resume)
    journal = Journal()
    if arguments.journal:
        journal.save(arguments.journal)
    return journal


# Output


def display_of(arguments: argparse.Namespace) -> Display:
    """Choose what to show: only errors, plain lines, or bars on a terminal."""
    if arguments.json or arguments.quiet:
        return Display(sys.stderr)
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with suppress(ModuleNotFoundError):
            from .bars import BarDisplay

            return BarDisplay(sys.stderr)
    return PlainDisplay(sys.stderr)


def _advice(tally: Tally, journal: Journal, letters: int) -> Iterator[str]:
    """Say how to go on; save a journal if something is left to send."""
    if tally.mails["unknown"]:
        count = tally.mails["unknown"]
        yield (
            f"{count} {'mail' if count == 1 else 'mails'} may or may not have been "
            "accepted: look in the server's log or in the mailbox before you send "
            f"{'it' if count == 1 else 'them'} again."
        )
    if letters == 1 or not tally.is_half_done:
        return
    if journal.path is None:
        now = datetime.now(UTC).astimezone()
        path = Path(f"smtplibaio-{now:%Y%m%d-%H%M%S}.journal")
        try:
            journal.save(path)
        except JournalError as exc:
            yield f"No journal could be saved: {exc}"
            return
    yield (
        f"To go on, run the same command with --resume {journal.path}. Mails that were "
        "accepted, or may have been accepted, are not sent again."
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

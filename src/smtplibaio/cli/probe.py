"""The command `probe`: its findings as a page for people, or as JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from textwrap import wrap

from ..exceptions import SMTPArgumentError, one_line, printable
from ..grammar.extensions import Extensions
from .display import size_of
from .findings import Certificate, Findings
from .mistakes import Mistake, days_of, mistakes_of
from .probing import probe
from .reports import ExitStatus
from .target import URL_HELP, Target

__all__ = ["add_probe", "json_of", "page_of"]

_EPILOG = f"""\
No mail is sent. A login is tried only if the URL has a user and a password, or
if it has a user and SMTP_PASSWORD is set; and only if the certificate of the
server is verified.

{URL_HELP}

exit status:
    0  no mistake was found
    1  at least one mistake was found
   75  the server could not be reached
    2  the command line has a mistake
  130  Ctrl-C stopped the command

example:
  smtplibaio probe smtp://mx.example:587
"""

#: Where the right column begins, and where it ends.
_LEFT, _RIGHT = 14, 79


def add_probe(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `probe`."""
    parser = subparsers.add_parser(
        "probe",
        help="examine a server and find its mistakes",
        description="Examine a server and find its mistakes.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=_run, fail=parser.error)
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="the server (default: the variable SMTP_URL)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    try:
        target = Target.of(arguments.url, os.environ)
    except SMTPArgumentError as exc:
        arguments.fail(str(exc))
    found = asyncio.run(probe(target))
    now = datetime.now(UTC)
    mistakes = mistakes_of(found, now)
    if arguments.json:
        print(json.dumps(json_of(found, mistakes), indent=2))
    else:
        print("\n".join(page_of(found, mistakes, now, is_coloured=_has_colours())))
    return _status_of(found, mistakes)


def _status_of(found: Findings, mistakes: list[Mistake]) -> ExitStatus:
    if found.greeting is None:
        return ExitStatus.TRANSIENT
    return ExitStatus.REFUSED if mistakes else ExitStatus.OK


def _has_colours() -> bool:
    """Whether stdout is a terminal, and its user wants colours (no-color.org)."""
    is_dumb = os.environ.get("TERM", "dumb") == "dumb"
    return sys.stdout.isatty() and not is_dumb and not os.environ.get("NO_COLOR")


def json_of(found: Findings, mistakes: Iterable[Mistake]) -> dict[str, object]:
    """Turn findings and mistakes into values for JSON."""

    def announced(extensions: Extensions | None) -> dict[str, list[str]] | None:
        if extensions is None:
            return None
        return {keyword: list(values) for keyword, values in extensions.items()}

    chain = None
    if found.chain is not None:
        chain = [
            {
                **asdict(certificate),
                "not_before": certificate.not_before.isoformat(),
                "not_after": certificate.not_after.isoformat(),
            }
            for certificate in found.chain
        ]
    return {
        "url": found.url,
        "addresses": found.addresses,
        "greeting": found.greeting,
        "is_esmtp": found.is_esmtp,
        "has_tls_at_once": found.has_tls_at_once,
        "extensions": {
            "clear": announced(found.clear),
            "tls": announced(found.secure),
        },
        "mechanisms": list(found.extensions.auth),
        "size": found.extensions.size,
        "tls": found.tls and {"version": found.tls[0], "cipher": found.tls[1]},
        "certificate": found.tls
        and {
            "is_verified": found.untrusted is None,
            "error": found.untrusted and found.untrusted[1],
            "chain": chain,
        },
        "pipelining": found.pipelining,
        "login": found.login,
        "seconds": {step: round(time, 4) for step, time in found.times.items()},
        "failure": found.failure,
        "mistakes": [mistake._asdict() for mistake in mistakes],
    }


def page_of(
    found: Findings, mistakes: list[Mistake], now: datetime, *, is_coloured: bool
) -> Iterator[str]:
    """Make the lines of a page for people, 79 columns wide.

    Args:
        found: The findings.
        mistakes: The mistakes.
        now: The time, from which the days are counted that a certificate has left.
        is_coloured: Whether the mistakes have colours.
    """
    rows = [
        ("server", found.url),
        ("addresses", ", ".join(found.addresses)),
        ("greeting", printable(one_line(*found.greeting)) if found.greeting else ""),
        ("in clear", _shown(found.clear)),
        ("TLS", ", ".join(found.tls or ())),
        *(_certificate_rows(found, now) if found.tls else ()),
        ("within TLS", _shown(found.secure)),
        ("mechanisms", ", ".join(found.extensions.auth)),
        ("logged in", found.login or ""),
        ("limits", ", ".join(_limits(found.extensions))),
        ("PIPELINING", found.pipelining or ""),
        ("times", ", ".join(f"{s} {t * 1000:.0f} ms" for s, t in found.times.items())),
    ]
    for name, text in rows:
        if text:
            yield from _row(name, printable(text))
    yield ""
    red, green, plain = ("\x1b[31m", "\x1b[32m", "\x1b[m") if is_coloured else [""] * 3
    if not mistakes:
        yield f"{green}No mistakes were found.{plain}"
    for mistake in mistakes:
        lines = wrap(printable(mistake.text), _RIGHT - 2)
        yield f"{red}!{plain} {lines[0]}"
        yield from (f"  {line}" for line in lines[1:])


def _row(name: str, text: str) -> Iterator[str]:
    lines = wrap(text, _RIGHT - _LEFT, break_long_words=False, break_on_hyphens=False)
    for number, line in enumerate(lines):
        yield f"{'' if number else name:{_LEFT}}{line}"


def _shown(extensions: Extensions | None) -> str:
    return ", ".join(
        " ".join([keyword, *values]) for keyword, values in (extensions or {}).items()
    )


def _limits(extensions: Extensions) -> Iterator[str]:
    if extensions.size is not None:
        yield f"messages up to {extensions.size} octets ({size_of(extensions.size)})"
    yield from extensions.get("LIMITS", ())  # RFC 9422


def _certificate_rows(found: Findings, now: datetime) -> Iterator[tuple[str, str]]:
    if found.chain is None:
        yield "certificate", "to see it: pip install 'smtplibaio[cli]'"
    elif found.chain:
        own, last = found.chain[0], found.chain[-1]
        yield "certificate", f"{own.subject}, key {own.key}"
        yield "  names", ", ".join(own.names) or "none"
        yield "  valid", _validity(own, now)
        above = [last.issuer] if last.issuer != last.subject else []
        subjects = [certificate.subject for certificate in found.chain]
        yield "  chain", " < ".join([*subjects, *above])
    yield (
        "  verified",
        "yes" if found.untrusted is None else f"no: {found.untrusted[1]}",
    )


def _validity(certificate: Certificate, now: datetime) -> str:
    begin, end = certificate.not_before, certificate.not_after
    left = f" ({days_of(end - now)} left)" if begin <= now <= end else ""
    return f"{begin:%F} to {end:%F}{left}"

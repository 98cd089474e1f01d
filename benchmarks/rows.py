"""The table: what is compared, and what is to be reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from .meter import Result
from .work import Work

__all__ = ["Comparison", "Row", "rows"]

#: What a round has measured.
Results = Mapping[Work, Result]

_MIB = 1 << 20
_BULK = 25 * _MIB


@dataclass(frozen=True)
class Comparison:
    """Say what is divided by what, and what it should come to.

    Args:
        name: What is compared, as it stands in the table.
        works: The runs that are needed.
        value: Computes the figure of one round.
        goal: The limit; None where there is only something to know.
        is_floor: Whether the goal is the least that will do, not the most.
        unit: Of the figure; "x" for a ratio.
    """

    name: str
    works: tuple[Work, ...]
    value: Callable[[Results], float]
    goal: float | None = None
    is_floor: bool = False
    unit: str = "x"

    def is_reached(self, figure: float) -> bool:
        """Tell whether a figure is as good as the goal."""
        if self.goal is None:
            return True
        return figure >= self.goal if self.is_floor else figure <= self.goal

    def of_goal(self, figure: float) -> float:
        """Give a figure in parts of the goal: up to 1 is reached."""
        if self.goal is None:
            raise ValueError("there is no goal")
        least = 1e-6
        if self.is_floor:
            return self.goal / max(figure, least)
        return max(figure, least) / self.goal


@dataclass(frozen=True)
class Row:
    """Hold the comparisons that one kind of work allows."""

    name: str
    title: str
    comparisons: tuple[Comparison, ...]
    rounds: int | None = None

    @property
    def works(self) -> list[Work]:
        """Give every run once, in the order of the comparisons."""
        return list(dict.fromkeys(w for c in self.comparisons for w in c.works))


def _ratio(
    name: str,
    ours: Work,
    peer: Work,
    goal: float | None = None,
    *,
    key: str = "cpu",
    is_rate: bool = False,
) -> Comparison:
    """Compare a figure of two runs; a rate is the inverse of a time."""

    def value(results: Results) -> float:
        ratio = results[ours][key] / results[peer][key]
        return 1 / ratio if is_rate else ratio

    return Comparison(name, (ours, peer), value, goal, is_rate)


def _figure(
    name: str, work: Work, key: str, goal: float | None, unit: str, scale: float = 1
) -> Comparison:
    return Comparison(
        name, (work,), lambda results: results[work][key] * scale, goal, unit=unit
    )


def _uvloop(ours: Work, prefix: str = "") -> Comparison:
    name = "uvloop: CPU / stdlib loop"
    return _ratio(prefix + name, replace(ours, loop="uvloop"), ours, 1.0)


def rows(*, seconds: float, link: float) -> list[Row]:
    """Give the table, for loops of so many seconds and turns of so many."""
    base = Work("", seconds=seconds)
    return [
        _sendmail(base),
        _window_1(base),
        _window_32(base),
        _recipients(base),
        _connections(base),
        _tls(base),
        _bulk(base),
        _bulk_tls(base),
        _memory(base),
        _turns(base, link),
        _importing(base),
        _connecting(base),
        _flattening(base),
    ]


def _sendmail(base: Work) -> Row:
    ours = replace(base, client="ours")
    floor = replace(base, client="floor-two-turns")
    return Row(
        "sendmail",
        "sendmail in a loop, 2 KiB, 1 recipient",
        (
            _ratio("CPU / two-turn floor", ours, floor, 1.5),
            _ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.25),
            _ratio("CPU / smtplib", ours, replace(base, client="smtplib"), 0.65),
            _ratio("CPU / nodemailer", ours, replace(base, client="nodemailer")),
            _ratio("CPU / smtp-source", ours, replace(base, client="smtp-source")),
            _ratio("CPU / bare socket", ours, replace(base, client="floor-socket")),
            _uvloop(ours),
        ),
    )


def _window_1(base: Work) -> Row:
    ours = replace(base, client="ours-many", window=1)
    floor = replace(base, client="floor-one-turn")
    return Row(
        "window-1",
        "send_many, window 1",
        (
            _ratio("CPU / one-turn floor", ours, floor, 2.0),
            _ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.14),
            _uvloop(ours),
        ),
    )


def _window_32(base: Work) -> Row:
    ours = replace(base, client="ours-many", window=32)
    floor = replace(base, client="floor-streaming", window=32)
    return Row(
        "window-32",
        "send_many, window 32 (BDAT)",
        (
            _ratio("CPU / aiosmtplib", ours, replace(base, client="aiosmtplib"), 0.06),
            _ratio("CPU / streaming floor", ours, floor),
            _uvloop(ours),
        ),
    )


def _recipients(base: Work) -> Row:
    one = replace(base, client="ours-many", window=1)
    fifty = replace(one, recipients=50)
    peer = replace(base, client="aiosmtplib", recipients=50)
    further = Comparison(
        "CPU of a further recipient",
        (fifty, one),
        lambda results: (results[fifty]["cpu"] - results[one]["cpu"]) / 49,
        1.0,
        unit="us",
    )
    return Row(
        "recipients",
        "50 recipients a message, window 1",
        (_ratio("CPU / aiosmtplib", fifty, peer, 0.03), further, _uvloop(fifty)),
    )


def _connections(base: Work) -> Row:
    many = replace(base, connections=100, messages=5000)
    ours = replace(many, client="ours-connections", window=1)
    peer = replace(many, client="aiosmtplib-connections")
    return Row(
        "connections",
        "100 connections, 5,000 messages",
        (
            _ratio("CPU / aiosmtplib", ours, peer, 0.15),
            _figure("memory of a connection", ours, "memory", 20, "KiB", 1 / 1024),
            _figure("the same, aiosmtplib", peer, "memory", None, "KiB", 1 / 1024),
            _uvloop(ours),
        ),
    )


def _tls(base: Work) -> Row:
    over = replace(base, tls=True)
    one = replace(over, client="ours")
    many = replace(over, client="ours-many", window=1)
    two_turns = replace(over, client="floor-two-turns")
    one_turn = replace(over, client="floor-one-turn")
    return Row(
        "tls",
        "the first two over TLS",
        (
            _ratio("sendmail, CPU / floor over TLS", one, two_turns, 1.75),
            _ratio("window 1, CPU / floor over TLS", many, one_turn, 1.75),
            _uvloop(one, "sendmail, "),
            _uvloop(many, "window 1, "),
        ),
    )


def _bulk(base: Work) -> Row:
    bulk = replace(base, size=_BULK)
    ours = replace(bulk, client="ours")
    return Row(
        "bulk",
        "25 MiB of text lines, bytes, DATA",
        (
            _ratio("CPU / aiosmtplib", ours, replace(bulk, client="aiosmtplib"), 0.05),
            _ratio("CPU / smtplib", ours, replace(bulk, client="smtplib"), 0.2),
            _ratio("CPU / bare write", ours, replace(bulk, client="floor-bulk")),
            _uvloop(ours),
        ),
    )


def _bulk_tls(base: Work) -> Row:
    bulk = replace(base, size=_BULK, tls=True)
    ours = replace(bulk, client="ours")
    floor = replace(bulk, client="floor-bulk")
    return Row(
        "bulk-tls",
        "25 MiB of text lines over TLS",
        (
            _ratio("rate / bare write", ours, floor, 0.85, key="wall", is_rate=True),
            _ratio("octets a CPU second / bare", ours, floor, is_rate=True),
            _uvloop(ours),
        ),
    )


def _memory(base: Work) -> Row:
    sizes = (25, 100)
    whole = [replace(base, client="ours-held", size=size * _MIB) for size in sizes]
    parts = [replace(base, client="ours-streamed", size=size * _MIB) for size in sizes]
    peer = replace(base, client="aiosmtplib-held", size=_BULK)
    peak, scale = "memory", 1 / _MIB
    return Row(
        "memory",
        "peak of memory",
        (
            _figure("above a body of 25 MiB", whole[0], peak, 2, "MiB", scale),
            _figure("above a body of 100 MiB", whole[1], peak, 2, "MiB", scale),
            _figure("25 MiB from a file", parts[0], peak, 4, "MiB", scale),
            _figure("100 MiB from a file", parts[1], peak, 4, "MiB", scale),
            _figure("above 25 MiB, aiosmtplib", peer, peak, None, "MiB", scale),
        ),
        rounds=3,
    )


def _turns(base: Work, link: float) -> Row:
    ours = replace(base, client="turns-ours", link=link)
    peer = replace(base, client="turns-aiosmtplib", link=link)
    many = [replace(ours, client="turns-many", window=window) for window in (1, 32)]

    def both(key: str, name: str, goal: int) -> tuple[Comparison, Comparison]:
        return (
            _figure(name, ours, key, goal, "turns"),
            _figure(f"{name}, aiosmtplib", peer, key, None, "turns"),
        )

    return Row(
        "turns",
        "turns of a session, all of it",
        (
            *both("plain", "one message", 5),
            *both("starttls", "one, STARTTLS and AUTH", 9),
            *both("implicit", "one, implicit TLS and AUTH", 7),
            *both("recipients", "one to 100 recipients", 5),
            *both("hundred", "100 messages, sendmail", 206),
            _figure("100 messages, window 1", many[0], "hundred", 106, "turns"),
            _figure("100 messages, window 32", many[1], "hundred", 12, "turns"),
        ),
        rounds=1,
    )


def _importing(base: Work) -> Row:
    ours = replace(base, client="import-ours")
    peer = replace(base, client="import-aiosmtplib")
    return Row(
        "import",
        "import and first client, above asyncio and ssl",
        (
            _ratio("CPU / aiosmtplib", ours, peer, 0.6, key="ms"),
            _figure("time", ours, "ms", None, "ms"),
            _figure("memory", ours, "memory", None, "MiB", 1 / _MIB),
            _figure("time, aiosmtplib", peer, "ms", None, "ms"),
            _figure("memory, aiosmtplib", peer, "memory", None, "MiB", 1 / _MIB),
        ),
    )


def _connecting(base: Work) -> Row:
    ours = replace(base, client="ours-connecting")
    floor = replace(base, client="floor-connecting")
    peer = replace(base, client="aiosmtplib-connecting")
    return Row(
        "connect",
        "connect, EHLO, QUIT",
        (
            _ratio("CPU / bare floor", ours, floor, 1.2),
            _ratio("CPU / aiosmtplib", ours, peer),
            _uvloop(ours),
        ),
    )


def _flattening(base: Work) -> Row:
    ours = replace(base, client="flatten-ours")
    peer = replace(base, client="flatten-stdlib")
    speed = _ratio("speed / as_bytes, same octets", ours, peer, 2.5, is_rate=True)

    def value(results: Results) -> float:
        if results[ours]["digest"] != results[peer]["digest"]:
            raise ValueError("the octets differ")
        return speed.value(results)

    return Row(
        "flatten",
        "flattening a message with a 5 MiB attachment",
        (replace(speed, value=value),),
    )

"""The oracle sees what it is to see; the worlds themselves are played by `.ci/run`."""

from __future__ import annotations

from typing import Any

import pytest

from smtplibaio import SMTPCommandFailedError, SMTPConnectionLostError

from . import shrinking
from .drawing import world_of
from .driver import Played
from .ledger import Ledger
from .letters import Letter
from .model import Model, Stored
from .plan import Fault, Op, Profile, World
from .playing import play_seed, play_world
from .report import show, summary
from .shrinking import shrink

LETTER = Letter(1, recipients=2)
OTHER = Letter(2)


def stored(letter: Letter = LETTER, **changes: Any) -> Stored:
    fields = {
        "sender": letter.sender,
        "recipients": tuple(letter.to),
        "content": letter.content,
    }
    return Stored(**{**fields, **changes})


def judged(*mails: Stored, **told: Any) -> list[str]:
    """The rules that are broken where the server stored `mails`, by what was told."""
    ledger = Ledger({1: LETTER, 2: OTHER})
    ledger.tell(OTHER, "unknown", "")
    if told:
        ledger.tell(LETTER, text="", **told)
    model = Model(Profile(), {}, lambda _: None)
    model.stored.extend(mails)
    ledger.judge(model)
    return [finding.rule for finding in ledger.findings]


def test_what_is_told_as_it_is_breaks_no_rule() -> None:
    assert judged(stored(), status="accepted", accepted=LETTER.to) == []
    one = stored(recipients=tuple(LETTER.to[:1]))
    assert judged(one, status="accepted", accepted=LETTER.to[:1]) == []
    assert judged(status="nothing") == []
    assert judged(status="unknown") == []
    assert judged(stored(), status="unknown") == []


@pytest.mark.parametrize(
    ("mails", "told", "rule"),
    [
        ((), {"status": "accepted", "accepted": LETTER.to}, "accepted and not stored"),
        ((stored(),), {"status": "nothing"}, "stored and not said"),
        ((stored(),), {"status": "untold"}, "no outcome"),
        ((), {}, "no outcome"),
        (
            (stored(),),
            {"status": "accepted", "accepted": LETTER.to[:1]},
            "stored and refused",
        ),
        ((stored(), stored()), {"status": "unknown"}, "doubled"),
        ((stored(sender=OTHER.sender),), {"status": "unknown"}, "mixed up"),
        ((stored(content=OTHER.content),), {"status": "unknown"}, "mixed up"),
        (
            (stored(recipients=(*LETTER.to, *OTHER.to)),),
            {"status": "unknown"},
            "mixed up",
        ),
        ((stored(content=LETTER.content[:-9]),), {"status": "unknown"}, "not whole"),
        (
            (stored(content=LETTER.content + b"RSET"),),
            {"status": "unknown"},
            "not whole",
        ),
    ],
)
def test_what_is_not_true_breaks_a_rule(
    mails: tuple[Stored, ...], told: dict[str, Any], rule: str
) -> None:
    assert rule in judged(*mails, **told)


def test_a_mail_that_is_told_twice_breaks_a_rule() -> None:
    ledger = Ledger({1: LETTER})
    ledger.tell(LETTER, "unknown", "")
    ledger.tell(LETTER, "nothing", "")
    assert [finding.rule for finding in ledger.findings] == ["told twice"]


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (SMTPConnectionLostError("the server has gone"), True),
        (SMTPCommandFailedError(550, "no", "MAIL"), False),
    ],
)
def test_a_refusal_that_the_caller_does_not_get_breaks_a_rule(
    error: Exception, is_lost: bool
) -> None:
    ledger = Ledger({1: LETTER})
    ledger.tell(LETTER, "nothing", "", error=error)
    model = Model(Profile(), {}, lambda _: None)
    model.decided[1] = [550]
    ledger.judge(model)
    assert [f.rule for f in ledger.findings] == ["reason lost"] * is_lost


def test_a_seed_is_one_world() -> None:
    worlds = [world_of(seed) for seed in range(50)]
    assert worlds == [world_of(seed) for seed in range(50)]
    assert len({repr(world) for world in worlds}) == 50


def is_without_threads(world: World) -> bool:
    return not any(
        letter.form in ("file", "generator", "iterable") for letter in world.letters
    )


def test_a_world_is_one_conversation() -> None:
    seeds = [seed for seed in range(60) if is_without_threads(world_of(seed))]
    assert len(seeds) > 5

    def conversations() -> list[list[list[str]]]:
        return [play_seed(seed).model.transcripts for seed in seeds]

    assert conversations() == conversations()


class Liar(Model):
    """A server that says 250 and stores nothing, for one mail."""

    def store(self, mail: Stored) -> None:
        if LETTER.sender not in mail.sender:
            super().store(mail)


def played_by_liar(world: World, _: str = "") -> Played:
    return play_world(world, model=Liar)


def test_a_world_that_fails_is_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = tuple(Letter(number) for number in range(1, 5))
    ops = (Op("many", letters, window=8), Op("sendmail", (Letter(5),)))
    world = World(1, actors=(ops,), faults={(3, "MAIL"): Fault(550)}, chunking=True)
    played = played_by_liar(world)
    assert [f.rule for f in played.ledger.findings] == ["accepted and not stored"]
    monkeypatch.setattr(shrinking, "play_world", played_by_liar)
    small = shrink(played, "asyncio")
    assert small.world.letters == [Letter(1, lines=0)]
    assert small.world.faults == {}
    assert "accepted and not stored: m1" in show(small)
    counts = small.ledger.counts(small.model)
    counts["worlds"] = 1
    assert "1 mails, 0 stored = 0 of 1 told accepted" in summary(counts)


def test_a_world_in_which_somebody_waits_for_ever_is_a_deadlock() -> None:
    class Silent(Model):
        async def serve(self, reader: Any, writer: Any) -> None:
            await reader.read(-1)

    world = World(1, actors=((Op("sendmail", (LETTER,)),),), patience=None)
    played = play_world(world, model=Silent)
    assert "deadlock" in [finding.rule for finding in played.ledger.findings]


@pytest.mark.parametrize("kind", ["sendmail", "send_message", "many", "pipeline"])
def test_a_quiet_world_breaks_no_rule(kind: str) -> None:
    ops = (Op(kind, (Letter(1),)), Op(kind, (Letter(2, recipients=2),)))
    played = play_world(World(1, actors=(ops,)))
    assert played.ledger.findings == []
    assert {told.status for told in played.ledger.told.values()} == {"accepted"}

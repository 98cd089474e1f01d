"""What callers were told, and whether it is true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from smtplibaio import SMTPException, SMTPProtocolError

from .letters import Letter, numbers_in
from .model import Model, Stored

__all__ = ["Finding", "Ledger", "Told"]


@dataclass(frozen=True)
class Finding:
    """One rule that was broken, and how."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass
class Told:
    """What the caller of one mail knows.

    Attributes:
        status: "accepted" (for some recipients at least), "nothing" (certain that
            nothing was stored), "unknown", or "untold".
        accepted: The recipients that the mail was accepted for.
        refused: Those that were refused, of a mail of which the rest is unknown.
        text: How it was said.
        error: The error, where there was one.
    """

    status: str = "untold"
    accepted: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    text: str = ""
    error: BaseException | None = None


@dataclass
class Ledger:
    """Hold what was told of each mail of a world, and what else was noticed."""

    letters: dict[int, Letter]
    told: dict[int, Told] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def find(self, rule: str, text: str) -> None:
        """Note a rule that was broken."""
        self.findings.append(Finding(rule, text))

    def tell(
        self,
        letter: Letter,
        status: str,
        text: str,
        accepted: Iterable[str] = (),
        refused: Iterable[str] = (),
        error: BaseException | None = None,
    ) -> None:
        """Note what the caller was told of a mail; a second time is a finding."""
        known = self.told.get(letter.number)
        if known is not None:
            self.find("told twice", f"m{letter.number}: {known.text}; and then: {text}")
            return
        self.told[letter.number] = Told(
            status, frozenset(accepted), frozenset(refused), text, error
        )

    def leave(self, letters: Iterable[Letter], text: str) -> None:
        """Note that nobody was there to be told of what has no outcome yet."""
        for letter in letters:
            if letter.number not in self.told:
                self.tell(letter, "unknown", text)

    def judge(self, model: Model) -> None:
        """Compare what was told with what the server has stored."""
        stored: Counter[tuple[int, str]] = Counter()
        for mail in model.stored:
            self.findings.extend(self._judge_stored(mail))
            for number in numbers_in(mail.content):
                for recipient in mail.recipients:
                    stored[number, recipient] += 1
        for (number, recipient), count in stored.items():
            if count > 1:
                self.find("doubled", f"m{number} was stored {count} times, {recipient}")
        for number, letter in self.letters.items():
            told = self.told.get(number, Told())
            self.findings.extend(_judge_told(letter, told, stored))
            self.findings.extend(_judge_reason(letter, told, model))

    def _judge_stored(self, mail: Stored) -> Iterator[Finding]:
        numbers = numbers_in(mail.content)
        envelope = {n for r in (mail.sender, *mail.recipients) for n in numbers_in(r)}
        names = f"the envelope of {_names(envelope)} has content of {_names(numbers)}"
        if len(numbers | envelope) != 1:
            yield Finding("mixed up", f"{names}: {mail}"[:400])
            return
        letter = self.letters[(numbers | envelope).pop()]
        if mail.content != letter.content:
            yield Finding("not whole", f"{names}: {_difference(letter, mail)}")

    def counts(self, model: Model) -> Counter[str]:
        """The ledger: mails by what was told, and those stored."""
        stored = {n for mail in model.stored for n in numbers_in(mail.content)}
        counts = Counter({"mails": len(self.letters), "stored": len(stored)})
        for number in self.letters:
            status = self.told.get(number, Told()).status
            counts[status] += 1
            if number in stored:
                counts[f"{status}, stored"] += 1
        return counts


def _judge_told(
    letter: Letter, told: Told, stored: Counter[tuple[int, str]]
) -> Iterator[Finding]:
    name = f"m{letter.number}"
    if told.status == "untold":
        yield Finding("no outcome", name)
    for recipient in letter.to:
        count = stored[letter.number, recipient]
        if recipient in told.accepted and not count:
            yield Finding("accepted and not stored", f"{name}: {told.text}")
        if told.status == "nothing" and count:
            yield Finding("stored and not said", f"{name}: {told.text}")
        is_refused = told.status == "accepted" and recipient not in told.accepted
        if (is_refused or recipient in told.refused) and count:
            yield Finding("stored and refused", f"{name} {recipient}: {told.text}")


def _judge_reason(letter: Letter, told: Told, model: Model) -> Iterator[Finding]:
    codes = model.decided.get(letter.number)
    if codes is None or told.status != "nothing" or told.error is None:
        return
    text = f"{told.error} {told.text}"
    if "closed by the client" in text:
        return
    if isinstance(told.error, SMTPProtocolError):
        return  # who breaks the protocol is told so, whatever else it says
    if isinstance(told.error, SMTPException) and not _names_one(codes, text):
        yield Finding("reason lost", f"m{letter.number} got {codes}; told: {text}")


def _names_one(codes: list[int], text: str) -> bool:
    return any(str(code) in text for code in codes)


def _names(numbers: set[int]) -> str:
    return " and ".join(f"m{number}" for number in sorted(numbers)) or "nobody"


def _difference(letter: Letter, mail: Stored) -> str:
    wanted, got = letter.content, mail.content
    at = next(
        (n for n, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b),
        min(len(wanted), len(got)),
    )
    return f"{len(got)} octets, not {len(wanted)}; at {at}: {got[at : at + 40]!r}"

"""Draw a world from a seed."""

from __future__ import annotations

from random import Random

from .letters import Letter
from .plan import Disturbance, Fault, Op, Profile, Step, World

__all__ = ["world_of"]

_KINDS = (
    "sendmail", "sendmail", "send_message", "many", "many", "many", "pipeline",
    "pipeline", "chunks", "hand", "abandon",
)  # fmt: skip
_WHOLE_KINDS = ("sendmail", "send_message", "many")
_FORMS = (
    "bytes",
    "bytes",
    "bytes",
    "str",
    "message",
    "generator",
    "iterable",
    "async",
    "file",
)
_READ_FORMS = ("generator", "iterable", "async", "file")
_SOURCES = ("list", "list", "generator", "generator", "async", "async", "own")
_FAILURES = ("at once", "in the middle", "cancelled", "cleanup", "slow")
_TRANSIENT = (421, 450, 451, 452, 471)
_PERMANENT = (500, 502, 503, 550, 552, 554, 571, 591)
_ENDINGS = ("fin", "deaf", "close", "rst", "421")
_EXTRAS = (
    b"250 extra\r\n", b"25", b"250-a\r\n", b"421 4.3.2 shutting down\r\n",
    b"garbage\r\n", b"\r\n", b"354 extra\r\n", b"550 extra\r\n", b"2",
)  # fmt: skip


def world_of(seed: int) -> World:
    """The world of a seed."""
    return _Drawing(seed).world()


class _Drawing:
    """One world.

    Where everything goes wrong at once, the first fault hides the others: so most
    worlds have one kind of trouble.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.seed = seed
        theme = self.random.choice(("server", "source", "outside", "all"))
        some = self.random.choice((0.03, 0.1, 0.25))
        self.trouble = some if theme in ("server", "all") else 0.0
        self.failing = 0.4 if theme == "source" else 0.1 if theme == "all" else 0.02
        self.unrest = 0.9 if theme == "outside" else 0.4 if theme == "all" else 0.02
        self.kind = self.random.choice(("smtp",) * 6 + ("tls", "lmtp", "pool"))
        self.numbers = 0
        self.chunking = self.maybe(0.5)
        self.is_windowed = self.maybe(0.5)

    def maybe(self, chance: float) -> bool:
        return self.random.random() < chance

    def world(self) -> World:
        random = self.random
        clients = 2 if self.maybe(0.15) else 1
        actors = tuple(
            tuple(self.op(clients) for _ in range(random.choice((1, 1, 2, 2, 3))))
            for _ in range(random.choice((1, 1, 1, 2, 2, 3)))
        )
        ops = [op for ops in actors for op in ops]
        return World(
            self.seed,
            self.profile(),
            actors,
            self.faults(ops),
            self.disturbances(ops, clients),
            clients,
            True if self.chunking else random.choice((None, None, False)),
            not self.maybe(0.1),
            random.choice((30.0, 30.0, 2.0)),
            self.kind,
            random.choice((1, 2, 3)),
        )

    def profile(self) -> Profile:
        extensions = [
            name
            for name in ("PIPELINING", "CHUNKING", "8BITMIME", "SIZE 1000000")
            if self.maybe(0.9)
        ]
        is_buffered = self.maybe(0.05)
        if is_buffered:
            extensions.append("XVERP=COURIER")
        return Profile(
            tuple(extensions),
            keeps=self.maybe(0.5),
            nested=self.random.choice(("refuse", "refuse", "replace", "merge")),
            always_354=self.maybe(0.3),
            # Windows are for servers that keep to RFC 3030, as `send_many` says.
            swallows=self.is_windowed or self.maybe(0.7),
            batches=self.maybe(0.7),
            cut=self.random.choice(("", "", "", "line", "octet")),
            buffered=is_buffered,
            turns=self.random.choice((0, 0, 1, 3)),
            narrow=self.maybe(0.15),
        )

    def op(self, clients: int) -> Op:
        random = self.random
        kind = random.choice(_KINDS if self.kind in ("smtp", "tls") else _WHOLE_KINDS)
        count = 1
        if kind == "many":
            count = random.choice((1, 2, 3, 5, 8, 40 if self.maybe(0.1) else 4))
        elif kind in ("pipeline", "chunks"):
            count = random.choice((1, 2, 3, 4))
        letters = tuple(self.letter(kind) for _ in range(count))
        is_many = kind == "many"
        return Op(
            kind,
            letters,
            random.randrange(clients),
            random.choice((2, 8, 32)) if is_many and self.is_windowed else 1,
            random.choice((0.5, 5.0, 40.0)) if self.maybe(0.1) else None,
            random.choice(_SOURCES) if is_many else "list",
            random.choice(("raise", "cancelled", "cleanup", "slow"))
            if self.maybe(self.failing)
            else "",
            random.randrange(count + 1),
            random.randrange(count + 1) if is_many and self.maybe(0.15) else -1,
            self.maybe(0.3),
        )

    def letter(self, kind: str) -> Letter:
        random = self.random
        self.numbers += 1
        form, failure = random.choice(_FORMS), ""
        if kind == "chunks":
            form = "bytes"
        if form in _READ_FORMS and self.maybe(self.failing):
            failure = random.choice(_FAILURES)
        if form == "message" and self.maybe(self.failing):
            failure = random.choice(("unwritable", "cancelled"))
        return Letter(
            self.numbers,
            random.choice((1, 1, 1, 2, 3)),
            self.lines(kind),
            form,
            failure,
            kind in ("many", "send_message") and self.maybe(0.1),
        )

    def lines(self, kind: str) -> int:
        """How many lines a message has; a large one takes more than one block."""
        if self.maybe(0.3 if kind == "many" and self.is_windowed else 0.05):
            return self.random.choice((4500, 4500, 6000, 20000))
        return self.random.choice((0, 1, 3, 30))

    def steps(self, op: Op) -> list[Step]:
        steps: list[Step] = []
        for letter in op.letters:
            rcpts = [f"RCPT{n}" for n in range(letter.recipients)]
            verbs = ["MAIL", *rcpts, "DATA", "CHUNK", "CONTENT", "CONTENT", "RSET"]
            if self.kind == "lmtp":
                verbs += [f"FINAL{n}" for n in range(letter.recipients)]
            steps.extend((letter.number, verb) for verb in verbs)
        return steps

    def faults(self, ops: list[Op]) -> dict[Step, Fault]:
        return {
            step: self.fault(step[1])
            for op in ops
            for step in self.steps(op)
            if self.maybe(self.trouble * 3 / max(len(op.letters), 3))
            # What has left with a RSET in a window cannot be called back when a server
            # refuses it, which it must not (RFC 5321 4.1.1.5).
            and not (step[1] == "RSET" and self.is_windowed)
        }

    def fault(self, verb: str) -> Fault:
        random = self.random
        then = random.choice(_ENDINGS) if self.maybe(0.25) else ""
        roll = random.random()
        if roll < 0.65:
            code = random.choice(_TRANSIENT + _PERMANENT + _PERMANENT)
            early = random.choice((0, 10, 5000)) if self.maybe(0.3) else -1
            return Fault(code, then, early=early if verb == "CONTENT" else -1)
        if roll < 0.75:
            # 421 in place of the final reply would be a refusal.
            then = random.choice(("fin", "deaf", "close", "rst"))
            return Fault(then=then, instead=True)
        if roll < 0.80:
            return Fault(mute=True)
        if roll < 0.90:
            return Fault(then=then, extra=random.choice(_EXTRAS))
        if roll < 0.93:
            return Fault(random.choice((200, 251, 354, 334, 399)), then)
        if roll < 0.95 and verb == "CONTENT" and self.kind != "lmtp":
            # Nothing ends here: the 250 is true only of content that is read on.
            return Fault(250, early=random.choice((0, 10, 5000)))
        return Fault(delay=random.choice((0.1, 1.0, 20.0, 100.0)))

    def disturbances(self, ops: list[Op], clients: int) -> tuple[Disturbance, ...]:
        if not self.maybe(self.unrest):
            return ()
        found = []
        for _ in range(self.random.choice((1, 1, 2, 3))):
            number = self.random.randrange(len(ops))
            steps = [*self.steps(ops[number]), (number, "START")]
            kind = self.random.choice(("cancel",) * 7 + ("close",) * 2 + ("loop",))
            if kind == "loop" and self.kind == "pool":
                kind = "close"  # a pool belongs to one loop
            target = number
            if kind == "close":
                target = self.random.randrange(clients)
            elif self.maybe(0.3):
                target = self.random.randrange(len(ops))
            turns = self.random.randrange(8)
            found.append(Disturbance(self.random.choice(steps), turns, kind, target))
        return tuple(found)

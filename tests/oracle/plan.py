"""A world as data: what is drawn from a seed, and what a failing seed is reduced by.

Faults and disturbances hang on steps (`(number of the mail, "RCPT0")`), not on counts
of replies: so one can be left out without moving the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .letters import Letter

__all__ = ["Disturbance", "Fault", "Op", "Profile", "Step", "World"]

#: The number of a mail, and what is answered: EHLO (of mail 0), RSET, MAIL, RCPT0,
#: RCPT1, DATA, CHUNK (one that is not the last), CONTENT (the final reply, BDAT LAST
#: too), FINAL0, FINAL1 (the final replies of LMTP, one a recipient); or the number of
#: an op and START.
Step = tuple[int, str]


@dataclass(frozen=True)
class Profile:
    """The habits of the server.

    Attributes:
        extensions: What EHLO announces.
        keeps: Whether a refused DATA, BDAT or content leaves the transaction open.
        nested: What MAIL does in an open transaction: "refuse" it with 503; "replace"
            the transaction; "merge", which takes the new sender and keeps the
            recipients.
        always_354: Whether DATA gets 354 where MAIL or every RCPT was refused, too.
        swallows: Whether the octets of a refused BDAT LAST are read as content.
        batches: Whether replies are held back until all that has come is answered.
        cut: How replies are cut into writes: "", "line", "octet".
        buffered: Whether what stands behind a dot in the same read is thrown away.
        turns: How many turns of the loop pass before a reply.
        narrow: Whether the server's buffer is small, so that a client has to wait.
    """

    extensions: tuple[str, ...] = ("PIPELINING", "CHUNKING", "8BITMIME", "SIZE 1000000")
    keeps: bool = False
    nested: str = "refuse"
    always_354: bool = False
    swallows: bool = True
    batches: bool = True
    cut: str = ""
    buffered: bool = False
    turns: int = 0
    narrow: bool = False


@dataclass(frozen=True)
class Fault:
    """What the server does at one step, once, instead of what is due.

    Attributes:
        code: The code of a refusal (or another code that is not due); 0 for what is
            due.
        then: What follows the reply: "" nothing; "fin", and what comes is dropped;
            "deaf", FIN, and what comes is still taken; "close"; "rst"; "421", and FIN.
        instead: Whether `then` comes in place of the reply. What was taken stays taken.
        mute: Whether this reply and all later ones are swallowed.
        extra: Octets that nobody asked for, in the write of the reply.
        early: How much of the content is read before its reply comes; -1 for all.
        delay: Seconds before the reply.
    """

    code: int = 0
    then: str = ""
    instead: bool = False
    mute: bool = False
    extra: bytes = b""
    early: int = -1
    delay: float = 0.0


@dataclass(frozen=True)
class Op:
    """Something that a task does with a client.

    Attributes:
        kind: "sendmail", "send_message", "many", "pipeline", "chunks" (a pipeline with
            BDAT), "hand" (mail, rcpt, data), "abandon" (mail, rcpt, no more).
        letters: The mails.
        window: That of `send_many`.
        limit: Seconds, or None.
        source: What `send_many` takes: "list", "generator", "async", "own" (which uses
            the same client before it gives its last mail).
        failure: What that iterable does: "", "raise", "cancelled" (after `fails_at`
            mails), "cleanup" (raises when it is closed), "slow" (waits before each
            mail).
        fails_at: After how many mails.
        leave_after: After how many outcomes `send_many` is left; -1 for never.
        waits: Whether a pipeline waits for each final reply before the next mail.
    """

    kind: str
    letters: tuple[Letter, ...]
    client: int = 0
    window: int = 1
    limit: float | None = None
    source: str = "list"
    failure: str = ""
    fails_at: int = 0
    leave_after: int = -1
    waits: bool = False


@dataclass(frozen=True)
class Disturbance:
    """What happens to a task or a client from outside.

    Attributes:
        at: The step that sets it off, before the server replies.
        turns: How many turns of the loop pass until then.
        kind: "cancel" (an op), "close" (a client), "loop" (the loop is closed with all
            that is under way, and another one goes on).
        target: The number of the op or of the client.
    """

    at: Step
    turns: int
    kind: str
    target: int = 0


@dataclass(frozen=True)
class World:
    """Everything that happens.

    Attributes:
        seed: What it was drawn from.
        profile: The server.
        actors: The ops of each task, one after another.
        faults: What goes wrong, by step.
        disturbances: What comes from outside.
        clients: How many clients there are.
        chunking: That of the clients.
        pipelining: That of the clients.
        kind: What the clients are: "smtp", "tls" (from the first octet on), "lmtp",
            "pool".
        size: That of pools.
        patience: The time limit of a reply, in seconds; None for no limit.
    """

    seed: int
    profile: Profile = Profile()
    actors: tuple[tuple[Op, ...], ...] = ()
    faults: dict[Step, Fault] = field(default_factory=dict)
    disturbances: tuple[Disturbance, ...] = ()
    clients: int = 1
    chunking: bool | None = None
    pipelining: bool = True
    patience: float | None = 30.0
    kind: str = "smtp"
    size: int = 1

    @property
    def ops(self) -> list[Op]:
        return [op for ops in self.actors for op in ops]

    @property
    def letters(self) -> list[Letter]:
        return [letter for op in self.ops for letter in op.letters]

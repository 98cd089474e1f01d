r"""What a server says instead of its own reply.

A rule is a function or a table.

1. A function is called with each command, spelt as the client wrote it, but MAIL FROM,
   RCPT TO and the other verbs in upper case. Two steps of a session that are no
   commands have a name: "CONNECT" is answered by the greeting, and "." (the end of the
   content) by the reply that accepts the mail.
2. A key of a table counts for the commands that begin with it, in upper or lower case.
   Of several keys the longest counts.
3. A value may be a list: its n-th item is for the n-th command of its key, over all
   connections. What is behind the last item gets the server's own reply.
4. A text is sent as it stands. Of several lines each has its code: "550-no\n550 user".
5. None, or no key, is the server's own reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

__all__ = ["Answer", "Fault", "Rule", "Rules"]


class Fault(Enum):
    """What happens to the connection instead of a reply."""

    CLOSE = auto()
    """The server closes the connection (FIN)."""

    RESET = auto()
    """The server resets the connection (RST)."""

    SILENCE = auto()
    """The server says nothing more, and reads until the client leaves."""

    CLOSE_IN_CONTENT = auto()
    """The server goes on, says 354, and closes while the content is on its way."""

    CLOSE_AFTER_DOT = auto()
    """The server goes on, takes the mail, and closes before it says so."""


Answer = str | Fault | None
Rule = Callable[[str], Answer] | Mapping[str, Answer | Sequence[Answer]]


class Rules:
    """The answer to each command, by a function or a table.

    Attributes:
        rule: The function or the table.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._call = rule if callable(rule) else None
        self._table = {} if callable(rule) else dict(rule)
        self._counts = dict.fromkeys(self._table, 0)

    @property
    def verbs(self) -> set[str]:
        """The verbs that the table has answers to."""
        return {key.partition(" ")[0].upper() for key in self._table}

    def answer(self, command: str) -> Answer:
        """Look up what is said to a command; each call is one more such command."""
        answer = self._look_up(command) if self._call is None else self._call(command)
        if answer is not None and not isinstance(answer, (str, Fault)):
            raise TypeError(
                f"reply= gives {answer!r} for {command!r}: give a text such as "
                "'550 no such user', a Fault, or None for the server's own reply"
            )
        return answer

    def _look_up(self, command: str) -> Answer:
        spelt = command.upper()
        keys = [key for key in self._table if spelt.startswith(key.upper())]
        if not keys:
            return None
        key = max(keys, key=len)
        value = self._table[key]
        if isinstance(value, str) or not isinstance(value, Sequence):
            return value
        number = self._counts[key]
        self._counts[key] += 1
        return value[number] if number < len(value) else None

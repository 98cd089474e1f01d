r"""The replies that a test puts in place of the server's own replies.

A rule is a function or a table.

1. A function is called with each command as the client has written it, except that
   MAIL FROM, RCPT TO and the other verbs are in upper case. Two steps of a session have
   a name, although they are not commands: the reply to "CONNECT" is the greeting, and
   the reply to "." (the end of the content) accepts the mail.
2. A key of a table applies to all commands that begin with it, in upper or lower case.
   If several keys apply, the longest is used.
3. A value may be a list: its n-th item is for the n-th command of its key, counted over
   all connections. Commands after the last item get the server's own reply.
4. A text is sent unchanged. If it has several lines, each line has the code:
   "550-no\n550 user".
5. None, and a key that is missing, stand for the server's own reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto

__all__ = ["Answer", "Fault", "Rule", "Rules"]


class Fault(Enum):
    """How the connection breaks, instead of a reply."""

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
    """The reply to each command, from a function or a table.

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
        """The verbs that the table has replies to."""
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

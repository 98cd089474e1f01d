"""Scripts: conversations of client and server, written as in RFC 5321.

::

    S: 220 mx.example
    C: EHLO <any>
    S: 250-mx.example
    S: 250 PIPELINING

1. Consecutive lines of the client are one group. The server reads exactly this group,
   and the client must wait for the reply before it sends more. So the script shows
   which commands are pipelined, and where the client waits.
2. Consecutive lines of the server are sent in one write, unless `cut` says otherwise.
3. `<any>` in a line of the client stands for any text. If a command is in upper case,
   the client may send it in upper or lower case (RFC 5321 2.4).
4. After the last line, the client may only send QUIT and disconnect.
5. A stage direction stands in place of a line:

   * ``S: <close>``: the server closes the connection;
   * ``S: <reset>``: the server resets it;
   * ``S: <silence>``: the server sends nothing more, and reads until the client
     disconnects;
   * ``S: <starttls>``: the server starts TLS;
   * ``C: <content>``: any lines, up to and including a line with a single dot;
   * ``C: <hangup>``: the client disconnects without a command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from textwrap import dedent
from typing import Literal

__all__ = ["CUTS", "Cut", "ScriptMismatch", "Turn", "parse", "pattern", "pieces"]

#: How the server's answers are cut: into a write each group, each line, each octet.
Cut = Literal["whole", "line", "octet"]
CUTS: tuple[Cut, ...] = ("whole", "line", "octet")

_DIRECTIONS = {
    "S": {"<close>", "<reset>", "<silence>", "<starttls>"},
    "C": {"<content>", "<hangup>"},
}

_VERB = re.compile(r"MAIL FROM:|RCPT TO:|[A-Z]{4,8}(?= |$)")


class ScriptMismatch(AssertionError):  # noqa: N818 - a test fails, as by assert
    """The client has deviated from the script."""


@dataclass
class Turn:
    """Consecutive lines of one voice, or one stage direction.

    Attributes:
        voice: "S" or "C".
        line_number: Where the script has the first of the lines, counted from 1.
    """

    voice: str
    line_number: int
    lines: list[str] = field(default_factory=list)

    @property
    def direction(self) -> str | None:
        """The stage direction; None if the lines are said."""
        return self.lines[0] if self.lines[0] in _DIRECTIONS[self.voice] else None


def parse(script: str) -> list[Turn]:
    """Read a script.

    Raises:
        ValueError: A line has no voice, or an unknown stage direction.
    """
    turns: list[Turn] = []
    for number, line in enumerate(dedent(script).strip("\n").splitlines(), 1):
        match = re.fullmatch(r"([SC]):(?: (.*))?", line)
        if match is None:
            raise ValueError(
                f"line {number} of the script begins with neither S: nor C: {line!r}"
            )
        voice, text = match[1], match[2] or ""
        is_direction = text in _DIRECTIONS[voice]
        if voice == "S" and not is_direction and re.fullmatch(r"<.*>", text):
            raise ValueError(
                f"line {number} of the script has an unknown stage direction: {text}; "
                f"there are {' '.join(sorted(_DIRECTIONS['S']))}"
            )
        is_first = not turns or turns[-1].voice != voice
        if is_first or is_direction or turns[-1].direction is not None:
            turns.append(Turn(voice, number))
        turns[-1].lines.append(text)
    return turns


def pattern(expected: str) -> re.Pattern[bytes]:
    """Compile what a line of the client has to match, its end included."""
    verb = _VERB.match(expected)
    end = verb.end() if verb is not None else 0
    others = expected[end:].encode("utf-8", "surrogateescape").split(b"<any>")
    rest = b".*".join(re.escape(part) for part in others)
    return re.compile(b"(?i:%b)%b\r\n" % (expected[:end].encode(), rest))


def pieces(lines: list[str], cut: Cut) -> list[bytes]:
    """Cut what the server says."""
    encoded = [f"{line}\r\n".encode("utf-8", "surrogateescape") for line in lines]
    if cut == "line":
        return encoded
    whole = b"".join(encoded)
    return [bytes([octet]) for octet in whole] if cut == "octet" else [whole]

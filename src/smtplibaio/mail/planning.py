"""What will be said for a mail, settled before the first word: commands and content.

Rules:

1. What cannot work with this server fails here, before MAIL.
2. Content goes with DATA, unless BDAT was asked for or is the only way (RFC 3030 3:
   BINARYMIME).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..content.email import Fitted, fit
from ..content.forms import Content, Message, Stream
from ..content.framing import Chunk, Chunks, Dots, Framing
from ..content.progress import ProgressCallback
from ..exceptions import SMTPArgumentError, SMTPException
from ..grammar import commands
from ..grammar.extensions import Extensions, require
from .envelope import Envelope, check_content, check_tls, refusal_of_8bit

__all__ = ["Body", "Plan", "Terms", "make_plan"]


class Body(NamedTuple):
    """Hold content, and how it travels.

    Attributes:
        content: What to send.
        is_chunked: Whether with BDAT; else with DATA.
        is_grouped: Whether a chunk may follow another before that was answered.
        no_8bit: What a stream raises that turns out to be 8-bit, if it must not.
        progress: Whom to tell how much has been sent.
    """

    content: Content | Stream
    is_chunked: bool = False
    is_grouped: bool = False
    no_8bit: SMTPException | None = None
    progress: ProgressCallback | None = None

    def framing(self) -> Framing:
        """Give how the content is marked off."""
        if not self.is_chunked:
            return Dots()
        size = self.content.size
        return Chunks() if size is None else Chunk(size)


class Plan(NamedTuple):
    """Hold one transaction, as it will be run.

    Attributes:
        lines: MAIL, then one RCPT a recipient.
        recipients: What the caller called them.
        body: The content.
        is_grouped: Whether the server offers PIPELINING.
        all_or_nothing: Whether to send nothing if one recipient is refused. DATA then
            waits for the verdicts: after a 354 the only way out would be to hang up.
    """

    lines: Sequence[bytes]
    recipients: Sequence[str]
    body: Body
    is_grouped: bool
    all_or_nothing: bool = False

    @property
    def wanted(self) -> int:
        """Give how many recipients have to be accepted."""
        return len(self.recipients) if self.all_or_nothing else 1

    def groups(self) -> list[Sequence[bytes]]:
        """Give the commands before the content, as they leave together.

        BDAT waits for the verdicts: a server that refuses it without reading its octets
        would take them for commands.
        """
        data = () if self.body.is_chunked else (commands.DATA,)
        if not self.is_grouped:
            return [(line,) for line in (*self.lines, *data)]
        if self.all_or_nothing and data:
            return [self.lines, data]
        return [(*self.lines, *data)]


class Terms:
    """Hold what a session offers, and what its client wants of it.

    Attributes:
        extensions: What the server announced.
        announced: The same, as a dict with its keywords in capitals.
        is_grouped: Whether commands leave in groups.
        allow_window: Whether several mails can be on their way at a time.
        is_verified: Whether the server has shown who it is.
    """

    def __init__(
        self,
        extensions: Extensions,
        *,
        pipelining: bool,
        chunking: bool | None,
        is_verified: bool,
    ) -> None:
        self.extensions = extensions
        self.announced = dict(extensions)
        self.is_verified = is_verified
        self.is_grouped = pipelining and "PIPELINING" in extensions
        self._chunking = chunking
        self._offers_chunking = "CHUNKING" in extensions
        may_chunk = self._offers_chunking and chunking is not False
        self.allow_window = may_chunk and self.is_grouped

    def is_chunked(self, *, is_binary: bool) -> bool:
        """Tell whether content goes with BDAT.

        Raises:
            SMTPArgumentError: It has to, and must not.
            SMTPCommandNotSupportedError: It has to, and the server does not offer it.
        """
        if is_binary:
            if self._chunking is False:
                raise SMTPArgumentError(
                    "BODY=BINARYMIME goes with BDAT only, which chunking=False forbids"
                )
            require("CHUNKING", self.extensions, "BODY=BINARYMIME goes with BDAT only")
        return is_binary or (self._chunking is True and self._offers_chunking)


def make_plan(
    envelope: Envelope,
    message: Message,
    fitted: Fitted | None,
    terms: Terms,
    *,
    all_or_nothing: bool = False,
    add_missing: bool = False,
    progress: ProgressCallback | None = None,
) -> Plan:
    """Fit an envelope and a message to a server.

    Args:
        envelope: Who sends it, and who gets it.
        message: What is sent, if it has to be fitted to the server.
        fitted: The content, if it has not.
        terms: What the server offers, and how it is to be used.
        all_or_nothing: See `Plan`.
        add_missing: Whether Date and Message-ID are added where the message lacks them.
        progress: See `Body`.

    Raises:
        SMTPArgumentError: It cannot be sent.
        SMTPCommandNotSupportedError: It needs what was not announced.
        SMTPTLSError: It needs a verified connection.
    """
    extensions = terms.extensions
    body = envelope.body
    is_chunked = terms.is_chunked(is_binary=envelope.is_binary)
    is_grouped = terms.is_grouped
    content, needs_utf8 = fitted or fit(
        message, extensions, add_missing=add_missing, sender=envelope.sender
    )
    announced = terms.announced
    check_content(content, announced, extensions.size)
    lines = envelope.commands(announced, content, needs_utf8=needs_utf8)
    if envelope.mail_options:
        check_tls(envelope.mail_options, is_verified=terms.is_verified)
    no_8bit = refusal_of_8bit(body, announced) if content.is_8bit is None else None
    return Plan(
        lines,
        [*envelope.recipients],
        Body(content, is_chunked, is_grouped, no_8bit, progress),
        is_grouped,
        all_or_nothing,
    )

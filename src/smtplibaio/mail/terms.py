"""What may be said to one server on one connection: the one place that decides it.

Rules:

1. What cannot work with this server fails here, before MAIL: a parameter whose
   extension was not announced, content that is too large or cannot travel
   (RFC 1870 6.1, RFC 6152 3, RFC 6531 3.4), REQUIRETLS on a connection that is not
   verified.
2. A command that a caller gives by hand, a mail, a run of mails and a pipeline are all
   spelt and checked here, so that the same rules hold for each.
3. Content goes with DATA, unless BDAT was asked for or is the only way (RFC 3030 3:
   BINARYMIME).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..content.email import fit
from ..content.forms import Content, Message, Stream
from ..content.framing import Chunk, Chunks, Dots, Framing
from ..content.progress import ProgressCallback
from ..exceptions import (
    SMTPArgumentError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPTLSError,
)
from ..grammar import commands
from ..grammar.addresses import needs_smtputf8
from ..grammar.extensions import Extensions, require
from .envelope import Envelope, body_of

__all__ = ["Body", "Plan", "Terms"]

#: The extension of a parameter of MAIL or RCPT, if the two have different names.
_EXTENSION_OF = {
    "BODY": "8BITMIME",  # RFC 6152; RFC 3030 for BINARYMIME
    "RET": "DSN",  # RFC 3461, as the next three
    "ENVID": "DSN",
    "NOTIFY": "DSN",
    "ORCPT": "DSN",
    "BY": "DELIVERBY",  # RFC 2852
    "HOLDFOR": "FUTURERELEASE",  # RFC 4865
    "HOLDUNTIL": "FUTURERELEASE",
}

#: Parameters that share their extension's name. A parameter that is in neither table
#: belongs to no extension known here, and the server is the judge of it.
_OWN_NAME = frozenset({"SIZE", "SMTPUTF8", "AUTH", "REQUIRETLS", "MT-PRIORITY"})


@dataclass(slots=True)
class Body:
    """Content, and how it travels.

    Attributes:
        content: What to send.
        is_chunked: Whether it goes with BDAT, not with DATA.
        is_grouped: Whether a chunk may leave before the last one has a reply.
        no_8bit: The error if a stream turns out to be 8-bit; None if it may be.
        progress: Called with how much has been sent.
        is_last: Whether this is the end of the content; False for a chunk of a
            pipeline, if more chunks follow.
    """

    content: Content | Stream
    is_chunked: bool = False
    is_grouped: bool = False
    no_8bit: SMTPException | None = None
    progress: ProgressCallback | None = None
    is_last: bool = True

    def framing(self) -> Framing:
        """Return a fresh framing of the content."""
        if not self.is_chunked:
            return Dots()
        size = self.content.size
        return Chunks() if size is None else Chunk(size, is_last=self.is_last)


@dataclass(slots=True)
class Plan:
    """One mail, as it will be said.

    Attributes:
        body: The content.
        mail: The MAIL command; empty if it was given before.
        rcpts: One RCPT command for each recipient.
        recipients: The same recipients, as the caller calls them.
        is_grouped: Whether the server offers PIPELINING.
        all_or_nothing: Whether to send nothing if one recipient is refused. DATA then
            waits for the verdicts: after a 354 the only way out would be to hang up.
        says_data: Whether DATA is still to be given.
        is_lmtp: Whether every accepted recipient has a final reply (RFC 2033 4.2).
        accepted: How many recipients were accepted before.
    """

    body: Body
    mail: bytes = b""
    rcpts: Sequence[bytes] = ()
    recipients: Sequence[str] = ()
    is_grouped: bool = False
    all_or_nothing: bool = False
    says_data: bool = True
    is_lmtp: bool = False
    accepted: int = 0


class Terms:
    """What a server offers on a connection, and what its client wants of it.

    Attributes:
        extensions: What the server announced.
        is_grouped: Whether commands leave in groups.
        allow_window: Whether several mails can be on their way at a time.
        allow_behind_dot: Whether commands may leave in the same write as the end of
            content, before it is answered.
        is_verified: Whether the server's certificate was verified.
        is_lmtp: Whether the server speaks LMTP (RFC 2033).

    Args:
        extensions: What the server announced.
        pipelining: Whether the client uses PIPELINING if it is offered.
        chunking: Whether the client uses CHUNKING; None for only if it must.
        is_verified: Whether the server's certificate was verified.
        is_lmtp: Whether the server speaks LMTP.
    """

    def __init__(
        self,
        extensions: Extensions,
        *,
        pipelining: bool = True,
        chunking: bool | None = None,
        is_verified: bool = False,
        is_lmtp: bool = False,
    ) -> None:
        self.extensions = extensions
        self._announced = dict(extensions)  # faster to ask than a Mapping of our own
        self._max_size = extensions.size
        self._says_size = "SIZE" in self._announced
        self.is_verified = is_verified
        self.is_lmtp = is_lmtp
        self.is_grouped = pipelining and "PIPELINING" in self._announced
        self._chunking = chunking
        offers_chunking = "CHUNKING" in self._announced
        self._wants_chunks = chunking is True and offers_chunking
        may_chunk = offers_chunking and chunking is not False
        self.allow_window = may_chunk and self.is_grouped and not is_lmtp
        # Courier's servers swallow what follows the final dot in the same write.
        is_courier = "XEXDATA" in self._announced or (
            "COURIER" in map(str.upper, self._announced.get("XVERP", ()))
        )
        self.allow_behind_dot = self.is_grouped and not is_courier

    # Commands

    def mail(self, mailbox: str, options: Sequence[str]) -> bytes:
        """Spell MAIL, with SMTPUTF8 if the mailbox or a parameter needs it.

        Raises:
            SMTPCommandNotSupportedError: It needs what was not announced.
            SMTPTLSError: It needs a verified connection.
        """
        self._check_options(options)
        if self._needs_utf8(mailbox, options):
            options = self._with_utf8(options)
        return commands.mail(mailbox, options)

    def rcpt(self, mailbox: str, options: Sequence[str]) -> bytes:
        """Spell RCPT.

        Raises:
            SMTPCommandNotSupportedError: It needs what was not announced.
        """
        self._check_options(options)
        self._needs_utf8(mailbox, options)
        return commands.rcpt(mailbox, options)

    def _check_options(self, options: Iterable[str]) -> None:
        for option in options:
            keyword, _, value = option.upper().partition("=")
            extension = _EXTENSION_OF.get(keyword, keyword)
            if (keyword, value) == ("BODY", "BINARYMIME"):
                extension = "BINARYMIME"
            known = keyword in _OWN_NAME or extension != keyword
            if known and extension not in self._announced:
                raise SMTPCommandNotSupportedError(
                    extension, f"the parameter {keyword} needs it"
                )
            if keyword == "REQUIRETLS" and not self.is_verified:
                # RFC 8689 2
                raise SMTPTLSError(
                    "REQUIRETLS needs a connection with a verified certificate: use "
                    "SMTP_SSL or starttls='required', with a context that verifies"
                )

    def _needs_utf8(self, mailbox: str, options: Iterable[str]) -> bool:
        """Return whether SMTPUTF8 is needed; check that it was announced."""
        if needs_smtputf8(mailbox):
            why = f"the local part of {mailbox!a} is not ASCII"
        elif any(not option.isascii() for option in options):
            why = "a parameter has a value that is not ASCII"  # RFC 6531 3.3
        else:
            return False
        require("SMTPUTF8", self._announced, why)
        return True

    @staticmethod
    def _with_utf8(options: Sequence[str]) -> list[str]:
        if "SMTPUTF8" not in map(commands.keyword_of, options):
            return [*options, "SMTPUTF8"]
        return [*options]

    # Content

    @property
    def is_utf8(self) -> bool:
        """Whether the server announced SMTPUTF8."""
        return "SMTPUTF8" in self._announced

    def check_size(self, size: int) -> None:
        """Refuse content of more octets than the server takes (RFC 1870 6.1).

        Raises:
            SMTPArgumentError: There are more; the text has both numbers.
        """
        limit = self._max_size
        if limit is not None and size > limit:
            raise SMTPArgumentError(
                f"the content has {size} octets, but the server accepts at most {limit}"
            )

    def no_8bit(self, body: str | None) -> SMTPException | None:
        """Return the error, if content beyond ASCII cannot be sent.

        Args:
            body: The value of BODY, if it was given.
        """
        if body == "7BIT":
            return SMTPArgumentError("the content is 8-bit, BODY=7BIT says it is not")
        if "8BITMIME" in self._announced:
            return None
        return SMTPCommandNotSupportedError(
            "8BITMIME", "the content has octets beyond ASCII"
        )

    def body(
        self,
        content: Content | Stream,
        body: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Body:
        """Check content, and settle how it travels.

        Args:
            content: What is to be sent.
            body: The value of BODY, if it was given.
            progress: Called with how much has been sent.

        Raises:
            SMTPArgumentError: It is larger than the server takes, or is not what BODY
                says.
            SMTPCommandNotSupportedError: It is 8-bit, and 8BITMIME was not announced.
        """
        size, limit = content.size, self._max_size
        if size is not None and limit is not None and size > limit:
            self.check_size(size)
        no_8bit = None
        if content.is_8bit is not False:
            no_8bit = self.no_8bit(body)
            if content.is_8bit and no_8bit is not None:
                raise no_8bit
        is_chunked = self._wants_chunks
        if body == "BINARYMIME":
            self._check_binary()
            is_chunked = True
        return Body(content, is_chunked, self.is_grouped, no_8bit, progress, True)

    def _check_binary(self) -> None:
        if self._chunking is False:
            raise SMTPArgumentError(
                "BODY=BINARYMIME needs BDAT, but chunking=False forbids it"
            )
        require("CHUNKING", self._announced, "BODY=BINARYMIME needs BDAT")

    # Whole mails

    def plan(
        self,
        envelope: Envelope,
        message: Message,
        fitted: Content | Stream | None,
        *,
        all_or_nothing: bool = False,
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Plan:
        """Fit an envelope and a message to the server.

        Args:
            envelope: Who sends it, and who gets it.
            message: What is sent.
            fitted: The content, if it needs no change for this server.
            all_or_nothing: Whether to send nothing if one recipient is refused.
            add_missing: Whether Date and Message-ID are added if the message lacks
                them.
            progress: Called with how much has been sent.

        Raises:
            SMTPArgumentError: It cannot be sent.
            SMTPCommandNotSupportedError: It needs what was not announced.
            SMTPTLSError: It needs a verified connection.
        """
        sender, mail_options = envelope.sender, envelope.mail_options
        body = body_of(mail_options) if mail_options else None
        content = fitted or fit(
            message, self._announced, add_missing=add_missing, sender=sender
        )
        settled = self.body(content, body, progress)
        mailboxes = envelope.recipients.values()
        needs_utf8 = content.needs_utf8
        if mail_options or envelope.rcpt_options or envelope.own_options:
            for options in envelope.all_options():
                self._check_options(options)
                needs_utf8 |= self._needs_utf8(sender, options)
            rcpts = [
                commands.path_line("RCPT TO", mailbox, envelope.options_of(mailbox))
                for mailbox in mailboxes
            ]
        else:
            rcpts = commands.rcpt_lines(mailboxes)
        if not (sender.isascii() and "".join(mailboxes).isascii()):
            for mailbox in (sender, *mailboxes):
                needs_utf8 |= self._needs_utf8(mailbox, ())
        spelt = self._own_parameters(content, body, mail_options)
        if mail_options:
            spelt = [*mail_options, *spelt]
        if needs_utf8:
            spelt = self._with_utf8(spelt)
        return Plan(
            settled,
            commands.path_line("MAIL FROM", sender, spelt),
            rcpts,
            [*envelope.recipients],
            self.is_grouped,
            all_or_nothing,
            not settled.is_chunked,
            self.is_lmtp,
            0,
        )

    def _own_parameters(
        self, content: Content | Stream, body: str | None, given: Sequence[str]
    ) -> list[str]:
        """Return the parameters of MAIL about the content: SIZE and BODY."""
        added: list[str] = []
        size, is_8bit = content.size, content.is_8bit
        is_size_given = given and "SIZE" in map(commands.keyword_of, given)
        if self._says_size and size is not None and not is_size_given:
            added.append(f"SIZE={size}")
        if is_8bit is None:  # it may be: MAIL says so, if the server can take that
            is_8bit = "8BITMIME" in self._announced
        if is_8bit and body is None:
            added.append("BODY=8BITMIME")
        return added

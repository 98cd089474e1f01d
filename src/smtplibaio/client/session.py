"""One session, from the greeting to the end of its connection.

Rules:

1. What is learnt from the server is replaced whole. After TLS nothing is known: "The
   client MUST discard any knowledge obtained from the server" (RFC 3207 4.2).
2. HELO is for servers that do not know EHLO (RFC 5321 3.2): for a 5yz, not for a 4yz.
3. A mail begins with RSET if the server may hold another transaction; the module
   `mail.resetting` decides it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple, NoReturn

from ..content.email import fit
from ..content.forms import Content, Message, Stream
from ..content.progress import ProgressCallback
from ..exceptions import (
    SMTPArgumentError,
    SMTPCommandFailedError,
    SMTPException,
    SMTPProtocolError,
)
from ..grammar import commands
from ..grammar.extensions import Extensions
from ..grammar.replies import Reply
from ..mail.envelope import Envelope, body_of
from ..mail.resetting import is_reset_due
from ..mail.result import SendResult
from ..mail.terms import Plan, Terms
from ..mail.transaction import Transaction
from ..mail.verdicts import check_data, check_reply
from ..wire.opening import address_literal
from ..wire.protocol import SMTPProtocol
from ..wire.tls import default_context, is_verified
from .auth_dialogue import no_starttls
from .config import Settings
from .dialogue import perform
from .story import Story
from .transfer import Transfer

__all__ = ["Learnt", "Open", "Session", "own_name"]


class Learnt(NamedTuple):
    """What a client has learnt from the server since the last security boundary."""

    extensions: Extensions = Extensions()
    ehlo_reply: Reply | None = None
    helo_reply: Reply | None = None
    is_authenticated: bool = False

    @property
    def is_introduced(self) -> bool:
        """Whether the server knows the client's name."""
        return self.ehlo_reply is not None or self.helo_reply is not None


#: What a server says to a verb that it does not know.
_UNKNOWN_COMMAND = (500, 502, 504)


class Open(NamedTuple):
    """A transaction that was begun by hand: MAIL was taken, and nothing has ended it.

    Attributes:
        body: What BODY says of its content, if it was given.
        has_chunks: Whether a BDAT was given, and not the last.
        accepted: How many recipients were accepted.
        refusal: The reply to the last recipient that was refused, if one was.
    """

    body: str | None = None
    has_chunks: bool = False
    accepted: int = 0
    refusal: Reply | None = None

    @property
    def is_for_bdat(self) -> bool:
        """Whether its content goes with BDAT only (RFC 3030 2 and 3)."""
        return self.has_chunks or self.body == "BINARYMIME"


class Session:
    """The dialogue with one server on one connection.

    Attributes:
        protocol: The connection.
        settings: How the client is configured.
        greeting: The server's greeting.
        learnt: What the client has learnt from the server.
        terms: What may be said to the server; made with `learnt`.
        open: The transaction that was begun by hand; None if there is none.
        refusal: The refusal of the last MAIL that was given by hand; None if that MAIL
            was accepted.
        allow_behind_dot: Whether commands may leave after content that has no final
            reply yet; False after the server has once refused such commands.
    """

    def __init__(
        self, protocol: SMTPProtocol, settings: Settings, greeting: Reply
    ) -> None:
        self.protocol = protocol
        self.settings = settings
        self.timeouts = settings.timeouts
        self.greeting = greeting
        self.transfer = Transfer(protocol, settings.timeouts)
        self.open: Open | None = None
        self.refusal: Reply | None = None
        self._learn(Learnt())

    def _learn(self, learnt: Learnt) -> None:
        self.learnt = learnt
        self.terms = Terms(
            learnt.extensions,
            pipelining=self.settings.pipelining,
            chunking=self.settings.chunking,
            is_verified=is_verified(self.protocol.transport),
            is_lmtp=self.settings.is_lmtp,
        )
        self.allow_behind_dot = self.terms.allow_behind_dot

    async def perform(self, line: bytes) -> Reply:
        """Write one command and return its reply, a 2yz.

        Raises:
            SMTPCommandFailedError: It is 4yz or 5yz.
            SMTPProtocolError: It is 3yz; the connection has ended.
        """
        return await perform(self.protocol, line, self.timeouts.reply)

    # Who the client is

    async def introduced(self) -> Learnt:
        """Say EHLO (LHLO), unless it was said, or HELO if EHLO is not known."""
        if self.learnt.is_introduced:
            return self.learnt
        try:
            await self.ehlo()
        except SMTPCommandFailedError as exc:
            if exc.is_transient or self.settings.is_lmtp:
                raise
            try:
                await self.helo()
            except SMTPCommandFailedError:
                raise
            except SMTPException:
                if self.protocol.cause is None or exc.code in _UNKNOWN_COMMAND:
                    raise
                raise exc from None  # the refusal of EHLO says why the server hung up
        return self.learnt

    async def ehlo(self, line: bytes | None = None) -> Reply:
        """Say EHLO, or LHLO to a server of LMTP."""
        spell = commands.lhlo if self.settings.is_lmtp else commands.ehlo
        reply = await self._introduce(line, spell)
        self._learn(
            Learnt(
                Extensions.from_reply(reply),
                ehlo_reply=reply,
                is_authenticated=self.learnt.is_authenticated,
            )
        )
        return reply

    async def helo(self, line: bytes | None = None) -> Reply:
        """Say HELO."""
        reply = await self._introduce(line, commands.helo)
        is_authenticated = self.learnt.is_authenticated
        self._learn(Learnt(helo_reply=reply, is_authenticated=is_authenticated))
        return reply

    async def _introduce(
        self, line: bytes | None, spell: Callable[[str], bytes]
    ) -> Reply:
        if line is None:
            transport = self.protocol.transport
            line = spell(own_name(self.settings) or address_literal(transport))
        # If it is broken off, nobody knows which of the two introductions counts for
        # the server: forget what was learnt. If it is refused, what was learnt still
        # holds (RFC 5321 4.1.4: "the same state").
        before = self.learnt
        self._learn(Learnt(is_authenticated=before.is_authenticated))
        try:
            reply = await self.perform(line)
        except SMTPCommandFailedError:
            self._learn(before)
            raise
        # RFC 5321 4.1.4: EHLO clears all buffers, as RSET does
        self.open = self.refusal = None
        return reply

    # TLS

    async def starttls(self, context: ssl.SSLContext | None) -> Reply:
        """Turn the connection to TLS, and introduce the client again.

        Raises:
            SMTPException: As `SMTP.starttls`.
        """
        protocol = self.protocol
        name = self.settings.endpoint.name_to_verify
        if protocol.transport.get_extra_info("ssl_object") is not None:
            raise SMTPArgumentError(
                f"the connection to {protocol.peer} is encrypted already"
            )
        learnt = await self.introduced()
        if self.open is not None:
            raise SMTPArgumentError(
                "STARTTLS is not permitted within a mail transaction: send RSET first"
            )
        if "STARTTLS" not in learnt.extensions:
            raise no_starttls(self.settings, protocol.peer)
        with protocol.indivisible("STARTTLS"):
            reply = await protocol.ask_for_tls(commands.STARTTLS, self.timeouts.reply)
            if check_reply(reply, "STARTTLS").code != 220:
                raise SMTPProtocolError(
                    f"{protocol.peer} answered STARTTLS with {reply.code}"
                )
            await protocol.start_tls(
                context or default_context(), name, self.timeouts.connect
            )
        self._learn(Learnt())
        await self.ehlo()
        return reply

    def note_authenticated(self) -> None:
        """Remember that the client has logged in."""
        self._learn(self.learnt._replace(is_authenticated=True))

    # A transaction by hand

    async def mail(self, mailbox: str, options: Sequence[str]) -> Reply:
        """Say MAIL."""
        line = self.terms.mail(mailbox, options)
        with self.protocol.indivisible("MAIL"):
            await self._reset_if_due()
            begun, self.open = self.open, None
            try:
                reply = await self.perform(line)
            except SMTPCommandFailedError as exc:
                # What was begun before would get the recipients of this mail.
                self.transfer.must_reset = begun is not None
                self.refusal = exc.reply
                raise
        self.open, self.refusal = Open(body_of(options)), None
        return reply

    async def rcpt(self, mailbox: str, options: Sequence[str]) -> Reply:
        """Say RCPT."""
        line = self.terms.rcpt(mailbox, options)
        with self.protocol.indivisible("RCPT"):
            await self._reset_if_due()
            try:
                reply = await self.perform(line)
            except SMTPCommandFailedError as exc:
                if self.open is not None:
                    self.open = self.open._replace(refusal=exc.reply)
                raise
        if self.open is not None:
            self.open = self.open._replace(accepted=self.open.accepted + 1)
        return reply

    async def data(self, message: Message, fitted: Content | Stream | None) -> Reply:
        """Say DATA and the content; return the final reply.

        If MAIL or every recipient of its own transaction was refused, no content
        leaves, whatever the server says to DATA.
        """
        begun = self.open or Open(refusal=self.refusal)
        if begun.is_for_bdat:
            raise SMTPArgumentError(
                "after BODY=BINARYMIME or BDAT, the content must be sent with BDAT: "
                "use sendmail, or bdat of a pipeline"
            )
        content = fitted or fit(message, self.terms.extensions)
        body = self.terms.body(content, begun.body)
        body.is_chunked = False
        if not begun.accepted and begun.refusal is not None:
            await self._withhold(begun.refusal)
        await self._reset_if_due()
        plan = Plan(body, is_lmtp=self.settings.is_lmtp, accepted=begun.accepted)
        transaction = Transaction(plan, self.timeouts)
        await self.transfer.result_of(transaction)
        self.open = None
        return transaction.replies[-1]

    async def _withhold(self, refusal: Reply) -> NoReturn:
        """Say DATA, and raise why no content follows, whatever the server says."""
        protocol = self.protocol
        with protocol.indivisible("DATA"):
            reply = await protocol.ask(commands.DATA, self.timeouts.reply, "DATA")
            try:
                check_data(reply)
                if self.open is None:
                    # A dot would be a mail, to the recipients of another one.
                    said = f"DATA got {reply.code} where no content may follow"
                    protocol.end(SMTPProtocolError(said))
                    raise SMTPCommandFailedError(*refusal, "MAIL", refusal)
            except SMTPProtocolError as exc:
                protocol.end(exc)
                raise
            await protocol.ask(b".\r\n", self.timeouts.quit, "a lone dot", b"")
            await self.rset()
        raise SMTPCommandFailedError(*refusal, "RCPT", refusal)

    async def _reset_if_due(self) -> None:
        """Say RSET if the server may still hold a transaction that has failed."""
        if self.transfer.must_reset:
            refusal = self.refusal
            await self.rset()
            self.refusal = refusal

    async def rset(self) -> Reply:
        """Say RSET: forget the transaction that was begun."""
        reply = await self.perform(commands.RSET)
        self.open = self.refusal = None
        self.transfer.must_reset = False
        return reply

    # Whole mails

    def transaction(
        self,
        plan: Plan,
        *,
        is_behind: bool = False,
        resets: bool = False,
        is_whole: bool = False,
        first_reply: float | None = None,
    ) -> Transaction:
        """Make the transaction of a mail that is about to be sent.

        Args:
            plan: What will be said.
            is_behind: Whether the mail before it has no final reply yet.
            resets: Whether RSET comes first in any case.
            is_whole: Whether all of it is said at once.
            first_reply: The seconds that the first reply may take.
        """
        resets = resets or is_reset_due(
            is_behind=is_behind,
            is_begun=self.open is not None,
            is_kept=self.transfer.must_reset,
        )
        self.open, self.transfer.must_reset = None, False
        transaction = Transaction(
            plan, self.timeouts, resets, is_behind, is_whole, first_reply
        )
        if plan.mail and self.protocol.narrator.is_heard:
            story = Story(self.protocol.narrator, plan)
            self.transfer.stories[transaction] = story
        return transaction

    def send(
        self,
        envelope: Envelope,
        message: Message,
        *,
        fitted: Content | Stream | None = None,
        all_or_nothing: bool = False,
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
        first_reply: float | None = None,
    ) -> Coroutine[Any, Any, SendResult]:
        """Send a mail in one transaction; the arguments are checked at the call.

        Raises:
            SMTPException: As `SMTP.send_message`.
        """
        plan = self.terms.plan(
            envelope,
            message,
            fitted,
            all_or_nothing=all_or_nothing,
            add_missing=add_missing,
            progress=progress,
        )
        return self.transfer.result_of(self.transaction(plan, first_reply=first_reply))


def own_name(settings: Settings) -> str | None:
    """Return the client's name, if it does not depend on a connection."""
    if settings.name is not None:
        return settings.name
    name = socket.gethostname()
    return name if "." in name and commands.is_client_name(name) else None

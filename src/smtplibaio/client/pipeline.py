"""A pipeline, as its caller sees it: commands go in, futures of replies come out.

Rules:

1. If a command may not be sent at all, or not at this point, the call that gives it
   raises the error.
2. A refused command is a reply and not an exception: the caller who groups commands
   judges their replies together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from copy import copy
from types import TracebackType
from typing import Self

from ..content.canonical import Canonicaliser
from ..content.email import fit, prepare
from ..content.forms import Message, Octets, octets_of
from ..exceptions import SMTPArgumentError
from ..grammar import commands
from ..grammar.addresses import forward_path, reverse_path
from ..grammar.extensions import require
from ..mail.envelope import body_of
from ..wire.replyqueue import ReplyFuture
from .answers import Answers
from .outbox import Command, DataChunk, DataContent, Outbox, pass_on
from .session import Open, Session

__all__ = ["Pipeline"]


class Pipeline:
    """Take commands without waiting, and return futures of their replies.

    Made by `SMTP.pipeline`. The session belongs to the pipeline until its block is
    left, and leaving it waits for every reply. Replies of 4yz and 5yz are results; an
    exception means that the connection has ended; so does a refusal of content before
    all of it was sent.

    A future may be cancelled: a command that has not left yet then stays unsent, and
    the reply to one that has is read and dropped.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._protocol = session.protocol
        self._terms = session.terms
        self._outbox = Outbox(session)
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._data: ReplyFuture | None = None  # of a DATA that has no content yet
        self._of_data: Answers | None = None  # of the transaction of this DATA
        self._answers: Answers | None = None
        if session.open is not None:
            # Chunks of an earlier pipeline cannot be continued: the octets that it held
            # back are gone.
            self._answers = self._new_answers(session.open.body, session.open)
            self._answers.is_withdrawn = session.open.has_chunks
            self._answers.has_chunks = session.open.has_chunks

    @property
    def in_transaction(self) -> bool:
        """Whether a MAIL has left that neither RSET nor content has ended."""
        return self._outbox.in_transaction

    # Commands

    def mail(self, sender: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Say MAIL (RFC 5321 4.1.1.2); "" is the null reverse-path.

        RSET goes before it if the content before has no final reply yet, or if a
        transaction was left open.

        Raises:
            SMTPArgumentError: It may not go on the wire.
            SMTPCommandNotSupportedError: A parameter was not announced.
            SMTPTLSError: REQUIRETLS, and the connection is not verified.
        """
        checked = commands.parameters(options, "options")
        line = self._terms.mail(reverse_path(sender), checked)
        answers = self._new_answers(body_of(checked))
        future, answers.mail = self._say_and_keep(line, answers)
        self._answers = answers
        return future

    def rcpt(self, recipient: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Say RCPT (RFC 5321 4.1.1.3).

        Raises:
            SMTPArgumentError: It may not go on the wire.
            SMTPCommandNotSupportedError: A parameter was not announced.
        """
        checked = commands.parameters(options, "options")
        line = self._terms.rcpt(forward_path(recipient), checked)
        future, reply = self._say_and_keep(line)
        if self._answers is not None:
            self._answers.rcpts.append(reply)
        return future

    def data(self) -> ReplyFuture:
        """Say DATA (RFC 5321 4.1.1.4); `content` follows unless it is refused.

        Raises:
            SMTPArgumentError: The transaction has BDAT, or MAIL has announced
                BINARYMIME, whose content cannot follow DATA (RFC 3030 2 and 3).
        """
        answers = self._answers
        if answers is not None and (answers.has_chunks or answers.body == "BINARYMIME"):
            raise SMTPArgumentError(
                "after BODY=BINARYMIME or bdat(), send the content with bdat()"
            )
        future, self._data = self._say_and_keep(commands.DATA)
        self._of_data = answers or self._new_answers(None)
        self._answers = None
        return future

    def content(self, message: Message) -> ReplyFuture:
        """Send the content that DATA announced; the future has the final reply.

        If DATA, MAIL or every RCPT of the transaction was refused, nothing is sent, and
        the future has that reply. A file or an iterable is read while it is sent.

        Raises:
            SMTPArgumentError: DATA was not given, or the content cannot be sent.
            SMTPCommandNotSupportedError: It needs an extension that was not announced.
        """
        self._check_standing()
        if self._data is None or self._of_data is None:
            raise SMTPArgumentError("call data() before content()")
        content = prepare(message) or fit(message, self._terms.extensions)
        body = self._terms.body(content, self._of_data.body)
        body.is_chunked = False
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(DataContent(body, future, self._data, self._of_data))
        self._data = self._of_data = None
        return future

    def bdat(self, chunk: Octets, last: bool = False) -> ReplyFuture:
        """Send a chunk of content with BDAT (RFC 3030 2).

        Line ends become CRLF, across the chunks, unless MAIL has announced
        BODY=BINARYMIME. The octets leave when MAIL and a recipient were accepted. If
        they were not, or a chunk was refused, the future has that reply.

        Args:
            chunk: Octets of the content.
            last: Whether no more chunks follow.

        Raises:
            SMTPArgumentError: There is no transaction to have content, or the chunk
                cannot be sent.
            SMTPCommandNotSupportedError: The server does not announce CHUNKING.
        """
        self._check_open()
        require("CHUNKING", self._terms.extensions, "BDAT belongs to it")
        answers = self._answers
        if answers is None or (answers.begun is None and not answers.rcpts):
            raise SMTPArgumentError("call mail() and rcpt() before bdat()")
        if answers.is_withdrawn:
            raise SMTPArgumentError("the content cannot be continued: call rset()")
        octets, canonicaliser = octets_of(chunk), None
        if answers.canonicaliser is not None:
            canonicaliser = copy(answers.canonicaliser)  # a bad chunk changes nothing
            octets = canonicaliser.feed(octets)
            if last:
                octets += canonicaliser.finish()
        self._terms.check_size(answers.size + len(octets))
        answers.canonicaliser = canonicaliser
        answers.size += len(octets)
        answers.has_chunks = True
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(DataChunk(octets, last, future, answers))
        if last:
            self._answers = None
        return future

    def rset(self) -> ReplyFuture:
        """Say RSET (RFC 5321 4.1.1.5)."""
        future = self._say(commands.RSET)
        self._answers = None
        return future

    def noop(self, text: str | None = None) -> ReplyFuture:
        """Say NOOP (RFC 5321 4.1.1.9)."""
        return self._say(commands.noop(text))

    def vrfy(self, address: str) -> ReplyFuture:
        """Say VRFY (RFC 5321 4.1.1.6)."""
        return self._say(commands.vrfy(address, utf8=self._terms.is_utf8))

    def expn(self, address: str) -> ReplyFuture:
        """Say EXPN (RFC 5321 4.1.1.7)."""
        return self._say(commands.expn(address, utf8=self._terms.is_utf8))

    def help(self, command: str | None = None) -> ReplyFuture:
        """Say HELP (RFC 5321 4.1.1.8)."""
        return self._say(commands.help_(command))

    def command(self, verb: str, *arguments: str) -> ReplyFuture:
        """Say a command that has no method of its own."""
        return self._say(commands.other(verb, *arguments))

    def _new_answers(self, body: str | None, begun: Open | None = None) -> Answers:
        canonicaliser = None
        if body != "BINARYMIME":
            canonicaliser = Canonicaliser(no_8bit=self._terms.no_8bit(body))
        return Answers(begun, canonicaliser, body)

    def _say(self, line: bytes) -> ReplyFuture:
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(Command(line, future, future))
        return future

    def _say_and_keep(
        self, line: bytes, answers: Answers | None = None
    ) -> tuple[ReplyFuture, ReplyFuture]:
        """Say a command whose reply must be known, even if the caller cancels it."""
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        reply: ReplyFuture = self._loop.create_future()
        pass_on(reply, future)
        self._outbox.put(Command(line, future, reply, answers))
        return future, reply

    def _check_standing(self) -> None:
        if self._is_closed:
            raise SMTPArgumentError("the block of the pipeline has ended")
        self._protocol.check()

    def _check_open(self) -> None:
        self._check_standing()
        if self._data is not None and _may_be_354(self._data):
            raise SMTPArgumentError("after data(), call content()")
        self._data = self._of_data = None

    # The block

    async def __aenter__(self) -> Self:
        self._sender = self._loop.create_task(self._outbox.send_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self._outbox.close()
        try:
            await self._leave(exc)
        finally:
            self._leave_open()

    async def _leave(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._sender.cancel()
        try:
            await asyncio.wait((self._sender,))
        except asyncio.CancelledError:
            self._sender.cancel()
            self._outbox.break_off()
            raise
        if exc is not None or self._sender.cancelled():
            self._outbox.break_off()
        if exc is None:
            self._sender.result()
            self._check_content_followed()

    def _leave_open(self) -> None:
        """Note in the session the transaction left open, or the refusal of MAIL."""
        session, answers = self._session, self._answers
        session.open = None
        if not self._outbox.in_transaction:
            return
        if answers is None:
            session.open = Open()
        elif (refusal := answers.refusal_of_mail()) is not None:
            session.refusal, session.transfer.must_reset = refusal, True
        else:
            refusal, accepted = answers.refusal(), answers.accepted
            session.open = Open(answers.body, answers.has_chunks, accepted, refusal)

    def _check_content_followed(self) -> None:
        if self._data is not None and _may_be_354(self._data):
            error = SMTPArgumentError("data() was not followed by content()")
            self._protocol.end(error)
            raise error


def _may_be_354(data: ReplyFuture) -> bool:
    if not data.done():
        return True
    return (
        not data.cancelled() and data.exception() is None and data.result().code == 354
    )

"""Commands now, futures back: what a caller may give, and when.

Rules:

1. What may not go on the wire, or not where it stands, is an error of the call that
   gives it.
2. A refused command is a reply and not an exception; whoever groups commands judges
   the replies together.
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
from ..grammar.extensions import Extensions, require
from ..mail.envelope import check_content, is_binarymime, refusal_of_8bit
from ..mail.planning import Body
from ..timeouts import Timeouts
from ..wire.protocol import SMTPProtocol
from ..wire.replyqueue import ReplyFuture
from .outbox import Command, DataChunk, DataContent, Outbox, Verdicts, pass_on

__all__ = ["Pipeline"]


class Pipeline:
    """Give commands without waiting, and get futures of their replies.

    Made by `SMTP.pipeline`. The session belongs to the pipeline until its block is
    left, and leaving it waits for every reply. Replies of 4yz and 5yz are results; an
    exception means that the connection has ended; so does a refusal of content before
    all of it was sent.

    A future may be cancelled: a command that has not left yet then stays unsent, and
    the reply to one that has is read and dropped.
    """

    def __init__(
        self,
        protocol: SMTPProtocol,
        *,
        is_grouped: bool,
        timeouts: Timeouts,
        extensions: Extensions,
        in_transaction: bool = False,
        is_binary: bool = False,
        has_chunks: bool = False,
    ) -> None:
        self._protocol = protocol
        self._extensions = extensions
        self._outbox = Outbox(
            protocol,
            is_grouped=is_grouped,
            timeouts=timeouts,
            in_transaction=in_transaction,
        )
        self._loop = asyncio.get_running_loop()
        self._is_closed = False
        self._data: ReplyFuture | None = None  # of a DATA without its content as yet
        self._verdicts: Verdicts | None = None
        if in_transaction:
            # Chunks of an earlier pipeline cannot be continued: what was held of them
            # is gone with it.
            self._verdicts = self._new_verdicts(is_binary)
            self._verdicts.has_chunks = self._verdicts.is_withdrawn = has_chunks

    @property
    def in_transaction(self) -> bool:
        """Tell whether a MAIL has left that neither RSET nor content has ended."""
        return self._outbox.in_transaction

    @property
    def is_binary(self) -> bool:
        """Tell whether the transaction has announced BODY=BINARYMIME."""
        return self._verdicts is not None and self._verdicts.is_binary

    @property
    def has_chunks(self) -> bool:
        """Tell whether the transaction has a BDAT, and not the last."""
        return self._verdicts is not None and self._verdicts.has_chunks

    # Commands

    def mail(self, sender: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Give MAIL (RFC 5321 4.1.1.2); "" is the null reverse-path."""
        checked = commands.parameters(options, "options")
        line = commands.mail(reverse_path(sender), checked)
        future, reply = self._give_and_keep(line)
        self._verdicts = self._new_verdicts(any(map(is_binarymime, checked)))
        self._verdicts.mail = reply
        return future

    def rcpt(self, recipient: object, options: Iterable[str] = ()) -> ReplyFuture:
        """Give RCPT (RFC 5321 4.1.1.3)."""
        checked = commands.parameters(options, "options")
        line = commands.rcpt(forward_path(recipient), checked)
        future, reply = self._give_and_keep(line)
        if self._verdicts is not None:
            self._verdicts.rcpts.append(reply)
        return future

    def data(self) -> ReplyFuture:
        """Give DATA (RFC 5321 4.1.1.4); `content` follows unless it is refused.

        Raises:
            SMTPArgumentError: The transaction has BDAT, or MAIL has announced
                BINARYMIME, for which DATA is none (RFC 3030 2 and 3).
        """
        verdicts = self._verdicts
        if verdicts is not None and (verdicts.has_chunks or verdicts.is_binary):
            raise SMTPArgumentError(
                "after BODY=BINARYMIME or bdat() the content goes with bdat() only"
            )
        future, self._data = self._give_and_keep(commands.DATA)
        self._verdicts = None
        return future

    def content(self, message: Message) -> ReplyFuture:
        """Give the content that DATA announced; the future has the final reply.

        Where DATA was refused nothing is sent, and the future has DATA's reply. What a
        file or an iterable gives is sent as it is read.
        """
        self._check_standing()
        if self._data is None:
            raise SMTPArgumentError("content() follows data()")
        content, _ = prepare(message) or fit(message, self._extensions)
        check_content(content, self._extensions, self._extensions.size)
        body = Body(content, no_8bit=refusal_of_8bit(None, self._extensions))
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(DataContent(body, future, self._data))
        self._data = None
        return future

    def bdat(self, chunk: Octets, last: bool = False) -> ReplyFuture:
        """Give BDAT with a chunk of content (RFC 3030 2).

        Line ends become CRLF, across the chunks, unless MAIL has announced
        BODY=BINARYMIME. The octets leave when MAIL and a recipient were accepted; where
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
        require("CHUNKING", self._extensions, "BDAT belongs to it")
        verdicts = self._verdicts
        if verdicts is None or (verdicts.mail is not None and not verdicts.rcpts):
            raise SMTPArgumentError("bdat() follows mail() and rcpt()")
        if verdicts.is_withdrawn:
            raise SMTPArgumentError("the content cannot be continued; rset() is due")
        octets = octets_of(chunk)
        if not verdicts.is_binary:
            canonicaliser = copy(verdicts.canonicaliser)  # a bad chunk leaves no trace
            octets = canonicaliser.feed(octets)
            if last:
                octets += canonicaliser.finish()
            verdicts.canonicaliser = canonicaliser
        verdicts.has_chunks = True
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(DataChunk(octets, last, future, verdicts))
        if last:
            self._verdicts = None
        return future

    def rset(self) -> ReplyFuture:
        """Give RSET (RFC 5321 4.1.1.5)."""
        future = self._give(commands.RSET)
        self._verdicts = None
        return future

    def noop(self, text: str | None = None) -> ReplyFuture:
        """Give NOOP (RFC 5321 4.1.1.9)."""
        return self._give(commands.noop(text))

    def vrfy(self, address: str) -> ReplyFuture:
        """Give VRFY (RFC 5321 4.1.1.6)."""
        return self._give(commands.vrfy(address, utf8=self._is_utf8))

    def expn(self, address: str) -> ReplyFuture:
        """Give EXPN (RFC 5321 4.1.1.7)."""
        return self._give(commands.expn(address, utf8=self._is_utf8))

    def help(self, command: str | None = None) -> ReplyFuture:
        """Give HELP (RFC 5321 4.1.1.8)."""
        return self._give(commands.help_(command))

    def command(self, verb: str, *arguments: str) -> ReplyFuture:
        """Give a command that has no method of its own."""
        return self._give(commands.other(verb, *arguments))

    def _new_verdicts(self, is_binary: bool) -> Verdicts:
        no_8bit = refusal_of_8bit(None, self._extensions)
        return Verdicts(is_binary, Canonicaliser(no_8bit=no_8bit))

    @property
    def _is_utf8(self) -> bool:
        return "SMTPUTF8" in self._extensions

    def _give(self, line: bytes) -> ReplyFuture:
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        self._outbox.put(Command(line, future, future))
        return future

    def _give_and_keep(self, line: bytes) -> tuple[ReplyFuture, ReplyFuture]:
        """Give a command whose reply has to be known, whatever the caller cancels."""
        self._check_open()
        future: ReplyFuture = self._loop.create_future()
        reply: ReplyFuture = self._loop.create_future()
        pass_on(reply, future)
        self._outbox.put(Command(line, future, reply))
        return future, reply

    def _check_standing(self) -> None:
        if self._is_closed:
            raise SMTPArgumentError("the pipeline's block has been left")
        self._protocol.check()

    def _check_open(self) -> None:
        self._check_standing()
        if self._data is not None and _may_be_354(self._data):
            raise SMTPArgumentError("after data() only content() can follow")
        self._data = None

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

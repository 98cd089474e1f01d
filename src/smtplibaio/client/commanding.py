"""A client that sends commands, one by one.

Commands that are given one by one take turns one by one: between two of them another
task may have its own. What belongs together is for `SMTP.sendmail` and `SMTP.pipeline`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..content.email import fit, prepare
from ..content.forms import Message
from ..exceptions import SMTPArgumentError
from ..grammar import commands
from ..grammar.addresses import forward_path, needs_smtputf8, reverse_path
from ..grammar.extensions import require
from ..grammar.replies import Reply
from ..mail.envelope import (
    check_announced,
    check_content,
    check_tls,
    is_binarymime,
    refusal_of_8bit,
)
from ..mail.planning import Body
from ..wire.protocol import SMTPProtocol
from . import transaction
from .dialogue import perform
from .securing import SecuredClient

__all__ = ["CommandingClient"]


class CommandingClient(SecuredClient):
    """Be what `SMTP` stands on: see there for the arguments."""

    # One mail transaction, command by command

    async def mail(self, sender: object, options: Iterable[str] | None = ()) -> Reply:
        """Send MAIL (RFC 5321 4.1.1.2).

        Args:
            sender: An address, or "" for the null reverse-path.
            options: ESMTP parameters, such as "BODY=8BITMIME".

        Raises:
            SMTPCommandFailedError: The server refused.
            SMTPCommandNotSupportedError: A parameter was not announced.
        """
        mailbox = reverse_path(sender)
        checked = commands.parameters(options or (), "options")
        async with self._connection.turn() as protocol:
            session = await self._introduced(protocol)
            check_announced(checked, session.extensions)
            check_tls(checked, is_verified=self.is_verified)
            if needs_smtputf8(mailbox):
                require("SMTPUTF8", session.extensions, "the address is not ASCII")
                if "SMTPUTF8" not in map(commands.keyword_of, checked):
                    checked += ("SMTPUTF8",)
            line = commands.mail(mailbox, checked)
            with protocol.indivisible("MAIL"):
                reply = await perform(protocol, line, self.timeout.reply)
            self._session = replace(
                self._session,
                in_transaction=True,
                is_binary=any(map(is_binarymime, checked)),
                has_chunks=False,
            )
            return reply

    async def rcpt(
        self, recipient: object, options: Iterable[str] | None = ()
    ) -> Reply:
        """Send RCPT (RFC 5321 4.1.1.3); any 2yz is a success, 251 and 252 too.

        Args:
            recipient: An address.
            options: ESMTP parameters, such as "NOTIFY=NEVER".

        Raises:
            SMTPCommandFailedError: The server refused.
            SMTPCommandNotSupportedError: A parameter was not announced.
        """
        mailbox = forward_path(recipient)
        checked = commands.parameters(options or (), "options")
        async with self._connection.turn() as protocol:
            check_announced(checked, self.extensions)
            if needs_smtputf8(mailbox):
                require("SMTPUTF8", self.extensions, "the address is not ASCII")
            line = commands.rcpt(mailbox, checked)
            with protocol.indivisible("RCPT"):
                return await perform(protocol, line, self.timeout.reply)

    async def data(self, message: Message) -> Reply:
        """Send DATA and the message (RFC 5321 4.1.1.4); give the final reply.

        Args:
            message: Text (sent as UTF-8), octets, anything with `as_bytes()`, a binary
                file or an iterable of octets, asynchronous or not. Line ends become
                CRLF, and dots are stuffed. What a file or an iterable gives is sent as
                it is read; an error on the way ends the connection.

        Raises:
            SMTPCommandFailedError: The server refused DATA or the message.
            SMTPDeliveryUnknownError: All was sent, and no answer came.
            SMTPArgumentError: The message cannot be sent, or MAIL has announced
                BINARYMIME, which goes with BDAT only; nothing was sent.
        """
        fitted = prepare(message)
        async with self._connection.turn() as protocol:
            session = self._session
            if session.is_binary or session.has_chunks:
                raise SMTPArgumentError(
                    "after BODY=BINARYMIME or a BDAT content goes with BDAT only: use "
                    "sendmail, or the pipeline's bdat"
                )
            content, _ = fitted or fit(message, session.extensions)
            check_content(content, session.extensions, session.extensions.size)
            body = Body(content, no_8bit=refusal_of_8bit(None, session.extensions))
            reply = await transaction.data(protocol, body, self.timeout)
            self._session = replace(self._session, in_transaction=False)
            return reply

    async def rset(self) -> Reply:
        """Send RSET (RFC 5321 4.1.1.5): forget the transaction that was begun."""
        async with self._connection.turn() as protocol:
            return await self._forget_transaction(protocol)

    async def _forget_transaction(self, protocol: SMTPProtocol) -> Reply:
        reply = await perform(protocol, commands.RSET, self.timeout.reply)
        self._session = replace(
            self._session, in_transaction=False, is_binary=False, has_chunks=False
        )
        return reply

    # Other commands

    async def noop(self, text: str | None = None) -> Reply:
        """Send NOOP (RFC 5321 4.1.1.9)."""
        return await self._perform(commands.noop(text))

    async def vrfy(self, address: str) -> Reply:
        """Send VRFY (RFC 5321 4.1.1.6); 250 and 251 verify, 252 leaves it open."""
        return await self._perform(commands.vrfy(address, utf8=self._utf8))

    async def expn(self, address: str) -> Reply:
        """Send EXPN (RFC 5321 4.1.1.7); the members are the lines of the reply."""
        return await self._perform(commands.expn(address, utf8=self._utf8))

    async def help(self, command: str | None = None) -> str:
        """Send HELP (RFC 5321 4.1.1.8) and give the text."""
        return (await self._perform(commands.help_(command))).message

    async def command(self, verb: str, *args: str) -> Reply:
        """Send a command that has no method of its own, and give its 2yz reply.

        Raises:
            SMTPArgumentError: It has one, or may not go on the wire.
            SMTPCommandFailedError: The server refused.
        """
        return await self._perform(commands.other(verb, *args))

    async def _perform(self, line: bytes) -> Reply:
        async with self._connection.turn() as protocol:
            return await perform(protocol, line, self.timeout.reply)

    @property
    def _utf8(self) -> bool:
        return "SMTPUTF8" in self.extensions

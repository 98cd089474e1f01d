"""A client that sends whole mails: one, many, or what its caller puts together."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Literal

from ..content.email import prepare
from ..content.forms import Message
from ..content.progress import ProgressCallback
from ..grammar.parameters import Notify
from ..mail.envelope import Envelope
from ..mail.mail import Mail
from ..mail.planning import Terms, make_plan
from ..mail.result import SendResult
from ..wire.protocol import SMTPProtocol
from .commanding import CommandingClient
from .outcomes import Course, Outcomes
from .pipeline import Pipeline
from .transaction import transact

__all__ = ["MailingClient"]


class MailingClient(CommandingClient):
    """Be what `SMTP` stands on: see there for the arguments."""

    _latest_terms: Terms | None = None

    async def sendmail(
        self,
        sender: object,
        recipients: object,
        message: Message,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
    ) -> SendResult:
        """Send a message: MAIL, RCPT, DATA and the content, in one transaction.

        Args:
            sender: An address, or "" for the null reverse-path.
            recipients: An address, or an iterable of them.
            message: As for `data`. A message of the `email` package is encoded as the
                server needs it, and Bcc does not leave. With BODY=BINARYMIME octets
                leave as they are.
            mail_options: ESMTP parameters of MAIL. SIZE, BODY=8BITMIME and SMTPUTF8
                are added where they are needed and announced.
            rcpt_options: ESMTP parameters of every RCPT.

        Returns:
            The refused recipients with their replies; empty if there were none.

        Raises:
            SMTPNoRecipientError: Every recipient was refused.
            SMTPCommandFailedError: MAIL, DATA or the message was refused.
            SMTPCommandNotSupportedError: The mail needs an extension that was not
                announced; nothing was sent.
            SMTPArgumentError: An argument may not go on the wire, or the message is
                larger than the server takes; nothing was sent.
            SMTPDeliveryUnknownError: All was sent, and no answer came.
        """
        envelope = Envelope.of(
            sender, recipients, mail_options or (), rcpt_options or ()
        )
        return await self._send(envelope, message)

    send_mail = sendmail

    async def send_message(
        self,
        message: Message,
        sender: object = None,
        recipients: object = None,
        *,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
        ret: Literal["FULL", "HDRS"] | None = None,
        envid: str | None = None,
        notify: Notify | Iterable[Notify] | None = None,
        orcpt: Mapping[str, str] | None = None,
        require_tls: bool = False,
        deliver_by: tuple[int, str] | None = None,
        mt_priority: int | None = None,
        hold_for: int | None = None,
        hold_until: datetime | None = None,
        all_or_nothing: bool = False,
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SendResult:
        """Send a message to whom it names, in one transaction.

        A message of the `email` package is encoded as the server needs it: to 7 bit
        without 8BITMIME, and where its lines are too long. Bcc does not leave.

        Args:
            message: As for `sendmail`.
            sender: None for Sender or From, of the newest Resent fields if there are.
            recipients: None for To, Cc and Bcc of the same.
            mail_options: Raw ESMTP parameters of MAIL.
            rcpt_options: Raw ESMTP parameters of every RCPT.
            ret: What a report of failure returns (RFC 3461).
            envid: An identifier that reports repeat (RFC 3461).
            notify: "NEVER", or any of "SUCCESS", "FAILURE", "DELAY" (RFC 3461).
            orcpt: The original address of each recipient, by recipient (RFC 3461).
            require_tls: Whether every hop must use verified TLS (RFC 8689).
            deliver_by: Seconds, and what then: "R" or "N" (RFC 2852).
            mt_priority: From -9 to 9 (RFC 6710).
            hold_for: Seconds to hold the mail back (RFC 4865).
            hold_until: The same as a moment with its time zone (RFC 4865).
            all_or_nothing: Whether to send nothing if one recipient is refused.
            add_missing: Whether to add Date and Message-ID (RFC 5322 3.6) to the copy
                that leaves, where a message object lacks them. Octets, signed messages
                and messages that have been received stay as they are.
            progress: Called now and then, at most 20 times a second, with the octets
                of content that were sent, and their total or None.

        Raises:
            SMTPRecipientRefusedError: One was, and all were wanted. Where every one
                was, it is SMTPNoRecipientError all the same.
            SMTPTLSError: `require_tls`, and the connection is not verified.
            SMTPException: As `sendmail`.
        """
        mail = Mail(
            message,
            sender,
            recipients,
            mail_options,
            rcpt_options,
            ret=ret,
            envid=envid,
            notify=notify,
            orcpt=orcpt,
            require_tls=require_tls,
            deliver_by=deliver_by,
            mt_priority=mt_priority,
            hold_for=hold_for,
            hold_until=hold_until,
        )
        return await self._send(
            mail.envelope(),
            message,
            all_or_nothing=all_or_nothing,
            add_missing=add_missing,
            progress=progress,
        )

    async def _send(
        self,
        envelope: Envelope,
        message: Message,
        *,
        all_or_nothing: bool = False,
        add_missing: bool = False,
        progress: ProgressCallback | None = None,
    ) -> SendResult:
        fitted = prepare(message, is_binary=envelope.is_binary)
        async with self._connection.turn() as protocol:
            await self._introduced(protocol)
            plan = make_plan(
                envelope,
                message,
                fitted,
                self._terms,
                all_or_nothing=all_or_nothing,
                add_missing=add_missing,
                progress=progress,
            )
            await self._start_afresh(protocol)
            return await transact(protocol, plan, self.timeout)

    async def _start_afresh(self, protocol: SMTPProtocol) -> None:
        """Forget a transaction that somebody has begun, and gone away."""
        if self._session.in_transaction:
            await self._forget_transaction(protocol)

    def send_many(
        self,
        messages: Iterable[Mail | Message] | AsyncIterable[Mail | Message],
        *,
        window: int = 1,
    ) -> Outcomes:
        """Send mails on this connection, in as few turns as there can be.

        `async for outcome in client.send_many(mails)` sends them as the outcomes are
        asked for, and gives those in the order of the mails. A mail that is refused, or
        cannot be sent, is an outcome and not an exception; after the connection is lost
        the rest are "not sent". The session belongs to the loop until it is left.

        Args:
            messages: `Mail` objects, or messages that name their sender and recipients.
                They are taken as they are sent, no more than `window` ahead.
            window: 1 has the content of a mail leave together with the commands of the
                next: one turn a mail. More, where the server offers PIPELINING and
                CHUNKING, is how many mails may be on their way without an answer. That
                is for a relay that is known to keep to RFC 3030, and reads the octets
                of a BDAT that it refuses: another would take them for commands.

        Raises:
            SMTPArgumentError: `messages` is no iterable, or `window` no number.
            SMTPConnectionError: There is no connection.
            Exception: What `messages` raises, or what the content of a mail is read
                from.
        """
        course = Course(
            messages, window, self._begin_many, self._connection.end_turn, self.timeout
        )
        return Outcomes(course)

    async def _begin_many(self) -> tuple[SMTPProtocol, Terms]:
        protocol = await self._connection.take_turn()
        try:
            await self._introduced(protocol)
            await self._start_afresh(protocol)
        except BaseException:
            self._connection.end_turn()
            raise
        return protocol, self._terms

    @property
    def _terms(self) -> Terms:
        extensions = self._session.extensions
        if (
            self._latest_terms is None
            or self._latest_terms.extensions is not extensions
        ):
            # TLS has EHLO sent again, so they are as new as what is known of it.
            self._latest_terms = Terms(
                extensions,
                pipelining=self._settings.pipelining,
                chunking=self._settings.chunking,
                is_verified=self.is_verified,
            )
        return self._latest_terms

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[Pipeline]:
        """Give commands without waiting for each reply: `async with c.pipeline() as p`.

        The session belongs to the block. Where the server does not offer PIPELINING,
        the same code runs one command at a time.
        """
        async with self._connection.turn() as protocol:
            await self._introduced(protocol)
            pipeline = Pipeline(
                protocol,
                is_grouped=self._terms.is_grouped,
                timeouts=self.timeout,
                extensions=self.extensions,
                in_transaction=self._session.in_transaction,
                is_binary=self._session.is_binary,
                has_chunks=self._session.has_chunks,
            )
            try:
                async with pipeline:
                    yield pipeline
            finally:
                self._session = replace(
                    self._session,
                    in_transaction=pipeline.in_transaction,
                    is_binary=pipeline.is_binary,
                    has_chunks=pipeline.has_chunks,
                )

"""The pool, as its caller sees it.

Rules:

1. A pool can be made without an event loop. It connects when a session is first
   needed. From then on it belongs to the event loop and the process that used it.
2. `Delivery` decides what happens to a mail. `Policy` decides which session it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from itertools import count
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..client.config import check_flag
from ..content.forms import Message
from ..events import Listener, Narrator, PoolChanged
from ..exceptions import SMTPArgumentError
from ..grammar.addresses import AddressLike
from ..mail.mail import Mail
from ..mail.result import Outcome, SendResult
from ..smtp import LMTP, SMTP, SMTP_SSL
from .backoff import pause
from .connections import Connections
from .delivery import Delivery
from .policy import Member, Policy, Rules
from .spreading import Spread, SpreadOutcomes
from .statistics import PoolStatistics

if TYPE_CHECKING:
    from ..url import Configuration, Reader

__all__ = ["SMTPPool"]

_pool_ids = count(1)


def _complain(context: dict[str, Any]) -> None:
    """Report a listener that raises; the pool continues."""
    asyncio.get_running_loop().call_exception_handler(context)


class SMTPPool:
    """The sessions of a service with one server: one object for the life of a service.

    `async with SMTPPool(...) as pool` closes the pool at the end of the block, when
    every mail that was begun is finished. Many tasks can call the methods at the same
    time. A connection is opened when a mail needs it.

    If a session has ended, or its server refuses it before MAIL, the pool opens another
    one and raises no error. If a mail has failed, the pool sends it again if it is
    certain that the server has not accepted it, and if the failure may pass: each
    mail has at most `attempts` attempts. A mail that may have been accepted is never
    sent again. If a mail has too many recipients for one transaction (RCPTMAX of RFC
    9422, or a 452 4.5.3 from the server), the rest go into further transactions. A mail
    with `all_or_nothing`, or with content that can be read only once, has one
    transaction.

    If the server says that it has too much to do, the pool halves the number of its
    connections and pauses: for `backoff` seconds, then for twice as long each time, up
    to `backoff_max` seconds. Each pause is shortened by a random part, at most half of
    it. After every 30 seconds without such a refusal, the pool allows one connection
    more, up to `size`. These replies mean that the server has too much to do: a 421 or
    an enhanced code 4.3.2 to any command; a 432 or an enhanced code 4.7.x to the
    connection or to MAIL; a 454 to AUTH.

    Args:
        hostname: The name or address of the server.
        port: The TCP port. None is the port of the client's class: 25 for `SMTP`, 465
            with `tls`, 24 for `LMTP`.
        size: The most connections at any time; those that are being opened or closed
            count.
        max_messages: The number of mails after which a session is closed; None for no
            limit. Each transaction counts, and a block of `session()` counts as one.
        max_age: The seconds after which a session is not used again; None for no limit.
        max_idle: The seconds after which a session that is not used is closed; None for
            no limit.
        rate: The most mails in a second, evenly spaced; None for no limit. Each
            transaction counts.
        tls: Whether the connection is encrypted from its first octet on (port 465).
        attempts: The most attempts for one mail, the first one included.
        client: The class of the clients, such as `LMTP`; None for `SMTP`.
        backoff: The seconds before the second attempt; twice as many before the third,
            and so on.
        backoff_max: The most seconds before an attempt.
        on_event: A function that is called with each event of the sessions, and with
            `PoolChanged`.
        options: Every other option of the class of the clients, with the same name and
            meaning.

    Raises:
        SMTPArgumentError: A value is not valid.
    """

    def __init__(
        self,
        hostname: str = "localhost",
        port: int | str | None = None,
        *,
        size: int = 10,
        max_messages: int | None = 100,
        max_age: float | None = 300.0,
        max_idle: float | None = 60.0,
        rate: float | None = None,
        tls: bool = False,
        attempts: int = 3,
        client: type[SMTP] | None = None,
        backoff: float = 1.0,
        backoff_max: float = 300.0,
        on_event: Listener | None = None,
        **options: Any,
    ) -> None:
        _check_count("size", size)
        _check_count("attempts", attempts)
        if max_messages is not None:
            _check_count("max_messages", max_messages)
        for name, seconds in (("max_age", max_age), ("max_idle", max_idle)):
            if seconds is not None:
                _check_seconds(name, seconds)
        _check_seconds("backoff", backoff)
        _check_seconds("backoff_max", backoff_max)
        if options.get("sock") is not None:
            raise SMTPArgumentError(
                "sock is one connection, and a pool opens several: give hostname or "
                "path instead"
            )
        make = _maker(client, hostname, port, tls=tls, on_event=on_event, **options)
        make()  # what is wrong with the options shows now
        rules = Rules(size, max_messages, max_age, max_idle, rate, backoff, backoff_max)
        self._size = size
        self._attempts = attempts
        self._pause_after = partial(pause, backoff, backoff_max)
        self._pool_id = next(_pool_ids)
        self._narrator = Narrator(on_event, _complain)
        self._told = PoolStatistics(limit=size)
        changed = None if on_event is None else self._tell
        self._connections = Connections(Policy(rules), make, changed)

    # From a string

    @classmethod
    def from_url(cls, url: str, **overrides: Any) -> Self:
        """Make a pool from a URL; see `SMTP.from_url`.

        The query may have the options of the pool, too, as in "?size=5&rate=10"; the
        value "none" means no limit. With lmtp:// the clients are `LMTP`.

        Args:
            url: The URL.
            overrides: Keyword arguments; they take precedence over the URL.

        Raises:
            SMTPArgumentError: The URL has a mistake; no password is in the text.
        """
        from ..url import read_url  # few programs need it, and once

        return cls._configured(read_url(url, overrides, _readers()))

    @classmethod
    def from_env(cls, prefix: str = "SMTP_", **overrides: Any) -> Self:
        """Make a pool from environment variables; see `SMTP.from_env`.

        SMTP_SIZE, SMTP_RATE and so on are the options of the pool.

        Args:
            prefix: The first part of the name of each variable.
            overrides: Keyword arguments; they take precedence over the variables.

        Raises:
            SMTPArgumentError: No server is named, or a variable has a mistake.
        """
        from ..url import read_environment

        return cls._configured(read_environment(prefix, overrides, _readers()))

    @classmethod
    def _configured(cls, configuration: Configuration) -> Self:
        options = dict(configuration.options)
        if configuration.kind == "LMTP":
            options.setdefault("client", LMTP)
        return cls(**options)

    # Sending

    async def sendmail(
        self,
        sender: AddressLike,
        recipients: AddressLike | Iterable[AddressLike],
        message: Message,
        mail_options: Iterable[str] | None = (),
        rcpt_options: Iterable[str] | None = (),
    ) -> SendResult:
        """Send a message on one of the sessions; see `SMTP.sendmail`.

        Returns:
            One result, even if there were several transactions: `.reply` and
            `.queue_id` are those of the last transaction that was accepted.

        Raises:
            SMTPException: Each exception of `SMTP.sendmail` and of `SMTP.connect`, when
                no attempt is left. If an earlier transaction was accepted for some of
                the recipients, `.result` names them: do not send to them again.
            SMTPConnectionError: The pool is closed, or belongs to another loop or
                process.
        """
        return await self._send(
            Mail(message, sender, recipients, mail_options, rcpt_options)
        )

    send_mail = sendmail

    async def send_message(
        self,
        message: Message,
        sender: AddressLike | None = None,
        recipients: AddressLike | Iterable[AddressLike] | None = None,
        **parameters: Any,
    ) -> SendResult:
        """Send a message to the recipients in its header; see `SMTP.send_message`.

        Args:
            message: The message, of any kind that `SMTP.send_message` takes.
            sender: The sender; None for the one in the header.
            recipients: The recipients; None for those in the header.
            parameters: The other arguments of `SMTP.send_message`.

        Raises:
            SMTPException: Each exception of `sendmail` and of `SMTP.send_message`.
        """
        return await self._send(Mail(message, sender, recipients, **parameters))

    def send_many(
        self,
        messages: Iterable[Mail | Message] | AsyncIterable[Mail | Message],
        *,
        window: int = 1,
    ) -> AsyncIterator[Outcome]:
        """Send mails over all sessions: `async for outcome in pool.send_many(mails)`.

        Each outcome comes as soon as it is known, not in the order of the mails;
        `outcome.mail` is its mail. A mail that has failed is sent again by the rules of
        `sendmail`. At most `2 * size * (window + 1)` mails are taken from `messages`
        before the caller has their outcomes. If you leave the loop early, the mails
        that were begun are finished, and no other mail is begun.

        Args:
            messages: The mails, as `SMTP.send_many` takes them.
            window: The most mails without a reply on each connection; see
                `SMTP.send_many`.

        Raises:
            SMTPArgumentError: `messages` is not an iterable, or `window` not a number.
            SMTPConnectionError: The pool is closed, or belongs to another loop or
                process.
            Exception: An exception of `messages`, or of a function that gives the
                token, after the outcomes of all mails that were taken.
        """
        _check_count("window", window)
        return SpreadOutcomes(
            Spread(
                messages,
                window,
                self._size,
                self._connections,
                partial(Delivery, attempts=self._attempts),
                self._pause_after,
            )
        )

    def session(self) -> AbstractAsyncContextManager[SMTP]:
        """Lend a session: `async with pool.session() as client`.

        The client is connected and has said EHLO. Nobody else uses it before the end of
        the block. Then the pool says RSET, so that no transaction is left open; if the
        session has ended, the pool opens another one when it needs one. If the block
        logs in as another user, end it with `await client.quit()`: the session would
        stay logged in.

        Raises:
            SMTPException: Each exception of `SMTP.connect`, if no session could be
                opened.
            SMTPConnectionError: The pool is closed, or belongs to another loop or
                process.
        """
        return self._session()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[SMTP]:
        connections = self._connections
        connections.begin()
        try:
            member = await connections.acquire(is_mail=False)
            member.mails += 1
            member.holder = asyncio.current_task()
            try:
                yield member.client
            finally:
                connections.release_in_order(member)
        finally:
            connections.end()

    async def _send(self, mail: Mail) -> SendResult:
        connections = self._connections
        connections.begin()
        try:
            delivery = Delivery(mail, self._attempts)
            while not delivery.is_over:
                try:
                    member = await connections.acquire(domains=self._domains(delivery))
                except Exception as exc:
                    self._failed(delivery, exc)
                else:
                    await self._transact(delivery, member)
                if (failure := delivery.failure) is not None:
                    seconds = self._pause_after(delivery.tries)
                    if not await connections.pause(seconds):
                        delivery.end(failure)
                    del failure  # as below
        except asyncio.CancelledError:
            connections.tally.mails["cancelled"] += 1
            raise
        finally:
            connections.end()
        connections.tally.mails[delivery.status] += 1
        try:
            return delivery.settle()
        finally:
            del delivery  # it has the error, the error this frame, and the frame it

    def _domains(self, delivery: Delivery) -> frozenset[str]:
        is_limited = self._connections.policy.counts_domains
        return delivery.domains() if is_limited else frozenset()

    async def _transact(self, delivery: Delivery, member: Member) -> None:
        """Make one transaction in a session, and give the session back."""
        connections = self._connections
        try:
            part = delivery.part(member.limits, member.domains)
            if part is None:
                member.is_spent = True
                return
            member.mails += 1
            result = await connections.transact(member, part)
        except Exception as exc:
            is_session_at_fault = connections.mail_failed(member, exc)
            self._failed(delivery, exc, is_session_at_fault=is_session_at_fault)
        else:
            connections.policy.mail_accepted(member)
            delivery.accepted(result)
        finally:
            connections.release(member)

    def _failed(
        self, delivery: Delivery, error: Exception, *, is_session_at_fault: bool = False
    ) -> None:
        delivery.failed(error, is_session_at_fault=is_session_at_fault)
        if not delivery.is_over:
            self._connections.tally.goes_on(is_replaced=delivery.is_replaced)

    # Figures

    def statistics(self) -> PoolStatistics:
        """Return the current figures."""
        policy = self._connections.policy
        return self._connections.tally.with_sessions(
            idle=policy.count("idle"),
            busy=policy.count("busy"),
            waiting=len(policy.waiters),
            limit=policy.backoff.limit,
        )

    def _tell(self) -> None:
        now = self.statistics()
        if now != self._told:
            self._told = now
            self._narrator.tell(PoolChanged(now, pool_id=self._pool_id))

    # The end

    async def close(self, timeout: float | None = None) -> None:
        """Finish the mails that were begun, and close every session.

        Callers that already wait for a session get it, unless the server refuses
        connections. No other mail is begun, and no mail is sent again. If `close()` is
        cancelled, it closes every connection at once.

        Args:
            timeout: The seconds after which every connection is closed at once; None
                for no limit.

        Raises:
            SMTPConnectionError: The task that calls has a session of the pool, or the
                pool belongs to another loop or process.
        """
        await self._connections.close(timeout)

    async def __aenter__(self) -> Self:
        self._connections.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _maker(
    client: type[SMTP] | None,
    hostname: str,
    port: int | str | None,
    *,
    tls: bool,
    **options: Any,
) -> Callable[[], SMTP]:
    """Return what makes the clients."""
    check_flag("tls", tls)
    if client is not None and not (
        isinstance(client, type) and issubclass(client, SMTP)
    ):
        raise SMTPArgumentError(
            f"client must be a class of clients, such as LMTP, not {client!a}"
        )
    if tls and not (client is not None and issubclass(client, SMTP_SSL)):
        options["tls"] = True
    if port is None and tls and client is None:
        port = 465
    if port is not None:
        options["port"] = port
    return partial(client or SMTP, hostname, **options)


def _readers() -> Mapping[str, Reader]:
    """Return what reads the options of the pool from text."""
    from ..url import number, or_none, whole_number

    return {
        "size": whole_number,
        "max_messages": or_none(whole_number),
        "max_age": or_none(number),
        "max_idle": or_none(number),
        "rate": or_none(number),
        "attempts": whole_number,
        "backoff": number,
        "backoff_max": number,
    }


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SMTPArgumentError(f"{name} must be a whole number above 0, not {value!a}")


def _check_seconds(name: str, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value >= 0:  # type: ignore[operator]  # a number, then
        raise SMTPArgumentError(f"{name} must be a number of seconds, not {value!a}")

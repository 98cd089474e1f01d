"""The steps of a probe: a session without MAIL.

Rules:

1. The time of each step is measured. After a failure, the earlier findings are kept.
2. If the certificate is not verified, or if TLS begins at another point than the URL
   says, this is a finding. The probe continues on a new connection that accepts it.
3. AUTH is sent only if the URL has credentials, and only if a client of this library
   would send it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

from .. import sasl
from ..events import Connected, Event
from ..exceptions import (
    SMTPCommandFailedError,
    SMTPConnectionRefusedError,
    SMTPException,
    SMTPTimeoutError,
    printable,
)
from ..grammar.addresses import to_a_labels
from ..grammar.replies import Reply
from ..smtp import SMTP
from ..timeouts import Timeouts
from ..wire.tls import default_context, unverified_context
from .findings import Findings
from .target import Target

__all__ = ["probe"]

#: Seconds after which a server that does not greet may be waiting for TLS.
SILENCE = 6.0

#: Seconds that a greeting may take: some servers are slow on purpose, against spam.
PATIENCE = 40.0

#: Seconds for each other reply.
REPLY = 10.0


async def probe(target: Target) -> Findings:
    """Examine a server; failures are findings, too."""
    return await _Probe(target).run()


class _Probe:
    """One probe, with several connections if one is not enough."""

    def __init__(self, target: Target) -> None:
        options = target.configuration.options
        path = options.get("path")
        self._target = target
        self._host = options.get("hostname", "localhost")
        self._port = options.get("port", 0)
        self._tls = bool(options.get("tls"))
        self._context = default_context()
        self._connected_at = 0.0
        self._has_turned = False
        self._patience = SILENCE
        self.found = Findings(str(target), path or self._host, wants_tls=self._tls)
        if path is not None:
            self.found.addresses, self.found.is_local = [path], True

    async def run(self) -> Findings:
        found = self.found
        try:
            if not found.addresses:
                await self._look_up()
            await self._converse()
        except (SMTPException, OSError) as exc:
            found.failure = printable(str(exc))
        return found

    async def _look_up(self) -> None:
        loop = asyncio.get_running_loop()
        with self._step("name lookup"):
            infos = await loop.getaddrinfo(
                to_a_labels(self._host), self._port, type=socket.SOCK_STREAM
            )
        addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
        self.found.addresses = addresses
        self.found.is_local = all(
            ipaddress.ip_address(address.partition("%")[0]).is_loopback
            for address in addresses
        )

    async def _converse(self) -> None:
        """Open a session, and another one if the first shows that it must differ."""
        while True:
            try:
                await self._session()
                return
            except SMTPException as exc:
                if not (self._takes_note(exc) or await self._turns(exc)):
                    raise

    def _takes_note(self, exc: SMTPException) -> bool:
        """Note that a certificate is not verified, and accept it from now on."""
        cause = exc.__cause__
        if not isinstance(cause, ssl.SSLCertVerificationError):
            return False
        self.found.untrusted = cause.verify_code, cause.verify_message
        self._context = unverified_context()
        return True

    async def _turns(self, exc: SMTPException) -> bool:
        """Find out whether a server without a greeting uses TLS unlike the URL."""
        is_refused = isinstance(exc, SMTPConnectionRefusedError)
        if self._has_turned or is_refused or self.found.greeting is not None:
            return False
        self._has_turned = True
        client = self._client(tls=not self._tls, tls_context=unverified_context())
        try:
            await client.connect()
        except SMTPException:
            self._patience = PATIENCE
            return isinstance(exc, SMTPTimeoutError)
        else:
            self._tls = not self._tls
            return True
        finally:
            await client.close()

    def _client(self, **options: Any) -> SMTP:
        return self._target.client(
            **dict.fromkeys(
                self._target.credentials
            ),  # logging in is a step of its own
            starttls="never",
            timeout=Timeouts(connect=self._patience, reply=REPLY, quit=REPLY),
            on_event=self._listen,
            **options,
        )

    def _listen(self, event: Event) -> None:
        if isinstance(event, Connected):
            self._connected_at = perf_counter()

    async def _session(self) -> None:
        found = self.found
        client = self._client(tls=self._tls, tls_context=self._context)
        try:
            await self._connect(client)
            await self._introduce(client)
            if self._tls:
                found.secure = client.extensions
            else:
                found.clear = client.extensions
                await self._start_tls(client)
            self._look_at_tls(client)
            await self._log_in(client)
            await self._pipeline(client)
            if client.is_connected:
                with self._step("QUIT"):
                    await client.quit()
        finally:
            await client.close()

    async def _connect(self, client: SMTP) -> None:
        found, started = self.found, perf_counter()
        try:
            found.greeting = await client.connect()
        except SMTPConnectionRefusedError as exc:
            if exc.code is not None:
                found.greeting = Reply(exc.code, exc.message)
                found.has_tls_at_once = self._tls
            raise
        found.has_tls_at_once = self._tls
        name = "connection and TLS" if self._tls else "connection"
        found.times[name] = self._connected_at - started
        found.times["greeting"] = perf_counter() - self._connected_at

    async def _introduce(self, client: SMTP) -> None:
        try:
            with self._step("EHLO"):
                await client.ehlo()
        except SMTPCommandFailedError:
            self.found.is_esmtp = False
            with self._step("HELO"):
                await client.helo()

    async def _start_tls(self, client: SMTP) -> None:
        if "STARTTLS" not in client.extensions:
            return
        try:
            with self._step("STARTTLS and EHLO"):
                await client.starttls(self._context)
        except SMTPCommandFailedError as exc:
            self.found.starttls = exc.reply
        else:
            self.found.secure = client.extensions

    def _look_at_tls(self, client: SMTP) -> None:
        transport: Any = client.transport
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        self.found.tls = tls.version(), tls.cipher()[0]
        try:
            from .certificates import chain_of
        except ModuleNotFoundError:
            self.found.chain = None
        else:
            self.found.chain = chain_of(tls)

    async def _log_in(self, client: SMTP) -> None:
        given = self._target.credentials
        if not given:
            return
        if self.found.untrusted is not None:
            self.found.login = "not tried, because the certificate is not verified"
            return
        try:
            with self._step("AUTH"):
                if "token" in given:
                    is_new = "OAUTHBEARER" in client.extensions.auth
                    make = sasl.OAUTHBEARER if is_new else sasl.XOAUTH2
                    await client.authenticate(make(given["username"], given["token"]))
                else:
                    await client.auth(given["username"], given.get("password", ""))
        except SMTPException as exc:
            self.found.login = str(exc)
        else:
            self.found.login = "accepted"

    async def _pipeline(self, client: SMTP) -> None:
        if not client.is_connected or "PIPELINING" not in client.extensions:
            return
        replies: list[Reply | BaseException] = []
        # The end of the block may raise an error that the futures already have.
        with self._step("pipelining"), suppress(SMTPException):
            async with client.pipeline() as pipeline:
                group = (pipeline.rset(), pipeline.rset(), pipeline.noop())
                replies += await asyncio.gather(*group, return_exceptions=True)
        codes = [getattr(reply, "code", "none") for reply in replies]
        self.found.pipelining = (
            "works"
            if codes == [250, 250, 250]
            else "broken: the replies to RSET, RSET and NOOP in one write are "
            + ", ".join(map(str, codes))
        )

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.found.times[name] = perf_counter() - started

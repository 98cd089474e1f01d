"""A server in this process that accepts mail, and stores it for the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from .authority import extra, server_context
from .received import ReceivedMail
from .rules import Rule, Rules
from .thread import ThreadedServer

if TYPE_CHECKING:
    from .session import Session

__all__ = ["SMTPServer"]

#: What aiosmtpd cannot do, whatever is announced.
_IMPOSSIBLE = {"AUTH", "BINARYMIME", "CHUNKING", "STARTTLS"}


class SMTPServer(ThreadedServer):
    """An SMTP server for tests (aiosmtpd in a thread), as a context manager.

    ::

        with SMTPServer(reply={"RCPT": [None, "550 5.1.1 no such user"]}) as server:
            send_the_newsletter(server.url)     # the code under test
            assert [mail.sender for mail in server.messages] == ["news@x.example"]

    `async with` works, too.

    Attributes:
        messages: The accepted mails, the oldest first.
        username: The user name that AUTH accepts.
        password: The password that AUTH accepts.

    Args:
        tls: Whether TLS is on from the first octet on.
        starttls: Whether STARTTLS is offered. AUTH is then offered only after it.
        auth: True offers AUTH, and refuses mail without a login (530). "offered" offers
            AUTH, and accepts mail without a login, too.
        extensions: The extensions that EHLO announces, besides 8BITMIME, SIZE and those
            of the other options. If one is missing, its parameters are refused.
        reply: Replies in place of the server's own replies: a function that is called
            with each command, or a table; see `smtplibaio.testing.rules`.
        username: The user name that AUTH accepts.
        password: The password that AUTH accepts.

    Raises:
        ModuleNotFoundError: aiosmtpd or trustme is not installed.
        ValueError: The server cannot support the extension.
    """

    def __init__(
        self,
        *,
        tls: bool = False,
        starttls: bool = False,
        auth: bool | Literal["offered"] = False,
        extensions: Iterable[str] = ("PIPELINING", "SMTPUTF8", "DSN"),
        reply: Rule | None = None,
        username: str = "alice",
        password: str = "open sesame",
    ) -> None:
        super().__init__()
        self.messages: list[ReceivedMail] = []
        self.username = username
        self.password = password
        self._scheme = "smtps" if tls else "smtp"
        self._count = 0  # of the mails that have come, those too that were cleared
        self._faults: list[Exception] = []
        self._changed = threading.Lock()  # held by whoever touches the next two
        self._waiting: dict[asyncio.Future[None], int] = {}
        with extra():
            from .session import Policy, Session
        self._session = Session
        self._policy = Policy(
            Rules(reply or {}),
            self._keep,
            self._faults.append,
            extensions=_checked(extensions),
            credentials=(username, password) if auth else None,
            is_login_needed=auth is True,
            starttls=server_context() if starttls else None,
            is_encrypted=tls,
        )

    @property
    def url(self) -> str:
        """The URL of the server, with user name and password if it offers AUTH."""
        login = ""
        if self._policy.credentials is not None:
            login = f"{quote(self.username, '')}:{quote(self.password, '')}@"
        how = "?starttls=required" if self._policy.starttls is not None else ""
        return f"{self._scheme}://{login}{self.hostname}:{self.port}{how}"

    @property
    def reply(self) -> Rule:
        """The replies in place of the server's own replies, from now on."""
        return self._policy.rules.rule

    @reply.setter
    def reply(self, rule: Rule) -> None:
        self._policy.rules = Rules(rule)

    # What has come

    def clear(self) -> None:
        """Forget the accepted mails."""
        with self._changed:
            self.messages.clear()

    async def wait_for(self, n: int, timeout: float = 5.0) -> list[ReceivedMail]:
        """Wait until `n` mails have been accepted, and return them.

        Raises:
            TimeoutError: There are fewer after `timeout` seconds.
        """
        arrived = asyncio.get_running_loop().create_future()
        with self._changed:
            if len(self.messages) >= n:
                return [*self.messages]
            self._waiting[arrived] = n
        try:
            async with asyncio.timeout(timeout):
                await arrived
        except TimeoutError:
            raise TimeoutError(
                f"{len(self.messages)} of {n} mails have come within {timeout} seconds"
            ) from None
        finally:
            with self._changed:
                del self._waiting[arrived]
        return [*self.messages]

    def _keep(self, mail: ReceivedMail) -> int:
        with self._changed:
            self.messages.append(mail)
            self._count += 1
            for arrived, n in self._waiting.items():
                if len(self.messages) >= n:
                    arrived.get_loop().call_soon_threadsafe(_settle, arrived)
            return self._count

    # The thread

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[int]:
        sessions: list[Session] = []

        def serve() -> Session:
            sessions.append(self._session(self._policy))
            return sessions[-1]

        loop = asyncio.get_running_loop()
        tls = server_context() if self._policy.is_encrypted else None
        listener = await loop.create_server(serve, self.hostname, 0, ssl=tls)
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()
            for session in sessions:
                await session.abort()

    def _fault_found(self) -> BaseException | None:
        return self._faults[0] if self._faults else None


def _checked(extensions: Iterable[str]) -> tuple[str, ...]:
    """Refuse what a session could not keep if it were announced."""
    lines = tuple(line.upper() for line in extensions)
    unable = _IMPOSSIBLE.intersection(line.partition(" ")[0] for line in lines)
    if unable:
        raise ValueError(
            f"SMTPServer cannot announce {', '.join(sorted(unable))} by extensions=: "
            "use tls=, starttls= or auth=; for BDAT use a Conversation"
        )
    return lines


def _settle(arrived: asyncio.Future[None]) -> None:
    if not arrived.done():
        arrived.set_result(None)

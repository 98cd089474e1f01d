"""The connection of an `SMTPServer`: the session of aiosmtpd, and rules before it.

1. A rule's reply that begins with 2 or 3 changes only the text: the command is
   executed, and if aiosmtpd refuses it, this refusal is sent.
2. With any other reply, the command is not executed. After a 421 the connection is
   closed.
3. A mail is stored if its final reply begins with 2, before this reply is sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Never, cast

from aiosmtpd import smtp as aiosmtpd

from .received import ReceivedMail
from .rules import Answer, Fault, Rules
from .stage import reset

__all__ = ["Policy", "Session"]

#: What aiosmtpd knows.
_VERBS = {
    "AUTH",
    "DATA",
    "EHLO",
    "EXPN",
    "HELO",
    "HELP",
    "MAIL",
    "NOOP",
    "QUIT",
    "RCPT",
}
_VERBS |= {"RSET", "STARTTLS", "VRFY"}

#: A path and the parameters behind it. A quoted local part may hold ">".
_PATH = re.compile(r'((?:FROM|TO):\s*<((?:"(?:[^"\\]|\\.)*"|[^">])*)>)(.*)')

#: Parameters that aiosmtpd understands, and refuses where it does not offer them.
_UNDERSTOOD = re.compile(r"(?:BODY|SIZE|SMTPUTF8)(?:=.*)?", re.IGNORECASE)


@dataclass
class Policy:
    """What the sessions of one server share.

    Attributes:
        rules: What is said instead of aiosmtpd's reply.
        keep: What takes a mail that was accepted, and says which number it has.
        fail: What takes an error that the test has to hear of.
        extensions: What EHLO announces besides what aiosmtpd brings.
        credentials: The one user name and password, where AUTH is offered.
        is_login_needed: Whether mail without a login is refused.
        starttls: The TLS context for STARTTLS, where it is offered.
        is_encrypted: Whether TLS is on from the first octet on.
    """

    rules: Rules
    keep: Callable[[ReceivedMail], int]
    fail: Callable[[Exception], None]
    extensions: Sequence[str] = ()
    credentials: tuple[str, str] | None = None
    is_login_needed: bool = False
    starttls: ssl.SSLContext | None = None
    is_encrypted: bool = False

    @property
    def size(self) -> int:
        """The greatest number of octets of a mail, as SIZE announces it."""
        for line in self.extensions:
            if match := re.fullmatch(r"SIZE (\d+)", line):
                return int(match[1])
        return aiosmtpd.DATA_SIZE_DEFAULT


@dataclass
class _Path:
    """The path of a MAIL or RCPT, and its parameters."""

    mailbox: str = ""
    parameters: list[str] = field(default_factory=list)


class _Envelope(aiosmtpd.Envelope):
    """The paths as the client has spelt them; aiosmtpd spells them anew."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = _Path()
        self.recipients: list[_Path] = []


class _State(aiosmtpd.Session):
    """What is known of the client."""

    @property
    def login_data(self) -> None:
        """Nothing; to set aiosmtpd's own, as aiosmtpd does, logs a warning."""

    @login_data.setter
    def login_data(self, value: object) -> None:
        pass


class _Hooks:
    """What aiosmtpd asks."""

    async def handle_EHLO(
        self,
        server: Session,
        state: _State,
        envelope: _Envelope,
        hostname: str,
        lines: list[str],
    ) -> list[str]:
        state.host_name = hostname
        return server.announcement(lines)

    async def handle_MAIL(
        self,
        server: Session,
        state: _State,
        envelope: _Envelope,
        address: str,
        options: list[str],
    ) -> str:
        envelope.mail_from = address
        envelope.sender = server.path
        return "250 2.1.0 sender ok"

    async def handle_RCPT(
        self,
        server: Session,
        state: _State,
        envelope: _Envelope,
        address: str,
        options: list[str],
    ) -> str:
        envelope.rcpt_tos.append(address)
        envelope.recipients.append(server.path)
        return "250 2.1.5 recipient ok"

    async def handle_DATA(
        self, server: Session, state: _State, envelope: _Envelope
    ) -> str:
        return await server.accept(state, envelope)


class Session(aiosmtpd.SMTP):
    """One connection.

    Args:
        policy: What the server was told to do.
    """

    def __init__(self, policy: Policy) -> None:
        self.path = _Path()
        self._policy = policy
        self._text: str | None = None  # of the next reply that carries a command out
        self._fault: Fault | None = None  # to come with the content
        self._is_greeted = False
        # aiosmtpd collects its commands by attribute when it is constructed.
        for verb in _VERBS | policy.rules.verbs:
            setattr(self, f"smtp_{verb}", partial(self._obey, verb))
        super().__init__(
            _Hooks(),
            hostname="mx.example",
            ident="ESMTP at your service",
            enable_SMTPUTF8="SMTPUTF8" in policy.extensions,
            data_size_limit=policy.size,
            tls_context=policy.starttls,
            # TLS that is on from the start is unknown to aiosmtpd.
            auth_require_tls=policy.starttls is not None,
            authenticator=self._judge,
            loop=asyncio.get_running_loop(),
        )

    def _create_session(self) -> _State:
        return _State(self.loop)

    def _create_envelope(self) -> _Envelope:
        return _Envelope()

    async def abort(self) -> None:
        """End the connection, and wait until the session has ended, too."""
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
        if self._handler_coroutine is not None:
            await asyncio.wait([self._handler_coroutine])

    # Commands

    async def _obey(self, verb: str, argument: str | None) -> None:
        if argument is not None and verb in ("MAIL", "RCPT"):
            keyword, colon, path = argument.partition(":")
            argument = f"{keyword.upper()}{colon}{path}"
        answer = self._answer(verb if argument is None else f"{verb} {argument}")
        if isinstance(answer, Fault):
            if answer not in (Fault.CLOSE_IN_CONTENT, Fault.CLOSE_AFTER_DOT):
                await self._end(answer)
            self._fault = answer
        elif answer is not None and answer[:1] not in ("2", "3"):
            await self.push(answer)
            return
        else:
            self._text = answer
        if verb in ("MAIL", "RCPT"):
            argument = self._path_of(argument or "")
        is_known = verb != "AUTH" or self._policy.credentials is not None
        carry_out = getattr(super(), f"smtp_{verb}", None) if is_known else None
        if carry_out is not None:
            await carry_out(argument)
        else:
            await self.push(self._text or "502 5.5.1 not implemented")
        self._text = None

    def _answer(self, command: str) -> Answer:
        try:
            return self._policy.rules.answer(command)
        except Exception as exc:
            self._policy.fail(exc)
            return "451 4.3.0 the test's own rule has raised an error"

    def _path_of(self, argument: str) -> str:
        """Keep a path as it was spelt; return what aiosmtpd can read of it."""
        match = _PATH.fullmatch(argument)
        if match is None:
            return argument
        parameters = match[3].split()
        self.path = _Path(match[2], parameters)
        if self._policy.extensions:
            parameters = [text for text in parameters if _UNDERSTOOD.fullmatch(text)]
        return " ".join([match[1], *parameters])

    def announcement(self, lines: list[str]) -> list[str]:
        """Change the lines of the reply to EHLO; the last stays last."""
        if self._text is not None:
            return [self._text]
        if self._policy.credentials is None:
            lines = [line for line in lines if not line.startswith("250-AUTH")]
        further = [
            f"250-{line}"
            for line in self._policy.extensions
            if not line.startswith(("SMTPUTF8", "SIZE"))  # these are aiosmtpd's
        ]
        return [*lines[:-1], *further, lines[-1]]

    # A login

    async def check_auth_needed(self, caller_method: str) -> bool:
        """Refuse a command that wants a login, where there was none."""
        state = cast(_State, self.session)
        if not self._policy.is_login_needed or state.authenticated:
            return False
        await self.push("530 5.7.0 log in first")
        return True

    def _judge(
        self,
        server: aiosmtpd.SMTP,
        state: aiosmtpd.Session,
        envelope: aiosmtpd.Envelope,
        mechanism: str,
        given: aiosmtpd.LoginPassword,
    ) -> aiosmtpd.AuthResult:
        known = self._policy.credentials or ()
        is_right = tuple(given) == tuple(text.encode() for text in known)
        return aiosmtpd.AuthResult(success=is_right, handled=False, auth_data=given)

    # Content

    async def accept(self, state: _State, envelope: _Envelope) -> str:
        """Answer the dot."""
        answer = self._answer(".")
        if Fault.CLOSE_AFTER_DOT in (answer, self._fault):
            self._keep(state, envelope)
            await self._end(Fault.CLOSE)
        if isinstance(answer, Fault):
            await self._end(answer)
        if answer is not None and not answer.startswith("2"):
            return answer
        number = self._keep(state, envelope)
        return answer or f"250 2.0.0 stored as message {number}"

    def _keep(self, state: _State, envelope: _Envelope) -> int:
        login = state.auth_data if state.authenticated else None
        mail = ReceivedMail(
            sender=envelope.sender.mailbox,
            recipients=[path.mailbox for path in envelope.recipients],
            content=bytes(envelope.original_content or b""),
            is_encrypted=self._policy.is_encrypted or state.ssl is not None,
            username=None if login is None else login.login.decode(),
            mail_options=envelope.sender.parameters,
            rcpt_options=[path.parameters for path in envelope.recipients],
        )
        return self._policy.keep(mail)

    # Replies

    async def push(self, status: str | bytes) -> None:
        """Send a reply, or what stands in its place."""
        text = status if isinstance(status, str) else status.decode()
        if not self._is_greeted:
            self._is_greeted = True
            answer = self._answer("CONNECT")
            if isinstance(answer, Fault):
                await self._end(answer)
            text = answer or text
        elif self._text is not None and text[:1] == self._text[:1]:
            text, self._text = self._text, None
        await super().push("\r\n".join(text.splitlines()).encode())
        if text.startswith("421"):
            await self._end(Fault.CLOSE)
        if text.startswith("354") and self._fault is Fault.CLOSE_IN_CONTENT:
            await self._reader.read(1)
            await self._end(Fault.CLOSE)

    async def _end(self, fault: Fault) -> Never:
        """Close, reset or go silent, and be done with this client."""
        transport = cast(asyncio.Transport, self.transport)
        if fault is Fault.RESET:
            reset(transport)
        elif fault is not Fault.SILENCE:
            transport.close()
        while True:  # aiosmtpd cancels this task when the connection ends
            await self._reader.read(65536)

    async def handle_exception(self, error: Exception) -> str:
        """Keep an error for the test, but that of a client that wants no TLS."""
        if not isinstance(error, aiosmtpd.TLSSetupException):
            self._policy.fail(error)
        return f"451 4.3.0 {type(error).__name__}"

"""The AUTH dialogue (RFC 4954): mechanisms' octets in base64 on lines, and back.

Rules:

1. An exchange ends in step, or the connection ends: where the client has no answer to
   a challenge it sends "*", and the server has to refuse the whole.
2. Success is 235 and a mechanism that is done.
3. What was sent is cut out of the replies: servers echo lines that they do not like.
4. A mechanism that shows a listener what it needs to log in only runs where there is
   no listener.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence

from ..events import MASK
from ..exceptions import (
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTLSError,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..sasl import Mechanism
from ..wire.protocol import SMTPProtocol

__all__ = ["authenticate", "check_cleartext", "login"]

#: Challenges that are answered in one exchange. No mechanism has more than five.
MAX_CHALLENGES = 20

#: What 530 and 538 to AUTH mean in clear text (RFC 4954 6).
_WANTS_TLS = """\
the server wants TLS first: pass starttls='required', or use SMTP_SSL"""


async def login(
    protocol: SMTPProtocol,
    mechanisms: Sequence[Mechanism],
    offered: Iterable[str],
    *,
    may_show: bool,
    may_fall_back: bool,
    timeout: float | None,
) -> Reply:
    """Try mechanisms in turn, until the server takes one.

    Args:
        protocol: A connection that owes no reply.
        mechanisms: Which ones, in this order.
        offered: What the server announced, for the error that none fits.
        may_show: Whether mechanisms that show the password may run.
        may_fall_back: The same, for after one that does not has failed.
        timeout: Seconds for each reply.

    Raises:
        SMTPLoginError: None was taken; its `exceptions` say why.
    """
    errors: list[SMTPException] = []
    for mechanism in mechanisms:
        try:
            check_cleartext(mechanism, may_show=may_fall_back if errors else may_show)
            return await authenticate(protocol, mechanism, timeout)
        except (SMTPAuthenticationError, SMTPTLSError) as exc:
            errors.append(exc)
    if not errors:
        names = " ".join(offered) or "none at all"
        detail = f"it offers {names}, and none of these may be used"
        errors.append(SMTPCommandNotSupportedError("a usable AUTH mechanism", detail))
    raise SMTPLoginError(errors)


def check_cleartext(mechanism: Mechanism, *, may_show: bool) -> None:
    """Refuse a mechanism that would show a listener what it needs to log in.

    Raises:
        SMTPTLSError: It would.
    """
    if getattr(mechanism, "is_plaintext", True) and not may_show:
        raise SMTPTLSError(
            f"{mechanism.name} would show the password to whoever listens or stands in "
            "between: use SMTP_SSL or starttls='required', with a context that "
            "verifies, or pass allow_cleartext_auth=True"
        )


async def authenticate(
    protocol: SMTPProtocol, mechanism: Mechanism, timeout: float | None
) -> Reply:
    """Run one exchange.

    Args:
        protocol: A connection that owes no reply.
        mechanism: A fresh one.
        timeout: Seconds for each reply.

    Raises:
        SMTPAuthenticationError: The server refused, or sent a challenge that has no
            answer; the session can go on.
        SMTPArgumentError: A response is longer than a line may be; nothing was sent.
        SMTPProtocolError: The server does not keep to the protocol.
    """
    initial = mechanism.start()
    line = commands.auth(mechanism.name, initial)
    deferred = None
    if initial is not None and len(line) > commands.MAX_LINE:
        # RFC 4954 4 forbids an initial response that makes the line too long; without
        # one, the server asks for it with an empty challenge.
        line, deferred = commands.auth(mechanism.name), initial
    is_encrypted = protocol.transport.get_extra_info("ssl_object") is not None
    exchange = _Exchange(mechanism, initial, deferred, is_encrypted=is_encrypted)
    shown = " ".join(["AUTH", mechanism.name, *[MASK] * (line.count(b" ") - 1)])
    with protocol.indivisible("AUTH"), protocol.narrator.redacting(exchange.redact):
        reply = await protocol.ask(line, timeout, "AUTH", shown.encode())
        while reply.code == 334:
            try:
                answer = await exchange.answer(reply)
            except SMTPProtocolError:
                raise
            except Exception as exc:  # a caller's mechanism raises what it likes
                raise await _cancelled(protocol, exchange, str(exc), timeout) from exc
            reply = await protocol.ask(answer, timeout, "AUTH", MASK.encode())
        return exchange.outcome(reply)


class _Exchange:
    """The responses of one exchange, and what they must not leave behind."""

    def __init__(
        self,
        mechanism: Mechanism,
        initial: bytes | None,
        deferred: bytes | None,
        *,
        is_encrypted: bool,
    ) -> None:
        self._mechanism = mechanism
        self._is_encrypted = is_encrypted
        self._deferred = deferred
        self._challenges = 0
        self._secrets = {re.escape(s) for s in getattr(mechanism, "secrets", ()) if s}
        self._note(initial or b"")

    async def answer(self, reply: Reply) -> bytes:
        """Spell the response to a 334."""
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            raise SMTPArgumentError(f"more than {MAX_CHALLENGES} challenges")
        challenge = b64decode(reply.message, validate=True)
        if self._deferred is not None:
            response, self._deferred = self._deferred, None
        elif getattr(self._mechanism, "is_slow", False):
            response = await asyncio.to_thread(self._mechanism.next, challenge)
        else:
            response = self._mechanism.next(challenge)
        self._note(response)
        return commands.continuation(response)

    def _note(self, response: bytes) -> None:
        if not response:
            return
        if not hasattr(self._mechanism, "secrets"):
            self._secrets.add(re.escape(response.decode("utf-8", "surrogateescape")))
        # Servers cut the lines that they echo, so the beginning gives it away.
        encoded = b64encode(response).decode("ascii")
        self._secrets.add(re.escape(encoded[:8]) + "[A-Za-z0-9+/=]*")

    def redact(self, text: str) -> str:
        """Cut whatever was sent out of a text, in whichever case it comes back."""
        pattern = "|".join(sorted(self._secrets, key=len, reverse=True))
        return re.sub(pattern, MASK, text, flags=re.IGNORECASE) if pattern else text

    def refusal(self, reply: Reply, why: str | None = None) -> SMTPAuthenticationError:
        """Give the error for a 4yz or 5yz, with what may be shown of it."""
        reply = reply._replace(message=self.redact(reply.message))
        message = reply.message if why is None else self.redact(why)
        error = getattr(self._mechanism, "error", None)
        name = self._mechanism.name
        wants_tls = reply.code in (530, 538) and not self._is_encrypted
        hint = _WANTS_TLS if wants_tls else None
        return SMTPAuthenticationError(reply.code, message, name, reply, error, hint)

    def outcome(self, reply: Reply) -> Reply:
        """Judge the reply that ends the exchange."""
        if reply.code >= 400:
            raise self.refusal(reply)
        if reply.code != 235:
            raise SMTPProtocolError(f"{reply.code} is no reply to AUTH")
        if not self._mechanism.done or self._deferred is not None:
            raise SMTPProtocolError(
                f"the server says 235 before {self._mechanism.name} is done: it has "
                "not proved itself"
            )
        return reply._replace(message=self.redact(reply.message))


async def _cancelled(
    protocol: SMTPProtocol, exchange: _Exchange, why: str, timeout: float | None
) -> SMTPAuthenticationError:
    """Cancel the exchange, and give the error that says why.

    RFC 4954 4: 'If the client wishes to cancel the authentication exchange, it issues a
    line with a single "*"', and the server "MUST reject the AUTH command by sending a
    501 reply".
    """
    reply = await protocol.ask(commands.CANCEL_AUTH, timeout, "the end of AUTH")
    if reply.code < 400:
        raise SMTPProtocolError(f"{reply.code} is no reply to a cancelled AUTH")
    return exchange.refusal(reply, f"cancelled by the client: {why}")

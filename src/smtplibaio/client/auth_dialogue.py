"""The AUTH dialogue (RFC 4954): what is said for one mechanism, and which one is next.

The octets of a mechanism cross in base64, one line each. `login` calls this module.

Rules:

1. If the client has no answer to a challenge, it sends "*", and the server has to
   refuse the AUTH command. If an exchange cannot be ended so, the connection ends.
2. Success is 235 and a mechanism that is done.
3. What the client has sent is cut out of the replies, because some servers echo it.
4. A mechanism that shows the password runs only if the caller of this module allows
   it.
5. A password is judged once for each kind of proof (see `sasl.choice`); what is tried
   after a refusal is in `_next_after`.
6. If the server has refused, the caller gets the refusal, whatever ends the connection
   after it.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from collections.abc import Container, Sequence
from typing import Literal

from ..events import MASK
from ..exceptions import (
    SMTPArgumentError,
    SMTPAuthenticationError,
    SMTPCommandNotSupportedError,
    SMTPConnectionError,
    SMTPException,
    SMTPLoginError,
    SMTPProtocolError,
    SMTPTimeoutError,
    SMTPTLSError,
)
from ..grammar import commands
from ..grammar.replies import Reply
from ..sasl.choice import kind_of
from ..sasl.mechanism import Mechanism
from ..wire.protocol import SMTPProtocol
from .config import Settings

__all__ = [
    "check_cleartext",
    "no_auth",
    "no_starttls",
    "nothing_in_common",
    "run_mechanism",
    "try_mechanisms",
]

#: Challenges that are answered in one exchange. No mechanism has more than five.
MAX_CHALLENGES = 20

#: What 530 and 538 mean as replies to an AUTH in clear text (RFC 4954 6).
_WANTS_TLS = """\
the server wants TLS first: pass starttls='required', or use SMTP_SSL"""

#: From this length on a secret is not a part of another word by accident.
_UNMISTAKABLE = 8


async def try_mechanisms(
    protocol: SMTPProtocol,
    mechanisms: Sequence[Mechanism],
    *,
    may_show: bool,
    may_fall_back: bool,
    timeout: float | None,
) -> Reply:
    """Try mechanisms in turn, until the server takes one.

    Args:
        protocol: A connection that owes no reply.
        mechanisms: The mechanisms to try, in this order; one at least.
        may_show: Whether mechanisms that show the password may run.
        may_fall_back: Whether they may run after a mechanism that hides it has failed.
        timeout: Seconds for each reply.

    Raises:
        SMTPLoginError: No mechanism worked; its `exceptions` say why.
    """
    errors: list[SMTPException] = []
    judged: set[str] = set()
    has_hidden_failed = False
    for mechanism in mechanisms:
        kind = kind_of(mechanism.name)
        if kind in judged:
            continue
        exchange = _Exchange(mechanism)
        try:
            may = may_fall_back if has_hidden_failed else may_show
            check_cleartext(mechanism, may_show=may)
            return await exchange.run(protocol, timeout)
        except SMTPTLSError as exc:
            errors.append(exc)
            judged.add(kind)
        except SMTPAuthenticationError as exc:
            errors.append(exc)
            has_hidden_failed = has_hidden_failed or not exchange.is_plaintext
            next_one = _next_after(exchange, exc.code)
            if next_one == "nothing":
                break
            if next_one == "another kind":
                judged.add(kind)
        except (SMTPConnectionError, SMTPTimeoutError) as exc:
            if not any(isinstance(e, SMTPAuthenticationError) for e in errors):
                raise
            raise SMTPLoginError(errors) from exc
    raise SMTPLoginError(errors)


def _next_after(
    exchange: _Exchange, code: int
) -> Literal["any", "another kind", "nothing"]:
    """Say what may be tried after a refusal."""
    if exchange.is_cancelled or code == 535:
        return "another kind"
    if code in (500, 502, 504):
        return "any"  # the mechanism is unknown, the password not checked
    if exchange.is_challenged and not exchange.is_plaintext and code in (454, 501):
        # The server has sent a challenge, and cannot use the response: some servers
        # offer digests that they cannot check.
        return "another kind"
    return "nothing"


def nothing_in_common(
    offered: Sequence[str],
    usable: Sequence[str],
    announced: Container[str],
    *,
    is_encrypted: bool,
) -> SMTPLoginError:
    """Make the error for a server that offers no mechanism that the client may use.

    Args:
        offered: The mechanisms that the server announced.
        usable: The mechanisms that the client may use.
        announced: The extensions that the server announced.
        is_encrypted: Whether the connection is encrypted.
    """
    detail = (
        f"it offers {' '.join(offered) or 'none at all'}; "
        f"of use here would be {' '.join(usable)}"
    )
    if "STARTTLS" in announced and not is_encrypted:
        detail += "; more may be offered after STARTTLS: pass starttls='required'"
    error = SMTPCommandNotSupportedError("a usable AUTH mechanism", detail)
    return SMTPLoginError([error])


def no_auth(
    announced: Container[str], *, is_encrypted: bool
) -> SMTPCommandNotSupportedError:
    """Make the error for a server that does not announce AUTH.

    Args:
        announced: The extensions that it does announce.
        is_encrypted: Whether the connection is encrypted.
    """
    if "STARTTLS" in announced and not is_encrypted:
        detail = "it may after STARTTLS, which it does: pass starttls='required'"
    else:
        detail = (
            "it takes no login here; connect to the port for submission (587 with "
            "starttls='required', or 465 with SMTP_SSL), or pass no username"
        )
    return SMTPCommandNotSupportedError("AUTH", detail)


def no_starttls(settings: Settings, peer: str) -> SMTPCommandNotSupportedError:
    """Make the error for a server that does not announce STARTTLS, if TLS is required.

    Args:
        settings: How the client is configured.
        peer: The server, as errors name it.
    """
    detail = f"{peer} does not"
    if settings.starttls == "opportunistic" and settings.credentials is not None:
        detail += (
            "; 'opportunistic' is 'required' where a password or a token would follow: "
            "use SMTP_SSL if the server has port 465, or let them cross in clear text "
            "with starttls='never' and allow_cleartext_auth=True"
        )
    elif settings.starttls == "required":
        detail += (
            "; use SMTP_SSL if the server has port 465, or leave starttls= out where "
            "clear text will do"
        )
    return SMTPCommandNotSupportedError("STARTTLS", detail)


def check_cleartext(mechanism: Mechanism, *, may_show: bool) -> None:
    """Refuse a mechanism that shows the password, if that is not allowed.

    Raises:
        SMTPTLSError: It shows the password.
    """
    if getattr(mechanism, "is_plaintext", True) and not may_show:
        raise SMTPTLSError(
            f"{mechanism.name} would send the password in a form that others on the "
            "network can read: use SMTP_SSL or starttls='required', with a context "
            "that verifies, or pass allow_cleartext_auth=True"
        )


async def run_mechanism(
    protocol: SMTPProtocol, mechanism: Mechanism, timeout: float | None
) -> Reply:
    """Run the exchange of one mechanism.

    Args:
        protocol: A connection that owes no reply.
        mechanism: A mechanism that was not used before.
        timeout: Seconds for each reply.

    Raises:
        SMTPAuthenticationError: The server refused, or sent a challenge that has no
            answer; the session can go on.
        SMTPArgumentError: A response is longer than a line may be; nothing was sent.
        SMTPProtocolError: The server does not keep to the protocol.
    """
    return await _Exchange(mechanism).run(protocol, timeout)


class _Exchange:
    """The exchange of one mechanism; it keeps what was sent out of events and errors.

    Attributes:
        is_plaintext: Whether the mechanism shows the password or the token.
        is_challenged: Whether the server has sent a challenge.
        is_cancelled: Whether the client has broken the exchange off.
    """

    def __init__(self, mechanism: Mechanism) -> None:
        self._mechanism = mechanism
        self.is_plaintext = getattr(mechanism, "is_plaintext", True)
        self.is_cancelled = False
        self._is_encrypted = False
        # The initial response, if the server has to ask for it; if it may ask again.
        self._deferred: bytes | None = None
        self._said: bytes | None = None
        self._challenges = 0
        secrets = getattr(mechanism, "secrets", ())
        self._secrets = {_pattern_of(secret) for secret in secrets if secret}

    @property
    def is_challenged(self) -> bool:
        return self._challenges > 0

    async def run(self, protocol: SMTPProtocol, timeout: float | None) -> Reply:
        """Say AUTH and answer the challenges; see `run_mechanism`."""
        self._is_encrypted = protocol.transport.get_extra_info("ssl_object") is not None
        name = self._mechanism.name
        initial = self._mechanism.start()
        line = commands.auth(name, initial)
        if initial is not None and len(line) > commands.MAX_LINE:
            # RFC 4954 4 forbids an initial response that makes the line too long;
            # without one, the server asks for it with an empty challenge.
            line, self._deferred = commands.auth(name), initial
        elif getattr(self._mechanism, "is_one_message", False):
            self._said = initial
        self._note(initial or b"")
        shown = " ".join(["AUTH", name, *[MASK] * (line.count(b" ") - 1)])
        with protocol.indivisible("AUTH"), protocol.narrator.redacting(self.redact):
            reply = await protocol.ask(line, timeout, "AUTH", shown.encode())
            while reply.code == 334:
                try:
                    answer = await self._answer(reply)
                except SMTPProtocolError:
                    raise
                except Exception as exc:  # a mechanism of the caller may raise anything
                    raise await self._cancel(protocol, str(exc), timeout) from exc
                reply = await protocol.ask(answer, timeout, "AUTH", MASK.encode())
            return self._outcome(reply, protocol.peer)

    async def _answer(self, reply: Reply) -> bytes:
        """Spell the response to a 334."""
        self._challenges += 1
        if self._challenges > MAX_CHALLENGES:
            raise SMTPArgumentError(f"more than {MAX_CHALLENGES} challenges")
        challenge = b""
        if not getattr(self._mechanism, "ignores_challenges", False):
            challenge = b64decode(reply.message, validate=True)
        if self._deferred is not None:
            response, self._deferred = self._deferred, None
        elif self._said is not None and not challenge:
            # Some servers ignore an initial response, and ask for it.
            response, self._said = self._said, None
        elif getattr(self._mechanism, "is_slow", False):
            response = await asyncio.to_thread(self._mechanism.next, challenge)
        else:
            response = self._mechanism.next(challenge)
        self._note(response)
        return commands.continuation(response)

    async def _cancel(
        self, protocol: SMTPProtocol, why: str, timeout: float | None
    ) -> SMTPAuthenticationError:
        """Cancel the exchange, and return the error that says why.

        RFC 4954 4: 'If the client wishes to cancel the authentication exchange, it
        issues a line with a single "*"', and the server "MUST reject the AUTH command
        by sending a 501 reply".
        """
        self.is_cancelled = True
        try:
            reply = await protocol.ask(commands.CANCEL_AUTH, timeout, "the end of AUTH")
        except (SMTPConnectionError, SMTPTimeoutError) as exc:
            # To try again would come to the same: it is not about the connection.
            raise SMTPProtocolError(
                f"AUTH {self._mechanism.name} was cancelled by the client: {why}; then "
                f"the session ended: {exc}"
            ) from exc
        if reply.code < 400:
            raise SMTPProtocolError(
                f"{protocol.peer} answered a cancelled AUTH with {reply.code}, where "
                "a refusal is due"
            )
        return self._refusal(reply, f"cancelled by the client: {why}")

    def _outcome(self, reply: Reply, peer: str) -> Reply:
        """Judge the reply that ends the exchange; `peer` is the server, for errors."""
        if reply.code >= 400:
            raise self._refusal(reply)
        if reply.code != 235:
            raise SMTPProtocolError(
                f"{peer} answered AUTH with {reply.code}, where 235 means success"
            )
        if not self._mechanism.done or self._deferred is not None:
            raise SMTPProtocolError(
                f"{peer} says 235 before {self._mechanism.name} is done: it has not "
                "proved itself"
            )
        return reply._replace(message=self.redact(reply.message))

    def _refusal(self, reply: Reply, why: str | None = None) -> SMTPAuthenticationError:
        """Make the error for a 4yz or 5yz, without the secrets."""
        reply = reply._replace(message=self.redact(reply.message))
        message = reply.message if why is None else self.redact(why)
        error = getattr(self._mechanism, "error", None)
        wants_tls = reply.code in (530, 538) and not self._is_encrypted
        hint = _WANTS_TLS if wants_tls else None
        return SMTPAuthenticationError(
            reply.code, message, self._mechanism.name, reply, error, hint
        )

    # What must not be shown

    def _note(self, response: bytes) -> None:
        if not response:
            return
        if not hasattr(self._mechanism, "secrets"):
            self._secrets.add(_pattern_of(response.decode("utf-8", "surrogateescape")))
        # Servers cut the lines that they echo, so look for the beginning only.
        encoded = b64encode(response).decode("ascii")
        self._secrets.add(
            "(?<![A-Za-z0-9+/])" + re.escape(encoded[:8]) + "[A-Za-z0-9+/=]*"
        )

    def redact(self, text: str) -> str:
        """Cut out of a text everything that was sent, in upper or lower case."""
        pattern = "|".join(sorted(self._secrets, key=len, reverse=True))
        return re.sub(pattern, MASK, text, flags=re.IGNORECASE) if pattern else text


def _pattern_of(secret: str) -> str:
    r"""Spell the regular expression that finds a secret.

    A secret that is short, or all letters, may be a part of another word. It counts
    only as a whole word: "f***led" would tell that the password is "ai".
    """
    pattern = re.escape(secret)
    if len(secret) < _UNMISTAKABLE or secret.isalpha():
        before = r"(?<!\w)" if re.match(r"\w", secret) else ""
        after = r"(?!\w)" if re.match(r"\w", secret[-1]) else ""
        return f"{before}{pattern}{after}"
    return pattern

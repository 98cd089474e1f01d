"""ESMTP parameters that callers give by name, and their spelling in MAIL and RCPT.

DSN (RFC 3461, RFC 6533), REQUIRETLS (RFC 8689), DELIVERBY (RFC 2852), MT-PRIORITY
(RFC 6710) and FUTURERELEASE (RFC 4865).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ..exceptions import SMTPArgumentError

__all__ = ["Parameters", "original_recipient", "xtext"]

# RFC 3461 4:
#
#    xtext = *( xchar / hexchar )
#    xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive,
#            except for "+" and "=".
#    hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits
_NO_XCHAR = r"[^!-~]|[+=]"

# RFC 6533 3:
#
#    utf-8-addr-xtext = 1*4096 ( QCHAR / EmbeddedUnicodeChar )
#    QCHAR            = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e
#    EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"
_NO_QCHAR = r"[^!-*,-<>-\[\]-~]"

# RFC 3461 4.2: the type of an address is an atom, and ";" follows it
_ADDRESS_TYPE = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"

#: The largest number of nine digits, the most in RFC 2852 4 and RFC 4865 5.
_MAX_SECONDS = 999_999_999

# Characters that no mailbox may have, and no form of RFC 6533 3 can spell.
_CONTROL_OR_SURROGATE = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"

Notify = Literal["NEVER", "SUCCESS", "FAILURE", "DELAY"]


def xtext(text: str) -> str:
    """Spell a text as xtext (RFC 3461 4).

    Raises:
        SMTPArgumentError: The text is not printable ASCII.
    """
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise SMTPArgumentError(
            f"{text!a} is not printable ASCII, which xtext requires"
        )
    return re.sub(_NO_XCHAR, lambda match: f"+{ord(match[0]):02X}", text)


def original_recipient(address: str) -> str:
    """Spell the value of ORCPT.

    Args:
        address: A mailbox, or a type and an address of that type ("x400;/c=us/").

    Raises:
        SMTPArgumentError: The address is empty, or has characters that its type
            does not allow.
    """
    if not isinstance(address, str) or re.search(_CONTROL_OR_SURROGATE, address):
        raise SMTPArgumentError(f"{address!a} in orcpt is not an address")
    kind, separator, rest = address.partition(";")
    if not separator or not re.fullmatch(_ADDRESS_TYPE, kind):
        kind, rest = ("rfc822" if address.isascii() else "utf-8"), address
    if not rest:
        raise SMTPArgumentError(f"{address!a} in orcpt has no address")
    if kind.lower() == "utf-8":
        spelt = re.sub(_NO_QCHAR, lambda match: f"\\x{{{ord(match[0]):X}}}", rest)
        return f"{kind};{spelt}"
    return f"{kind};{xtext(rest)}"


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """The parameters that a caller gives for one mail.

    Attributes:
        ret: How much of the message a report of failure returns: "FULL" or "HDRS".
        envid: An identifier, in printable ASCII, that reports about this mail repeat.
        notify: When to send a report: "NEVER", or any of "SUCCESS", "FAILURE", "DELAY".
        orcpt: The original address of each recipient, as a mapping by recipient.
        require_tls: Whether every server on the way must use verified TLS.
        deliver_by: A time in seconds, and what to do after it: "R" (return the
            mail) or "N" (send a report), followed by "T" to ask for a trace.
        mt_priority: The priority, from -9 to 9.
        hold_for: How long the server holds the mail back, in seconds.
        hold_until: Until when it holds the mail back: a datetime with a time zone.

    Raises:
        SMTPArgumentError: A value is not valid for its parameter.
    """

    ret: Literal["FULL", "HDRS"] | None = None
    envid: str | None = None
    notify: Notify | Iterable[Notify] | None = None
    orcpt: Mapping[str, str] | None = None
    require_tls: bool = False
    deliver_by: tuple[int, str] | None = None
    mt_priority: int | None = None
    hold_for: int | None = None
    hold_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.orcpt is not None and not isinstance(self.orcpt, Mapping):
            raise SMTPArgumentError("orcpt must map recipients to original addresses")
        if self.notify is not None:  # an iterator can be read only once
            object.__setattr__(self, "notify", _notify(self.notify))
        # Spelling a parameter finds its faults; that must be before anything is sent.
        self.of_mail()
        self.of_rcpt()
        for recipient in self.orcpt or ():
            self.of_one(recipient)

    def of_mail(self) -> list[str]:
        """Spell the parameters that stand in MAIL."""
        spelt = [] if self.ret is None else [f"RET={_one_of(self.ret, _RET, 'ret')}"]
        if self.envid is not None:
            spelt.append(f"ENVID={_envid(self.envid)}")
        if self.require_tls:
            spelt.append("REQUIRETLS")
        if self.deliver_by is not None:
            spelt.append(f"BY={_by(self.deliver_by)}")
        if self.mt_priority is not None:
            priority = _number(self.mt_priority, -9, 9, "mt_priority")
            spelt.append(f"MT-PRIORITY={priority}")
        if self.hold_for is not None and self.hold_until is not None:
            raise SMTPArgumentError("give either hold_for or hold_until, not both")
        if self.hold_for is not None:
            seconds = _number(self.hold_for, 1, _MAX_SECONDS, "hold_for")
            spelt.append(f"HOLDFOR={seconds}")
        if self.hold_until is not None:
            spelt.append(f"HOLDUNTIL={_moment(self.hold_until)}")
        return spelt

    def of_rcpt(self) -> list[str]:
        """Spell the parameters that stand in every RCPT."""
        return [] if self.notify is None else [f"NOTIFY={self.notify}"]

    def of_one(self, recipient: str) -> list[str]:
        """Spell the parameters that stand in the RCPT of one recipient only."""
        original = (self.orcpt or {}).get(recipient)
        return [] if original is None else [f"ORCPT={original_recipient(original)}"]

    def check_recipients(self, recipients: Iterable[str]) -> None:
        """Refuse `orcpt` if it names an address that is not a recipient."""
        if strangers := set(self.orcpt or ()) - set(recipients):
            raise SMTPArgumentError(
                f"orcpt has {sorted(strangers)}, which are not recipients"
            )


_RET = ("FULL", "HDRS")
_EVENTS = ("SUCCESS", "FAILURE", "DELAY")


def _one_of(value: object, allowed: tuple[str, ...], what: str) -> str:
    spelt = value.upper() if isinstance(value, str) else value
    if spelt not in allowed:
        raise SMTPArgumentError(
            f"{what} must be one of {', '.join(allowed)}, not {value!a}"
        )
    return str(spelt)


def _number(value: object, least: int, most: int, what: str) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, int) or not is_number or not least <= value <= most:
        raise SMTPArgumentError(
            f"{what} must be a number from {least} to {most}, not {value!a}"
        )
    return int(value)


def _envid(envid: str) -> str:
    spelt = xtext(envid)
    # RFC 3461 4.4: "the ENVID parameter MAY be up to 100 characters in length"
    if not 0 < len(spelt) <= 100:
        raise SMTPArgumentError("envid must be from 1 to 100 characters long, as xtext")
    return spelt


def _notify(notify: Notify | Iterable[Notify]) -> str:
    if not isinstance(notify, Iterable):
        raise SMTPArgumentError(f"notify must be one event or several, not {notify!a}")
    listed = notify.split(",") if isinstance(notify, str) else notify
    events = [_one_of(event, (*_EVENTS, "NEVER"), "notify") for event in listed]
    if events == ["NEVER"]:
        return "NEVER"
    if not events or len(set(events)) != len(events):
        raise SMTPArgumentError(
            "notify must name at least one event, and each event only once"
        )
    return ",".join(_one_of(event, _EVENTS, "notify beside others") for event in events)


def _by(deliver_by: tuple[int, str]) -> str:
    try:
        seconds, mode = deliver_by
    except (TypeError, ValueError):
        raise SMTPArgumentError(
            'deliver_by must be a pair such as (120, "R")'
        ) from None
    mode = _one_of(mode, ("N", "R", "NT", "RT"), "the mode of deliver_by")
    # RFC 2852 4: with "R" the time must be greater than zero.
    least = 1 if mode.startswith("R") else -_MAX_SECONDS
    return f"{_number(seconds, least, _MAX_SECONDS, 'deliver_by')};{mode}"


def _moment(moment: datetime) -> str:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise SMTPArgumentError("hold_until must be a datetime with a time zone")
    try:
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except OverflowError as exc:
        raise SMTPArgumentError(f"hold_until: {exc}") from exc

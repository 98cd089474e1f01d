"""The mailbox grammar (RFC 5321 4.1.2), IDNA, and who needs SMTPUTF8.

An envelope address is data. It is checked as a whole and sent as it is; it never goes
through a parser of display names, which would find another address in it. The one
thing that changes on its way is a domain beyond ASCII: it travels as A-labels
(RFC 5891), for which no server needs an extension.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from ..exceptions import SMTPArgumentError

__all__ = [
    "address_of",
    "forward_path",
    "needs_smtputf8",
    "reverse_path",
    "to_a_labels",
]

# RFC 5321 4.1.2:
#
#    Mailbox        = Local-part "@" ( Domain / address-literal )
#    Local-part     = Dot-string / Quoted-string
#    Dot-string     = Atom *("."  Atom)
#    Quoted-string  = DQUOTE *QcontentSMTP DQUOTE
#    QcontentSMTP   = qtextSMTP / quoted-pairSMTP
#    quoted-pairSMTP  = %d92 %d32-126
#    qtextSMTP      = %d32-33 / %d35-91 / %d93-126
#    Domain         = sub-domain *("." sub-domain)
#    sub-domain     = Let-dig [Ldh-str]
#
# with RFC 6531 3.3, which adds UTF8-non-ascii to atext and qtextSMTP. One deviation:
# "_" within labels, for hosts that have it in their name and receive mail.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]"
_DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED_STRING = r'"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\u00a1-\U0010ffff]|\\[\x20-\x7e])*"'
_LABEL = r"[A-Za-z0-9_]+(?:-+[A-Za-z0-9_]+)*"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LOCAL_PART = re.compile(rf"{_DOT_STRING}|{_QUOTED_STRING}")

#: Nearly every address there is; what does not match is looked at part by part.
_COMMON = re.compile(
    r"[A-Za-z0-9_+=-]+(?:\.[A-Za-z0-9_+=-]+)*"
    r"@[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*"
)

# RFC 5321 4.1.3, General-address-literal
# (less the characters that could close the path early for a lax reader)
_TAGGED_LITERAL = re.compile(
    r"[A-Za-z0-9-]*[A-Za-z0-9]:[\x21\x23-\x3b\x3d\x3f-\x5a\x5e-\x7e]+"
)


def reverse_path(sender: object) -> str:
    """Give the mailbox that MAIL carries; "" for the null reverse-path.

    Args:
        sender: An address ("a@b.example"), an object with `addr_spec`, such as
            `email.headerregistry.Address`, or "" (or "<>") for no sender at all.

    Raises:
        SMTPArgumentError: It is no mailbox; the text says why.
    """
    text = address_of(sender)
    return "" if text in ("", "<>") else _mailbox(text, "the sender")


def forward_path(recipient: object) -> str:
    """Give the mailbox that RCPT carries.

    Args:
        recipient: An address, or an object with `addr_spec`. "Postmaster" is the one
            that needs no domain (RFC 5321 4.1.1.3).

    Raises:
        SMTPArgumentError: It is no mailbox; the text says why.
    """
    text = address_of(recipient)
    if isinstance(text, str) and text.lower() == "postmaster":
        return text
    return _mailbox(text, "the recipient")


def address_of(given: Any) -> Any:
    """Give the text of an address: it itself, or its `addr_spec`."""
    return given if type(given) is str else getattr(given, "addr_spec", given)


def needs_smtputf8(mailbox: str) -> bool:
    """Tell whether a mailbox can only travel where SMTPUTF8 is offered (RFC 6531)."""
    return not mailbox.isascii()


def _mailbox(text: object, what: str) -> str:
    if not isinstance(text, str):
        raise SMTPArgumentError(
            f"{what} is a str such as 'user@host.example', not {type(text).__name__}"
        )
    if _COMMON.fullmatch(text):
        return text
    local_part, at, domain = text.rpartition("@")
    if not at or not local_part:
        raise _fault(what, text, "is not of the form local-part@domain")
    _check_characters(what, text, local_part)
    if not _LOCAL_PART.fullmatch(local_part):
        raise _fault(what, text, f"has a local part that is none: {_hint(text)}")
    return f"{local_part}@{_wire_domain(what, text, domain)}"


def _check_characters(what: str, text: str, local_part: str) -> None:
    for index, c in enumerate(local_part):
        # Cc, Cs: controls and surrogates. Zl, Zp, and Zs but for the ASCII space: what
        # some software takes for a line end or a blank.
        if c != " " and unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp", "Zs"}:
            raise _fault(what, text, f"has U+{ord(c):04X} at index {index}")


def _hint(text: str) -> str:
    if "<" in text or text.endswith(">"):
        return "pass the bare address, without a name and angle brackets"
    return "spaces and special characters are only allowed within double quotes"


def _wire_domain(what: str, text: str, domain: str) -> str:
    if domain.startswith("[") and domain.endswith("]"):
        if not _is_address_literal(domain[1:-1]):
            raise _fault(what, text, "has an address literal that is none")
        return domain
    try:
        wire = domain if domain.isascii() else to_a_labels(domain)
    except SMTPArgumentError as exc:
        why = f"has a domain that IDNA refuses: {exc.__cause__}"
        raise _fault(what, text, why) from exc
    if not _DOMAIN.fullmatch(wire):
        raise _fault(what, text, f"has a domain that is none: {_hint(text)}")
    return wire


def _is_address_literal(literal: str) -> bool:
    tag, colon, rest = literal.partition(":")
    try:
        if not colon:
            IPv4Address(literal)
        elif tag.lower() == "ipv6":
            IPv6Address(rest)
            return "%" not in rest  # a zone, in which ipaddress takes anything
        else:
            return _TAGGED_LITERAL.fullmatch(literal) is not None
    except ValueError:
        return False
    return True


def to_a_labels(domain: str) -> str:
    """Spell a domain beyond ASCII as A-labels (RFC 5891).

    Raises:
        SMTPArgumentError: IDNA 2008 knows no such domain.
    """
    import idna  # its tables cost milliseconds, and few addresses need them

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as exc:
        raise SMTPArgumentError(f"IDNA refuses the domain {domain!a}: {exc}") from exc


def _fault(what: str, text: str, why: str) -> SMTPArgumentError:
    return SMTPArgumentError(f"{what} {text!a} {why}")

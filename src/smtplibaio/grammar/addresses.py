"""What an address is given as, the mailbox in it, IDNA, and who needs SMTPUTF8.

Rules:

1. An address is a mailbox (RFC 5321 4.1.2), or a mailbox in angle brackets behind an
   optional display name, as `str(email.headerregistry.Address(...))` spells it. It is
   checked as a whole, by the grammar here: a parser that looks for an address in a text
   finds another one.
2. The mailbox is sent as it stands. The one thing that changes on its way is a domain
   beyond ASCII: it travels as A-labels (RFC 5891), for which no server needs an
   extension.
3. An object with `addr_spec` means that mailbox. `addr_spec` loses the quotes that a
   local part needs for its dots ("user..name"); they are given back.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any, Protocol

from ..exceptions import SMTPArgumentError, printable

__all__ = [
    "AddressLike",
    "address_of",
    "are_mailboxes",
    "forward_path",
    "needs_smtputf8",
    "reverse_path",
    "to_a_labels",
]


class HasAddrSpec(Protocol):
    """An object such as `email.headerregistry.Address`."""

    @property
    def addr_spec(self) -> str:
        """The mailbox."""


#: What an address is given as.
AddressLike = str | HasAddrSpec

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
# with RFC 6531 3.3, which adds UTF8-non-ascii to atext and qtextSMTP. Two deviations:
# "_" within labels, for hosts that have it in their name and receive mail; and a local
# part alone, a Dot-string in ASCII: RFC 5321 4.1.1.3 knows "<Postmaster>" only, but
# servers take "<root>" for a mailbox of their own host, and who calls it names it so.
#
# The classes are spelt by what is not in them, for they compile a hundred times faster.
_ATEXT = r"""[^\x00-\x20"(),.:;<>@\[\\\]\x7f-\xa0]"""
_DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"
_QUOTED_STRING = r'"(?:[^"\\\x00-\x1f\x7f-\xa0]|\\[\x20-\x7e])*"'
_LOCAL_PART = rf"{_DOT_STRING}|{_QUOTED_STRING}"
_LABEL = r"[A-Za-z0-9_]+(?:-+[A-Za-z0-9_]+)*"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"

# What may stand before an angle bracket: quoted strings, and words without specials.
_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_DISPLAY_NAME = rf'(?:"(?:[^"\\{_CONTROLS}]|\\[^{_CONTROLS}])*"|[^<>@,;:"{_CONTROLS}])*'

# RFC 5321 4.1.3, General-address-literal
# (less the characters that could close the path early for a lax reader)
_TAGGED_LITERAL = r"[A-Za-z0-9-]*[A-Za-z0-9]:[\x21\x23-\x3b\x3d\x3f-\x5a\x5e-\x7e]+"


# What nearly every address matches; any other is taken apart. Nothing in it can match
# in two ways, so no repeat is tried again ("++", "*+").
def _common_of(letters: str) -> str:
    atoms = rf"[{letters}0-9_+=-]++"
    label = rf"[{letters}0-9]++(?:-++[{letters}0-9]++)*+"
    return rf"{atoms}(?:\.{atoms})*+@{label}(?:\.{label})*+"


@cache
def _common() -> re.Pattern[str]:
    return re.compile(_common_of("A-Za-z"))


@cache
def _common_lines() -> re.Pattern[str]:
    """Compile what many common addresses match, one a line, in small letters."""
    return re.compile(rf"(?:{_common_of('a-z')}\n)*+")


#: A service has few senders, and many recipients.
@lru_cache(maxsize=64)
def _is_common(sender: str) -> bool:
    return _common().fullmatch(sender) is not None


def reverse_path(sender: object) -> str:
    """Return the mailbox for MAIL; "" for the null reverse-path.

    Args:
        sender: An address ("a@b.example", "Alice <a@b.example>"), an object with
            `addr_spec`, such as `email.headerregistry.Address`, or "" (or "<>") for no
            sender at all.

    Raises:
        SMTPArgumentError: There is no mailbox in it; the text says why.
    """
    if type(sender) is str and _is_common(sender):
        return sender
    text = address_of(sender)
    is_null = isinstance(text, str) and text.strip(" ") in ("", "<>")
    return "" if is_null else _mailbox(text, "the sender")


def forward_path(recipient: object) -> str:
    """Return the mailbox for RCPT.

    Args:
        recipient: An address, or an object with `addr_spec`. A local part alone, such
            as "root" or "Postmaster", is a mailbox of the server's own host.

    Raises:
        SMTPArgumentError: There is no mailbox in it; the text says why.
    """
    if type(recipient) is str and _common().fullmatch(recipient):
        return recipient
    return _mailbox(address_of(recipient), "the recipient")


def are_mailboxes(recipients: Any) -> bool:
    """Whether this is a list of plain mailboxes, all in small letters.

    It is a quick answer for many recipients: if it is True, `forward_path` would return
    each of them as it is, and two that differ are two mailboxes.
    """
    if type(recipients) not in (list, tuple) or set(map(type, recipients)) != {str}:
        return False
    lines = "\n".join((*recipients, ""))
    is_one_each = lines.count("\n") == len(recipients)
    return is_one_each and _common_lines().fullmatch(lines) is not None


def address_of(given: Any) -> Any:
    """Return the text of an address: a `str` unchanged, or the mailbox of an object."""
    if type(given) is str:
        return given
    mailbox = getattr(given, "addr_spec", given)
    if mailbox is given or not isinstance(mailbox, str):
        return mailbox
    local_part, at, domain = mailbox.rpartition("@")
    if not local_part or re.fullmatch(_LOCAL_PART, local_part):
        return mailbox
    return _quoted(local_part) + at + domain


def _quoted(local_part: str) -> str:
    return '"' + local_part.replace("\\", "\\\\").replace('"', '\\"') + '"'


def needs_smtputf8(mailbox: str) -> bool:
    """Whether a mailbox can be sent only with SMTPUTF8 (RFC 6531)."""
    return not mailbox.isascii()


def _mailbox(given: object, what: str) -> str:
    if not isinstance(given, str):
        raise SMTPArgumentError(
            f"{what} must be a str such as 'user@host.example', not "
            f"{type(given).__name__}"
        )
    text = str.__str__(given)  # a subclass may be formatted as another text
    return _bare_mailbox(text, _without_name(text, what), what)


def _without_name(text: str, what: str) -> str:
    """Return the text that should be a mailbox: in angle brackets, or all of it."""
    bare = text.strip(" ")
    rest = re.sub(_DISPLAY_NAME, "", bare, count=1)
    if not rest.startswith("<"):
        return bare
    if rest == "<>":
        raise _fault(what, text, "has no mailbox in its angle brackets")
    if not rest.endswith(">"):
        raise _fault(what, text, f"does not end with its angle bracket: {_ONE_ADDRESS}")
    return rest[1:-1]


def _bare_mailbox(text: str, mailbox: str, what: str) -> str:
    local_part, at, domain = mailbox.rpartition("@")
    if not at and mailbox.isascii() and re.fullmatch(_DOT_STRING, mailbox):
        return mailbox
    _check_characters(what, text, mailbox)
    if not local_part:
        raise _fault(
            what, text, f"is not of the form local-part@domain: {_ONE_ADDRESS}"
        )
    if not re.fullmatch(_LOCAL_PART, local_part):
        why = f"has a local part that is not valid: {_hint(text, local_part, domain)}"
        raise _fault(what, text, why)
    return f"{local_part}@{_wire_domain(what, text, domain)}"


def _check_characters(what: str, text: str, mailbox: str) -> None:
    for c in mailbox:
        # Cc, Cs: controls and surrogates. Zl, Zp, and Zs but for the ASCII space: what
        # some software takes for a line end or a blank.
        if c != " " and unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp", "Zs"}:
            raise _fault(what, text, f"has U+{ord(c):04X} at index {text.index(c)}")


_ONE_ADDRESS = """\
pass one address, as 'user@host.example' or 'Name <user@host.example>'"""

_A_LIST = """\
pass several addresses as a list, and put a name with a comma in double quotes"""


def _hint(text: str, local_part: str, domain: str) -> str:
    """Say what to pass instead."""
    if "," in text or ";" in text or text.count("<") > 1:
        return _A_LIST
    if set(text) & set("<>:"):
        return _ONE_ADDRESS
    if local_part and not local_part.startswith('"'):
        quoted = printable(f"{_quoted(local_part)}@{domain}")
        return (
            "blanks, special characters and dots that have no text on both sides need "
            f"double quotes, as {quoted}; a name stands before angle brackets"
        )
    return _ONE_ADDRESS


def _wire_domain(what: str, text: str, domain: str) -> str:
    if domain.startswith("[") and domain.endswith("]"):
        if not _is_address_literal(domain[1:-1]):
            raise _fault(what, text, "has an address literal that is not valid")
        return domain
    try:
        wire = domain if domain.isascii() else to_a_labels(domain)
    except SMTPArgumentError as exc:
        why = f"has a domain that IDNA refuses: {exc.__cause__}"
        raise _fault(what, text, why) from exc
    if not re.fullmatch(_DOMAIN, wire):
        why = f"has a domain that is not valid: {_hint(text, '', domain)}"
        raise _fault(what, text, why)
    return wire


def _is_address_literal(literal: str) -> bool:
    from ipaddress import IPv4Address, IPv6Address  # few addresses have one

    tag, colon, rest = literal.partition(":")
    try:
        if not colon:
            IPv4Address(literal)
        elif tag.lower() == "ipv6":
            IPv6Address(rest)
            return "%" not in rest  # a zone, in which ipaddress takes anything
        else:
            return re.fullmatch(_TAGGED_LITERAL, literal) is not None
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

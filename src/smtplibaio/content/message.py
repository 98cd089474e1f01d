"""Messages of the `email` package: their envelope, and a form that a server can take.

Rules:

1. The caller's message is never changed; what is fitted is a copy.
2. Bcc and Resent-Bcc never leave (RFC 5322 3.6.3).
3. What has to be encoded otherwise for a server keeps its meaning: the transfer
   encoding of a part changes, its content does not. What is signed is left alone.
4. SMTPUTF8 is for mailboxes beyond ASCII in their local part; everything else can be
   spelt in ASCII: names by RFC 2047, domains as A-labels.
"""

from __future__ import annotations

import base64
import copy
import quopri
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from email.errors import InvalidHeaderDefect
from email.generator import BytesGenerator
from email.headerregistry import Address, Group, HeaderRegistry
from email.message import Message
from email.policy import SMTP
from email.utils import format_datetime, localtime, make_msgid
from typing import Any, TypeAlias

from ..exceptions import SMTPArgumentError
from ..grammar.addresses import to_a_labels
from .canonical import LINE_END, find_long_line

__all__ = ["AnyMessage", "envelope_of", "flatten", "missing_fields", "needs_smtputf8"]

AnyMessage: TypeAlias = "Message[Any, Any]"

#: Reads the fields of legacy messages, which are mere text there.
_registry = HeaderRegistry()
_FOLD = re.compile(r"\r?\n(?=[ \t])")

#: RFC 5322 2.2: a field name is printable US-ASCII except colon.
_FIELD_NAME = re.compile(r"[!-9;-~]+")
#: A line end that is not a fold: what follows would be a field of its own.
_END_OF_FIELD = re.compile(r"\r(?!\n)|\r?\n(?![ \t])")
#: Octets beyond ASCII, as they were read.
_RAW = re.compile("[\udc80-\udcff]")

#: These stand above the fields that were there before (RFC 5322 3.6.7).
_TRACE_FIELDS = frozenset({"received", "return-path"})

_LINE_END_OF_TEXT = re.compile(r"\r\n|\r|\n")

_ADDRESS_FIELDS = frozenset({"from", "sender", "reply-to", "to", "cc"})


# Who sends it, and who gets it


def envelope_of(
    message: AnyMessage, sender: object = None, recipients: object = None
) -> tuple[object, object]:
    """Give the sender and the recipients that a message itself names.

    Those of the newest block of Resent fields where there is one, which is the
    uppermost (RFC 5322 3.6.6); else those of Sender or From, and of To, Cc and Bcc.

    Args:
        message: It is not changed.
        sender: The caller's, which saves reading those fields; or None.
        recipients: The same.

    Returns:
        The sender, None where the message does not say which one it is, and the
        recipients.

    Raises:
        SMTPArgumentError: A field cannot be read, or has a group where mailboxes are
            wanted.
    """
    fields = list(_newest_resent_block(message)) or [
        (name.lower(), value) for name, value in message.raw_items()
    ]
    if sender is None:
        senders = _addresses(fields, "sender") or _addresses(fields, "from")
        sender = senders[0].addr_spec if len(senders) == 1 else None
    if recipients is None:
        names = ("to", "cc", "bcc")
        recipients = [a.addr_spec for name in names for a in _addresses(fields, name)]
    return sender, recipients


def _newest_resent_block(message: AnyMessage) -> Iterator[tuple[str, Any]]:
    """Give the fields of the uppermost block, under their plain names.

    No field stands twice in a block, so the second of a name begins the next one; and
    so does what a relay has put on top in between.
    """
    seen: set[str] = set()
    for name, value in message.raw_items():
        prefix, resent, plain = name.lower().partition("resent-")
        if seen and name.lower() in _TRACE_FIELDS:
            return
        if prefix or not resent:
            continue
        if plain in seen:
            return
        seen.add(plain)
        yield plain, value


def _addresses(fields: Iterable[tuple[str, Any]], wanted: str) -> list[Address]:
    found: list[Address] = []
    for name, value in fields:
        if name != wanted:
            continue
        for group in _groups(name, value):
            if group.display_name is not None and group.addresses:
                raise SMTPArgumentError(
                    f"the field {name.capitalize()} has the group "
                    f"{group.display_name!a}; pass its members, with recipients="
                )
            found += group.addresses
    return found


def _groups(name: str, value: Any) -> tuple[Group, ...]:
    """Read an address field; a single address is a group without a name."""
    if not hasattr(value, "groups"):
        value = _registry(name, _text(name, value))
    defects = [d for d in value.defects if isinstance(d, InvalidHeaderDefect)]
    if defects:
        raise SMTPArgumentError(
            f"the field {name.capitalize()} cannot be read: {defects[0]}"
        )
    return tuple(value.groups)


def _text(name: str, value: Any) -> str:
    """Give the text of a field that was not parsed, octets beyond ASCII as UTF-8."""
    try:
        octets = _FOLD.sub("", str(value)).encode("utf-8", "surrogateescape")
        return octets.decode("utf-8")
    except UnicodeError as exc:
        raise SMTPArgumentError(
            f"the field {name.capitalize()} has octets that are not UTF-8"
        ) from exc


# What it needs, and what it is sent as


def needs_smtputf8(message: AnyMessage) -> bool:
    """Tell whether a header field has a mailbox that only SMTPUTF8 can carry."""
    return any(
        not address.username.isascii()
        for part in message.walk()
        for _, _, groups in _address_fields(part)
        for group in groups
        for address in group.addresses
    )


def _address_fields(
    message: AnyMessage,
) -> Iterator[tuple[str, Any, tuple[Group, ...]]]:
    """Give the address fields beyond ASCII, but for those that nobody can read."""
    for name, value in message.raw_items():
        plain = name.lower().removeprefix("resent-")
        if plain in _ADDRESS_FIELDS and not str(value).isascii():
            with suppress(SMTPArgumentError):
                yield name, value, _groups(plain, value)


#: Whoever has put one of these in has finished the message, or has it from elsewhere.
_SIGNS_OF_A_FINISHED_MESSAGE = frozenset(
    {"arc-seal", "dkim-signature", "received", "return-path"}
)


def missing_fields(message: AnyMessage, sender: str) -> list[tuple[str, str]]:
    """Make the fields Date and Message-ID that a new message lacks (RFC 5322 3.6).

    Args:
        message: It is not changed.
        sender: The mailbox whose domain the identifier has.
    """
    names = {name.lower() for name, _ in message.raw_items()}
    if names & _SIGNS_OF_A_FINISHED_MESSAGE or any(
        part.get_content_type() == "multipart/signed" for part in message.walk()
    ):
        return []
    made: list[tuple[str, str]] = []
    if "date" not in names:
        made.append(("Date", format_datetime(localtime())))
    if "message-id" not in names:
        domain = sender.rpartition("@")[2] or "localhost"
        made.append(("Message-ID", make_msgid(domain=domain)))
    return made


def flatten(
    message: AnyMessage,
    *,
    utf8: bool,
    is_8bit_ok: bool,
    added: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Give the octets of a message, with CRLF, for a server.

    Args:
        message: It is not changed.
        utf8: Whether header fields may be in UTF-8 (RFC 6532).
        is_8bit_ok: Whether the body may be 8-bit; else its parts are encoded.
        added: Fields that stand below the message's own.

    Raises:
        SMTPArgumentError: A part that is signed would have to be changed, or the
            message cannot be written.
    """
    is_8bit_ok = is_8bit_ok and message.policy.cte_type == "8bit"
    fitted = _copy(message, message.policy)
    for field in ("Bcc", "Resent-Bcc"):
        del fitted[field]
    for name, value in added:
        fitted[name] = value
    for part in fitted.walk():
        _check_fields(part)
        if not utf8:
            _spell_domains_in_ascii(part)
    if _encode_parts(fitted, is_8bit_ok=is_8bit_ok) and "MIME-Version" not in fitted:
        fitted["MIME-Version"] = "1.0"
    # The policy of legacy messages cannot write UTF-8 header fields.
    policy: Any = message.policy
    if utf8 and not hasattr(policy, "utf8"):
        policy = SMTP
        for part in fitted.walk():
            _spell_header_objects(part)
    policy = policy.clone(linesep="\r\n", cte_type="8bit" if is_8bit_ok else "7bit")
    if hasattr(policy, "utf8"):
        policy = policy.clone(utf8=utf8)
    out = _Buffer()
    try:
        _Generator(out, mangle_from_=False, policy=policy).flatten(fitted)
    except UnicodeError as exc:
        raise SMTPArgumentError(f"the message cannot be written: {exc}") from exc
    return out.getvalue()


def _parts(message: AnyMessage) -> list[AnyMessage]:
    parts: Any = message.get_payload()
    return list(parts)


def _copy(message: AnyMessage, policy: Any) -> AnyMessage:
    """Copy the structure and the header fields; payloads are never changed in place."""
    copied = copy.copy(message)
    copied.policy = policy  # the one that it is written with
    del copied["\n"]  # a name that no field has: now the list of fields is its own
    if message.is_multipart():
        copied.set_payload([_copy(part, policy) for part in _parts(message)])
    return copied


def _check_fields(part: AnyMessage) -> None:
    """Refuse what a legacy policy takes: a field that would become two."""
    for name, value in part.raw_items():
        if not _FIELD_NAME.fullmatch(name):
            raise SMTPArgumentError(f"the field name {name!a} is none")
        if _END_OF_FIELD.search(str(value)):
            raise SMTPArgumentError(f"the field {name} has a line end in its value")


def _spell_domains_in_ascii(message: AnyMessage) -> None:
    for name, value, groups in list(_address_fields(message)):
        is_legacy = not hasattr(message.policy, "utf8")
        is_text = is_legacy and not _RAW.search(str(value))
        domains = [a.domain for group in groups for a in group.addresses]
        if is_text or not all(map(str.isascii, domains)):
            spelt = ", ".join(
                str(Group(group.display_name, tuple(map(_in_ascii, group.addresses))))
                for group in groups
            )
            if is_legacy:  # whose policy would hide the addresses in encoded words
                spelt = _registry("To", spelt).fold(policy=SMTP)[len("To: ") : -2]
            message.replace_header(name, spelt)


def _spell_header_objects(part: AnyMessage) -> None:
    for name, value in list(part.raw_items()):
        if not isinstance(value, str):
            part.replace_header(name, str(value))


def _in_ascii(address: Address) -> Address:
    if address.domain.isascii():
        return address
    return Address(address.display_name, address.username, to_a_labels(address.domain))


def _encode_parts(
    part: AnyMessage, *, is_8bit_ok: bool, is_signed: bool = False
) -> bool:
    """Encode the parts that have lines too long, or octets that cannot travel.

    Returns:
        Whether there was one.
    """
    is_signed = is_signed or part.get_content_type() == "multipart/signed"
    if part.is_multipart():
        encoded = [
            _encode_parts(inner, is_8bit_ok=is_8bit_ok, is_signed=is_signed)
            for inner in _parts(part)
        ]
        return any(encoded)
    octets = _octets(part)
    encoding = str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower()
    is_fit = encoding != "binary" and b"\0" not in octets
    is_fit = is_fit and (is_8bit_ok or octets.isascii())
    if is_fit and not _has_long_line(octets):
        return False
    if is_signed:
        raise SMTPArgumentError(
            "a signed part has octets or lines that the server cannot take, and to "
            "encode them otherwise would break the signature"
        )
    if part.get_content_maintype() in ("multipart", "message"):
        raise SMTPArgumentError(  # RFC 2045 6.4 knows no encoding for it
            f"a {part.get_content_type()} part that was not read into parts has octets "
            "or lines that the server cannot take"
        )
    if encoding not in ("7bit", "8bit", "binary"):
        part.replace_header("Content-Transfer-Encoding", encoding)
        decoded: Any = part.get_payload(decode=True)
        octets = decoded
    _set_encoded(part, octets)
    return True


def _octets(part: AnyMessage) -> bytes:
    """Give the payload of a part as it stands; get_payload() would decode it."""
    payload: Any = vars(part)["_payload"]  # there is no other way to the very text
    if not isinstance(payload, str):
        return b""
    try:
        return payload.encode("ascii", "surrogateescape")
    except UnicodeEncodeError as exc:
        raise SMTPArgumentError(
            f"a {part.get_content_type()} part has text that is not encoded"
        ) from exc


def _has_long_line(octets: bytes) -> bool:
    lines = LINE_END.sub(b"\n", octets) if b"\r" in octets else octets
    return find_long_line(lines, line_end=b"\n") is not None


def _set_encoded(part: AnyMessage, octets: bytes) -> None:
    # RFC 2049 4: text is in canonical form, with CRLF, before it is encoded.
    canonical, encoding = octets, "base64"
    if part.get_content_maintype() == "text" and b"\0" not in octets:
        text = LINE_END.sub(b"\n", octets)
        canonical = text.replace(b"\n", b"\r\n")
        quoted = quopri.encodestring(text)
        if len(quoted) <= len(canonical) * 4 / 3:
            canonical, encoding = quoted, "quoted-printable"
    if encoding == "base64":
        canonical = base64.encodebytes(canonical)
    del part["Content-Transfer-Encoding"]
    part["Content-Transfer-Encoding"] = encoding
    part.set_payload(canonical.decode("ascii"))


class _Buffer:
    """Take octets, and put them together once."""

    def __init__(self) -> None:
        self._octets: list[bytes] = []
        self.write = self._octets.append

    def getvalue(self) -> bytes:
        """Give all that was written."""
        return b"".join(self._octets)


class _Generator(BytesGenerator):
    """Write the payload of a part at once, and not a line at a time."""

    def _new_buffer(self) -> _Buffer:
        return _Buffer()

    def _write_lines(self, lines: str) -> None:
        if "\r" in lines:
            lines = _LINE_END_OF_TEXT.sub("\n", lines)
        self.write(lines.replace("\n", "\r\n"))

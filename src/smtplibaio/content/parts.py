"""The MIME parts of a message of the `email` package, as octets for one server.

Rules:

1. The message is never changed; what differs is written, not stored.
2. Bcc and Resent-Bcc of the message itself never leave (RFC 5322 3.6.3).
3. What has to be encoded otherwise for a server keeps its meaning: the transfer
   encoding of a part changes, its content does not. A part that holds other parts is
   never encoded itself (RFC 2045 6.4).
4. What is signed or encrypted leaves octet for octet, as it was read or as `as_bytes()`
   of the signed part writes it, or not at all: multipart/signed and multipart/encrypted
   with all that is in them, and a message with DKIM-Signature or ARC fields.
5. A parser loses some octets: blanks around the colon of a field and after a boundary,
   an empty line too few or too many around a part without a body. If that shows, a
   signed message is refused.
6. A boundary never stands in the parts that it separates.
"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable
from email.errors import MissingHeaderBodySeparatorDefect
from email.message import Message
from typing import Any, NamedTuple, TypeAlias

from ..exceptions import SMTPArgumentError
from .canonical import LINE_END, MAX_LINE, find_long_line
from .fieldvalues import faults_of_objects
from .folding import fold
from .headers import Spelling, header_block
from .mimeparameters import parameter_pieces, read_parameters
from .signatures import (
    SIGNED_KINDS,
    Field,
    covers,
    doubts_of,
    is_exact,
    is_sealed,
    proves,
)
from .transferencoding import decoded, encoded, octets_of_payload

__all__ = ["AnyMessage", "is_signed", "write_message"]

AnyMessage: TypeAlias = "Message[Any, Any]"

_HIDDEN_FIELDS = frozenset({"bcc", "resent-bcc"})

#: Parts within parts; nobody who means well has as many.
_DEEPEST = 100

_UNENCODED = frozenset({"7bit", "8bit", "binary"})
#: Charsets in which the octets of CR and LF may be parts of other characters.
_WIDE_CHARSET = re.compile(
    r"charset\s*=\s*[\"']?(?:utf[-_]?(?:16|32)|(?:iso-10646-)?ucs)", re.IGNORECASE
)

_NOT_FOR_7_BIT = re.compile(rb"[^\x01-\x7f]")


class _Context(NamedTuple):
    """The place of a part.

    Attributes:
        policy: The policy that `as_bytes()` would write it with.
        is_signed: Whether a signature covers it.
        is_exact: Whether that signature covers every blank of the header, too.
        is_sealed: Whether the signature is one of DKIM or ARC, above this part.
        depth: How many parts it stands in.
        is_message: Whether it has the header of a mail, and not only of a part.
        is_status: Whether it is a block of a delivery status, which has fields of its
            own, and no transfer encoding.
    """

    policy: Any
    is_signed: bool = False
    is_exact: bool = False
    is_sealed: bool = False
    depth: int = 0
    is_message: bool = True
    is_status: bool = False

    def within(self, **changes: Any) -> _Context:
        """Go one part down."""
        return self._replace(depth=self.depth + 1, **changes)


def write_message(
    message: AnyMessage,
    *,
    utf8: bool = False,
    is_8bit_ok: bool = False,
    added: Iterable[Field] = (),
) -> bytes:
    """Write a message, with CRLF, for a server.

    Args:
        message: It is not changed.
        utf8: Whether header fields may be in UTF-8 (RFC 6532).
        is_8bit_ok: Whether the body may be 8-bit; else its parts are encoded.
        added: Fields that stand below the message's own.

    Raises:
        UTF8NeededError: It needs SMTPUTF8, and `utf8` is not set.
        SMTPArgumentError: A part that is signed would have to be changed, or the
            message cannot be written.
    """
    is_8bit_ok = is_8bit_ok and message.policy.cte_type == "8bit"
    with faults_of_objects("written"):
        writer = _Writer(utf8=utf8, is_8bit_ok=is_8bit_ok)
        return writer.write(message, _Context(message.policy), added)


def is_signed(message: AnyMessage) -> bool:
    """Whether a signature covers the message as a whole."""
    fields = [*message.raw_items()]
    return is_sealed(fields) or _kind(message, fields) in SIGNED_KINDS


def _place(fields: list[Field], wanted: str) -> int | None:
    for at, (name, _) in enumerate(fields):
        if name.lower() == wanted:
            return at
    return None


def _value(fields: list[Field], wanted: str) -> Any:
    at = _place(fields, wanted)
    return None if at is None else fields[at][1]


def _kind(part: AnyMessage, fields: list[Field]) -> str:
    """Read the content type, as the email package does (RFC 2045 5.2)."""
    value = _value(fields, "content-type")
    if value is None:
        return part.get_default_type()
    kind = str(value).partition(";")[0].strip().lower()
    return kind if kind.count("/") == 1 else "text/plain"


def _is_built(part: AnyMessage, fields: list[Field]) -> bool:
    """Whether a program has made a part, as far as that can be told."""
    base: Any = sys.modules.get("email.mime.base")
    return (
        (base is not None and isinstance(part, base.MIMEBase))
        or part.get_charset() is not None
        or hasattr(_value(fields, "content-type"), "defects")
    )


class _Writer:
    """Write one message for one server."""

    def __init__(self, *, utf8: bool, is_8bit_ok: bool) -> None:
        self._utf8 = utf8
        self._is_8bit_ok = is_8bit_ok
        self._encoded = 0  # parts so far
        self._doubts: list[SMTPArgumentError] = []  # whether the parser kept all

    def write(self, part: Any, context: _Context, added: Iterable[Field] = ()) -> bytes:
        """Write the header and the body of a part, and of all that is in it."""
        if not isinstance(part, Message):
            raise SMTPArgumentError(
                f"a part is of the type {type(part).__name__}; pass a message instead"
            )
        if context.depth > _DEEPEST:
            raise SMTPArgumentError(
                f"the message has parts within parts, more than {_DEEPEST} deep"
            )
        fields: list[Field] = [*part.raw_items(), *added]
        if context.is_message and is_sealed(fields):
            exact = context.is_exact or is_exact(fields)
            context = context._replace(is_signed=True, is_exact=exact, is_sealed=True)
        if not context.depth:
            fields = _without_bcc(fields)
        is_built = _is_built(part, fields)
        if context.is_signed and not is_built:
            self._doubts += doubts_of(part, is_top=not context.depth)
        encoded_before = self._encoded
        body = self._body(part, fields, context, is_built=is_built)
        if (
            context.is_message
            and self._encoded > encoded_before
            and _place(fields, "mime-version") is None
        ):
            fields.append(("MIME-Version", "1.0"))
        if self._doubts and context.is_signed:
            self._settle_doubts(fields, body, context)
        spelling = Spelling(
            context.policy,
            utf8=self._utf8,
            is_built=is_built and not hasattr(part, "iter_parts"),
            is_signed=context.is_signed,
            is_exact=context.is_exact,
        )
        return b"".join((header_block(fields, spelling), b"\r\n", body))

    def _settle_doubts(
        self, fields: list[Field], body: bytes, context: _Context
    ) -> None:
        """Refuse what may not be as it was signed, unless a signature proves it.

        Under a signature of a whole message that is for the message to say.
        """
        is_top = context.is_message and is_sealed(fields)
        if is_top and proves(fields, body):
            self._doubts.clear()
        elif is_top or not context.is_sealed:
            raise self._doubts[0]

    def _body(
        self,
        part: AnyMessage,
        fields: list[Field],
        context: _Context,
        *,
        is_built: bool,
    ) -> bytes:
        payload: Any = vars(part)["_payload"]  # get_payload() would decode it
        if isinstance(payload, Message):
            payload = [payload]
        kind = _kind(part, fields)
        if payload is None:
            payload = [] if kind.startswith("multipart/") else ""
        if not isinstance(payload, list):
            return self._leaf(kind, payload, fields, context)
        if kind.startswith("multipart/"):
            return self._multipart(part, payload, fields, context, is_built=is_built)
        if kind == "message/delivery-status":
            return self._delivery_status(payload, context, is_built=is_built)
        if kind.startswith("message/") and len(payload) <= 1:
            inner = context.within(is_message=True)
            return b"".join(self.write(each, inner) for each in payload)
        raise SMTPArgumentError(
            f"a {kind} part has a list of {len(payload)} parts, but its type does "
            "not permit that"
        )

    # Parts that hold others

    def _multipart(
        self,
        part: AnyMessage,
        payload: list[Any],
        fields: list[Field],
        context: _Context,
        *,
        is_built: bool,
    ) -> bytes:
        inner = context.within(is_message=False)
        kind = _kind(part, fields)
        if kind in SIGNED_KINDS:
            inner = inner._replace(is_signed=True, is_exact=True)
        parts: list[bytes] = []
        for each in payload:
            if kind in SIGNED_KINDS and not context.is_signed:
                # as_bytes() of the part is what a program has signed
                inner = inner._replace(policy=getattr(each, "policy", context.policy))
            parts.append(self.write(each, inner))
        preamble = self._text(part.preamble, context)
        mark = self._mark(part, fields, [preamble or b"", *parts], context, is_built)
        out = [] if preamble is None else [preamble, b"\r\n"]
        if not parts:
            out += [mark, b"\r\n"]
        for number, octets in enumerate(parts):
            out += [b"\r\n" if number else b"", mark, b"\r\n", octets]
        out += [b"\r\n", mark, b"--"]
        epilogue = self._text(part.epilogue, context)
        if epilogue is not None:
            out += [b"\r\n", epilogue]
        elif is_built:
            out.append(b"\r\n")  # as as_bytes() does
        return b"".join(out)

    def _mark(
        self,
        part: AnyMessage,
        fields: list[Field],
        parts: list[bytes],
        context: _Context,
        is_built: bool,
    ) -> bytes:
        """Choose what separates the parts: the boundary of the message if it does."""
        boundary = part.get_boundary()
        # Readers disagree about a quoted pair, which no boundary has (RFC 2046 5.1.1).
        is_odd = is_built and re.search(r'["\\]', boundary or "")
        if boundary and boundary.isascii() and boundary.isprintable() and not is_odd:
            mark = b"--" + boundary.encode("ascii")
            if not any(_has_mark(octets, mark, is_built) for octets in parts):
                return mark
        if context.is_signed:
            raise SMTPArgumentError(
                "a signed part has no boundary that separates its parts"
            )
        made = f"=_{secrets.token_hex(16)}"
        at = _place(fields, "content-type") or 0
        name, value = fields[at]
        kind, parameters = read_parameters(str(value))
        kept = [each for each in parameters if each[0] != "boundary"]
        pieces = parameter_pieces(kind, [*kept, ("boundary", made)])
        fields[at] = (name, fold(name, pieces)[len(name) + 2 :])
        return b"--" + made.encode("ascii")

    def _text(self, text: Any, context: _Context) -> bytes | None:
        """Write a preamble or an epilogue, which no reader of MIME shows."""
        if text is None:
            return None
        octets = text.encode("utf-8", "surrogateescape")
        lines: list[bytes] = LINE_END.split(octets)
        if not self._is_8bit_ok or b"\0" in octets:
            lines = [_NOT_FOR_7_BIT.sub(b"?", line) for line in lines]
        lines = [
            line[i : i + MAX_LINE]
            for line in lines
            for i in range(0, len(line) or 1, MAX_LINE)
        ]
        if context.is_signed and lines != LINE_END.split(octets):
            raise _signed("text between its parts")
        return b"\r\n".join(lines)

    def _delivery_status(
        self, payload: list[Any], context: _Context, *, is_built: bool
    ) -> bytes:
        """Write blocks of fields, an empty line between two of them (RFC 3464 2.1)."""
        if context.is_signed and not is_built:
            self._doubts.append(
                SMTPArgumentError(
                    "a signed delivery status has empty lines that the parser does not "
                    "keep; send the message as octets"
                )
            )
        inner = context.within(is_message=False, is_status=True)
        return b"\r\n".join(_block(each, self.write(each, inner)) for each in payload)

    # Parts that hold content

    def _leaf(
        self, kind: str, payload: Any, fields: list[Field], context: _Context
    ) -> bytes:
        """Write content, encoded if its lines or its octets cannot be sent."""
        content_type = _value(fields, "content-type")
        octets, is_new = octets_of_payload(kind, payload, content_type)
        value = _value(fields, "content-transfer-encoding")
        encoding = "7bit" if value is None else str(value).strip().lower()
        is_text = kind.startswith("text/")
        if (
            is_text
            and encoding in _UNENCODED
            and _WIDE_CHARSET.search(str(content_type))
        ):
            is_text = b"\n" not in octets and b"\r" not in octets
            encoding = encoding if is_text else "binary"
        is_fit = encoding != "binary" and b"\0" not in octets
        # as_bytes() of such a part, which is what was signed, encodes it.
        is_7bit = context.is_signed and context.policy.cte_type == "7bit"
        is_8bit_ok = self._is_8bit_ok and not is_7bit
        is_fit = is_fit and (is_8bit_ok or octets.isascii())
        lines = LINE_END.sub(b"\n", octets) if b"\r" in octets else octets
        if is_fit and find_long_line(lines, line_end=b"\n") is None:
            if is_new and encoding == "7bit" and not octets.isascii():
                self._set_encoding(fields, "8bit")
            return lines.replace(b"\n", b"\r\n")
        if context.is_signed:
            raise _signed("octets or lines")
        if context.is_status:
            kind = "message/delivery-status"
        if kind.startswith(("multipart/", "message/")):
            raise SMTPArgumentError(  # RFC 2045 6.4 knows no encoding for it
                f"a {kind} part that was not read into parts has octets or lines that "
                "the server cannot take"
            )
        if encoding not in _UNENCODED:
            octets = decoded(octets, encoding)
        encoding, octets = encoded(octets, is_text=is_text)
        self._set_encoding(fields, encoding)
        return octets.replace(b"\n", b"\r\n")

    def _set_encoding(self, fields: list[Field], encoding: str) -> None:
        _replace(fields, "Content-Transfer-Encoding", encoding)
        self._encoded += 1


def _without_bcc(fields: list[Field]) -> list[Field]:
    kept = [field for field in fields if field[0].lower() not in _HIDDEN_FIELDS]
    if len(kept) < len(fields) and covers(kept, "bcc"):
        raise SMTPArgumentError("Bcc must be removed before sending, but it is signed")
    return kept


def _block(block: AnyMessage, octets: bytes) -> bytes:
    """Write a block of a delivery status, without the empty line that ends it.

    Text that is no field makes a block of its own, unless it stood right below fields.
    """
    fields, _, text = octets.partition(b"\r\n\r\n")
    if octets.startswith(b"\r\n"):
        ended = octets.removeprefix(b"\r\n")
    elif any(
        isinstance(each, MissingHeaderBodySeparatorDefect) for each in block.defects
    ):
        ended = b"\r\n".join((fields, text))
    else:
        ended = octets if text else fields
    return ended if not ended or ended.endswith(b"\r\n") else ended + b"\r\n"


def _signed(what: str) -> SMTPArgumentError:
    return SMTPArgumentError(
        f"a signed part has {what} that the server cannot take, and to encode them "
        "otherwise would break the signature"
    )


def _has_mark(octets: bytes, mark: bytes, is_built: bool) -> bool:
    """Whether a line would be taken for the boundary.

    Args:
        octets: Where to look.
        mark: The boundary, with its hyphens.
        is_built: Whether a longer line counts, too, which a parser has passed over.
    """
    at = -1
    while (at := octets.find(mark, at + 1)) >= 0:
        if at == 0 or octets[at - 1 : at] == b"\n":
            rest = octets[at + len(mark) :].partition(b"\r\n")[0]
            if is_built or not rest.removeprefix(b"--").strip(b" \t"):
                return True
    return False


def _replace(fields: list[Field], name: str, value: str) -> None:
    """Set a field in its place, or as the last one."""
    places = [at for at, field in enumerate(fields) if field[0].lower() == name.lower()]
    for at in reversed(places[1:]):
        del fields[at]
    if places:
        fields[places[0]] = (name, value)
    else:
        fields.append((name, value))

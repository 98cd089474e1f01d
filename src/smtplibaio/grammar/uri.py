"""URLs, taken apart (RFC 3986): servers and proxies are named by them.

Rules:

1. A part that cannot be read is an error that says what is wrong and how to write it.
2. No error has a part of the text in it that may be a password, or a piece of one that
   was cut at an unescaped character.
3. Percent-encoding is undone once, part by part, as UTF-8; "+" stands for itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..exceptions import SMTPArgumentError

__all__ = ["URI", "port_number"]

# RFC 3986 3 and 3.1: of the forms that URI may have, only those with an authority.
#
#    URI         = scheme ":" "//" authority path-abempty [ "?" query ] [ "#" fragment ]
#    scheme      = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
_URI = r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)([^?]*)(?:\?(.*))?"

# RFC 3986 3.2.2, and RFC 6874 2 for the zone
#
#    IP-literal  = "[" ( IPv6address / IPv6addrz / IPvFuture  ) "]"
_BRACKETS = r"\[([^\[\]]*)\](?::(.*))?"

# RFC 3986 2.1: pct-encoded = "%" HEXDIG HEXDIG
_BAD_PERCENT = r"%(?![0-9A-Fa-f]{2})"

_NOT_IN_A_URL = r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]"

_ESCAPE = """\
in a user name or a password write % as %25, @ as %40, : as %3A, / as %2F, ? as %3F \
and # as %23"""


class URI(NamedTuple):
    """The parts of a URL, decoded.

    Attributes:
        scheme: In lower case.
        username: None if there is no "@".
        password: None if there is no ":" before the "@".
        host: Without the brackets of an IPv6 address; may be "".
        port: None if there is none.
        path: With its slash; "" if there is none.
        query: The pairs of the query, in their order; a value is None without a "=".
        is_cut: Whether a "@" follows the host: it may be that of credentials
            with an unescaped "/" or "?", so that what is read as a host, a path or a
            query may be a piece of the password.

    Raises:
        SMTPArgumentError: By `of`: the text is not a URL, or a part of it is missing.
    """

    scheme: str
    username: str | None
    password: str | None
    host: str
    port: int | None
    path: str
    query: tuple[tuple[str, str | None], ...]
    is_cut: bool

    def __repr__(self) -> str:
        return f"URI({self.scheme!r}, {self.username!r}, {self.host!r}, {self.port!r})"

    @classmethod
    def of(cls, text: object, what: str = "the URL") -> URI:
        """Take a URL apart.

        Args:
            text: Only a `str` passes.
            what: What errors call it.
        """
        if not isinstance(text, str):
            raise SMTPArgumentError(f"{what} must be a str, not {type(text).__name__}")
        if (match := re.search(_NOT_IN_A_URL, text)) is not None:
            raise SMTPArgumentError(
                f"{what} has the character U+{ord(match[0]):04X} at index "
                f"{match.start()}: write blanks and controls percent-encoded"
            )
        if "#" in text:
            raise SMTPArgumentError(f"{what} has a # (a fragment): {_ESCAPE}")
        if (match := re.fullmatch(_URI, text)) is None:
            raise SMTPArgumentError(
                f"{what} must begin with a scheme and two slashes, as in scheme://host"
            )
        scheme, authority, path, query = match.groups()
        if (match := re.search(_BAD_PERCENT, text)) is not None:
            raise SMTPArgumentError(
                f"{what} has a % at index {match.start()} without two hexadecimal "
                f"digits behind it: {_ESCAPE}"
            )
        userinfo, at, hostport = authority.rpartition("@")
        if "@" in userinfo or userinfo.count(":") > 1:
            raise SMTPArgumentError(
                f"{what} has more than one @, or more than one : before it: {_ESCAPE}"
            )
        username, colon, password = userinfo.partition(":")
        host, port = _split(hostport, what)
        pairs = (pair.partition("=") for pair in (query or "").split("&") if pair)
        return cls(
            scheme.lower(),
            _decoded(username, what) if at else None,
            _decoded(password, what) if colon else None,
            _decoded(host, what),
            port,
            _decoded(path, what),
            tuple(
                (_decoded(name, what), _decoded(value, what) if equals else None)
                for name, equals, value in pairs
            ),
            is_cut=not at and "@" in text,
        )

    @property
    def advice(self) -> str:
        """The sentence that an error about the path or the query ends with."""
        return f"; {_ESCAPE}" if self.is_cut else ""


def _split(hostport: str, what: str) -> tuple[str, int | None]:
    """Split a host from its port."""
    if hostport.startswith("["):
        match = re.fullmatch(_BRACKETS, hostport)
        address = _decoded(match[1], what) if match else ""
        if match is None or not _is_ipv6(address):
            raise SMTPArgumentError(
                f"{what} has square brackets without an IPv6 address in them; write it "
                "as [2001:db8::1]:25"
            )
        # Encoded once more, because the caller decodes hosts.
        host, port = address.replace("%", "%25"), match[2]
    else:
        host, colon, after = hostport.partition(":")
        port = after if colon else None
        if ":" in after:
            raise SMTPArgumentError(
                f"{what} has more than one : in its host and port; an IPv6 address is "
                f"written [2001:db8::1]:25, and {_ESCAPE}"
            )
    if port is None:
        return host, None
    try:
        return host, port_number(port)
    except SMTPArgumentError:
        # The text may be a password: smtp://user:password
        raise SMTPArgumentError(
            f"{what} has a port that is not a number between 1 and 65535; with "
            f"credentials a URL is smtp://user:password@host:port, and {_ESCAPE}"
        ) from None


def _is_ipv6(address: str) -> bool:
    from ipaddress import IPv6Address  # few URLs have one

    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


def port_number(port: object, what: str = "the port", lowest: int = 1) -> int:
    """Read a port: a number, or a numeral as text.

    Raises:
        SMTPArgumentError: It is neither, or out of range.
    """
    if isinstance(port, str) and port.isascii() and port.isdecimal():
        port = int(port[:9])
    if isinstance(port, bool) or not isinstance(port, int):
        raise SMTPArgumentError(f"{what} must be a number, not {port!a}")
    if not lowest <= port < 65536:
        raise SMTPArgumentError(
            f"{what} must be between {lowest} and 65535, not {port}"
        )
    return port


def _decoded(text: str, what: str) -> str:
    from urllib.parse import unquote  # importing it costs more than this module

    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise SMTPArgumentError(
            f"{what} has percent-encoded octets that are not UTF-8"
        ) from None

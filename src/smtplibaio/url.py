"""Configuration from one string: what a URL, or the environment, says of a client.

Rules:

1. A URL says which class is meant, and gives it keyword arguments of the right type.
   Everything that `SMTP` takes can stand in the query, except objects, callables and
   `allow_cleartext_auth`: a string from a file must not switch a protection off.
2. What is said twice, misspelt or of another type is an error that names the option.
   No value of a credential is in an error, or in the `repr` of what was read.
3. With credentials in an smtp:// URL, STARTTLS is required unless the URL, or a keyword
   argument, says otherwise.
4. Keyword arguments of the caller override what was read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .exceptions import SMTPArgumentError
from .grammar.uri import URI, port_number
from .services import service_named

__all__ = [
    "CLIENT_OPTIONS",
    "Configuration",
    "Kind",
    "Reader",
    "boolean",
    "number",
    "or_none",
    "read_environment",
    "read_url",
    "text",
    "whole_number",
]

#: The name of a class of clients.
Kind = Literal["SMTP", "LMTP"]

#: Digits of a whole number; Python refuses to read thousands of them.
_MOST_DIGITS = 18

#: Makes an option's value of its text; its ValueError says what was expected.
Reader = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What was read: which client, and its keyword arguments.

    Attributes:
        kind: The class.
        options: Its keyword arguments; the credentials among them are secret.
    """

    kind: Kind
    options: Mapping[str, Any] = field(repr=False)


# What the values of options are spelt like. A reader raises ValueError with the
# words that follow "expected".


def text(value: str) -> str:
    """Read a text, which may not be empty."""
    if not value:
        raise ValueError("a text that is not empty")
    return value


def boolean(value: str) -> bool:
    """Read true or false."""
    words = {"true": True, "1": True, "yes": True, "on": True}
    words |= {"false": False, "0": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("true or false")
    return words[value.lower()]


def whole_number(value: str) -> int:
    """Read a number without a fraction."""
    if not (value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS):
        raise ValueError("a whole number")
    return int(value)


def number(value: str) -> float:
    """Read a number; what is not finite is left to the option's own check."""
    try:
        return float(value)
    except ValueError:
        raise ValueError("a number") from None


def or_none(reader: Reader) -> Reader:
    """Make a reader that takes the word "none", too."""

    def read(value: str) -> object:
        if value.lower() == "none":
            return None
        try:
            return reader(value)
        except ValueError as exc:
            raise ValueError(f"{exc} or none") from None

    return read


def one_of(*words: str) -> Reader:
    """Make a reader that takes certain words."""

    def read(value: str) -> str:
        if value not in words:
            raise ValueError(f"{', '.join(words[:-1])} or {words[-1]}")
        return value

    return read


def names(value: str) -> Sequence[str]:
    """Read a list with commas in between."""
    return [text(name.strip()) for name in value.split(",")]


def address(value: str) -> tuple[str, int]:
    """Read host:port, or a host alone for any port."""
    try:
        parts = URI.of(f"source://{value}")
        if not parts.host or parts.path or parts.query or parts.username is not None:
            raise ValueError
    except ValueError:
        raise ValueError("host, host:port or [IPv6 address]:port") from None
    return parts.host, parts.port or 0


def port(value: str) -> int:
    """Read a port."""
    try:
        return port_number(value)
    except SMTPArgumentError:
        raise ValueError("a number between 1 and 65535") from None


#: The options of `SMTP` that text can give, each with its reader.
_READERS: Mapping[str, Reader] = {
    "hostname": text,
    "port": port,
    "fqdn": text,
    "timeout": or_none(number),
    "username": str,
    "password": str,
    "token": str,
    "mechanisms": names,
    "starttls": one_of("never", "opportunistic", "required"),
    "server_hostname": text,
    "source_address": address,
    "path": text,
    "pipelining": boolean,
    "chunking": or_none(boolean),
    "tls": boolean,
    "proxy": text,
}

#: The options that only a caller can give, and why.
_NOT_IN_TEXT = {
    "tls_context": "is an object",
    "context": "is an object",
    "sock": "is an object",
    "on_event": "is a callable",
    "allow_cleartext_auth": "must not be switched on by a string",
}

_CREDENTIALS = ("username", "password", "token")

#: The options with a password in their values.
_SECRET = ("password", "token", "proxy")

#: Every keyword argument that goes to the client.
CLIENT_OPTIONS = frozenset({*_READERS, *_NOT_IN_TEXT})


@dataclass(frozen=True, slots=True)
class _Scheme:
    """What a scheme says: the class, the port, and what follows the slashes."""

    kind: Kind
    port: int
    tells: Literal["host", "path", "service"] = "host"
    options: Mapping[str, Any] = field(default_factory=dict)


_SCHEMES: Mapping[str, _Scheme] = {
    "smtp": _Scheme("SMTP", 25),
    "smtps": _Scheme("SMTP", 465, options={"tls": True}),
    "lmtp": _Scheme("LMTP", 24),
    "smtp+unix": _Scheme("SMTP", 25, "path"),
    "lmtp+unix": _Scheme("LMTP", 24, "path"),
    "service": _Scheme("SMTP", 25, "service"),
}

#: Schemes that other programs have, and how to write them here.
_FOREIGN = {
    "smtp+ssl": "smtps://",
    "smtp+tls": "smtp:// with ?starttls=required",
    "smtp+starttls": "smtp:// with ?starttls=required",
    "submission": "smtp:// with port 587 and ?starttls=required",
    "submissions": "smtps://",
}


def read_url(
    url: str,
    overrides: Mapping[str, Any] | None = None,
    more: Mapping[str, Reader] | None = None,
) -> Configuration:
    """Read a URL.

    Args:
        url: `smtp://`, `smtps://`, `lmtp://` with a host, `smtp+unix://` and
            `lmtp+unix://` with a path, or `service://` with a name of `SERVICES`.
        overrides: Keyword arguments of the caller.
        more: Options that may stand in the query besides those of `SMTP`: each name
            with what reads its value, such as `whole_number`.

    Raises:
        SMTPArgumentError: The URL has a mistake.
    """
    return _configuration(URI.of(url), {}, overrides or {}, more or {})


def _configuration(
    uri: URI,
    credentials: Mapping[str, Any],
    overrides: Mapping[str, Any],
    more: Mapping[str, Reader],
) -> Configuration:
    """Read a URL that is taken apart; `credentials` count if it has none."""
    if uri.scheme not in _SCHEMES:
        raise SMTPArgumentError(_unknown_scheme(uri.scheme))
    scheme = _SCHEMES[uri.scheme]
    options = dict(scheme.options)
    take = {"host": _take_host, "path": _take_path, "service": _take_service}
    take[scheme.tells](uri, options)
    credentials_of_url = {"username": uri.username, "password": uri.password}
    options |= {k: v for k, v in credentials_of_url.items() if v is not None}
    readers = {**_READERS, **more}
    _take_query(uri, options, readers)
    if "username" not in options and "username" in credentials:
        options["username"] = credentials["username"]
    if not {"password", "token"} & options.keys():
        options |= {
            name: credentials[name] for name in credentials if name != "username"
        }
    options |= overrides
    if options.get("path") is None and options.get("sock") is None:
        if "hostname" not in options:
            raise SMTPArgumentError(
                f"the URL names no host; it is written {uri.scheme}://host:port"
            )
        options.setdefault("port", scheme.port)
    if uri.scheme == "smtp":
        _protect(options)
    return Configuration(scheme.kind, options)


def _unknown_scheme(scheme: str) -> str:
    known = list(_SCHEMES)
    if scheme in _FOREIGN:
        return f"the URL's scheme is {scheme}://; here that is {_FOREIGN[scheme]}"
    return (
        f"the URL's scheme is {', '.join(f'{name}://' for name in known[:-1])} or "
        f"{known[-1]}://, not {scheme}://{_nearest(scheme, known)}"
    )


def _take_host(uri: URI, options: dict[str, Any]) -> None:
    if uri.path not in ("", "/"):
        raise SMTPArgumentError(
            f"the URL has a path after the host, which has no meaning here{uri.advice}"
        )
    if uri.host:
        options["hostname"] = uri.host
    if uri.port is not None:
        options["port"] = uri.port


def _take_service(uri: URI, options: dict[str, Any]) -> None:
    if not uri.host or uri.port is not None or uri.path not in ("", "/"):
        raise SMTPArgumentError(
            "the URL of a service is written service://user:password@name, without a "
            f"port: the service has its own{uri.advice}"
        )
    regions = [value for name, value in uri.query if name == "region"]
    if len(regions) > 1:
        raise SMTPArgumentError("the URL gives region twice")
    options |= service_named(uri.host).options(regions[0] if regions else None)


def _take_path(uri: URI, options: dict[str, Any]) -> None:
    if uri.host or uri.port is not None or uri.path in ("", "/"):
        raise SMTPArgumentError(
            f"the URL of a Unix socket is written {uri.scheme}:///path/to/socket, "
            f"with three slashes and without a host{uri.advice}"
        )
    options["path"] = uri.path


def _take_query(
    uri: URI, options: dict[str, Any], readers: Mapping[str, Reader]
) -> None:
    is_cut = uri.is_cut
    for name, value in uri.query:
        if name == "region" and uri.scheme == "service":
            continue  # it is part of the service's name
        if name in _NOT_IN_TEXT:
            raise SMTPArgumentError(
                f"{name} {_NOT_IN_TEXT[name]}: pass it as a keyword argument beside "
                "the URL"
            )
        if name not in readers:
            # With a "@" behind the host, or behind a secret with an unescaped "&", the
            # name may be a piece of a password.
            shown = "" if is_cut else f" {name!a}{_nearest(name, readers)}"
            advice = uri.advice or ("; in a value write & as %26" if is_cut else "")
            raise SMTPArgumentError(
                f"the URL has an unknown option{shown or ' in its query'}{advice}"
            )
        is_cut = is_cut or name in _SECRET
        if name in options:
            raise SMTPArgumentError(f"the URL says {name} twice")
        if value is None:
            raise SMTPArgumentError(
                f"the URL's option {name} has no value; it is written {name}=..."
            )
        options[name] = _read(readers[name], value, f"the URL's option {name}")


def _read(reader: Reader, value: str, what: str) -> object:
    try:
        return reader(value)
    except ValueError as exc:
        raise SMTPArgumentError(f"{what}: expected {exc}, not {value!a}") from None


def _nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    import difflib

    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _protect(options: dict[str, Any]) -> None:
    """Require STARTTLS if there are credentials, and TLS is not mentioned."""
    if any(map(options.get, _CREDENTIALS)):
        is_encrypted = options.get("tls") or options.get("path") is not None
        options.setdefault("starttls", "never" if is_encrypted else "required")


# The environment

#: Names of variables that are not the option's name in capitals.
_VARIABLES = {"hostname": "HOST"}

#: What people call variables, too; one of these alone would be passed over.
_ALSO_CALLED = {"HOSTNAME": "HOST", "USER": "USERNAME", "PASS": "PASSWORD"}


def read_environment(
    prefix: str = "SMTP_",
    overrides: Mapping[str, Any] | None = None,
    more: Mapping[str, Reader] | None = None,
    environ: Mapping[str, str] | None = None,
    kind: Kind = "SMTP",
) -> Configuration:
    """Read URL, or else HOST, PORT, USERNAME, PASSWORD, STARTTLS... with a prefix.

    A variable is an option's name in capitals. An empty one counts as not set. Where
    URL is set, only USERNAME, PASSWORD and TOKEN are read besides, for what the URL
    lacks of them. Without a URL, PORT=465 means TLS from the first octet on, unless TLS
    or STARTTLS is set.

    Args:
        prefix: What the names begin with.
        overrides: Keyword arguments of the caller.
        more: As for `read_url`.
        environ: The variables; None for those of the process.
        kind: The class if there is no URL, whose scheme would say it.

    Raises:
        SMTPArgumentError: Neither URL nor HOST nor PATH is set, or one of them, or a
            variable, has a mistake.
    """
    if not prefix:
        raise SMTPArgumentError(
            "the prefix is empty: without a prefix, PATH and others would be settings"
        )
    environ = os.environ if environ is None else environ
    given = {
        name.removeprefix(prefix): value
        for name, value in environ.items()
        if name.startswith(prefix) and value
    }
    for wrong, right in _ALSO_CALLED.items():
        if wrong in given and right not in given and "URL" not in given:
            raise SMTPArgumentError(
                f"{prefix}{wrong} is set, but the name of the variable is "
                f"{prefix}{right}"
            )
    overrides, more = dict(overrides or {}), more or {}
    if "URL" in given:
        credentials = _read_variables(prefix, given, dict.fromkeys(_CREDENTIALS, str))
        return _configuration(
            URI.of(given["URL"], f"{prefix}URL"), credentials, overrides, more
        )
    options = _read_variables(prefix, given, {**_READERS, **more}) | overrides
    if not {"hostname", "path", "sock"} & options.keys():
        raise SMTPArgumentError(
            f"the environment names no server: set {prefix}URL or {prefix}HOST"
        )
    if options.get("port") == 465 and not {"tls", "starttls"} & options.keys():
        options["tls"] = True  # RFC 8314 3.3
    if kind == "SMTP":
        _protect(options)
    return Configuration(kind, options)


def _read_variables(
    prefix: str, given: Mapping[str, str], readers: Mapping[str, Reader]
) -> dict[str, Any]:
    return {
        option: _read(reader, given[variable], prefix + variable)
        for option, reader in readers.items()
        if (variable := _VARIABLES.get(option, option.upper())) in given
    }

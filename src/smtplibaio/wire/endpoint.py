"""The server, and the way to it: values that are checked when they are made.

Rules:

1. There is one way to the server: its name and port, with or without a proxy; or the
   path of a Unix socket; or a socket that the caller has connected.
2. A value that is no address, port or name is an error here, before anything is
   opened.
3. TLS verifies the name `server_hostname`, or else `hostname`, also through a proxy.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import NamedTuple, Self

from ..exceptions import SMTPArgumentError
from ..grammar.addresses import to_a_labels
from ..grammar.commands import check_text
from ..grammar.uri import URI, port_number

__all__ = ["Endpoint", "Proxy"]

#: For each scheme of the URL of a proxy: the port if the URL has none, and whether the
#: proxy looks up the name of the server (otherwise this machine does).
_PROXIES = {
    "socks4": (1080, False),
    "socks4a": (1080, True),
    "socks5": (1080, False),
    "socks5h": (1080, True),
    "http": (None, True),
}


class Proxy(NamedTuple):
    """A proxy that connects to the server.

    Attributes:
        scheme: "socks4", "socks4a", "socks5", "socks5h", or "http" for CONNECT.
        hostname: The proxy's name or address.
        port: Its TCP port.
        username: The username for the proxy; None for no login.
        password: The password for the proxy.
    """

    scheme: str
    hostname: str
    port: int
    username: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({str(self)!r}, username={self.username!r})"

    @classmethod
    def of(cls, url: str | None) -> Proxy | None:
        """Read a proxy's URL, such as "socks5h://user:password@proxy.example:1080".

        Raises:
            SMTPArgumentError: It is not the URL of a proxy, or `python-socks` is needed
                and not installed.
        """
        if url is None:
            return None
        uri = URI.of(url, "the proxy's URL")
        if uri.scheme not in _PROXIES:
            *known, last = (f"{scheme}://" for scheme in _PROXIES)
            raise SMTPArgumentError(
                f"the proxy's URL begins with {', '.join(known)} or {last}, not "
                f"{uri.scheme}://"
            )
        port = uri.port or _PROXIES[uri.scheme][0]
        if not uri.host or port is None or uri.path not in ("", "/") or uri.query:
            raise SMTPArgumentError(
                "the proxy's URL is a scheme, a host and a port, with or without "
                f"credentials: {uri.scheme}://user:password@host:port{uri.advice}"
            )
        _check_proxy_credentials(uri)
        if uri.scheme != "http" and not _is_installed("python_socks"):
            raise SMTPArgumentError(
                "a SOCKS proxy needs the package python-socks: "
                'pip install "smtplibaio[proxy]"'
            )
        host = _host(uri.host, "the host in the proxy's URL")
        return cls(uri.scheme, host, port, uri.username, uri.password)

    @property
    def dns_name(self) -> str:
        """The proxy's name as it is looked up: in A-labels."""
        return _a_labels(self.hostname)

    @property
    def resolves(self) -> bool:
        """Whether the proxy looks up the server's name, and not this machine."""
        return _PROXIES[self.scheme][1]

    def __str__(self) -> str:
        return f"{self.scheme}://{_with_port(self.hostname, self.port)}"


def _is_installed(package: str) -> bool:
    from importlib.util import find_spec  # few clients have a proxy

    return find_spec(package) is not None


def _check_proxy_credentials(uri: URI) -> None:
    username, password = uri.username or "", uri.password or ""
    is_http = uri.scheme == "http"
    for what, value in (("user name", username), ("password", password)):
        check_text(value, f"the {what} in the proxy's URL", utf8=is_http)
        if len(value) > 255 and not is_http:  # RFC 1929 2: a length is one octet
            raise SMTPArgumentError(
                f"the {what} in the proxy's URL is longer than 255 octets"
            )
    if is_http and ":" in username:  # RFC 7617 2
        raise SMTPArgumentError("the user name in an http:// proxy's URL has a :")
    if uri.scheme.startswith("socks5") and bool(username) != bool(password):
        raise SMTPArgumentError(
            "the proxy's URL has a user name or a password without the other one"
        )
    if uri.scheme.startswith("socks4") and password:
        raise SMTPArgumentError("SOCKS4 has no passwords: use socks5://")


class _Values(NamedTuple):
    """The fields of `Endpoint`."""

    hostname: str
    port: int
    source_address: tuple[str, int] | None
    sock: socket.socket | None
    path: str | os.PathLike[str] | None
    context: ssl.SSLContext | None
    server_hostname: str | None
    proxy: Proxy | None


class Endpoint(_Values):
    """A server, and the way to it.

    Attributes:
        hostname: Name or address of the server.
        port: Its TCP port.
        source_address: The `(host, port)` to connect from.
        sock: A connected stream socket to use instead.
        path: The path of a Unix socket to use instead.
        context: The TLS context for TLS from the first octet on; None for none.
        server_hostname: The name to verify the certificate against, if not `hostname`.
        proxy: What to connect through.

    Raises:
        SMTPArgumentError: A value is not valid, or there are two ways to the server.
    """

    __slots__ = ()

    def __new__(
        cls,
        hostname: str = "localhost",
        port: int | str = 25,
        source_address: tuple[str, int] | None = None,
        sock: socket.socket | None = None,
        path: str | os.PathLike[str] | None = None,
        context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
        proxy: Proxy | None = None,
    ) -> Self:
        """Check the values, and keep them."""
        _host(hostname)
        if server_hostname is not None:
            _check_name_to_verify(server_hostname)
        if source_address is not None:
            source_address = _source_address(source_address)
        if sock is not None:
            _check_socket(sock)
        if path is not None:
            path = _socket_path(path)
        endpoint = super().__new__(
            cls,
            hostname,
            port_number(port),
            source_address,
            sock,
            path,
            context,
            server_hostname,
            proxy,
        )
        endpoint._check_way()
        return endpoint

    def _check_way(self) -> None:
        ways = [
            name
            for name in ("sock", "path", "proxy")
            if getattr(self, name) is not None
        ]
        if len(ways) > 1:
            raise SMTPArgumentError(f"give one of {' and '.join(ways)}, not both")
        if self.source_address is not None and ways and ways != ["proxy"]:
            raise SMTPArgumentError(
                f"source_address cannot be used with {ways[0]}: leave it out"
            )

    @property
    def name_to_verify(self) -> str:
        """The name that TLS verifies, in A-labels.

        A dot that ends a host name is not part of the name (RFC 6066 3).
        """
        name = self.server_hostname or self.hostname
        return _a_labels(name).rstrip(".")

    @property
    def server(self) -> tuple[str, int | None] | None:
        """The host and port of the server; None if a socket was given instead."""
        if self.path is not None:
            return str(self), None
        return None if self.sock is not None else (self.hostname, self.port)

    @property
    def dns_name(self) -> str:
        """The host name as it is looked up: in A-labels."""
        return _a_labels(self.hostname)

    @property
    def is_direct(self) -> bool:
        """Whether the peer of the connection is known to be the server itself.

        A proxy is not the server, and a socket of the caller may lead anywhere.
        """
        return self.sock is None and self.proxy is None

    def __str__(self) -> str:
        if self.path is not None:
            return os.fspath(self.path).replace("\0", "@")
        return _with_port(self.hostname, self.port)


def _with_port(hostname: str, port: int) -> str:
    return f"[{hostname}]:{port}" if ":" in hostname else f"{hostname}:{port}"


def _a_labels(name: str) -> str:
    return name if name.isascii() else to_a_labels(name)


def _host(name: str, what: str = "hostname") -> str:
    """Return a host name or an address unchanged if it may be looked up."""
    check_text(name, what, utf8=True)
    if not name:
        raise SMTPArgumentError(f"{what} is empty")
    if "/" in name:
        raise SMTPArgumentError(
            f"{what} has a slash: a URL is for from_url and for send"
        )
    if not {" ", "@", "["}.isdisjoint(name) or (":" in name and not _is_address(name)):
        raise SMTPArgumentError(
            # The text does not show it: there may be a password in it.
            f"{what} must be a name, or an address without brackets, and without "
            "blanks; pass port=, username= and password= separately"
        )
    _a_labels(name)  # IDNA may refuse it
    return name


def _is_address(text: str) -> bool:
    from ipaddress import ip_address

    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _check_name_to_verify(name: str) -> None:
    check_text(name, "server_hostname", utf8=True)
    if _is_address(name):
        return
    labels = _a_labels(name).removesuffix(".").split(".")
    if not all(0 < len(label) < 64 for label in labels):
        raise SMTPArgumentError(f"server_hostname is not a host name: {name!a}")


def _source_address(address: object) -> tuple[str, int]:
    match address:
        case (str() as host, port):
            what = "the port of source_address"
            return host, port_number(port, what, lowest=0)
    raise SMTPArgumentError(
        "source_address must be a tuple (host, port), with port 0 for any port, not "
        f"{address!a}"
    )


def _check_socket(sock: object) -> None:
    if not isinstance(sock, socket.socket) or isinstance(sock, ssl.SSLSocket):
        raise SMTPArgumentError(
            "sock must be a connected socket.socket (for TLS over it, pass tls=True or "
            f"starttls=), not {type(sock).__name__}"
        )
    if sock.type != socket.SOCK_STREAM:
        raise SMTPArgumentError("sock is not a stream socket")


def _socket_path(path: object) -> str:
    path = os.fspath(path) if isinstance(path, os.PathLike) else path
    # Only a first octet of zero has a meaning: Linux' abstract names begin with it.
    if not isinstance(path, str) or not path or "\0" in path[1:]:
        raise SMTPArgumentError(
            "path must be the path of a Unix socket, as a str or os.PathLike, not "
            f"{path!a}"
        )
    if not hasattr(socket, "AF_UNIX"):
        raise SMTPArgumentError("path: this system has no Unix sockets")
    return path

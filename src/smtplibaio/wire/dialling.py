"""From a name to a connected socket: the resolver, and a race among its addresses.

Rules:

1. Nothing resolves a name on the thread of the loop, and an address needs no resolver.
2. If there are several addresses, the next one is tried when the one before has failed,
   or has not answered within a quarter of a second (RFC 8305). The first that answers
   is kept, and every other socket is closed.
3. The result of each address is noted in `tried`, for the error that lists them.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

__all__ = ["Tried", "connect", "connect_to_path", "race", "resolve"]

#: RFC 8305 5: seconds that one address may take before the next one is tried too.
HAPPY_EYEBALLS_DELAY = 0.25

#: What became of each address; None while there is no answer.
Tried = dict[str, Exception | None]

#: A family, and a socket address of it.
Address = tuple[int, tuple[Any, ...]]


async def connect(
    host: str,
    port: int,
    source: tuple[str, int] | None,
    tried: Tried,
    label: str = "",
) -> socket.socket:
    """Connect to whichever address of a host answers first.

    Args:
        host: A name in A-labels, or an address.
        port: The TCP port.
        source: The `(host, port)` to connect from.
        tried: Gets the result of each address.
        label: The text before each address in `tried`.

    Raises:
        OSError: No address answers, or the host or the source has no address.
    """
    addresses = await resolve(host, port)
    sources: dict[int, tuple[Any, ...]] = {}
    if source is not None:
        sources = dict(reversed(await resolve(*source, is_source=True)))
        addresses = [(family, to) for family, to in addresses if family in sources]
        if not addresses:
            raise OSError(
                "the source address belongs to another address family than the host"
            )

    def attempt(family: int, address: tuple[Any, ...]) -> Attempt:
        shown = f"{label}{address[0]}"
        return lambda: _connect(family, address, sources.get(family), shown, tried)

    return await race([attempt(*address) for address in addresses])


async def connect_to_path(path: str, shown: str, tried: Tried) -> socket.socket:
    """Connect to a Unix socket."""
    return await _connect(socket.AF_UNIX, path, None, shown, tried)


async def resolve(host: str, port: int, *, is_source: bool = False) -> list[Address]:
    """List the addresses of a host, in the order in which they are to be tried.

    Args:
        host: A name in A-labels, an address, or "" for any address of this machine.
        port: Part of every address.
        is_source: Whether they are for `bind`, not for `connect`.
    """
    from ipaddress import ip_address  # only after the host was resolved

    try:
        version = ip_address(host).version
    except ValueError:
        loop = asyncio.get_running_loop()
        flags = socket.AI_PASSIVE if is_source else 0
        found = await loop.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=flags
        )
        return _interleaved([(family, address) for family, _, _, _, address in found])
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return [(family, (host, port))]


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """Alternate between the families, in the resolver's order (RFC 8305 4).

    If this machine cannot reach one family, it tries the other one after one delay,
    even if the host has many addresses.
    """
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


Attempt = Callable[[], Coroutine[Any, Any, socket.socket]]


async def race(attempts: Sequence[Attempt]) -> socket.socket:
    """Start the attempts one after another, with a delay; return the first socket.

    The race of asyncio is not in uvloop, and before Python 3.12 it does not tell why
    each address has failed.

    Raises:
        OSError: Every attempt has failed, or there was none.
    """
    if len(attempts) == 1:
        return await attempts[0]()
    waiting = list(attempts)
    racing: set[asyncio.Task[socket.socket]] = set()
    errors: list[BaseException] = [OSError("the host has no address")]
    try:
        while waiting or racing:
            if waiting:
                racing.add(asyncio.create_task(waiting.pop(0)()))
            done, racing = await asyncio.wait(
                racing,
                timeout=HAPPY_EYEBALLS_DELAY if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            while done:
                task = done.pop()
                if (exc := task.exception()) is None:
                    racing |= done
                    return task.result()
                errors.append(exc)
        # "Refused" would say that every address has refused, so prefer another reason.
        raise min(errors[1:] or errors, key=_is_refusal)
    finally:
        for task in racing:
            task.add_done_callback(_discard)
            task.cancel()


def _discard(late: asyncio.Task[socket.socket]) -> None:
    if not late.cancelled() and late.exception() is None:
        late.result().close()


def _is_refusal(exc: BaseException) -> bool:
    return isinstance(exc, ConnectionRefusedError)


async def _connect(
    family: int,
    address: Any,
    source: tuple[Any, ...] | None,
    shown: str,
    tried: Tried,
) -> socket.socket:
    tried[shown] = None
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if source is not None:
            sock.bind(source)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException as exc:
        sock.close()
        if isinstance(exc, OSError):
            tried[shown] = exc
        raise
    tried.pop(shown, None)
    return sock

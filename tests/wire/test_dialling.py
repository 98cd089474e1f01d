"""The order of addresses, and where a connection comes from."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from smtplibaio.wire.dialling import connect, resolve

SIX = [f"2001:db8::{n}" for n in range(1, 4)]
FOUR = ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    ("answer", "order"),
    [
        (SIX + FOUR, [SIX[0], FOUR[0], SIX[1], FOUR[1], SIX[2]]),
        (FOUR + SIX, [FOUR[0], SIX[0], FOUR[1], SIX[1], SIX[2]]),
        (FOUR, FOUR),
        ([SIX[0], FOUR[0]], [SIX[0], FOUR[0]]),
    ],
)
async def test_the_families_take_turns_in_the_resolvers_order(
    answer: list[str], order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8305 4: a broken way to one family costs one delay, not one an address."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in answer
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    found = await resolve("mx.example", 25)
    assert [address[0] for _, address in found] == order


async def test_an_empty_source_is_any_address_of_this_machine() -> None:
    """As smtplib has it: ("", port) chooses the port alone."""
    ports: list[int] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sock = await connect("127.0.0.1", port, ("", 0), {})
        chosen = sock.getsockname()[1]
        await asyncio.get_running_loop().sock_recv(sock, 1)
        sock.close()
    assert ports == [chosen]

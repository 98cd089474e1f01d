"""Fixtures of all tests; above all, the one that looks for what a test left behind."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme


def open_sockets() -> set[str]:
    """List the sockets of this process, by descriptor and inode."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            target = str(descriptor.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found.add(f"{descriptor.name} {target}")
    return found


@pytest.fixture(autouse=True)
def a_loop_is_for_coroutines(request: pytest.FixtureRequest) -> None:
    """Look behind a test that is a coroutine; the others need no loop."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("nothing_is_left_behind")


@pytest.fixture
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """Fail a test that leaves a task, a socket or a complaint of the loop."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 10  # the machine's pauses are nobody's fault
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    tasks = asyncio.all_tasks()
    sockets = open_sockets()
    yield
    for _ in range(20):
        await asyncio.sleep(0)
    assert asyncio.all_tasks() - tasks <= {asyncio.current_task()}
    assert open_sockets() - sockets == set()
    assert complaints == []


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Any]:
    """Stop the loop's clock; give what advances it."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def advance(seconds: float) -> None:
        nonlocal now
        now += seconds
        for _ in range(6):
            await asyncio.sleep(0)

    return advance


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Give a certificate authority for this run."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Give the context of a server that is called localhost and 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def client_tls(authority: trustme.CA) -> ssl.SSLContext:
    """Give the context of a client that trusts the authority of this run."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context

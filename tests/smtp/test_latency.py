"""Nothing that a session does holds the loop up."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from conversation import serve

from smtplibaio import SMTP

#: What the loop may be held up, in seconds.
LIMIT = 0.05

#: What a slow resolver takes.
DELAY = 0.25

#: A machine's pause is nobody's fault; a blocking call is in every run.
RUNS = 3


async def session() -> None:
    async with serve("""
        S: 220 hi
        C: EHLO [127.0.0.1]
        S: 250-mx
        S: 250 PIPELINING
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<b@y.example>
        C: DATA
        S: 250 ok
        S: 250 ok
        S: 354 go
        C: hi
        C: .
        S: 250 taken
        C: QUIT
        S: 221 bye
        """) as server:
        smtp = SMTP("localhost", server.port)
        await smtp.connect()
        await smtp.ehlo()
        await smtp.sendmail("a@x.example", "b@y.example", "hi")
        await smtp.quit()


async def longest_pause(task: asyncio.Task[None]) -> float:
    """Give the longest time between two turns of the loop while a task runs."""
    longest = 0.0
    while not task.done():
        before = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - before)
    await task
    return longest


@pytest.fixture
def slow_names(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Have names resolve slowly, and list the threads that waited for one."""
    waiting: list[threading.Thread] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        waiting.append(threading.current_thread())
        time.sleep(DELAY)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    def getfqdn(name: str = "") -> str:
        waiting.append(threading.current_thread())
        time.sleep(DELAY)
        return "client.example"

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "getfqdn", getfqdn)
    monkeypatch.setattr(socket, "gethostname", lambda: "client")
    return waiting


async def test_a_slow_resolver_does_not_hold_the_loop_up(
    slow_names: list[threading.Thread],
) -> None:
    """E29: over connect, ehlo, sendmail and quit, with names that take their time."""
    pauses = []
    for _ in range(RUNS):
        pauses.append(await longest_pause(asyncio.create_task(session())))
        if pauses[-1] < LIMIT:
            break
    assert min(pauses) < LIMIT
    assert len(slow_names) == len(pauses)
    assert threading.main_thread() not in slow_names

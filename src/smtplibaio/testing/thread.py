"""A server in a thread and an event loop of its own, as a context manager.

Rules:

1. The server listens when the block begins, and has ended after the block: no thread,
   task or socket remains.
2. An error of the server is raised at the end of the block, in place of the error that
   it has caused in the client.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from types import TracebackType
from typing import Self

from .authority import client_context

__all__ = ["ThreadedServer"]


class ThreadedServer(ABC):
    """A server that a `with` or `async with` block starts and stops.

    Attributes:
        hostname: The address that the server listens at.
        port: Its port; 0 before the server is started.
    """

    hostname = "127.0.0.1"

    def __init__(self) -> None:
        self.port = 0
        self._is_at_once = False
        self._loop: asyncio.AbstractEventLoop
        self._is_ending: asyncio.Event
        self._ended: Future[None]

    @cached_property
    def tls_context(self) -> ssl.SSLContext:
        """The TLS context of a client that trusts this server."""
        return client_context()

    # For subclasses

    @abstractmethod
    def _serving(self) -> AbstractAsyncContextManager[int]:
        """Listen while the block runs; the port is what the block gets."""

    @abstractmethod
    def _fault_found(self) -> BaseException | None:
        """Return the error that the test has to hear of."""

    # The thread

    def start(self) -> None:
        """Start to listen."""
        started: Future[None] = Future()
        self._ended = Future()
        threading.Thread(
            target=self._run, args=(started,), name=type(self).__name__, daemon=True
        ).start()
        started.result()

    def stop(self, *, at_once: bool = False) -> None:
        """Stop to listen, and end the connections.

        Args:
            at_once: Wait for no client: the test has failed already.
        """
        self._is_at_once = at_once
        self._loop.call_soon_threadsafe(self._is_ending.set)
        self._ended.result()

    def _run(self, started: Future[None]) -> None:
        # aiosmtpd's STARTTLS works with asyncio's own transports only.
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._main(started))
        except BaseException as exc:
            (self._ended if started.done() else started).set_exception(exc)
        else:
            self._ended.set_result(None)

    async def _main(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._is_ending = asyncio.Event()
        async with self._serving() as self.port:
            started.set_result(None)
            await self._is_ending.wait()

    # The block

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop(at_once=exc is not None)
        fault = self._fault_found()
        if fault is not None:
            raise fault from exc

    # Starting and stopping take a millisecond or two. Nothing is awaited meanwhile, so
    # that a cancellation cannot leave half a server.

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, exc, traceback)

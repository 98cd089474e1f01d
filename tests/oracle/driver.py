"""Play a world: its ops in tasks, its disturbances, its loops; note what is told."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import trustme

from smtplibaio import LMTP, SMTP, SMTPException, SMTPPool, Timeouts

from .clock import Deadlock
from .ledger import Ledger
from .model import Model
from .ops import Operator
from .plan import Disturbance, Op, Step, World

__all__ = ["Played", "play"]

#: Turns of the loop after which nothing of an ended life may still move.
_SETTLING = 20

_NARROW = 16384

#: In real seconds; the time limits of all that can be waited for are shorter.
_LONGEST_LIFE = 10.0


@dataclass(frozen=True)
class Played:
    """A world that is over."""

    world: World
    ledger: Ledger
    model: Model


def play(
    world: World,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    pace: float = 1.0,
    model: type[Model] = Model,
) -> Played:
    """Play a world.

    Args:
        world: The world.
        new_loop: Makes the loops, one a life.
        pace: What each second of the plan takes; 1 on a virtual clock.
        model: The server.
    """
    return _Player(world, new_loop, pace, model).play()


class _Player:
    def __init__(
        self,
        world: World,
        new_loop: Callable[[], asyncio.AbstractEventLoop],
        pace: float,
        model: type[Model],
    ) -> None:
        self.world = world
        self.new_loop = new_loop
        self.pace = pace
        self.ledger = Ledger({letter.number: letter for letter in world.letters})
        self.model = model(
            world.profile, world.faults, self.at, pace, is_lmtp=world.kind == "lmtp"
        )
        self.disturbances = list(world.disturbances)
        self.actors: list[deque[tuple[int, Op]]] = []
        number = 0
        for ops in world.actors:
            self.actors.append(deque(enumerate(ops, number)))
            number += len(ops)
        self.left_behind: list[Any] = []  # the tasks of loops that were closed
        self.broken_ops: set[int] = set()

    def play(self) -> Played:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # Accepted sockets inherit it. Where a reply waits for an acknowledgement,
            # the clock would not wait for it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.world.profile.narrow:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW)
            limits = Timeouts.of(None)
            if self.world.patience is not None:
                patience = self.world.patience * self.pace
                limits = replace(Timeouts.of(patience), quit=0.2 * patience)
            port = listener.getsockname()[1]
            self.clients = [
                self.client(port, limits) for _ in range(self.world.clients)
            ]
            while self.live(listener):
                pass
        self.left_behind.clear()
        gc.collect()  # which may still tell something
        for number in self.broken_ops:
            self.ledger.leave(self.world.ops[number].letters, "in a closed loop")
        if self.world.kind == "pool":
            self.model.decided.clear()  # a later attempt has a reason of its own
        self.ledger.judge(self.model)
        return Played(self.world, self.ledger, self.model)

    def client(self, port: int, limits: Timeouts) -> SMTP | SMTPPool:
        options: dict[str, Any] = {
            "chunking": self.world.chunking,
            "pipelining": self.world.pipelining,
        }
        if self.world.kind == "pool":
            options |= {"fqdn": "client.example", "timeout": limits}
            options |= {"size": self.world.size, "backoff": self.pace}
            return SMTPPool("127.0.0.1", port, **options)
        if self.world.kind == "tls":
            options |= {"tls": True, "tls_context": contexts()[1]}
        kind = LMTP if self.world.kind == "lmtp" else SMTP
        return kind("127.0.0.1", port, "client.example", limits, **options)

    def live(self, listener: socket.socket) -> bool:
        """Play one loop's life, and tell whether another one follows."""
        loop = self.loop = self.new_loop()
        complaints: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        self.operator = Operator(self.ledger, self.pace)
        self.is_broken_off = False
        try:
            self.run(loop.create_task(self.life(listener)))
        except Deadlock:
            self.ledger.find("deadlock", "; ".join(_waiting(loop)))
            self.left_behind.append(asyncio.all_tasks(loop))
            loop.close()
            return False
        if self.is_broken_off:
            self.left_behind.append(asyncio.all_tasks(loop))
            complaints.clear()
            self.broken_ops |= self.tasks.keys()
        for complaint in complaints:
            self.ledger.find("complaint of the loop", _told(complaint))
        loop.close()
        return self.is_broken_off

    def run(self, life: asyncio.Task[None]) -> None:
        if self.pace != 1.0:  # the clock is real, and does not see a deadlock
            self.loop.call_later(_LONGEST_LIFE, self.loop.stop)
        try:
            self.loop.run_until_complete(life)
        except RuntimeError as exc:
            if life.done():
                raise
            raise Deadlock from exc  # the loop was stopped

    async def life(self, listener: socket.socket) -> None:
        self.broken_off = self.loop.create_future()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        server = await asyncio.start_server(
            self.model.serve,
            sock=listener.dup(),
            limit=_NARROW,
            ssl=contexts()[0] if self.world.kind == "tls" else None,
        )
        actors = [self.loop.create_task(self.act(actor)) for actor in self.actors]
        everybody = asyncio.gather(*actors)
        await asyncio.wait(
            {everybody, self.broken_off}, return_when=asyncio.FIRST_COMPLETED
        )
        if self.broken_off.done() and not everybody.done():
            self.is_broken_off = True
            return
        everybody.result()
        for client in self.clients:
            await self.leave(client)
        self.operator.check_futures()
        server.close()
        await self.model.close()
        for _ in range(_SETTLING):
            await asyncio.sleep(0)
        rest = asyncio.all_tasks(self.loop) - {asyncio.current_task(self.loop)}
        # In asyncio's own the server greets a client that is gone already.
        rest = {task for task in rest if "_accept_connection2" not in repr(task)}
        if rest:
            self.ledger.find("a task is left", repr(rest))

    async def act(self, todo: deque[tuple[int, Op]]) -> None:
        while todo:
            number, op = todo.popleft()
            if self.left_behind and number % 2:
                self.left_behind.clear()
                gc.collect()
            client = self.clients[op.client]
            task = self.loop.create_task(self.operator.perform(client, op))
            self.tasks[number] = task
            self.at((number, "START"))
            await asyncio.wait({task})
            if task.cancelled():
                self.ledger.leave(op.letters, "cancelled")
            elif (exc := task.exception()) is not None:
                self.ledger.find("an odd error", f"{op.kind}: {exc!r}")

    async def leave(self, client: SMTP | SMTPPool) -> None:
        """Leave a session, after a look whether it is clean or dead."""
        try:
            if isinstance(client, SMTP):
                await self.probe(client)
            await client.close()
        except Exception as exc:
            self.ledger.find("an odd error", f"at the end: {exc!r}")

    async def probe(self, client: SMTP) -> None:
        if client.is_connected:
            try:
                reply = await client.noop("probe")
            except SMTPException:
                pass
            else:
                if "probe" not in reply.message:
                    self.ledger.find("mispaired", f"NOOP probe got {reply}")
        with suppress(SMTPException):
            await client.quit()

    # Disturbances

    def at(self, step: Step) -> None:
        """Set off what hangs on a step."""
        for disturbance in [d for d in self.disturbances if d.at == step]:
            self.disturbances.remove(disturbance)
            self.later(disturbance.turns, disturbance)

    def later(self, turns: int, disturbance: Disturbance) -> None:
        if turns:
            self.loop.call_soon(self.later, turns - 1, disturbance)
        else:
            self.disturb(disturbance)

    def disturb(self, disturbance: Disturbance) -> None:
        if disturbance.kind == "cancel":
            task = self.tasks.get(disturbance.target)
            if task is not None:
                task.cancel()
        elif disturbance.kind == "close":
            client = self.clients[disturbance.target]
            self.left_behind_task = self.loop.create_task(client.close())
        elif not self.broken_off.done():
            self.broken_off.set_result(None)


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of the server and of the client, made once."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def _waiting(loop: asyncio.AbstractEventLoop) -> list[str]:
    found = []
    for task in asyncio.all_tasks(loop):
        where, coroutine = [], task.get_coro()
        while coroutine is not None:
            code = getattr(coroutine, "cr_code", None)
            if code is not None:
                frame = coroutine.cr_frame
                where.append(f"{code.co_qualname}:{frame.f_lineno if frame else 0}")
            coroutine = getattr(coroutine, "cr_await", None)
        if where and not where[0].startswith("Model."):
            found.append(" > ".join(where))
    return found


def _told(complaint: dict[str, Any]) -> str:
    return f"{complaint.get('message')}: {complaint.get('exception')!r}"

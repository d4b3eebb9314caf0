"""Slices built by the wirings that app.py lists, for tests that call their servicers without a socket.

A new slice needs no change here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from marketd.app import INVARIANTS, SLICES
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.db import invariants
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.relay import EventHandler, Relay
from marketd.kernel.slice import Parts, Room, Slice
from marketd.kernel.work.job_runner import JobRunner
from marketd.process.assemble import take_on

from tests.worlds.jobs import hand_on, run_due

Build = Callable[[Parts], Slice]
T = TypeVar("T")
_LOOK_SECONDS: Final = 60.0


def _name(room: Room) -> str:
    """`order`, of the module marketd.order.wiring."""
    return str(room.wiring.__name__).split(".")[-2]  # type: ignore[attr-defined] # a module has one


_ROOMS: Final = {_name(room): room for room in SLICES}


class Built:
    """Some slices of one process, or all; their handlers and jobs are taken on, and nothing of it runs by itself.

    names: of slices, in whatever order; none means all. instead: by a slice's name, its `build` where a test gives it
    other ports or parts than app.py does.
    """

    def __init__(self, parts: Parts, *names: str, instead: Mapping[str, Build] | None = None) -> None:
        builds = {name: room.build for name, room in _ROOMS.items()} | dict(instead or {})
        wanted = [name for name in _ROOMS if not names or name in names]
        assert set(names) | builds.keys() <= _ROOMS.keys(), "no such slice"
        self.parts = parts
        self.slices = {name: builds[name](parts) for name in wanted}
        self.relay = Relay(parts.tx, lease=parts.settings.lease)
        self.jobs = JobRunner(parts.tx, lease=parts.settings.job_lease)
        take_on(list(self.slices.values()), self.relay, self.jobs)

    def servicer(self, kind: type[T]) -> T:
        """The servicer of this class."""
        (found,) = (each for built in self.slices.values() for each in built.servicers if isinstance(each, kind))
        return found

    def handler(self, name: str) -> EventHandler:
        """The events' handler of this name."""
        (found,) = (each for built in self.slices.values() for _, named, each in built.handlers if named == name)
        return found

    def sweep(self, unit: str) -> Callable[[UnitOfWork], Awaitable[int]]:
        """What the sweep of this name does in a unit of work, as it is wired and with what the settings say."""
        (found,) = (each.delete for built in self.slices.values() for each in built.sweeps if each.unit == unit)
        return found

    async def hand_on_events(self) -> None:
        """Let the relay hand on what is committed, and what the handlers' own commits add."""
        await hand_on(self.relay)

    async def run_jobs(self) -> None:
        """Run jobs until none is due."""
        while await run_due(self.jobs):
            pass

    async def violations(self) -> list[str]:
        """What is wrong with the data of these slices; with all of them, the kernel's invariants are looked at too."""
        looked_at = [*self._invariants()]

        async def patiently() -> list[str]:
            # A machine with much else to do may take longer than a call may.
            calls.enter(Call(deadline=time.monotonic() + _LOOK_SECONDS))
            return await self.parts.tx.read(lambda unit: invariants.violations(unit.connection, looked_at))

        return await asyncio.create_task(patiently())

    def _invariants(self) -> tuple[Invariant, ...]:
        if self.slices.keys() == _ROOMS.keys():
            return INVARIANTS
        return tuple(each for name in self.slices for each in _ROOMS[name].wiring.INVARIANTS)

    async def start(self) -> None:
        """What the slices do before anything of them runs."""
        for built in self.slices.values():
            for start in built.starts:
                await start()

    async def drain(self) -> None:
        """What the slices do when the server begins to go down."""
        for built in self.slices.values():
            for drain in built.drains:
                await drain()

    def close(self) -> None:
        """What they do at the very end."""
        for built in self.slices.values():
            for closer in built.closers:
                closer()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Their tasks run meanwhile, as they do beside a server; none of them may end by itself."""
        tasks = [asyncio.create_task(work()) for built in self.slices.values() for work in built.tasks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError)

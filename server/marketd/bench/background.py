"""What the server does when nobody calls: an event handed on by the relay, and a job run by the job runner.

A round is a backlog: so many events (or jobs) are written in one transaction, and its COMMIT starts the clock. It ends
when all of them are done. What is counted is all that the worker and PostgreSQL use in that time, divided by their
number: claims, a transaction for each (the mark that it was handled and the handler's own read, or the job's end and
the handler's own read), the marks, the relay's lease, and what an otherwise idle worker does meanwhile (under one
percent of a core). What is not counted is the writing of the backlog. The handlers are real ones with as little to do
as there is: the catalog learns that there is again some of a variant that it does not have, and a group of orders that
does not exist expires. So the figures are those of relay, runner and transactor, and not of a slice.

A floor works the same backlog off in tables of its own, when it gets one call.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import grpc

from marketd.bench import statements
from marketd.bench.backlog import LONGEST_SECONDS, Backlog, Step
from marketd.bench.operations import Mismatch, Plain, Round, Side, expect
from marketd.bench.plan import BacklogSql, FloorMethod, Shape
from marketd.bench.world import World
from marketd.inventory.events import StockCameBack
from marketd.kernel.db.database import Connection
from marketd.kernel.events import outbox
from marketd.kernel.events.broadcast import PostgresBroadcast
from marketd.kernel.events.events import Job
from marketd.kernel.work import jobs
from marketd.order.expire import EXPIRE

_A_SECOND = 500
_FEWEST = 32
_LOOK_SECONDS = 0.02

# Both are answered by an index, whatever else is in the tables. A job that was claimed is due again after its lease.
_UNPUBLISHED = "SELECT EXISTS (SELECT 1 FROM outbox_events WHERE publish_time IS NULL)"
_DUE = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE kind = '{EXPIRE}' AND run_time < now() + interval '5 minutes')"  # noqa: S608 - a constant


class _Background(Plain, ABC):
    """What both have in common: backlogs, on the server and on its floors."""

    name: str
    target = None
    floor: BacklogSql
    fill_floor: str
    waiting: str
    topic: str

    async def prepare(self, world: World, size: Round) -> list[FloorMethod]:
        """Nothing is seeded: each round brings its own."""
        self._floor = FloorMethod(self.name, Shape.BACKLOG, backlog=self.floor)
        return [self._floor]

    async def load(self, world: World, side: Side, size: Round, processes: int) -> Backlog:
        """As much as takes a server about the seconds of the round; what came before is done with."""
        count = max(_FEWEST, int(size.seconds * _A_SECOND))
        if side.is_floor:
            return Backlog(world.dsn, count, self._filling_floor(count), self._calling(side))
        async with _connected(world.dsn) as connection, asyncio.timeout(LONGEST_SECONDS):
            await self._until_done(connection)
        self.sent += count
        return Backlog(world.dsn, count, self.filling(count), self._waking(world.dsn))

    async def begin(self, world: World) -> None:
        """Count from here."""
        self.sent = 0
        self._given_up = await _number(world, "SELECT count(*)::int FROM dead_letters")

    async def verify(self, world: World) -> None:
        """None of them was given up."""
        given_up = await _number(world, "SELECT count(*)::int FROM dead_letters") - self._given_up
        if given_up:
            raise Mismatch(f"{self.name}: {given_up} of {self.sent} were given up")

    @abstractmethod
    def filling(self, count: int) -> Step:
        """Writes the server's backlog."""

    def _filling_floor(self, count: int) -> Step:
        async def fill(connection: Connection) -> None:
            await connection.execute(self.fill_floor, count)

        return fill

    def _calling(self, side: Side) -> Step:
        async def work_off(_connection: Connection) -> None:
            async with grpc.aio.insecure_channel(side.target) as channel:
                method: Any = channel.unary_unary(self._floor.path)
                await method(b"", wait_for_ready=True)

        return work_off

    def _waking(self, dsn: str) -> Step:
        async def work_off(connection: Connection) -> None:
            # As a commit of the server's own does; else relay and runner would wait until they look by themselves.
            broadcast = PostgresBroadcast(dsn)
            listening = asyncio.create_task(broadcast.run())
            try:
                broadcast.publish(self.topic, b"")
                await self._until_done(connection)
            finally:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

        return work_off

    async def _until_done(self, connection: Connection) -> None:
        while True:
            if not await connection.fetchval(self.waiting):
                return
            await asyncio.sleep(_LOOK_SECONDS)


class RelayEvent(_Background):
    """An event of the outbox that one handler wants, each of another aggregate."""

    name = "relay_event"
    note = "a call is an event that the relay hands on, without the handler's own writes; there is no target yet"
    floor = BacklogSql(statements.CLAIM_EVENTS, statements.HANDLE_EVENT, statements.MARK_EVENTS)
    fill_floor = statements.FILL_EVENTS
    waiting = _UNPUBLISHED
    topic = "outbox"

    def filling(self, count: int) -> Step:
        """There is again some of variants that nobody has heard of."""

        async def fill(connection: Connection) -> None:
            events = [StockCameBack(variant_id=uuid.uuid4(), seller_id=uuid.uuid4(), available=1) for _ in range(count)]
            await outbox.append(connection, events, datetime.now(UTC))

        return fill

    async def begin(self, world: World) -> None:
        """Count from here."""
        await super().begin(world)
        self._before = await self._handled(world)

    async def verify(self, world: World) -> None:
        """Each of them reached its handler."""
        await super().verify(world)
        expect(self.name, await self._handled(world) - self._before, self.sent)

    async def _handled(self, world: World) -> int:
        return await _number(
            world, "SELECT count(*)::int FROM handled_events WHERE handler = 'catalog.stock_came_back'"
        )


class RunJob(_Background):
    """A due job whose handler runs in the transaction that also ends it."""

    name = "run_job"
    note = "a call is a job that the runner runs, without the handler's own writes; there is no target yet"
    floor = BacklogSql(statements.CLAIM_JOBS, statements.RUN_JOB)
    fill_floor = statements.FILL_JOBS
    waiting = _DUE
    topic = "jobs"

    def filling(self, count: int) -> Step:
        """Groups of orders that do not exist were not paid in time."""

        async def fill(connection: Connection) -> None:
            due = [Job(kind=EXPIRE, payload={"order_group_id": str(uuid.uuid4())}) for _ in range(count)]
            await jobs.insert(connection, due, datetime.now(UTC))

        return fill


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def _number(world: World, statement: str) -> int:
    found = await world.read(statement)
    return found if isinstance(found, int) else 0

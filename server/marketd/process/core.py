"""What one process has once, below its slices: engines, transactors, broadcast, relay, jobs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from marketd.config import Settings
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.failpoints import Failpoints
from marketd.kernel.db.transactor import Committed, Transactor
from marketd.kernel.events.broadcast import PostgresBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.relay import Relay
from marketd.kernel.slice import Parts
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.work.job_runner import JobRunner


class StartRefused(Exception):
    """The process cannot serve as things are; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Core:
    """The machinery of one process, and the parts of it that slices are given."""

    url: str
    engine: AsyncEngine
    spare_engine: AsyncEngine
    broadcast: PostgresBroadcast
    relay: Relay
    jobs: JobRunner
    parts: Parts

    async def dispose(self) -> None:
        """Let the connections go."""
        await asyncio.gather(self.engine.dispose(), self.spare_engine.dispose())


def make_core(settings: Settings) -> Core:
    """Make the machinery; no connection is opened yet. Raises StartRefused without a database."""
    if settings.database_url is None:
        raise StartRefused(
            "no database: set MARKETD_DATABASE_URL, or start with `marketd serve`, which brings its own."
        )
    url = settings.database_url.get_secret_value()
    clock = SystemClock()
    engine = create_engine(url, pool_size=settings.pool_size, pool_timeout_seconds=settings.pool_timeout_seconds)
    # A few connections of its own, so that a full pool is not taken for a dead database, and callers are not taken for
    # unknown; refusals of a full server are written down through it, too.
    spare_engine = create_engine(url, pool_size=3, pool_timeout_seconds=1)
    tx = Transactor(engine, clock, keep_answers=settings.request_id_lifetime, failpoints=_failpoints(settings))
    broadcast = PostgresBroadcast(url)
    feed = Feed(broadcast)
    relay = Relay(tx, lease=settings.lease)
    jobs = JobRunner(tx, lease=settings.job_lease)
    parts = Parts(
        settings=settings,
        tx=tx,
        spare=Transactor(spare_engine, clock, times=tx.times),
        pager=Pager(tx, settings.derive("page-tokens")),
        broadcast=broadcast,
        feed=feed,
        clock=clock,
    )

    def wake(committed: Committed) -> None:
        """Wake the relay of whoever leads, and the jobs of every worker; jobs for later need no wake-up."""
        if committed.events:
            broadcast.publish("outbox", b"")
        if any(job.run_time is None for job in committed.jobs):
            broadcast.publish("jobs", b"")

    tx.listen(feed.committed)
    tx.listen(wake)
    broadcast.subscribe("outbox", lambda _payload: relay.wake())
    broadcast.subscribe("jobs", lambda _payload: jobs.wake())
    return Core(url, engine, spare_engine, broadcast, relay, jobs, parts)


def _failpoints(settings: Settings) -> Failpoints | None:
    """None but in tests; asked again here, since a worker does not go through `problems_of(settings)`."""
    if settings.failpoints is None:
        return None
    if settings.production:
        raise StartRefused("MARKETD_FAILPOINTS is for tests only; unset it.")
    return Failpoints(settings.failpoints)

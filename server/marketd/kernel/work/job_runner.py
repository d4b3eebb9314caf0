"""The job runner: claims due jobs with SKIP LOCKED, on any number of workers, each kind in its own slots."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeAlias
from uuid import UUID

import structlog

from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.database import in_short
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.jobs import Payload

_log = structlog.get_logger(__name__)


JobHandler: TypeAlias = Callable[[UnitOfWork, Payload], Awaitable[None]]
OutsideHandler: TypeAlias = Callable[[Payload], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Claimed:
    job_id: UUID
    kind: str
    payload: Payload
    attempts: int
    max_attempts: int


# Each kind is looked for by itself: the oldest jobs of all kinds together may be of one kind that has no free slot.
_CLAIM = """
WITH due AS MATERIALIZED (
  SELECT oldest.job_id FROM unnest($3::text[], $4::int[]) AS wanted(kind, free)
  CROSS JOIN LATERAL (
    SELECT job_id FROM jobs WHERE run_time <= $1 AND kind = wanted.kind
    ORDER BY run_time LIMIT wanted.free FOR UPDATE SKIP LOCKED
  ) AS oldest
)
UPDATE jobs SET run_time = $1::timestamptz + $2, attempts = attempts + 1
FROM due WHERE jobs.job_id = due.job_id
RETURNING jobs.job_id, kind, payload, attempts, max_attempts
"""


# How much of its lease an outside handler may use. Then it is cut off, and the rest is for writing down how it ended:
# a job whose lease runs out while its handler runs is begun a second time beside itself.
_OUTSIDE_SHARE = 0.9


class JobRunner:
    """Runs due jobs of the kinds it has handlers for, at most `concurrency` of each kind at a time.

    A kind waits only for itself: an SMTP server that says nothing holds letters up, but no refund and no expiry. Jobs
    are claimed when there is a free slot for them and begin at once, since their lease runs from the claim: a claimed
    job's `run_time` is moved ahead by the lease, so a worker that dies leaves it due again when that ends.
    """

    def __init__(
        self,
        tx: Transactor,
        *,
        lease: timedelta = timedelta(seconds=30),
        poll_seconds: float = 1.0,
        concurrency: int = 4,
    ) -> None:
        self._tx = tx
        self._lease = lease
        self._poll_seconds = poll_seconds
        self._concurrency = concurrency
        self._handlers: dict[str, JobHandler] = {}
        self._outside: dict[str, OutsideHandler] = {}
        self._running: Counter[str] = Counter()
        self._wake = asyncio.Event()

    def register(self, kind: str, handler: JobHandler) -> None:
        """`handler` runs in the transaction that also ends the job."""
        self._handlers[kind] = handler

    def register_outside(self, kind: str, handler: OutsideHandler) -> None:
        """`handler` runs without a transaction and may run again after a crash; it is cut off at 0.9 of the lease."""
        self._outside[kind] = handler

    def wake(self) -> None:
        """Look for due jobs now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled. A job that is cut off by the cancel is due again after its lease."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._wake.clear()
                try:
                    await self.begin_due(group)
                except Refusal as refusal:
                    _log.warning("jobs_waiting", reason=refusal.reason.value)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._wake.wait()

    async def begin_due(self, group: asyncio.TaskGroup) -> bool:
        """Claim due jobs for the free slots and begin them in the group; whether there was one."""
        # Read before the claim, which sets the lease: what the claim itself takes is lost to the handler.
        end = asyncio.get_running_loop().time() + self._lease.total_seconds() * _OUTSIDE_SHARE
        free = {kind: self._concurrency - self._running[kind] for kind in (*self._handlers, *self._outside)}
        batch = await self._tx.run("jobs.claim", lambda uow: self._claim(uow, free))
        for job in batch:
            self._running[job.kind] += 1
            # A callback, not a `finally` inside: a task that is cancelled before its first step never enters one.
            group.create_task(self._run_one(job, end)).add_done_callback(partial(self._ended, job.kind))
        return bool(batch)

    def _ended(self, kind: str, _task: asyncio.Task[None]) -> None:
        self._running[kind] -= 1
        self.wake()  # a due job may have waited for this slot

    async def _claim(self, uow: UnitOfWork, free: Mapping[str, int]) -> list[_Claimed]:
        rows = await uow.connection.fetch(_CLAIM, uow.now, self._lease, list(free), list(free.values()))
        return [
            _Claimed(row["job_id"], row["kind"], row["payload"], row["attempts"], row["max_attempts"]) for row in rows
        ]

    async def _run_one(self, job: _Claimed, end: float) -> None:
        try:
            handler = self._handlers.get(job.kind)
            if handler is None:
                async with asyncio.timeout_at(end):
                    await self._outside[job.kind](job.payload)
                await self._tx.run("jobs.done", lambda uow: _delete(uow, job))
                return

            async def work(uow: UnitOfWork) -> None:
                # Our own claim may have run out while we waited; whoever deletes the row has the effect.
                if await _delete(uow, job):
                    await handler(uow, job.payload)

            await self._tx.run(f"job.{job.kind}", work, seconds=self._lease.total_seconds())
        except Exception as error:  # noqa: BLE001 - a failed job is retried, whatever its bug; the log has the trace
            await self._failed(job, error)

    async def _failed(self, job: _Claimed, error: Exception) -> None:
        given_up = job.attempts >= job.max_attempts
        _log.warning("job_failed", kind=job.kind, attempt=job.attempts, given_up=given_up, exc_info=error)
        pause = timedelta(seconds=min(2.0**job.attempts, 300.0))

        async def work(uow: UnitOfWork) -> None:
            if given_up:
                await uow.connection.execute(
                    "WITH gone AS (DELETE FROM jobs WHERE job_id = $1 AND attempts = $5"
                    " RETURNING job_id, kind, payload)"
                    " INSERT INTO dead_letters (dead_letter_id, kind, source_id, payload, error, create_time)"
                    " SELECT $2, kind, job_id, payload, $3, $4 FROM gone",
                    job.job_id,
                    new_id(),
                    in_short(error),
                    uow.now,
                    job.attempts,
                )
            else:
                await uow.connection.execute(
                    "UPDATE jobs SET run_time = $2, last_error = $3 WHERE job_id = $1 AND attempts = $4",
                    job.job_id,
                    uow.now + pause,
                    in_short(error),
                    job.attempts,
                )

        try:
            await self._tx.run("jobs.failed", work)
        except Exception as unrecorded:  # noqa: BLE001 - raised, it would cut off every other job that runs
            # The database is away, most likely; the lease runs out and the job comes again by itself.
            _log.warning("job_failure_not_recorded", kind=job.kind, exc_info=unrecorded)


async def _delete(uow: UnitOfWork, job: _Claimed) -> bool:
    """End the job, unless its lease ran out and another runner has claimed it since: each claim counts one more."""
    tag = await uow.connection.execute("DELETE FROM jobs WHERE job_id = $1 AND attempts = $2", job.job_id, job.attempts)
    return tag == "DELETE 1"

"""The transactor: runs a use case in one transaction, again when Postgres asks for it, and commits at the edge.

A unit of work is given to a function; its events, jobs and the stored answer to its request id are written in the same
transaction; then it is committed and the after-commit hooks run. The work runs in a task of its own, so a caller that
goes away cannot cut it in half; the call's deadline bounds it instead, in Postgres as statement_timeout.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar, cast

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from marketd.kernel.call import call as calls
from marketd.kernel.call.refusals import (
    ConcurrentUpdate,
    DatabaseUnavailable,
    DeadlineExceeded,
    Overloaded,
    Refusal,
    RequestInProgress,
)
from marketd.kernel.db import idempotency, tail
from marketd.kernel.db.database import DATABASE_ERRORS, Connection, Failure, classify
from marketd.kernel.db.failpoints import Failpoint, Failpoints
from marketd.kernel.db.tail import KeptAnswer
from marketd.kernel.db.unit_times import UnitTimes
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import Event, Job
from marketd.kernel.values.clock import Clock

T = TypeVar("T")
Work: TypeAlias = Callable[[UnitOfWork], Awaitable[T]]

_log = structlog.get_logger(__name__)

DEFAULT_SECONDS = 5.0
MAX_ATTEMPTS = 8
LOST_ATTEMPTS = 3
READ_ATTEMPTS = 3
PATIENCE_SECONDS = 30.0
DUPLICATE_WAIT_SECONDS = 5.0
_DONE, _BROKEN = "OK", "BROKEN"


class Message(Protocol):
    """Anything with a serialized form: a protobuf message."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802 - protobuf's name


M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit left behind, for those who wake others."""

    events: Sequence[Event]
    jobs: Sequence[Job]


class _DuplicateRunning(Exception):
    """Another transaction holds the same request id."""


class _CommitLost(Exception):
    """The connection went away during COMMIT."""


@dataclass(slots=True)
class _Answered:
    """The serialized answer of a unit of work with a request id."""

    payload: bytes
    kept: KeptAnswer | None
    """What is still to be written of it; None of an answer that was stored before."""


class Transactor:
    """Runs units of work on one engine. One for each process."""

    def __init__(
        self,
        engine: AsyncEngine,
        clock: Clock,
        *,
        keep_answers: timedelta = timedelta(hours=48),
        failpoints: Failpoints | None = None,
        times: UnitTimes | None = None,
    ) -> None:
        self._engine = engine
        self._failpoints = failpoints
        self._clock = clock
        self._keep_answers = keep_answers
        self.times = times or UnitTimes()
        """How often each unit of work ran, how it ended and how long it took."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._listeners: list[Callable[[Committed], None]] = []

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Call `listener` after every commit that wrote events or jobs."""
        self._listeners.append(listener)

    async def run(self, name: str, work: Work[T], *, seconds: float | None = None) -> T:
        """Run `work` in one transaction and return its result.

        `work` may run several times. `seconds` bounds it where no call's deadline does. `name` stands in metrics, logs
        and failpoints. Raises the work's own refusals, ConcurrentUpdate, DeadlineExceeded, DatabaseUnavailable and
        Overloaded.
        """
        return await self._bounded(name, work, seconds)

    async def answer(
        self, name: str, work: Work[T | Refusal], render: Callable[[T], M], *, seconds: float | None = None
    ) -> M:
        """Run `work` and render its result as the rpc's response, exactly once for the call's request id.

        With a request id, the rendered bytes are stored in the effect's own transaction, and a repeat gets them back:
        what is returned is then the serialized response, which transport sends as it stands (the type says M so that
        servicers keep their signatures). Without one it is the message. `render` runs before the commit.

        A refusal that `work` returns instead of raising it is raised after the commit, and no answer is stored: what
        was written (a try that counts) stays.
        """
        call = calls.current()
        once = call.once
        if once is None:

            async def rendered(uow: UnitOfWork) -> M | Refusal:
                result = await work(uow)
                return result if isinstance(result, Refusal) else render(result)

            outcome = await self.run(name, rendered, seconds=seconds)
            if isinstance(outcome, Refusal):
                raise outcome
            return outcome

        async def exactly_once(uow: UnitOfWork) -> _Answered | Refusal:
            claimed = await idempotency.claim(uow.connection, once, uow.now)
            if claimed.answer is not None:
                return _Answered(claimed.answer, None)
            if not claimed.mine:
                raise _DuplicateRunning
            result = await work(uow)
            if isinstance(result, Refusal):
                return result
            payload = render(result).SerializeToString()
            return _Answered(payload, KeptAnswer(once, payload, self._keep_answers))

        answered = await self._bounded(name, exactly_once, seconds, idempotency.lock_sql(once))
        if isinstance(answered, Refusal):
            raise answered
        call.replayed = answered.kept is None
        return cast("M", answered.payload)

    async def stored_answer(self) -> bytes | None:
        """The stored answer to the call's request id, before any work; None when there is none (yet).

        For work that is more than one transaction, or judges what its own effect has changed (a password, a code), so
        that a repeat would be refused before it came to `answer`. Raises RequestIdReused.
        """
        call = calls.current()
        once = call.once
        if once is None:
            return None
        answer = await self.read(lambda unit: idempotency.find(unit.connection, once, unit.now))
        call.replayed = answer is not None
        return answer

    async def read(self, work: Callable[[ReadUnit], Awaitable[T]]) -> T:
        """Run reads on a pooled asyncpg connection without a transaction, bounded by the call's deadline.

        Each statement sees what is committed when it starts; `work` may run twice.
        """
        remaining = calls.current().remaining_seconds(DEFAULT_SECONDS)
        if remaining <= 0:
            raise DeadlineExceeded
        tries = 0
        while True:
            tries += 1
            try:
                async with asyncio.timeout(remaining):
                    return await self._read_once(work)
            except TimeoutError as error:
                raise DeadlineExceeded from error
            except Refusal:
                raise
            except DATABASE_ERRORS as error:
                # A pooled connection from before a restart fails once; a read may simply be repeated.
                if classify(error) not in (Failure.LOST, Failure.RETRY) or tries >= READ_ATTEMPTS:
                    _translate(error)

    async def read_patiently(self, work: Callable[[ReadUnit], Awaitable[T]]) -> T:
        """`read` for streams, which wait anyway: a full pool or an absent database is waited out for half a minute."""
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await self.read(work)
            except (Overloaded, DatabaseUnavailable):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.3 * _jitter())

    async def drain(self) -> None:
        """Wait until no unit of work is running; each is bounded by its deadline."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    # -- the task around the attempts

    async def _bounded(self, name: str, work: Work[T], seconds: float | None, opening: str = "") -> T:
        remaining = calls.current().remaining_seconds(seconds or DEFAULT_SECONDS)
        if seconds is not None:
            remaining = min(remaining, seconds)
        if remaining <= 0:
            raise DeadlineExceeded
        task = asyncio.ensure_future(self._timed(name, work, time.monotonic() + remaining, opening))
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        # asyncio.wait neither cancels the task when the caller is cancelled nor when the time is up.
        done, _ = await asyncio.wait((task,), timeout=remaining + 0.2)
        if not done:
            raise DeadlineExceeded
        return task.result()

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so a result that nobody waits for any more is not reported as lost

    async def _timed(self, name: str, work: Work[T], end: float, opening: str) -> T:
        # In the task: how the work ended counts, and not whether its caller was still there.
        begun, outcome = time.monotonic(), _BROKEN
        try:
            result = await self._attempts(name, work, end, opening)
            outcome = _DONE
            return result
        except Refusal as refusal:
            outcome = refusal.reason.value
            raise
        finally:
            self.times.note(name, outcome, time.monotonic() - begun)

    async def _attempts(self, name: str, work: Work[T], end: float, opening: str) -> T:
        tries = 0
        duplicate_end = min(end, time.monotonic() + DUPLICATE_WAIT_SECONDS)
        pause = 0.005
        while True:
            tries += 1
            try:
                # The half second lets Postgres' own statement_timeout speak first: it leaves a clean connection.
                async with asyncio.timeout(end - time.monotonic() + 0.5):
                    return await self._attempt(name, work, end, opening)
            except _DuplicateRunning:
                if time.monotonic() + pause > duplicate_end:
                    raise RequestInProgress from None
                tries -= 1
                await asyncio.sleep(pause * _jitter())
                pause = min(pause * 2, 0.1)
            except Refusal:
                raise
            except _CommitLost as error:
                raise DatabaseUnavailable(outcome_unknown=True) from error
            except TimeoutError as error:
                raise DeadlineExceeded from error
            except DATABASE_ERRORS as error:
                failure = classify(error)
                wait = 0.01 * 2 ** min(tries, 5) * _jitter()
                again = failure is Failure.RETRY or (failure is Failure.LOST and tries < LOST_ATTEMPTS)
                if not again or tries >= MAX_ATTEMPTS or time.monotonic() + wait > end:
                    _translate(error)
                _log.info("transaction_retry", unit=name, attempt=tries, cause=failure.name)
                await asyncio.sleep(wait)

    # -- one attempt

    async def _attempt(self, name: str, work: Work[T], end: float, opening: str) -> T:
        proxied = await self._engine.raw_connection()
        driver = cast("Connection", proxied.driver_connection)
        clean = False
        committing = False
        try:
            await driver.execute(f"BEGIN; SET LOCAL statement_timeout = {_statement_timeout(end)}; {opening}")
            uow = UnitOfWork(driver, self._clock.now())
            try:
                self._reach(Failpoint.BEGUN, name)
                result = await work(uow)
                await tail.write(uow, result.kept if isinstance(result, _Answered) else None, uow.now)
                self._reach(Failpoint.BEFORE_COMMIT, name)
            except Exception:
                # On a dead connection this raises too, and `finally` throws the connection away.
                await driver.execute("ROLLBACK")
                clean = True
                raise
            committing = True
            # Postgres answers COMMIT of an aborted transaction with ROLLBACK and no error.
            if await driver.execute("COMMIT") != "COMMIT":
                raise RuntimeError("the transaction was already aborted when it came to COMMIT")
            clean = True
        except DATABASE_ERRORS as error:
            if committing and classify(error) is Failure.LOST:
                raise _CommitLost from error
            raise
        finally:
            await _give_back(proxied, clean=clean)
        self._committed(name, uow)
        return result

    async def _read_once(self, work: Callable[[ReadUnit], Awaitable[T]]) -> T:
        proxied = await self._engine.raw_connection()
        driver = cast("Connection", proxied.driver_connection)
        clean = False
        try:
            result = await work(ReadUnit(driver, self._clock.now()))
            clean = True
            return result
        except Exception as error:
            # No transaction is open, so a refused or failed statement leaves nothing behind.
            lost = isinstance(error, DATABASE_ERRORS) and classify(error) is Failure.LOST
            clean = not lost and not driver.is_closed()
            raise
        finally:
            await _give_back(proxied, clean=clean)

    def _reach(self, point: Failpoint, name: str) -> None:
        if self._failpoints is not None:
            self._failpoints.reach(point, name)

    def _committed(self, name: str, uow: UnitOfWork) -> None:
        self._reach(Failpoint.AFTER_COMMIT, name)
        for hook in uow.hooks:
            hook()
        if uow.events or uow.jobs:
            committed = Committed(uow.events, uow.jobs)
            for listener in self._listeners:
                listener(committed)


async def _give_back(proxied: PoolProxiedConnection, *, clean: bool) -> None:
    if not clean:
        await greenlet_spawn(proxied.invalidate)
    # The adapter has no transaction of its own open, so this does no I/O.
    proxied.close()


def _statement_timeout(end: float) -> int:
    return max(1, int((end - time.monotonic()) * 1000))


def _jitter() -> float:
    return random.uniform(0.5, 1.5)  # noqa: S311 - spreading retries needs no secrecy


def _translate(error: Exception) -> NoReturn:
    """Raise what the database's failure means to a caller; a bug goes on as it is."""
    failure = classify(error)
    if failure is Failure.POOL:
        raise Overloaded from error
    if failure is Failure.LOST:
        raise DatabaseUnavailable from error
    if failure is Failure.TIMEOUT:
        raise DeadlineExceeded from error
    if failure is Failure.RETRY:
        raise ConcurrentUpdate from error
    raise error

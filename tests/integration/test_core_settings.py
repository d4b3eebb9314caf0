"""What the settings say of a process's machinery is what it does, on real Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from marketd.config import Environment, Settings
from marketd.kernel.call import call as calls
from marketd.kernel.call.refusals import Overloaded, PageTokenInvalid
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import Job
from marketd.kernel.values.ids import new_id
from marketd.kernel.work.jobs import Payload
from marketd.process.core import Core, make_core
from marketplace.catalog.v1.catalog_service_pb2 import ListCategoriesRequest
from marketplace.catalog.v1.category_pb2 import Category
from pydantic import SecretStr

from tests.integration.units import add_one, answer, make_marks

_ANSWERS, _LEASE, _JOB_LEASE = timedelta(hours=30), timedelta(seconds=7), timedelta(seconds=3_000)


@pytest.fixture
async def core(database_url: str) -> AsyncIterator[Core]:
    """A process's machinery, with none of the values that it would have by itself."""
    made = make_core(
        Settings(
            env=Environment.TEST,
            database_url=SecretStr(database_url),
            pool_size=2,
            pool_timeout_seconds=0.01,
            request_id_lifetime=_ANSWERS,
            lease=_LEASE,
            job_lease=_JOB_LEASE,
        )
    )
    yield made
    await made.dispose()


async def _value(core: Core, statement: str) -> object:
    return await core.parts.tx.read(lambda unit: unit.connection.fetchval(statement))


async def test_a_pool_that_is_full_is_waited_for_as_long_as_was_set(core: Core) -> None:
    held, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def hold(_unit: ReadUnit) -> None:
        held.release()
        await go_on.wait()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(core.parts.tx.read(hold))
            await held.acquire()
        # By itself it would wait for longer than the call has.
        calls.enter(calls.Call(deadline=time.monotonic() + 0.5))
        with pytest.raises(Overloaded):
            await core.parts.tx.read(hold)
        go_on.set()


async def test_answers_are_kept_and_leases_taken_for_as_long_as_was_set(core: Core) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def job(_payload: Payload) -> None:
        begun.set()
        await go_on.wait()

    async def enqueue(uow: UnitOfWork) -> None:
        uow.enqueue(Job(kind="test.job", payload={}))

    await make_marks(core.parts.tx)
    await answer(core.parts.tx, add_one, request_id=str(new_id()))
    calls.enter(calls.Call())
    kept = "SELECT expire_time - create_time FROM idempotency_keys"
    assert await _value(core, kept) == _ANSWERS

    core.jobs.register_outside("test.job", job)
    await core.parts.tx.run("test.enqueue", enqueue)
    running = [asyncio.create_task(each.run()) for each in (core.relay, core.jobs)]
    async with asyncio.timeout(30):
        await begun.wait()
        while not await _value(core, "SELECT count(*) FROM leases"):  # noqa: ASYNC110 - it is another's commit
            await asyncio.sleep(0.01)
    # As of the beginning of this look, which is after both were taken.
    left = "SELECT expire_time - clock_timestamp() FROM leases"
    assert timedelta(0) < await _value(core, left) <= _LEASE  # type: ignore[operator]
    again = "SELECT run_time - clock_timestamp() FROM jobs"
    assert _JOB_LEASE / 2 < await _value(core, again) <= _JOB_LEASE  # type: ignore[operator]
    go_on.set()
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_page_token_is_of_the_marketplaces_own_secret(core: Core) -> None:
    async def nothing(_unit: ReadUnit, after: str | None, _limit: int) -> list[str]:
        assert after == "here"
        return []

    def show(_name: str) -> Category:
        return Category()

    request = ListCategoriesRequest()
    request.page_token = core.parts.pager.token(request, None, "here")
    assert not (await core.parts.pager.list(request, None, nothing, str, show)).items
    settings = core.parts.settings.model_copy(update={"secret": SecretStr("another marketplace's secret, of 32 bytes")})
    other = make_core(settings)
    with pytest.raises(PageTokenInvalid):
        await other.parts.pager.list(request, None, nothing, str, show)
    await other.dispose()

"""Leases on real Postgres: one holder of a name at a time, for as long as it renews."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.clock import ManualClock
from marketd.kernel.values.ids import new_id
from marketd.kernel.work import leases

from tests.integration.units import run, transactor

LENGTH = timedelta(seconds=10)


async def test_a_lease_is_one_holders_until_it_is_given_back_or_not_renewed(database_url: str) -> None:
    clock = ManualClock(datetime.now(UTC))
    one, other = new_id(), new_id()

    async def takes(tx: Transactor, holder: UUID, name: str = "test") -> bool:
        return bool(await run(tx, lambda uow: leases.take_lease(uow, name, holder, LENGTH)))

    async with transactor(database_url, clock=clock) as tx:
        assert await takes(tx, one)
        assert not await takes(tx, other)
        assert await takes(tx, other, "test.other")
        clock.advance(LENGTH / 2)
        assert await takes(tx, one)
        clock.advance(LENGTH)
        assert not await takes(tx, other)
        clock.advance(timedelta(milliseconds=1))
        assert await takes(tx, other)
        assert not await takes(tx, one)
        await run(tx, lambda uow: leases.release_lease(uow, "test", one))
        assert not await takes(tx, one)
        await run(tx, lambda uow: leases.release_lease(uow, "test", other))
        assert await takes(tx, one)


async def test_who_leads_goes_on_until_it_doubts_or_gives_back_and_who_does_not_takes_what_is_free(
    database_url: str,
) -> None:
    async with transactor(database_url) as tx:
        one, other = (leases.Leadership(tx, "test", LENGTH) for _ in range(2))
        assert await one.is_ours()
        assert not await other.is_ours()
        # In a third of the lease the database is not asked: what another has done there meanwhile is not seen.
        await run(tx, lambda uow: uow.connection.execute("UPDATE leases SET holder = $1", new_id()))
        assert await one.is_ours()
        one.doubt()
        assert not await one.is_ours()
        # It gives nothing back that is another's.
        await one.give_back()
        assert not await other.is_ours()
        await run(tx, lambda uow: uow.connection.execute("DELETE FROM leases"))
        assert await other.is_ours()
        await other.give_back()
        assert await one.is_ours()


async def test_who_leads_asks_again_before_the_lease_can_have_run_out(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with transactor(database_url) as tx:
        one = leases.Leadership(tx, "test", LENGTH)
        assert await one.is_ours()
        await run(tx, lambda uow: uow.connection.execute("UPDATE leases SET holder = $1", new_id()))
        now = time.monotonic()
        later = SimpleNamespace(monotonic=lambda: now + LENGTH.total_seconds() / 2)
        monkeypatch.setattr("marketd.kernel.work.leases.time", later)
        assert not await one.is_ours()

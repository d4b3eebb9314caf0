"""Until when a variant is sold, on real Postgres: what is not tracked is promised beyond what is there and counted all
the same, what is tracked never is, and a statement that forgets its condition meets the table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from marketd.inventory import repository, service, stocks
from marketd.inventory.errors import InsufficientStock
from marketd.inventory.events import StockCameBack, StockChanged, StockEvent, StockRanLow, StockRanOut
from marketd.inventory.model import MAX_QUANTITY, StockPolicy
from marketd.inventory.values import Adjustment, StockCount, StockLine
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import EtagMismatch, NotFound, ValidationFailed
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.ids import new_id

from tests.worlds.stocks import broken, counts, get, movements, seller, stock

TRACKED, UNTRACKED, CONTINUE = StockPolicy.TRACKED, StockPolicy.UNTRACKED, StockPolicy.CONTINUE
OPEN = pytest.mark.parametrize("policy", [UNTRACKED, CONTINUE])


async def _step(tx: Transactor, step: Callable[..., Awaitable[None]], variant: UUID, quantity: int) -> None:
    await tx.run("t", partial(step, lines=[StockLine(variant, quantity)], reference=new_id()))


async def _set_policy(tx: Transactor, variant: UUID, policy: StockPolicy) -> None:
    async def work(uow: UnitOfWork) -> None:
        await service.lock_stocks(uow, [variant])
        await service.set_policies(uow, {variant: policy})

    await tx.run("t", work)


async def _count(tx: Transactor, variant: UUID, quantity: int) -> None:
    await tx.run("t", lambda uow: stocks.set_stock(uow, SYSTEM, StockCount(variant, quantity)))


async def _adjust(tx: Transactor, caller: Caller, variant: UUID, delta: int, etag: str = "") -> int:
    calls.enter(Call(caller=caller))
    adjustment = Adjustment(variant, delta, "counted wrongly", etag)
    return (await tx.run("t", lambda uow: stocks.adjust_stock(uow, caller, adjustment))).on_hand


@OPEN
async def test_what_is_not_tracked_is_sold_beyond_what_is_there_and_counted_exactly(
    tx: Transactor, policy: StockPolicy
) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 2, policy=policy)
    seen = []
    for step, quantity in (
        (service.reserve, 1),
        (service.reserve, 4),
        (service.release, 1),
        (service.ship, 3),
        (service.put_back, 2),
        (service.ship, 1),
    ):
        await _step(tx, step, variant, quantity)
        seen.append(await counts(tx, variant))
    assert seen == [(2, 1, 0), (2, 5, 3), (2, 4, 2), (-1, 1, 2), (1, 1, 0), (0, 0, 0)]
    assert await movements(tx, variant) == [
        ("OPENED", 2, 2),
        ("SHIPPED", -3, -1),
        ("RETURNED", 2, 1),
        ("SHIPPED", -1, 0),
    ]


async def test_an_order_is_whole_or_not_there_whatever_the_policies_of_its_lines(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [tracked] = await stock(tx, seller_id, 1)
    [untracked] = await stock(tx, seller_id, 0, policy=UNTRACKED)
    lines = [StockLine(untracked, 3), StockLine(tracked, 2)]
    with pytest.raises(InsufficientStock) as refused:
        await tx.run("t", lambda uow: service.reserve(uow, lines, new_id()))
    assert [short.variant_id for short in refused.value.shortages] == [tracked]
    assert await counts(tx, untracked) == (0, 0, 0)


async def test_what_was_promised_beyond_the_stock_is_kept_when_it_is_tracked_and_nothing_more_is_sold(
    tx: Transactor,
) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 2, policy=CONTINUE)
    await _step(tx, service.reserve, variant, 5)
    await _set_policy(tx, variant, TRACKED)
    assert await counts(tx, variant) == (2, 5, 3)
    with pytest.raises(InsufficientStock) as refused:
        await _step(tx, service.reserve, variant, 1)
    assert refused.value.metadata["available"] == "0"
    for worse in (0, 1):
        with pytest.raises(InsufficientStock, match="3 pieces are missing already, so no count below 2 is taken"):
            await _count(tx, variant, worse)
    with pytest.raises(InsufficientStock):
        await _adjust(tx, SYSTEM, variant, -1)
    # Better, and not good yet; then the buyers' part, and enough.
    await _count(tx, variant, 3)
    await _step(tx, service.ship, variant, 3)
    assert await counts(tx, variant) == (0, 2, 2)
    await _step(tx, service.release, variant, 1)
    await _count(tx, variant, 2)
    await _step(tx, service.reserve, variant, 1)
    assert await counts(tx, variant) == (2, 2, 0)
    assert await broken(tx) == []


@OPEN
async def test_a_count_of_what_is_not_tracked_may_be_below_what_was_promised(
    tx: Transactor, policy: StockPolicy
) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 5, policy=policy)
    await _step(tx, service.reserve, variant, 4)
    await _count(tx, variant, 1)
    assert await counts(tx, variant) == (1, 4, 3)
    assert await _adjust(tx, SYSTEM, variant, -2) == -1
    assert await counts(tx, variant) == (-1, 4, 5)
    assert await _adjust(tx, SYSTEM, variant, 7) == 6
    assert await counts(tx, variant) == (6, 4, 0)
    assert await broken(tx) == []


async def test_a_policy_that_stands_already_changes_nothing(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    one, two = await stock(tx, seller_id, 1, 1)
    before = await get(tx, one)

    async def work(uow: UnitOfWork) -> list[UUID]:
        await service.lock_stocks(uow, [one, two])
        await service.set_policies(uow, {one: TRACKED, two: UNTRACKED})
        return [event.aggregate_id for event in uow.events]

    assert await tx.run("t", work) == [two]
    assert await get(tx, one) == before
    assert (await get(tx, two)).policy is UNTRACKED


async def test_nobody_is_owed_more_than_a_stock_can_count(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 1, policy=UNTRACKED)
    await _step(tx, service.reserve, variant, MAX_QUANTITY)
    await _step(tx, service.reserve, variant, 1)
    with pytest.raises(InsufficientStock) as refused:
        await _step(tx, service.reserve, variant, 1)
    assert refused.value.metadata["available"] == "0"
    with pytest.raises(ValidationFailed):
        await _count(tx, variant, 0)
    [full] = await stock(tx, seller_id, MAX_QUANTITY)
    with pytest.raises(ValidationFailed) as too_many:
        await _adjust(tx, owner, full, 1)
    assert [violation.field for violation in too_many.value.fields] == ["delta"]


async def test_pieces_are_put_in_and_taken_out_but_not_those_that_were_promised(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    _, stranger = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await _step(tx, service.reserve, variant, 3)
    stale = etag_of((await get(tx, variant)).version - 1)
    with pytest.raises(EtagMismatch):
        await _adjust(tx, owner, variant, 1, stale)
    with pytest.raises(NotFound):
        await _adjust(tx, stranger, variant, 1)
    with pytest.raises(InsufficientStock) as refused:
        await _adjust(tx, owner, variant, -3)
    assert refused.value.metadata == {"variantId": str(variant), "requested": "3", "available": "2"}
    assert await _adjust(tx, owner, variant, -2) == 3
    assert await _adjust(tx, owner, variant, 10, etag_of((await get(tx, variant)).version)) == 13
    assert await movements(tx, variant) == [("OPENED", 5, 5), ("ADJUSTED", -2, 3), ("ADJUSTED", 10, 13)]


async def test_what_an_admin_does_to_the_stock_of_others_is_in_the_audit_log_with_its_values(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    admin, feeder = (Caller(new_id(), None, frozenset({role})) for role in (Role.ADMIN, Role.SERVICE))
    await _adjust(tx, owner, variant, 1)
    await _adjust(tx, feeder, variant, 3)
    await _adjust(tx, feeder, variant, -3)
    await _adjust(tx, admin, variant, 2)
    await tx.run("t", lambda uow: stocks.set_stock(uow, admin, StockCount(variant, 3, "counted")))
    rows = await tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_id, resource_type, comment, changes::text AS changes FROM audit_entries"
            " WHERE resource_id = $1 ORDER BY create_time, audit_entry_id",
            str(variant),
        )
    )
    assert [(row["actor_id"], row["resource_type"], row["comment"]) for row in rows] == [
        (admin.user_id, "variant", "counted wrongly"),
        (admin.user_id, "variant", "counted"),
    ]
    assert '"6"' in rows[0]["changes"]
    assert '"8"' in rows[0]["changes"]


async def test_goods_come_back_also_into_a_stock_that_was_counted_full_meanwhile(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 3)
    for step in (service.reserve, service.ship):
        await _step(tx, step, variant, 3)
    await _count(tx, variant, MAX_QUANTITY - 1)
    await _step(tx, service.reserve, variant, 3)
    with pytest.raises(ValidationFailed, match="delta"):
        await _adjust(tx, SYSTEM, variant, 2)
    await _step(tx, service.release, variant, 3)
    await _step(tx, service.put_back, variant, 3)
    await _step(tx, service.put_back, variant, 3)
    assert await counts(tx, variant) == (MAX_QUANTITY, 0, 0)
    assert (await movements(tx, variant))[-1] == ("RETURNED", 1, MAX_QUANTITY)


# -- events


async def _told(tx: Transactor, *steps: Callable[[UnitOfWork], Awaitable[Any]]) -> list[StockEvent]:
    async def work(uow: UnitOfWork) -> list[StockEvent]:
        for step in steps:
            await step(uow)
        return [event for event in uow.events if isinstance(event, StockEvent)]

    return await tx.run("t", work)


async def test_each_change_is_told_once_and_opening_is_none(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 9)
    assert await tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM outbox_events")) == 0
    order, lines = new_id(), [StockLine(variant, 2)]
    told = await _told(tx, lambda uow: service.reserve(uow, lines, order), lambda uow: service.ship(uow, lines, order))
    [changed] = told
    assert isinstance(changed, StockChanged)
    assert (changed.previous_on_hand, changed.previous_reserved, changed.on_hand, changed.reserved) == (9, 0, 7, 0)
    assert (changed.aggregate_id, changed.seller_id, changed.stock_version) == (variant, seller_id, 3)
    now = await get(tx, variant)
    assert (changed.stock_version, changed.update_time) == (now.version, now.update_time)


async def test_running_low_or_out_and_coming_back_are_told_when_buyers_are_told_something_else(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    cases: list[tuple[StockPolicy, int, int, list[type[StockEvent]]]] = [
        # What buyers were told, and are: enough, few, none, and back.
        (TRACKED, 9, 5, [StockRanLow]),
        (TRACKED, 9, 0, [StockRanLow, StockRanOut]),
        (TRACKED, 5, 1, []),
        (TRACKED, 1, 0, [StockRanOut]),
        (TRACKED, 0, 1, [StockCameBack]),
        (CONTINUE, 9, 0, [StockRanLow, StockRanOut]),
        (CONTINUE, 0, 9, [StockCameBack]),
        (UNTRACKED, 9, 0, []),
        (UNTRACKED, 0, 9, []),
    ]
    for policy, before, after, told in cases:
        [variant] = await stock(tx, seller_id, before, policy=policy)
        events = await _told(tx, partial(stocks.set_stock, caller=SYSTEM, count=StockCount(variant, after)))
        assert [type(event) for event in events] == [StockChanged, *told], (policy, before, after)
        assert all(event.available == after for event in events if isinstance(event, StockRanLow | StockCameBack))


async def test_what_goes_and_comes_within_one_unit_of_work_is_neither(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 9)
    lines = [StockLine(variant, 9)]
    events = await _told(
        tx, lambda uow: service.reserve(uow, lines, variant), lambda uow: service.release(uow, lines, variant)
    )
    assert [type(event) for event in events] == [StockChanged]


# -- the guards, each taken away in turn


def _without(monkeypatch: pytest.MonkeyPatch, name: str, text: str, instead: str) -> None:
    statement = getattr(repository, name)
    assert text in statement
    monkeypatch.setattr(repository, name, statement.replace(text, instead))


async def test_a_reserve_without_its_condition_meets_the_table(tx: Transactor, monkeypatch: pytest.MonkeyPatch) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 2)
    _without(monkeypatch, "_RESERVE", "THEN 0 ELSE", f"THEN -{MAX_QUANTITY} ELSE")
    await _step(tx, service.reserve, variant, 2)
    with pytest.raises(asyncpg.CheckViolationError):
        await _step(tx, service.reserve, variant, 1)
    assert await counts(tx, variant) == (2, 2, 0)


@pytest.mark.parametrize(
    ("name", "step"),
    [("_RELEASE", service.release), ("_PUT_BACK", service.put_back)],
)
async def test_a_statement_that_forgets_to_lower_what_is_oversold_meets_the_table(
    tx: Transactor, monkeypatch: pytest.MonkeyPatch, name: str, step: Callable[..., Awaitable[None]]
) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 0, policy=CONTINUE)
    await _step(tx, service.reserve, variant, 2)
    _without(monkeypatch, name, "LEAST(s.oversold", "GREATEST(s.oversold")
    with pytest.raises(asyncpg.CheckViolationError):
        await _step(tx, step, variant, 1)


async def test_a_count_of_what_is_tracked_that_nobody_looked_at_meets_the_table(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await _step(tx, service.reserve, variant, 3)
    with pytest.raises(asyncpg.CheckViolationError):
        await tx.run("t", lambda uow: service.set_stocks(uow, [StockCount(variant, 2)]))


async def test_the_invariant_sees_what_is_oversold_without_being_counted(tx: Transactor) -> None:
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await tx.run("t", lambda uow: uow.connection.execute("ALTER TABLE stocks DROP CONSTRAINT ck_stocks_reserved"))
    await tx.run("t", lambda uow: uow.connection.execute("UPDATE stocks SET reserved = 7"))
    [found] = await broken(tx)
    assert found.endswith(f"stock {variant} has 5 on hand, 7 reserved, 0 oversold, 5 moved")
    await tx.run("t", lambda uow: uow.connection.execute("UPDATE stocks SET reserved = 5, oversold = 1"))
    assert len(await broken(tx)) == 1


async def test_a_variants_movements_have_the_order_in_which_they_happened(tx: Transactor) -> None:
    """Whoever began first and waited for the row comes later all the same."""
    seller_id, _ = await seller(tx)
    [variant] = await stock(tx, seller_id, 10)
    first_began, second_done = asyncio.Event(), asyncio.Event()

    async def first(uow: UnitOfWork) -> None:
        first_began.set()
        await second_done.wait()
        await stocks.set_stock(uow, SYSTEM, StockCount(variant, 7))

    async def second(uow: UnitOfWork) -> None:
        await stocks.set_stock(uow, SYSTEM, StockCount(variant, 8))

    waiting = asyncio.create_task(tx.run("t", first))
    await first_began.wait()
    await tx.run("t", second)
    second_done.set()
    await waiting
    assert await movements(tx, variant) == [("OPENED", 10, 10), ("COUNTED", -2, 8), ("COUNTED", -1, 7)]

"""Movements listed, and stocks watched: the snapshot, every change as it was, also those of orders, and resuming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, cast
from uuid import UUID

import pytest
from marketd.inventory import service, stocks
from marketd.inventory.model import MovementKind, StockPolicy
from marketd.inventory.movements import list_movements
from marketd.inventory.servicer import InventoryServicer
from marketd.inventory.values import Adjustment, Movement, MovementQuery, NewStock, StockCount, StockLine
from marketd.inventory.watch import BATCH, StockSnapshot, watch_stocks
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import Beat
from marketd.kernel.values.clock import Clock
from marketd.kernel.values.ids import new_id
from marketplace.inventory.v1 import inventory_service_pb2 as pb
from marketplace.inventory.v1 import stock_pb2
from marketplace.type.v1 import watch_pb2

from tests.worlds.built import Built
from tests.worlds.goods import MovableClock
from tests.worlds.parts import make_parts
from tests.worlds.stocks import seller, stock

ADMIN = Caller(new_id(), None, frozenset({Role.ADMIN}))


async def _step(tx: Transactor, name: str, variant: UUID, quantity: int, reference: UUID | None = None) -> None:
    step = getattr(service, name)
    await tx.run("t", partial(step, lines=[StockLine(variant, quantity)], reference=reference or new_id()))


# -- movements


async def _walk(
    tx: Transactor, caller: Caller, wanted: MovementQuery, size: int, *, newest_first: bool = True
) -> list[Movement]:
    """All pages of a list."""
    found: list[Movement] = []
    while True:
        after = (found[-1].create_time, found[-1].movement_id) if found else None
        page: Sequence[Movement] = await tx.read(
            partial(list_movements, caller=caller, wanted=wanted, after=after, limit=size, newest_first=newest_first)
        )
        found += page
        if len(page) < size:
            return found


async def test_movements_are_listed_either_way_by_what_they_are_to_whose_they_are(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    other_id, stranger = await seller(tx)
    one, two = await stock(tx, seller_id, 5, 7, by=owner)
    [theirs] = await stock(tx, other_id, 3)
    order = new_id()
    await _step(tx, "reserve", one, 2, order)
    await _step(tx, "ship", one, 2, order)
    await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(two, 9, "inventory day")))
    calls.enter(Call(caller=ADMIN))
    await tx.run("t", lambda uow: stocks.adjust_stock(uow, ADMIN, Adjustment(one, -1, "broken")))
    everything = MovementQuery()
    mine = await _walk(tx, owner, everything, 100)
    assert [(each.variant_id, each.kind.value, each.delta, each.on_hand, each.actor.value) for each in mine[:3]] == [
        (one, "ADJUSTED", -1, 2, "ADMIN"),
        (two, "COUNTED", 2, 9, "SELLER"),
        (one, "SHIPPED", -2, 3, "SYSTEM"),
    ]
    assert {each.kind for each in mine[3:]} == {MovementKind.OPENED}
    assert [each.actor_id for each in mine] == [ADMIN.user_id, owner.user_id, None, owner.user_id, owner.user_id]
    assert [each.reason for each in mine[:2]] == ["broken", "inventory day"]
    assert [each.reference for each in mine[:3]] == [None, None, order]
    for size in (1, 2, 5):
        assert await _walk(tx, owner, everything, size) == mine
        assert await _walk(tx, owner, everything, size, newest_first=False) == mine[::-1]
        of_one = MovementQuery(variant_ids=(one, theirs))
        assert await _walk(tx, owner, of_one, size) == [each for each in mine if each.variant_id == one]
    kinds = MovementQuery(kinds=(MovementKind.COUNTED, MovementKind.SHIPPED))
    assert await _walk(tx, owner, kinds, 1) == mine[1:3]
    assert await _walk(tx, owner, MovementQuery(variant_ids=(one,), kinds=(MovementKind.COUNTED,)), 9) == []
    span = MovementQuery(create_time_from=mine[2].create_time, create_time_before=mine[0].create_time)
    assert await _walk(tx, owner, span, 9) == mine[1:3]
    # Nobody else's, by whatever they are asked for; an admin's are all.
    assert await _walk(tx, owner, MovementQuery(seller_ids=(other_id,)), 9) == []
    assert await _walk(tx, stranger, MovementQuery(seller_ids=(seller_id, other_id)), 9) == await _walk(
        tx, stranger, everything, 9
    )
    assert len(await _walk(tx, ADMIN, everything, 2)) == 6
    assert await _walk(tx, ADMIN, MovementQuery(seller_ids=(seller_id,)), 2) == mine


async def test_what_a_call_opens_and_counts_is_its_callers_doing(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    service_caller = Caller(new_id(), None, frozenset({Role.SERVICE}))
    variant = new_id()
    calls.enter(Call(caller=owner))
    await tx.run("t", lambda uow: service.create_stock(uow, [NewStock(variant, seller_id, 4)]))
    for caller, quantity in ((ADMIN, 5), (service_caller, 6)):
        calls.enter(Call(caller=caller))
        await tx.run("t", partial(service.set_stocks, counts=[StockCount(variant, quantity)]))
    found = await _walk(tx, owner, MovementQuery(), 9, newest_first=False)
    assert [(each.actor.value, each.actor_id) for each in found] == [
        ("SELLER", owner.user_id),
        ("ADMIN", ADMIN.user_id),
        ("SERVICE", service_caller.user_id),
    ]


async def test_who_it_was_is_told_to_admins_alone(tx: Transactor) -> None:
    servicer = Built(make_parts(tx), "inventory").servicer(InventoryServicer)
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5, by=owner)
    shown = []
    for caller in (owner, ADMIN):
        calls.enter(Call(caller=caller))
        request = pb.ListStockMovementsRequest(variant_ids=[str(variant)])
        [movement] = (await servicer.ListStockMovements(request, cast(Any, None))).stock_movements
        assert movement.actor == stock_pb2.STOCK_MOVEMENT_ACTOR_SELLER
        assert not movement.HasField("order_id")
        shown.append(movement.actor_id)
    assert shown == ["", str(owner.user_id)]


async def test_a_batch_gives_each_own_stock_once_and_in_order(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    other_id, stranger = await seller(tx)
    one, two = await stock(tx, seller_id, 5, 7)
    [theirs] = await stock(tx, other_id, 3)
    asked = [two, theirs, new_id(), one, two]
    found = {
        name: [each.variant_id for each in await tx.read(partial(stocks.batch_get_stock, caller=by, variant_ids=asked))]
        for name, by in (("owner", owner), ("stranger", stranger), ("admin", ADMIN))
    }
    assert found == {"owner": [two, one], "stranger": [theirs], "admin": [two, theirs, one]}


# -- watches


class Watched:
    """A servicer on a worker of its own, and the streams opened on it."""

    def __init__(self, tx: Transactor, clock: Clock | None = None) -> None:
        self.servicer = Built(make_parts(tx, clock=clock), "inventory").servicer(InventoryServicer)

    def open(self, caller: Caller, *variant_ids: UUID, resume_token: str = "") -> AsyncIterator[pb.WatchStockResponse]:
        """WatchStock."""
        calls.enter(Call(caller=caller))
        request = pb.WatchStockRequest(variant_ids=list(map(str, variant_ids)), resume_token=resume_token)
        return self.servicer.WatchStock(request, cast(Any, None))


def _told(message: pb.WatchStockResponse) -> tuple[UUID, int, int]:
    now = message.changed.stock
    return UUID(now.variant_id), now.on_hand, now.reserved


async def test_a_watch_tells_every_change_as_it_was_also_what_orders_do(tx: Transactor) -> None:
    watched = Watched(tx)
    seller_id, owner = await seller(tx)
    one, two = await stock(tx, seller_id, 5, 7, policy=StockPolicy.CONTINUE)
    [unwatched] = await stock(tx, seller_id, 5)
    async with asyncio.timeout(10):
        stream = watched.open(owner, two, one)
        first = await anext(stream)
        assert [UUID(each.variant_id) for each in first.snapshot.stocks] == [one, two]
        order = new_id()
        await _step(tx, "reserve", one, 6, order)
        await _step(tx, "reserve", unwatched, 1, order)
        await _step(tx, "ship", one, 6, order)
        await tx.run("t", lambda uow: stocks.set_stock(uow, owner, StockCount(two, 9)))
        messages = [await anext(stream) for _ in range(3)]
        assert [_told(message) for message in messages] == [(one, 5, 6), (one, -1, 0), (two, 9, 0)]
        assert [message.changed.stock.available for message in messages] == [-1, -1, 9]
        assert all(message.changed.change_time == message.changed.stock.update_time for message in messages)
        # After any of them it goes on with the next, without gaps or repeats.
        for place, message in enumerate([first, *messages]):
            again = watched.open(owner, one, two, resume_token=message.resume_token)
            later = [(await anext(again)).changed for _ in messages[place:]]  # a token knows the second it is of
            assert later == [message.changed for message in messages[place:]]
            await again.aclose()  # type: ignore[attr-defined]
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_watch_that_was_away_for_long_gets_all_of_it_in_pieces(tx: Transactor) -> None:
    watched = Watched(tx)
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 0)
    stream = watched.open(owner, variant)
    token = (await anext(stream)).resume_token
    await stream.aclose()  # type: ignore[attr-defined]
    for quantity in range(1, BATCH + 3):
        await tx.run("t", partial(stocks.set_stock, caller=SYSTEM, count=StockCount(variant, quantity)))
    async with asyncio.timeout(10):
        stream = watched.open(owner, variant, resume_token=token)
        told = [_told(await anext(stream))[1] for _ in range(BATCH + 2)]
        await stream.aclose()  # type: ignore[attr-defined]
    assert told == list(range(1, BATCH + 3))


@pytest.mark.parametrize("lost", ["UPDATE outbox_events SET seq = seq + 100", "DELETE FROM outbox_events"])
async def test_a_watch_begins_anew_when_what_it_missed_is_not_kept(tx: Transactor, lost: str) -> None:
    watched = Watched(tx)
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    stream = watched.open(owner, variant)
    token = (await anext(stream)).resume_token
    await stream.aclose()  # type: ignore[attr-defined]
    await _step(tx, "reserve", variant, 1)
    await tx.run("t", lambda uow: uow.connection.execute(lost))
    async with asyncio.timeout(10):
        stream = watched.open(owner, variant, resume_token=token)
        reset, snapshot = await anext(stream), await anext(stream)
        assert reset.reset.reason == watch_pb2.STREAM_RESET_REASON_EVENTS_LOST
        assert snapshot.snapshot.stocks[0].reserved == 1
        await stream.aclose()  # type: ignore[attr-defined]
        # Whoever has only seen the reset is told again.
        stream = watched.open(owner, variant, resume_token=reset.resume_token)
        assert (await anext(stream)).HasField("reset")
        await stream.aclose()  # type: ignore[attr-defined]


async def test_a_token_is_good_for_a_day_and_for_what_has_happened(tx: Transactor) -> None:
    clock = MovableClock()
    watched = Watched(tx, clock)
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    await _step(tx, "reserve", variant, 1)

    async def begun(token: str) -> pb.WatchStockResponse:
        async with asyncio.timeout(10):
            stream = watched.open(owner, variant, resume_token=token)
            first = await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
        return first

    token = (await begun("")).resume_token
    await _step(tx, "reserve", variant, 1)
    clock.ahead = timedelta(hours=23)
    assert _told(await begun(token)) == (variant, 5, 2)
    clock.ahead = timedelta(hours=25)
    assert (await begun(token)).reset.reason == watch_pb2.STREAM_RESET_REASON_TOKEN_TOO_OLD
    # The database was put back to a state from before the token: what comes will have numbers that it has passed.
    fresh = (await begun("")).resume_token
    await tx.run("t", lambda uow: uow.connection.execute("UPDATE aggregate_sequences SET last_seq = 1"))
    assert (await begun(fresh)).reset.reason == watch_pb2.STREAM_RESET_REASON_EVENTS_LOST


async def test_nobody_watches_the_stock_of_others(tx: Transactor) -> None:
    watched = Watched(tx)
    seller_id, owner = await seller(tx)
    _, stranger = await seller(tx)
    one, two = await stock(tx, seller_id, 5, 7)
    for caller, variants in ((stranger, [one]), (owner, [one, new_id()])):
        with pytest.raises(NotFound):
            await anext(watched.open(caller, *variants))
    for caller in (ADMIN, Caller(new_id(), None, frozenset({Role.SERVICE}))):
        assert len((await anext(watched.open(caller, one, two))).snapshot.stocks) == 2


async def test_a_quiet_watch_beats(tx: Transactor) -> None:
    seller_id, owner = await seller(tx)
    [variant] = await stock(tx, seller_id, 5)
    stream = watch_stocks(tx, Feed(LocalBroadcast()), owner, (variant,), None, beat_seconds=0.05)
    async with asyncio.timeout(10):
        news = [await anext(stream) for _ in range(2)]
        await stream.aclose()
    assert [type(item) for _, item in news] == [StockSnapshot, Beat]
    assert news[0][0] == news[1][0]

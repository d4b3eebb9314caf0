"""Reading steps with their orders as they were, for the hub and for those who come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import Json
from marketd.order import repository
from marketd.order.history.values import FollowedEvent
from marketd.order.live.values import Step

_EVENTS_EACH: Final = 500


def in_order(events: Iterable[FollowedEvent]) -> list[FollowedEvent]:
    """By their transactions, but those of one order as they were: `history.repository.list_missed` has the same order.

    A transaction that began earlier may have changed an order later.
    """
    latest: dict[UUID, int] = {}
    keyed: list[tuple[int, UUID, int, FollowedEvent]] = []
    for event in sorted(events, key=lambda each: (each.order_id, each.number)):
        place = latest[event.order_id] = max(latest.get(event.order_id, 0), event.transaction_id)
        keyed.append((place, event.order_id, event.number, event))
    return [event for *_, event in sorted(keyed, key=lambda each: each[:3])]


async def read_steps(unit: ReadUnit, events: Sequence[FollowedEvent]) -> list[Step]:
    """The steps, each with its order as it was after it, in the order of the events.

    Most orders are as their last step left them; what has moved on since is read out of the outbox, which keeps it for
    much longer than a token is good for.
    """
    if not events:
        return []
    orders = await repository.read_many(unit.connection, {event.order_id for event in events})
    past = [event for event in events if orders[event.order_id].version > event.number]
    first: dict[UUID, int] = {}
    for event in past:
        first[event.order_id] = min(event.number, first.get(event.order_id, event.number))
    told: dict[tuple[UUID, int], Mapping[str, Json]] = {}
    if first:
        places = [(order_id, number - 1) for order_id, number in first.items()]
        for stored in await outbox.read_aggregates(unit.connection, places, _EVENTS_EACH):
            after = stored.payload.get("after")
            if isinstance(after, Mapping):
                told[stored.aggregate_id, stored.seq] = after
    steps: list[Step] = []
    for event in events:
        order = orders[event.order_id]
        progress = told.get((event.order_id, event.number))
        if order.version > event.number and progress is not None:
            order = order.with_progress(progress)
        steps.append(Step(event, order))
    return steps

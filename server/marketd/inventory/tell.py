"""What inventory's statements have changed becomes events: one `stock.changed` a variant and unit of work, and what it
means to buyers. They ride in the statement that writes the outbox anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from marketd.inventory.events import StockCameBack, StockChanged, StockEvent, StockRanLow, StockRanOut
from marketd.inventory.model import StockState
from marketd.inventory.values import Availability, StockChange
from marketd.kernel.db.uow import UnitOfWork

_SOME: Final = frozenset({StockState.IN_STOCK, StockState.LOW_STOCK})


def tell(uow: UnitOfWork, changes: Sequence[StockChange]) -> None:
    """Emit what these changes are; a variant that the unit of work has changed before is told once, as a whole.

    changes: unique variants.
    """
    events = {change.stock.variant_id: _changed(change) for change in changes}
    before = {event.variant_id: event for event in uow.events if isinstance(event, StockChanged)}
    if again := events.keys() & before.keys():
        uow.events[:] = [
            event for event in uow.events if not (isinstance(event, StockEvent) and event.variant_id in again)
        ]
    for variant_id, event in events.items():
        whole = _joined(before[variant_id], event) if variant_id in again else event
        uow.emit(whole)
        for meaning in _meanings(whole):
            uow.emit(meaning)


def _changed(change: StockChange) -> StockChanged:
    stock = change.stock
    return StockChanged(
        variant_id=stock.variant_id,
        seller_id=stock.seller_id,
        policy=stock.policy,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        source_version=stock.source_version,
        stock_version=stock.version,
        update_time=stock.update_time,
        previous_policy=change.previous_policy,
        previous_on_hand=change.previous_on_hand,
        previous_reserved=change.previous_reserved,
    )


def _joined(first: StockChanged, last: StockChanged) -> StockChanged:
    return replace(
        last,
        previous_policy=first.previous_policy,
        previous_on_hand=first.previous_on_hand,
        previous_reserved=first.previous_reserved,
    )


def _meanings(event: StockChanged) -> Iterator[StockEvent]:
    before = Availability(event.previous_policy, event.previous_on_hand - event.previous_reserved).state
    available = event.on_hand - event.reserved
    after = Availability(event.policy, available).state
    if before is StockState.IN_STOCK and after is not StockState.IN_STOCK:
        yield StockRanLow(variant_id=event.variant_id, seller_id=event.seller_id, available=available)
    if before in _SOME and after not in _SOME:
        yield StockRanOut(variant_id=event.variant_id, seller_id=event.seller_id)
    if before not in _SOME and after in _SOME:
        yield StockCameBack(variant_id=event.variant_id, seller_id=event.seller_id, available=available)

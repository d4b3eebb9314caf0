"""Watching an order: how it is, then every change in order, out of the outbox.

Each event carries the order's changeable part after it, so a change is shown as it was and not as it is by now. Reads
are short; nothing is held while waiting. A lost wake-up costs one poll.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.events import outbox
from marketd.kernel.events.events import Json, StoredEvent
from marketd.kernel.events.feed import Feed
from marketd.order import repository
from marketd.order.model import OrderState
from marketd.order.values import Order, viewer_of

HEARTBEAT_SECONDS: Final = 10.0
POLL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How the order is; nothing up to `seq` follows."""

    seq: int
    order: Order


@dataclass(frozen=True, slots=True)
class Change:
    """How the order was after the event `seq`."""

    seq: int
    order: Order
    previous_state: OrderState
    change_time: datetime


@dataclass(frozen=True, slots=True)
class Beat:
    """Nothing happened."""

    seq: int


@dataclass(frozen=True, slots=True)
class Reset:
    """What was missed cannot be told any more; a snapshot follows."""

    seq: int


Told: TypeAlias = Snapshot | Change | Beat | Reset


class OrderWatch:
    """Watches one order for one caller. `after_seq` resumes after that event; -1 is a token of no use any more."""

    def __init__(
        self,
        *,
        tx: Transactor,
        feed: Feed,
        caller: Caller,
        order_id: UUID,
        after_seq: int | None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._tx = tx
        self._feed = feed
        self._caller = caller
        self._order_id = order_id
        self._after_seq = after_seq
        self._heartbeat_seconds = heartbeat_seconds

    async def run(self) -> AsyncGenerator[Told, None]:
        """Tell until the order is over. Raises NotFound for somebody else's order."""
        # Before the first read, so that no event falls in between.
        watch = self._feed.watch(self._order_id)
        try:
            seq, order, missed = await self._tx.read(self._look)
            known_version, is_over = 0, False
            resumed = self._after_seq
            if resumed is not None and _is_whole(missed, resumed, seq):
                seq = resumed
                is_over = order.state.is_over and not missed
            else:
                if resumed is not None:
                    yield Reset(seq)
                missed = []
                yield Snapshot(seq, order)
                known_version, is_over = order.version, order.state.is_over
            told_at = time.monotonic()
            while True:
                for event in missed:
                    seq = event.seq
                    change = _change(order, event)
                    if change.order.version > known_version:
                        yield change
                        known_version = change.order.version
                        is_over = change.order.state.is_over
                        told_at = time.monotonic()
                if is_over:
                    return
                quiet = self._heartbeat_seconds - (time.monotonic() - told_at)
                if quiet <= 0:
                    yield Beat(seq)
                    told_at = time.monotonic()
                    quiet = self._heartbeat_seconds
                await watch.wait(min(quiet, POLL_SECONDS))
                last = seq
                missed = await self._tx.read_patiently(
                    lambda unit: outbox.read_aggregate(unit.connection, self._order_id, last)  # noqa: B023 - awaited at once
                )
        finally:
            watch.close()

    async def _look(self, unit: ReadUnit) -> tuple[int, Order, list[StoredEvent]]:
        """The last event's number, the order (at least as new), and the events after the resume token."""
        seq = await outbox.last_seq(unit.connection, self._order_id)
        order = await repository.read(unit.connection, self._order_id)
        if order is None:
            raise NotFound("order", self._order_id)
        viewer = viewer_of(self._caller, order)
        if not (viewer.is_buyer or viewer.is_seller or viewer.is_admin):
            raise NotFound("order", self._order_id)
        if self._after_seq is None or not 0 <= self._after_seq < seq:
            return seq, order, []
        return seq, order, await outbox.read_aggregate(unit.connection, self._order_id, self._after_seq)


def _is_whole(missed: list[StoredEvent], after_seq: int, last_seq: int) -> bool:
    """Whether everything after `after_seq` is still there to be told."""
    if after_seq == last_seq:
        return True
    return bool(missed) and missed[0].seq == after_seq + 1


def _change(order: Order, event: StoredEvent) -> Change:
    face = event.payload["after"]
    if not isinstance(face, Mapping):
        raise TypeError(f"event {event.event_id} has no order in it")
    faces: Mapping[str, Json] = face
    return Change(
        event.seq,
        order.with_face(faces),
        OrderState(str(event.payload["previous_state"])),
        event.occurred_time,
    )

"""What those who follow orders are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from marketd.kernel.db.horizon import Horizon
from marketd.kernel.events.watch import ResetReason
from marketd.order.access import Viewer
from marketd.order.history.model import OrderEventKind
from marketd.order.history.values import FollowedEvent
from marketd.order.model import OrderState
from marketd.order.values import Order, OrderFilter


class Way(StrEnum):
    """What a step is to a watcher: the names of the messages."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Step:
    """A step with the order as it was after it. One for all watchers: `bodies` keeps what was made of it for one kind
    of viewer, for the next.
    """

    event: FollowedEvent
    order: Order
    bodies: dict[tuple[Way, Viewer], bytes] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Steps:
    """What is new in `until` to whoever has seen `since`, as far as it is for one watcher; with the times of both."""

    since: Horizon
    since_time: datetime
    until: Horizon
    until_time: datetime
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class OrdersSnapshot:
    """The watched orders, newest first. has_more: there are older ones."""

    orders: tuple[Order, ...]
    has_more: bool


@dataclass(frozen=True, slots=True)
class OrdersReset:
    """What was missed cannot be told any more; a snapshot follows."""

    reason: ResetReason


@dataclass(frozen=True, slots=True)
class StepTold:
    """A step, and what it is to this watcher."""

    way: Way
    step: Step


OrdersNews: TypeAlias = OrdersSnapshot | OrdersReset | StepTold


@dataclass(frozen=True, slots=True)
class Following:
    """Whose orders are followed, and which of them. account_id: None is everybody's.

    Of the filter count the states and the ids of buyers, sellers and groups.
    """

    account_id: UUID | None
    wanted: OrderFilter

    def fits(self, event: FollowedEvent) -> bool:
        """Whether the step is told."""
        wanted = self.wanted
        return (
            (self.account_id is None or self.account_id in (event.buyer_id, event.owner_user_id))
            and (not wanted.states or event.state in wanted.states or event.previous_state in wanted.states)
            and (not wanted.buyer_ids or event.buyer_id in wanted.buyer_ids)
            and (not wanted.seller_ids or event.seller_id in wanted.seller_ids)
            and (not wanted.order_group_ids or event.order_group_id in wanted.order_group_ids)
        )

    def way_of(self, event: FollowedEvent) -> Way:
        """What the step is to whoever follows these."""
        was_in = event.kind is not OrderEventKind.PLACED and self._has(event.previous_state)
        if not self._has(event.state):
            return Way.REMOVED
        return Way.CHANGED if was_in else Way.ADDED

    def _has(self, state: OrderState) -> bool:
        return not self.wanted.states or state in self.wanted.states

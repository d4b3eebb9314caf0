"""What somebody sees who watches: every message of a stream is kept, and others can wait for what is to come."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from marketplace.delivery.v1 import delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.tracking.v1 import tracking_service_pb2
from marketplace_client import MarketplaceError

from marketd.demo.records import CheckFailed, require

_M = TypeVar("_M")

WatchDelivery = tracking_service_pb2.WatchDeliveryResponse
WatchOrder = order_service_pb2.WatchOrderResponse
WatchDeliveries = delivery_service_pb2.WatchDeliveriesResponse


class Watch(Generic[_M]):
    """Collects the messages of one watch. `run` is a task of its own; it never raises what the server refused."""

    def __init__(self, name: str, messages: AsyncIterator[_M], on_message: Callable[[_M], None] | None = None) -> None:
        self.name = name
        self.seen: list[_M] = []
        self.ended = False
        self.failure: MarketplaceError | None = None
        self._messages: Any = messages  # an async generator, whose aclose the Protocol of iterators lacks
        self._on_message = on_message
        self._changed = asyncio.Condition()

    async def run(self) -> None:
        """Read to the end."""
        try:
            async with aclosing(self._messages) as messages:
                async for message in messages:
                    if self._on_message is not None:
                        self._on_message(message)
                    async with self._changed:
                        self.seen.append(message)
                        self._changed.notify_all()
        except MarketplaceError as error:
            self.failure = error
        async with self._changed:
            self.ended = True
            self._changed.notify_all()

    async def until(self, holds: Callable[[Sequence[_M]], bool], what: str, timeout: float = 15.0) -> None:
        """Wait until this holds for the messages so far. Raises CheckFailed when it does not come."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self.ended or holds(self.seen))
        except TimeoutError:
            raise CheckFailed(f"the {self.name} did not show {what} within {timeout:g} s") from None
        self._raise_failure()
        require(holds(self.seen), f"the {self.name} ended without {what}")

    async def until_end(self, timeout: float = 20.0) -> None:
        """Wait until the server has ended the stream with OK."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: self.ended)
        except TimeoutError:
            raise CheckFailed(f"the {self.name} did not end within {timeout:g} s") from None
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            raise CheckFailed(f"the {self.name} broke: {self.failure}")


def order_states(messages: Iterable[WatchOrder]) -> list[order_pb2.OrderState.ValueType]:
    """The states that a watcher of the order was told, each change once."""
    states: list[order_pb2.OrderState.ValueType] = []
    for message in messages:
        order = message.snapshot.order if message.HasField("snapshot") else message.changed.order
        if order.order_id and (not states or states[-1] != order.state):
            states.append(order.state)
    return states


def delivery_states(messages: Iterable[WatchDelivery]) -> list[delivery_pb2.DeliveryState.ValueType]:
    """The states that a watcher of the delivery was told. Raises CheckFailed when a change does not join the last."""
    states: list[delivery_pb2.DeliveryState.ValueType] = []
    begins = True
    for message in messages:
        if message.HasField("reset"):
            begins = True
        elif message.HasField("snapshot"):
            # A resumed stream begins with a snapshot too, but every change is still told.
            if begins and states[-1:] != [message.snapshot.state]:
                states.append(message.snapshot.state)
            begins = False
        elif message.HasField("state_change"):
            change = message.state_change
            name = delivery_pb2.DeliveryState.Name
            require(
                states and states[-1] == change.previous_state,
                f"a change from {name(change.previous_state)} to {name(change.state)} does not follow "
                f"{[name(state) for state in states]}",
            )
            states.append(change.state)
    return states


def check_positions(messages: Sequence[WatchDelivery]) -> int:
    """How many positions the buyer saw: none before pickup or after the close, and their times never go back."""
    count, last, state = 0, datetime.min.replace(tzinfo=UTC), delivery_pb2.DELIVERY_STATE_UNSPECIFIED
    riding = (delivery_pb2.DELIVERY_STATE_PICKED_UP, delivery_pb2.DELIVERY_STATE_AT_DROPOFF)
    for message in messages:
        if message.HasField("snapshot"):
            state = message.snapshot.state
        elif message.HasField("state_change"):
            state = message.state_change.state
        elif message.HasField("position"):
            time = message.position.sample_time.ToDatetime(tzinfo=UTC)
            require(state in riding, f"a position was shown in {delivery_pb2.DeliveryState.Name(state)}")
            require(time >= last, f"the position of {time} came after that of {last}")
            count, last = count + 1, time
    return count


def kinds(messages: Iterable[WatchDelivery]) -> dict[str, int]:
    """How many messages of each kind there were."""
    return dict(Counter(message.WhichOneof("event") or "none" for message in messages))


class Watchers:
    """Runs watches as long as its block lasts; leaving it ends those that still run."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, watch: Watch[Any]) -> None:
        """Begin to read."""
        self._tasks.append(self._group.create_task(watch.run()))

    async def __aenter__(self) -> Self:
        """Open the block."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watches; what left the block goes on as it is, not wrapped into a group."""
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(None, None, None)

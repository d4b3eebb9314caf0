"""The end of a story that stops in the middle: nobody is left on the road, and what stays is said.

What is open is asked of the server, not remembered: whatever was interrupted may have happened all the same.
"""

from __future__ import annotations

import asyncio

from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace_client import MarketplaceError

from marketd.demo.people import Cast
from marketd.demo.records import CheckFailed, require
from marketd.demo.stage import Stage

_SECONDS = 15.0
_PAUSE_SECONDS = 0.1
# A call that was interrupted in flight may still take effect; after this long it has, or never will.
_SECOND_LOOK_SECONDS = 0.3

_OPEN = (
    order_pb2.ORDER_STATE_PENDING_PAYMENT,
    order_pb2.ORDER_STATE_PAID,
    order_pb2.ORDER_STATE_ACCEPTED,
    order_pb2.ORDER_STATE_READY,
    order_pb2.ORDER_STATE_OUT_FOR_DELIVERY,
)
_ON_THE_ROAD = tuple(
    state
    for state in delivery_pb2.DeliveryState.values()
    if state not in (delivery_pb2.DELIVERY_STATE_UNSPECIFIED, delivery_pb2.DELIVERY_STATE_CLOSED)
)


async def wind_up(stage: Stage, cast: Cast) -> None:
    """Cancel what can be cancelled, deliver what is picked up, end the shift. Raises StoryStopped when it cannot."""
    async with stage.step(
        "wind_up",
        "Stopped in the middle: what is open is brought to its end",
        if_held="Stopped in the middle: nobody is left on the road",
        if_failed="Stopped in the middle, and not everything could be brought to its end",
    ) as detail:
        done: dict[str, str] = {}
        number = stage.progress.order_number
        detail["remains"] = _remains(cast)
        try:
            async with asyncio.timeout(_SECONDS):
                for pause in (0.0, _SECOND_LOOK_SECONDS):
                    await asyncio.sleep(pause)
                    await _close_orders(cast, done)
                    await _end_shift(cast, done)
        except TimeoutError:
            raise CheckFailed(f"this took more than {_SECONDS:g} s: {await _still_open(cast, number)}") from None
        except MarketplaceError as error:
            if not error.was_dropped:
                raise
            raise CheckFailed(await _still_open(cast, number)) from None
        finally:
            detail.update(done)
        still_open = await _still_open(cast, number)
        require(not still_open, still_open)


async def _close_orders(cast: Cast, done: dict[str, str]) -> None:
    """Bring every open order of this run's buyer to its end, and wait until its delivery is closed too."""
    if cast.buyer.tokens is None:
        return
    request = order_service_pb2.ListOrdersRequest(states=_OPEN)
    while True:
        orders = [order async for order in cast.buyer.orders(request)]
        # A cancelled order's delivery is closed by an event, a moment later.
        if not orders and not await _open_deliveries(cast):
            return
        for order in orders:
            try:
                if order.state == order_pb2.ORDER_STATE_OUT_FOR_DELIVERY:
                    # Picked-up goods cannot be called back: the courier brings them to the end.
                    await _deliver(cast, order.order_id)
                    done["delivered"] = order.order_number
                else:
                    await _cancel(cast, order.order_id)
                    done["cancelled"] = order.order_number
            except MarketplaceError as error:
                # It went on between the look and the call; the next look shows how it is now.
                if error.reason not in ("ILLEGAL_TRANSITION", "CONCURRENT_UPDATE"):
                    raise
        await asyncio.sleep(_PAUSE_SECONDS)


async def _cancel(cast: Cast, order_id: str) -> None:
    request = order_service_pb2.CancelOrderRequest(
        order_id=order_id, reason=order_pb2.CANCELLATION_REASON_OTHER, note="the demo was stopped"
    )
    await cast.buyer.order.CancelOrder(request)


async def _deliver(cast: Cast, order_id: str) -> None:
    for delivery in await _open_deliveries(cast):
        if delivery.order_id == order_id:
            request = delivery_service_pb2.CompleteDeliveryRequest(
                delivery_id=delivery.delivery_id, code=delivery.dropoff_code
            )
            await cast.courier.delivery.CompleteDelivery(request)


async def _open_deliveries(cast: Cast) -> list[delivery_pb2.Delivery]:
    request = delivery_service_pb2.ListDeliveriesRequest(states=_ON_THE_ROAD)
    return [delivery async for delivery in cast.buyer.deliveries(request)]


async def _end_shift(cast: Cast, done: dict[str, str]) -> None:
    if cast.courier.tokens is None:
        return
    try:
        await cast.courier.courier.EndShift(courier_service_pb2.EndShiftRequest())
        done["shift"] = "ended"
    except MarketplaceError as error:
        # None runs, or nobody has approved the courier yet, who then has no role either.
        if error.reason not in ("COURIER_OFF_SHIFT", "ROLE_REQUIRED"):
            raise


async def _still_open(cast: Cast, number: str) -> str:
    """What could not be ended, in words; empty when all is. number: of the order that the story has placed, if any."""
    if cast.buyer.tokens is None:
        return ""
    try:
        async with asyncio.timeout(_SECONDS / 3):
            left = [f"{each.delivery_id} of order {each.order_number}" for each in await _open_deliveries(cast)]
    except (TimeoutError, MarketplaceError):
        what = f"order {number}, if it was not closed before, stays open" if number else "no order was placed yet"
        return f"the server does not answer; {what}"
    return f"still on the road: {', '.join(left)}" if left else ""


def _remains(cast: Cast) -> str:
    if cast.seller.tokens is None:
        return "nothing was made"
    return (
        f"the shops demo-shop-{cast.suffix} and demo-tastings-{cast.suffix} with their products, promo codes "
        f"…-{cast.suffix}, and the accounts demo-…-{cast.suffix}@example.com"
    )

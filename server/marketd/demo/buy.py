"""Buying at two shops at once: quote, order, payment, and a piece that is called off again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.type import money_pb2
from marketplace.cart.v1 import cart_service_pb2, quote_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace_client import watch_order

from marketd.demo.goods import PERCENT, Codes, Voucher, funding
from marketd.demo.money import to_minor, to_text
from marketd.demo.people import Cast, address_at
from marketd.demo.records import CheckFailed, require
from marketd.demo.stage import Stage
from marketd.demo.traces.points import TracePoint
from marketd.demo.watches import Watch, Watchers, WatchOrder, order_states

_PREP_SECONDS = 300
_REFUND_SECONDS = 20.0
_POLL_SECONDS = 0.1


@dataclass
class Purchase:
    """What was bought: the order that is brought, with the buyer's watch over it, and the one of vouchers."""

    order: order_pb2.Order
    vouchers: order_pb2.Order
    payment_id: str
    watch: Watch[WatchOrder]


async def buy(
    stage: Stage, cast: Cast, watchers: Watchers, dropoff: TracePoint, voucher: Voucher, codes: Codes
) -> Purchase:
    """Quote, orders and payment; the buyer watches the order that will be brought from its first moment."""
    async with stage.step("quote", "The buyer asks what it costs and when it comes") as detail:
        home = address_at(dropoff, "Bo Demo", "Garden Street 12")
        quote = await cast.buyer.cart.QuoteOrder(cart_service_pb2.QuoteOrderRequest(address=home))
        detail["total"], detail["packages"] = to_text(quote.total), len(quote.packages)
        detail["problems"] = [problem.message for problem in quote.problems]
        require(quote.quote_token, f"the quote has blocking problems: {detail['problems']}")
        detail["discounts"] = _told(quote.promotions)
        _check_quote(quote, codes)
    async with stage.step("place", "The buyer places one order at each shop") as detail:
        place = order_service_pb2.PlaceOrderRequest(quote_token=quote.quote_token, expected_total=quote.total)
        group = (await cast.buyer.order.PlaceOrder(place)).order_group
        require(len(group.orders) == 2, f"{len(group.orders)} orders came of two sellers' goods")
        (vouchers,) = (order for order in group.orders if order.seller_id == voucher.seller_id)
        (order,) = (order for order in group.orders if order.seller_id != voucher.seller_id)
        detail["order_number"], detail["total"] = order.order_number, to_text(group.total)
        detail["order_id"], detail["order_numbers"] = order.order_id, [each.order_number for each in group.orders]
        detail["discounts"] = {each.order_number: _told(each.promotions) for each in group.orders}
        _check_orders(quote, order, vouchers, group.total)
        require(order.state == order_pb2.ORDER_STATE_PENDING_PAYMENT, "a placed order does not wait for payment")
        watch = Watch("order watch", watch_order(cast.buyer, order.order_id, give_up_after=20), _order_shower(stage))
        stage.progress.order_number = order.order_number
        watchers.start(watch)
        await watch.until(lambda seen: bool(order_states(seen)), "a snapshot")
    async with stage.step("pay", "The buyer pays both in the sandbox") as detail:
        payment = (
            await cast.buyer.payment.ConfirmPayment(
                payment_service_pb2.ConfirmPaymentRequest(
                    payment_id=group.payment.payment_id, payment_method=payment_pb2.PaymentMethod(sandbox="ok")
                )
            )
        ).payment
        detail["captured"] = to_text(payment.captured_amount)
        require(payment.state == payment_pb2.PAYMENT_STATE_CAPTURED, "the payment is not CAPTURED")
        require(payment.captured_amount == group.total, "another amount was captured than the orders come to")
        for placed in (order, vouchers):
            paid = await _order(cast, placed.order_id)
            require(paid.state == order_pb2.ORDER_STATE_PAID, "the payment is captured, but an order is not PAID")
    return Purchase(order, vouchers, payment.payment_id, watch)


async def cancel_a_piece(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """One of two vouchers is called off: its part of the price is given back, and its part of the discount is not."""
    async with stage.step("cancel", "The buyer calls one of the two vouchers off") as detail:
        before = await _order(cast, purchase.vouchers.order_id)
        line = before.items[0]
        request = order_service_pb2.CancelOrderRequest(
            order_id=before.order_id,
            lines=[order_service_pb2.CancelledLine(item_id=line.item_id, quantity=1)],
            reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND,
            etag=before.etag,
        )
        after = (await cast.buyer.order.CancelOrder(request)).order
        cancelled = to_minor(after.cancelled_amount)
        detail["cancelled"] = to_text(after.cancelled_amount)
        detail["discounts"] = _told(after.promotions)
        require(after.state == order_pb2.ORDER_STATE_PAID, "an order of which something is left is not PAID any more")
        require(after.items[0].cancelled_quantity == 1, "the voucher is not called off")
        paid = to_minor(line.line_total) - to_minor(line.discount_amount)
        require(abs(2 * cancelled - paid) <= 1, f"{cancelled} of {paid} cents are given back")
        borne, bore = _sum(after.promotions), _sum(before.promotions)
        require(abs(2 * borne - bore) <= 1, f"{borne} of {bore} cents are still taken off")
        detail["refunded"] = to_text(await _refunded(cast, after))


async def hand_out_vouchers(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """What needs no courier is delivered as soon as it is ready."""
    async with stage.step("vouchers", "The second shop sends the voucher, which needs no courier") as detail:
        order_id = purchase.vouchers.order_id
        await cast.neighbour.order.AcceptOrder(order_service_pb2.AcceptOrderRequest(order_id=order_id))
        ready = order_service_pb2.MarkOrderReadyRequest(order_id=order_id)
        order = (await cast.neighbour.order.MarkOrderReady(ready)).order
        detail["state"] = order_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")
        require(
            order.state == order_pb2.ORDER_STATE_DELIVERED, "what needs no courier is not DELIVERED once it is ready"
        )


async def prepare(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """The seller takes the order on and has it ready; the buyer sees both."""
    order_id = purchase.order.order_id
    async with stage.step("accept", "The seller accepts the order") as detail:
        request = order_service_pb2.ListOrdersRequest(states=[order_pb2.ORDER_STATE_PAID])
        mine = [order async for order in cast.seller.orders(request)]
        require([order.order_id for order in mine] == [order_id], "the seller's list does not show the paid order")
        accept = order_service_pb2.AcceptOrderRequest(
            order_id=order_id, prep_duration=Duration(seconds=_PREP_SECONDS), etag=mine[0].etag
        )
        accepted = (await cast.seller.order.AcceptOrder(accept)).order
        detail["state"] = order_pb2.OrderState.Name(accepted.state).removeprefix("ORDER_STATE_")
        await _shown(purchase, order_pb2.ORDER_STATE_ACCEPTED)
    async with stage.step("ready", "The seller has it ready") as detail:
        request_ready = order_service_pb2.MarkOrderReadyRequest(order_id=order_id, etag=accepted.etag)
        ready = (await cast.seller.order.MarkOrderReady(request_ready)).order
        detail["state"] = order_pb2.OrderState.Name(ready.state).removeprefix("ORDER_STATE_")
        await _shown(purchase, order_pb2.ORDER_STATE_READY)


async def check_order(stage: Stage, cast: Cast, purchase: Purchase) -> None:
    """The buyer was shown every state of the order, each once and in order."""
    async with stage.step("order", "The buyer saw every state of the order") as detail:
        await _shown(purchase, order_pb2.ORDER_STATE_DELIVERED)
        states = order_states(purchase.watch.seen)
        names = [order_pb2.OrderState.Name(state).removeprefix("ORDER_STATE_") for state in states]
        detail["states"] = names
        wanted = ["PENDING_PAYMENT", "PAID", "ACCEPTED", "READY", "OUT_FOR_DELIVERY", "DELIVERED"]
        if names != wanted:
            raise CheckFailed(f"the watch showed {names} instead of {wanted}")
        request = order_service_pb2.GetOrderRequest(order_id=purchase.order.order_id)
        order = (await cast.buyer.order.GetOrder(request)).order
        require(order.state == order_pb2.ORDER_STATE_DELIVERED, "the order is not DELIVERED")


async def _shown(purchase: Purchase, state: order_pb2.OrderState.ValueType) -> None:
    name = order_pb2.OrderState.Name(state)
    await purchase.watch.until(lambda seen: state in order_states(seen), name)


def _order_shower(stage: Stage) -> Callable[[WatchOrder], None]:
    def show(message: WatchOrder) -> None:
        states = order_states([message])
        if states:
            stage.progress.order_state = order_pb2.OrderState.Name(states[-1]).removeprefix("ORDER_STATE_")
            stage.moved()

    return show


async def _refunded(cast: Cast, order: order_pb2.Order) -> money_pb2.Money:
    """What has been given back, once it is all that was called off; the provider is asked behind the cancellation."""
    end = time.monotonic() + _REFUND_SECONDS
    while (now := await _order(cast, order.order_id)).refunded_amount != order.cancelled_amount:
        require(time.monotonic() < end, f"{to_text(now.refunded_amount)} are given back {_REFUND_SECONDS:g} s later")
        await asyncio.sleep(_POLL_SECONDS)
    return now.refunded_amount


async def _order(cast: Cast, order_id: str) -> order_pb2.Order:
    return (await cast.buyer.order.GetOrder(order_service_pb2.GetOrderRequest(order_id=order_id))).order


def _check_quote(quote: cart_service_pb2.QuoteOrderResponse, codes: Codes) -> None:
    """Both codes take off what they say, and the parts add up. Raises CheckFailed."""
    taken = {each.code: each for each in quote.promotions}
    require(set(taken) == {codes.everywhere, codes.shop}, f"the quote has the codes {sorted(taken)}")
    share, subtotal = to_minor(taken[codes.everywhere].discount_amount), to_minor(quote.subtotal)
    is_right = abs(100 * share - PERCENT * subtotal) <= 50
    require(is_right, f"{share} of {subtotal} cents are not {PERCENT} %")
    require(to_minor(taken[codes.shop].discount_amount) > 0, "the shop's code takes nothing off")
    payers = [funding(taken[code].funded_by) for code in (codes.everywhere, codes.shop)]
    require(payers == ["PLATFORM", "SELLER"], f"the codes are paid for by {payers}")
    require(_sum(quote.promotions) == to_minor(quote.discount_amount), "the codes do not add up to the discount")
    parts = subtotal - to_minor(quote.discount_amount)
    parts += to_minor(quote.delivery_fee) - to_minor(quote.delivery_discount_amount)
    require(parts == to_minor(quote.total), "the quote's parts do not add up to its total")


def _check_orders(
    quote: cart_service_pb2.QuoteOrderResponse,
    order: order_pb2.Order,
    vouchers: order_pb2.Order,
    total: money_pb2.Money,
) -> None:
    """The orders come to what was quoted, and each bears its own part of the codes. Raises CheckFailed."""
    both = (order, vouchers)
    require(total == quote.total, "the orders come to another total than was quoted")
    require(sum(to_minor(each.total) for each in both) == to_minor(total), "the orders do not add up to their group")
    require(len(order.promotions) == 2, "the order does not carry both codes")
    require(len(vouchers.promotions) == 1, "another shop's order does not carry the marketplace's code alone")
    carried = sum(_sum(each.promotions) for each in both)
    require(carried == to_minor(quote.discount_amount), "the orders carry another discount than was quoted")


def _told(promotions: Iterable[quote_pb2.AppliedPromotion]) -> dict[str, str]:
    """What each code takes off the goods, and who pays that."""
    return {each.code: f"{to_text(each.discount_amount)}, {funding(each.funded_by)}" for each in promotions}


def _sum(promotions: Iterable[quote_pb2.AppliedPromotion]) -> int:
    return sum(to_minor(each.discount_amount) for each in promotions)

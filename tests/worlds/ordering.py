"""A small marketplace for the tests of cart, payment and order: what there is to buy, buyers, and their calls."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from google.type.money_pb2 import Money as MoneyMessage
from marketd.cart import wiring as cart
from marketd.cart.pricing import Pricing
from marketd.cart.servicer import CartServicer
from marketd.config import Settings
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import ANONYMOUS, GUEST_ROLES, Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.kernel.wire import to_address
from marketd.order import wiring as order
from marketd.order.pay import PaidOrders
from marketd.order.service import has_ordered
from marketd.order.servicer import OrderServicer
from marketd.payment import wiring as payment
from marketd.payment.attempts.confirm import PaymentConfirmer
from marketd.payment.ports import Provider, Providers
from marketd.payment.providers.sandbox import SandboxProvider
from marketd.payment.servicer import PaymentServicer
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.type.v1 import cart_merge_pb2

from tests.worlds import calls
from tests.worlds.built import Built
from tests.worlds.goods import CURRENCY, HOME, Goods, MovableClock, OneFee, Shop
from tests.worlds.parts import make_parts

SUM: Final = cart_merge_pb2.CART_MERGE_STRATEGY_SUM


class Request(Protocol):
    """Any request message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802 - protobuf's name


Req = TypeVar("Req", bound=Request)
Response = TypeVar("Response")


PRICING: Final = Pricing(CURRENCY, has_ordered)
"""How the carts of this marketplace are priced."""


class Market(Goods):
    """One worker of the marketplace; `on` makes others, which serve the same database."""

    def __init__(
        self, tx: Transactor, clock: MovableClock, provider: Provider | None = None, settings: Settings | None = None
    ) -> None:
        super().__init__(tx)
        parts = make_parts(tx, clock=clock, settings=settings)
        self.clock, self.quoter, self.sandbox = clock, OneFee(), SandboxProvider(tx)
        providers = Providers({"sandbox": provider or self.sandbox}, "sandbox")
        self.built = Built(
            parts,
            *("inventory", "cart", "payment", "order"),
            instead={
                "cart": partial(cart.build, quoter=lambda _parts: self.quoter, history=has_ordered),
                "payment": partial(payment.build, orders=PaidOrders.of, providers=lambda _tx: providers),
                "order": partial(order.build, providers=lambda _tx: providers),
            },
        )
        self.carts = self.built.servicer(CartServicer)
        self.payments = self.built.servicer(PaymentServicer)
        self.orders = self.built.servicer(OrderServicer)
        self.confirmer = PaymentConfirmer(tx=tx, providers=providers, orders=PaidOrders.of(parts.settings))
        """Looks for attempts that were left alone, as payment's background work does."""

    async def call(
        self, caller: Caller, method: Callable[[Req, Any], Awaitable[Response]], request: Req, method_name: str = ""
    ) -> Response:
        """Call a servicer's method as transport does: in a task of its own, with the request's idempotency key."""
        request_id = getattr(request, "request_id", "")
        name = method_name or getattr(method, "__name__", "")
        fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        once = OnceKey(caller.key, name, request_id, fingerprint) if request_id else None
        return await calls.call(caller, method, request, once)

    async def add(self, buyer: Caller, variant_id: UUID, quantity: int = 1) -> cart_pb2.Cart:
        """AddCartItem."""
        request = cart_service_pb2.AddCartItemRequest(variant_id=str(variant_id), quantity=quantity)
        return (await self.call(buyer, self.carts.AddCartItem, request)).cart

    async def cart(self, buyer: Caller) -> cart_pb2.Cart:
        """GetCart."""
        return (await self.call(buyer, self.carts.GetCart, cart_service_pb2.GetCartRequest())).cart

    async def guest(self) -> tuple[Caller, str]:
        """CreateGuestCart: who holds the token, as the edge knows them, and the token."""
        request = cart_service_pb2.CreateGuestCartRequest()
        answer = await self.call(ANONYMOUS, self.carts.CreateGuestCart, request)
        return Caller(None, None, GUEST_ROLES, guest_cart_id=UUID(answer.cart.cart_id)), answer.guest_token

    async def merge(
        self,
        buyer: Caller,
        guest_token: str,
        strategy: cart_merge_pb2.CartMergeStrategy.ValueType = SUM,
        request_id: str = "",
    ) -> cart_service_pb2.MergeCartsResponse:
        """MergeCarts."""
        request = cart_service_pb2.MergeCartsRequest(
            guest_token=guest_token, strategy=strategy, request_id=request_id or str(new_id())
        )
        answer: Any = await self.call(buyer, self.carts.MergeCarts, request)
        return parsed(answer, cart_service_pb2.MergeCartsResponse)

    async def quote(self, buyer: Caller) -> cart_service_pb2.QuoteOrderResponse:
        """QuoteOrder to HOME."""
        request = cart_service_pb2.QuoteOrderRequest(address=to_address(HOME))
        return await self.call(buyer, self.carts.QuoteOrder, request)

    async def place_quote(
        self,
        buyer: Caller,
        quote: cart_service_pb2.QuoteOrderResponse,
        *,
        expected: MoneyMessage | None = None,
        request_id: str = "",
        orders: OrderServicer | None = None,
    ) -> order_pb2.OrderGroup:
        """PlaceOrder of a quote."""
        request = order_service_pb2.PlaceOrderRequest(
            request_id=request_id or str(new_id()),
            quote_token=quote.quote_token,
            expected_total=expected or quote.total,
        )
        answer: Any = await self.call(buyer, (orders or self.orders).PlaceOrder, request)
        return parsed(answer, order_service_pb2.PlaceOrderResponse).order_group

    async def place(self, buyer: Caller, *lines: tuple[UUID, int]) -> order_pb2.OrderGroup:
        """Put lines into the cart, quote and order them."""
        for variant_id, quantity in lines:
            await self.add(buyer, variant_id, quantity)
        return await self.place_quote(buyer, await self.quote(buyer))

    async def confirm(
        self, buyer: Caller, payment_id: str, method: str = "ok", request_id: str = ""
    ) -> payment_pb2.Payment:
        """ConfirmPayment."""
        request = payment_service_pb2.ConfirmPaymentRequest(
            request_id=request_id or str(new_id()),
            payment_id=payment_id,
            payment_method=payment_pb2.PaymentMethod(sandbox=method),
        )
        answer: Any = await self.call(buyer, self.payments.ConfirmPayment, request)
        return parsed(answer, payment_service_pb2.ConfirmPaymentResponse).payment

    async def paid(self, buyer: Caller, *lines: tuple[UUID, int]) -> order_pb2.OrderGroup:
        """A placed and paid group, as it was placed."""
        group = await self.place(buyer, *lines)
        await self.confirm(buyer, group.payment.payment_id)
        return group

    async def get(self, caller: Caller, order_id: str) -> order_pb2.Order:
        """GetOrder."""
        request = order_service_pb2.GetOrderRequest(order_id=order_id)
        return (await self.call(caller, self.orders.GetOrder, request)).order

    async def get_payment(self, caller: Caller, payment_id: str) -> payment_pb2.Payment:
        """GetPayment."""
        request = payment_service_pb2.GetPaymentRequest(payment_id=payment_id)
        return (await self.call(caller, self.payments.GetPayment, request)).payment

    async def accept(self, shop: Shop, order_id: str, etag: str = "") -> order_pb2.Order:
        """AcceptOrder with the seller's usual minutes."""
        request = order_service_pb2.AcceptOrderRequest(order_id=order_id, etag=etag)
        return (await self.call(shop.caller, self.orders.AcceptOrder, request)).order

    async def ready(self, shop: Shop, order_id: str) -> order_pb2.Order:
        """MarkOrderReady."""
        request = order_service_pb2.MarkOrderReadyRequest(order_id=order_id)
        return (await self.call(shop.caller, self.orders.MarkOrderReady, request)).order

    async def reject(
        self,
        shop: Shop,
        order_id: str,
        *,
        reason: order_pb2.CancellationReason.ValueType = order_pb2.CANCELLATION_REASON_OUT_OF_STOCK,
        note: str = "",
        etag: str = "",
    ) -> order_pb2.Order:
        """RejectOrder."""
        request = order_service_pb2.RejectOrderRequest(order_id=order_id, reason=reason, note=note, etag=etag)
        return (await self.call(shop.caller, self.orders.RejectOrder, request)).order

    async def cancel(
        self,
        caller: Caller,
        order_id: str,
        *lines: tuple[str, int | None],
        reason: order_pb2.CancellationReason.ValueType = order_pb2.CANCELLATION_REASON_OTHER,
        note: str = "",
        etag: str = "",
        request_id: str = "",
    ) -> order_pb2.Order:
        """CancelOrder, whole or lines; None is all that is left of a line."""
        request = order_service_pb2.CancelOrderRequest(
            request_id=request_id or str(new_id()),
            order_id=order_id,
            reason=reason,
            note=note,
            lines=[order_service_pb2.CancelledLine(item_id=item, quantity=quantity) for item, quantity in lines],
            etag=etag,
        )
        answer: Any = await self.call(caller, self.orders.CancelOrder, request)
        return parsed(answer, order_service_pb2.CancelOrderResponse).order

    async def refund(
        self,
        caller: Caller,
        payment_id: str,
        *,
        order_id: str = "",
        minor: int | None = None,
        etag: str = "",
        request_id: str = "",
    ) -> payment_service_pb2.RefundPaymentResponse:
        """RefundPayment: `minor` or all of an order, or the whole group when none is named."""
        request = payment_service_pb2.RefundPaymentRequest(
            request_id=request_id or str(new_id()), payment_id=payment_id, reason="because", etag=etag
        )
        if order_id:
            amount = None if minor is None else money(minor)
            request.order.CopyFrom(payment_service_pb2.OrderRefund(order_id=order_id, amount=amount))
        else:
            request.whole_group.SetInParent()
        answer: Any = await self.call(caller, self.payments.RefundPayment, request)
        return parsed(answer, payment_service_pb2.RefundPaymentResponse)

    async def run_jobs(self, *, ahead: timedelta = timedelta(0)) -> None:
        """Run every job that is due `ahead` of now."""
        self.clock.ahead += ahead
        await self.built.run_jobs()
        self.clock.ahead -= ahead

    async def violations(self) -> Sequence[str]:
        """Everything that is wrong with stock, payments and orders."""
        return await self.built.violations()

    def on(self, tx: Transactor, provider: Provider | None = None) -> Market:
        """The same marketplace served by another worker, or with another provider."""
        return Market(tx, self.clock, provider)


M = TypeVar("M", bound=Message)


def parsed(answer: Any, kind: type[M]) -> M:
    """An answer to a request with an id is the stored bytes."""
    return answer if isinstance(answer, kind) else kind.FromString(stored(answer))


def stored(answer: object) -> bytes:
    """The bytes that a request with an id was answered with."""
    assert isinstance(answer, bytes)
    return answer


def money(amount_minor: int) -> MoneyMessage:
    """google.type.Money."""
    return MoneyMessage(currency_code=CURRENCY, units=amount_minor // 100, nanos=amount_minor % 100 * 10**7)


def minor(message: MoneyMessage) -> int:
    """Minor units of google.type.Money."""
    return int(message.units * 100 + message.nanos // 10**7)

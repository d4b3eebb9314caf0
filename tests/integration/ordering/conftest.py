"""A small marketplace for the tests of cart, payment and order: real sellers, products, stock, buyers and servicers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

import pytest
from google.protobuf.message import Message
from google.type.money_pb2 import Money as MoneyMessage
from marketd.auth.accounts import create as auth
from marketd.cart.ports import DeliveryQuote, Unit
from marketd.cart.quotes.tokens import QuoteTokens
from marketd.cart.servicer import CartServicer
from marketd.catalog import products
from marketd.catalog.values import NewProduct, NewVariant
from marketd.inventory import invariants as inventory_invariants
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.pages import Pager
from marketd.kernel.db.database import create_engine
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.broadcast import LocalBroadcast
from marketd.kernel.events.feed import Feed
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.values.address import Address
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.kernel.wire import to_address
from marketd.kernel.work.job_runner import JobRunner
from marketd.order import invariants as order_invariants
from marketd.order.expire import EXPIRE, expire_group
from marketd.order.pay import PaidOrders
from marketd.order.servicer import OrderServicer
from marketd.payment import invariants as payment_invariants
from marketd.payment.attempts.confirm import PaymentConfirmer
from marketd.payment.jobs import RECONCILE, REFUND
from marketd.payment.ports import Provider, Providers
from marketd.payment.providers.sandbox import SandboxProvider
from marketd.payment.refunds.refund import PaymentRefunder
from marketd.payment.servicer import PaymentServicer
from marketd.seller import sellers
from marketd.seller.values import Contact, NewSeller
from marketplace.cart.v1 import cart_pb2, cart_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2

from tests.worlds.jobs import run_due

CURRENCY = "EUR"
SECRET = b"a secret of the tests, long enough"
HOME = Address("Ada", "+49302222222", ("Kastanienallee 9",), "Berlin", "", "10435", "DE", Point(52.5400, 13.4100))
SHOP = Address("Radhaus", "+49301111111", ("Torstr. 1",), "Berlin", "", "10119", "DE", Point(52.5300, 13.4000))


class Request(Protocol):
    """Any request message."""

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802 - protobuf's name


Req = TypeVar("Req", bound=Request)
Response = TypeVar("Response")


class MovableClock:
    """The machine's clock, moved ahead by hand."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        """The instant that the marketplace believes it is."""
        return SystemClock().now() + self.ahead


class OneFee:
    """Brings everything for one fee, but nowhere when it is told so."""

    def __init__(self) -> None:
        self.serves = True

    async def quote(
        self, unit: Unit, pickup: Point | None, dropoff: Point | None, prep_minutes: int
    ) -> DeliveryQuote | None:
        """A fee of 4.90 and an hour."""
        if not self.serves:
            return None
        return DeliveryQuote(
            Money(490, CURRENCY), unit.now + timedelta(minutes=30), unit.now + timedelta(minutes=60), 1200.0
        )


@dataclass(frozen=True)
class Shop:
    """A seller that sells."""

    seller_id: UUID
    caller: Caller


@dataclass
class Market:
    """What the tests act with; `others` serve on engines of their own, as other workers do."""

    tx: Transactor
    clock: MovableClock
    quoter: OneFee
    carts: CartServicer
    payments: PaymentServicer
    orders: OrderServicer
    sandbox: SandboxProvider
    confirming: PaymentConfirmer
    runner: JobRunner
    paid_orders: PaidOrders
    admin: Caller = field(default_factory=lambda: caller_of(new_id(), Role.ADMIN))

    async def account(self, *roles: Role) -> Caller:
        """A new account that calls with these roles."""
        name = new_id().hex
        phone = "+49" + str(int(name[-10:], 16))[:12]
        new = auth.NewAccount(f"{name}@example.org", "", phone, "Kim Lee", "x")
        row = await self.tx.run("test.account", lambda uow: auth.create_account(uow, new, frozenset(roles)))
        return caller_of(row.user_id, *roles)

    async def buyer(self) -> Caller:
        """A buyer. Most tests need no more of one than its id."""
        return caller_of(new_id(), Role.BUYER)

    async def shop(self) -> Shop:
        """A seller that may sell."""
        caller = await self.account(Role.BUYER)
        new = NewSeller("", f"Shop {new_id().hex}", "", SHOP, Contact("Kim"), 10, "Europe/Berlin", ())
        seller = await self.tx.run("test.shop", lambda uow: sellers.create_seller(uow, caller, new))
        await self.tx.run("test.approve", lambda uow: sellers.approve_seller(uow, self.admin, seller.seller_id, ""))
        return Shop(seller.seller_id, caller_of(caller.known_user_id, Role.BUYER, Role.SELLER))

    async def variant(self, shop: Shop, *, stock: int = 100, price_minor: int = 1_000) -> UUID:
        """A published product with one variant."""
        return (await self.variants(shop, 1, stock=stock, price_minor=price_minor))[0]

    async def variants(self, shop: Shop, count: int, *, stock: int = 100, price_minor: int = 1_000) -> list[UUID]:
        """A published product with so many variants."""
        new = NewProduct(
            seller_id=None,
            title="Lamp",
            slug="",
            description="",
            category_id=None,
            brand_id=None,
            tags=(),
            option_names=("Size",),
            variants=[
                NewVariant("", {"Size": str(n)}, Money(price_minor, CURRENCY), None, stock, True, "", 0)
                for n in range(count)
            ],
            images=(),
        )
        made = await self.tx.run("test.product", lambda uow: products.create_product(uow, shop.caller, new, CURRENCY))
        await self.tx.run("test.publish", lambda uow: products.publish_product(uow, shop.caller, made.product_id))
        return [variant.variant_id for variant in made.variants]

    async def set_price(self, variant_id: UUID, price_minor: int) -> None:
        """The seller changes a price."""
        await self.execute("UPDATE variants SET price_minor = $2 WHERE variant_id = $1", variant_id, price_minor)

    async def execute(self, statement: str, *arguments: object) -> None:
        """Run a statement."""
        await self.tx.run("test.execute", lambda uow: uow.connection.execute(statement, *arguments))

    async def value(self, statement: str, *arguments: object) -> Any:
        """The one value of a query."""
        return await self.tx.read(lambda unit: unit.connection.fetchval(statement, *arguments))

    async def reserved(self, variant_id: UUID) -> int:
        """How many pieces are promised."""
        return int(await self.value("SELECT reserved FROM stocks WHERE variant_id = $1", variant_id))

    # -- the calls

    async def call(
        self, caller: Caller, method: Callable[[Req, Any], Awaitable[Response]], request: Req, method_name: str = ""
    ) -> Response:
        """Call a servicer's method as transport does: in a task of its own, with the request's idempotency key."""
        request_id = getattr(request, "request_id", "")
        name = method_name or getattr(method, "__name__", "")
        fingerprint = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
        once = OnceKey(caller.key, name, request_id, fingerprint) if request_id else None

        async def served() -> Response:
            calls.enter(Call(caller=caller, once=once))
            return await method(request, None)

        return await asyncio.create_task(served())

    async def add(self, buyer: Caller, variant_id: UUID, quantity: int = 1) -> cart_pb2.Cart:
        """AddCartItem."""
        request = cart_service_pb2.AddCartItemRequest(variant_id=str(variant_id), quantity=quantity)
        return (await self.call(buyer, self.carts.AddCartItem, request)).cart

    async def cart(self, buyer: Caller) -> cart_pb2.Cart:
        """GetCart."""
        return (await self.call(buyer, self.carts.GetCart, cart_service_pb2.GetCartRequest())).cart

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
            request_id=request_id or str(new_id()), payment_id=payment_id, payment_method=method
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

    async def cancel(
        self, caller: Caller, order_id: str, *lines: tuple[str, int], request_id: str = ""
    ) -> order_pb2.Order:
        """CancelOrder, whole or lines."""
        request = order_service_pb2.CancelOrderRequest(
            request_id=request_id or str(new_id()),
            order_id=order_id,
            reason=order_pb2.CANCELLATION_REASON_CHANGED_MIND,
            lines=[order_service_pb2.CancelledLine(item_id=item, quantity=quantity) for item, quantity in lines],
        )
        answer: Any = await self.call(caller, self.orders.CancelOrder, request)
        return parsed(answer, order_service_pb2.CancelOrderResponse).order

    async def refund(
        self, caller: Caller, payment_id: str, *, order_id: str = "", minor: int | None = None, request_id: str = ""
    ) -> payment_service_pb2.RefundPaymentResponse:
        """RefundPayment."""
        request = payment_service_pb2.RefundPaymentRequest(
            request_id=request_id or str(new_id()), payment_id=payment_id, order_id=order_id, reason="because"
        )
        if minor is not None:
            request.amount.CopyFrom(money(minor))
        answer: Any = await self.call(caller, self.payments.RefundPayment, request)
        return parsed(answer, payment_service_pb2.RefundPaymentResponse)

    async def run_jobs(self, *, ahead: timedelta = timedelta(0)) -> None:
        """Run every job that is due `ahead` of now."""
        self.clock.ahead += ahead
        while await run_due(self.runner):
            pass
        self.clock.ahead -= ahead

    async def violations(self) -> Sequence[str]:
        """Everything that is wrong with stock, payments and orders."""

        async def check(unit: Any) -> list[str]:
            return [
                *await violations(unit.connection, inventory_invariants.INVARIANTS),
                *await violations(unit.connection, payment_invariants.INVARIANTS),
                *await violations(unit.connection, order_invariants.INVARIANTS),
            ]

        return await self.tx.read(check)

    def on(self, tx: Transactor, provider: Provider | None = None) -> Market:
        """The same marketplace served by another worker, or with another provider."""
        return build(tx, self.clock, provider)


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


def caller_of(user_id: UUID, *roles: Role) -> Caller:
    """A caller with a session."""
    return Caller(user_id, new_id(), frozenset(roles))


def build(tx: Transactor, clock: MovableClock, provider: Provider | None = None) -> Market:
    """A worker of the marketplace."""
    sandbox, quoter, paid_orders = SandboxProvider(tx), OneFee(), PaidOrders()
    feed = Feed(LocalBroadcast())
    tx.listen(feed.committed)
    providers = Providers({"sandbox": provider or sandbox}, "sandbox")
    confirming = PaymentConfirmer(tx=tx, providers=providers, orders=paid_orders)
    refunding = PaymentRefunder(tx=tx, providers=providers, orders=paid_orders)
    runner = JobRunner(tx, concurrency=8)
    runner.register(EXPIRE, expire_group)
    runner.register_outside(RECONCILE, confirming.reconcile)
    runner.register_outside(REFUND, refunding.carry_out)
    quotes = QuoteTokens(SECRET)
    return Market(
        tx=tx,
        clock=clock,
        quoter=quoter,
        carts=CartServicer(
            tx=tx, quoter=quoter, quotes=quotes, quote_lifetime=timedelta(minutes=15), currency=CURRENCY
        ),
        payments=PaymentServicer(
            tx=tx,
            providers=providers,
            orders=paid_orders,
            confirmer=confirming,
            refunder=refunding,
            currency=CURRENCY,
        ),
        orders=OrderServicer(
            tx=tx,
            pager=Pager(tx, SECRET),
            resume=ResumeTokens(SECRET, "test-watch", clock),
            feed=feed,
            quotes=quotes,
            providers=providers,
            unpaid_lifetime=timedelta(minutes=30),
            currency=CURRENCY,
        ),
        sandbox=sandbox,
        confirming=confirming,
        runner=runner,
        paid_orders=paid_orders,
    )


@pytest.fixture
async def market(database_url: str) -> AsyncIterator[Market]:
    """The marketplace on the test's own database."""
    clock = MovableClock()
    engine = create_engine(database_url, pool_size=20, pool_timeout_seconds=5)
    tx = Transactor(engine, clock)
    yield build(tx, clock)
    await tx.drain()
    await engine.dispose()


@pytest.fixture
async def other(database_url: str, market: Market) -> AsyncIterator[Market]:
    """A second worker on an engine of its own."""
    engine = create_engine(database_url, pool_size=20, pool_timeout_seconds=5)
    tx = Transactor(engine, market.clock)
    yield market.on(tx)
    await tx.drain()
    await engine.dispose()

"""The people and goods of the fault tests, made through the rpcs themselves; plain data, so it outlives event loops."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import uuid4

import asyncpg
import grpc
from google.protobuf.message import Message
from google.type import latlng_pb2, money_pb2
from marketd import app as composition
from marketd.transport.access import AccessTable
from marketd.transport.rules import Rule
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.payment.v1 import payment_service_pb2
from marketplace.seller.v1 import seller_service_pb2
from marketplace.type.v1 import address_pb2
from marketplace_client.errors import MarketplaceError, from_rpc_error

from tests.canaries import MARK, WATCH
from tests.faults.served import ADMIN_EMAIL, ADMIN_PASSWORD

PASSWORD: Final = f"a passphrase of the tests {MARK}"
CURRENCY: Final = "EUR"
CALL_SECONDS: Final = 10.0
SETTLE_SECONDS: Final = 30.0

RULES: Final[dict[type[Message], Rule]] = {rule.request: rule for rule in AccessTable.from_names(composition.SERVICES)}
"""The rpc of each request message; the contract gives every rpc its own."""

# The caller cannot know whether it happened, or it certainly did not: the same request is sent again.
_UNSETTLED_REASONS: Final = frozenset({"REQUEST_IN_PROGRESS", "CONCURRENT_UPDATE"})

_INSIDES: Final = re.compile(r"Traceback|asyncpg|SELECT |postgres://|postgresql://|/usr/")


@dataclass(frozen=True)
class Account:
    """Somebody who may call."""

    user_id: str
    email: str
    token: str


@dataclass(frozen=True)
class Variant:
    """Something to buy."""

    product_id: str
    variant_id: str


@dataclass(frozen=True)
class Answer:
    """A call's answer as it came over the wire."""

    payload: bytes
    replayed: bool


class Lines:
    """Connections to one server, each of its own, used in turn; the kernel spreads them over the workers."""

    def __init__(self, port: int, count: int = 4) -> None:
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 50),
            # Despite its name the time that one attempt to connect may take.
            ("grpc.min_reconnect_backoff_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 250),
            ("grpc.enable_retries", 0),
        ]
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(count)]
        self._next = itertools.cycle(self.channels)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self.channels:
            await channel.close()

    def next(self) -> grpc.aio.Channel:
        """One of the connections."""
        return next(self._next)

    async def raw(
        self,
        account: Account | None,
        request: Message,
        *,
        seconds: float | None = CALL_SECONDS,
        wait_for_ready: bool = False,
        channel: grpc.aio.Channel | None = None,
    ) -> Answer:
        """Send it once. Raises MarketplaceError."""
        rule = RULES[type(request)]
        send: grpc.aio.UnaryUnaryMultiCallable[Message, bytes] = (channel or self.next()).unary_unary(
            rule.method, request_serializer=type(request).SerializeToString, response_deserializer=None
        )
        metadata = (("authorization", f"Bearer {account.token}"),) if account is not None else ()
        call = send(request, timeout=seconds, metadata=metadata, wait_for_ready=wait_for_ready)
        try:
            payload = await call
        except grpc.aio.AioRpcError as raised:
            error = from_rpc_error(raised, rule.method)
            assert_decent(error)
            raise error from None
        trailing = dict(await call.trailing_metadata() or ())
        return Answer(bytes(payload), trailing.get("replayed") == "true")

    def watch(
        self, account: Account, request: Message, *, channel: grpc.aio.Channel | None = None
    ) -> grpc.aio.UnaryStreamCall[Any, Any]:
        """Open a server stream; the caller ends it."""
        rule = RULES[type(request)]
        begin = (channel or self.next()).unary_stream(
            rule.method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=rule.response.FromString,
        )
        return begin(request, metadata=(("authorization", f"Bearer {account.token}"),))

    async def call(self, account: Account | None, request: Message, *, seconds: float = CALL_SECONDS) -> Any:
        """Send it once; the response message. Raises MarketplaceError."""
        answer = await self.raw(account, request, seconds=seconds)
        return RULES[type(request)].response.FromString(answer.payload)

    async def settle(
        self,
        account: Account | None,
        request: Message,
        *,
        seconds: float = SETTLE_SECONDS,
        channel: grpc.aio.Channel | None = None,
    ) -> Answer:
        """Send the same request until it is known what became of it, as a client with a request id may."""
        end = time.monotonic() + seconds
        while True:
            try:
                return await self.raw(account, request, wait_for_ready=True, seconds=5, channel=channel)
            except MarketplaceError as error:
                unknown = error.was_dropped or error.code is grpc.StatusCode.DEADLINE_EXCEEDED
                if not (unknown or error.reason in _UNSETTLED_REASONS) or time.monotonic() > end:
                    raise
                await asyncio.sleep(error.retry_after or 0.05)

    async def settled(self, account: Account | None, request: Message, channel: grpc.aio.Channel | None = None) -> Any:
        """`settle`, and the response message."""
        answer = await self.settle(account, request, channel=channel)
        return RULES[type(request)].response.FromString(answer.payload)


def assert_decent(error: MarketplaceError) -> None:
    """However badly things stand, a refusal says nothing of our insides (I7), and "not now" says when."""
    assert error.code not in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}, error
    assert not _INSIDES.search(error.message), error
    if error.from_server and error.code is grpc.StatusCode.UNAVAILABLE:
        assert error.retry_after is not None, error


def new_key() -> str:
    """A request id."""
    return str(uuid4())


def address(name: str, longitude: float = 13.40) -> address_pb2.Address:
    """An address in the middle of a town."""
    return address_pb2.Address(
        recipient=name,
        phone="+49301234567",
        lines=["Torstr. 1"],
        city="Berlin",
        postal_code="10119",
        region_code="DE",
        point=latlng_pb2.LatLng(latitude=52.53, longitude=longitude),
    )


@dataclass
class World:
    """A marketplace with an administrator and one shop."""

    port: int
    database_url: str
    admin: Account
    seller: Account
    seller_id: str

    @classmethod
    async def build(cls, port: int, database_url: str) -> World:
        """Sign the administrator in and open the shop."""
        async with Lines(port, 1) as lines:
            login = auth_service_pb2.LoginRequest(login=ADMIN_EMAIL, password=ADMIN_PASSWORD)
            signed_in = await lines.call(None, login)
            admin = Account(signed_in.user.user_id, ADMIN_EMAIL, signed_in.tokens.access_token)
            seller = await register(lines)
            world = cls(port, database_url, admin, seller, "")
            world.seller_id = await world.open_shop(lines, seller)
            return world

    @asynccontextmanager
    async def lines(self, count: int = 4) -> AsyncIterator[Lines]:
        """Connections to the server."""
        async with Lines(self.port, count) as opened:
            yield opened

    async def sql(self, statement: str, *arguments: object) -> Any:
        """One value out of the database."""
        connection = await asyncpg.connect(self.database_url, timeout=5)
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()

    async def open_shop(self, lines: Lines, seller: Account) -> str:
        """An approved shop of the account; its seller id."""
        applied = await lines.call(seller, new_shop())
        seller_id: str = applied.seller.seller_id
        await lines.call(self.admin, seller_service_pb2.ApproveSellerRequest(seller_id=seller_id, reason="test"))
        return seller_id

    async def product(self, lines: Lines, stock: int, seller: Account | None = None) -> Variant:
        """A published product of one variant."""
        owner = seller or self.seller
        made = (await as_role(lines, owner, new_product(stock))).product
        await lines.call(owner, catalog_service_pb2.PublishProductRequest(product_id=made.product_id))
        return Variant(made.product_id, made.variants[0].variant_id)

    async def quoted(
        self, lines: Lines, buyer: Account, lines_wanted: Sequence[tuple[Variant, int]]
    ) -> order_service_pb2.PlaceOrderRequest:
        """Cart and quote; what is to be sent to place the order."""
        for variant, quantity in lines_wanted:
            add = cart_service_pb2.AddCartItemRequest(
                request_id=new_key(), variant_id=variant.variant_id, quantity=quantity
            )
            await lines.settled(buyer, add)
        quote = await lines.settled(buyer, cart_service_pb2.QuoteOrderRequest(address=address("Ada", 13.41)))
        assert quote.quote_token, quote.problems
        return order_service_pb2.PlaceOrderRequest(
            request_id=new_key(), quote_token=quote.quote_token, expected_total=quote.total
        )

    async def placed(self, lines: Lines, buyer: Account, variant: Variant, quantity: int = 1) -> order_pb2.OrderGroup:
        """An order that waits for its payment."""
        request = await self.quoted(lines, buyer, [(variant, quantity)])
        group: order_pb2.OrderGroup = (await lines.settled(buyer, request)).order_group
        return group

    async def paid(self, lines: Lines, buyer: Account, variant: Variant, quantity: int = 1) -> order_pb2.OrderGroup:
        """An order that is paid for."""
        group = await self.placed(lines, buyer, variant, quantity)
        await lines.settled(buyer, payment(group))
        return group

    async def courier(self, lines: Lines) -> tuple[Account, str]:
        """An approved courier on shift, and its courier id."""
        account = await register(lines)
        applied = await lines.call(account, new_courier())
        courier_id: str = applied.courier.courier_id
        await lines.call(self.admin, courier_service_pb2.ApproveCourierRequest(courier_id=courier_id, reason="test"))
        shift = courier_service_pb2.StartShiftRequest(request_id=new_key())
        # Once through every connection, so that each worker knows of the role.
        for channel in lines.channels:
            await as_role(lines, account, shift, channel)
        return account, courier_id

    async def assigned(self, lines: Lines, buyer: Account, variant: Variant, courier_id: str) -> delivery_pb2.Delivery:
        """A delivery of a new order that the courier has been given."""
        group = await self.paid(lines, buyer, variant)
        order_id = group.orders[0].order_id
        await lines.settled(self.seller, order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_minutes=1))
        await lines.settled(self.seller, order_service_pb2.MarkOrderReadyRequest(order_id=order_id))
        delivery_id = await self._delivery_of(lines, buyer, order_id)
        assign = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=courier_id)
        given: delivery_pb2.Delivery = (await lines.settled(self.admin, assign)).delivery
        return given

    async def code(self, lines: Lines, buyer: Account, delivery_id: str) -> str:
        """The code that the buyer tells at the door."""
        got = await lines.settled(buyer, delivery_service_pb2.GetDeliveryRequest(delivery_id=delivery_id))
        return WATCH.code(got.delivery.dropoff_code)

    async def _delivery_of(self, lines: Lines, buyer: Account, order_id: str) -> str:
        wanted = delivery_service_pb2.ListDeliveriesRequest(order_id=order_id)
        async with asyncio.timeout(15):
            while True:
                found = (await lines.settled(buyer, wanted)).deliveries
                if found:
                    return str(found[0].delivery_id)
                await asyncio.sleep(0.05)  # made by the relay, in another process

    async def drained(self, seconds: float = 30) -> None:
        """Wait until every event has reached its handlers and no job is due, in whichever process they run.

        A job that runs, or that failed and waits, has attempts; one planned for later has none and is no work yet.
        """
        left: object = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = await self.sql(
                "SELECT (SELECT count(*) FROM outbox_events WHERE publish_time IS NULL)"
                " + (SELECT count(*) FROM jobs WHERE run_time <= now() OR attempts > 0)"
            )
            if left == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{left} events and jobs still wait after {seconds} s")


async def register(lines: Lines) -> Account:
    """A new account."""
    email = f"{secrets.token_hex(8)}@example.com"
    request = auth_service_pb2.RegisterRequest(email=email, password=PASSWORD, full_name="Ada Lovelace")
    answer = await lines.call(None, request)
    return Account(answer.user.user_id, email, answer.tokens.access_token)


async def as_role(lines: Lines, account: Account, request: Message, channel: grpc.aio.Channel | None = None) -> Any:
    """A call that needs a role which was given just now: every worker knows of it within two seconds."""
    end = time.monotonic() + 5
    while True:
        try:
            return await lines.settled(account, request, channel)
        except MarketplaceError as error:
            if error.reason != "ROLE_REQUIRED" or time.monotonic() > end:
                raise
            await asyncio.sleep(0.1)


def new_shop() -> seller_service_pb2.CreateSellerRequest:
    """An application of a shop that no other has the name of."""
    name = secrets.token_hex(6)
    return seller_service_pb2.CreateSellerRequest(
        request_id=new_key(),
        handle=f"shop-{name}",
        shop_name=f"Shop {name}",
        pickup_address=address("Shop"),
        prep_minutes=1,
        time_zone="Europe/Berlin",
    )


def new_product(stock: int) -> catalog_service_pb2.CreateProductRequest:
    """A product of one variant at 12.50."""
    return catalog_service_pb2.CreateProductRequest(
        request_id=new_key(),
        title=f"Thing {secrets.token_hex(4)}",
        variants=[
            product_pb2.NewVariant(
                sku=secrets.token_hex(6),
                price=money_pb2.Money(currency_code=CURRENCY, units=12, nanos=500_000_000),
                quantity=stock,
            )
        ],
    )


def new_courier() -> courier_service_pb2.CreateCourierRequest:
    """An application of a courier."""
    return courier_service_pb2.CreateCourierRequest(
        request_id=new_key(), first_name="Mika", last_name="Roth", vehicle=courier_pb2.VEHICLE_TYPE_BICYCLE
    )


def payment(group: order_pb2.OrderGroup) -> payment_service_pb2.ConfirmPaymentRequest:
    """What pays for the order group."""
    return payment_service_pb2.ConfirmPaymentRequest(
        request_id=new_key(), payment_id=group.payment.payment_id, payment_method="ok"
    )

"""The people and goods of the fault tests, made through the rpcs themselves; plain data, so it outlives event loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from google.protobuf.duration_pb2 import Duration
from marketplace.auth.v1 import auth_service_pb2
from marketplace.cart.v1 import cart_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2, order_service_pb2
from marketplace.seller.v1 import seller_service_pb2

from tests.canaries import WATCH
from tests.worlds.lines import Account, Lines, as_role, register
from tests.worlds.things import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    address,
    new_courier,
    new_key,
    new_product,
    new_shop,
    payment,
)


@dataclass(frozen=True)
class Variant:
    """Something to buy."""

    product_id: str
    variant_id: str


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
        # Each worker learns of the role by itself.
        await as_role(lines, owner, catalog_service_pb2.PublishProductRequest(product_id=made.product_id))
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
        await lines.settled(
            self.seller, order_service_pb2.AcceptOrderRequest(order_id=order_id, prep_duration=Duration(seconds=60))
        )
        await lines.settled(self.seller, order_service_pb2.MarkOrderReadyRequest(order_id=order_id))
        delivery_id = await self.delivery_of(lines, buyer, order_id)
        assign = delivery_service_pb2.AssignCourierRequest(delivery_id=delivery_id, courier_id=courier_id)
        given: delivery_pb2.Delivery = (await lines.settled(self.admin, assign)).delivery
        return given

    async def code(self, lines: Lines, buyer: Account, delivery_id: str) -> str:
        """The code that the buyer tells at the door."""
        got = await lines.settled(buyer, delivery_service_pb2.GetDeliveryRequest(delivery_id=delivery_id))
        return WATCH.code(got.delivery.dropoff_code)

    async def delivery_of(self, lines: Lines, buyer: Account, order_id: str) -> str:
        """The delivery of an order that is ready; waits until it is made."""
        wanted = delivery_service_pb2.ListDeliveriesRequest(order_ids=[order_id])
        async with asyncio.timeout(15):
            while True:
                found = (await lines.settled(buyer, wanted)).deliveries
                if found:
                    return str(found[0].delivery_id)
                await asyncio.sleep(0.05)  # made by the relay, in another process

    async def drained(self, seconds: float = 30) -> None:
        """Wait until every event has reached its handlers, no job is due and search has taken in what was noted for it,
        in whichever process they run.

        A job that runs, or that failed and waits, has attempts; one planned for later has none and is no work yet.
        """
        left: object = None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = await self.sql(
                "SELECT (SELECT count(*) FROM outbox_events WHERE publish_time IS NULL)"
                " + (SELECT count(*) FROM jobs WHERE run_time <= now() OR attempts > 0)"
                " + (SELECT count(*) FROM search_pending) + (SELECT count(*) FROM search_word_changes)"
            )
            if left == 0:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{left} events and jobs still wait after {seconds} s")

"""A small marketplace for the tests of delivery: accounts, couriers, and orders that are READY with their goods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar, cast
from uuid import UUID

from marketd.auth.accounts import create as auth
from marketd.auth.accounts.servicer import UserServicer
from marketd.delivery import wiring
from marketd.delivery.servicer import CourierServicer, DeliveryServicer
from marketd.inventory import service as inventory
from marketd.inventory.values import NewStock, StockLine
from marketd.kernel.call.call import OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id, new_order_number
from marketd.media.model import Purpose
from marketd.media.servicer import MediaServicer
from marketd.order import cancel as cancelling
from marketd.order import service as orders
from marketd.order.cancel import CancelledLine, CancelOrder
from marketd.order.events import OrderReady
from marketd.order.model import CancellationReason
from marketplace.delivery.v1 import (
    courier_pb2,
    courier_service_pb2,
    delivery_pb2,
    delivery_service_pb2,
)

from tests.canaries import WATCH
from tests.worlds.built import Built
from tests.worlds.calls import call, caller_of
from tests.worlds.parts import make_parts
from tests.worlds.rendering import quick_taker

Courier: TypeAlias = courier_pb2.Courier
Reason: TypeAlias = delivery_pb2.DeliveryFailureReason.ValueType
BUYER_ABSENT: Final = delivery_pb2.DELIVERY_FAILURE_REASON_BUYER_ABSENT
Request = TypeVar("Request")
Response = TypeVar("Response")

SHOP = Address("Radhaus", "+4930111", ("Torstr. 1",), "Berlin", "", "10119", "DE", Point(52.5300, 13.4000))
HOME = Address("Ada", "+4930222", ("Kastanienallee 9",), "Berlin", "", "10435", "DE", Point(52.5400, 13.4100))


@dataclass(frozen=True)
class Ready:
    """An order that is READY, and its delivery."""

    order_id: UUID
    delivery_id: UUID
    buyer: Caller
    seller: Caller


class World:
    """What the tests act with: delivery on the test's database. A courier's silent stream soon brings a heartbeat."""

    def __init__(self, tx: Transactor) -> None:
        parts = make_parts(tx)
        build = partial(wiring.build, beat_seconds=0.3)
        self.tx, self.feed = tx, parts.feed
        self.built = Built(parts, "auth", "media", "delivery", instead={"delivery": build})
        self.taker = quick_taker(parts)
        self.users = self.built.servicer(UserServicer)
        self.couriers = self.built.servicer(CourierServicer)
        self.deliveries = self.built.servicer(DeliveryServicer)
        self.media = self.built.servicer(MediaServicer)
        self.admin = caller_of(new_id(), Role.ADMIN)

    async def account(self, *roles: Role) -> Caller:
        """A new account that calls with these roles."""
        name = new_id().hex
        new = auth.NewAccount(f"{name}@example.org", "", f"+49{name[-12:].translate(_DIGITS)}", "Kim Lee", "x")
        row = await self.tx.run("test.account", lambda uow: auth.create_account(uow, new, frozenset(roles)))
        return caller_of(row.user_id, *roles)

    async def applied(self, caller: Caller | None = None) -> tuple[Caller, courier_pb2.Courier]:
        """An account, a new one by default, that applied as a courier."""
        caller = caller or await self.account(Role.BUYER)
        request = courier_service_pb2.CreateCourierRequest(
            courier=courier_pb2.Courier(first_name="Noor", last_name="Quiet", vehicle=courier_pb2.VEHICLE_TYPE_BICYCLE),
            request_id=str(new_id()),
        )
        return caller, (await self.call(caller, self.couriers.CreateCourier, request)).courier

    async def courier(self, *, on_shift: bool = True) -> tuple[Caller, UUID]:
        """An ACTIVE courier, and the id."""
        caller, courier = await self.applied()
        approve = courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id)
        await self.call(self.admin, self.couriers.ApproveCourier, approve)
        caller = caller_of(caller.known_user_id, Role.BUYER, Role.COURIER)
        if on_shift:
            await self.call(caller, self.couriers.StartShift, courier_service_pb2.StartShiftRequest())
        return caller, UUID(courier.courier_id)

    async def ready(self, buyer: Caller | None = None, *, hand_on: bool = True) -> Ready:
        """An order that its seller has just marked ready, with its delivery made by the relay; without `hand_on` its
        event waits, and its delivery's id is None.
        """
        buyer = buyer or await self.account(Role.BUYER)
        seller = caller_of(new_id(), Role.SELLER)
        order_id = await self.tx.run("test.order", lambda uow: _order(uow, buyer, seller))
        if hand_on:
            await self.hand_on()
        delivery_id = await self.tx.read(
            lambda unit: unit.connection.fetchval("SELECT delivery_id FROM deliveries WHERE order_id = $1", order_id)
        )
        return Ready(order_id, delivery_id, buyer, seller)

    async def hand_on(self) -> None:
        """Let the relay hand on what is committed."""
        await self.built.hand_on_events()

    async def cancel(self, ready: Ready, *, pieces: int = 0) -> None:
        """The buyer cancels the order, or only some pieces of it. Its event waits for hand_on."""

        async def work(uow: UnitOfWork) -> None:
            order = await orders.read_order_for_delivery(uow, ready.order_id)
            assert order is not None
            lines = (CancelledLine(order.items[0].item_id, pieces),) if pieces else ()
            cancel = CancelOrder(ready.order_id, lines, CancellationReason.CHANGED_MIND, "", "")
            await cancelling.cancel_order(uow, ready.buyer, cancel)

        await self.tx.run("test.cancel", work)

    async def assigned(self) -> tuple[Ready, Caller, UUID]:
        """A delivery with a courier."""
        ready, (courier, courier_id) = await self.ready(), await self.courier()
        await self.assign(ready.delivery_id, courier_id)
        return ready, courier, courier_id

    async def picked_up(self) -> tuple[Ready, Caller, UUID]:
        """A delivery that its courier has in hands."""
        ready, courier, courier_id = await self.assigned()
        await self.pick_up(courier, ready.delivery_id)
        return ready, courier, courier_id

    async def assign(self, delivery_id: UUID, courier_id: UUID) -> delivery_pb2.Delivery:
        """AssignCourier by an admin."""
        request = delivery_service_pb2.AssignCourierRequest(delivery_id=str(delivery_id), courier_id=str(courier_id))
        return (await self.call(self.admin, self.deliveries.AssignCourier, request)).delivery

    async def pick_up(self, caller: Caller, delivery_id: UUID) -> delivery_pb2.Delivery:
        """PickUpDelivery."""
        request = delivery_service_pb2.PickUpDeliveryRequest(delivery_id=str(delivery_id))
        return (await self.call(caller, self.deliveries.PickUpDelivery, request)).delivery

    async def photograph(self, caller: Caller, content: bytes = b"", purpose: Purpose = Purpose.PROOF) -> UUID:
        """A picture that the caller uploads, one like no other by default; its id."""
        content = content or new_id().bytes
        return (await self.taker.adopt(caller.known_user_id, purpose, content)).media_id

    async def complete(self, caller: Caller, delivery_id: UUID, code: str, *media_ids: UUID) -> delivery_pb2.Delivery:
        """CompleteDelivery."""
        request = delivery_service_pb2.CompleteDeliveryRequest(
            delivery_id=str(delivery_id), code=code, media_ids=[str(media_id) for media_id in media_ids]
        )
        return (await self.call(caller, self.deliveries.CompleteDelivery, request)).delivery

    async def get(self, caller: Caller, delivery_id: UUID) -> delivery_pb2.Delivery:
        """GetDelivery."""
        request = delivery_service_pb2.GetDeliveryRequest(delivery_id=str(delivery_id))
        return (await self.call(caller, self.deliveries.GetDelivery, request)).delivery

    async def move(self, caller: Caller, verb: str, courier_id: UUID | str, reason: str = "", **more: str) -> Courier:
        """ApproveCourier, RejectCourier, SuspendCourier, ReinstateCourier or CloseCourier: `verb` is the first word."""
        kind: Any = getattr(courier_service_pb2, f"{verb}CourierRequest")
        request = kind(courier_id=str(courier_id), reason=reason, **more)
        answer: Any = await self.call(caller, getattr(self.couriers, f"{verb}Courier"), request)
        return cast("Courier", answer.courier)

    async def reassign(self, delivery_id: UUID, courier_id: UUID | None, **more: str) -> delivery_pb2.Delivery:
        """ReassignDelivery by an admin."""
        request = delivery_service_pb2.ReassignDeliveryRequest(
            delivery_id=str(delivery_id), courier_id=None if courier_id is None else str(courier_id), **more
        )
        return (await self.call(self.admin, self.deliveries.ReassignDelivery, request)).delivery

    async def end(
        self, caller: Caller, method: str, delivery_id: UUID, reason: Reason = BUYER_ABSENT, **more: Any
    ) -> delivery_pb2.Delivery:
        """CancelDelivery, FailDelivery or ReturnToSeller."""
        kind: Any = getattr(delivery_service_pb2, f"{method}Request")
        request = kind(delivery_id=str(delivery_id), reason=reason, **more)
        answer: Any = await self.call(caller, getattr(self.deliveries, method), request)
        return cast("delivery_pb2.Delivery", answer.delivery)

    async def value(self, query: str, *arguments: object) -> Any:
        """One value out of the database."""
        return await self.tx.read(lambda unit: unit.connection.fetchval(query, *arguments))

    async def stock(self, ready: Ready) -> tuple[int, int]:
        """What is on hand of the order's goods, of 5 at first, and what of it is reserved, 2 at first."""
        row = await self.tx.read(
            lambda unit: unit.connection.fetchrow(
                "SELECT s.on_hand, s.reserved FROM stocks s JOIN order_items i USING (variant_id)"
                " WHERE i.order_id = $1",
                ready.order_id,
            )
        )
        assert row is not None
        return row["on_hand"], row["reserved"]

    async def code(self, ready: Ready) -> str:
        """The code as the buyer reads it."""
        return WATCH.code((await self.get(ready.buyer, ready.delivery_id)).dropoff_code)

    async def order_state(self, order_id: UUID) -> str:
        """Where the order stands."""
        return str(
            await self.tx.read(
                lambda unit: unit.connection.fetchval("SELECT state FROM orders WHERE order_id = $1", order_id)
            )
        )

    async def violations(self) -> list[str]:
        """What is wrong with deliveries."""
        return await self.built.violations()

    async def call(
        self,
        caller: Caller,
        method: Callable[[Request, Any], Awaitable[Response]],
        request: Request,
        once: OnceKey | None = None,
    ) -> Response:
        """Call a servicer's method as this caller."""
        return await call(caller, method, request, once)


_DIGITS = str.maketrans("abcdef", "123456")


async def _order(uow: UnitOfWork, buyer: Caller, seller: Caller) -> UUID:
    """A READY order of two pieces with its goods reserved, written as order's tables hold it, and its event.

    Nothing is due for it, so that it can be cancelled without a payment to refund.
    """
    group_id, order_id, variant_id, seller_id = new_id(), new_id(), new_id(), new_id()
    number = new_order_number()
    await inventory.create_stock(uow, [NewStock(variant_id, seller_id, 5, "test")])
    await inventory.reserve(uow, [StockLine(variant_id, 2)], group_id)
    await uow.connection.execute(
        "INSERT INTO order_groups (order_group_id, buyer_id, quote_id, payment_id, total_minor, currency,"
        " payment_expire_time, create_time) VALUES ($1, $2, $3, $4, 2490, 'EUR', $5, $5)",
        group_id,
        buyer.known_user_id,
        new_id(),
        new_id(),
        uow.now,
    )
    await uow.connection.execute(
        "INSERT INTO orders (order_id, order_number, order_group_id, buyer_id, seller_id, owner_user_id,"
        " shop_name, pickup, address, currency, subtotal_minor, discount_amount_minor, delivery_fee_minor, total_minor,"
        " usual_prep_duration, eta_earliest_time, eta_latest_time, create_time, state, version, due_minor,"
        " update_time, pay_time, accept_time, expected_ready_time, ready_time, prep_duration,"
        " delivery_tax_rate, delivery_tax_amount_minor)"
        " VALUES ($1, $2, $3, $4, $5, $6, 'Radhaus', $7::jsonb, $8::jsonb, 'EUR', 2000, 0, 490, 2490,"
        " interval '10 min', $9, $9, $9, 'READY', 4, 0, $9, $9, $9, $9, $9, interval '10 min', 0, 0)",
        order_id,
        number,
        group_id,
        buyer.known_user_id,
        seller_id,
        seller.known_user_id,
        SHOP.to_json_text(),
        HOME.to_json_text(),
        uow.now,
    )
    await uow.connection.execute(
        "INSERT INTO order_items (item_id, order_id, variant_id, product_id, title, sku, options, image_url, quantity,"
        " unit_price_minor, discount_amount_minor, tax_rate, tax_amount_minor, requires_shipping)"
        " VALUES ($1, $2, $3, $4, 'Bell', '', '{}', '', 2, 1000, 0, 0, 0, true)",
        new_id(),
        order_id,
        variant_id,
        new_id(),
    )
    uow.emit(
        OrderReady(
            order_id=order_id,
            order_group_id=group_id,
            order_number=number,
            buyer_id=buyer.known_user_id,
            seller_id=seller_id,
            owner_user_id=seller.known_user_id,
            state="READY",
            previous_state="ACCEPTED",
            after={},
            expected_ready_time=uow.now,
            ready_time=uow.now,
            item_count=2,
            delivery_fee_minor=490,
            currency="EUR",
        )
    )
    return order_id

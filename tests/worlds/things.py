"""Who and what there is on a marketplace that is served, as plain values, and the requests that make more of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration
from google.type import latlng_pb2, money_pb2
from google.type.date_pb2 import Date
from google.type.timeofday_pb2 import TimeOfDay
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2, delivery_service_pb2
from marketplace.order.v1 import order_pb2
from marketplace.payment.v1 import payment_pb2, payment_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.type.v1 import address_pb2

from tests.canaries import MARK

PASSWORD: Final = f"a passphrase of the tests {MARK}"
CURRENCY: Final = "EUR"
ADMIN_EMAIL: Final = "admin@marketplace.example"
ADMIN_PASSWORD: Final = f"an administrator's passphrase {MARK}"


@dataclass(frozen=True)
class Person:
    """Somebody with a session."""

    user_id: str
    session_id: str
    email: str
    token: str
    refresh_token: str


@dataclass(frozen=True)
class Shop:
    """An approved seller; its owner is a SELLER and nothing else."""

    owner: Person
    seller_id: str
    handle: str


@dataclass(frozen=True)
class Rider:
    """An approved courier, a COURIER and nothing else, on shift or not."""

    person: Person
    courier_id: str


@dataclass(frozen=True)
class Goods:
    """Something to buy."""

    product_id: str
    slug: str
    variant_id: str
    title: str


@dataclass(frozen=True)
class Trip:
    """An order on its way through the marketplace, and everybody who has to do with it."""

    buyer: Person
    shop: Shop
    group: order_pb2.OrderGroup
    rider: Rider | None = None
    delivery_id: str = ""

    @property
    def order_id(self) -> str:
        """The one order of the group."""
        return str(self.group.orders[0].order_id)

    @property
    def item_id(self) -> str:
        """The order's first line."""
        return str(self.group.orders[0].items[0].item_id)

    @property
    def payment_id(self) -> str:
        """The group's payment."""
        return str(self.group.payment.payment_id)


def new_key() -> str:
    """A request id."""
    return str(uuid4())


def money(units: int, nanos: int = 0) -> money_pb2.Money:
    """An amount in the marketplace's currency."""
    return money_pb2.Money(currency_code=CURRENCY, units=units, nanos=nanos)


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


def new_shop() -> seller_service_pb2.CreateSellerRequest:
    """An application of a shop that no other has the name of."""
    name = secrets.token_hex(6)
    return seller_service_pb2.CreateSellerRequest(
        request_id=new_key(),
        seller=seller_pb2.Seller(
            handle=f"shop-{name}",
            shop_name=f"Shop {name}",
            pickup_address=address("Shop"),
            prep_duration=Duration(seconds=60),
            time_zone="Europe/Berlin",
            opening_exceptions=[
                seller_pb2.OpeningException(
                    date=Date(year=2027, month=1, day=1),
                    spans=[seller_pb2.OpeningSpan(open_time=TimeOfDay(hours=9), close_time=TimeOfDay(hours=24))],
                    note="New Year",
                )
            ],
        ),
    )


def new_product(stock: int = 50) -> catalog_service_pb2.CreateProductRequest:
    """A product of one variant at 12.50."""
    variant = product_pb2.Variant(sku=secrets.token_hex(6), price=money(12, 500_000_000), initial_quantity=stock)
    product = product_pb2.Product(title=f"Thing {secrets.token_hex(4)}", variants=[variant])
    return catalog_service_pb2.CreateProductRequest(product=product, request_id=new_key())


def new_courier() -> courier_service_pb2.CreateCourierRequest:
    """An application of a courier."""
    courier = courier_pb2.Courier(first_name="Mika", last_name="Roth", vehicle=courier_pb2.VEHICLE_TYPE_BICYCLE)
    return courier_service_pb2.CreateCourierRequest(courier=courier, request_id=new_key())


def payment(group: order_pb2.OrderGroup) -> payment_service_pb2.ConfirmPaymentRequest:
    """What pays for the order group."""
    return payment_service_pb2.ConfirmPaymentRequest(
        request_id=new_key(),
        payment_id=group.payment.payment_id,
        payment_method=payment_pb2.PaymentMethod(sandbox="ok"),
    )


def assignment(trip: Trip, rider: Rider) -> delivery_service_pb2.AssignCourierRequest:
    """What gives the delivery to the courier."""
    return delivery_service_pb2.AssignCourierRequest(delivery_id=trip.delivery_id, courier_id=rider.courier_id)

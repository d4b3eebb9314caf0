"""Demo data for `marketd serve --demo`: shops with products, buyers and couriers, made through the rpcs.

Running it again finds what is there and adds nothing; the logins stay the same.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from google.protobuf.duration_pb2 import Duration
from google.type import decimal_pb2, latlng_pb2, money_pb2
from marketplace.auth.v1 import address_pb2 as auth_address_pb2
from marketplace.auth.v1 import user_service_pb2
from marketplace.delivery.v1 import courier_pb2, courier_service_pb2
from marketplace.policy.v1 import policy_pb2
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2
from marketplace.seller.v1 import seller_pb2, seller_service_pb2
from marketplace.server.v1 import server_service_pb2
from marketplace.type.v1 import address_pb2
from marketplace_client import MarketplaceClient, MarketplaceError

from marketd.demo.defaults import CODE, PASSWORD, PRODUCTS, SHOP_CODE, VISITOR_EMAIL
from marketd.demo.imports import upload
from marketd.demo.town import HOMES, SHOP_DOORS, VISITORS_HOME
from marketd.kernel.values.texts import slug_of

_COURIERS = ("Cory", "Cleo", "Carl")
_RUNNERS = ("Runa", "Remy")
_SIGN_IN_ATTEMPTS = 10
_SIGN_IN_PAUSE_SECONDS = 0.5


@dataclass(frozen=True)
class Login:
    """Somebody who can sign in with the demo's password."""

    role: str
    name: str
    email: str


@dataclass(frozen=True)
class SeededShop:
    """A shop of the demo data."""

    seller_id: str
    name: str
    login: Login


@dataclass(frozen=True)
class SeededLogins:
    """Everything that was seeded and is needed to play with it.

    Buyers and couriers are busy with each other. The visitor's account is for people; runners bring what they order.
    """

    admin: Login
    password: str
    admin_password: str
    shops: tuple[SeededShop, ...]
    buyers: tuple[Login, ...]
    couriers: tuple[Login, ...]
    visitor: Login
    runners: tuple[Login, ...]


def _client(target: str) -> MarketplaceClient:
    """A client of the server that this process belongs to, by whichever of the machine's addresses it listens on."""
    return MarketplaceClient(target, plaintext=True, user_agent="marketd-demo")


@asynccontextmanager
async def signed_in(target: str, email: str, password: str) -> AsyncIterator[MarketplaceClient]:
    """A client of somebody who exists; see _sign_in."""
    async with _client(target) as client:
        await _sign_in(client, email, password)
        yield client


async def _sign_in(client: MarketplaceClient, email: str, password: str) -> None:
    """Sign in, patiently: a password costs processor time, and a crowd of the demo's people comes at once.

    Whoever gave up would come again with everybody that they need besides, and keep the others out.
    """
    for attempt in range(1, _SIGN_IN_ATTEMPTS + 1):
        try:
            await client.login(email, password, device_name="demo")
            return
        except MarketplaceError as error:
            is_busy = error.reason == "OVERLOADED" or error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            if not is_busy or attempt == _SIGN_IN_ATTEMPTS:
                raise
        await asyncio.sleep(attempt * _SIGN_IN_PAUSE_SECONDS)


async def seed(target: str, admin_email: str, admin_password: str, products: Path = PRODUCTS) -> SeededLogins:
    """Make what is missing of the demo data. Raises MarketplaceError when the server refuses something."""
    content = await asyncio.to_thread(products.read_bytes)
    admin_login = Login("admin", "Ada Admin", admin_email)
    async with signed_in(target, admin_email, admin_password) as admin:
        shops = [
            await _shop(target, admin, vendor, file, number)
            for number, (vendor, file) in enumerate(by_vendor(content).items())
        ]
        await _codes(admin, shops)
        buyers = [Login("buyer", place.name, _email("buyer", number)) for number, place in enumerate(HOMES, 1)]
        for login in buyers:
            async with person(target, login):
                pass
        visitor = Login("buyer", VISITORS_HOME.name, VISITOR_EMAIL)
        await _visitor(target, visitor)
        couriers = [Login("courier", name, _email("courier", number)) for number, name in enumerate(_COURIERS, 1)]
        for login in couriers:
            await seed_courier(target, admin, login, courier_pb2.VEHICLE_TYPE_BICYCLE)
        runners = [Login("courier", name, _email("runner", number)) for number, name in enumerate(_RUNNERS, 1)]
        for login in runners:
            await seed_courier(target, admin, login, courier_pb2.VEHICLE_TYPE_SCOOTER)
    return SeededLogins(
        admin_login, PASSWORD, admin_password, tuple(shops), tuple(buyers), tuple(couriers), visitor, tuple(runners)
    )


async def _codes(admin: MarketplaceClient, shops: list[SeededShop]) -> None:
    """The promo codes that are known to everybody: one of the marketplace, one of the first shop for its goods."""
    currency = (await admin.server.GetServerInfo(server_service_pb2.GetServerInfoRequest())).server_info.currency_code
    everywhere = promo_code_pb2.PromoCode(
        code=CODE,
        kind=promo_code_pb2.PROMO_CODE_KIND_PERCENT,
        percent=decimal_pb2.Decimal(value="10"),
        stackable=True,
        description="10 % off everything, from the marketplace.",
    )
    codes = [everywhere]
    if shops:
        of_shop = promo_code_pb2.PromoCode(
            code=SHOP_CODE,
            seller_id=shops[0].seller_id,
            kind=promo_code_pb2.PROMO_CODE_KIND_FIXED,
            amount=money_pb2.Money(currency_code=currency, units=2),
            min_subtotal=money_pb2.Money(currency_code=currency, units=10),
            stackable=True,
            description=f"2 off from 10 on at {shops[0].name}, from the shop.",
        )
        codes.append(of_shop)
    for code in codes:
        try:
            await admin.promotion.CreatePromoCode(promotion_service_pb2.CreatePromoCodeRequest(promo_code=code))
        except MarketplaceError as error:
            if error.reason != "ALREADY_EXISTS":
                raise


def by_vendor(content: bytes) -> dict[str, bytes]:
    """A Shopify CSV cut into one for each vendor; rows without a vendor belong to the product above them."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    header = list(rows.fieldnames or ())
    found: dict[str, list[dict[str, str]]] = {}
    vendors: dict[str, str] = {}
    for row in rows:
        vendor = vendors.setdefault(row["Handle"], row.get("Vendor") or "")
        found.setdefault(vendor, []).append(row)
    files = {}
    for vendor, lines in found.items():
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, header)
        writer.writeheader()
        writer.writerows(lines)
        files[vendor] = text.getvalue().encode()
    return files


def _email(role: str, number: int) -> str:
    return f"{role}{number}@demo.example.com"


@asynccontextmanager
async def person(target: str, login: Login) -> AsyncIterator[MarketplaceClient]:
    """A client of somebody, who is registered when there is no such account yet. They have the demo's password."""
    async with _client(target) as client:
        try:
            await _sign_in(client, login.email, PASSWORD)
        except MarketplaceError as error:
            if error.reason != "INVALID_CREDENTIALS":
                raise
            await client.register(login.email, PASSWORD, full_name=login.name, device_name="demo")
        yield client


async def _shop(target: str, admin: MarketplaceClient, vendor: str, content: bytes, number: int) -> SeededShop:
    login = Login("seller", vendor, _email("seller", number + 1))
    line, latitude, longitude = SHOP_DOORS[number % len(SHOP_DOORS)]
    handle = slug_of(f"demo {vendor}", 60)
    async with person(target, login) as client:
        try:
            seller = (await client.seller.GetSeller(seller_service_pb2.GetSellerRequest(handle=handle))).seller
        except MarketplaceError as error:
            if error.reason != "NOT_FOUND":
                raise
            shop = seller_pb2.Seller(
                handle=handle,
                shop_name=vendor,
                description=f"{vendor} is a shop of the demo data.",
                pickup_address=address_pb2.Address(
                    recipient=vendor,
                    phone="+4930901820",
                    lines=[line],
                    city="Demo Town",
                    postal_code="10999",
                    region_code="DE",
                    point=latlng_pb2.LatLng(latitude=latitude, longitude=longitude),
                ),
                prep_duration=Duration(seconds=300),
                time_zone="Europe/Berlin",
            )
            seller = (await client.seller.CreateSeller(seller_service_pb2.CreateSellerRequest(seller=shop))).seller
        if seller.state == seller_pb2.SELLER_STATE_PENDING:
            await admin.seller.ApproveSeller(seller_service_pb2.ApproveSellerRequest(seller_id=seller.seller_id))
        await upload(client, content, f"{handle}.csv")
    return SeededShop(seller.seller_id, vendor, login)


async def _visitor(target: str, login: Login) -> None:
    """The account for people, with a saved address: nobody likes to write one to see a demo."""
    async with person(target, login) as client:
        saved = await client.user.ListAddresses(user_service_pb2.ListAddressesRequest(page_size=1))
        if not saved.addresses:
            home = auth_address_pb2.SavedAddress(label="Home", postal_address=VISITORS_HOME.address())
            await client.user.CreateAddress(user_service_pb2.CreateAddressRequest(address=home))


async def seed_courier(
    target: str, admin: MarketplaceClient, login: Login, vehicle: courier_pb2.VehicleType.ValueType
) -> None:
    """Somebody who is a courier from then on."""
    async with person(target, login) as client:
        user = (await client.user.GetUser(user_service_pb2.GetUserRequest(user_id="me"))).user
        if policy_pb2.ROLE_COURIER in user.roles:
            return
        applicant = courier_pb2.Courier(first_name=login.name, last_name="Courier", vehicle=vehicle)
        request = courier_service_pb2.CreateCourierRequest(courier=applicant)
        # An id made of the account: when an earlier run was cut off before the approval, the first answer comes again.
        request.request_id = user.user_id
        courier = (await client.courier.CreateCourier(request)).courier
        await admin.courier.ApproveCourier(courier_service_pb2.ApproveCourierRequest(courier_id=courier.courier_id))

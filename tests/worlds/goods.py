"""A small marketplace as the tests of cart, payment and order find it: accounts, sellers, products and stock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from marketd.auth.accounts import create as auth
from marketd.cart.ports import DeliveryQuote, Unit
from marketd.catalog import life as product_life
from marketd.catalog import products
from marketd.catalog.values import NewProduct, NewVariant
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.address import Address
from marketd.kernel.values.clock import SystemClock
from marketd.kernel.values.geo import Point
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.money import Money
from marketd.seller import life, sellers
from marketd.seller.values import Contact, NewSeller, SellerMove

from tests.worlds.calls import caller_of

CURRENCY = "EUR"
HOME = Address("Ada", "+49302222222", ("Kastanienallee 9",), "Berlin", "", "10435", "DE", Point(52.5400, 13.4100))
SHOP = Address("Radhaus", "+49301111111", ("Torstr. 1",), "Berlin", "", "10119", "DE", Point(52.5300, 13.4000))


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
        self.serves, self.fee_minor = True, 490

    async def quote(
        self,
        unit: Unit,
        pickup: Point | None,
        dropoff: Point | None,
        prep_duration: timedelta,
        start_time: datetime,
    ) -> DeliveryQuote | None:
        """The fee, 4.90 unless told otherwise, and an hour."""
        if not self.serves:
            return None
        return DeliveryQuote(
            Money(self.fee_minor, CURRENCY),
            start_time + timedelta(minutes=30),
            start_time + timedelta(minutes=60),
            1200.0,
        )


@dataclass(frozen=True)
class Shop:
    """A seller that sells."""

    seller_id: UUID
    caller: Caller


class Goods:
    """Makes accounts, shops and products by what the slices' rpcs call."""

    def __init__(self, tx: Transactor) -> None:
        self.tx = tx
        self.admin = caller_of(new_id(), Role.ADMIN)

    async def account(self, *roles: Role, full_name: str = "Kim Lee") -> Caller:
        """A new account that calls with these roles."""
        name = new_id().hex
        phone = "+49" + str(int(name[-10:], 16))[:12]
        new = auth.NewAccount(f"{name}@example.org", "", phone, full_name, "x")
        row = await self.tx.run("test.account", lambda uow: auth.create_account(uow, new, frozenset(roles)))
        return caller_of(row.user_id, *roles)

    async def buyer(self) -> Caller:
        """A buyer."""
        return await self.account(Role.BUYER)

    async def shop(self) -> Shop:
        """A seller that may sell."""
        caller = await self.account(Role.BUYER)
        new = NewSeller(
            "", f"Shop {new_id().hex}", "", SHOP, Contact("Kim"), timedelta(minutes=10), "Europe/Berlin", ()
        )
        seller = await self.tx.run("test.shop", lambda uow: sellers.create_seller(uow, caller, new))
        approval = SellerMove(seller.seller_id, "", "")
        await self.tx.run("test.approve", lambda uow: life.approve_seller(uow, self.admin, approval))
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
            attributes={},
            option_names=("Size",),
            variants=[
                NewVariant("", {"Size": str(n)}, Money(price_minor, CURRENCY), None, stock, True, "", 0)
                for n in range(count)
            ],
            images=(),
        )
        made = await self.tx.run("test.product", lambda uow: products.create_product(uow, shop.caller, new, CURRENCY))
        await self.tx.run("test.publish", lambda uow: product_life.publish_product(uow, shop.caller, made.product_id))
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

"""The marketplace that is measured: an administrator, two shops with products, buyers, couriers, made through rpcs."""

from __future__ import annotations

import asyncio
import csv
import io
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
import grpc
from google.protobuf.duration_pb2 import Duration
from google.type.decimal_pb2 import Decimal
from google.type.latlng_pb2 import LatLng
from marketplace.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from marketplace.cart.v1 import cart_service_pb2_grpc
from marketplace.catalog.v1 import catalog_service_pb2, catalog_service_pb2_grpc, import_pb2
from marketplace.delivery.v1 import courier_service_pb2_grpc, delivery_service_pb2_grpc
from marketplace.order.v1 import order_service_pb2_grpc
from marketplace.payment.v1 import payment_service_pb2_grpc
from marketplace.promotion.v1 import promo_code_pb2, promotion_service_pb2, promotion_service_pb2_grpc
from marketplace.seller.v1 import seller_pb2, seller_service_pb2, seller_service_pb2_grpc
from marketplace.type.v1 import address_pb2

PRODUCTS_A_SHOP = 40
VARIANTS_A_PRODUCT = 3
SHOPS = 2
PROMO_CODES = 16
STOCK = 1_000_000
CALL_SECONDS = 30.0
_AT_ONCE = 8
_ROLE_SECONDS = 5.0
# Access tokens live 15 minutes; an operation that begins with one of these ends long before.
_FRESH_SECONDS = 300.0

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in account."""

    email: str
    user_id: str
    access_token: str
    refresh_token: str
    session_id: str
    signed_in: float


@dataclass(frozen=True, slots=True)
class Product:
    """A product that can be bought."""

    product_id: str
    seller_id: str
    variant_ids: tuple[str, ...]


class World:
    """The seeded marketplace, and the stubs to change it with."""

    def __init__(self, channel: grpc.aio.Channel, dsn: str) -> None:
        self.channel = channel
        self.dsn = dsn
        self.auth = auth_service_pb2_grpc.AuthServiceStub(channel)
        self.sellers = seller_service_pb2_grpc.SellerServiceStub(channel)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        self.cart = cart_service_pb2_grpc.CartServiceStub(channel)
        self.promotions = promotion_service_pb2_grpc.PromotionServiceStub(channel)
        self.orders = order_service_pb2_grpc.OrderServiceStub(channel)
        self.payments = payment_service_pb2_grpc.PaymentServiceStub(channel)
        self.couriers = courier_service_pb2_grpc.CourierServiceStub(channel)
        self.deliveries = delivery_service_pb2_grpc.DeliveryServiceStub(channel)
        self.admin_email = f"admin-{secrets.token_hex(4)}@bench.example"
        self.password = secrets.token_urlsafe(16)
        self.shops: list[Account] = []
        self.products: list[Product] = []
        self._buyers: list[Account] = []
        self._admin: Account | None = None
        self._promo_codes: list[promo_code_pb2.PromoCode] = []

    async def sign_in(self, email: str) -> Account:
        """A new session of an account."""
        request = auth_service_pb2.LoginRequest(login=email, password=self.password)
        answer = await self.auth.Login(request, timeout=CALL_SECONDS)
        return _account(email, answer.user.user_id, answer.tokens)

    async def register(self, name: str) -> Account:
        """A new account, signed in."""
        email = f"{name}-{secrets.token_hex(4)}@bench.example"
        request = auth_service_pb2.RegisterRequest(email=email, password=self.password, full_name="Robin Bench")
        answer = await self.auth.Register(request, timeout=CALL_SECONDS)
        return _account(email, answer.user.user_id, answer.tokens)

    async def fresh(self, account: Account) -> Account:
        """The account with an access token that lasts for an operation's rounds."""
        return account if time.monotonic() - account.signed_in < _FRESH_SECONDS else await self.sign_in(account.email)

    async def admin(self) -> Account:
        """The administrator, with a fresh token."""
        self._admin = await (self.fresh(self._admin) if self._admin is not None else self.sign_in(self.admin_email))
        return self._admin

    async def buyers(self, count: int) -> list[Account]:
        """`count` buyers with fresh tokens; the same ones each time, and more when there are too few."""
        missing = count - len(self._buyers)
        self._buyers += await gather(lambda _: self.register("buyer"), range(max(0, missing)))
        self._buyers[:count] = await gather(self.fresh, self._buyers[:count])
        return self._buyers[:count]

    async def promo_codes(self) -> list[promo_code_pb2.PromoCode]:
        """Codes that take 10 % off everything, as often as anybody likes; made once. Several, as there are products:
        orders with one and the same code are one after the other from its use to their commit.
        """
        admin = await self.admin()
        while len(self._promo_codes) < PROMO_CODES:
            request = promotion_service_pb2.CreatePromoCodeRequest(
                request_id=str(uuid.uuid4()),
                promo_code=promo_code_pb2.PromoCode(
                    code=f"BENCH-{secrets.token_hex(4)}",
                    kind=promo_code_pb2.PROMO_CODE_KIND_PERCENT,
                    percent=Decimal(value="10"),
                ),
            )
            answer = await self.promotions.CreatePromoCode(request, metadata=bearer(admin), timeout=CALL_SECONDS)
            self._promo_codes.append(answer.promo_code)
        return self._promo_codes

    async def open_shops(self) -> None:
        """Two approved sellers and their published products; once."""
        if self.shops:
            return
        for number in range(SHOPS):
            owner, seller_id = await self.open_shop(number)
            await self._import(owner, number)
            self.shops.append(owner)
            await self._read_products(seller_id)

    async def open_shop(self, number: int) -> tuple[Account, str]:
        """One more approved seller: its owner and its id."""
        admin = await self.admin()
        owner = await self.register("seller")
        asked = seller_service_pb2.CreateSellerRequest(
            request_id=str(uuid.uuid4()),
            seller=seller_pb2.Seller(
                handle=f"bench-shop-{secrets.token_hex(3)}",
                shop_name=f"Bench Shop {number}",
                pickup_address=address(52.52 + number / 100, 13.40),
                prep_duration=Duration(seconds=300),
                time_zone="Europe/Berlin",
            ),
        )
        made = await self.sellers.CreateSeller(asked, metadata=bearer(owner), timeout=CALL_SECONDS)
        approval = seller_service_pb2.ApproveSellerRequest(seller_id=made.seller.seller_id)
        await self.sellers.ApproveSeller(approval, metadata=bearer(admin), timeout=CALL_SECONDS)
        return owner, made.seller.seller_id

    async def _import(self, owner: Account, number: int) -> None:
        file = products_csv(number)
        request = catalog_service_pb2.ImportProductsInlineRequest(
            options=import_pb2.ImportOptions(file_name="bench.csv", publish=True), csv=file
        )
        answer = await once_allowed(
            lambda: self.catalog.ImportProductsInline(request, metadata=bearer(owner), timeout=CALL_SECONDS)
        )
        if answer.summary.products_created != PRODUCTS_A_SHOP:
            raise RuntimeError(f"the import made {answer.summary.products_created} products: {answer.row_errors[:3]}")

    async def _read_products(self, seller_id: str) -> None:
        token = ""
        while True:
            request = catalog_service_pb2.ListProductsRequest(seller_ids=[seller_id], page_size=100, page_token=token)
            page = await self.catalog.ListProducts(request, timeout=CALL_SECONDS)
            for product in page.products:
                variants = tuple(variant.variant_id for variant in product.variants)
                self.products.append(Product(product.product_id, seller_id, variants))
            token = page.next_page_token
            if not token:
                return

    def lines(self, index: int) -> tuple[str, str, str]:
        """The variants of order or cart number `index`: two of the first shop, one of the second."""
        first, second = self.products[:PRODUCTS_A_SHOP], self.products[PRODUCTS_A_SHOP:]
        one, two = first[index % len(first)], first[(index + 1) % len(first)]
        other, turn = second[index % len(second)], index // len(first) % VARIANTS_A_PRODUCT
        return one.variant_ids[turn], two.variant_ids[turn], other.variant_ids[turn]

    async def execute(self, statements: str, argument_rows: Sequence[Sequence[object]] | None = None) -> None:
        """Run statements on the database, or one statement for each row of arguments."""
        connection = await asyncpg.connect(self.dsn)
        try:
            if argument_rows is None:
                await connection.execute(statements)
            else:
                await connection.executemany(statements, argument_rows)
        finally:
            await connection.close()

    async def read(self, statement: str, *arguments: object) -> object:
        """One value of the database."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(statement, *arguments)
        finally:
            await connection.close()


def bearer(account: Account) -> tuple[tuple[str, str], ...]:
    """The metadata of the account's calls."""
    return (("authorization", f"Bearer {account.access_token}"),)


def address(latitude: float, longitude: float) -> address_pb2.Address:
    """A plausible address at a point."""
    return address_pb2.Address(
        recipient="Robin Bench",
        phone="+4930123456",
        lines=["Invalidenstraße 117", "Hinterhaus"],
        city="Berlin",
        postal_code="10115",
        region_code="DE",
        point=LatLng(latitude=latitude, longitude=longitude),
    )


async def gather(function: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The function's results, a few at once; the first failure ends all."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(item: T) -> R:
        async with gate:
            return await function(item)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one(item)) for item in items]
    return [task.result() for task in running]


async def once_allowed(call: Callable[[], Awaitable[T]]) -> T:
    """The call's answer; for a while it may be refused, until the worker has heard of a role that was just given."""
    end = asyncio.get_running_loop().time() + _ROLE_SECONDS
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as refusal:
            late = asyncio.get_running_loop().time() > end
            if refusal.code() is not grpc.StatusCode.PERMISSION_DENIED or late:
                raise
        await asyncio.sleep(0.1)


def products_csv(shop: int) -> bytes:
    """A shop's products as a Shopify CSV: of the size of real ones, and all of the same size."""
    sentence = "Made of oak from managed forests, oiled by hand and delivered by bicycle. "
    rows: list[Mapping[str, object]] = []
    for number in range(PRODUCTS_A_SHOP):
        for variant, size in enumerate(("small", "medium", "large")[:VARIANTS_A_PRODUCT]):
            first: dict[str, object] = {
                "Title": f"Oak shelf no. {number:03}",
                "Body (HTML)": f"<p>{sentence * 8}</p>",
                "Vendor": f"Workshop {shop}",
                "Type": "Shelves",
                "Tags": "oak, shelf, handmade",
                "Published": "true",
                "Option1 Name": "Size",
            }
            rows.append(
                {
                    "Handle": f"oak-shelf-{shop}-{number:03}",
                    **(first if variant == 0 else {}),
                    "Option1 Value": size,
                    "Variant SKU": f"OAK-{shop}-{number:03}-{size}",
                    "Variant Grams": 4000 + variant * 1000,
                    "Variant Inventory Tracker": "shopify",
                    "Variant Inventory Qty": STOCK,
                    "Variant Price": f"{49 + variant * 20}.90",
                    "Variant Compare At Price": f"{69 + variant * 20}.90",
                    "Image Src": f"https://images.example/oak-{shop}-{number:03}-{variant}.jpg",
                    "Image Position": variant + 1,
                }
            )
    columns: dict[str, None] = dict.fromkeys(column for row in rows for column in row)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _account(email: str, user_id: str, tokens: Any) -> Account:
    return Account(email, user_id, tokens.access_token, tokens.refresh_token, tokens.session_id, time.monotonic())

"""Every list of the contract, with something of the caller's in it: who asks for its first page, and how."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from marketd.kernel.call.caller import Role
from marketplace.admin.v1 import admin_service_pb2
from marketplace.auth.v1 import auth_service_pb2, user_service_pb2
from marketplace.catalog.v1 import catalog_service_pb2, product_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_service_pb2
from marketplace.inventory.v1 import inventory_service_pb2
from marketplace.media.v1 import media_service_pb2
from marketplace.order.v1 import order_service_pb2
from marketplace.promotion.v1 import promotion_service_pb2
from marketplace.review.v1 import review_service_pb2
from marketplace.seller.v1 import seller_service_pb2

from tests.e2e.matrix.recipes_goods import new_brand, new_category
from tests.e2e.matrix.recipes_identity import new_address, new_service
from tests.e2e.matrix.recipes_media import new_media
from tests.e2e.matrix.recipes_promotion import new_promo_code
from tests.worlds.matrix import Market
from tests.worlds.things import Person

Pages = Callable[[Market], Awaitable[tuple[Person | None, Any]]]


async def _orders(market: Market) -> tuple[Person | None, Any]:
    await market.paid()
    return market.shop.owner, order_service_pb2.ListOrdersRequest(page_size=1)


async def _order_events(market: Market) -> tuple[Person | None, Any]:
    trip = await market.paid()
    return trip.shop.owner, order_service_pb2.ListOrderEventsRequest(order_id=trip.order_id, page_size=1)


async def _deliveries(market: Market) -> tuple[Person | None, Any]:
    await market.ready()
    return market.shop.owner, delivery_service_pb2.ListDeliveriesRequest(page_size=1)


async def _own_products(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.draft()
    return market.shop.owner, catalog_service_pb2.ListProductsRequest(
        page_size=1, states=[product_pb2.PRODUCT_STATE_DRAFT]
    )


async def _products(market: Market) -> tuple[Person | None, Any]:
    await market.product()
    return None, catalog_service_pb2.ListProductsRequest(page_size=1)


async def _search(market: Market) -> tuple[Person | None, Any]:
    await market.product()
    return None, catalog_service_pb2.SearchProductsRequest(page_size=1)


async def _categories(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_category(market)
    return None, catalog_service_pb2.ListCategoriesRequest(page_size=1)


async def _brands(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_brand(market)
    return None, catalog_service_pb2.ListBrandsRequest(page_size=1)


async def _sessions(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    await market.sign_in(person.email)
    return person, auth_service_pb2.ListSessionsRequest(page_size=1)


async def _addresses(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    for _ in range(2):
        await new_address(market, person)
    return person, user_service_pb2.ListAddressesRequest(page_size=1)


async def _users(market: Market) -> tuple[Person | None, Any]:
    return market.admin, user_service_pb2.ListUsersRequest(page_size=1)


async def _services(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_service(market)
    return market.admin, auth_service_pb2.ListServiceAccountsRequest(page_size=1)


async def _audit(market: Market) -> tuple[Person | None, Any]:
    return market.admin, admin_service_pb2.ListAuditEntriesRequest(page_size=1)


async def _sellers(market: Market) -> tuple[Person | None, Any]:
    return market.admin, seller_service_pb2.ListSellersRequest(page_size=1)


async def _couriers(market: Market) -> tuple[Person | None, Any]:
    return market.admin, courier_service_pb2.ListCouriersRequest(page_size=1)


async def _movements(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.draft()
    return market.shop.owner, inventory_service_pb2.ListStockMovementsRequest(page_size=1)


async def _remote_images(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.pictured()
    return market.shop.owner, catalog_service_pb2.ListRemoteImagesRequest(page_size=1)


async def _media(market: Market) -> tuple[Person | None, Any]:
    person = await market.person(Role.BUYER)
    for _ in range(2):
        await new_media(market, person)
    return person, media_service_pb2.ListMediaRequest(page_size=1)


async def _reviews(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await market.reviewed()
    return market.author, review_service_pb2.ListReviewsRequest(page_size=1, mine=True)


async def _promo_codes(market: Market) -> tuple[Person | None, Any]:
    for _ in range(2):
        await new_promo_code(market)
    return market.shop.owner, promotion_service_pb2.ListPromoCodesRequest(page_size=1)


ADMINS: dict[str, Pages] = {
    "users": _users,
    "sellers": _sellers,
    "couriers": _couriers,
    "service accounts": _services,
    "audit entries": _audit,
}
PRIVATE: dict[str, Pages] = {
    "own reviews": _reviews,
    "orders": _orders,
    "order events": _order_events,
    "deliveries": _deliveries,
    "own products": _own_products,
    "sessions": _sessions,
    "addresses": _addresses,
    "stock movements": _movements,
    "remote images": _remote_images,
    "media": _media,
    "promo codes": _promo_codes,
    **ADMINS,
}
EVERY: dict[str, Pages] = {
    **PRIVATE,
    "products": _products,
    "search": _search,
    "categories": _categories,
    "brands": _brands,
}

"""What other slices ask of the catalog: the offers that carts and orders are made of; what sales and
ratings tell it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

from marketd.catalog.repository import categories, offers, products, specs
from marketd.catalog.search import documents, sales
from marketd.catalog.values import Offer, OfferedPrice
from marketd.kernel.db.database import Connection
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ratings import Rating


async def read_offers(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Offer]:
    """The offers of these variants, in one statement; unknown variants are left out. variant_ids: repeats are one."""
    return await offers.read(connection, variant_ids) if variant_ids else {}


async def read_prices(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, OfferedPrice]:
    """What these variants cost and whether they may be bought now; unknown variants are left out."""
    return await offers.read_prices(connection, variant_ids)


async def count_sales(uow: UnitOfWork, pieces: Mapping[UUID, int], day: date) -> None:
    """Count pieces of products that were paid for on a day (UTC); with a minus sign, take back pieces of those."""
    await sales.add(uow.connection, pieces, day)


async def set_rating(uow: UnitOfWork, product_id: UUID, rating: Rating) -> None:
    """Write down what buyers think of a product, also of one that is not for sale, and have search know it.

    It locks the product's row, in the transaction that changed the rating, and leaves the product's etag.
    """
    await specs.set_rating(uow.connection, product_id, rating)
    await documents.write_standing(uow.connection, [product_id])


async def read_tax_rates(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, int | None]:
    """The rates of tax (kernel.values.tax) of these variants, in one statement: that of the product's category or of
    the nearest above that has one. None where none has; unknown variants are left out. variant_ids: repeats are one.
    """
    return await offers.read_tax_rates(connection, variant_ids) if variant_ids else {}


async def read_category_paths(connection: Connection, category_ids: Sequence[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Each of these categories with itself and all above it; unknown ones are left out."""
    return await categories.read_paths(connection, category_ids) if category_ids else {}


async def read_product_sellers(connection: Connection, product_ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Whose these products are, in any state; deleted and unknown ones are left out."""
    return await products.read_sellers(connection, product_ids) if product_ids else {}

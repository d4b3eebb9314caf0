"""The one statement of offers, on the way of every cart and order, and that of their taxes, for quotes alone.

Whether a seller sells is seller's SQL to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson

from marketd.catalog.values import Offer, OfferedPrice, OfferImage
from marketd.kernel.db.database import Connection
from marketd.kernel.db.sql import Columns
from marketd.media import service as media
from marketd.media.values import Rendition
from marketd.seller import service as sellers


def _image(row: Sequence[Any] | None) -> OfferImage | None:
    if row is None:
        return None
    url, media_id, thumb = row
    return OfferImage(url, media_id, None if thumb is None else _rendition(thumb))


@lru_cache(maxsize=4096)
def _rendition(text: str) -> Rendition:
    """One size out of media's SQL as text."""
    return Rendition(**orjson.loads(text))


# What is deleted needs no look of its own: the tables see to it that it is neither active nor published.
_OFFERED = "v.active AND v.price_minor IS NOT NULL AND p.state = 'PUBLISHED'"
# The picture that shows this variant comes before those that show all or others.
_OFFER = Columns(
    Offer,
    table="v",
    expressions={
        "category_id": "p.category_id",
        "title": "p.title",
        "price_minor": "COALESCE(v.price_minor, 0)",
        "currency": "p.currency",
        "seller_sells": sellers.sells_sql("v.seller_id"),
        "is_offered": _OFFERED,
        "image": f"(SELECT ROW(i.url, i.media_id, {media.THUMB_SQL.format(media_id='i.media_id')}::text)"
        " FROM product_images i WHERE i.product_id = v.product_id"
        " ORDER BY v.variant_id = ANY(i.variant_ids) DESC, i.position LIMIT 1)",
    },
    readers={"image": _image},
)
_PRICE = Columns(
    OfferedPrice,
    table="v",
    expressions={
        "currency": "p.currency",
        "price_minor": "COALESCE(v.price_minor, 0)",
        "is_buyable": f"{_OFFERED} AND {sellers.sells_sql('v.seller_id')}",
    },
)

# ruff: noqa: S608 - every interpolated part is one of the constants here
# Seen through a subquery the array has no length that a plan could be made for, so PostgreSQL keeps one plan instead of
# making another for every call, which took as long as the rest of the statement.
_THESE = "v.variant_id = ANY((SELECT $1::uuid[])::uuid[])"
_FROM = f"FROM variants v JOIN products p ON p.product_id = v.product_id WHERE {_THESE}"
_READ = f"SELECT {_OFFER.sql} {_FROM}"
_READ_PRICES = f"SELECT {_PRICE.sql} {_FROM}"

# The path of a category leads down to it, so the last one on it that has a rate is the nearest.
_TAX_RATES = f"""
SELECT v.variant_id, (
  SELECT c.tax_rate
  FROM categories own
  CROSS JOIN LATERAL unnest(own.path) WITH ORDINALITY AS above(category_id, depth)
  JOIN categories c ON c.category_id = above.category_id
  WHERE own.category_id = p.category_id AND c.tax_rate IS NOT NULL
  ORDER BY above.depth DESC LIMIT 1
) AS tax_rate
FROM variants v JOIN products p ON p.product_id = v.product_id
WHERE {_THESE}
"""


async def read_tax_rates(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, int | None]:
    """The rates of these variants in one statement; None where no category says one."""
    rows = await connection.fetch(_TAX_RATES, list(variant_ids))
    return {row["variant_id"]: row["tax_rate"] for row in rows}


async def read_prices(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, OfferedPrice]:
    """What these variants cost and whether they may be bought, quicker than `read`; unknown ones are left out."""
    rows = await connection.fetch(_READ_PRICES, list(variant_ids))
    return {price.variant_id: price for price in _PRICE.values(rows)}


async def read(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Offer]:
    """The offers of these variants in one statement; unknown ones are left out."""
    return {offer.variant_id: offer for offer in _OFFER.values(await connection.fetch(_READ, list(variant_ids)))}

"""The tables of the catalog and the rules that are theirs. No SQL statements and no protobuf here.

Every order of a product list has an index that begins with what the list is narrowed to, so a page costs the same
wherever it stands: (category | brand | nothing, state) for public lists, (seller) for a seller's own, which show all
states.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from marketd.kernel.db.database import Base


class ProductState(StrEnum):
    """Who may see and buy a product; the values are those of the contract without the prefix."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    ARCHIVED = "ARCHIVED"


class RemoteImageState(StrEnum):
    """What became of fetching a picture from elsewhere; the values are those of the contract without the prefix."""

    WAITING = "WAITING"
    FETCHED = "FETCHED"
    FAILED = "FAILED"


MAX_CATEGORY_DEPTH = 20
MAX_VARIANTS = 2048
MAX_IMAGES = 250
MAX_DESCRIPTION = 65536


class CategoryTable(Base):
    """A category. `path` holds the ids from the top down to itself, so one indexed look finds all below it.

    `tax_rate` is in ten-thousandths of a percent.
    """

    __tablename__ = "categories"
    __table_args__ = (
        UniqueConstraint("slug"),
        Index("ix_categories_path", "path", postgresql_using="gin"),
        Index("ix_categories_listing", "position", "name_key", "category_id"),
        Index("ix_categories_children", "parent_category_id", "position", "name_key", "category_id"),
        Index("ix_categories_name", "name_key", "category_id"),
        Index("ix_categories_create_time", "create_time", "category_id"),
        CheckConstraint("path[cardinality(path)] = category_id", name="path"),
        CheckConstraint("tax_rate BETWEEN 0 AND 1000000", name="tax_rate"),
    )

    category_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    parent_category_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("categories.category_id"))
    name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    slug: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(Integer)
    tax_rate: Mapped[int | None] = mapped_column(Integer)
    image_media_id: Mapped[UUID | None] = mapped_column(Uuid)
    image_alt_text: Mapped[str] = mapped_column(Text, server_default=text("''"))
    path: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class BrandTable(Base):
    """A brand; `name_key` makes the name unique without regard to case."""

    __tablename__ = "brands"
    __table_args__ = (
        UniqueConstraint("name_key"),
        UniqueConstraint("slug"),
        Index("ix_brands_create_time", "create_time", "brand_id"),
    )

    brand_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    name_key: Mapped[str] = mapped_column(Text(collation="C"))
    slug: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


_LIVE = text("delete_time IS NULL")


def _listings() -> tuple[Index, ...]:
    scopes: dict[str, tuple[str, ...]] = {
        "all": ("state",),
        "category": ("category_id", "state"),
        "brand": ("brand_id", "state"),
        "seller": ("seller_id",),
    }
    orders: dict[str, tuple[str, ...]] = {
        "create_time": ("create_time", "product_id"),
        "price": ("price_key", "product_id"),
        "title": ("title_key", "product_id"),
        "rating": ("rating_average_milli", "product_id"),
    }
    return tuple(
        # A deleted product has neither category nor brand; those two also serve their foreign keys.
        Index(f"ix_products_{scope}_{order}", *leading, *following, postgresql_where=_LIVE)
        if scope in ("all", "seller")
        else Index(f"ix_products_{scope}_{order}", *leading, *following)
        for scope, leading in scopes.items()
        for order, following in orders.items()
    )


class ProductTable(Base):
    """A product.

    `handle` is the seller's own name for it (the Handle of import files), `slug` the marketplace's. `price_minor` and
    `compare_at_price_minor` are those of the cheapest active variant, or of the cheapest of all when none is active;
    they are absent while nothing has a price, and lists then sort it below every price (`price_key`). The rating
    columns are written down by review. Of a deleted product the row stays, because orders lead to it; it is ARCHIVED,
    so that what asks for PUBLISHED ones needs no second look, and its names are free.
    """

    __tablename__ = "products"
    __table_args__ = (
        Index("uq_products_slug", "slug", unique=True, postgresql_where=_LIVE),
        Index("uq_products_seller_id_handle", "seller_id", "handle", unique=True, postgresql_where=_LIVE),
        *_listings(),
        CheckConstraint("state IN ('DRAFT', 'PUBLISHED', 'ARCHIVED')", name="state"),
        CheckConstraint("state <> 'PUBLISHED' OR price_minor IS NOT NULL", name="published"),
        CheckConstraint("delete_time IS NULL OR state = 'ARCHIVED'", name="deleted"),
        CheckConstraint("price_minor >= 0 AND compare_at_price_minor > price_minor", name="price"),
        CheckConstraint("rating_count >= 0 AND rating_average_milli BETWEEN 0 AND 5000", name="rating"),
    )

    product_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    handle: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    title_key: Mapped[str] = mapped_column(Text(collation="C"))
    description: Mapped[str] = mapped_column(Text)
    category_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("categories.category_id"))
    brand_id: Mapped[UUID | None] = mapped_column(Uuid, ForeignKey("brands.brand_id"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text))
    attributes: Mapped[dict[str, str]] = mapped_column(JSONB, server_default=text("'{}'"))
    option_names: Mapped[list[str]] = mapped_column(ARRAY(Text))
    currency: Mapped[str] = mapped_column(Text)
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    price_key: Mapped[int] = mapped_column(BigInteger, Computed("COALESCE(price_minor, -1)", persisted=True))
    compare_at_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    rating_count: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rating_average_milli: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rating_histogram: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{0,0,0,0,0}'"))
    state: Mapped[str] = mapped_column(Text)
    publish_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    delete_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProductSlugTable(Base):
    """A slug that a product had before. Nobody else gets it while the product is there."""

    __tablename__ = "product_slugs"
    __table_args__ = (Index(None, "product_id"),)

    slug: Mapped[str] = mapped_column(Text, primary_key=True)
    product_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("products.product_id", ondelete="CASCADE"))


class VariantTable(Base):
    """One thing that can be put into a cart. `options` is a JSON list of [name, value] in the order to show it;
    `options_key` is a digest of it, because option values are too long for an index. Both it and `sku_key` compare as
    people read (name_key). `source_version` is that of the last feed that wrote it. Of a deleted variant the row stays
    and is not active; its SKU and its choice are free.
    """

    __tablename__ = "variants"
    __table_args__ = (
        Index("uq_variants_product_id_options_key", "product_id", "options_key", unique=True, postgresql_where=_LIVE),
        Index("ix_variants_listing", "product_id", "position"),
        Index(
            "uq_variants_seller_id_sku_key",
            "seller_id",
            "sku_key",
            unique=True,
            postgresql_where=text("sku_key <> '' AND delete_time IS NULL"),
        ),
        CheckConstraint("delete_time IS NULL OR NOT active", name="deleted"),
        CheckConstraint("price_minor >= 0 AND compare_at_price_minor > price_minor", name="price"),
    )

    variant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    product_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("products.product_id", ondelete="CASCADE"))
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    sku: Mapped[str] = mapped_column(Text)
    sku_key: Mapped[str] = mapped_column(Text(collation="C"))
    options: Mapped[list[object]] = mapped_column(JSONB)
    options_key: Mapped[str] = mapped_column(Text)
    price_minor: Mapped[int | None] = mapped_column(BigInteger)
    compare_at_price_minor: Mapped[int | None] = mapped_column(BigInteger)
    active: Mapped[bool] = mapped_column(Boolean)
    barcode: Mapped[str] = mapped_column(Text)
    weight_grams: Mapped[int | None] = mapped_column(Integer)
    requires_shipping: Mapped[bool] = mapped_column(Boolean, server_default=text("true"))
    position: Mapped[int] = mapped_column(Integer)
    source_version: Mapped[int | None] = mapped_column(BigInteger)
    version: Mapped[int] = mapped_column(BigInteger)
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    delete_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ProductImageTable(Base):
    """A picture of a product. `media_id` is the picture that media keeps; `url` is the address that the seller gave,
    empty for an upload. Of one that was given by its address, the media comes once it was fetched, and the address
    stays: files that sellers bring and take along know pictures by it.
    """

    __tablename__ = "product_images"
    __table_args__ = (
        Index("ix_product_images_listing", "product_id", "position"),
        CheckConstraint("media_id IS NOT NULL OR url <> ''", name="picture"),
    )

    image_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    product_id: Mapped[UUID] = mapped_column(Uuid, ForeignKey("products.product_id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(Integer)
    media_id: Mapped[UUID | None] = mapped_column(Uuid)
    url: Mapped[str] = mapped_column(Text)
    alt_text: Mapped[str] = mapped_column(Text)
    variant_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid))


class RemoteImageTable(Base):
    """What becomes of fetching a picture that was given by its address.

    A seller's pictures at one host are a lane: lanes take turns, so that neither a shop with thousands of pictures nor
    a slow host keeps others waiting. `next_try_time` of one that is being fetched is when that counts as given up.
    """

    __tablename__ = "remote_images"
    __table_args__ = (
        Index(
            "ix_remote_images_lane",
            "seller_id",
            "host",
            "next_try_time",
            postgresql_where=text("state = 'WAITING'"),
        ),
        Index("ix_remote_images_seller_id", "seller_id", "state", "image_id"),
        Index("ix_remote_images_state", "state", "image_id"),
        CheckConstraint("state IN ('WAITING', 'FETCHED', 'FAILED')", name="state"),
        CheckConstraint("(state = 'WAITING') = (next_try_time IS NOT NULL)", name="next_try_time"),
        CheckConstraint("state <> 'FAILED' OR failure IS NOT NULL", name="failure"),
    )

    image_id: Mapped[UUID] = mapped_column(
        Uuid, ForeignKey("product_images.image_id", ondelete="CASCADE"), primary_key=True
    )
    seller_id: Mapped[UUID] = mapped_column(Uuid)
    host: Mapped[str] = mapped_column(Text(collation="C"))
    state: Mapped[str] = mapped_column(Text)
    failure: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(Integer)
    next_try_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

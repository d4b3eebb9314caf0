"""The catalog's values: what its use cases take and give. No tables, SQL or protobuf here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.names import Options
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import Availability
from marketd.kernel.values.money import Money
from marketd.media.images.held import HeldImage
from marketd.media.values import Picture, Rendition


@dataclass(frozen=True, slots=True)
class Category:
    """A category; `path` leads from the top down to itself, `name_key` compares names.

    tax_rate: see kernel.values.tax; None is that of the nearest category above that has one.
    """

    category_id: UUID
    parent_category_id: UUID | None
    name: str
    name_key: str
    slug: str
    description: str
    image: HeldImage | None
    position: int
    tax_rate: int | None
    path: tuple[UUID, ...]
    version: int
    create_time: datetime
    update_time: datetime

    @property
    def ancestor_ids(self) -> tuple[UUID, ...]:
        """The categories above it, from the top down."""
        return self.path[:-1]


@dataclass(frozen=True, slots=True)
class Brand:
    """A brand; `name_key` compares names."""

    brand_id: UUID
    name: str
    name_key: str
    slug: str
    description: str
    version: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that can be chosen of a product; its prices are in the product's currency."""

    variant_id: UUID
    sku: str
    options: Options
    price_minor: int | None
    compare_at_price_minor: int | None
    availability: Availability
    active: bool
    barcode: str
    weight_grams: int | None
    requires_shipping: bool
    position: int
    version: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class ProductImage:
    """A picture of a product; no `variant_ids` means that it shows all of them.

    url: the address that it was given by, empty for an upload. media_id: None while it is shown from there; picture:
    the sizes of the media, where it was read to be shown.
    """

    image_id: UUID
    product_id: UUID
    position: int
    media_id: UUID | None
    url: str
    alt_text: str
    variant_ids: tuple[UUID, ...]
    picture: Picture | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A product as it is shown, with its variants and pictures as far as they were asked for."""

    product_id: UUID
    seller_id: UUID
    slug: str
    title: str
    title_key: str
    description: str
    category_id: UUID | None
    brand_id: UUID | None
    tags: tuple[str, ...]
    attributes: Mapping[str, str]
    option_names: tuple[str, ...]
    currency: str
    price_minor: int | None
    compare_at_price_minor: int | None
    rating_count: int
    rating_average_milli: int
    rating_histogram: tuple[int, ...]
    state: ProductState
    seller_sells: bool
    publish_time: datetime | None
    version: int
    create_time: datetime
    update_time: datetime
    variants: tuple[Variant, ...]
    images: tuple[ProductImage, ...]

    @property
    def price_key(self) -> int:
        """What its price sorts by: what has none stands below every price."""
        return -1 if self.price_minor is None else self.price_minor


@dataclass(frozen=True, slots=True)
class ProductSpec:
    """What a seller decides of a product, and so what is written of it: a Product without what others add to it."""

    product_id: UUID
    seller_id: UUID
    handle: str
    slug: str
    title: str
    title_key: str
    description: str
    category_id: UUID | None
    brand_id: UUID | None
    tags: tuple[str, ...]
    option_names: tuple[str, ...]
    currency: str
    price_minor: int | None
    compare_at_price_minor: int | None
    state: ProductState
    publish_time: datetime | None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VariantSpec:
    """What a seller decides of a variant, and so what is written of it; its stock is inventory's.

    Without a price nobody can buy it. The version of the feed that wrote it last is none of its fields: what else
    changes the variant, such as an import, leaves that alone.
    """

    variant_id: UUID
    product_id: UUID
    seller_id: UUID
    sku: str
    sku_key: str
    options: Options
    options_key: str
    price_minor: int | None
    compare_at_price_minor: int | None
    active: bool
    barcode: str
    weight_grams: int | None
    position: int
    requires_shipping: bool = True


@dataclass(frozen=True, slots=True)
class OfferImage:
    """The picture of an offer: the address that the seller gave, or of one that media keeps the smallest size."""

    url: str
    media_id: UUID | None
    thumb: Rendition | None

    def address(self, media_url: str) -> str:
        """Where it is shown from; the files of media stand below `media_url`."""
        return (self.thumb.url(media_url) if self.thumb is not None else None) or self.url


@dataclass(frozen=True, slots=True)
class Offer:
    """A variant as a cart or an order needs it.

    `is_offered`: it is active and priced, and its product published; `price_minor` is 0 for what has no price.
    """

    variant_id: UUID
    product_id: UUID
    seller_id: UUID
    category_id: UUID | None
    title: str
    sku: str
    options: Options
    currency: str
    price_minor: int
    compare_at_price_minor: int | None
    requires_shipping: bool
    is_offered: bool
    seller_sells: bool
    image: OfferImage | None

    @property
    def is_buyable(self) -> bool:
        """Whether it may be bought now, stock aside."""
        return self.is_offered and self.seller_sells

    @property
    def price(self) -> Money:
        """What one piece costs."""
        return Money(self.price_minor, self.currency)

    @property
    def compare_at_price(self) -> Money | None:
        """The price that the seller crosses out beside it."""
        return None if self.compare_at_price_minor is None else Money(self.compare_at_price_minor, self.currency)


@dataclass(frozen=True, slots=True)
class OfferedPrice:
    """What of an offer decides whether a quote still holds."""

    variant_id: UUID
    currency: str
    price_minor: int
    is_buyable: bool

    @property
    def price(self) -> Money:
        """What one piece costs."""
        return Money(self.price_minor, self.currency)


@dataclass(frozen=True, slots=True)
class NewVariant:
    """A variant to be made, with its product or later."""

    sku: str
    options: Mapping[str, str]
    price: Money | None
    compare_at_price: Money | None
    initial_quantity: int
    active: bool
    barcode: str
    weight_grams: int | None
    requires_shipping: bool = True
    policy: StockPolicy = StockPolicy.TRACKED


@dataclass(frozen=True, slots=True)
class VariantChange:
    """New values for the fields that `paths` names: those of the contract's Variant that may be changed."""

    variant_id: UUID
    paths: frozenset[str]
    etag: str
    new: NewVariant


@dataclass(frozen=True, slots=True)
class VariantUpsert:
    """A variant as the seller's own system has it, by its SKU. `paths` are the fields that have a value.

    product_id: what to make it of when there is none; source_version: None when it always holds.
    """

    product_id: UUID | None
    paths: frozenset[str]
    new: NewVariant
    source_version: int | None


class UpsertOutcome(StrEnum):
    """What an item did to its variant; the values are those of the contract without the prefix."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    UNCHANGED = "UNCHANGED"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Upserted:
    """What came of an item: the variant as it is after all of them."""

    product_id: UUID
    variant: Variant
    outcome: UpsertOutcome


@dataclass(frozen=True, slots=True)
class NewImage:
    """A picture to be attached: an upload, or one at that address."""

    media_id: UUID | None
    url: str
    alt_text: str
    variant_ids: tuple[UUID, ...] = ()

    def is_same(self, other: ProductImage | NewImage) -> bool:
        """Whether it is that picture: the same upload, or taken from the same address."""
        return self.media_id == other.media_id if self.media_id is not None else self.url == other.url


@dataclass(frozen=True, slots=True)
class NewProduct:
    """A product to be made. An empty `slug` is made from the title; empty `option_names` are those of the variants.

    variants: 0..500; images: 0..250.
    """

    seller_id: UUID | None
    title: str
    slug: str
    description: str
    category_id: UUID | None
    brand_id: UUID | None
    tags: Sequence[str]
    option_names: Sequence[str]
    variants: Sequence[NewVariant]
    images: Sequence[NewImage]
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProductChange:
    """New values for the fields that `paths` names: title, slug, description, category_id, brand_id, tags, attributes
    and option_names.
    """

    product_id: UUID
    paths: frozenset[str]
    etag: str
    title: str
    slug: str
    description: str
    category_id: UUID | None
    brand_id: UUID | None
    tags: Sequence[str]
    attributes: Mapping[str, str]
    option_names: Sequence[str]


@dataclass(frozen=True, slots=True)
class ProductQuery:
    """What a list of products is narrowed to. Empty: to all; `states` empty: not stated by the caller. No repeats.

    `sells`: True for the products of sellers that sell, False for those of others, None for both.
    """

    category_ids: tuple[UUID, ...] = ()
    brand_ids: tuple[UUID, ...] = ()
    seller_ids: tuple[UUID, ...] = ()
    states: tuple[ProductState, ...] = ()
    sells: bool | None = None


@dataclass(frozen=True, slots=True)
class CategoryQuery:
    """What a list of categories is narrowed to: those at the top, or below `parent_category_ids` (empty: all).

    `name_prefix` is a name key.
    """

    parent_category_ids: tuple[UUID, ...] = ()
    top_level: bool = False
    name_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted: by one of its documented names, either way."""

    name: str
    descending: bool

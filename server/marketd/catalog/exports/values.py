"""The values of exports. No tables, SQL or protobuf here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from marketd.catalog.model import ProductState
from marketd.catalog.names import Options
from marketd.inventory.values import StockLevel


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What to export. `seller_id` None: the caller's own shop; no `states`: products in all of them."""

    seller_id: UUID | None = None
    states: tuple[ProductState, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportedVariant:
    """A variant that is for sale, as its seller decided it."""

    variant_id: UUID
    sku: str
    options: Options
    price_minor: int | None
    compare_at_price_minor: int | None
    barcode: str
    weight_grams: int | None
    requires_shipping: bool
    stock: StockLevel


@dataclass(frozen=True, slots=True)
class ExportedImage:
    """A picture that is shown from elsewhere, and the variants that it shows."""

    url: str
    alt_text: str
    variant_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class ExportedProduct:
    """A product as its seller decided it, at one moment. vendor and category: names, or empty.

    variants: those for sale, in order; `variants_left_out` is how many others it has.
    """

    product_id: UUID
    create_time: datetime
    handle: str
    title: str
    description: str
    vendor: str
    category: str
    tags: tuple[str, ...]
    state: ProductState
    option_names: tuple[str, ...]
    currency: str
    variants: tuple[ExportedVariant, ...]
    variants_left_out: int
    images: tuple[ExportedImage, ...]


@dataclass(frozen=True, slots=True)
class ExportHeader:
    """What file comes."""

    file_name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What the file held; `size` in bytes, `sha256` in hex.

    variants_left_out: those not for sale. products_left_out: those that the file has too few columns for;
    left_out_handles: the first of them.
    """

    products: int
    variants: int
    images: int
    rows: int
    size: int
    sha256: str
    variants_left_out: int
    products_left_out: int
    left_out_handles: tuple[str, ...]

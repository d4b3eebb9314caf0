"""What an import makes of one product: new rows, or the differences to what is there. Pure; batch.py writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from marketd.catalog.imports.parsed import ParsedProduct, ParsedVariant, RowError, RowReason
from marketd.catalog.insert import Planned, cheapest
from marketd.catalog.model import ProductState
from marketd.catalog.names import options_key, slugify, title_key
from marketd.catalog.values import ProductImage, ProductSpec, VariantSpec
from marketd.inventory.values import NewStock, Stock, StockCount
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key

REASON = "import"


@dataclass(frozen=True, slots=True)
class Existing:
    """A product that the seller already has, with all that an import compares."""

    product: ProductSpec
    variants: Sequence[VariantSpec]
    images: Sequence[ProductImage]


@dataclass(slots=True)
class ProductChanges:
    """What has to be written so that an existing product is what the file says; empty when it already is."""

    product: ProductSpec | None = None
    new_variants: list[VariantSpec] = field(default_factory=list)
    changed_variants: list[VariantSpec] = field(default_factory=list)
    images: list[ProductImage] | None = None
    new_stocks: list[NewStock] = field(default_factory=list)
    counts: list[StockCount] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.product
            or self.new_variants
            or self.changed_variants
            or self.images is not None
            or self.new_stocks
            or self.counts
        )


@dataclass(frozen=True, slots=True)
class Names:
    """The ids of brands and categories by name key."""

    brands: Mapping[str, UUID]
    categories: Mapping[str, UUID]

    def brand(self, parsed: ParsedProduct) -> UUID | None:
        """The product's brand; None when the file names none."""
        return self.brands[name_key(parsed.vendor)] if parsed.vendor else None

    def category(self, parsed: ParsedProduct) -> UUID | None:
        """The product's category; None when the file names none."""
        return self.categories[name_key(parsed.category)] if parsed.category else None


def plan_new(
    parsed: ParsedProduct, seller_id: UUID, currency: str, names: Names, *, publish: bool, now: datetime
) -> Planned:
    """A product that the seller does not have yet."""
    product_id = new_id()
    variants = [
        _variant(new_id(), product_id, seller_id, variant, place) for place, variant in enumerate(parsed.variants, 1)
    ]
    shown = cheapest(variants)
    published = publish and parsed.state is ProductState.PUBLISHED
    product = ProductSpec(
        product_id=product_id,
        seller_id=seller_id,
        handle=parsed.handle,
        slug=slugify(parsed.handle, "product"),
        title=parsed.title,
        title_key=title_key(parsed.title),
        description=parsed.description,
        category_id=names.category(parsed),
        brand_id=names.brand(parsed),
        tags=parsed.tags,
        option_names=parsed.option_names,
        currency=currency,
        price_minor=shown.price_minor,
        compare_at_price_minor=shown.compare_at_price_minor,
        state=ProductState.PUBLISHED if published else ProductState.DRAFT,
        publish_time=now if published else None,
    )
    stocks = [
        NewStock(spec.variant_id, seller_id, variant.quantity or 0, REASON)
        for spec, variant in zip(variants, parsed.variants, strict=True)
    ]
    return Planned(product, variants, _images(parsed, product_id, variants), stocks, keeps_handle=True)


def matched(parsed: ParsedProduct, existing: Existing) -> list[VariantSpec | None]:
    """For each variant of the file the one that it is: the same option values, else the same SKU, else None (new)."""
    free = {spec.options_key: spec for spec in existing.variants}
    found = [free.pop(options_key(variant.options), None) for variant in parsed.variants]
    by_sku = {spec.sku_key: spec for spec in free.values() if spec.sku_key}
    return [
        by_sku.pop(name_key(variant.sku), None) if spec is None else spec
        for spec, variant in zip(found, parsed.variants, strict=True)
    ]


def reserved_errors(
    parsed: ParsedProduct, matches: Sequence[VariantSpec | None], stocks: Mapping[UUID, Stock]
) -> list[RowError]:
    """The rows whose quantity is below what open orders have reserved."""
    return [
        RowError(
            variant.row,
            "Variant Inventory Qty",
            RowReason.STOCK_RESERVED,
            f"open orders have {stocks[spec.variant_id].reserved} pieces reserved",
            parsed.handle,
        )
        for spec, variant in zip(matches, parsed.variants, strict=True)
        if spec is not None
        and variant.quantity is not None
        and spec.variant_id in stocks
        and variant.quantity < stocks[spec.variant_id].reserved
    ]


def plan_changes(
    parsed: ParsedProduct,
    existing: Existing,
    stocks: Mapping[UUID, Stock],
    names: Names,
    *,
    publish: bool,
    now: datetime,
) -> ProductChanges:
    """What makes the existing product what the file says.

    Variants that the file does not have are no longer for sale but stay, because orders refer to them. The slug, the
    rating and uploaded pictures stay; the state changes only from draft to published.
    """
    before = existing.product
    changes = ProductChanges()
    variants: list[VariantSpec] = []
    for place, (spec, variant) in enumerate(zip(matched(parsed, existing), parsed.variants, strict=True), 1):
        wanted = _variant(
            new_id() if spec is None else spec.variant_id, before.product_id, before.seller_id, variant, place
        )
        variants.append(wanted)
        if spec is None:
            changes.new_variants.append(wanted)
            changes.new_stocks.append(NewStock(wanted.variant_id, wanted.seller_id, variant.quantity or 0, REASON))
            continue
        if wanted != spec:
            changes.changed_variants.append(wanted)
        if variant.quantity is not None and variant.quantity != stocks[spec.variant_id].on_hand:
            changes.counts.append(StockCount(spec.variant_id, variant.quantity, REASON))
    changes.changed_variants += _retired(existing.variants, variants)
    images = _images(parsed, before.product_id, variants)
    if [_content(image) for image in images] != [_content(image) for image in existing.images]:
        changes.images = images
    shown = cheapest(variants)
    published = publish and parsed.state is ProductState.PUBLISHED and before.state is ProductState.DRAFT
    after = replace(
        before,
        title=parsed.title,
        title_key=title_key(parsed.title),
        description=parsed.description,
        category_id=names.category(parsed),
        brand_id=names.brand(parsed),
        tags=parsed.tags,
        option_names=parsed.option_names,
        price_minor=shown.price_minor,
        compare_at_price_minor=shown.compare_at_price_minor,
        state=ProductState.PUBLISHED if published else before.state,
        publish_time=before.publish_time or now if published else before.publish_time,
    )
    # The product's version stands for all that it shows, its variants and pictures included.
    if after != before or changes.new_variants or changes.changed_variants or changes.images is not None:
        changes.product = after
    return changes


def _variant(variant_id: UUID, product_id: UUID, seller_id: UUID, variant: ParsedVariant, place: int) -> VariantSpec:
    return VariantSpec(
        variant_id=variant_id,
        product_id=product_id,
        seller_id=seller_id,
        sku=variant.sku,
        sku_key=name_key(variant.sku),
        options=variant.options,
        options_key=options_key(variant.options),
        price_minor=variant.price_minor,
        compare_at_price_minor=variant.compare_at_price_minor,
        active=True,
        barcode=variant.barcode,
        weight_grams=variant.weight_grams,
        position=place,
    )


def _retired(before: Sequence[VariantSpec], after: Sequence[VariantSpec]) -> list[VariantSpec]:
    """The variants that the file does not have, out of sale and behind the others, when they are not so already."""
    kept = {spec.variant_id for spec in after}
    claimed = {spec.sku_key for spec in after}
    gone = [spec for spec in before if spec.variant_id not in kept]
    wanted = [
        replace(
            _without_sku(spec) if spec.sku_key in claimed else spec,
            active=False,
            position=place,
        )
        for place, spec in enumerate(gone, len(after) + 1)
    ]
    return [spec for spec, old in zip(wanted, gone, strict=True) if spec != old]


def _without_sku(spec: VariantSpec) -> VariantSpec:
    return replace(spec, sku="", sku_key="")


def _images(parsed: ParsedProduct, product_id: UUID, variants: Sequence[VariantSpec]) -> list[ProductImage]:
    return [
        ProductImage(
            image_id=new_id(),
            product_id=product_id,
            position=place,
            media_id=None,
            url=image.url,
            alt_text=image.alt_text,
            variant_ids=tuple(
                spec.variant_id
                for spec, variant in zip(variants, parsed.variants, strict=True)
                if variant.image_url == image.url
            ),
        )
        for place, image in enumerate(parsed.images, 1)
    ]


def _content(image: ProductImage) -> tuple[object, ...]:
    return image.position, image.url, image.alt_text, sorted(image.variant_ids)

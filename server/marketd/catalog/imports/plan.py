"""What an import makes of one product: new rows, or the differences to what is there. Pure; batch.py writes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from marketd.catalog.imports.matching import matched
from marketd.catalog.imports.parsed import ParsedProduct, ParsedVariant, RowReason, RowWarning
from marketd.catalog.insert import Planned, cheapest
from marketd.catalog.model import ProductState
from marketd.catalog.names import options_key, slugify, title_key
from marketd.catalog.values import ProductImage, ProductSpec, VariantSpec
from marketd.inventory.model import StockPolicy
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
    policies: dict[UUID, StockPolicy] = field(default_factory=dict)
    warnings: list[RowWarning] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(
            self.product
            or self.new_variants
            or self.changed_variants
            or self.images is not None
            or self.new_stocks
            or self.counts
            or self.policies
        )


@dataclass(frozen=True, slots=True)
class Names:
    """The ids of brands and categories by name key. category_keys: the name keys of categories that products are in."""

    brands: Mapping[str, UUID]
    categories: Mapping[str, UUID]
    category_keys: Mapping[UUID, str]

    def brand(self, parsed: ParsedProduct) -> UUID | None:
        """The product's brand; None when the file names none."""
        return self.brands[name_key(parsed.vendor)] if parsed.vendor else None

    def category(self, parsed: ParsedProduct, before: UUID | None = None) -> UUID | None:
        """The product's category; None when the file names none. Of several with its name, the one that it is in."""
        if not parsed.category:
            return None
        key = name_key(parsed.category)
        return before if before is not None and self.category_keys.get(before) == key else self.categories[key]


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all products of a batch.

    missing: the fields that the file has no columns for, which stay as they are. skus: the keys of the SKUs that
    products of the file take, so nobody else keeps them. quantity_column: what the file calls the column of quantities.
    """

    seller_id: UUID
    currency: str
    publish: bool
    now: datetime
    missing: frozenset[str]
    skus: Collection[str]
    quantity_column: str


def plan_new(parsed: ParsedProduct, names: Names, terms: Terms) -> Planned:
    """A product that the seller does not have yet."""
    product_id = new_id()
    variants = [
        _variant(new_id(), product_id, terms.seller_id, variant, place)
        for place, variant in enumerate(parsed.variants, 1)
    ]
    price, former = _shown(variants)
    # What nobody could buy is a draft.
    can_show = terms.publish and _can_be_bought(variants)
    state = parsed.state if can_show or parsed.state is ProductState.ARCHIVED else ProductState.DRAFT
    product = ProductSpec(
        product_id=product_id,
        seller_id=terms.seller_id,
        handle=parsed.handle,
        slug=slugify(parsed.slug_from, "product"),
        title=parsed.title,
        title_key=title_key(parsed.title),
        description=parsed.description,
        category_id=names.category(parsed),
        brand_id=names.brand(parsed),
        tags=parsed.tags,
        option_names=parsed.option_names,
        currency=terms.currency,
        price_minor=price,
        compare_at_price_minor=former,
        state=state,
        publish_time=terms.now if state is ProductState.PUBLISHED else None,
        attributes=dict(parsed.attributes),
    )
    stocks = [
        NewStock(spec.variant_id, terms.seller_id, variant.quantity or 0, REASON, variant.policy)
        for spec, variant in zip(variants, parsed.variants, strict=True)
    ]
    return Planned(product, variants, _images(parsed, product_id, variants), stocks, keeps_handle=True)


def plan_changes(
    parsed: ParsedProduct, existing: Existing, stocks: Mapping[UUID, Stock], names: Names, terms: Terms
) -> ProductChanges:
    """What makes the existing product what the file says.

    Variants that the file does not have are no longer for sale but stay, because orders refer to them. The slug, the
    rating and uploaded pictures stay, and so does what the file has no column for.
    """
    before = existing.product
    changes = ProductChanges()
    if _tells_no_variants(parsed, before, terms):
        _plan_without_variants(changes, parsed, existing, names, terms)
        return changes
    variants: list[VariantSpec] = []
    matches = matched(parsed, existing.variants)
    has_order = _has_order(matches, existing.variants)
    for place, (spec, variant) in enumerate(zip(matches, parsed.variants, strict=True), 1):
        if spec is None:
            wanted = _variant(new_id(), before.product_id, before.seller_id, variant, place)
            changes.new_variants.append(wanted)
            changes.new_stocks.append(
                NewStock(wanted.variant_id, wanted.seller_id, variant.quantity or 0, REASON, variant.policy)
            )
        else:
            at = spec.position if has_order else place
            wanted = _variant(spec.variant_id, before.product_id, before.seller_id, variant, at)
            wanted = _kept(wanted, spec, terms)
            if wanted != spec:
                changes.changed_variants.append(wanted)
            _plan_stock(changes, parsed.handle, variant, stocks[spec.variant_id], terms)
        variants.append(wanted)
    gone = _retired(existing.variants, variants, terms.skus, has_order=has_order)
    changes.changed_variants += [spec for spec, old in gone if spec != old]
    if "images" not in terms.missing:
        images = _images(parsed, before.product_id, variants)
        _plan_images(changes, _with_those_of(images, existing, {spec.variant_id for spec, _ in gone}), existing)
    after = _product(parsed, before, [*variants, *(spec for spec, _ in gone)], names, terms)
    # The product's version stands for all that it shows, its variants and pictures included.
    if after != before or changes.new_variants or changes.changed_variants or changes.images is not None:
        changes.product = after
    return changes


def _tells_no_variants(parsed: ParsedProduct, before: ProductSpec, terms: Terms) -> bool:
    """Whether the file does not say which variants there are: it has no columns for what makes one."""
    if before.option_names and not parsed.option_names:
        return not terms.missing.isdisjoint(("options", "price_minor"))
    return "price_minor" in terms.missing and not parsed.variants


def _plan_without_variants(
    changes: ProductChanges, parsed: ParsedProduct, existing: Existing, names: Names, terms: Terms
) -> None:
    before = existing.product
    if parsed.variants:
        message = "the product has options and the file does not, so its variants stay as they are"
        row = parsed.variants[0].row
        changes.warnings.append(RowWarning(row, "", RowReason.MISSING_VALUE, message, parsed.handle))
    if "images" not in terms.missing:
        images = _images(replace(parsed, variants=()), before.product_id, ())
        _plan_images(
            changes, _with_those_of(images, existing, {spec.variant_id for spec in existing.variants}), existing
        )
    told = replace(parsed, option_names=before.option_names)
    after = _product(told, before, existing.variants, names, terms)
    if after != before or changes.images is not None:
        changes.product = after


def _plan_images(changes: ProductChanges, images: list[ProductImage], existing: Existing) -> None:
    """The file knows pictures by their address: what it has again stays the same picture, with what was fetched.

    Uploads are not in files. They stay where they are while the file changes nothing, and stand behind it else.
    """
    by_address = {image.url: image for image in existing.images if image.url}
    if [_content(image) for image in images] == [_content(image) for image in by_address.values()]:
        return
    known = [
        replace(image, image_id=by_address[image.url].image_id, media_id=by_address[image.url].media_id)
        if image.url in by_address
        else image
        for image in images
    ]
    uploads = [image for image in existing.images if not image.url]
    changes.images = [replace(image, position=place) for place, image in enumerate([*known, *uploads], 1)]


def _has_order(matches: Sequence[VariantSpec | None], variants: Sequence[VariantSpec]) -> bool:
    """Whether the variants for sale are those of the file and in its order, whatever stands between them."""
    positions = [spec.position for spec in matches if spec is not None]
    found = {spec.variant_id for spec in matches if spec is not None}
    return (
        None not in matches
        and positions == sorted(positions)
        and not any(spec.active for spec in variants if spec.variant_id not in found)
    )


def _shown(variants: Sequence[VariantSpec]) -> tuple[int | None, int | None]:
    """The prices that a product with these variants shows."""
    if not variants:
        return None, None
    shown = cheapest(variants)
    return shown.price_minor, shown.compare_at_price_minor


def _product(
    parsed: ParsedProduct, before: ProductSpec, variants: Sequence[VariantSpec], names: Names, terms: Terms
) -> ProductSpec:
    price, former = _shown(variants)
    state = _state(parsed, before, variants, terms)
    kept = terms.missing
    title = _kept_text(before.title, parsed.title)
    # A file lists tags in no order that means anything.
    has_tags = "tags" in kept or sorted(before.tags) == sorted(parsed.tags)
    return replace(
        before,
        title=title,
        title_key=title_key(title),
        description=before.description if "description" in kept else _kept_text(before.description, parsed.description),
        category_id=before.category_id if "category" in kept else names.category(parsed, before.category_id),
        brand_id=before.brand_id if "vendor" in kept else names.brand(parsed),
        tags=before.tags if has_tags else parsed.tags,
        # What the options are called is said by variants alone.
        option_names=parsed.option_names if parsed.variants else before.option_names,
        price_minor=price,
        compare_at_price_minor=former,
        state=state,
        publish_time=before.publish_time or terms.now if state is ProductState.PUBLISHED else before.publish_time,
        attributes=before.attributes if "attributes" in kept else dict(parsed.attributes),
    )


def _kept_text(before: str, parsed: str) -> str:
    """The text of the file; the one that is there, when the file says the same, for cells lose blanks around them."""
    return before if before.strip() == parsed else parsed


def _state(parsed: ParsedProduct, before: ProductSpec, variants: Sequence[VariantSpec], terms: Terms) -> ProductState:
    """What was withdrawn stops selling whatever was asked for; what is published is so only where that was asked."""
    if parsed.state is not ProductState.PUBLISHED:
        return parsed.state
    state = ProductState.PUBLISHED if terms.publish and "state" not in terms.missing else before.state
    return ProductState.DRAFT if state is ProductState.PUBLISHED and not _can_be_bought(variants) else state


def _can_be_bought(variants: Sequence[VariantSpec]) -> bool:
    return any(spec.active and spec.price_minor is not None for spec in variants)


def _plan_stock(changes: ProductChanges, handle: str, variant: ParsedVariant, stock: Stock, terms: Terms) -> None:
    policy = stock.policy if "policy" in terms.missing else variant.policy
    if policy is not stock.policy:
        changes.policies[stock.variant_id] = policy
    if variant.quantity is None or (variant.quantity == 0 and stock.on_hand < 0):
        # No file can say that pieces are owed beyond what is there: below 0 it says 0.
        return
    quantity = variant.quantity
    if policy is StockPolicy.TRACKED and quantity < stock.reserved:
        # What is promised cannot be counted away; what is owed already is not counted up either.
        quantity = max(quantity, min(stock.reserved, stock.on_hand))
        if quantity != variant.quantity:
            message = (
                f"open orders have {stock.reserved} pieces reserved, so {quantity} stay and not {variant.quantity}"
            )
            changes.warnings.append(
                RowWarning(variant.row, terms.quantity_column, RowReason.STOCK_RESERVED, message, handle)
            )
    if quantity != stock.on_hand:
        changes.counts.append(StockCount(stock.variant_id, quantity, REASON))


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
        requires_shipping=variant.requires_shipping,
    )


def _kept(wanted: VariantSpec, spec: VariantSpec, terms: Terms) -> VariantSpec:
    """The variant as the file says, and as it is where the file has no column for it."""
    kept = terms.missing
    if wanted.weight_grams is None and spec.weight_grams == 0:
        # Files write 0 for what weighs nothing and for what nobody weighed.
        wanted = replace(wanted, weight_grams=0)
    if not kept:
        return wanted
    former, price = wanted.compare_at_price_minor, wanted.price_minor
    if "price_minor" in kept:
        former, price = spec.compare_at_price_minor, spec.price_minor
    elif "compare_at_price_minor" in kept:
        before = spec.compare_at_price_minor
        former = before if before is not None and price is not None and before > price else None
    has_sku = "sku" in kept and spec.sku_key not in terms.skus
    return replace(
        wanted,
        sku=spec.sku if has_sku else wanted.sku,
        sku_key=spec.sku_key if has_sku else wanted.sku_key,
        price_minor=price,
        compare_at_price_minor=former,
        barcode=spec.barcode if "barcode" in kept else wanted.barcode,
        weight_grams=spec.weight_grams if "weight_grams" in kept else wanted.weight_grams,
        requires_shipping=spec.requires_shipping if "requires_shipping" in kept else wanted.requires_shipping,
    )


def _retired(
    before: Sequence[VariantSpec], after: Sequence[VariantSpec], skus: Collection[str], *, has_order: bool
) -> list[tuple[VariantSpec, VariantSpec]]:
    """The variants that the file does not have: out of sale and behind the others, each with what it was."""
    kept = {spec.variant_id for spec in after}
    gone = [spec for spec in before if spec.variant_id not in kept]
    return [
        (
            replace(
                _without_sku(spec) if spec.sku_key in skus else spec,
                active=False,
                position=spec.position if has_order else place,
            ),
            spec,
        )
        for place, spec in enumerate(gone, len(after) + 1)
    ]


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


def _with_those_of(images: Sequence[ProductImage], existing: Existing, gone: Collection[UUID]) -> list[ProductImage]:
    """The pictures, which still show the variants that the file does not have as well."""
    shown = {
        image.url: tuple(each for each in image.variant_ids if each in gone) for image in existing.images if image.url
    }
    return [replace(image, variant_ids=(*image.variant_ids, *shown.get(image.url, ()))) for image in images]


def _content(image: ProductImage) -> tuple[object, ...]:
    return image.url, image.alt_text, sorted(image.variant_ids)

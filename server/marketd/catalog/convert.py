"""Between the catalog's values and its messages: categories, brands and products; the imports have their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money as MoneyMessage
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2, category_pb2, product_pb2
from marketplace.inventory.v1 import stock_pb2
from marketplace.type.v1 import rating_pb2

from marketd.catalog.brands import BrandChange, NewBrand
from marketd.catalog.categories import CategoryChange, NewCategory
from marketd.catalog.model import ProductState
from marketd.catalog.pictures.convert import from_product_image, to_product_image
from marketd.catalog.values import (
    Brand,
    Category,
    CategoryQuery,
    NewProduct,
    NewVariant,
    Order,
    Product,
    ProductChange,
    ProductQuery,
    Upserted,
    UpsertOutcome,
    Variant,
    VariantChange,
    VariantUpsert,
)
from marketd.inventory.model import StockPolicy, StockState
from marketd.kernel.call.pages import parse_order
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.enums import EnumMap
from marketd.kernel.masks import update_paths
from marketd.kernel.values.etags import etag_of
from marketd.kernel.values.money import Money
from marketd.kernel.values.texts import name_key
from marketd.kernel.wire import from_money, from_percent, to_money, to_percent, to_timestamp
from marketd.media.images.convert import from_image, to_held_image

_STATES = EnumMap(ProductState, product_pb2.ProductState)
_POLICIES = EnumMap(StockPolicy, stock_pb2.StockPolicy)
_OUTCOMES = EnumMap(UpsertOutcome, catalog_service_pb2.VariantOutcome)
_IMAGE = frozenset({"image"})
_STOCK_STATES = EnumMap(StockState, product_pb2.StockState)


def optional_id(text: str) -> UUID | None:
    """The id in a validated field; None when it is empty."""
    return UUID(text) if text else None


def _ids(texts: Iterable[str]) -> tuple[UUID, ...]:
    """The ids in a validated field, each once."""
    return tuple(dict.fromkeys(map(UUID, texts)))


def states_of(states: Iterable[product_pb2.ProductState.ValueType]) -> tuple[ProductState, ...]:
    """The states in a validated field, each once."""
    return tuple(dict.fromkeys(_STATES.all_from_wire(states)))


def _text(identifier: UUID | None) -> str | None:
    return None if identifier is None else str(identifier)


def to_category(category: Category, media_url: str) -> category_pb2.Category:
    """The category as a message, its picture below `media_url`."""
    return category_pb2.Category(
        category_id=str(category.category_id),
        parent_category_id=_text(category.parent_category_id),
        name=category.name,
        slug=category.slug,
        description=category.description or None,
        image=to_held_image(category.image, media_url),
        position=category.position,
        tax_rate=None if category.tax_rate is None else to_percent(category.tax_rate),
        ancestor_ids=[str(ancestor) for ancestor in category.ancestor_ids],
        create_time=to_timestamp(category.create_time),
        update_time=to_timestamp(category.update_time),
        etag=etag_of(category.version),
    )


def from_create_category(request: catalog_service_pb2.CreateCategoryRequest) -> NewCategory:
    """The category to make."""
    category = request.category
    return NewCategory(
        category.name,
        category.slug,
        optional_id(category.parent_category_id),
        category.description,
        category.position,
        _from_tax_rate(category),
        from_image(category, "image", "category.image", _IMAGE) if category.HasField("image") else None,
    )


def from_update_category(request: catalog_service_pb2.UpdateCategoryRequest) -> CategoryChange:
    """The change to make."""
    category = request.category
    paths = update_paths(category, request.update_mask)
    return CategoryChange(
        category_id=UUID(category.category_id),
        paths=paths,
        etag=category.etag,
        name=category.name,
        slug=category.slug,
        parent_category_id=optional_id(category.parent_category_id),
        description=category.description,
        position=category.position,
        tax_rate=_from_tax_rate(category),
        image=from_image(category, "image", "category.image", paths),
    )


def _from_tax_rate(category: category_pb2.Category) -> int | None:
    """The rate; None when it is absent or empty, which says that it is to be absent."""
    return from_percent(category.tax_rate, "category.tax_rate") if category.tax_rate.value else None


def from_list_categories(request: catalog_service_pb2.ListCategoriesRequest) -> CategoryQuery:
    """What the list is narrowed to."""
    return CategoryQuery(_ids(request.parent_category_ids), request.top_level, name_key(request.name_prefix))


def to_brand(brand: Brand) -> brand_pb2.Brand:
    """The brand as a message."""
    return brand_pb2.Brand(
        brand_id=str(brand.brand_id),
        name=brand.name,
        slug=brand.slug,
        description=brand.description or None,
        create_time=to_timestamp(brand.create_time),
        update_time=to_timestamp(brand.update_time),
        etag=etag_of(brand.version),
    )


def from_create_brand(request: catalog_service_pb2.CreateBrandRequest) -> NewBrand:
    """The brand to make."""
    return NewBrand(request.brand.name, request.brand.slug, request.brand.description)


def from_update_brand(request: catalog_service_pb2.UpdateBrandRequest) -> BrandChange:
    """The change to make."""
    brand = request.brand
    return BrandChange(
        brand_id=UUID(brand.brand_id),
        paths=update_paths(brand, request.update_mask),
        etag=brand.etag,
        name=brand.name,
        slug=brand.slug,
        description=brand.description,
    )


def to_product(product: Product, media_url: str) -> product_pb2.Product:
    """The product as a message, as far as it was read; its pictures are below `media_url`."""
    message = product_pb2.Product(
        product_id=str(product.product_id),
        seller_id=str(product.seller_id),
        title=product.title,
        slug=product.slug,
        description=product.description or None,
        category_id=_text(product.category_id),
        brand_id=_text(product.brand_id),
        tags=product.tags,
        attributes=product.attributes,
        images=[to_product_image(image, media_url) for image in product.images],
        option_names=product.option_names,
        variants=[to_variant(variant, product.currency) for variant in product.variants],
        rating=rating_pb2.RatingSummary(
            average=product.rating_average_milli / 1000 if product.rating_count else None,
            count=product.rating_count,
            histogram=product.rating_histogram if product.rating_count else (),
        ),
        state=_STATES.to_wire(product.state),
        for_sale=product.state is ProductState.PUBLISHED and product.seller_sells,
        create_time=to_timestamp(product.create_time),
        update_time=to_timestamp(product.update_time),
        etag=etag_of(product.version),
    )
    if product.price_minor is not None:
        message.price.CopyFrom(to_money(Money(product.price_minor, product.currency)))
    if product.compare_at_price_minor is not None:
        message.compare_at_price.CopyFrom(to_money(Money(product.compare_at_price_minor, product.currency)))
    if product.publish_time is not None:
        message.publish_time.CopyFrom(to_timestamp(product.publish_time))
    return message


def to_variant(variant: Variant, currency: str, product_id: UUID | None = None) -> product_pb2.Variant:
    """The variant as a message; `product_id` is of one that stands alone."""
    message = product_pb2.Variant(
        variant_id=str(variant.variant_id),
        product_id="" if product_id is None else str(product_id),
        sku=variant.sku or None,
        options=dict(variant.options),
        stock_policy=_POLICIES.to_wire(variant.availability.policy),
        stock_state=_STOCK_STATES.to_wire(variant.availability.state),
        active=variant.active,
        barcode=variant.barcode or None,
        weight_grams=variant.weight_grams,
        requires_shipping=variant.requires_shipping,
        position=variant.position,
        create_time=to_timestamp(variant.create_time),
        update_time=to_timestamp(variant.update_time),
        etag=etag_of(variant.version),
    )
    if variant.price_minor is not None:
        message.price.CopyFrom(to_money(Money(variant.price_minor, currency)))
    if variant.compare_at_price_minor is not None:
        message.compare_at_price.CopyFrom(to_money(Money(variant.compare_at_price_minor, currency)))
    return message


def masked(product: product_pb2.Product, mask: FieldMask) -> product_pb2.Product:
    """The product with only the fields that the mask names; an empty mask means all (AIP-157)."""
    if not mask.paths:
        return product
    narrowed = product_pb2.Product()
    mask.MergeMessage(product, narrowed)
    return narrowed


def wanted_fields(mask: FieldMask) -> frozenset[str]:
    """The fields of a product that a read mask asks for, by their first names; empty means all.

    Raises ValidationFailed for a path that names no field of a product.
    """
    for path in mask.paths:
        if not FieldMask(paths=[path]).IsValidForDescriptor(product_pb2.Product.DESCRIPTOR):
            raise ValidationFailed(FieldViolation("read_mask", f"'{path[:100]}' is no field of a product"))
    return frozenset(path.partition(".")[0] for path in mask.paths)


def from_create_product(request: catalog_service_pb2.CreateProductRequest, currency: str) -> NewProduct:
    """The product to make. Raises ValidationFailed for amounts in another currency."""
    product = request.product
    return NewProduct(
        seller_id=optional_id(product.seller_id),
        title=product.title,
        slug=product.slug,
        description=product.description,
        category_id=optional_id(product.category_id),
        brand_id=optional_id(product.brand_id),
        tags=tuple(product.tags),
        attributes=dict(product.attributes),
        option_names=tuple(product.option_names),
        variants=[
            _from_variant(variant, currency, f"product.variants[{index}]")
            for index, variant in enumerate(product.variants)
        ],
        images=[from_product_image(image) for image in product.images],
    )


def _from_variant(message: product_pb2.Variant, currency: str, field: str) -> NewVariant:
    return NewVariant(
        sku=message.sku,
        options=dict(message.options),
        price=_from_price(message.price, currency, f"{field}.price"),
        compare_at_price=_from_price(message.compare_at_price, currency, f"{field}.compare_at_price"),
        initial_quantity=message.initial_quantity,
        active=message.active if message.HasField("active") else True,
        barcode=message.barcode,
        weight_grams=message.weight_grams if message.HasField("weight_grams") else None,
        requires_shipping=message.requires_shipping if message.HasField("requires_shipping") else True,
        policy=_POLICIES.from_wire(message.stock_policy) if message.stock_policy else StockPolicy.TRACKED,
    )


def _from_price(message: MoneyMessage, currency: str, field: str) -> Money | None:
    """The amount; None when it is absent or empty, which says that it is to be absent."""
    return from_money(message, currency, field) if message.ListFields() else None


def from_create_variant(request: catalog_service_pb2.CreateVariantRequest, currency: str) -> tuple[UUID, NewVariant]:
    """The variant to make, and of what. Raises ValidationFailed for no product, and for amounts in another currency."""
    if not request.variant.product_id:
        raise ValidationFailed(FieldViolation("variant.product_id", "must be given: it is a variant of that"))
    return UUID(request.variant.product_id), _from_variant(request.variant, currency, "variant")


def from_update_variant(request: catalog_service_pb2.UpdateVariantRequest, currency: str) -> VariantChange:
    """The change to make. Raises ValidationFailed for amounts in another currency."""
    return VariantChange(
        variant_id=UUID(request.variant.variant_id),
        paths=update_paths(request.variant, request.update_mask),
        etag=request.variant.etag,
        new=_from_variant(request.variant, currency, "variant"),
    )


def from_upserts(request: catalog_service_pb2.BatchUpsertVariantsRequest, currency: str) -> list[VariantUpsert]:
    """The variants to make or change. Raises ValidationFailed for amounts in another currency."""
    return [
        VariantUpsert(
            product_id=optional_id(item.product_id),
            paths=update_paths(item.variant, FieldMask()),
            new=_from_variant(item.variant, currency, f"items[{index}].variant"),
            source_version=item.source_version if item.HasField("source_version") else None,
        )
        for index, item in enumerate(request.items)
    ]


def to_upserted(upserted: Upserted, currency: str) -> catalog_service_pb2.VariantUpsertResult:
    """What came of an item as a message."""
    return catalog_service_pb2.VariantUpsertResult(
        variant=to_variant(upserted.variant, currency, upserted.product_id),
        outcome=_OUTCOMES.to_wire(upserted.outcome),
    )


def from_update_product(request: catalog_service_pb2.UpdateProductRequest) -> ProductChange:
    """The change to make."""
    product = request.product
    return ProductChange(
        product_id=UUID(product.product_id),
        paths=update_paths(product, request.update_mask),
        etag=product.etag,
        title=product.title,
        slug=product.slug,
        description=product.description,
        category_id=optional_id(product.category_id),
        brand_id=optional_id(product.brand_id),
        tags=tuple(product.tags),
        attributes=dict(product.attributes),
        option_names=tuple(product.option_names),
    )


def from_list_products(request: catalog_service_pb2.ListProductsRequest) -> ProductQuery:
    """What the list is narrowed to."""
    return ProductQuery(
        category_ids=_ids(request.category_ids),
        brand_ids=_ids(request.brand_ids),
        seller_ids=_ids(request.seller_ids),
        states=states_of(request.states),
    )


def order_of(order_by: str, names: Sequence[str], default: str) -> Order:
    """How a list is to be sorted. Raises ValidationFailed for what is none of its names."""
    return Order(*parse_order(order_by, names, default))

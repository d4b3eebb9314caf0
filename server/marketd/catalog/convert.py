"""Between the catalog's values and its messages: categories, brands, products and imports."""

from __future__ import annotations

from uuid import UUID

from google.protobuf.field_mask_pb2 import FieldMask
from marketplace.catalog.v1 import brand_pb2, catalog_service_pb2, category_pb2, import_pb2, product_pb2
from marketplace.type.v1 import image_pb2, rating_pb2

from marketd.catalog.brands import BrandChange, NewBrand
from marketd.catalog.categories import CategoryChange, NewCategory
from marketd.catalog.imports.parsed import RowError, RowReason
from marketd.catalog.imports.run import ImportEvent, ImportOptions, ImportProgress, ImportReport, ImportSummary
from marketd.catalog.model import ProductState, StockState
from marketd.catalog.values import (
    Brand,
    Category,
    ImageView,
    NewImage,
    NewProduct,
    NewVariant,
    ProductChange,
    ProductOrder,
    ProductQuery,
    ProductView,
    VariantView,
)
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.kernel.values.etags import etag_of
from marketd.kernel.wire import from_money, from_update_mask, to_money, to_timestamp

_STATES = {
    ProductState.DRAFT: product_pb2.PRODUCT_STATE_DRAFT,
    ProductState.PUBLISHED: product_pb2.PRODUCT_STATE_PUBLISHED,
    ProductState.ARCHIVED: product_pb2.PRODUCT_STATE_ARCHIVED,
}
_STATES_BACK: dict[int, ProductState] = {number: state for state, number in _STATES.items()}
_STOCK_STATES = {
    StockState.IN_STOCK: product_pb2.STOCK_STATE_IN_STOCK,
    StockState.LOW_STOCK: product_pb2.STOCK_STATE_LOW_STOCK,
    StockState.OUT_OF_STOCK: product_pb2.STOCK_STATE_OUT_OF_STOCK,
}
_ORDERS: dict[int, ProductOrder] = {
    catalog_service_pb2.PRODUCT_ORDER_UNSPECIFIED: ProductOrder.NEWEST,
    catalog_service_pb2.PRODUCT_ORDER_NEWEST: ProductOrder.NEWEST,
    catalog_service_pb2.PRODUCT_ORDER_PRICE_ASC: ProductOrder.PRICE_ASC,
    catalog_service_pb2.PRODUCT_ORDER_PRICE_DESC: ProductOrder.PRICE_DESC,
    catalog_service_pb2.PRODUCT_ORDER_TITLE: ProductOrder.TITLE,
    catalog_service_pb2.PRODUCT_ORDER_RATING: ProductOrder.RATING,
}

_REASONS = {reason: import_pb2.ImportRowReason.Value(f"IMPORT_ROW_REASON_{reason.value}") for reason in RowReason}

MAX_INLINE_ERRORS = 1000


def optional_id(text: str) -> UUID | None:
    """The id in a validated field; None when it is empty."""
    return UUID(text) if text else None


def _text(identifier: UUID | None) -> str:
    return "" if identifier is None else str(identifier)


def to_category(view: Category) -> category_pb2.Category:
    """The category as a message."""
    return category_pb2.Category(
        category_id=str(view.category_id),
        parent_category_id=_text(view.parent_category_id),
        name=view.name,
        slug=view.slug,
        description=view.description,
        position=view.position,
        ancestor_ids=[str(ancestor) for ancestor in view.ancestor_ids],
        create_time=to_timestamp(view.create_time),
        update_time=to_timestamp(view.update_time),
        etag=etag_of(view.version),
    )


def from_create_category(request: catalog_service_pb2.CreateCategoryRequest) -> NewCategory:
    """The category to make."""
    return NewCategory(
        request.name, request.slug, optional_id(request.parent_category_id), request.description, request.position
    )


def from_update_category(request: catalog_service_pb2.UpdateCategoryRequest) -> CategoryChange:
    """The change to make."""
    category = request.category
    return CategoryChange(
        category_id=UUID(category.category_id),
        paths=from_update_mask(request.update_mask),
        etag=request.etag,
        name=category.name,
        slug=category.slug,
        parent_category_id=optional_id(category.parent_category_id),
        description=category.description,
        position=category.position,
    )


def to_brand(view: Brand) -> brand_pb2.Brand:
    """The brand as a message."""
    return brand_pb2.Brand(
        brand_id=str(view.brand_id),
        name=view.name,
        slug=view.slug,
        description=view.description,
        create_time=to_timestamp(view.create_time),
        update_time=to_timestamp(view.update_time),
        etag=etag_of(view.version),
    )


def from_create_brand(request: catalog_service_pb2.CreateBrandRequest) -> NewBrand:
    """The brand to make."""
    return NewBrand(request.name, request.slug, request.description)


def from_update_brand(request: catalog_service_pb2.UpdateBrandRequest) -> BrandChange:
    """The change to make."""
    brand = request.brand
    return BrandChange(
        brand_id=UUID(brand.brand_id),
        paths=from_update_mask(request.update_mask),
        etag=request.etag,
        name=brand.name,
        slug=brand.slug,
        description=brand.description,
    )


def to_product(view: ProductView) -> product_pb2.Product:
    """The product as a message, as far as it was read."""
    message = product_pb2.Product(
        product_id=str(view.product_id),
        seller_id=str(view.seller_id),
        title=view.title,
        slug=view.slug,
        description=view.description,
        category_id=_text(view.category_id),
        brand_id=_text(view.brand_id),
        tags=view.tags,
        price=to_money(view.price),
        images=[_to_image(image) for image in view.images],
        option_names=view.option_names,
        variants=[_to_variant(variant) for variant in view.variants],
        rating=rating_pb2.RatingSummary(
            average=view.rating_average_milli / 1000,
            count=view.rating_count,
            histogram=view.rating_histogram if view.rating_count else (),
        ),
        state=_STATES[view.state],
        create_time=to_timestamp(view.create_time),
        update_time=to_timestamp(view.update_time),
        etag=etag_of(view.version),
    )
    if view.compare_at_price is not None:
        message.compare_at_price.CopyFrom(to_money(view.compare_at_price))
    if view.publish_time is not None:
        message.publish_time.CopyFrom(to_timestamp(view.publish_time))
    return message


def _to_variant(view: VariantView) -> product_pb2.Variant:
    message = product_pb2.Variant(
        variant_id=str(view.variant_id),
        sku=view.sku,
        options=dict(view.options),
        price=to_money(view.price),
        stock_state=_STOCK_STATES[view.stock_state],
        is_active=view.is_active,
        barcode=view.barcode,
        weight_grams=view.weight_grams,
        position=view.position,
        create_time=to_timestamp(view.create_time),
        update_time=to_timestamp(view.update_time),
        etag=etag_of(view.version),
    )
    if view.compare_at_price is not None:
        message.compare_at_price.CopyFrom(to_money(view.compare_at_price))
    return message


def _to_image(view: ImageView) -> product_pb2.ProductImage:
    return product_pb2.ProductImage(
        image_id=str(view.image_id),
        image=image_pb2.Image(media_id=_text(view.media_id), url=view.url, alt_text=view.alt_text),
        position=view.position,
        variant_ids=[str(variant_id) for variant_id in view.variant_ids],
    )


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
    return NewProduct(
        seller_id=optional_id(request.seller_id),
        title=request.title,
        slug=request.slug,
        description=request.description,
        category_id=optional_id(request.category_id),
        brand_id=optional_id(request.brand_id),
        tags=tuple(request.tags),
        option_names=tuple(request.option_names),
        variants=[
            _from_variant(variant, currency, f"variants[{index}]") for index, variant in enumerate(request.variants)
        ],
        images=[NewImage(image.url, image.alt_text) for image in request.images],
    )


def _from_variant(message: product_pb2.NewVariant, currency: str, field: str) -> NewVariant:
    return NewVariant(
        sku=message.sku,
        options=dict(message.options),
        price=from_money(message.price, currency, f"{field}.price"),
        compare_at_price=(
            from_money(message.compare_at_price, currency, f"{field}.compare_at_price")
            if message.HasField("compare_at_price")
            else None
        ),
        quantity=message.quantity,
        is_active=message.is_active if message.HasField("is_active") else True,
        barcode=message.barcode,
        weight_grams=message.weight_grams,
    )


def from_update_product(request: catalog_service_pb2.UpdateProductRequest) -> ProductChange:
    """The change to make."""
    product = request.product
    return ProductChange(
        product_id=UUID(product.product_id),
        paths=from_update_mask(request.update_mask),
        etag=request.etag,
        title=product.title,
        slug=product.slug,
        description=product.description,
        category_id=optional_id(product.category_id),
        brand_id=optional_id(product.brand_id),
        tags=tuple(product.tags),
    )


def from_list_products(request: catalog_service_pb2.ListProductsRequest) -> ProductQuery:
    """What the list is narrowed to and its order."""
    return ProductQuery(
        category_id=optional_id(request.category_id),
        brand_id=optional_id(request.brand_id),
        seller_id=optional_id(request.seller_id),
        state=_STATES_BACK.get(request.state),
        order=_ORDERS[request.order],
    )


def from_options(message: import_pb2.ImportOptions) -> ImportOptions:
    """How to import."""
    return ImportOptions(
        seller_id=optional_id(message.seller_id),
        dry_run=message.dry_run,
        publish=message.publish,
        update_existing=message.update_existing,
        stop_on_error=message.stop_on_error,
    )


def to_progress(progress: ImportProgress, bytes_received: int) -> import_pb2.ImportProgress:
    """How far the import is."""
    return import_pb2.ImportProgress(
        bytes_received=bytes_received,
        rows_read=progress.rows_read,
        rows_total=progress.rows_total,
        products_done=progress.products_done,
        products_total=progress.products_total,
    )


def to_row_error(error: RowError) -> import_pb2.ImportRowError:
    """A row that is not imported."""
    return import_pb2.ImportRowError(
        row=error.row,
        column=error.column,
        reason=_REASONS[error.reason],
        message=error.message,
        handle=error.handle,
    )


def to_summary(summary: ImportSummary) -> import_pb2.ImportSummary:
    """What came of the import."""
    return import_pb2.ImportSummary(
        products_created=summary.products_created,
        products_updated=summary.products_updated,
        products_unchanged=summary.products_unchanged,
        products_rejected=summary.products_rejected,
        variants=summary.variants,
        images=summary.images,
        rows=summary.rows,
        rows_rejected=summary.rows_rejected,
        categories_created=summary.categories_created,
        brands_created=summary.brands_created,
        dry_run=summary.dry_run,
    )


def to_event(event: ImportEvent, bytes_received: int) -> catalog_service_pb2.ImportProductsResponse:
    """One message of an import's stream."""
    match event:
        case ImportProgress():
            return catalog_service_pb2.ImportProductsResponse(progress=to_progress(event, bytes_received))
        case RowError():
            return catalog_service_pb2.ImportProductsResponse(row_error=to_row_error(event))
        case ImportSummary():
            return catalog_service_pb2.ImportProductsResponse(summary=to_summary(event))


def to_inline(report: ImportReport) -> catalog_service_pb2.ImportProductsInlineResponse:
    """What came of a small import."""
    return catalog_service_pb2.ImportProductsInlineResponse(
        summary=to_summary(report.summary),
        row_errors=[to_row_error(error) for error in report.errors[:MAX_INLINE_ERRORS]],
    )

"""The use cases of products that their sellers ask for: making, changing and publishing them; show.py has the looking.

Nothing here commits.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from marketd.catalog.descriptions import safe_html
from marketd.catalog.errors import NothingToSell
from marketd.catalog.insert import Planned, cheapest, make_products, random_suffix
from marketd.catalog.model import MAX_DESCRIPTION, ProductState
from marketd.catalog.names import Options, options_key, slugify, title_key
from marketd.catalog.owners import owns, seller_for
from marketd.catalog.repository import products as repository
from marketd.catalog.repository import specs
from marketd.catalog.repository.slugs import taken_slugs
from marketd.catalog.values import (
    NewProduct,
    NewVariant,
    Product,
    ProductChange,
    ProductImage,
    ProductSpec,
    VariantSpec,
)
from marketd.inventory.values import Actor, NewStock
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, NotFound, ValidationFailed
from marketd.kernel.db.database import DATABASE_ERRORS, constraint_of
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key
from marketd.seller import service as sellers
from marketd.seller.errors import SellerClosed


async def create_product(uow: UnitOfWork, caller: Caller, new: NewProduct, currency: str) -> Product:
    """Make a product with its variants, their first stock and pictures, as a draft.

    Raises NotFound, SellerClosed, ValidationFailed and AlreadyExists as the contract says.
    """
    seller = await seller_for(uow, caller, new.seller_id, "product.seller_id")
    if seller.state.is_over:
        raise SellerClosed(seller.seller_id)
    names = _option_names(new)
    product_id = new_id()
    variants: list[VariantSpec] = []
    stocks: list[NewStock] = []
    for index, variant in enumerate(new.variants):
        spec = _variant_spec(product_id, seller.seller_id, names, variant, index)
        if any(other.options_key == spec.options_key for other in variants):
            raise ValidationFailed(
                FieldViolation(f"product.variants[{index}].options", "another variant has the same values")
            )
        if spec.sku_key and any(other.sku_key == spec.sku_key for other in variants):
            raise ValidationFailed(FieldViolation(f"product.variants[{index}].sku", "another variant has the same SKU"))
        variants.append(spec)
        stocks.append(NewStock(spec.variant_id, seller.seller_id, variant.initial_quantity, "first stock"))
    shown = cheapest(variants)
    slug = new.slug or slugify(new.title, "product")
    product = ProductSpec(
        product_id=product_id,
        seller_id=seller.seller_id,
        handle=slug,
        slug=slug,
        title=new.title,
        title_key=title_key(new.title),
        description=_safe(new.description),
        category_id=new.category_id,
        brand_id=new.brand_id,
        tags=tuple(new.tags),
        option_names=names,
        currency=currency,
        price_minor=shown.price_minor,
        compare_at_price_minor=shown.compare_at_price_minor,
        state=ProductState.DRAFT,
        publish_time=None,
    )
    images = [
        ProductImage(
            image_id=new_id(),
            product_id=product_id,
            position=place,
            media_id=None,
            url=image.url,
            alt_text=image.alt_text,
            variant_ids=(),
        )
        for place, image in enumerate(new.images, start=1)
    ]
    try:
        await make_products(
            uow, [Planned(product, variants, images, stocks, has_own_slug=bool(new.slug))], Actor.of(caller)
        )
    except DATABASE_ERRORS as error:
        _refuse_unknown(error)
        raise
    return await _read(uow, product_id)


async def update_product(uow: UnitOfWork, caller: Caller, change: ProductChange) -> Product:
    """Change the named fields of an own product; what is so already stays as it is.

    Raises NotFound, ValidationFailed, AlreadyExists, EtagMismatch.
    """
    before, product = await _own_locked(uow, caller, change.product_id)
    check_etag(change.etag, product.version)
    spec = before
    if "title" in change.paths:
        spec = replace(spec, title=change.title, title_key=title_key(change.title))
    if "slug" in change.paths:
        slug = change.slug or await _free_slug(uow, spec.title, before.slug)
        spec = replace(spec, slug=slug)
    if "description" in change.paths:
        spec = replace(spec, description=_safe(change.description))
    if "category_id" in change.paths:
        spec = replace(spec, category_id=change.category_id)
    if "brand_id" in change.paths:
        spec = replace(spec, brand_id=change.brand_id)
    if "tags" in change.paths:
        spec = replace(spec, tags=tuple(change.tags))
    if spec == before:
        return product
    try:
        await specs.update_products(uow.connection, [spec], uow.now)
    except DATABASE_ERRORS as error:
        if constraint_of(error) == "uq_products_slug":
            raise AlreadyExists("product", "slug") from error
        _refuse_unknown(error)
        raise
    return await _read(uow, change.product_id)


async def publish_product(uow: UnitOfWork, caller: Caller, product_id: UUID, etag: str = "") -> Product:
    """Publish an own product; one that is published stays as it is, whatever the `etag`; an empty one is unconditional.

    Raises NotFound, EtagMismatch, SellerClosed when the seller does not sell, IllegalTransition when no variant is
    active.
    """
    _, product = await _own_locked(uow, caller, product_id)
    # The etag of one that is published is not judged: a repeat whose answer was lost has the one from before.
    if product.state is ProductState.PUBLISHED:
        return product
    check_etag(etag, product.version)
    seller = await sellers.read_seller(uow, product.seller_id)
    if seller is None or not seller.sells:
        raise SellerClosed(product.seller_id)
    if not any(variant.active for variant in product.variants):
        raise NothingToSell(product.state.value)
    await specs.publish(uow.connection, product_id, uow.now)
    return await _read(uow, product_id)


async def _own_locked(uow: UnitOfWork, caller: Caller, product_id: UUID) -> tuple[ProductSpec, Product]:
    """An own product, locked: what its seller decided, and all that it shows. Raises NotFound.

    A second statement reads it: one that waited for the lock would show the variants as they were before the wait.
    """
    spec = await specs.lock_product(uow.connection, product_id)
    if spec is None or not await owns(uow, caller, spec.seller_id):
        raise NotFound("product", product_id)
    return spec, await _read(uow, product_id)


async def _read(uow: UnitOfWork, product_id: UUID) -> Product:
    product = await repository.read(uow.connection, product_id)
    if product is None:
        raise NotFound("product", product_id)
    return product


def _option_names(new: NewProduct) -> tuple[str, ...]:
    """The options in order, spelled as the product or its first variant spells them; compared by their keys."""
    listed = tuple(new.option_names) or tuple(sorted(new.variants[0].options))
    named = {name_key(name) for name in new.variants[0].options}
    for index, variant in enumerate(new.variants):
        if len(variant.options) != len(named) or {name_key(name) for name in variant.options} != named:
            raise ValidationFailed(
                FieldViolation(f"product.variants[{index}].options", "all variants must name the same options")
            )
    if len(listed) != len(named) or {name_key(name) for name in listed} != named:
        raise ValidationFailed(FieldViolation("product.option_names", "must be the options that the variants name"))
    if not named and len(new.variants) > 1:
        raise ValidationFailed(FieldViolation("product.variants[1].options", "several variants need options"))
    return listed


def _variant_spec(
    product_id: UUID, seller_id: UUID, names: tuple[str, ...], variant: NewVariant, index: int
) -> VariantSpec:
    if variant.compare_at_price is not None and variant.compare_at_price <= variant.price:
        problem = f"must be above the price of {variant.price}, which it is crossed out beside; or give none"
        raise ValidationFailed(FieldViolation(f"product.variants[{index}].compare_at_price", problem))
    given = {name_key(name): value for name, value in variant.options.items()}
    options: Options = tuple((name, given[name_key(name)]) for name in names)
    return VariantSpec(
        variant_id=new_id(),
        product_id=product_id,
        seller_id=seller_id,
        sku=variant.sku,
        sku_key=name_key(variant.sku),
        options=options,
        options_key=options_key(options),
        price_minor=variant.price.amount_minor,
        compare_at_price_minor=None if variant.compare_at_price is None else variant.compare_at_price.amount_minor,
        active=variant.active,
        barcode=variant.barcode,
        weight_grams=variant.weight_grams,
        position=index + 1,
    )


async def _free_slug(uow: UnitOfWork, title: str, own: str) -> str:
    """A slug made from the title that no other product has; `own` is the product's slug so far."""
    stem = slugify(title, "product")
    candidates = [stem, f"{stem}-2", f"{stem}-3", f"{stem}-{random_suffix()}"]
    taken = await taken_slugs(uow.connection, "products", candidates) - {own}
    return next((slug for slug in candidates if slug not in taken), candidates[-1])


def _safe(description: str) -> str:
    """The description as it is kept; cleaning can only make it longer by what it writes in place of a bare `<`."""
    cleaned = safe_html(description)
    if len(cleaned) > MAX_DESCRIPTION:
        problem = f"is too long: without unsafe HTML it has {len(cleaned)} characters and may have {MAX_DESCRIPTION}"
        raise ValidationFailed(FieldViolation("product.description", problem))
    return cleaned


def _refuse_unknown(error: BaseException) -> None:
    """Raise the refusal of a category or brand that is not there (the foreign key saw it)."""
    thing = {"fk_products_category_id": "category", "fk_products_brand_id": "brand"}.get(constraint_of(error) or "")
    if thing is not None:
        raise ValidationFailed(FieldViolation(f"product.{thing}_id", f"there is no such {thing}")) from error

"""Making and changing products; life.py has what becomes of them, variants/ their variants, show.py the looking.

Nothing here commits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from marketd.catalog.descriptions import safe_html
from marketd.catalog.insert import Planned, make_products, random_suffix
from marketd.catalog.locking import lock_own, read_whole
from marketd.catalog.model import MAX_DESCRIPTION, ProductState
from marketd.catalog.names import slugify, title_key
from marketd.catalog.owners import record_foreign, seller_for
from marketd.catalog.pictures.change import hold_images, planned_image
from marketd.catalog.repository import slugs, specs
from marketd.catalog.search import pending as search
from marketd.catalog.values import NewImage, NewProduct, Product, ProductChange, ProductImage, ProductSpec, VariantSpec
from marketd.catalog.variants.rules import (
    first_option_names,
    new_variant,
    renamed_options,
    shown_prices,
    with_options,
)
from marketd.catalog.variants.shelf import FIRST_STOCK
from marketd.inventory.values import Actor, NewStock
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, ValidationFailed
from marketd.kernel.db.database import DATABASE_ERRORS, constraint_of
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.seller.errors import SellerClosed

_LONG_DESCRIPTION = 4096


async def create_product(uow: UnitOfWork, caller: Caller, new: NewProduct, currency: str) -> Product:
    """Make a product with its variants, their first stock and pictures, as a draft.

    Raises NotFound, SellerClosed, ValidationFailed and AlreadyExists as the contract says.
    """
    seller = await seller_for(uow, caller, new.seller_id, "product.seller_id")
    if seller.state.is_over:
        raise SellerClosed(seller.seller_id, over=True)
    names = first_option_names(new.option_names, new.variants)
    product_id = new_id()
    variants: list[VariantSpec] = []
    stocks: list[NewStock] = []
    for index, variant in enumerate(new.variants):
        spec = new_variant(
            product_id, seller.seller_id, names, variant, currency, index + 1, f"product.variants[{index}]"
        )
        if any(other.options_key == spec.options_key for other in variants):
            raise ValidationFailed(
                FieldViolation(f"product.variants[{index}].options", "another variant has the same values")
            )
        if spec.sku_key and any(other.sku_key == spec.sku_key for other in variants):
            raise ValidationFailed(FieldViolation(f"product.variants[{index}].sku", "another variant has the same SKU"))
        variants.append(spec)
        stocks.append(
            NewStock(spec.variant_id, seller.seller_id, variant.initial_quantity, FIRST_STOCK, policy=variant.policy)
        )
    price_minor, compare_at_price_minor = shown_prices(variants)
    slug = new.slug or slugify(new.title, "product")
    product = ProductSpec(
        product_id=product_id,
        seller_id=seller.seller_id,
        handle=slug,
        slug=slug,
        title=new.title,
        title_key=title_key(new.title),
        description=await _safe(new.description),
        category_id=new.category_id,
        brand_id=new.brand_id,
        tags=tuple(new.tags),
        option_names=names,
        currency=currency,
        price_minor=price_minor,
        compare_at_price_minor=compare_at_price_minor,
        state=ProductState.DRAFT,
        publish_time=None,
        attributes=dict(new.attributes),
    )
    images = await _images(uow, caller, seller.seller_id, product_id, new.images)
    try:
        await make_products(
            uow, [Planned(product, variants, images, stocks, has_own_slug=bool(new.slug))], Actor.of(caller)
        )
    except DATABASE_ERRORS as error:
        _refuse_unknown(error)
        raise
    await record_foreign(uow, caller, seller.seller_id, ("product", product_id), after=product)
    return await read_whole(uow, product_id)


async def _images(
    uow: UnitOfWork, caller: Caller, seller_id: UUID, product_id: UUID, given: Sequence[NewImage]
) -> list[ProductImage]:
    """The pictures to make, each once; the product holds those that are uploads.

    Raises ValidationFailed for uploads that are not the caller's to use, and for variants: there are none to name yet.
    """
    early = [
        FieldViolation(f"product.images[{index}].variant_ids", "the variants have no ids before the product is made")
        for index, image in enumerate(given)
        if image.variant_ids
    ]
    if early:
        raise ValidationFailed(*early)
    wanted: dict[int, NewImage] = {}
    for index, image in enumerate(given):
        if not any(image.is_same(other) for other in wanted.values()):
            wanted[index] = image
    paths = [f"product.images[{index}].image.media_id" for index in wanted]
    await hold_images(uow, caller, seller_id, product_id, list(wanted.values()), paths)
    return [planned_image(product_id, image, place) for place, image in enumerate(wanted.values(), 1)]


async def update_product(uow: UnitOfWork, caller: Caller, change: ProductChange) -> Product:
    """Change the named fields of an own product; what is so already stays as it is.

    Raises NotFound, ValidationFailed, AlreadyExists, EtagMismatch.
    """
    before, product = await lock_own(uow, caller, change.product_id)
    check_etag(change.etag, product.version)
    spec = before
    if "title" in change.paths:
        spec = replace(spec, title=change.title, title_key=title_key(change.title))
    if "slug" in change.paths:
        spec = replace(spec, slug=change.slug or await _free_slug(uow, spec))
    if "description" in change.paths:
        spec = replace(spec, description=await _safe(change.description))
    if "category_id" in change.paths:
        spec = replace(spec, category_id=change.category_id)
    if "brand_id" in change.paths:
        spec = replace(spec, brand_id=change.brand_id)
    if "tags" in change.paths:
        spec = replace(spec, tags=tuple(change.tags))
    if "attributes" in change.paths:
        spec = replace(spec, attributes=dict(change.attributes))
    renamed: list[VariantSpec] = []
    if "option_names" in change.paths and tuple(change.option_names) != before.option_names:
        spec = replace(spec, option_names=tuple(change.option_names))
        renamed = await _renamed(uow, before, change.option_names)
    if spec == before:
        return product
    try:
        await specs.update_products(uow.connection, [spec], uow.now)
    except DATABASE_ERRORS as error:
        if constraint_of(error) == "uq_products_slug":
            raise AlreadyExists("product", "slug") from error
        _refuse_unknown(error)
        raise
    if spec.slug != before.slug:
        # Looked at after the write: whoever gives the slug up at the same time has been waited for by the index.
        if await slugs.are_former(uow.connection, {spec.slug: spec.product_id}):
            raise AlreadyExists("product", "slug")
        await slugs.keep_slug(uow.connection, spec.product_id, before.slug, spec.slug)
    await specs.update_variants(uow.connection, renamed, uow.now)
    if spec.state is ProductState.PUBLISHED:
        await search.index_products(uow.connection, [spec.product_id])
    await record_foreign(uow, caller, spec.seller_id, ("product", spec.product_id), before=before, after=spec)
    return await read_whole(uow, change.product_id)


async def _renamed(uow: UnitOfWork, product: ProductSpec, names: Sequence[str]) -> list[VariantSpec]:
    """The product's variants with what they have chosen under the new names of the options."""
    variants = (await specs.read_variants(uow.connection, [product.product_id]))[product.product_id]
    if not variants:
        first_option_names(names, ())
        return []
    by_name = renamed_options(product.option_names, names)
    return [with_options(spec, by_name) for spec in variants]


async def _free_slug(uow: UnitOfWork, product: ProductSpec) -> str:
    """A slug made from the title that no other product has or had."""
    stem = slugify(product.title, "product")
    candidates = [stem, f"{stem}-2", f"{stem}-3", f"{stem}-{random_suffix()}"]
    taken = await slugs.taken_by_products(uow.connection, candidates, product.product_id)
    return next((slug for slug in candidates if slug not in taken), candidates[-1])


async def _safe(description: str) -> str:
    """The description as it is kept; cleaning can only make it longer by what it writes in place of a bare `<`."""
    # What is long and nested by somebody who means harm takes a tenth of a second: not on the event loop.
    is_long = len(description) > _LONG_DESCRIPTION
    cleaned = await asyncio.to_thread(safe_html, description) if is_long else safe_html(description)
    if len(cleaned) > MAX_DESCRIPTION:
        problem = f"is too long: without unsafe HTML it has {len(cleaned)} characters and may have {MAX_DESCRIPTION}"
        raise ValidationFailed(FieldViolation("product.description", problem))
    return cleaned


def _refuse_unknown(error: BaseException) -> None:
    """Raise the refusal of a category or brand that is not there (the foreign key saw it)."""
    thing = {"fk_products_category_id": "category", "fk_products_brand_id": "brand"}.get(constraint_of(error) or "")
    if thing is not None:
        raise ValidationFailed(FieldViolation(f"product.{thing}_id", f"there is no such {thing}")) from error

"""The use cases of products: making, changing, publishing and showing them, and the offers that carts and orders read.

Everything runs on the unit of work's own asyncpg connection. Drafts and archived products exist only for their seller
and for admins; to everybody else they are not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from marketd.catalog.descriptions import safe_html
from marketd.catalog.insert import Planned, cheapest, make_products
from marketd.catalog.model import ProductState
from marketd.catalog.names import Options, options_key, slugify, title_key
from marketd.catalog.repository import products as repository
from marketd.catalog.repository import writes
from marketd.catalog.repository.products import ProductKey
from marketd.catalog.repository.writes import ImageRecord, ProductRecord, VariantRecord
from marketd.catalog.values import NewProduct, NewVariant, Offer, ProductChange, ProductQuery, ProductView
from marketd.inventory.values import NewStock
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, IllegalTransition, NotFound, ValidationFailed
from marketd.kernel.db.database import DATABASE_ERRORS, Connection, constraint_of
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.seller import service as sellers
from marketd.seller.errors import SellerClosed
from marketd.seller.model import SellerState
from marketd.seller.values import Seller


async def read_offers(connection: Connection, variant_ids: Sequence[UUID]) -> dict[UUID, Offer]:
    """The offers of these variants, in one statement; unknown variants are left out."""
    return await repository.read_offers(connection, variant_ids) if variant_ids else {}


async def seller_for(unit: UnitOfWork | ReadUnit, caller: Caller, seller_id: UUID | None) -> Seller:
    """The seller that the caller may act for: its own, or as an admin the named one.

    Raises NotFound for a seller that is not the caller's, and ValidationFailed when an admin without a shop names none.
    """
    own = None
    if caller.has(Role.SELLER) and caller.user_id is not None:
        own = await sellers.seller_of(unit, caller.user_id)
    if own is not None and seller_id in (None, own.seller_id):
        return own
    if not caller.has(Role.ADMIN):
        raise NotFound("seller", seller_id or "me")
    if seller_id is None:
        raise ValidationFailed(FieldViolation("seller_id", "admins must name the seller"))
    named = await sellers.read_seller(unit, seller_id)
    if named is None:
        raise NotFound("seller", seller_id)
    return named


async def create_product(uow: UnitOfWork, caller: Caller, new: NewProduct, currency: str) -> ProductView:
    """Make a product with its variants, their first stock and pictures, as a draft.

    Raises NotFound, SellerClosed, ValidationFailed and AlreadyExists as the contract says.
    """
    seller = await seller_for(uow, caller, new.seller_id)
    if seller.state is SellerState.CLOSED:
        raise SellerClosed(seller.seller_id)
    if not new.title.strip():
        raise ValidationFailed(FieldViolation("title", "must not be blank"))
    names = _option_names(new)
    product_id = new_id()
    variants: list[VariantRecord] = []
    stocks: list[NewStock] = []
    for index, variant in enumerate(new.variants):
        record = _variant_record(product_id, seller.seller_id, names, variant, index)
        if any(other.options_key == record.options_key for other in variants):
            raise ValidationFailed(FieldViolation(f"variants[{index}].options", "another variant has the same values"))
        if record.sku and any(other.sku == record.sku for other in variants):
            raise ValidationFailed(FieldViolation(f"variants[{index}].sku", "another variant has the same SKU"))
        variants.append(record)
        stocks.append(NewStock(record.variant_id, seller.seller_id, variant.quantity, "first stock"))
    shown = cheapest(variants)
    slug = new.slug or slugify(new.title, "product")
    product = ProductRecord(
        product_id=product_id,
        seller_id=seller.seller_id,
        handle=slug,
        slug=slug,
        title=new.title.strip(),
        title_key=title_key(new.title),
        description=safe_html(new.description),
        category_id=new.category_id,
        brand_id=new.brand_id,
        tags=tuple(new.tags),
        option_names=names,
        currency=currency,
        price_minor=shown.price_minor,
        compare_at_price_minor=shown.compare_at_price_minor,
        state=ProductState.DRAFT.value,
        publish_time=None,
    )
    images = [
        ImageRecord(new_id(), product_id, place, image.url, image.alt_text, ())
        for place, image in enumerate(new.images, start=1)
    ]
    try:
        await make_products(uow, [Planned(product, variants, images, stocks, has_own_slug=bool(new.slug))])
    except DATABASE_ERRORS as error:
        _refuse_unknown(error, "")
        raise
    return await _read(uow, product_id)


async def update_product(uow: UnitOfWork, caller: Caller, change: ProductChange) -> ProductView:
    """Change the named fields of an own product. Raises NotFound, ValidationFailed, AlreadyExists, EtagMismatch."""
    view = await _own_locked(uow, caller, change.product_id)
    check_etag(change.etag, view.version)
    record = ProductRecord(
        product_id=view.product_id,
        seller_id=view.seller_id,
        handle=await writes.read_handle(uow.connection, view.product_id),
        slug=view.slug,
        title=view.title,
        title_key=view.title_key,
        description=view.description,
        category_id=view.category_id,
        brand_id=view.brand_id,
        tags=tuple(view.tags),
        option_names=tuple(view.option_names),
        currency=view.price.currency,
        price_minor=view.price.amount_minor,
        compare_at_price_minor=None if view.compare_at_price is None else view.compare_at_price.amount_minor,
        state=view.state.value,
        publish_time=view.publish_time,
    )
    if "title" in change.paths:
        if not change.title.strip():
            raise ValidationFailed(FieldViolation("product.title", "must not be blank"))
        record = replace(record, title=change.title.strip(), title_key=title_key(change.title))
    if "slug" in change.paths:
        if not change.slug:
            raise ValidationFailed(FieldViolation("product.slug", "must not be empty"))
        record = replace(record, slug=change.slug)
    if "description" in change.paths:
        record = replace(record, description=safe_html(change.description))
    if "category_id" in change.paths:
        record = replace(record, category_id=change.category_id)
    if "brand_id" in change.paths:
        record = replace(record, brand_id=change.brand_id)
    if "tags" in change.paths:
        record = replace(record, tags=tuple(change.tags))
    try:
        await writes.update_products(uow.connection, [record], uow.now)
    except DATABASE_ERRORS as error:
        if constraint_of(error) == "uq_products_slug":
            raise AlreadyExists("product", "slug") from error
        _refuse_unknown(error, "product.")
        raise
    return await _read(uow, change.product_id)


async def publish_product(uow: UnitOfWork, caller: Caller, product_id: UUID) -> ProductView:
    """Publish an own product; one that is published stays as it is.

    Raises NotFound, SellerClosed when the seller does not sell, IllegalTransition when no variant is active.
    """
    view = await _own_locked(uow, caller, product_id)
    seller = await sellers.read_seller(uow, view.seller_id)
    if seller is None or seller.state is not SellerState.ACTIVE:
        raise SellerClosed(view.seller_id)
    if view.state is ProductState.PUBLISHED:
        return view
    if not any(variant.is_active for variant in view.variants):
        raise IllegalTransition("product", view.state.value, ())
    await writes.publish(uow.connection, product_id, uow.now)
    return await _read(uow, product_id)


async def get_product(
    unit: ReadUnit, caller: Caller, product_id: UUID | None, slug: str, *, variants: bool = True, images: bool = True
) -> ProductView:
    """A product by its id, or by its slug when that is None; variants and pictures only when wanted.

    Raises NotFound.
    """
    if product_id is None:
        view = await repository.read_by_slug(unit.connection, slug, variants=variants, images=images)
    else:
        view = await repository.read_by_id(unit.connection, product_id, variants=variants, images=images)
    if view is None or (view.state is not ProductState.PUBLISHED and not await _owns(unit, caller, view)):
        raise NotFound("product", slug if product_id is None else product_id)
    return view


async def list_products(
    unit: ReadUnit, caller: Caller, query: ProductQuery, after: ProductKey | None, limit: int
) -> list[ProductView]:
    """Up to `limit` products after that key: published ones, and of other states only what the caller owns.

    Without a stated state, the caller's own seller gives all states. Admins see every state that they ask for.
    """
    narrowed = await _allowed(unit, caller, query)
    if narrowed is None:
        return []
    return await repository.list_products(unit.connection, narrowed, after, limit)


async def _allowed(unit: ReadUnit, caller: Caller, query: ProductQuery) -> ProductQuery | None:
    if is_public(query) or (query.state not in (None, ProductState.PUBLISHED) and caller.has(Role.ADMIN)):
        return replace(query, state=query.state or ProductState.PUBLISHED)
    own = None
    if caller.has(Role.SELLER) and caller.user_id is not None:
        own = await sellers.seller_of(unit, caller.user_id)
    if own is not None and query.seller_id in (None, own.seller_id):
        return replace(query, seller_id=own.seller_id)
    return replace(query, state=ProductState.PUBLISHED) if query.state is None else None


def is_public(query: ProductQuery) -> bool:
    """Whether the list is the same for everybody, whoever asks."""
    return query.state is ProductState.PUBLISHED or (query.state is None and query.seller_id is None)


async def _owns(unit: ReadUnit | UnitOfWork, caller: Caller, view: ProductView) -> bool:
    if caller.has(Role.ADMIN):
        return True
    if not caller.has(Role.SELLER) or caller.user_id is None:
        return False
    own = await sellers.seller_of(unit, caller.user_id)
    return own is not None and own.seller_id == view.seller_id


async def _own_locked(uow: UnitOfWork, caller: Caller, product_id: UUID) -> ProductView:
    found = await writes.lock_product(uow.connection, product_id)
    view = await repository.read_by_id(uow.connection, product_id) if found else None
    if view is None or not await _owns(uow, caller, view):
        raise NotFound("product", product_id)
    return view


async def _read(uow: UnitOfWork, product_id: UUID) -> ProductView:
    view = await repository.read_by_id(uow.connection, product_id)
    if view is None:
        raise NotFound("product", product_id)
    return view


def _option_names(new: NewProduct) -> tuple[str, ...]:
    named = set(new.variants[0].options)
    for index, variant in enumerate(new.variants):
        if set(variant.options) != named:
            raise ValidationFailed(
                FieldViolation(f"variants[{index}].options", "all variants must name the same options")
            )
    if new.option_names and set(new.option_names) != named:
        raise ValidationFailed(FieldViolation("option_names", "must be the options that the variants name"))
    if not named and len(new.variants) > 1:
        raise ValidationFailed(FieldViolation("variants[1].options", "several variants need options"))
    return tuple(new.option_names) or tuple(sorted(named))


def _variant_record(
    product_id: UUID, seller_id: UUID, names: tuple[str, ...], variant: NewVariant, index: int
) -> VariantRecord:
    options: Options = tuple((name, variant.options[name]) for name in names)
    return VariantRecord(
        variant_id=new_id(),
        product_id=product_id,
        seller_id=seller_id,
        sku=variant.sku.strip(),
        options=options,
        options_key=options_key(options),
        price_minor=variant.price.amount_minor,
        compare_at_price_minor=None if variant.compare_at_price is None else variant.compare_at_price.amount_minor,
        is_active=variant.is_active,
        barcode=variant.barcode,
        weight_grams=variant.weight_grams,
        position=index + 1,
    )


def _refuse_unknown(error: BaseException, prefix: str) -> None:
    """Raise the refusal of a category or brand that is not there (the foreign key saw it)."""
    field = {
        "fk_products_category_id": "category_id",
        "fk_products_brand_id": "brand_id",
    }.get(constraint_of(error) or "")
    if field is not None:
        raise ValidationFailed(FieldViolation(prefix + field, "there is no such thing")) from error

"""The use cases of brands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from marketd.audit import log
from marketd.catalog.names import slugify
from marketd.catalog.repository import brands as repository
from marketd.catalog.repository.slugs import free_slug
from marketd.catalog.values import Brand
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, InUse, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key


@dataclass(frozen=True, slots=True)
class NewBrand:
    """A brand to be made; an empty `slug` is made from the name."""

    name: str
    slug: str
    description: str


@dataclass(frozen=True, slots=True)
class BrandChange:
    """New values for the fields that `paths` names (name, slug, description)."""

    brand_id: UUID
    paths: frozenset[str]
    etag: str
    name: str
    slug: str
    description: str


async def create_brand(uow: UnitOfWork, caller: Caller, new: NewBrand) -> Brand:
    """Make a brand. Raises AlreadyExists for a name or slug in use."""
    if not new.name.strip():
        raise ValidationFailed(FieldViolation("name", "must not be blank"))
    brand = Brand(
        brand_id=new_id(),
        name=new.name.strip(),
        name_key=name_key(new.name),
        slug=new.slug or await free_slug(uow.connection, "brands", slugify(new.name, "brand")),
        description=new.description,
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    await repository.insert(uow.connection, brand)
    await log.record(uow, caller, "brand", brand.brand_id)
    return brand


async def update_brand(uow: UnitOfWork, caller: Caller, change: BrandChange) -> Brand:
    """Change the named fields. Raises NotFound, EtagMismatch and AlreadyExists."""
    brand = await repository.lock(uow.connection, change.brand_id)
    if brand is None:
        raise NotFound("brand", change.brand_id)
    check_etag(change.etag, brand.version)
    if "name" in change.paths:
        if not change.name.strip():
            raise ValidationFailed(FieldViolation("brand.name", "must not be blank"))
        brand = replace(brand, name=change.name.strip(), name_key=name_key(change.name))
    if "slug" in change.paths:
        stem = slugify(brand.name, "brand")
        slug = change.slug or await free_slug(uow.connection, "brands", stem, brand.slug)
        brand = replace(brand, slug=slug)
    if "description" in change.paths:
        brand = replace(brand, description=change.description)
    brand = replace(brand, version=brand.version + 1, update_time=uow.now)
    await repository.save(uow.connection, brand)
    await log.record(uow, caller, "brand", brand.brand_id)
    return brand


async def delete_brand(uow: UnitOfWork, caller: Caller, brand_id: UUID) -> None:
    """Delete a brand that no product has. Raises NotFound and InUse."""
    if await repository.lock(uow.connection, brand_id) is None:
        raise NotFound("brand", brand_id)
    if await repository.is_used(uow.connection, brand_id):
        raise InUse("brand", "products")
    await repository.delete(uow.connection, brand_id)
    await log.record(uow, caller, "brand", brand_id)


async def get_brand(unit: ReadUnit, brand_id: UUID | None, slug: str) -> Brand:
    """A brand by its id, or by its slug when that is None. Raises NotFound."""
    brand = await repository.read(unit.connection, brand_id, slug)
    if brand is None:
        raise NotFound("brand", slug if brand_id is None else brand_id)
    return brand


async def list_brands(unit: ReadUnit, after: str | None, limit: int) -> list[Brand]:
    """Up to `limit` brands by name after the given name key."""
    return await repository.list_page(unit.connection, after, limit)

"""The use cases of brands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from marketd.audit import log
from marketd.catalog.names import slugify
from marketd.catalog.repository import brands as repository
from marketd.catalog.repository.brands import BrandKey
from marketd.catalog.repository.slugs import free_slug
from marketd.catalog.search import pending as search
from marketd.catalog.values import Brand, Order
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import InUse, NotFound
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
    """New values for the fields that `paths` names (name, slug, description); an empty `etag` is unconditional."""

    brand_id: UUID
    paths: frozenset[str]
    etag: str
    name: str
    slug: str
    description: str


async def create_brand(uow: UnitOfWork, caller: Caller, new: NewBrand) -> Brand:
    """Make a brand. Raises AlreadyExists for a name or slug in use."""
    brand = Brand(
        brand_id=new_id(),
        name=new.name,
        name_key=name_key(new.name),
        slug=new.slug or await free_slug(uow.connection, "brands", slugify(new.name, "brand")),
        description=new.description,
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    await repository.insert(uow.connection, brand)
    await log.record(uow, caller, "brand", brand.brand_id, after=brand)
    return brand


async def update_brand(uow: UnitOfWork, caller: Caller, change: BrandChange) -> Brand:
    """Change the named fields; what is so already stays as it is. Raises NotFound, EtagMismatch and AlreadyExists."""
    before = await repository.lock(uow.connection, change.brand_id)
    if before is None:
        raise NotFound("brand", change.brand_id)
    check_etag(change.etag, before.version)
    after = before
    if "name" in change.paths:
        after = replace(after, name=change.name, name_key=name_key(change.name))
    if "slug" in change.paths:
        stem = slugify(after.name, "brand")
        slug = change.slug or await free_slug(uow.connection, "brands", stem, before.slug)
        after = replace(after, slug=slug)
    if "description" in change.paths:
        after = replace(after, description=change.description)
    if after == before:
        return before
    after = replace(after, version=before.version + 1, update_time=uow.now)
    await repository.save(uow.connection, after)
    if after.name != before.name:
        await search.note_brand(uow.connection, after.brand_id)
    await log.record(uow, caller, "brand", after.brand_id, before=before, after=after)
    return after


async def delete_brand(uow: UnitOfWork, caller: Caller, brand_id: UUID, etag: str, *, allow_missing: bool) -> None:
    """Delete a brand that no product has. Raises NotFound (not with `allow_missing`), EtagMismatch and InUse."""
    brand = await repository.lock(uow.connection, brand_id)
    if brand is None:
        if allow_missing:
            return
        raise NotFound("brand", brand_id)
    check_etag(etag, brand.version)
    if used_by := await repository.used_by(uow.connection, brand_id):
        raise InUse("brand", used_by)
    await repository.delete(uow.connection, brand_id)
    await log.record(uow, caller, "brand", brand_id, before=brand)


async def get_brand(unit: ReadUnit, brand_id: UUID | None, slug: str) -> Brand:
    """A brand by its id, or by its slug when that is None. Raises NotFound."""
    brand = await repository.read(unit.connection, brand_id, slug)
    if brand is None:
        raise NotFound("brand", slug if brand_id is None else brand_id)
    return brand


async def list_brands(
    unit: ReadUnit, name_prefix: str, order: Order, after: BrandKey | None, limit: int
) -> list[Brand]:
    """Up to `limit` brands whose name begins with `name_prefix` (compared as names are), after that key."""
    return await repository.list_page(unit.connection, name_key(name_prefix), order, after, limit)

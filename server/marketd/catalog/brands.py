"""The use cases of brands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from marketd.audit import log
from marketd.catalog import taxonomy_repository
from marketd.catalog.model import BrandTable
from marketd.catalog.names import name_key, slugify
from marketd.catalog.values import BrandView
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Cursor
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, InUse, NotFound, ValidationFailed
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id


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


async def create_brand(uow: UnitOfWork, caller: Caller, new: NewBrand) -> BrandView:
    """Make a brand. Raises AlreadyExists for a name or slug in use."""
    if not new.name.strip():
        raise ValidationFailed(FieldViolation("name", "must not be blank"))
    row = BrandTable(
        brand_id=new_id(),
        name=new.name.strip(),
        name_key=name_key(new.name),
        slug=new.slug or await taxonomy_repository.free_slug(uow.session, BrandTable, slugify(new.name, "brand")),
        description=new.description,
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    with _unique():
        uow.session.add(row)
        await uow.session.flush()
    await log.record(uow, caller, "brand", row.brand_id)
    return taxonomy_repository.brand_view(row)


async def update_brand(uow: UnitOfWork, caller: Caller, change: BrandChange) -> BrandView:
    """Change the named fields. Raises NotFound, EtagMismatch and AlreadyExists."""
    row = await taxonomy_repository.load_brand(uow.session, change.brand_id)
    if row is None:
        raise NotFound("brand", change.brand_id)
    check_etag(change.etag, row.version)
    with _unique():
        if "name" in change.paths:
            if not change.name.strip():
                raise ValidationFailed(FieldViolation("brand.name", "must not be blank"))
            row.name, row.name_key = change.name.strip(), name_key(change.name)
        if "slug" in change.paths:
            row.slug = change.slug or await taxonomy_repository.free_slug(
                uow.session, BrandTable, slugify(row.name, "brand"), row.slug
            )
        if "description" in change.paths:
            row.description = change.description
        row.version += 1
        row.update_time = uow.now
        await uow.session.flush()
    await log.record(uow, caller, "brand", row.brand_id)
    return taxonomy_repository.brand_view(row)


async def delete_brand(uow: UnitOfWork, caller: Caller, brand_id: UUID) -> None:
    """Delete a brand that no product has. Raises NotFound and InUse."""
    if await taxonomy_repository.load_brand(uow.session, brand_id) is None:
        raise NotFound("brand", brand_id)
    if await taxonomy_repository.brand_is_used(uow.session, brand_id):
        raise InUse("brand", "products")
    try:
        await taxonomy_repository.delete_brand(uow.session, brand_id)
    except IntegrityError as error:
        # A product took the brand between the look and the delete; the foreign key saw it.
        raise InUse("brand", "products") from error
    await log.record(uow, caller, "brand", brand_id)


async def get_brand(unit: ReadUnit, brand_id: UUID | None, slug: str) -> BrandView:
    """A brand by its id, or by its slug when that is None. Raises NotFound."""
    view = await taxonomy_repository.read_brand(unit.connection, brand_id, slug)
    if view is None:
        raise NotFound("brand", slug if brand_id is None else brand_id)
    return view


async def list_brands(unit: ReadUnit, cursor: Cursor | None, limit: int) -> list[tuple[BrandView, Cursor]]:
    """Up to `limit` brands by name after the cursor, each with its own cursor."""
    return await taxonomy_repository.list_brands(unit.connection, cursor, limit)


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        taken = {"uq_brands_name_key": "name", "uq_brands_slug": "slug"}.get(constraint_of(error) or "")
        if taken is not None:
            raise AlreadyExists("brand", taken) from error
        raise

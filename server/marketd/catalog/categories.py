"""The use cases of categories: making, changing, moving and deleting them, and looking at the tree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from marketd.audit import log
from marketd.catalog.model import MAX_CATEGORY_DEPTH
from marketd.catalog.names import slugify
from marketd.catalog.repository import categories as repository
from marketd.catalog.repository.categories import CategoryKey
from marketd.catalog.repository.slugs import free_slug
from marketd.catalog.values import Category
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, InUse, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key


@dataclass(frozen=True, slots=True)
class NewCategory:
    """A category to be made; an empty `slug` is made from the name."""

    name: str
    slug: str
    parent_category_id: UUID | None
    description: str
    position: int


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """New values for the fields that `paths` names (name, slug, parent_category_id, description, position)."""

    category_id: UUID
    paths: frozenset[str]
    etag: str
    name: str
    slug: str
    parent_category_id: UUID | None
    description: str
    position: int


async def create_category(uow: UnitOfWork, caller: Caller, new: NewCategory) -> Category:
    """Make a category. Raises NotFound for the one above, AlreadyExists for a slug in use, ValidationFailed when the
    tree would become too deep.
    """
    if not new.name.strip():
        raise ValidationFailed(FieldViolation("name", "must not be blank"))
    category_id = new_id()
    above: tuple[UUID, ...] = ()
    if new.parent_category_id is not None:
        await repository.lock_tree(uow.connection)
        above = (await _locked(uow, new.parent_category_id)).path
        _check_depth(len(above) + 1)
    category = Category(
        category_id=category_id,
        parent_category_id=new.parent_category_id,
        name=new.name.strip(),
        name_key=name_key(new.name),
        slug=new.slug or await free_slug(uow.connection, "categories", slugify(new.name, "category")),
        description=new.description,
        position=new.position,
        path=(*above, category_id),
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    await repository.insert(uow.connection, category)
    await log.record(uow, caller, "category", category.category_id)
    return category


async def update_category(uow: UnitOfWork, caller: Caller, change: CategoryChange) -> Category:
    """Change the named fields. Raises NotFound, EtagMismatch, AlreadyExists, and ValidationFailed for a circle."""
    if "parent_category_id" in change.paths:
        await repository.lock_tree(uow.connection)
    before = await _locked(uow, change.category_id)
    check_etag(change.etag, before.version)
    after = before
    if "name" in change.paths:
        if not change.name.strip():
            raise ValidationFailed(FieldViolation("category.name", "must not be blank"))
        after = replace(after, name=change.name.strip(), name_key=name_key(change.name))
    if "slug" in change.paths:
        stem = slugify(after.name, "category")
        slug = change.slug or await free_slug(uow.connection, "categories", stem, before.slug)
        after = replace(after, slug=slug)
    if "description" in change.paths:
        after = replace(after, description=change.description)
    if "position" in change.paths:
        after = replace(after, position=change.position)
    if "parent_category_id" in change.paths and change.parent_category_id != before.parent_category_id:
        path = await _path_below(uow, before, change.parent_category_id)
        after = replace(after, parent_category_id=change.parent_category_id, path=path)
    after = replace(after, version=before.version + 1, update_time=uow.now)
    await repository.save(uow.connection, after)
    if after.path != before.path:
        await repository.move_below(uow.connection, before, after)
    await log.record(uow, caller, "category", after.category_id)
    return after


async def _path_below(uow: UnitOfWork, category: Category, parent_category_id: UUID | None) -> tuple[UUID, ...]:
    """The category's path below another one, or at the top."""
    above: tuple[UUID, ...] = ()
    if parent_category_id is not None:
        above = (await _locked(uow, parent_category_id)).path
        if category.category_id in above:
            raise ValidationFailed(FieldViolation("category.parent_category_id", "a category cannot come below itself"))
    _check_depth(len(above) + await repository.depth_below(uow.connection, category))
    return (*above, category.category_id)


async def delete_category(uow: UnitOfWork, caller: Caller, category_id: UUID) -> None:
    """Delete a category that nothing uses. Raises NotFound and InUse."""
    await repository.lock_tree(uow.connection)
    await _locked(uow, category_id)
    if used_by := await repository.used_by(uow.connection, category_id):
        raise InUse("category", used_by)
    await repository.delete(uow.connection, category_id)
    await log.record(uow, caller, "category", category_id)


async def get_category(unit: ReadUnit, category_id: UUID | None, slug: str) -> Category:
    """A category by its id, or by its slug when that is None. Raises NotFound."""
    category = await repository.read(unit.connection, category_id, slug)
    if category is None:
        raise NotFound("category", slug if category_id is None else category_id)
    return category


async def list_categories(
    unit: ReadUnit, *, all_levels: bool, parent_category_id: UUID | None, after: CategoryKey | None, limit: int
) -> list[Category]:
    """Up to `limit` categories after the one with that key: all, or the children of one (None: those at the top)."""
    return await repository.list_page(
        unit.connection, all_levels=all_levels, parent_category_id=parent_category_id, after=after, limit=limit
    )


async def _locked(uow: UnitOfWork, category_id: UUID) -> Category:
    category = await repository.lock(uow.connection, category_id)
    if category is None:
        raise NotFound("category", category_id)
    return category


def _check_depth(depth: int) -> None:
    if depth > MAX_CATEGORY_DEPTH:
        raise ValidationFailed(
            FieldViolation("parent_category_id", f"the tree may have at most {MAX_CATEGORY_DEPTH} levels")
        )

"""The use cases of categories: making, changing, moving and deleting them, and looking at the tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from marketd.audit import log
from marketd.catalog import taxonomy_repository
from marketd.catalog.model import MAX_CATEGORY_DEPTH, CategoryTable
from marketd.catalog.names import name_key, slugify
from marketd.catalog.values import CategoryView
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.pages import Cursor
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, InUse, NotFound, ValidationFailed
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id


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


async def create_category(uow: UnitOfWork, caller: Caller, new: NewCategory) -> CategoryView:
    """Make a category. Raises NotFound for the one above, AlreadyExists for a slug in use, ValidationFailed when the
    tree would become too deep.
    """
    if not new.name.strip():
        raise ValidationFailed(FieldViolation("name", "must not be blank"))
    category_id = new_id()
    path = [category_id]
    if new.parent_category_id is not None:
        await taxonomy_repository.lock_tree(uow.session)
        parent = await taxonomy_repository.load_category(uow.session, new.parent_category_id)
        if parent is None:
            raise NotFound("category", new.parent_category_id)
        path = [*parent.path, category_id]
        _check_depth(len(path))
    slug = new.slug or await taxonomy_repository.free_slug(uow.session, CategoryTable, slugify(new.name, "category"))
    row = CategoryTable(
        category_id=category_id,
        parent_category_id=new.parent_category_id,
        name=new.name.strip(),
        name_key=name_key(new.name),
        slug=slug,
        description=new.description,
        position=new.position,
        path=path,
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    with _unique():
        uow.session.add(row)
        await uow.session.flush()
    await log.record(uow, caller, "category", row.category_id)
    return taxonomy_repository.category_view(row)


async def update_category(uow: UnitOfWork, caller: Caller, change: CategoryChange) -> CategoryView:
    """Change the named fields. Raises NotFound, EtagMismatch, AlreadyExists, and ValidationFailed for a circle."""
    if "parent_category_id" in change.paths:
        await taxonomy_repository.lock_tree(uow.session)
    row = await taxonomy_repository.load_category(uow.session, change.category_id)
    if row is None:
        raise NotFound("category", change.category_id)
    check_etag(change.etag, row.version)
    with _unique():
        if "name" in change.paths:
            if not change.name.strip():
                raise ValidationFailed(FieldViolation("category.name", "must not be blank"))
            row.name, row.name_key = change.name.strip(), name_key(change.name)
        if "slug" in change.paths:
            row.slug = change.slug or await taxonomy_repository.free_slug(
                uow.session, CategoryTable, slugify(row.name, "category"), row.slug
            )
        if "description" in change.paths:
            row.description = change.description
        if "position" in change.paths:
            row.position = change.position
        if "parent_category_id" in change.paths and change.parent_category_id != row.parent_category_id:
            await _move(uow, row, change.parent_category_id)
        row.version += 1
        row.update_time = uow.now
        await uow.session.flush()
    await log.record(uow, caller, "category", row.category_id)
    return taxonomy_repository.category_view(row)


async def _move(uow: UnitOfWork, row: CategoryTable, parent_category_id: UUID | None) -> None:
    above: list[UUID] = []
    if parent_category_id is not None:
        parent = await taxonomy_repository.load_category(uow.session, parent_category_id)
        if parent is None:
            raise NotFound("category", parent_category_id)
        if row.category_id in parent.path:
            raise ValidationFailed(FieldViolation("category.parent_category_id", "a category cannot come below itself"))
        above = parent.path
    _check_depth(len(above) + await taxonomy_repository.depth_below(uow.session, row.category_id))
    old_depth = len(row.path)
    row.parent_category_id = parent_category_id
    row.path = [*above, row.category_id]
    await uow.session.flush()
    await taxonomy_repository.move_below(uow.session, row.category_id, old_depth, row.path)


async def delete_category(uow: UnitOfWork, caller: Caller, category_id: UUID) -> None:
    """Delete a category that nothing uses. Raises NotFound and InUse."""
    await taxonomy_repository.lock_tree(uow.session)
    if await taxonomy_repository.load_category(uow.session, category_id) is None:
        raise NotFound("category", category_id)
    if used_by := await taxonomy_repository.category_is_used(uow.session, category_id):
        raise InUse("category", used_by)
    try:
        await taxonomy_repository.delete_category(uow.session, category_id)
    except IntegrityError as error:
        # A product took the category between the look and the delete; the foreign key saw it.
        raise InUse("category", "products") from error
    await log.record(uow, caller, "category", category_id)


async def get_category(unit: ReadUnit, category_id: UUID | None, slug: str) -> CategoryView:
    """A category by its id, or by its slug when that is None. Raises NotFound."""
    view = await taxonomy_repository.read_category(unit.connection, category_id, slug)
    if view is None:
        raise NotFound("category", slug if category_id is None else category_id)
    return view


async def list_categories(
    unit: ReadUnit, *, all_levels: bool, parent_category_id: UUID | None, cursor: Cursor | None, limit: int
) -> list[tuple[CategoryView, Cursor]]:
    """Up to `limit` categories after the cursor, each with its own cursor."""
    return await taxonomy_repository.list_categories(
        unit.connection, all_levels=all_levels, parent_category_id=parent_category_id, cursor=cursor, limit=limit
    )


def _check_depth(depth: int) -> None:
    if depth > MAX_CATEGORY_DEPTH:
        raise ValidationFailed(
            FieldViolation("parent_category_id", f"the tree may have at most {MAX_CATEGORY_DEPTH} levels")
        )


@contextmanager
def _unique() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        if constraint_of(error) == "uq_categories_slug":
            raise AlreadyExists("category", "slug") from error
        raise

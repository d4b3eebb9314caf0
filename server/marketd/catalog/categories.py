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
from marketd.catalog.search import pending as search
from marketd.catalog.values import Category, CategoryQuery, Order
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import FieldViolation, InUse, NotFound, ValidationFailed
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key
from marketd.media import service as media
from marketd.media.images.held import HeldImage, ImageChange, change_image
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind

_PARENT = "category.parent_category_id"


@dataclass(frozen=True, slots=True)
class NewCategory:
    """A category to be made; an empty `slug` is made from the name."""

    name: str
    slug: str
    parent_category_id: UUID | None
    description: str
    position: int
    tax_rate: int | None
    image: ImageChange | None = None


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """New values for the fields that `paths` names (name, slug, parent_category_id, description, position, tax_rate).

    image: None leaves it as it is. An empty `etag` is unconditional.
    """

    category_id: UUID
    paths: frozenset[str]
    etag: str
    name: str
    slug: str
    parent_category_id: UUID | None
    description: str
    position: int
    tax_rate: int | None
    image: ImageChange | None = None


async def create_category(uow: UnitOfWork, caller: Caller, new: NewCategory) -> Category:
    """Make a category. Raises AlreadyExists for a slug in use, and ValidationFailed for one above that is not there,
    when the tree would become too deep, and for a picture that the caller may not use.
    """
    category_id = new_id()
    above: tuple[UUID, ...] = ()
    if new.parent_category_id is not None:
        await repository.lock_tree(uow.connection)
        above = await _path_of_parent(uow, new.parent_category_id)
        _check_depth(len(above) + 1)
    category = Category(
        category_id=category_id,
        parent_category_id=new.parent_category_id,
        name=new.name,
        name_key=name_key(new.name),
        slug=new.slug or await free_slug(uow.connection, "categories", slugify(new.name, "category")),
        description=new.description,
        image=await _image(uow, caller, category_id, None, new.image),
        position=new.position,
        tax_rate=new.tax_rate,
        path=(*above, category_id),
        version=1,
        create_time=uow.now,
        update_time=uow.now,
    )
    await repository.insert(uow.connection, category)
    await log.record(uow, caller, "category", category.category_id, after=category)
    return category


async def update_category(uow: UnitOfWork, caller: Caller, change: CategoryChange) -> Category:
    """Change the named fields; what is so already stays as it is.

    Raises NotFound, EtagMismatch, AlreadyExists, and ValidationFailed for a category above that cannot be and a picture
    that the caller may not use.
    """
    # A new name is a change of the tree too: all below is locked for it, and two at once would wait for each other.
    if change.paths & {"parent_category_id", "name"}:
        await repository.lock_tree(uow.connection)
    before = await _locked(uow, change.category_id)
    check_etag(change.etag, before.version)
    after = before
    if "name" in change.paths:
        after = replace(after, name=change.name, name_key=name_key(change.name))
    if "slug" in change.paths:
        stem = slugify(after.name, "category")
        slug = change.slug or await free_slug(uow.connection, "categories", stem, before.slug)
        after = replace(after, slug=slug)
    if "description" in change.paths:
        after = replace(after, description=change.description)
    if change.image is not None:
        after = replace(after, image=await _image(uow, caller, before.category_id, before.image, change.image))
    if "position" in change.paths:
        after = replace(after, position=change.position)
    if "tax_rate" in change.paths:
        after = replace(after, tax_rate=change.tax_rate)
    if "parent_category_id" in change.paths and change.parent_category_id != before.parent_category_id:
        path = await _path_below(uow, before, change.parent_category_id)
        after = replace(after, parent_category_id=change.parent_category_id, path=path)
    if after == before:
        return before
    after = replace(after, version=before.version + 1, update_time=uow.now)
    if (after.name, after.path) != (before.name, before.path):
        # Whoever puts a product into one of them meanwhile has committed before this, or reads what is new.
        await repository.lock_below(uow.connection, before)
        await search.note_category(uow.connection, after.category_id)
    await repository.save(uow.connection, after)
    if after.path != before.path:
        await repository.move_below(uow.connection, before, after)
    await log.record(uow, caller, "category", after.category_id, before=before, after=after)
    return after


async def _image(
    uow: UnitOfWork, caller: Caller, category_id: UUID, before: HeldImage | None, change: ImageChange | None
) -> HeldImage | None:
    if change is None:
        return before
    holder = Holder(HolderKind.CATEGORY, category_id)
    return await change_image(uow, before, change, [caller.known_user_id], Purpose.CATEGORY, holder)


async def _path_below(uow: UnitOfWork, category: Category, parent_category_id: UUID | None) -> tuple[UUID, ...]:
    """The category's path below another one, or at the top."""
    above: tuple[UUID, ...] = ()
    if parent_category_id is not None:
        above = await _path_of_parent(uow, parent_category_id)
        if category.category_id in above:
            raise ValidationFailed(FieldViolation(_PARENT, "a category cannot come below itself"))
    _check_depth(len(above) + await repository.depth_below(uow.connection, category))
    return (*above, category.category_id)


async def delete_category(
    uow: UnitOfWork, caller: Caller, category_id: UUID, etag: str, *, allow_missing: bool
) -> None:
    """Delete a category that nothing uses. Raises NotFound (not with `allow_missing`), EtagMismatch and InUse."""
    await repository.lock_tree(uow.connection)
    category = await repository.lock(uow.connection, category_id)
    if category is None:
        if allow_missing:
            return
        raise NotFound("category", category_id)
    check_etag(etag, category.version)
    if used_by := await repository.used_by(uow.connection, category_id):
        raise InUse("category", used_by)
    await repository.delete(uow.connection, category_id)
    await media.release_all(uow, Holder(HolderKind.CATEGORY, category_id))
    await log.record(uow, caller, "category", category_id, before=category)


async def get_category(unit: ReadUnit, category_id: UUID | None, slug: str) -> Category:
    """A category by its id, or by its slug when that is None. Raises NotFound."""
    category = await repository.read(unit.connection, category_id, slug)
    if category is None:
        raise NotFound("category", slug if category_id is None else category_id)
    return category


async def list_categories(
    unit: ReadUnit, query: CategoryQuery, order: Order, after: CategoryKey | None, limit: int
) -> list[Category]:
    """Up to `limit` categories after the one with that key."""
    return await repository.list_page(unit.connection, query, order, after, limit)


async def _locked(uow: UnitOfWork, category_id: UUID) -> Category:
    category = await repository.lock(uow.connection, category_id)
    if category is None:
        raise NotFound("category", category_id)
    return category


async def _path_of_parent(uow: UnitOfWork, parent_category_id: UUID) -> tuple[UUID, ...]:
    """The path of the category that another one is to come below, which is locked."""
    parent = await repository.lock(uow.connection, parent_category_id)
    if parent is None:
        raise ValidationFailed(FieldViolation(_PARENT, "there is no such category"))
    return parent.path


def _check_depth(depth: int) -> None:
    if depth > MAX_CATEGORY_DEPTH:
        raise ValidationFailed(FieldViolation(_PARENT, f"the tree may have at most {MAX_CATEGORY_DEPTH} levels"))

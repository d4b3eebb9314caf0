"""Categories and brands on real Postgres: a tree that stays a tree, names that stay unique, nothing deleted in use."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.decimal_pb2 import Decimal
from marketd.catalog.model import MAX_CATEGORY_DEPTH
from marketd.catalog.repository import specs
from marketd.catalog.servicer import CatalogServicer
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import (
    AlreadyExists,
    EtagMismatch,
    InUse,
    NotFound,
    PageTokenInvalid,
    Refusal,
    ValidationFailed,
)
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import brand_pb2, category_pb2
from marketplace.catalog.v1 import catalog_service_pb2 as pb

from tests.worlds.built import Built
from tests.worlds.parts import make_parts

CONTEXT: Any = None  # no method here looks at it


@pytest.fixture
def catalog(tx: Transactor) -> CatalogServicer:
    calls.enter(Call(caller=Caller(new_id(), None, frozenset({Role.ADMIN}))))
    return Built(make_parts(tx), "catalog").servicer(CatalogServicer)


async def _make(catalog: CatalogServicer, name: str, parent: str = "", **fields: Any) -> category_pb2.Category:
    category = category_pb2.Category(name=name, parent_category_id=parent or None, **fields)
    return (await catalog.CreateCategory(pb.CreateCategoryRequest(category=category), CONTEXT)).category


async def _brand(catalog: CatalogServicer, name: str, **fields: Any) -> brand_pb2.Brand:
    request = pb.CreateBrandRequest(brand=brand_pb2.Brand(name=name, **fields))
    return (await catalog.CreateBrand(request, CONTEXT)).brand


async def _change(catalog: CatalogServicer, etag: str = "", **fields: Any) -> category_pb2.Category:
    paths = [name for name in fields if name != "category_id"]
    request = pb.UpdateCategoryRequest(
        category=category_pb2.Category(etag=etag, **fields), update_mask=FieldMask(paths=paths)
    )
    return (await catalog.UpdateCategory(request, CONTEXT)).category


async def test_a_rate_of_tax_is_set_changed_and_cleared(catalog: CatalogServicer) -> None:
    food = await _make(catalog, "Food", tax_rate=Decimal(value="7.00"))
    assert food.tax_rate.value == "7"
    assert not (await _make(catalog, "Drinks")).HasField("tax_rate")
    assert not (await _make(catalog, "Wood", tax_rate=Decimal())).HasField("tax_rate")
    changed = await _change(catalog, category_id=food.category_id, tax_rate=Decimal(value="5.5"))
    assert (changed.tax_rate.value, changed.name) == ("5.5", "Food")
    free = await _change(catalog, category_id=food.category_id, tax_rate=Decimal(value="0"))
    assert free.tax_rate.value == "0", "no tax is a rate as well"
    renamed = await _change(catalog, category_id=food.category_id, name="Groceries")
    assert renamed.tax_rate.value == "0"
    by_name = pb.UpdateCategoryRequest(
        category=category_pb2.Category(category_id=food.category_id), update_mask=FieldMask(paths=["tax_rate"])
    )
    cleared = (await catalog.UpdateCategory(by_name, CONTEXT)).category
    assert not cleared.HasField("tax_rate")
    assert (await catalog.UpdateCategory(by_name, CONTEXT)).category == cleared, "nothing new changes nothing"
    again = pb.UpdateCategoryRequest(
        category=category_pb2.Category(category_id=food.category_id, tax_rate=Decimal(value="19"))
    )
    assert (await catalog.UpdateCategory(again, CONTEXT)).category.tax_rate.value == "19"
    emptied = pb.UpdateCategoryRequest(
        category=category_pb2.Category(category_id=food.category_id, tax_rate=Decimal(value=""))
    )
    assert not (await catalog.UpdateCategory(emptied, CONTEXT)).category.HasField("tax_rate")


async def test_a_category_knows_those_above_it_also_after_a_move(catalog: CatalogServicer) -> None:
    home = await _make(catalog, "Home")
    kitchen = await _make(catalog, "Kitchen", home.category_id)
    cups = await _make(catalog, "Cups", kitchen.category_id)
    garden = await _make(catalog, "Garden")
    assert list(cups.ancestor_ids) == [home.category_id, kitchen.category_id]
    moved = await _change(
        catalog, etag=kitchen.etag, category_id=kitchen.category_id, parent_category_id=garden.category_id
    )
    assert list(moved.ancestor_ids) == [garden.category_id]
    shown = await catalog.GetCategory(pb.GetCategoryRequest(slug="cups"), CONTEXT)
    assert list(shown.category.ancestor_ids) == [garden.category_id, kitchen.category_id]
    top = await _change(catalog, category_id=cups.category_id, parent_category_id="")
    assert list(top.ancestor_ids) == []


async def test_a_category_cannot_come_below_itself(catalog: CatalogServicer) -> None:
    one = await _make(catalog, "One")
    two = await _make(catalog, "Two", one.category_id)
    for parent in (one, two):
        with pytest.raises(ValidationFailed):
            await _change(catalog, category_id=one.category_id, parent_category_id=parent.category_id)


async def test_two_moves_at_once_make_no_circle(catalog: CatalogServicer) -> None:
    for round_number in range(5):
        one, two = await _make(catalog, f"One {round_number}"), await _make(catalog, f"Two {round_number}")
        results = await asyncio.gather(
            _change(catalog, category_id=one.category_id, parent_category_id=two.category_id),
            _change(catalog, category_id=two.category_id, parent_category_id=one.category_id),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in results) == ["Category", "ValidationFailed"]


async def test_the_tree_has_a_bottom(catalog: CatalogServicer) -> None:
    parent = ""
    for level in range(MAX_CATEGORY_DEPTH):
        parent = (await _make(catalog, f"Level {level}", parent)).category_id
    with pytest.raises(ValidationFailed):
        await _make(catalog, "Too deep", parent)


async def test_slugs_are_unique_made_from_names_and_checked_etags(catalog: CatalogServicer) -> None:
    first, second = await _make(catalog, "Cups & Mugs"), await _make(catalog, "Cups, Mugs")
    assert (first.slug, second.slug) == ("cups-mugs", "cups-mugs-2")
    with pytest.raises(AlreadyExists):
        await _make(catalog, "Other", slug="cups-mugs")
    with pytest.raises(AlreadyExists):
        await _change(catalog, category_id=second.category_id, slug="cups-mugs")
    changed = await _change(catalog, etag=second.etag, category_id=second.category_id, name="Bowls", slug="")
    assert (changed.name, changed.slug) == ("Bowls", "bowls")
    with pytest.raises(EtagMismatch) as refused:
        await _change(catalog, etag=second.etag, category_id=second.category_id, position=3)
    assert refused.value.metadata == {"etag": changed.etag}


async def test_without_a_mask_every_field_that_has_a_value_changes_and_present_and_empty_clears(
    catalog: CatalogServicer,
) -> None:
    home = await _make(catalog, "Home", description="Things", position=3)
    cups = await _make(catalog, "Cups", home.category_id, description="To drink from", position=3)

    async def change(**fields: Any) -> category_pb2.Category:
        category = category_pb2.Category(category_id=cups.category_id, **fields)
        return (await catalog.UpdateCategory(pb.UpdateCategoryRequest(category=category), CONTEXT)).category

    renamed = await change(name="Mugs")
    assert (renamed.name, renamed.description, renamed.position) == ("Mugs", "To drink from", 3)
    assert renamed.parent_category_id == home.category_id
    cleared = await change(parent_category_id="", description="", position=0)
    assert (cleared.name, cleared.position) == ("Mugs", 0)
    assert not cleared.HasField("parent_category_id")
    assert not cleared.HasField("description")


async def test_a_category_given_back_as_it_was_read_keeps_its_etag_and_a_stale_one_is_refused(
    catalog: CatalogServicer, tx: Transactor
) -> None:
    home = await _make(catalog, "Home")
    cups = await _make(catalog, "Cups", home.category_id, description="To drink from")
    for mask in (None, FieldMask(paths=["*"]), FieldMask(paths=["name", "parent_category_id"])):
        request = pb.UpdateCategoryRequest(category=cups, update_mask=mask)
        assert (await catalog.UpdateCategory(request, CONTEXT)).category == cups
    logged = "SELECT count(*) FROM audit_entries WHERE resource_id = $1"
    assert await tx.read(lambda unit: unit.connection.fetchval(logged, cups.category_id)) == 1
    changed = await _change(catalog, category_id=cups.category_id, name="Mugs")
    for attempt in (
        catalog.UpdateCategory(pb.UpdateCategoryRequest(category=cups), CONTEXT),
        catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=cups.category_id, etag=cups.etag), CONTEXT),
    ):
        with pytest.raises(EtagMismatch) as refused:
            await attempt
        assert refused.value.metadata == {"etag": changed.etag}
    await catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=cups.category_id, etag=changed.etag), CONTEXT)


async def test_a_brand_given_back_as_it_was_read_keeps_its_etag_and_a_stale_one_is_refused(
    catalog: CatalogServicer,
) -> None:
    acme = await _brand(catalog, "Acme", description="Anvils")
    assert (await catalog.UpdateBrand(pb.UpdateBrandRequest(brand=acme), CONTEXT)).brand == acme
    cleared = brand_pb2.Brand(brand_id=acme.brand_id, description="", etag=acme.etag)
    changed = (await catalog.UpdateBrand(pb.UpdateBrandRequest(brand=cleared), CONTEXT)).brand
    assert (changed.name, changed.HasField("description")) == ("Acme", False)
    assert changed.etag != acme.etag
    for attempt in (
        catalog.UpdateBrand(pb.UpdateBrandRequest(brand=acme), CONTEXT),
        catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=acme.brand_id, etag=acme.etag), CONTEXT),
    ):
        with pytest.raises(EtagMismatch):
            await attempt


async def test_what_is_gone_may_be_deleted_again_by_whoever_allows_it(catalog: CatalogServicer) -> None:
    category, brand = await _make(catalog, "Home"), await _brand(catalog, "Acme")
    for _ in range(2):
        await catalog.DeleteCategory(
            pb.DeleteCategoryRequest(category_id=category.category_id, allow_missing=True), CONTEXT
        )
        await catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=brand.brand_id, allow_missing=True), CONTEXT)
    with pytest.raises(NotFound):
        await catalog.GetCategory(pb.GetCategoryRequest(category_id=category.category_id), CONTEXT)
    with pytest.raises(NotFound):
        await catalog.GetBrand(pb.GetBrandRequest(brand_id=brand.brand_id), CONTEXT)


async def test_a_category_above_that_is_not_there_is_refused_by_its_path(catalog: CatalogServicer) -> None:
    category, missing = await _make(catalog, "Home"), str(uuid4())
    for attempt in (
        _make(catalog, "Cups", missing),
        _change(catalog, category_id=category.category_id, parent_category_id=missing),
    ):
        with pytest.raises(ValidationFailed) as refused:
            await attempt
        assert [violation.field for violation in refused.value.fields] == ["category.parent_category_id"]


async def test_what_is_missing_is_not_found(catalog: CatalogServicer) -> None:
    missing = str(uuid4())
    attempts = [
        _change(catalog, category_id=missing, position=1),
        catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=missing), CONTEXT),
        catalog.GetCategory(pb.GetCategoryRequest(category_id=missing), CONTEXT),
        catalog.GetCategory(pb.GetCategoryRequest(slug="missing"), CONTEXT),
        catalog.GetBrand(pb.GetBrandRequest(brand_id=missing), CONTEXT),
        catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=missing), CONTEXT),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt


async def test_categories_are_listed_by_position_and_name_page_by_page(catalog: CatalogServicer) -> None:
    top = await _make(catalog, "Top", position=9)
    for name, position in (("b", 1), ("a", 1), ("c", 0)):
        await _make(catalog, name, top.category_id, position=position)

    async def names(**filters: Any) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            page = await catalog.ListCategories(
                pb.ListCategoriesRequest(page_size=2, page_token=token, **filters), CONTEXT
            )
            found += [category.name for category in page.categories]
            token = page.next_page_token
            if not token:
                return found

    assert await names(parent_category_ids=[top.category_id]) == ["c", "a", "b"]
    assert await names(top_level=True) == ["Top"]
    assert await names() == ["c", "a", "b", "Top"]
    page = await catalog.ListCategories(pb.ListCategoriesRequest(page_size=2), CONTEXT)
    with pytest.raises(PageTokenInvalid):
        await catalog.ListCategories(pb.ListCategoriesRequest(page_token=page.next_page_token, top_level=True), CONTEXT)


async def test_categories_and_brands_are_sorted_either_way_and_found_by_the_beginning_of_their_names(
    catalog: CatalogServicer,
) -> None:
    home = await _make(catalog, "Home", position=2)
    garden = await _make(catalog, "Garden", position=1)
    for name, parent in (("homeware", home), ("Hoses", garden)):
        await _make(catalog, name, parent.category_id, position=3)
    for name in ("Zeta", "acme", "ACtual", "Acé"):
        await _brand(catalog, name)

    async def walked(method: Any, request: Any, items: str) -> list[str]:
        found: list[str] = []
        while True:
            page = await method(request, CONTEXT)
            found += [one.name for one in getattr(page, items)]
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    async def categories(**fields: Any) -> list[str]:
        return await walked(catalog.ListCategories, pb.ListCategoriesRequest(page_size=1, **fields), "categories")

    async def brands(**fields: Any) -> list[str]:
        return await walked(catalog.ListBrands, pb.ListBrandsRequest(page_size=1, **fields), "brands")

    for order, names in (
        ("position", ["Garden", "Home", "homeware", "Hoses"]),
        ("name", ["Garden", "Home", "homeware", "Hoses"]),
        ("create_time", ["Home", "Garden", "homeware", "Hoses"]),
    ):
        assert await categories(order_by=order) == names
        assert await categories(order_by=f"{order} desc") == names[::-1]
    assert await categories(name_prefix="HOM") == ["Home", "homeware"]
    assert await categories(parent_category_ids=[home.category_id, garden.category_id]) == ["homeware", "Hoses"]
    assert await categories(parent_category_ids=[garden.category_id], name_prefix="hom") == []
    assert await categories(top_level=True, name_prefix="h") == ["Home"]
    assert await brands() == ["acme", "ACtual", "Acé", "Zeta"]
    assert await brands(order_by="name desc", name_prefix="Ac") == ["Acé", "ACtual", "acme"]
    assert await brands(order_by="create_time") == ["Zeta", "acme", "ACtual", "Acé"]
    for attempt in (categories(order_by="slug"), brands(order_by="position")):
        with pytest.raises(ValidationFailed) as refused:
            await attempt
        assert refused.value.fields[0].field == "order_by"


async def _product(tx: Transactor, category_id: str | None, brand_id: str | None, state: str) -> str:
    product_id = new_id()
    await tx.run(
        "test.product",
        lambda uow: uow.connection.execute(
            "INSERT INTO products (product_id, seller_id, handle, slug, title, title_key, description, category_id,"
            " brand_id, tags, option_names, currency, price_minor, state, version, create_time, update_time)"
            " VALUES ($1, $1, $4, $4, '', '', '', $2, $3, '{}', '{}', 'EUR', 0, $5, 1, now(), now())",
            product_id,
            category_id and UUID(category_id),
            brand_id and UUID(brand_id),
            uuid4().hex,
            state,
        ),
    )
    return str(product_id)


@pytest.mark.parametrize("state", ["DRAFT", "PUBLISHED", "ARCHIVED"])
async def test_what_is_used_is_not_deleted(catalog: CatalogServicer, tx: Transactor, state: str) -> None:
    above = await _make(catalog, "Above")
    below = await _make(catalog, "Below", above.category_id)
    brand = await _brand(catalog, "Acme")
    product = f"product {await _product(tx, below.category_id, brand.brand_id, state)}"
    for category, used_by in ((above, f"category {below.category_id}"), (below, product)):
        with pytest.raises(InUse) as refused:
            await catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=category.category_id), CONTEXT)
        assert refused.value.metadata["usedBy"] == used_by
    with pytest.raises(InUse) as refused:
        await catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=brand.brand_id), CONTEXT)
    assert refused.value.metadata["usedBy"] == product
    # The row of a deleted product stays for orders, and holds nothing any more.
    gone = UUID(product.removeprefix("product "))
    await tx.run("t", lambda uow: specs.delete_product(uow.connection, gone, uow.now))
    await catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=below.category_id), CONTEXT)
    await catalog.DeleteCategory(pb.DeleteCategoryRequest(category_id=above.category_id), CONTEXT)
    await catalog.DeleteBrand(pb.DeleteBrandRequest(brand_id=brand.brand_id), CONTEXT)
    assert not (await catalog.ListCategories(pb.ListCategoriesRequest(), CONTEXT)).categories


async def test_brand_names_are_unique_without_regard_to_case(catalog: CatalogServicer) -> None:
    acme = await _brand(catalog, "Acme")
    other = await _brand(catalog, "Bolt")
    with pytest.raises(AlreadyExists) as refused:
        await _brand(catalog, " ACME ")
    assert refused.value.metadata["field"] == "name"

    async def rename(name: str, slug: str) -> brand_pb2.Brand:
        request = pb.UpdateBrandRequest(
            brand=brand_pb2.Brand(brand_id=other.brand_id, name=name, slug=slug, etag=other.etag),
            update_mask=FieldMask(paths=["name", "slug"]),
        )
        return (await catalog.UpdateBrand(request, CONTEXT)).brand

    for name, slug in (("acme", ""), ("Bolts", "acme")):
        with pytest.raises(AlreadyExists):
            await rename(name, slug)
    assert (await rename("Nuts", "")).slug == "nuts"
    listed = await catalog.ListBrands(pb.ListBrandsRequest(page_size=1), CONTEXT)
    rest = await catalog.ListBrands(pb.ListBrandsRequest(page_size=1, page_token=listed.next_page_token), CONTEXT)
    assert [brand.name for brand in (*listed.brands, *rest.brands)] == [acme.name, "Nuts"]
    assert rest.next_page_token == ""


async def test_changes_stand_in_the_audit_log(catalog: CatalogServicer, tx: Transactor) -> None:
    made = await _make(catalog, "Made")
    with pytest.raises(Refusal):
        await _change(catalog, etag="old", category_id=made.category_id, name="New")
    rows = await tx.read(
        lambda unit: unit.connection.fetch("SELECT resource_type, resource_id, code FROM audit_entries")
    )
    assert [tuple(row) for row in rows] == [
        ("category", made.category_id, "OK"),
    ]

"""Imports on real Postgres: real files, files that come twice, files that change."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from importlib import resources
from pathlib import Path
from uuid import UUID

import pytest
from marketd.catalog.errors import ImportRowsInvalid
from marketd.catalog.imports import run
from marketd.catalog.imports.parsed import RowError, RowReason
from marketd.catalog.imports.values import ImportEvent, ImportOptions, ImportProgress, OnError
from marketd.inventory import invariants, stocks
from marketd.inventory import service as inventory
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.invariants import violations
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.values.ids import new_id
from marketd.seller.errors import SellerClosed
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import category_pb2, product_pb2

from tests.worlds.catalog_files import CONTEXT, UPDATE, Shop, cup, file, outcome, size

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalog"


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


@pytest.mark.parametrize(
    ("name", "variants", "images", "rows", "categories", "brands"),
    [("apparel.csv", 22, 20, 22, 0, 1), ("jewelery.csv", 23, 41, 41, 3, 2)],
)
async def test_real_files_come_in_whole_and_a_second_time_change_nothing(
    shop: Shop, name: str, variants: int, images: int, rows: int, categories: int, brands: int
) -> None:
    if not (REAL / name).exists():
        pytest.skip(f"{REAL / name} is not here")
    data = (REAL / name).read_bytes()
    first = await shop.bring(data, ImportOptions(publish=True))
    assert first.errors == ()
    assert outcome(first) == (20, 0, 0, 0)
    counted = first.summary
    assert (counted.variants, counted.images, counted.rows) == (variants, images, rows)
    assert (counted.categories_created, counted.brands_created) == (categories, brands)
    assert counted.rows_created + counted.rows_warned == rows
    before = await shop.rows()
    for options in (ImportOptions(publish=True), UPDATE, ImportOptions(publish=True, update_existing=True)):
        again = await shop.bring(data, options)
        assert outcome(again) == (0, 0, 20, 0)
        assert (again.summary.variants, again.summary.images, again.summary.brands_created) == (variants, images, 0)
    assert await shop.rows() == before
    assert await shop.tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS)) == []


async def test_the_demo_file_comes_in_whole(shop: Shop) -> None:
    data = resources.files("marketd.demo.data").joinpath("products.csv").read_bytes()
    assert outcome(await shop.bring(data, ImportOptions(publish=True))) == (24, 0, 0, 0)
    loaf = await shop.product("country-loaf")
    assert [dict(variant.options)["Size"] for variant in loaf.variants] == ["500 g", "1 kg"]
    assert loaf.state == product_pb2.PRODUCT_STATE_PUBLISHED


async def test_what_the_file_says_becomes_a_product(shop: Shop) -> None:
    report = await shop.bring(
        file(
            size("S", Vendor="Acme", Type="Cups", Tags="b, a", ImageSrc="https://x.y/1.jpg", ImageAltText="one"),
            size("L", VariantPrice="6", VariantCompareAtPrice="7", VariantImage="https://x.y/2.jpg", VariantSKU="L1"),
        )
    )
    assert outcome(report) == (1, 0, 0, 0)
    made = await shop.product("cup")
    assert made.state == product_pb2.PRODUCT_STATE_DRAFT
    assert (made.title, list(made.tags), list(made.option_names)) == ("Cup", ["a", "b"], ["Size"])
    assert [(dict(item.options), item.sku, item.price.units) for item in made.variants] == [
        ({"Size": "S"}, "", 4),
        ({"Size": "L"}, "L1", 6),
    ]
    assert [(image.image.url, image.image.alt_text, list(image.variant_ids)) for image in made.images] == [
        ("https://x.y/1.jpg", "one", []),
        ("https://x.y/2.jpg", "", [made.variants[1].variant_id]),
    ]
    shop.enter()
    brand = (await shop.catalog.GetBrand(pb.GetBrandRequest(brand_id=made.brand_id), CONTEXT)).brand
    category = (await shop.catalog.GetCategory(pb.GetCategoryRequest(category_id=made.category_id), CONTEXT)).category
    assert (brand.name, brand.slug, category.name, category.slug) == ("Acme", "acme", "Cups", "cups")


async def test_existing_products_change_only_when_asked_and_only_where_they_differ(shop: Shop) -> None:
    await shop.bring(file(size("S"), size("M"), cup(Handle="mug", Title="Mug")))
    before = await shop.product("cup")
    mug = await shop.product("mug")
    changed = file(size("S", VariantPrice="5"), size("L", VariantInventoryQty="9"), cup(Handle="mug", Title="Mug"))
    assert outcome(await shop.bring(changed)) == (0, 0, 2, 0)
    assert await shop.product("cup") == before
    assert outcome(await shop.bring(changed, UPDATE)) == (0, 1, 1, 0)
    after = await shop.product("cup")
    assert [(dict(item.options)["Size"], item.active) for item in after.variants] == [
        ("S", True),
        ("L", True),
        ("M", False),
    ]
    assert after.variants[0].variant_id == before.variants[0].variant_id
    assert (after.price.units, after.etag != before.etag) == (4, True)
    assert await shop.product("mug") == mug
    assert outcome(await shop.bring(file(size("S"), size("M")), UPDATE)) == (0, 1, 0, 0)
    restored = await shop.product("cup")
    assert {item.variant_id for item in restored.variants if item.active} == {
        item.variant_id for item in before.variants
    }


async def test_quantities_are_counts_and_cannot_take_what_is_promised(shop: Shop) -> None:
    await shop.bring(file(cup(VariantInventoryQty="5"), cup(Handle="mug")))
    variant_id = UUID((await shop.product("cup")).variants[0].variant_id)
    await shop.tx.run("t", lambda uow: inventory.reserve(uow, [StockLine(variant_id, 4)], new_id()))
    below = file(cup(VariantInventoryQty="3"), cup(Handle="mug", VariantInventoryQty="8"))
    report = await shop.bring(below, UPDATE)
    assert outcome(report) == (0, 2, 0, 0)
    assert [(warning.row, warning.column, warning.reason) for warning in report.warnings] == [
        (2, "Variant Inventory Qty", RowReason.STOCK_RESERVED)
    ]
    assert (report.summary.rows_warned, report.summary.rows_updated) == (1, 1)
    rows = await shop.rows()
    again = await shop.bring(below, UPDATE)
    assert (outcome(again), again.warnings) == ((0, 0, 2, 0), report.warnings)
    assert await shop.rows() == rows
    assert outcome(await shop.bring(file(cup(VariantInventoryQty="")), UPDATE)) == (0, 0, 1, 0)
    stock = await shop.tx.read(lambda unit: stocks.get_stock(unit, SYSTEM, variant_id))
    assert (stock.on_hand, stock.reserved) == (4, 4)
    assert await shop.tx.read(lambda unit: violations(unit.connection, invariants.INVARIANTS)) == []


async def test_what_reads_the_same_is_the_same_when_a_file_comes_again(shop: Shop) -> None:
    await shop.bring(file(size("Caf\u00e9", VariantSKU="AB-1"), cup(Handle="mug", VariantSKU="M-1")))
    before = (await shop.product("cup")).variants[0].variant_id
    report = await shop.bring(file(size("CAFE\u0301", VariantSKU="ab-1")), UPDATE)
    assert report.summary.products_updated == 1
    [variant] = (await shop.product("cup")).variants
    assert (variant.variant_id, variant.sku, dict(variant.options)) == (before, "ab-1", {"Size": "CAFE\u0301"})
    taken = await shop.bring(file(size("Caf\u00e9", VariantSKU="m-1")), UPDATE)
    assert [(warning.row, warning.reason) for warning in taken.warnings] == [(2, RowReason.DUPLICATE_SKU)]
    assert [variant.sku for variant in (await shop.product("cup")).variants] == [""]


async def test_variants_may_swap_skus_but_not_take_those_of_products_that_the_file_does_not_have(shop: Shop) -> None:
    await shop.bring(file(size("S", VariantSKU="A"), size("M", VariantSKU="B"), cup(Handle="mug", VariantSKU="C")))
    swapped = file(size("S", VariantSKU="B"), size("M", VariantSKU="A"))
    assert outcome(await shop.bring(swapped, UPDATE)) == (0, 1, 0, 0)
    assert [item.sku for item in (await shop.product("cup")).variants] == ["B", "A"]
    moved = file(size("Small", VariantSKU="B"), size("M", VariantSKU="A"))
    before = await shop.product("cup")
    assert outcome(await shop.bring(moved, UPDATE)) == (0, 1, 0, 0)
    assert [item.variant_id for item in (await shop.product("cup")).variants] == [
        item.variant_id for item in before.variants
    ]
    report = await shop.bring(file(size("Small", VariantSKU="C"), size("M"), cup(Handle="pot", VariantSKU="C")), UPDATE)
    assert outcome(report) == (1, 1, 0, 0)
    assert [(warning.row, warning.reason) for warning in report.warnings] == [
        (2, RowReason.DUPLICATE_SKU),
        (4, RowReason.DUPLICATE_SKU),
    ]
    assert [variant.sku for variant in (await shop.product("mug")).variants] == ["C"]


async def test_bad_rows_are_reported_and_the_rest_comes_in(shop: Shop) -> None:
    data = file(cup(), cup(Handle="mug", VariantPrice="-1"), cup(Handle="pot"), cup(Handle="", Title="!"))
    report = await shop.bring(data)
    assert outcome(report) == (2, 0, 0, 1)
    assert [(error.row, error.reason, error.handle) for error in report.errors] == [
        (3, RowReason.OUT_OF_RANGE, "mug"),
        (5, RowReason.MISSING_VALUE, ""),
    ]
    assert (report.summary.rows, report.summary.rows_rejected) == (4, 2)


async def test_one_bad_row_can_refuse_the_whole_file_before_anything_changes(shop: Shop) -> None:
    whole = ImportOptions(on_error=OnError.REJECT_ALL, update_existing=True)
    await shop.bring(file(cup(Handle="old", VariantSKU="A")))
    before = await shop.rows()
    good = [cup(Handle=f"p{number}") for number in range(60)]
    bad = file(*good, cup(Handle="mug", VariantPrice="x"), cup(Handle="pot", VariantPrice="-1"))
    for options in (whole, replace(whole, dry_run=True)):
        told: list[ImportEvent] = []
        with pytest.raises(ImportRowsInvalid) as refused:
            await shop.follow(bad, told.append, options)
        assert refused.value.metadata == {"row": "62", "column": "Variant Price"}
        assert refused.value.rows == 2
        assert [event.row for event in told if isinstance(event, RowError)] == [62, 63]
    assert await shop.rows() == before
    # What only the database knows is no reason to refuse a row: it comes in with a warning.
    report = await shop.bring(file(*good, cup(Handle="z", VariantSKU="A")), whole)
    assert (outcome(report), len(report.warnings)) == ((61, 0, 0, 0), 1)


async def test_a_dry_run_counts_and_changes_nothing(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}", Vendor="Acme", Type="Cups") for number in range(120)))
    before = await shop.rows()
    rehearsed = (await shop.bring(data, ImportOptions(dry_run=True))).summary
    assert await shop.rows() == before
    assert shop.changes == []
    real = (await shop.bring(data)).summary
    assert (rehearsed.products_created, rehearsed.brands_created, rehearsed.categories_created) == (120, 1, 1)
    assert rehearsed.dry_run
    assert real.products_created == 120
    assert len(shop.changes) == 3, "one for each batch"


async def test_unpublished_products_stay_drafts(shop: Shop) -> None:
    data = file(cup(Published="true"), cup(Handle="mug", Published="false"))
    await shop.bring(data)
    assert (await shop.product("cup")).state == product_pb2.PRODUCT_STATE_DRAFT
    assert outcome(await shop.bring(data, ImportOptions(publish=True, update_existing=True))) == (0, 1, 1, 0)
    assert (await shop.product("cup")).state == product_pb2.PRODUCT_STATE_PUBLISHED
    assert (await shop.product("mug")).state == product_pb2.PRODUCT_STATE_DRAFT


async def test_sellers_share_handles_brands_and_categories(shop: Shop, tx: Transactor) -> None:
    other = await Shop(tx).open()
    data = file(cup(Vendor="Acme", Type="Cups", VariantSKU="A"), cup(Handle="mug", Vendor="ACME"))
    reports = await asyncio.gather(shop.bring(data), other.bring(data))
    assert [outcome(report) for report in reports] == [(2, 0, 0, 0), (2, 0, 0, 0)]
    assert sorted(report.summary.brands_created for report in reports) == [0, 1]
    slugs = await tx.read(lambda unit: unit.connection.fetch("SELECT slug FROM products ORDER BY slug"))
    assert [row["slug"] for row in slugs] == ["cup", "cup-2", "mug", "mug-2"]


async def test_of_several_categories_of_one_name_the_highest_is_meant(shop: Shop) -> None:
    shop.enter()
    made = [""]
    for name, below in (("Kitchen", 0), ("Cups", 1), ("cups", 0)):
        category = category_pb2.Category(name=name, parent_category_id=made[below] or None)
        answer = await shop.catalog.CreateCategory(pb.CreateCategoryRequest(category=category), CONTEXT)
        made.append(answer.category.category_id)
    report = await shop.bring(file(cup(Type="CUPS")))
    assert (report.summary.categories_created, (await shop.product("cup")).category_id) == (0, made[3])


async def test_the_same_file_twice_at_once_makes_each_product_once(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(150)))
    reports = await asyncio.gather(*(shop.bring(data) for _ in range(3)))
    assert sum(report.summary.products_created for report in reports) == 150
    assert sum(report.summary.products_unchanged for report in reports) == 300
    assert all(report.errors == () for report in reports)


async def test_an_import_is_for_the_own_shop_or_by_an_admin_and_publishes_only_where_sold(
    shop: Shop, tx: Transactor
) -> None:
    other = await Shop(tx).open("SUSPENDED")
    with pytest.raises(NotFound):
        await shop.bring(file(cup()), ImportOptions(seller_id=other.seller_id))
    with pytest.raises(SellerClosed) as suspended:
        await other.bring(file(cup()), ImportOptions(publish=True))
    assert "keep drafts until" in suspended.value.message
    report = await run.import_products(
        tx, SYSTEM, file(cup()), ImportOptions(seller_id=other.seller_id), currency="EUR"
    )
    assert outcome(report) == (1, 0, 0, 0)


async def test_progress_is_told_while_it_works(shop: Shop) -> None:
    seen: list[ImportProgress] = []
    data = file(*(cup(Handle=f"p{number}") for number in range(120)))
    await run.import_products(shop.tx, shop.owner, data, ImportOptions(), currency="EUR", on_progress=seen.append)
    assert [progress.products_done for progress in seen] == [0, 50, 100, 120]
    assert {(progress.rows_total, progress.products_total) for progress in seen} == {(120, 120)}

"""Imports on real Postgres: real files, files that come twice, files that change, and uploads that are not whole."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from marketd.catalog import importing
from marketd.catalog.errors import ImportFileInvalid, UploadCorrupt, UploadOutOfOrder, UploadTooLarge
from marketd.catalog.importing import ImportOptions, ImportProgress, ImportReport, ImportSummary
from marketd.catalog.parsed import RowReason
from marketd.catalog.servicer import CatalogServicer
from marketd.inventory import invariants
from marketd.inventory import service as inventory
from marketd.inventory.model import Line
from marketd.kernel import call as calls
from marketd.kernel.call import Call, OnceKey
from marketd.kernel.caller import SYSTEM, Caller, Role
from marketd.kernel.ids import new_id
from marketd.kernel.pages import PageTokens
from marketd.kernel.refusals import NotFound, RequestIdReused
from marketd.kernel.transactor import Transactor
from marketd.kernel.uow import ReadUnit, UnitOfWork
from marketd.seller.errors import SellerClosed
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import import_pb2, product_pb2

CONTEXT: Any = None  # no method here looks at it
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalog"
COLUMNS = [
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Option1 Name", "Option1 Value",
    "Variant SKU", "Variant Inventory Qty", "Variant Price", "Variant Compare At Price", "Image Src", "Image Alt Text",
    "Variant Image",
]  # fmt: skip
UPDATE = ImportOptions(update_existing=True)


def file(*rows: dict[str, str]) -> bytes:
    """A file with these cells."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def cup(**cells: str) -> dict[str, str]:
    """A row of a product; keys are column names without spaces."""
    names = {name.replace(" ", ""): name for name in COLUMNS}
    base = {"Handle": "cup", "Title": "Cup", "Variant Price": "4.50", "Variant Inventory Qty": "3"}
    return base | {names[name]: value for name, value in cells.items()}


def size(value: str, **cells: str) -> dict[str, str]:
    """A row with a size."""
    return cup(Option1Name="Size", Option1Value=value, **cells)


async def _fetch(unit: ReadUnit, statement: str) -> list[Any]:
    return await unit.connection.fetch(statement)


class Shop:
    """A seller that imports."""

    def __init__(self, tx: Transactor) -> None:
        self.tx = tx
        self.seller_id = new_id()
        self.owner = Caller(new_id(), None, frozenset({Role.SELLER}))
        self.changes: list[int] = []
        self.catalog = CatalogServicer(
            tx=tx,
            pages=PageTokens(b"s" * 32),
            currency="EUR",
            on_change=lambda: self.changes.append(1),
            max_import_bytes=200_000,
        )

    async def open(self, state: str = "ACTIVE") -> Shop:
        """Write the seller down."""

        async def work(uow: UnitOfWork) -> None:
            await uow.connection.execute(
                "INSERT INTO sellers (seller_id, account_id, handle, shop_name, description, state, contact,"
                " prep_minutes, time_zone, opening_hours, approve_time, create_time, update_time)"
                " VALUES ($1, $2, $3, 'Shop', '', $4, '{}', 10, 'UTC', '[]', $5, $5, $5)",
                self.seller_id,
                self.owner.account,
                self.seller_id.hex,
                state,
                uow.now,
            )

        await self.tx.run_bare("test.seller", work)
        return self

    async def bring(self, data: bytes, options: ImportOptions = ImportOptions()) -> ImportReport:  # noqa: B008 - frozen
        """Import a file."""
        return await importing.import_products(
            self.tx, self.owner, data, options, currency="EUR", on_change=lambda: self.changes.append(1)
        )

    def enter(self, once: OnceKey | None = None) -> Call:
        """Call as the owner."""
        call = Call(caller=self.owner, once=once)
        calls.enter(call)
        return call

    async def product(self, slug: str) -> product_pb2.Product:
        """A product as the owner sees it."""
        self.enter()
        return (await self.catalog.GetProduct(pb.GetProductRequest(slug=slug), CONTEXT)).product

    async def rows(self) -> list[tuple[Any, ...]]:
        """Everything that an import writes, to be compared."""
        tables = ("products", "variants", "product_images", "brands", "categories", "stocks", "stock_movements")
        found: list[tuple[Any, ...]] = []
        for table in tables:
            statement = f"SELECT t::text FROM {table} t ORDER BY 1"
            rows = await self.tx.read(partial(_fetch, statement=statement))
            found += [(table, row[0]) for row in rows]
        return found


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


def outcome(report: ImportReport) -> tuple[int, int, int, int]:
    summary = report.summary
    return (
        summary.products_created,
        summary.products_updated,
        summary.products_unchanged,
        summary.products_rejected,
    )


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
    assert first.summary == ImportSummary(20, 0, 0, 0, variants, images, rows, 0, categories, brands, dry_run=False)
    before = await shop.rows()
    for options in (ImportOptions(publish=True), UPDATE, ImportOptions(publish=True, update_existing=True)):
        again = await shop.bring(data, options)
        assert again.summary == ImportSummary(0, 0, 20, 0, variants, images, rows, 0, 0, 0, dry_run=False)
    assert await shop.rows() == before
    assert await shop.tx.read(lambda unit: invariants.violations(unit.connection)) == []


async def test_the_demo_file_comes_in_whole(shop: Shop) -> None:
    data = resources.files("marketd.demo_data").joinpath("products.csv").read_bytes()
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
    assert [(dict(item.options)["Size"], item.is_active) for item in after.variants] == [
        ("S", True),
        ("L", True),
        ("M", False),
    ]
    assert after.variants[0].variant_id == before.variants[0].variant_id
    assert (after.price.units, after.etag != before.etag) == (4, True)
    assert await shop.product("mug") == mug
    assert outcome(await shop.bring(file(size("S"), size("M")), UPDATE)) == (0, 1, 0, 0)
    restored = await shop.product("cup")
    assert {item.variant_id for item in restored.variants if item.is_active} == {
        item.variant_id for item in before.variants
    }


async def test_quantities_are_counts_and_cannot_take_what_is_promised(shop: Shop) -> None:
    await shop.bring(file(cup(VariantInventoryQty="5"), cup(Handle="mug")))
    variant_id = UUID((await shop.product("cup")).variants[0].variant_id)
    await shop.tx.run_bare("t", lambda uow: inventory.reserve(uow, [Line(variant_id, 4)], new_id()))
    report = await shop.bring(file(cup(VariantInventoryQty="3"), cup(Handle="mug", VariantInventoryQty="8")), UPDATE)
    assert outcome(report) == (0, 1, 0, 1)
    assert [(error.row, error.column, error.reason) for error in report.errors] == [
        (2, "Variant Inventory Qty", RowReason.STOCK_RESERVED)
    ]
    assert outcome(await shop.bring(file(cup(VariantInventoryQty="4")), UPDATE)) == (0, 1, 0, 0)
    assert outcome(await shop.bring(file(cup(VariantInventoryQty="")), UPDATE)) == (0, 0, 1, 0)
    stock = await shop.tx.read(lambda unit: inventory.get_stock(unit, SYSTEM, variant_id))
    assert (stock.on_hand, stock.reserved) == (4, 4)
    assert await shop.tx.read(lambda unit: invariants.violations(unit.connection)) == []


async def test_variants_may_swap_skus_but_not_take_those_of_other_products(shop: Shop) -> None:
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
    assert outcome(report) == (0, 0, 0, 2)
    assert {error.reason for error in report.errors} == {RowReason.DUPLICATE_SKU, RowReason.PRODUCT_REJECTED}


async def test_bad_rows_are_reported_and_the_rest_comes_in(shop: Shop) -> None:
    data = file(cup(), cup(Handle="mug", VariantPrice="-1"), cup(Handle="pot"), cup(Handle="", Title="x"))
    report = await shop.bring(data)
    assert outcome(report) == (2, 0, 0, 1)
    assert [(error.row, error.reason, error.handle) for error in report.errors] == [
        (3, RowReason.OUT_OF_RANGE, "mug"),
        (5, RowReason.MISSING_VALUE, ""),
    ]
    assert (report.summary.rows, report.summary.rows_rejected) == (4, 2)


async def test_one_bad_row_can_refuse_the_whole_file_before_anything_changes(shop: Shop) -> None:
    stop = ImportOptions(stop_on_error=True, update_existing=True)
    await shop.bring(file(cup(Handle="old", VariantSKU="A")))
    before = await shop.rows()
    bad_cell = file(cup(), cup(Handle="mug", VariantPrice="x"))
    bad_sku = file(cup(), *(cup(Handle=f"p{number}") for number in range(60)), cup(Handle="z", VariantSKU="A"))
    for data, row, column in ((bad_cell, 3, "Variant Price"), (bad_sku, 63, "Variant SKU")):
        with pytest.raises(ImportFileInvalid) as refused:
            await shop.bring(data, stop)
        assert refused.value.metadata == {"row": str(row), "column": column}
    assert await shop.rows() == before
    assert outcome(await shop.bring(file(cup(), cup(Handle="mug")), stop)) == (2, 0, 0, 0)


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
    with pytest.raises(SellerClosed):
        await other.bring(file(cup()), ImportOptions(publish=True))
    report = await importing.import_products(
        tx, SYSTEM, file(cup()), ImportOptions(seller_id=other.seller_id), currency="EUR"
    )
    assert outcome(report) == (1, 0, 0, 0)


async def test_progress_is_told_while_it_works(shop: Shop) -> None:
    seen: list[ImportProgress] = []
    data = file(*(cup(Handle=f"p{number}") for number in range(120)))
    await importing.import_products(shop.tx, shop.owner, data, ImportOptions(), currency="EUR", on_progress=seen.append)
    assert [progress.products_done for progress in seen] == [0, 50, 100, 120]
    assert {(progress.rows_total, progress.products_total) for progress in seen} == {(120, 120)}


def _upload(
    data: bytes, *, size: int | None = None, sha256: str = "", request_id: str = "", **options: Any
) -> list[pb.ImportProductsRequest]:
    described = import_pb2.ImportOptions(
        size=len(data) if size is None else size, sha256=sha256 or hashlib.sha256(data).hexdigest(), **options
    )
    chunks = [pb.ImportProductsRequest(chunk=data[start : start + 1000]) for start in range(0, len(data), 1000)]
    return [pb.ImportProductsRequest(request_id=request_id, options=described), *chunks]


async def _stream(shop: Shop, messages: list[pb.ImportProductsRequest]) -> tuple[list[Any], Call]:
    call = shop.enter()

    async def requests() -> AsyncIterator[pb.ImportProductsRequest]:
        for message in messages:
            yield message

    answers: list[Any] = []
    async for answer in shop.catalog.ImportProducts(requests(), CONTEXT):
        message: Any = answer
        answers.append(pb.ImportProductsResponse.FromString(message) if isinstance(message, bytes) else message)
    return answers, call


async def test_a_streamed_file_comes_in_and_ends_with_its_summary(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(60)), cup(Handle="bad", VariantPrice="x"))
    answers, _ = await _stream(shop, _upload(data))
    kinds = [answer.WhichOneof("event") for answer in answers]
    assert kinds[-1] == "summary"
    assert kinds.count("row_error") == 1
    assert answers[-1].summary.products_created == 60
    assert answers[-2].progress.bytes_received == len(data)
    error = next(answer.row_error for answer in answers if answer.WhichOneof("event") == "row_error")
    assert (error.row, error.column, error.reason) == (62, "Variant Price", import_pb2.IMPORT_ROW_REASON_INVALID_VALUE)


async def test_an_upload_that_is_not_whole_changes_nothing(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(60)))
    whole = _upload(data)
    before = await shop.rows()
    for cut in range(1, len(whole)):
        with pytest.raises(UploadCorrupt):
            await _stream(shop, whole[:cut])
    for messages, refusal in (
        ([*whole, pb.ImportProductsRequest(chunk=b"x")], UploadCorrupt),
        (_upload(data, sha256="0" * 64), UploadCorrupt),
        (_upload(data, size=len(data) - 1), UploadCorrupt),
        (_upload(data, size=200_001), UploadTooLarge),
        (whole[1:], UploadOutOfOrder),
        ([whole[0], whole[0]], UploadOutOfOrder),
        ([], UploadOutOfOrder),
        (_upload(b""), ImportFileInvalid),
    ):
        with pytest.raises(refusal):
            await _stream(shop, messages)
    assert await shop.rows() == before
    assert shop.changes == []


async def test_a_repeat_of_a_streamed_import_gets_the_first_summary_at_once(shop: Shop) -> None:
    request_id = str(uuid4())
    messages = _upload(file(cup()), request_id=request_id)
    first, _ = await _stream(shop, messages)
    again, call = await _stream(shop, messages[:1])
    assert again == [first[-1]]
    assert again[0].summary.products_created == 1
    assert call.replayed
    with pytest.raises(RequestIdReused):
        await _stream(shop, _upload(file(cup(), cup(Handle="mug")), request_id=request_id))


async def test_a_caller_that_leaves_a_stream_leaves_nothing_half_done(shop: Shop) -> None:
    data = file(*(cup(Handle=f"p{number}") for number in range(150)))
    shop.enter()

    async def requests() -> AsyncIterator[pb.ImportProductsRequest]:
        for message in _upload(data):
            yield message

    answers = shop.catalog.ImportProducts(requests(), CONTEXT)
    async for answer in answers:
        if answer.progress.products_done:
            break
    await answers.aclose()  # type: ignore[attr-defined] # it is an async generator
    await shop.tx.drain()
    count = await shop.tx.read(lambda unit: unit.connection.fetchval("SELECT count(*) FROM products"))
    assert count in (50, 100)
    report = await shop.bring(data)
    assert outcome(report) == (150 - count, 0, count, 0)


async def test_a_small_file_comes_in_one_call_and_only_once(shop: Shop) -> None:
    request = pb.ImportProductsInlineRequest(
        request_id=str(uuid4()), csv=file(cup(), cup(Handle="mug", VariantPrice="x"))
    )
    once = OnceKey(shop.owner.key, "ImportProductsInline", request.request_id, b"same")
    shop.enter(once)
    first: Any = await shop.catalog.ImportProductsInline(request, CONTEXT)
    call = shop.enter(once)
    assert await shop.catalog.ImportProductsInline(request, CONTEXT) == first
    assert call.replayed
    assert isinstance(first, bytes)
    answer = pb.ImportProductsInlineResponse.FromString(first)
    assert (answer.summary.products_created, answer.summary.products_rejected) == (1, 1)
    assert [error.handle for error in answer.row_errors] == ["mug"]
    shop.enter()
    for options in (import_pb2.ImportOptions(size=1), import_pb2.ImportOptions(sha256="0" * 64)):
        with pytest.raises(UploadCorrupt):
            await shop.catalog.ImportProductsInline(
                pb.ImportProductsInlineRequest(csv=request.csv, options=options), CONTEXT
            )

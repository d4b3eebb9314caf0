"""What a second file, a break and a dry run come to: SKUs that move, options that are renamed, states, stock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from marketd.catalog.imports import source
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.values import ImportEvent, ImportOptions, ImportSummary
from marketd.catalog.insert import Planned, make_products
from marketd.inventory import service as inventory
from marketd.inventory import stocks
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import StockLine
from marketd.kernel.call.caller import SYSTEM
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import product_pb2

from tests.worlds.catalog_files import UPDATE, Shop, cup, file, outcome, size

PUBLISH = ImportOptions(publish=True, update_existing=True)
STATE = product_pb2.ProductState.Value


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch for each product."""
    monkeypatch.setattr(source, "PIECE_PRODUCTS", 1)


def with_skus(skus: dict[str, str]) -> bytes:
    return file(*(cup(Handle=handle, VariantSKU=sku) for handle, sku in skus.items()))


async def skus_of(shop: Shop) -> dict[str, str]:
    rows = await shop.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT handle, sku FROM products JOIN variants USING (product_id) WHERE active ORDER BY handle"
        )
    )
    return {row["handle"]: row["sku"] for row in rows}


MOVES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "swap": ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}),
    "ring of three": ({"a": "1", "b": "2", "c": "3"}, {"a": "2", "b": "3", "c": "1"}),
    "chain": ({"a": "1", "b": "2", "c": "3"}, {"c": "2", "a": "", "b": "1", "d": "3"}),
    "to a new product": ({"a": "1"}, {"z": "1", "a": ""}),
    "from a later row to an earlier one": ({"b": "1"}, {"a": "1", "b": ""}),
}


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", MOVES)
async def test_skus_move_between_products_in_one_run_whatever_batch_comes_first(shop: Shop, name: str) -> None:
    before, after = MOVES[name]
    await shop.bring(with_skus(before))
    rehearsed = await shop.bring(with_skus(after), replace(UPDATE, dry_run=True))
    report = await shop.bring(with_skus(after), UPDATE)
    assert (await skus_of(shop), report.warnings, report.errors) == (after, (), ())
    assert replace(rehearsed.summary, dry_run=False) == report.summary
    rows = await shop.rows()
    again = await shop.bring(with_skus(after), UPDATE)
    assert outcome(again) == (0, 0, len(after), 0)
    assert await shop.rows() == rows


@pytest.mark.usefixtures("single")
async def test_a_product_that_does_not_come_in_keeps_its_sku(shop: Shop) -> None:
    await shop.bring(with_skus({"a": "1", "b": "2", "c": "3"}))
    data = file(
        cup(Handle="a", VariantSKU="2"),
        cup(Handle="b", VariantSKU="9", VariantPrice="?"),
        cup(Handle="c", VariantSKU="1", VariantPrice="?"),
    )
    report = await shop.bring(data, UPDATE)
    assert outcome(report) == (0, 1, 0, 2)
    assert [(warning.row, warning.reason) for warning in report.warnings] == [(2, RowReason.DUPLICATE_SKU)]
    # b was not to lose its own to a, and what c was to take from a is nobody's now: a comes in as the file says.
    assert await skus_of(shop) == {"a": "", "b": "2", "c": "3"}


async def test_without_update_nobody_gives_a_sku_away(shop: Shop) -> None:
    await shop.bring(with_skus({"a": "1"}))
    rows = await skus_of(shop)
    report = await shop.bring(with_skus({"a": "", "z": "1"}))
    assert (outcome(report), [warning.row for warning in report.warnings]) == ((1, 0, 1, 0), [3])
    assert await skus_of(shop) == rows | {"z": ""}


class Gone(Exception):
    """The client went away."""


@pytest.mark.usefixtures("single")
async def test_an_import_that_broke_off_anywhere_is_finished_by_its_repeat(shop: Shop) -> None:
    await shop.bring(with_skus({"a": "1", "b": "2", "c": "3", "d": "4"}))
    wanted = {"a": "2", "b": "3", "c": "4", "d": "1", "e": "5"}

    def leave_after(products: int) -> Any:
        def hear(event: ImportEvent) -> None:
            if getattr(event, "products_done", 0) >= products:
                raise Gone

        return hear

    for products in range(1, 5):
        with pytest.raises(Gone):
            await shop.follow(with_skus(wanted), leave_after(products), UPDATE)
    rows = await skus_of(shop)
    report = await shop.bring(with_skus(wanted), UPDATE)
    assert rows != wanted
    assert outcome(report) == (1, 0, 4, 0)
    assert await skus_of(shop) == wanted
    rows_after = await shop.rows()
    assert outcome(await shop.bring(with_skus(wanted), UPDATE)) == (0, 0, 5, 0)
    assert await shop.rows() == rows_after


async def test_a_renamed_option_keeps_the_variants(shop: Shop) -> None:
    await shop.bring(file(size("S", VariantSKU="x"), size("M")))
    before = await shop.product("cup")
    renamed = file(cup(Option1Name="Fit", Option1Value="S"), cup(Option1Name="Fit", Option1Value="M", VariantSKU="x"))
    assert outcome(await shop.bring(renamed, UPDATE)) == (0, 1, 0, 0)
    after = await shop.product("cup")
    assert list(after.option_names) == ["Fit"]
    assert [variant.variant_id for variant in after.variants] == [variant.variant_id for variant in before.variants]
    assert [(dict(variant.options), variant.sku) for variant in after.variants] == [
        ({"Fit": "S"}, ""),
        ({"Fit": "M"}, "x"),
    ]
    assert outcome(await shop.bring(renamed, UPDATE)) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    ("cells", "options", "expected"),
    [
        ({"Status": "active"}, ImportOptions(), "DRAFT"),
        ({"Status": "active"}, PUBLISH, "PUBLISHED"),
        ({"Status": "archived"}, ImportOptions(), "ARCHIVED"),
        ({"Status": "draft"}, PUBLISH, "DRAFT"),
        ({"Published": "false"}, PUBLISH, "DRAFT"),
        ({"VariantPrice": ""}, PUBLISH, "DRAFT"),
    ],
)
async def test_a_new_product_is_in_the_state_of_the_file_when_that_may_be(
    shop: Shop, cells: dict[str, str], options: ImportOptions, expected: str
) -> None:
    assert outcome(await shop.bring(file(cup(**cells)), options)) == (1, 0, 0, 0)
    assert (await shop.product("cup")).state == STATE(f"PRODUCT_STATE_{expected}")


async def test_what_is_withdrawn_stops_selling_and_what_comes_back_sells_only_when_asked(shop: Shop) -> None:
    await shop.bring(file(cup()), PUBLISH)
    steps: Sequence[tuple[str, ImportOptions, str]] = (
        ("archived", UPDATE, "ARCHIVED"),
        ("active", UPDATE, "ARCHIVED"),
        ("active", PUBLISH, "PUBLISHED"),
        ("draft", UPDATE, "DRAFT"),
        ("archived", ImportOptions(publish=True), "DRAFT"),
    )
    for status, options, expected in steps:
        await shop.bring(file(cup(Status=status)), options)
        assert (await shop.product("cup")).state == STATE(f"PRODUCT_STATE_{expected}"), (status, options)


async def test_stock_is_kept_by_the_policy_of_the_file(shop: Shop) -> None:
    await shop.bring(file(cup()))
    variant_id = UUID((await shop.product("cup")).variants[0].variant_id)

    async def stock() -> tuple[StockPolicy, int, int]:
        found = await shop.tx.read(lambda unit: stocks.get_stock(unit, SYSTEM, variant_id))
        return found.policy, found.on_hand, found.reserved

    assert await stock() == (StockPolicy.TRACKED, 3, 0)
    goes_on = file(cup(VariantInventoryPolicy="continue", VariantInventoryQty="-2"))
    report = await shop.bring(goes_on, UPDATE)
    assert [warning.reason for warning in report.warnings] == [RowReason.NEGATIVE_QUANTITY]
    assert await stock() == (StockPolicy.CONTINUE, 0, 0)
    await shop.tx.run("t", lambda uow: inventory.reserve(uow, [StockLine(variant_id, 4)], new_id()))
    # What is owed on purpose is no reason to make pieces up, with this policy or after it.
    rows = await shop.rows()
    assert outcome(await shop.bring(goes_on, UPDATE)) == (0, 0, 1, 0)
    assert await shop.rows() == rows
    assert outcome(await shop.bring(file(cup(VariantInventoryQty="1")), UPDATE)) == (0, 1, 0, 0)
    assert await stock() == (StockPolicy.TRACKED, 1, 4)
    untracked = file(cup(VariantInventoryTracker="", VariantInventoryQty="0"))
    assert outcome(await shop.bring(untracked, UPDATE)) == (0, 1, 0, 0)
    assert await stock() == (StockPolicy.UNTRACKED, 0, 4)
    assert outcome(await shop.bring(untracked, UPDATE)) == (0, 0, 1, 0)


async def test_what_the_file_has_no_column_for_stays(shop: Shop) -> None:
    await shop.bring(
        file(cup(Vendor="Acme", Tags="a", VariantSKU="K", VariantCompareAtPrice="9", Status="draft")), PUBLISH
    )
    before = await shop.product("cup")
    short = b"Handle,Title,Variant Price\ncup,Mug,5.00\n"
    assert outcome(await shop.bring(short, PUBLISH)) == (0, 1, 0, 0)
    after = await shop.product("cup")
    assert (after.title, after.price.units, after.compare_at_price.units) == ("Mug", 5, 9)
    assert (after.brand_id, list(after.tags), after.state) == (before.brand_id, ["a"], before.state)
    assert after.variants[0].sku == "K"
    dearer = b"Handle,Title,Variant Price\ncup,Mug,10.00\n"
    await shop.bring(dearer, PUBLISH)
    assert not (await shop.product("cup")).HasField("compare_at_price")


async def test_a_brand_that_is_deleted_meanwhile_is_made_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.bring(file(cup(Vendor="Acme")))
    deleted: list[bool] = []

    async def late(uow: UnitOfWork, new: Sequence[Planned]) -> list[Planned]:
        if not deleted:
            deleted.append(True)
            await uow.connection.execute("UPDATE products SET brand_id = NULL")
            await uow.connection.execute("DELETE FROM brands")
        return await make_products(uow, new)

    monkeypatch.setattr("marketd.catalog.imports.batch.make_products", late)
    assert outcome(await shop.bring(file(cup(Handle="mug", Vendor="Acme")))) == (1, 0, 0, 0)


async def test_every_row_is_counted_once_and_reasons_are_grouped(shop: Shop) -> None:
    await shop.bring(file(cup(Handle="same"), cup(Handle="other")))
    data = file(
        cup(Handle="new"),
        cup(Handle="same"),
        cup(Handle="other", VariantPrice="5"),
        size("S", Handle="two", VariantCompareAtPrice="1"),
        size("M", Handle="two"),
        size("S", Handle="bad", VariantPrice="?"),
        size("M", Handle="bad", Title=""),
        cup(Handle="worse", VariantPrice="!"),
        cup(Handle="card", GiftCard="TRUE"),
    ).replace(b"Gift Card", b"Gift Card,Colour of the box", 1)
    lines = data.split(b"\r\n")
    place = lines[0].split(b",").index(b"Colour of the box")
    filled = [lines[0]]
    for number, line in enumerate(filter(None, lines[1:])):
        cells = line.split(b",")
        filled.append(b",".join([*cells[:place], b"red" if number < 2 else b"", *cells[place:]]))
    for options in (replace(UPDATE, dry_run=True), UPDATE):
        summary = (await shop.bring(b"\r\n".join(filled), options)).summary
        assert rows_of(summary) == (9, {"created": 2, "updated": 1, "unchanged": 1, "warned": 1, "rejected": 4})
        assert [(told.reason, told.count, told.first_row) for told in summary.reasons] == [
            (RowReason.INVALID_VALUE, 2, 7),
            (RowReason.GIFT_CARD, 1, 10),
            (RowReason.PRODUCT_REJECTED, 1, 8),
            (RowReason.NOT_ABOVE_PRICE, 1, 5),
        ]
        assert [(column.name, column.filled_rows) for column in summary.unused_columns] == [("Colour of the box", 2)]


def rows_of(summary: ImportSummary) -> tuple[int, dict[str, int]]:
    """The rows of a file, and by what came of them; they are the same number."""
    counts = {
        "created": summary.rows_created,
        "updated": summary.rows_updated,
        "unchanged": summary.rows_unchanged,
        "warned": summary.rows_warned,
        "rejected": summary.rows_rejected,
    }
    assert sum(counts.values()) == summary.rows
    return summary.rows, counts


async def test_a_file_without_prices_or_options_leaves_the_variants_as_they_are(shop: Shop) -> None:
    await shop.bring(file(size("S", VariantCompareAtPrice="9"), size("L", VariantPrice="6")), PUBLISH)
    before = await shop.product("cup")
    report = await shop.bring(b"Handle,Title,Tags\ncup,Mug,new\nnew,New,\n", PUBLISH)
    assert outcome(report) == (1, 1, 0, 0)
    after = await shop.product("cup")
    assert (after.title, list(after.tags), after.state) == ("Mug", ["new"], before.state)
    assert (list(after.variants), list(after.option_names)) == (list(before.variants), ["Size"])
    assert (await shop.product("new")).state == product_pb2.PRODUCT_STATE_DRAFT
    by_size = b"Handle,Title,Option1 Name,Option1 Value,Variant Barcode\ncup,Mug,Size,S,123\ncup,,,L,456\n"
    assert outcome(await shop.bring(by_size, PUBLISH)) == (0, 1, 0, 0)
    after = await shop.product("cup")
    assert [(one.price, one.compare_at_price, one.barcode) for one in after.variants] == [
        (one.price, one.compare_at_price, code) for one, code in zip(before.variants, ("123", "456"), strict=True)
    ]
    report = await shop.bring(b"Handle,Title,Variant Price\ncup,Mug,1.00\n", PUBLISH)
    assert [one.reason for one in report.warnings] == [RowReason.MISSING_VALUE]
    assert list((await shop.product("cup")).variants) == list(after.variants)


async def test_what_the_header_tells_is_told_first_and_is_no_row(shop: Shop) -> None:
    data = b"Handle,Title,Variant Inventory Tracker,Variant Price\ncup,Cup,shopify,4.50\n"
    report = await shop.bring(data)
    assert [(one.row, one.column, one.reason, one.handle) for one in report.warnings] == [
        (1, "Variant Inventory Qty", RowReason.MISSING_VALUE, "")
    ]
    assert [(one.reason, one.count, one.first_row) for one in report.summary.reasons] == [
        (RowReason.MISSING_VALUE, 1, 1)
    ]
    assert (report.summary.rows, report.summary.rows_created, report.summary.rows_warned) == (1, 1, 0)

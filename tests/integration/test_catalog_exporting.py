"""Exports on real Postgres: what leaves is what came in, and comes in again as it was."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import cast

import pytest
from marketd.catalog.exports import repository, run
from marketd.catalog.exports.rows import COLUMNS
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.values import ImportOptions
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound, ValidationFailed
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.catalog.v1 import catalog_service_pb2 as pb
from marketplace.catalog.v1 import product_pb2

from tests.worlds.catalog_files import CONTEXT, Shop, cup, file, outcome
from tests.worlds.round_trip import compare, read_csv

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalog"
DEMO = resources.files("marketd.demo.data").joinpath("products.csv").read_bytes()
PUBLISH = ImportOptions(publish=True)
AGAIN = ImportOptions(publish=True, update_existing=True)


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()


async def _execute(shop: Shop, statement: str, *values: object) -> None:
    async def work(uow: UnitOfWork) -> None:
        await uow.connection.execute(statement, *values)

    await shop.tx.run("test", work)


_CONTENT = """
SELECT p.handle, to_jsonb(p) - ARRAY['product_id', 'seller_id', 'slug', 'publish_time', 'version', 'create_time',
    'update_time'] AS product,
  (SELECT jsonb_agg(to_jsonb(v) - ARRAY['variant_id', 'product_id', 'seller_id', 'version', 'create_time',
      'update_time'] || jsonb_build_object('on_hand', s.on_hand, 'policy', s.policy) ORDER BY v.position)
    FROM variants v JOIN stocks s USING (variant_id) WHERE v.product_id = p.product_id) AS variants,
  (SELECT jsonb_agg(jsonb_build_array(i.url, i.alt_text, i.position, ARRAY(SELECT v.position FROM variants v
      WHERE v.variant_id = ANY(i.variant_ids) ORDER BY 1)) ORDER BY i.position)
    FROM product_images i WHERE i.product_id = p.product_id) AS images
FROM products p WHERE p.seller_id = $1 ORDER BY p.handle
"""


async def _content(shop: Shop) -> list[tuple[object, ...]]:
    """What is in the shop, but for ids, slugs and times."""

    async def work(unit: ReadUnit) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await unit.connection.fetch(_CONTENT, shop.seller_id)]

    return await shop.tx.read(work)


def _whole_file(*rows: Mapping[str, str]) -> bytes:
    """A file with every column that an export has."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


_ALIKE = {
    "Published": "true", "Status": "active", "Gift Card": "false", "Option1 Name": "Title",
    "Option1 Value": "Default Title", "Variant Inventory Tracker": "shopify", "Variant Inventory Qty": "3",
    "Variant Inventory Policy": "deny", "Variant Price": "4.50", "Variant Grams": "0",
    "Variant Requires Shipping": "true",
}  # fmt: skip
_OF_VARIANTS = [name for name in _ALIKE if name.startswith("Variant")]
_NAMES = {name.replace(" ", ""): name for name in COLUMNS}


def _row(handle: str, title: str, **cells: str) -> dict[str, str]:
    """The first row of a product as exports write it; keys are column names without blanks."""
    return _ALIKE | {"Handle": handle, "Title": title} | {_NAMES[name]: value for name, value in cells.items()}


def _more(handle: str, **cells: str) -> dict[str, str]:
    """A further variant of a product."""
    given = {"Handle": handle} | {_NAMES[name]: value for name, value in cells.items()}
    return {name: _ALIKE[name] for name in _OF_VARIANTS} | given


# fmt: off
KINDS = _whole_file(
    _row("plain", "Plain"),
    _row("draft", "Draft", Published="false", Status="draft"),
    _row("gone", "Gone", Published="false", Status="archived"),
    _row("always", "Always", VariantInventoryTracker="", VariantInventoryQty="7"),
    _row("later", "Later", VariantInventoryQty="0", VariantInventoryPolicy="continue"),
    _row("course", "Course", VariantRequiresShipping="false"),
    _row("free", "Free", VariantPrice="0.00"),
    _row("unpriced", "Unpriced", VariantPrice="", Published="false", Status="draft"),
    _row("formula", "=1+1", VariantSKU="+49", VariantBarcode="-1", Vendor="@maker", Type="=kind", Tags="+a, -b"),
    _row("codes", "'5", VariantSKU="''5", VariantBarcode="''0123"),
    _row("text", 'Say "hi", now', **{"Body(HTML)": '<p>One,\n"two"\nthree</p><ul><li>é &amp; ü</li></ul>'}),
    _row("shirt", "Shirt", Option1Name="Size", Option1Value="S", Option2Name="Colour", Option2Value="=red",
         VariantImage="https://x.example/2.jpg", ImageSrc="https://x.example/1.jpg", ImagePosition="1",
         ImageAltText='One, "front"', VariantSKU="S1", VariantGrams="250", VariantCompareAtPrice="9.00"),
    _more("shirt", Option1Value="M", Option2Value="-blue", VariantPrice="5.00", ImageSrc="https://x.example/2.jpg",
          ImagePosition="2", VariantInventoryPolicy="continue"),
    {"Handle": "shirt", "Image Src": "https://x.example/3.jpg", "Image Position": "3"},
)
# fmt: on


@pytest.mark.parametrize("data", [DEMO, KINDS], ids=["demo", "kinds"])
async def test_an_export_changes_nothing_at_home_and_makes_the_same_shop_elsewhere(shop: Shop, data: bytes) -> None:
    assert outcome(await shop.bring(data, PUBLISH))[3] == 0
    exported = await shop.export()
    before = await shop.rows()
    assert outcome(await shop.bring(exported.data, AGAIN))[:2] == (0, 0)
    assert await shop.rows() == before
    other = await Shop(shop.tx).open()
    report = await other.bring(exported.data, PUBLISH)
    assert report.errors == ()
    assert [warning.reason for warning in report.warnings] == [RowReason.MISSING_VALUE] * (data == KINDS)
    assert await _content(other) == await _content(shop)
    assert (await other.export()).data == exported.data


@pytest.mark.parametrize("name", ["kinds", "demo", "apparel.csv", "jewelery.csv"])
async def test_an_export_is_the_file_again_but_for_a_list(shop: Shop, name: str) -> None:
    data = {"kinds": KINDS, "demo": DEMO}.get(name)
    if data is None:
        if not (REAL / name).exists():
            pytest.skip(f"{REAL / name} is not here")
        data = (REAL / name).read_bytes()
    await shop.bring(data, PUBLISH)
    exported = (await shop.export()).data
    found = compare(data, exported)
    sys.stdout.write("\n".join((f"{name} and its export differ in", *found.lines(), "")))
    assert found.faults == []
    assert name != "kinds" or exported == data


def test_a_comparison_finds_what_is_not_on_its_list() -> None:
    file = KINDS.replace(b"Shirt", b"Skirt").replace(b"4.50", b"4.51", 1).replace(b"250", b"251")
    assert len(compare(KINDS, file).faults) == 3
    assert compare(KINDS, KINDS[: KINDS.rindex(b"shirt")]).faults == ["13 rows instead of 14"]


async def test_a_file_comes_in_pieces_and_says_what_it_held(shop: Shop) -> None:
    rows = [_row(f"p{number}", "P", **{"Body(HTML)": "é" * 9000}) for number in range(12)]
    await shop.bring(_whole_file(*rows), PUBLISH)
    exported = await shop.export()
    assert list(exported.header.columns) == list(COLUMNS) == list(read_csv(exported.data)[0])
    assert exported.header.file_name.startswith(f"products-{shop.seller_id.hex}-")
    assert [len(chunk) for chunk in exported.chunks[:-1]] == [65_536] * (len(exported.chunks) - 1)
    assert len(exported.chunks) > 2
    held = exported.summary
    assert (held.products, held.variants, held.images, held.rows) == (12, 12, 0, 12)
    assert (held.size, held.sha256) == (len(exported.data), hashlib.sha256(exported.data).hexdigest())


async def test_a_shop_without_products_gives_a_header(shop: Shop) -> None:
    exported = await shop.export()
    assert exported.data.decode() == ",".join(COLUMNS) + "\n"
    assert (exported.summary.products, exported.summary.rows) == (0, 0)


async def test_only_the_states_that_are_asked_for(shop: Shop) -> None:
    await shop.bring(KINDS, PUBLISH)
    drafts = await shop.export(product_pb2.PRODUCT_STATE_DRAFT, product_pb2.PRODUCT_STATE_ARCHIVED)
    assert [row["Handle"] for row in read_csv(drafts.data)] == ["draft", "gone", "unpriced"]


async def test_a_product_that_changes_meanwhile_comes_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BATCH", 2)
    monkeypatch.setattr(run, "CHUNK_BYTES", 64)
    await shop.bring(file(*(cup(Handle=f"p{number}", Title=f"P{number}") for number in range(6))), PUBLISH)
    shop.enter()
    data, is_changed = b"", False
    async for message in shop.catalog.ExportProducts(pb.ExportProductsRequest(), CONTEXT):
        data += message.chunk
        if not is_changed and b"p1" in data:
            await _execute(shop, "UPDATE products SET title = 'New ' || title, update_time = now()")
            await _execute(shop, "DELETE FROM products WHERE handle = 'p4'")
            await shop.bring(file(cup(Handle="p9", Title="P9")), PUBLISH)
            is_changed = True
    titles = {row["Handle"]: row["Title"] for row in read_csv(data)}
    assert len(read_csv(data)) == len(titles)
    assert titles == {"p0": "P0", "p1": "P1", "p2": "New P2", "p3": "New P3", "p5": "New P5", "p9": "P9"}


async def test_what_the_file_cannot_say_is_counted(shop: Shop) -> None:
    await shop.bring(KINDS, PUBLISH)
    await _execute(shop, "UPDATE variants SET active = false WHERE options->0->>1 = 'S'")
    await _execute(shop, "UPDATE products SET price_minor = 500, compare_at_price_minor = NULL WHERE handle = 'shirt'")
    await _execute(shop, "UPDATE products SET option_names = '{A,B,C,D}' WHERE handle = 'plain'")
    exported = await shop.export()
    held = exported.summary
    assert (held.variants_left_out, held.products_left_out, list(held.left_out_handles)) == (1, 1, ["plain"])
    assert "plain" not in {row["Handle"] for row in read_csv(exported.data)}
    assert [row["Option1 Value"] for row in read_csv(exported.data) if row["Handle"] == "shirt"] == ["M", "", ""]
    before = await shop.rows()
    await shop.bring(exported.data, AGAIN)
    assert await shop.rows() == before


async def test_only_a_shops_owner_and_admins_get_its_file(shop: Shop) -> None:
    other = await Shop(shop.tx).open()
    other.enter()
    stream = other.catalog.ExportProducts(pb.ExportProductsRequest(seller_id=str(shop.seller_id)), CONTEXT)
    with pytest.raises(NotFound):
        await anext(stream)
    shop.owner = Caller(new_id(), None, frozenset({Role.ADMIN}))
    assert (await shop.export()).summary.products == 0
    with pytest.raises(ValidationFailed):
        await anext(shop.catalog.ExportProducts(pb.ExportProductsRequest(), CONTEXT))


async def test_what_requests_may_say_and_files_may_not_stays_at_home(shop: Shop) -> None:
    await shop.bring(KINDS, PUBLISH)
    for statement in (
        "UPDATE products SET title = ' Plain ', tags = '{b,a}', description = E'one\\n' WHERE handle = 'plain'",
        "UPDATE products SET attributes = '{\"Material\": \"oak\"}' WHERE handle = 'later'",
        "UPDATE stocks SET on_hand = -3, oversold = reserved + 3 WHERE policy = 'CONTINUE'",
        "DELETE FROM variants WHERE product_id = (SELECT product_id FROM products WHERE handle = 'draft')",
        "UPDATE products SET price_minor = NULL, option_names = '{Colour}' WHERE handle = 'draft'",
        "UPDATE variants SET weight_grams = 0 WHERE weight_grams IS NULL",
    ):
        await _execute(shop, statement)
    # Two categories of one name: files name the higher one.
    top = "SELECT category_id FROM categories WHERE name_key = '=kind'"
    await _execute(
        shop,
        "INSERT INTO categories (category_id, parent_category_id, name, name_key, slug, description, position, path,"
        f" version, create_time, update_time) SELECT $1, t.category_id, '=kind', '=kind', 'lower', '', 0,"
        f" ARRAY[t.category_id, $1], 1, now(), now() FROM ({top}) t",
        lower := new_id(),
    )
    await _execute(shop, "UPDATE products SET category_id = $1 WHERE handle = 'formula'", lower)
    exported = await shop.export()
    before = await shop.rows()
    report = await shop.bring(exported.data, AGAIN)
    assert outcome(report)[1] == 0
    assert await shop.rows() == before
    other = await Shop(shop.tx).open()
    report = await other.bring(exported.data, PUBLISH)
    assert (outcome(report)[0], report.errors) == (exported.summary.products, ())
    assert (await other.export()).summary.variants == exported.summary.variants


async def test_a_batch_comes_from_indexes(shop: Shop) -> None:
    await shop.bring(KINDS, PUBLISH)

    async def plan(unit: ReadUnit) -> str:
        asked: list[tuple[str, tuple[object, ...]]] = []

        class Asking:
            async def fetch(self, statement: str, *values: object) -> list[object]:
                asked.append((statement, values))
                return []

        connection = cast("Connection", Asking())
        await repository.read_batch(connection, shop.seller_id, (), None, products=50, variants=500)
        await unit.connection.execute("SET enable_seqscan = off")
        try:
            rows = await unit.connection.fetch(f"EXPLAIN {asked[0][0]}", *asked[0][1])
        finally:
            await unit.connection.execute("RESET enable_seqscan")
        return "\n".join(row[0] for row in rows)

    assert "Seq Scan" not in await shop.tx.read(plan)

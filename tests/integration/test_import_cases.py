"""Files that sellers came to grief with, from the file to the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.values import ImportOptions
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor

from tests.worlds.catalog_files import Shop, outcome

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "import-cases"
PUBLISH = ImportOptions(publish=True, update_existing=True)

# By file: products created and rejected, and the reasons that are told.
CASES: dict[str, tuple[int, int, list[RowReason]]] = {
    "archived.csv": (2, 0, []),
    "bodies.csv": (7, 0, []),
    "compare_at.csv": (4, 0, [RowReason.NOT_ABOVE_PRICE]),
    "compare_at_hyphen_header.csv": (1, 0, []),
    "dropped_columns.csv": (1, 0, []),
    "grams_decimals.csv": (3, 0, []),
    "negative_quantity.csv": (2, 0, [RowReason.NEGATIVE_QUANTITY]),
    "new_template.csv": (1, 0, []),
    "option_name_changes.csv": (0, 1, [RowReason.OPTION_MISMATCH, RowReason.PRODUCT_REJECTED]),
    "semicolon_cp1252.csv": (1, 0, []),
    "sku_moves_1.csv": (2, 0, []),
    "sku_repeated_across.csv": (3, 0, [RowReason.DUPLICATE_SKU]),
    "sku_repeated_within.csv": (2, 0, [RowReason.DUPLICATE_SKU]),
    "untracked.csv": (2, 0, []),
    "utf16_tab.csv": (1, 0, []),
}
REFUSED = {"price_column_twice.csv": "stands twice", "really_a_zip.csv": "ZIP archive"}


@pytest.mark.skipif(not FOLDER.exists(), reason=f"{FOLDER} is not here")
async def test_each_file_of_the_folder_comes_in_as_it_should_and_again_without_a_trace(tx: Transactor) -> None:
    for name, (created, rejected, reasons) in CASES.items():
        shop = await Shop(tx).open()
        data = (FOLDER / name).read_bytes()
        report = await shop.bring(data, PUBLISH)
        assert (outcome(report), name) == ((created, 0, 0, rejected), name)
        assert [told.reason for told in report.summary.reasons] == reasons, name
        rows = await shop.rows()
        assert outcome(await shop.bring(data, PUBLISH)) == (0, 0, created, rejected), name
        assert await shop.rows() == rows, name
    shop = await Shop(tx).open()
    for name, said in REFUSED.items():
        with pytest.raises(Refusal, match=said):
            await shop.bring((FOLDER / name).read_bytes(), PUBLISH)
    await shop.bring((FOLDER / "sku_moves_1.csv").read_bytes(), PUBLISH)
    moved = (FOLDER / "sku_moves_2.csv").read_bytes()
    assert outcome(await shop.bring(moved, PUBLISH)) == (0, 2, 0, 0)
    assert outcome(await shop.bring(moved, PUBLISH)) == (0, 0, 2, 0)


async def test_a_newer_header_weights_negative_stock_and_policies_are_right_in_the_database(shop: Shop) -> None:
    data = (
        b"URL handle,Title,Vendor,Type,Tags,Status,SKU,Price,Compare-at price,Inventory tracker,Inventory quantity,"
        b"Continue selling when out of stock,Weight value (grams),Requires shipping,Product image URL\r\n"
        b'jug,Jug,Tonwerk,Jugs,"b, a",active,J-1,8.500000,9,shop,-4,CONTINUE,349.6,TRUE,https://pictures.example/j.jpg\r\n'
        b"class,Pottery class,,,,active,,25,25.00,,,,0,FALSE,\r\n"
    )
    report = await shop.bring(data, PUBLISH)
    assert [told.reason for told in report.summary.reasons] == [RowReason.NEGATIVE_QUANTITY, RowReason.NOT_ABOVE_PRICE]
    found = await shop.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT p.state, v.price_minor, v.compare_at_price_minor AS former, v.weight_grams, v.requires_shipping,"
            " s.policy, s.on_hand, v.sku FROM products p JOIN variants v USING (product_id)"
            " JOIN stocks s USING (variant_id) ORDER BY p.handle DESC"
        )
    )
    assert [tuple(row) for row in found] == [
        ("PUBLISHED", 850, 900, 350, True, "CONTINUE", 0, "J-1"),
        ("PUBLISHED", 2500, None, None, False, "UNTRACKED", 0, ""),
    ]


@pytest.fixture
async def shop(tx: Transactor) -> Shop:
    return await Shop(tx).open()

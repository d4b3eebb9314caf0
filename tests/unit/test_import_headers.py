"""Headers: both generations of Shopify's, what tools make of them, and what is told of the rest."""

from __future__ import annotations

import io
import re

import pytest
from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports.csv_file import Reading
from marketd.catalog.imports.header import FileFormat
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.imports.tables import open_table
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy

from tests.worlds.product_files import COLUMNS, product, read, table_of

NEWER = (
    "Title", "URL handle", "Description", "Vendor", "Product category", "Type", "Tags", "Published on online store",
    "Status", "SKU", "Barcode", "Option1 name", "Option1 value", "Option1 Linked To", "Option2 name", "Option2 value",
    "Price", "Compare-at price", "Cost per item", "Charge tax", "Inventory tracker", "Inventory quantity",
    "Continue selling when out of stock", "Weight value (grams)", "Weight unit for display", "Requires shipping",
    "Fulfillment service", "Product image URL", "Image position", "Image alt text", "Variant image URL", "Gift card",
)  # fmt: skip


def newer(**changes: str) -> dict[str, str]:
    """A product of a newer file with all its columns filled."""
    return {
        "Title": "Lamp", "URL handle": "lamp", "Description": "<p>Bright</p>", "Vendor": "Lux", "Type": "Lamps",
        "Product category": "Home > Lamps", "Tags": "b, a", "Published on online store": "TRUE", "Status": "Active",
        "SKU": "L-1", "Barcode": "4006381333931", "Option1 name": "Colour", "Option1 value": "Red", "Price": "20.00",
        "Compare-at price": "25.00", "Cost per item": "7", "Charge tax": "TRUE", "Inventory tracker": "shopify",
        "Inventory quantity": "4", "Continue selling when out of stock": "CONTINUE", "Weight value (grams)": "1250.5",
        "Weight unit for display": "kg", "Requires shipping": "FALSE", "Product image URL": "https://a.example/1.jpg",
        "Image position": "1", "Image alt text": "Lit", "Variant image URL": "https://a.example/2.jpg",
        "Gift card": "FALSE",
    } | {name.replace("_", " "): value for name, value in changes.items()}  # fmt: skip


def test_the_newer_names_say_the_same_as_the_older() -> None:
    found = read(table_of(NEWER, newer()).encode())
    lamp, variant = found.product, found.variant
    assert (found.errors, found.warnings) == ([], [])
    assert (lamp.handle, lamp.title, lamp.description, lamp.vendor, lamp.category) == (
        "lamp", "Lamp", "<p>Bright</p>", "Lux", "Lamps",
    )  # fmt: skip
    assert (lamp.tags, lamp.state, lamp.option_names) == (("a", "b"), ProductState.PUBLISHED, ("Colour",))
    assert (variant.sku, variant.barcode, variant.options) == ("L-1", "4006381333931", (("Colour", "Red"),))
    assert (variant.price_minor, variant.compare_at_price_minor) == (2000, 2500)
    assert (variant.quantity, variant.policy) == (4, StockPolicy.CONTINUE)
    assert (variant.weight_grams, variant.requires_shipping) == (1251, False)
    assert [(image.url[-5:], image.alt_text) for image in lamp.images] == [("1.jpg", "Lit"), ("2.jpg", "")]


def test_filled_columns_that_are_not_used_are_named_with_their_rows() -> None:
    found = read(table_of((*NEWER, ""), newer() | {"": "x"}, newer(URL_handle="b", SKU="", Cost_per_item="")).encode())
    assert dict(found.unused) == {
        "Product category": 2, "Cost per item": 1, "Charge tax": 2, "Weight unit for display": 2, "column 33": 1,
    }  # fmt: skip


def test_names_of_columns_are_compared_as_people_read_them() -> None:
    columns = ("HANDLE ", " title", "variant  price", "Variant Compare-At Price", "Variant_SKU", "*Body HTML")
    found = read(table_of(columns, dict(zip(columns, ("a", "A", "1", "2", "S", "x"), strict=True))).encode())
    assert (found.variant.compare_at_price_minor, found.variant.sku, found.product.description) == (200, "S", "x")


def test_what_a_message_names_is_the_files_own_column() -> None:
    found = read(table_of(NEWER, newer(Price="cheap")).encode())
    assert found.refused == [(2, "Price", RowReason.INVALID_VALUE)]


@pytest.mark.parametrize("name", ["Variant Price", " variant price", "Variant-Price", "Title", "Handle"])
def test_a_known_column_that_stands_twice_refuses_the_file(name: str) -> None:
    with pytest.raises(ImportFileInvalid, match="stands twice") as refused:
        read(table_of((*COLUMNS, f"{name} "), product()).encode())
    assert refused.value.row == 1
    assert refused.value.column.casefold().replace("-", " ").strip() == name.casefold().replace("-", " ").strip()


def test_unknown_columns_may_stand_twice_and_names_of_both_generations_may_meet() -> None:
    columns = (*COLUMNS, "Notes", "Notes", "SKU")
    found = read(table_of(columns, product(sku="A") | {"Notes": "x", "SKU": "B"}).encode())
    assert found.variant.sku == "A"
    assert dict(found.unused) == {"Notes": 1, "SKU": 1}


@pytest.mark.parametrize(
    ("columns", "missing"),
    [
        ([name for name in COLUMNS if name not in ("Handle", "Variant Price")], "Handle"),
        ([name for name in COLUMNS if name != "Title"], "Title"),
        (["Product", "Cost"], "Handle"),
    ],
)
def test_a_column_that_is_needed_is_named_with_those_that_were_found(columns: list[str], missing: str) -> None:
    with pytest.raises(
        ImportFileInvalid, match=re.escape(f"the columns found are: {columns[0]}, {columns[1]}")
    ) as refused:
        read(table_of(columns).encode())
    assert (refused.value.row, refused.value.column) == (1, missing)
    assert missing != "Handle" or "(in newer files 'URL handle')" in refused.value.message


def test_handles_are_made_of_titles_where_there_is_no_column_and_prices_may_come_later() -> None:
    by_title = read(b"Title,Price\nBig Mug,9.50\nCup,1\n")
    assert [(one.handle, one.variants[0].price_minor) for one in by_title.products] == [("big-mug", 950), ("cup", 100)]
    data = b"Handle,Title,Option1 Name,Option1 Value\ncup,Cup,Size,S\ncup,,,M\nmug,Mug,,\n"
    cup, mug = read(data).products
    assert [(dict(one.options), one.price_minor) for one in cup.variants] == [
        ({"Size": "S"}, None),
        ({"Size": "M"}, None),
    ]
    assert mug.variants == ()
    assert [one.column for one in open_table(io.BytesIO(data), Reading()).remarks()] == ["Variant Price"]
    with pytest.raises(ImportFileInvalid, match="a list of stock"):
        read(b"Handle,Title,Option1 Name,Option1 Value,SKU,COO,Location,On hand\ncup,Cup,Size,S,C-S,,Berlin,5\n")


def test_fields_without_a_column_are_told_apart_from_empty_ones() -> None:
    narrow = read(table_of(("Handle", "Title", "Variant Price", "Vendor"), product()).encode()).layout
    assert narrow.format is FileFormat.SHOPIFY
    assert {"description", "tags", "quantity", "images", "state", "weight_grams"} <= narrow.missing
    assert "vendor" not in narrow.missing
    assert read(table_of(COLUMNS).encode()).layout.missing == {"attributes"}


def test_a_file_that_tracks_stock_and_has_no_quantities_says_so() -> None:
    columns = [name for name in COLUMNS if name != "Variant Inventory Qty"]
    data = table_of(columns, product(inventorytracker="shopify")).encode()
    [remark] = open_table(io.BytesIO(data), Reading()).remarks()
    assert (remark.row, remark.column, remark.handle) == (1, "Variant Inventory Qty", "")
    assert (read(data).variant.quantity, read(data).variant.policy) == (None, StockPolicy.TRACKED)
    assert open_table(io.BytesIO(table_of(COLUMNS).encode()), Reading()).remarks() == ()


def test_a_name_of_any_length_is_told_in_short() -> None:
    """It stands in each of a thousand errors and warnings that one message may hold."""
    data = b"Handle,Title,Variant" + b" -" * 100_000 + b"Price\ncup,Cup,x\n"
    assert [len(error.column) for error in read(data).errors] == [60]


def test_of_a_cell_full_of_addresses_only_so_many_are_looked_at() -> None:
    data = b"Handle,Title,Variant Price,Image Src\ncup,Cup,1," + b"https:// " * 5000
    assert 1000 <= len(read(data).warnings) < 1100

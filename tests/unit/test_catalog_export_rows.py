"""The rows of an export, without a database."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from marketd.catalog.exports.rows import COLUMNS, fits, line, rows_of
from marketd.catalog.exports.values import ExportedImage, ExportedProduct, ExportedVariant
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy
from marketd.inventory.values import StockLevel
from marketd.kernel.values.ids import new_id

VARIANT = ExportedVariant(new_id(), "S1", (), 1250, None, "", None, True, StockLevel(StockPolicy.TRACKED, 5))
PRODUCT = ExportedProduct(
    new_id(), datetime(2026, 3, 1, tzinfo=UTC), "cup", "Cup", "", "", "", (), ProductState.PUBLISHED, (), "EUR",
    (VARIANT,), 0, (),
)  # fmt: skip


def written(product: ExportedProduct) -> list[dict[str, str]]:
    """The product's rows as others read them."""
    text = line(list(COLUMNS)) + "".join(map(line, rows_of(product)))
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize(
    ("currency", "minor", "cell"),
    [("EUR", 1250, "12.50"), ("EUR", 5, "0.05"), ("JPY", 1250, "1250"), ("KWD", 1250, "1.250"), ("EUR", None, "")],
)
def test_prices_have_the_digits_of_the_currency(currency: str, minor: int | None, cell: str) -> None:
    variant = replace(VARIANT, price_minor=minor)
    assert written(replace(PRODUCT, currency=currency, variants=(variant,)))[0]["Variant Price"] == cell


@pytest.mark.parametrize(
    ("policy", "cells"),
    [
        (StockPolicy.TRACKED, ("shopify", "deny", "5")),
        (StockPolicy.CONTINUE, ("shopify", "continue", "5")),
        (StockPolicy.UNTRACKED, ("", "deny", "5")),
    ],
)
def test_stocks_say_until_when_they_are_sold(policy: StockPolicy, cells: tuple[str, str, str]) -> None:
    row = written(replace(PRODUCT, variants=(replace(VARIANT, stock=StockLevel(policy, 5)),)))[0]
    columns = ("Variant Inventory Tracker", "Variant Inventory Policy", "Variant Inventory Qty")
    assert tuple(row[column] for column in columns) == cells


def test_row_k_has_variant_k_and_picture_k() -> None:
    variants = tuple(replace(VARIANT, variant_id=new_id(), options=(("Size", size),)) for size in "SM")
    images = tuple(
        ExportedImage(f"https://x.example/{number}", "", ids)
        for number, ids in enumerate(((), (variants[1].variant_id,), (variants[1].variant_id,)))
    )
    rows = written(replace(PRODUCT, option_names=("Size",), variants=variants, images=images))
    assert [row["Title"] for row in rows] == ["Cup", "", ""]
    assert [row["Option1 Name"] for row in rows] == ["Size", "", ""]
    assert [row["Option1 Value"] for row in rows] == ["S", "M", ""]
    assert [row["Variant Image"] for row in rows] == ["", "https://x.example/1", ""]
    assert [row["Image Position"] for row in rows] == ["1", "2", "3"]


def test_a_product_without_options_says_so_and_one_without_variants_says_nothing_of_them() -> None:
    only = written(PRODUCT)[0]
    assert (only["Option1 Name"], only["Option1 Value"]) == ("Title", "Default Title")
    bare = written(replace(PRODUCT, variants=(), state=ProductState.DRAFT))[0]
    assert {name for name, cell in bare.items() if cell} == {"Handle", "Title", "Published", "Gift Card", "Status"}


@pytest.mark.parametrize("text", ['"', 'a "b", c', "one\ntwo", "one\r\ntwo\r", " blank ", "=1+1", "'", "ü;\t"])
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    row = written(replace(PRODUCT, title=text, description=text))[0]
    assert (row["Title"], row["Body (HTML)"]) == (text, text)


def test_only_three_options_fit() -> None:
    assert fits(replace(PRODUCT, option_names=("A", "B", "C")))
    assert not fits(replace(PRODUCT, option_names=("A", "B", "C", "D")))

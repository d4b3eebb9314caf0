"""docs/importing.md has every column that imports read and every reason that they give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from marketd.catalog.imports.header import SHOPIFY_COLUMNS, FileFormat, read_layout
from marketd.catalog.imports.parsed import RowReason

PAGE = Path(__file__).resolve().parents[2] / "docs" / "importing.md"
WOOCOMMERCE, _ = read_layout(["Type", "Name", "Regular price", "Attribute 1 name", "Attribute 1 value(s)"], 1)


def test_every_reason_has_a_row_and_no_other() -> None:
    table = PAGE.read_text().split("## What each reason means")[1].split("## ")[0]
    assert re.findall(r"^\| ([A-Z_]+) \|", table, re.MULTILINE) == [reason.value for reason in RowReason]


@pytest.mark.parametrize(
    ("title", "columns"),
    [("Shopify's", tuple(SHOPIFY_COLUMNS)), ("WooCommerce's", WOOCOMMERCE.columns)],
    ids=["shopify", "woocommerce"],
)
def test_every_column_has_its_place(title: str, columns: tuple[str, ...]) -> None:
    assert WOOCOMMERCE.format is FileFormat.WOOCOMMERCE
    table = PAGE.read_text().split(f"## What becomes of {title} columns")[1].split("## ")[0]
    named = set(re.findall(r"`([^`]+)`", table))
    options = {f"Option{place} {part}" for place in (1, 2, 3) for part in ("Name", "Value")}
    assert set(columns) - named - (options if "Option1 Name" in named else set()) == set()

"""The files with which sellers came to grief, each as its table says that it should end."""

from __future__ import annotations

from pathlib import Path

import pytest
from marketd.catalog.errors import ImportFileInvalid
from marketd.catalog.imports.parsed import RowReason
from marketd.catalog.model import ProductState
from marketd.inventory.model import StockPolicy

from tests.worlds.product_files import Read, read

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def case(name: str, folder: str = "import-cases") -> Read:
    """One of them."""
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return read(path.read_bytes())


def test_weights_prices_and_counts() -> None:
    grams = case("grams_decimals.csv")
    assert [[one.weight_grams or 0 for one in item.variants] for item in grams.products] == [[227, 283], [43], [0]]
    assert grams.warnings == []
    former = case("compare_at.csv")
    assert [item.variants[0].compare_at_price_minor for item in former.products] == [None, None, None, 2000]
    assert former.told == [(row, "Variant Compare At Price", RowReason.NOT_ABOVE_PRICE) for row in (2, 3, 4)]
    assert case("compare_at_hyphen_header.csv").variant.compare_at_price_minor == 2000
    below = case("negative_quantity.csv")
    assert [item.variants[0].quantity for item in below.products] == [0, 5]
    assert below.told == [(2, "Variant Inventory Qty", RowReason.NEGATIVE_QUANTITY)]


def test_skus_that_stand_twice() -> None:
    within = case("sku_repeated_within.csv")
    assert [[(dict(one.options), one.sku) for one in item.variants] for item in within.products] == [
        [({"Size": "38"}, "ST-1"), ({"Size": "39"}, "")],
        [({}, "")],
    ]
    across = case("sku_repeated_across.csv")
    assert [item.variants[0].sku for item in across.products] == ["S1", "", ""]
    for found in (within, across):
        assert found.told == [(3, "Variant SKU", RowReason.DUPLICATE_SKU)]
    moved = case("sku_moves_2.csv")
    assert [item.variants[0].sku for item in moved.products] == ["S9", "S1"]
    assert moved.warnings == []


def test_the_newer_template() -> None:
    found = case("new_template.csv")
    mug, variant = found.product, found.variant
    assert (mug.handle, mug.vendor, mug.category, mug.tags, mug.state) == (
        "mug", "Acme", "Mugs", ("a", "b"), ProductState.PUBLISHED,
    )  # fmt: skip
    assert (variant.price_minor, variant.compare_at_price_minor, variant.quantity, variant.weight_grams) == (
        950, 1200, 5, 350,
    )  # fmt: skip
    assert (variant.policy, len(mug.images), found.warnings) == (StockPolicy.TRACKED, 1, [])


def test_options_and_columns_that_contradict_themselves() -> None:
    assert case("option_name_changes.csv").refused == [
        (2, "", RowReason.PRODUCT_REJECTED),
        (3, "Option1 Name", RowReason.OPTION_MISMATCH),
    ]
    with pytest.raises(ImportFileInvalid, match="stands twice"):
        case("price_column_twice.csv")
    assert "Variant Weight Unit" in case("dropped_columns.csv").unused


def test_bodies() -> None:
    bodies = {item.handle: item.description for item in case("bodies.csv").products}
    link = 'href="https://right.example/" rel="nofollow noopener"'
    assert bodies["data-href"] == f"<a {link}>go</a>"
    assert bodies["gt-attr"] == f"<p>one</p><a {link}>two</a>"
    assert (bodies["many-li"].count("<li>"), bodies["many-li"].count("</li>")) == (70, 70)
    assert bodies["many-li"].endswith("</ul><p>end</p>")
    assert bodies["many-p"].count("<p>") == 71
    assert bodies["many-p"].endswith("<p><b>end</b></p>")
    assert bodies["svg"] == "<p>before</p><p>after</p>"
    assert '<img src="https://img.example/chart.png" alt="Size chart">' in bodies["img"]
    assert bodies["tel"] == '<a href="tel:+49301234567" rel="nofollow noopener">call</a>'


def test_states_and_stock_without_a_tracker() -> None:
    assert [item.state for item in case("archived.csv").products] == [ProductState.ARCHIVED, ProductState.DRAFT]
    assert [(item.variants[0].quantity, item.variants[0].policy) for item in case("untracked.csv").products] == [
        (None, StockPolicy.UNTRACKED),
        (0, StockPolicy.CONTINUE),
    ]


def test_encodings() -> None:
    western = case("semicolon_cp1252.csv")
    assert (western.product.title, western.variant.price_minor) == ("Café crème", 950)
    assert case("utf16_tab.csv").product.handle == "ok-1"
    with pytest.raises(ImportFileInvalid, match="ZIP archive or an Excel workbook"):
        case("really_a_zip.csv")


@pytest.mark.parametrize(("name", "variants", "images"), [("apparel.csv", 22, 20), ("jewelery.csv", 23, 41)])
def test_real_files_come_in_whole(name: str, variants: int, images: int) -> None:
    found = case(name, "catalog")
    assert (len(found.products), found.errors, found.warnings) == (20, [], [])
    assert sum(len(item.variants) for item in found.products) == variants
    assert sum(len(item.images) for item in found.products) == images

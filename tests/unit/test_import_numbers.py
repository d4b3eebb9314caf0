"""Prices, counts and weights as people and spreadsheets write them."""

from __future__ import annotations

import pytest
from marketd.catalog.imports import cells
from marketd.catalog.imports.parsed import BadCell, RowReason

from tests.worlds.product_files import product, read, shopify


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("19.99", "EUR", 1999),
        ("19", "EUR", 1900),
        ("0", "EUR", 0),
        (".5", "EUR", 50),
        ("9.", "EUR", 900),
        ("9.5000000000", "EUR", 950),
        ("19.989999999999998", "EUR", 1999),
        ("9,50", "EUR", 950),
        ("1,299.00", "EUR", 129900),
        ("1.299,00", "EUR", 129900),
        ("1,234,567", "EUR", 123456700),
        ("1 299,00", "EUR", 129900),
        ("1'299.50", "EUR", 129950),
        ("1\u202f299,50", "EUR", 129950),
        ("€ 9,50", "EUR", 950),
        ("9.50 EUR", "EUR", 950),
        ("50.00", "JPY", 50),
        ("1,500", "JPY", 1500),
        ("4.999", "KWD", 4999),
        ("100000000", "EUR", 10_000_000_000),
    ],
)
def test_prices_are_read_whatever_their_decimals(text: str, currency: str, minor: int) -> None:
    assert cells.amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e9", RowReason.INVALID_VALUE),
        ("NaN", RowReason.INVALID_VALUE),
        ("Infinity", RowReason.INVALID_VALUE),
        ("free", RowReason.INVALID_VALUE),
        ("٣", RowReason.INVALID_VALUE),
        (".", RowReason.INVALID_VALUE),
        ("1.005", RowReason.INVALID_VALUE),
        ("1,500", RowReason.INVALID_VALUE),
        ("1,2,3", RowReason.INVALID_VALUE),
        ("12,34.5", RowReason.INVALID_VALUE),
        ("$9.50", RowReason.INVALID_VALUE),
        ("9.50-12.00", RowReason.INVALID_VALUE),
        ("-1", RowReason.OUT_OF_RANGE),
        ("100000000.01", RowReason.OUT_OF_RANGE),
        ("9" * 500, RowReason.INVALID_VALUE),
    ],
)
def test_what_may_be_two_prices_or_none_is_refused(text: str, reason: RowReason) -> None:
    with pytest.raises(BadCell) as refused:
        cells.amount(text, "EUR")
    assert refused.value.reason is reason


def test_the_other_prices_of_a_file_tell_how_a_doubtful_one_is_written() -> None:
    def prices(*texts: str) -> list[int | None]:
        rows = [product(f"p{number}", price=text) for number, text in enumerate(texts)]
        return [one.variants[0].price_minor for one in read(shopify(*rows)).products]

    assert prices("1,500", "9.50") == [150000, 950]
    assert prices("1,500", "9,50") == [150, 950]
    assert prices("1.500", "9,50") == [150000, 950]
    assert prices("1,500", "9,50", "9.50") == [950, 950], "a file that writes both ways tells nothing"
    assert "1500 or 1.500" in read(shopify(product(price="1,500"))).errors[0].message


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("12", 12), ("12.0", 12), ("5.00000000", 5), ("1,000", None), ("1 000", 1000)]
)
def test_counts_are_whole_numbers_in_any_spelling(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(BadCell):
            cells.quantity(text)
    else:
        assert cells.quantity(text) == number


@pytest.mark.parametrize(
    ("text", "counts_as", "reason"),
    [
        ("-7", 0, RowReason.NEGATIVE_QUANTITY),
        ("-0.5", 0, RowReason.NEGATIVE_QUANTITY),
        ("1.5", 1, RowReason.INVALID_VALUE),
        ("1000000001", 1_000_000_000, RowReason.OUT_OF_RANGE),
        ("many", None, RowReason.INVALID_VALUE),
    ],
)
def test_counts_that_cannot_be_come_as_near_as_they_can_with_a_warning(
    text: str, counts_as: int | None, reason: RowReason
) -> None:
    found = read(shopify(product(inventoryqty=text)))
    assert found.variant.quantity == counts_as
    assert found.told == [(2, "Variant Inventory Qty", reason)]


@pytest.mark.parametrize(
    ("text", "grams"),
    [("226.796185", 227), ("0.4999999999999", None), ("0.5", 1), ("2.5", 3), ("0.0", None), ("", None), ("1500", 1500)],
)
def test_weights_are_rounded_to_grams_and_none_is_not_known(text: str, grams: int | None) -> None:
    found = read(shopify(product(grams=text)))
    assert (found.variant.weight_grams, found.warnings) == (grams, [])


@pytest.mark.parametrize("text", ["heavy", "-1", "10000001", "1e3"])
def test_a_weight_that_cannot_be_is_left_out_with_a_warning(text: str) -> None:
    found = read(shopify(product(grams=text)))
    assert found.variant.weight_grams is None
    assert [column for _, column, _ in found.told] == ["Variant Grams"]

"""Rates of tax and what of a price is tax, against fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from google.type.decimal_pb2 import Decimal as DecimalMessage
from hypothesis import given
from hypothesis import strategies as st
from marketd.config import Settings
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.values.tax import percent_of, rate_of, tax_in
from marketd.kernel.wire import from_percent, to_percent
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("percent", "rate", "shown"),
    [
        ("19", 190_000, "19"),
        ("5.5", 55_000, "5.5"),
        ("0", 0, "0"),
        ("100.0000", 1_000_000, "100"),
        ("0.0001", 1, "0.0001"),
        ("07.70", 77_000, "7.7"),
        ("20", 200_000, "20"),
    ],
)
def test_rates_travel_to_the_wire_and_back(percent: str, rate: int, shown: str) -> None:
    assert from_percent(DecimalMessage(value=percent), "tax_rate") == rate == rate_of(Decimal(percent))
    assert to_percent(rate).value == shown


@pytest.mark.parametrize("text", ["-1", "100.0001", "5.12345", "NaN", "Infinity", "ten", "", "1e999999", "1,5"])
def test_what_is_no_percentage_is_refused_at_its_path(text: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        from_percent(DecimalMessage(value=text), "category.tax_rate")
    assert [each.field for each in refused.value.fields] == ["category.tax_rate"]


@given(st.integers(0, 1_000_000))
def test_every_rate_is_shown_exactly(rate: int) -> None:
    assert rate_of(percent_of(rate)) == rate
    assert Fraction(percent_of(rate)) == Fraction(rate, 10_000)


@given(st.integers(0, 10**14), st.integers(0, 1_000_000))
def test_tax_is_the_share_of_the_price_half_up(gross: int, rate: int) -> None:
    percent = Fraction(rate, 10_000)
    exact = gross * percent / (100 + percent)
    found = tax_in(gross, rate)
    assert exact - Fraction(1, 2) < found <= exact + Fraction(1, 2)
    assert 0 <= found <= gross


def test_halves_go_up() -> None:
    assert tax_in(1, 1_000_000) == 1, "half of 1"
    assert tax_in(21, 50_000) == 1
    assert tax_in(1_190, 190_000) == 190


@pytest.mark.parametrize("percent", ["-0.1", "100.5", "1.23456", "much"])
def test_the_setting_is_a_percentage_too(percent: str) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"tax_rate": percent})
    assert rate_of(Settings.model_validate({"tax_rate": "7.7"}).tax_rate) == 77_000

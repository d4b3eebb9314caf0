"""Which currencies a marketplace can have, their digits between wire and database, and the zones that there are."""

from __future__ import annotations

import pytest
from google.type.money_pb2 import Money as MoneyMessage
from marketd.config import Settings
from marketd.config.currencies import CURRENCY_DIGITS
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.values.money import Money, minor_digits, parse_decimal
from marketd.kernel.values.time_zones import is_time_zone
from marketd.kernel.wire import from_money, to_money
from pydantic import ValidationError


@pytest.mark.parametrize("code", ["EUR", "JPY", "KWD", "ISK", "TND", "CHE"])
def test_a_marketplace_has_any_currency_with_0_2_or_3_digits(code: str) -> None:
    assert Settings(currency=code).currency == code


@pytest.mark.parametrize("code", ["XXX", "XTS", "XAU", "XDR", "CLF", "DEM", "eur", "EURO", "", "EU1"])
def test_what_nobody_can_pay_with_is_no_setting(code: str) -> None:
    with pytest.raises(ValidationError, match="ISO 4217"):
        Settings(currency=code)


def test_digits_are_those_of_iso_4217() -> None:
    assert {minor_digits("EUR"), minor_digits("USN")} == {2}
    assert (minor_digits("JPY"), minor_digits("KWD")) == (0, 3)
    assert set(CURRENCY_DIGITS.values()) == {0, 2, 3}
    assert len(CURRENCY_DIGITS) > 150


@pytest.mark.parametrize("code", ["JPY", "EUR", "KWD"])
def test_amounts_travel_to_the_wire_and_back(code: str) -> None:
    for minor in (0, 1, 7, 999, 1_000, 12_345, 10**8 * 10 ** minor_digits(code)):
        amount = Money(minor, code)
        assert from_money(to_money(amount), code, "price") == amount
        assert parse_decimal(str(amount).partition(" ")[0].replace(",", ""), code) == amount


@pytest.mark.parametrize(("code", "nanos"), [("JPY", 500_000_000), ("EUR", 1_000_000), ("KWD", 100_000)])
def test_an_amount_smaller_than_the_currency_has_is_refused_at_its_nanos(code: str, nanos: int) -> None:
    with pytest.raises(ValidationFailed) as caught:
        from_money(MoneyMessage(currency_code=code, units=1, nanos=nanos), code, "price")
    assert [violation.field for violation in caught.value.fields] == ["price.nanos"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "UTC", "Etc/GMT+5", "US/Eastern", "America/Argentina/Buenos_Aires"])
def test_zones_are_those_of_the_iana_database(name: str) -> None:
    assert is_time_zone(name)


@pytest.mark.parametrize(
    "name",
    [
        *("localtime", "Factory", "posixrules", "posix/Europe/Berlin", "right/Europe/Berlin", "Europe", "tzdata.zi"),
        *("europe/berlin", "Europe/Berlin ", "../Europe/Berlin", "/etc/localtime", "zone.tab", ""),
    ],
)
def test_files_of_the_machine_are_no_zones(name: str) -> None:
    assert not is_time_zone(name)

"""Every google.type.Money of every request has the form of a currency, one sign, and a bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.type.money_pb2 import Money
from marketd import app as composition
from marketd.kernel.call.refusals import FieldViolation, ValidationFailed
from marketd.transport.access import AccessTable
from marketd.transport.amounts import MESSAGE, Amounts
from marketd.transport.validation import Validation
from marketd.transport.walk import is_owned

TABLE = tuple(AccessTable.from_names(composition.SERVICES))
VALIDATION = Validation()


def places(message: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each amount of a message type that a caller gives."""
    for field in message.fields:
        if field.message_type is None or field in above or is_owned(field):
            continue
        if field.message_type.full_name == MESSAGE:
            yield (*above, field)
        else:
            yield from places(field.message_type, (*above, field))


def put(message: Any, way: tuple[Any, ...], money: Money) -> str:
    """Set the amount at the end of the way; gives its path."""
    path = ""
    for field in way:
        inside = getattr(message, field.name)
        message = inside.add() if field.is_repeated else inside
        path += f"{field.name}[0]." if field.is_repeated else f"{field.name}."
    message.CopyFrom(money)
    return path


BAD = [
    (Money(units=1), "currency_code"),
    (Money(currency_code="eur", units=1), "currency_code"),
    (Money(currency_code="EURO", units=1), "currency_code"),
    (Money(currency_code="EUR\n", units=1), "currency_code"),
    (Money(currency_code="EUR", units=-1), "units"),
    (Money(currency_code="EUR", nanos=-1), "nanos"),
    (Money(currency_code="EUR", units=1, nanos=-1), "nanos"),
    (Money(currency_code="EUR", units=-1, nanos=1), "nanos"),
    (Money(currency_code="EUR", units=1, nanos=1_000_000_000), "nanos"),
    (Money(currency_code="EUR", units=100_000_001), "units"),
    (Money(currency_code="EUR", units=100_000_000, nanos=1), "units"),
]
GOOD = [
    Money(currency_code="JPY"),
    Money(currency_code="KWD", units=1, nanos=1_000_000),
    Money(currency_code="EUR", nanos=990_000_000),
    Money(currency_code="EUR", units=100_000_000),
]


def test_every_amount_of_every_request_is_judged_at_its_path() -> None:
    ways = [(rule, way) for rule in TABLE for way in places(rule.request.DESCRIPTOR)]
    assert {"price", "expected_total", "amount"} <= {way[-1].name for _, way in ways}
    for rule, way in ways:
        for money, field in BAD:
            message = rule.request()
            path = put(message, way, money)
            with pytest.raises(ValidationFailed) as caught:
                VALIDATION.parser(rule)(message.SerializeToString())
            assert path + field in {violation.field for violation in caught.value.fields}, (rule.method, money)


@pytest.mark.parametrize(("money", "field"), BAD, ids=str)
def test_a_bad_amount_is_refused_in_one_way(money: Money, field: str) -> None:
    found: list[FieldViolation] = []
    Amounts().judge(money, "price.", found)
    assert [violation.field for violation in found] == [f"price.{field}"]


@pytest.mark.parametrize("money", GOOD, ids=str)
def test_good_amounts_have_any_digits(money: Money) -> None:
    """How many the marketplace's currency has is judged where the currency is known."""
    found: list[FieldViolation] = []
    Amounts().judge(money, "price.", found)
    assert not found

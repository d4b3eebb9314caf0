"""The contract's shared types and ours: signs and fractions of money, instants, intervals, ratings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage
from marketd.kernel import wire
from marketd.kernel.call.refusals import ValidationFailed
from marketd.kernel.values.money import Money, parse_decimal
from marketd.kernel.values.ratings import Rating
from marketplace.order.v1 import order_service_pb2

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minor", "units", "nanos"),
    [(-1, 0, -10_000_000), (-150, -1, -500_000_000), (0, 0, 0), (5, 0, 50_000_000), (1999, 19, 990_000_000)],
)
def test_units_and_nanos_have_the_sign_of_the_amount(minor: int, units: int, nanos: int) -> None:
    message = wire.to_money(Money(minor, "EUR"))
    assert (message.units, message.nanos, message.currency_code) == (units, nanos, "EUR")
    assert wire.from_money(message, "EUR", "price") == Money(minor, "EUR")


def test_another_currency_and_a_fraction_of_a_cent_are_refused_at_their_places() -> None:
    for message, field in (
        (MoneyMessage(currency_code="USD", units=1), "price.currency_code"),
        (MoneyMessage(units=1), "price.currency_code"),
        (MoneyMessage(currency_code="EUR", units=1, nanos=1), "price.nanos"),
        (MoneyMessage(currency_code="EUR", nanos=5_000_000), "price.nanos"),
    ):
        with pytest.raises(ValidationFailed) as refused:
            wire.from_money(message, "EUR", "price")
        assert [violation.field for violation in refused.value.fields] == [field]


def _asked(begin: datetime | None, end: datetime | None) -> order_service_pb2.ListOrdersRequest:
    request = order_service_pb2.ListOrdersRequest()
    if begin is not None:
        request.create_time_from.FromDatetime(begin)
    if end is not None:
        request.create_time_before.FromDatetime(end)
    return request


def test_an_interval_is_open_where_nothing_is_given_and_may_be_empty_and_never_runs_backwards() -> None:
    for begin, end in ((None, None), (NOON, None), (None, NOON), (NOON, NOON), (NOON, NOON + timedelta(hours=1))):
        assert wire.from_interval(_asked(begin, end), "create_time") == (begin, end)
    with pytest.raises(ValidationFailed) as refused:
        wire.from_interval(_asked(NOON, NOON - timedelta(microseconds=1)), "create_time")
    assert [violation.field for violation in refused.value.fields] == ["create_time_before"]


def test_instants_keep_their_microseconds_and_what_is_none_is_refused() -> None:
    instant = NOON + timedelta(microseconds=123_456)
    micros = int(NOON.timestamp()) * 1_000_000 + 123_456
    assert wire.to_timestamp(instant) == wire.micros_to_timestamp(micros)
    assert wire.from_timestamp(wire.micros_to_timestamp(micros), "at") == instant
    assert wire.from_duration(wire.to_duration(timedelta(minutes=-3, microseconds=7))) == timedelta(
        minutes=-3, microseconds=7
    )
    for message in (
        Timestamp(seconds=10**12),
        Timestamp(seconds=-(10**12)),
        Timestamp(nanos=-1),
        Timestamp(nanos=10**9),
    ):
        with pytest.raises(ValidationFailed) as refused:
            wire.from_timestamp(message, "at")
        assert [violation.field for violation in refused.value.fields] == ["at"]


def test_ratings_have_a_mean_to_the_thousandth_half_up_and_nothing_where_nobody_rated() -> None:
    some = wire.to_rating(Rating((0, 0, 0, 1, 2)))
    assert (some.average, some.count, list(some.histogram)) == (4.667, 3, [0, 0, 0, 1, 2])
    none = wire.to_rating(Rating())
    assert not none.HasField("average")
    assert (none.count, list(none.histogram)) == (0, [])
    # 1.0625 and 4.6875: a half of a thousandth counts as a whole one.
    assert [Rating((15, 1, 0, 0, 0)).average_milli, Rating((0, 0, 1, 3, 12)).average_milli] == [1063, 4688]


@pytest.mark.parametrize("text", ["", " ", "1,50", "1e3", "\u0661", "1.005", "--1", "1" * 21, "." * 3, "EUR 5"])
def test_what_is_no_exact_amount_is_refused(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        parse_decimal(text, "EUR")


def test_decimal_texts_are_amounts_to_the_last_digit() -> None:
    found = [parse_decimal(text, "EUR").amount_minor for text in ("49.9", " 5 ", "-0.01", "+7.00", "1000000000000.01")]
    assert found == [4990, 500, -1, 700, 100_000_000_000_001]

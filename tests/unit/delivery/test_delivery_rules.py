"""The rules of delivery without a database: steps, times, estimates, quotes, ratings, codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from marketd.cart.ports import DeliveryQuoter
from marketd.delivery.errors import TimeBeforeStep, TimeInFuture
from marketd.delivery.estimate import HANDOVER, PLAIN_APPROACH, PLAIN_RIDE, Pace, band
from marketd.delivery.follow_orders import new_code
from marketd.delivery.model import (
    COURIER_TRANSITIONS,
    TRANSITIONS,
    CourierState,
    DeliveryOutcome,
    DeliveryState,
    check_end,
)
from marketd.delivery.occurred import CLOCK_LEEWAY, happened_at
from marketd.delivery.quote import FlatFeeQuoter
from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.db.uow import ReadUnit
from marketd.kernel.values.geo import Point, distance_meters
from marketd.kernel.values.money import Money
from marketd.kernel.values.ratings import Rating

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SHOP, HOME = Point(52.53, 13.40), Point(52.54, 13.41)

LEGAL = {
    "CREATED": ["ASSIGNED", "CLOSED"],
    "OFFERING": ["ASSIGNED", "CLOSED"],
    "ASSIGNED": ["AT_PICKUP", "PICKED_UP", "CREATED", "CLOSED"],
    "AT_PICKUP": ["PICKED_UP", "ASSIGNED", "CREATED", "CLOSED"],
    "PICKED_UP": ["AT_DROPOFF", "CLOSED"],
    "AT_DROPOFF": ["PICKED_UP", "CLOSED"],
    "CLOSED": [],
}
ENDINGS = {
    DeliveryOutcome.DELIVERED: {"PICKED_UP", "AT_DROPOFF"},
    DeliveryOutcome.FAILED: {state.value for state in DeliveryState} - {"CLOSED"},
    DeliveryOutcome.RETURNED: {"PICKED_UP", "AT_DROPOFF"},
    DeliveryOutcome.CANCELLED: {"CREATED", "OFFERING", "ASSIGNED", "AT_PICKUP"},
}


@pytest.mark.parametrize("wanted", list(DeliveryState))
@pytest.mark.parametrize("state", list(DeliveryState))
def test_the_table_allows_these_steps_and_no_other(state: DeliveryState, wanted: DeliveryState) -> None:
    if wanted.value in LEGAL[state]:
        TRANSITIONS.check(state, wanted)
    else:
        with pytest.raises(IllegalTransition) as refused:
            TRANSITIONS.check(state, wanted)
        assert refused.value.metadata == {"current": state.value, "allowed": ",".join(LEGAL[state])}


@pytest.mark.parametrize("outcome", list(DeliveryOutcome))
@pytest.mark.parametrize("state", list(DeliveryState))
def test_a_delivery_ends_so_from_these_states_and_no_other(state: DeliveryState, outcome: DeliveryOutcome) -> None:
    if state.value in ENDINGS[outcome]:
        check_end(state, outcome)
    else:
        with pytest.raises(IllegalTransition) as refused:
            check_end(state, outcome)
        assert refused.value.metadata == {"current": state.value, "allowed": ",".join(LEGAL[state])}


def test_steps_lead_back_only_where_a_delivery_is_taken_from_its_courier() -> None:
    order = list(DeliveryState)
    back = {
        (state.value, after)
        for state in DeliveryState
        for after in TRANSITIONS.allowed(state)
        if order.index(state) > order.index(DeliveryState(after))
    }
    assert back == {
        ("ASSIGNED", "CREATED"),
        ("AT_PICKUP", "CREATED"),
        ("AT_PICKUP", "ASSIGNED"),
        ("AT_DROPOFF", "PICKED_UP"),
    }


def test_a_courier_is_never_without_a_way_on() -> None:
    allowed = {state.value: COURIER_TRANSITIONS.allowed(state) for state in CourierState}
    assert allowed == {
        "PENDING": ["ACTIVE", "REJECTED", "CLOSED"],
        "ACTIVE": ["SUSPENDED", "CLOSED"],
        "SUSPENDED": ["ACTIVE", "CLOSED"],
        "REJECTED": [],
        "CLOSED": ["ACTIVE"],
    }
    assert [state.value for state in CourierState if not state.is_live] == ["REJECTED", "CLOSED"]


def test_when_something_happened_lies_between_the_step_before_and_now() -> None:
    before, minute, second = NOON - timedelta(minutes=30), timedelta(minutes=1), timedelta(seconds=1)
    assert happened_at(NOON, None, before) == NOON
    assert happened_at(NOON, NOON - minute, before) == NOON - minute
    assert happened_at(NOON, before - CLOCK_LEEWAY, before) == before
    assert happened_at(NOON, NOON + CLOCK_LEEWAY, before) == NOON
    with pytest.raises(TimeInFuture):
        happened_at(NOON, NOON + CLOCK_LEEWAY + second, before)
    with pytest.raises(TimeBeforeStep) as refused:
        happened_at(NOON, before - CLOCK_LEEWAY - second, before)
    assert refused.value.fields[0].field == "occurred_time"
    assert "2026-05-01T11:30:00Z" in refused.value.fields[0].description


def test_a_ride_takes_its_detour_at_the_couriers_speed() -> None:
    seconds = Pace(5.5).ride(SHOP, HOME).total_seconds()
    assert seconds == pytest.approx(distance_meters(SHOP, HOME) * 1.3 / 5.5)
    assert Pace(11.0).ride(SHOP, HOME).total_seconds() == pytest.approx(seconds / 2)
    assert Pace(5.5).ride(None, HOME) == PLAIN_RIDE


def test_before_pickup_whichever_is_later_counts_the_goods_or_the_courier() -> None:
    pace, ride = Pace(5.5), Pace(5.5).ride(SHOP, HOME)
    goods = pace.before_pickup(NOON, NOON + timedelta(minutes=40), SHOP, SHOP, HOME)
    assert goods.expected_time == NOON + timedelta(minutes=40) + HANDOVER + ride
    courier = pace.before_pickup(NOON, NOON - timedelta(minutes=5), None, SHOP, HOME)
    assert courier.expected_time == NOON + PLAIN_APPROACH + HANDOVER + ride


@pytest.mark.parametrize("minutes", [-3, 0, 1, 10, 240])
def test_a_band_holds_its_expected_time_and_begins_no_earlier_than_now(minutes: int) -> None:
    eta = band(NOON, NOON + timedelta(minutes=minutes))
    assert NOON <= eta.earliest_time <= eta.expected_time <= eta.latest_time
    assert eta.estimate_time == NOON


async def test_a_quote_has_the_fee_and_a_band_also_without_points() -> None:
    quoter: DeliveryQuoter = FlatFeeQuoter(fee=Money(490, "EUR"), pace=Pace(5.5))
    unit = ReadUnit(None, NOON)  # type: ignore[arg-type]  # a flat fee asks no database
    near = await quoter.quote(unit, SHOP, HOME, timedelta(minutes=20), NOON)
    blind = await quoter.quote(unit, None, HOME, timedelta(minutes=20), NOON)
    assert near is not None
    assert blind is not None
    assert near.fee == blind.fee == Money(490, "EUR")
    assert near.distance_meters == pytest.approx(1302, abs=15)
    assert blind.distance_meters is None
    assert NOON + timedelta(minutes=20) < near.earliest_time < near.latest_time < blind.latest_time
    waiting = timedelta(hours=20)
    later = await quoter.quote(unit, SHOP, HOME, timedelta(minutes=20), NOON + waiting)
    assert later is not None
    assert later.earliest_time == near.earliest_time + waiting, "nothing comes before the shop opens"
    assert later.latest_time == near.latest_time + waiting


def test_a_rating_is_the_mean_of_its_stars() -> None:
    assert (Rating().average, Rating().count) == (None, 0)
    rating = Rating((1, 0, 0, 1, 2))
    assert (rating.average, rating.count) == (3.75, 4)


def test_codes_are_six_digits() -> None:
    codes = {new_code() for _ in range(200)}
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert len(codes) > 190

"""When shops open: against a walk through the minutes, over clock changes, and what hours cannot be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from marketd.kernel.call.refusals import ValidationFailed
from marketd.seller.model import SellerState
from marketd.seller.opening import check_opening, next_open
from marketd.seller.values import Contact, OpeningException, OpeningHours, OpeningSpan, Seller, TimeOfDay

ID = UUID(int=7)
BORN = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Seller(
    seller_id=ID,
    owner_user_id=ID,
    handle="shop",
    shop_name="Shop",
    shop_name_key="Shop".lower(),
    description="",
    logo=None,
    state=SellerState.ACTIVE,
    state_reason="",
    pickup_address=None,
    contact=Contact(),
    prep_duration=timedelta(0),
    time_zone="UTC",
    opening_hours=(),
    opening_exceptions=(),
    approve_time=BORN,
    create_time=BORN,
    update_time=BORN,
    version=1,
)
DAYS = 5

# Where clocks are set: by an hour, by half of one, over midnight, and over a whole day.
CHANGES = {
    "Europe/Berlin spring": ("Europe/Berlin", date(2026, 3, 27)),
    "Europe/Berlin autumn": ("Europe/Berlin", date(2026, 10, 23)),
    "Australia/Lord_Howe autumn": ("Australia/Lord_Howe", date(2026, 4, 3)),
    "America/Havana spring": ("America/Havana", date(2026, 3, 6)),
    "America/Havana autumn": ("America/Havana", date(2026, 10, 30)),
    "Asia/Beirut autumn": ("Asia/Beirut", date(2026, 10, 22)),
    "Pacific/Apia without a Friday": ("Pacific/Apia", date(2011, 12, 28)),
    "none": ("UTC", date(2026, 6, 1)),
}


def at(clock: str) -> TimeOfDay:
    hours, _, minutes = clock.partition(":")
    return TimeOfDay(int(hours), int(minutes))


def weekly(*spans: str) -> tuple[OpeningHours, ...]:
    """Such as `5 18:00-02:00`."""
    found = []
    for span in spans:
        day, _, times = span.partition(" ")
        begin, _, end = times.partition("-")
        found.append(OpeningHours(int(day), at(begin), at(end)))
    return tuple(found)


def on(day: str, *spans: str, note: str = "") -> OpeningException:
    pairs = [span.split("-") for span in spans]
    return OpeningException(
        date.fromisoformat(day), tuple(OpeningSpan(at(begin), at(end)) for begin, end in pairs), note
    )


def shop(zone: str, hours: Sequence[OpeningHours] = (), exceptions: Sequence[OpeningException] = ()) -> Seller:
    return replace(SHOP, time_zone=zone, opening_hours=tuple(hours), opening_exceptions=tuple(exceptions))


@cache
def minutes_of(zone: str, first: date) -> list[tuple[datetime, datetime]]:
    """Every minute of some days, and what the clock on the wall shows then."""
    begin = datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instants = [begin + timedelta(minutes=minute) for minute in range(DAYS * 24 * 60)]
    return [(instant, instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for instant in instants]


def is_open(seller: Seller, wall: datetime) -> bool:
    """Written as the contract says it, and as slow as that."""
    for day in (wall.date(), wall.date() - timedelta(days=1)):
        special = [one for one in seller.opening_exceptions if one.date == day]
        spans: Sequence[OpeningSpan | OpeningHours]
        if special:
            spans = special[0].spans
        elif seller.opening_hours:
            spans = [span for span in seller.opening_hours if span.day == day.isoweekday()]
        else:
            spans = [OpeningSpan(TimeOfDay(0), TimeOfDay(24))]
        midnight = datetime.combine(day, time())
        for span in spans:
            begin = midnight + timedelta(hours=span.open_time.hours, minutes=span.open_time.minutes)
            end = midnight + timedelta(hours=span.close_time.hours, minutes=span.close_time.minutes)
            if begin <= wall < (end if end > begin else end + timedelta(days=1)):
                return True
    return False


def some_span(dice: random.Random) -> tuple[TimeOfDay, TimeOfDay]:
    # Mostly small hours: that is where clocks are set.
    begin = dice.choice((dice.randrange(0, 240, 5), dice.randrange(1440)))
    length = dice.choice((1, 10, 45, 90, 400, 1440))
    end = (begin + length) % 1440
    return TimeOfDay(begin // 60, begin % 60), TimeOfDay(end // 60, end % 60)


def some_shop(dice: random.Random, zone: str, first: date) -> Seller:
    hours = [OpeningHours(dice.randint(1, 7), *some_span(dice)) for _ in range(dice.choice((0, 1, 2, 5)))]
    days = dice.sample(range(-1, DAYS), dice.choice((0, 1, 3)))
    exceptions = [
        OpeningException(
            first + timedelta(days=day), tuple(OpeningSpan(*some_span(dice)) for _ in range(dice.choice((0, 0, 1, 2))))
        )
        for day in days
    ]
    return shop(zone, hours, exceptions)


@pytest.mark.parametrize("name", CHANGES)
def test_a_shop_opens_when_a_walk_through_the_minutes_finds_it_open(name: str) -> None:
    zone, first = CHANGES[name]
    dice = random.Random(name)  # noqa: S311 - a die
    minutes = minutes_of(zone, first)
    for _ in range(40):
        seller = some_shop(dice, zone, first)
        start = dice.randrange(len(minutes) - 24 * 60)
        now, wall = minutes[start]
        expected = next((instant for instant, wall in minutes[start:] if is_open(seller, wall)), None)
        found = next_open(seller, now)
        if expected is None:
            assert found is None or found > minutes[-1][0], (seller, now)
        else:
            assert found == expected, (seller, now)
        within = now + timedelta(seconds=59, microseconds=7)
        if is_open(seller, wall):
            assert next_open(seller, within) == within, "what is open now opens now, to the microsecond"


def test_a_shop_without_hours_is_always_open_but_on_its_exceptions() -> None:
    now = datetime(2026, 12, 24, 12, tzinfo=UTC)
    assert next_open(SHOP, now) == now
    closed = shop("Europe/Berlin", (), [on("2026-12-24"), on("2026-12-25", "10:00-12:00"), on("2026-12-26")])
    assert next_open(closed, now) == datetime(2026, 12, 25, 9, tzinfo=UTC)
    assert next_open(closed, datetime(2026, 12, 25, 11, tzinfo=UTC)) == datetime(2026, 12, 26, 23, tzinfo=UTC)


def test_an_exception_takes_the_day_but_not_the_end_of_the_evening_before() -> None:
    bar = shop("Europe/Berlin", weekly("4 20:00-03:00", "5 20:00-03:00"), [on("2026-12-25")])
    late = datetime(2026, 12, 25, 1, 30, tzinfo=UTC)
    assert next_open(bar, late) == late, "Thursday's evening ends on Friday at 3"
    assert next_open(bar, late + timedelta(minutes=30)) == datetime(2026, 12, 31, 19, tzinfo=UTC)
    cut = shop("Europe/Berlin", bar.opening_hours, [on("2026-12-24")])
    assert next_open(cut, late) == datetime(2026, 12, 25, 19, tzinfo=UTC), "the evening's end goes with the evening"


def test_a_clock_that_jumps_past_the_opening_opens_the_shop() -> None:
    night = shop("Europe/Berlin", weekly("7 02:30-04:00"))
    assert next_open(night, datetime(2026, 3, 28, 23, tzinfo=UTC)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    gone = shop("Europe/Berlin", weekly("7 02:10-02:50"))
    assert next_open(gone, datetime(2026, 3, 28, 23, tzinfo=UTC)) == datetime(2026, 4, 5, 0, 10, tzinfo=UTC)


def test_the_hour_that_comes_twice_opens_twice() -> None:
    night = shop("Europe/Berlin", weekly("7 02:10-02:50"))
    assert next_open(night, datetime(2026, 10, 24, 23, tzinfo=UTC)) == datetime(2026, 10, 25, 0, 10, tzinfo=UTC)
    assert next_open(night, datetime(2026, 10, 25, 0, 55, tzinfo=UTC)) == datetime(2026, 10, 25, 1, 10, tzinfo=UTC)


def test_nobody_waits_longer_than_a_year() -> None:
    now = datetime(2026, 5, 5, 12, tzinfo=UTC)
    holidays = [OpeningException(date(2026, 5, 5) + timedelta(days=day)) for day in range(366)]
    assert next_open(shop("UTC", (), holidays), now) == datetime(2027, 5, 6, tzinfo=UTC)
    once = shop("UTC", weekly("3 09:00-10:00"), holidays)
    assert next_open(once, now) is None
    assert next_open(once, now + timedelta(days=10)) == datetime(2027, 5, 12, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spans", "wrong"),
    [
        (("1 09:00-12:00", "1 12:00-18:00", "2 09:00-18:00"), []),
        (("1 09:00-12:00", "1 11:59-18:00"), [1]),
        (("1 18:00-02:00", "2 02:00-09:00"), []),
        (("2 01:00-09:00", "1 18:00-02:00"), [1]),
        (("7 22:00-03:00", "1 03:00-09:00"), []),
        (("7 22:00-03:00", "1 02:00-09:00"), [1]),
        (("1 02:00-09:00", "7 22:00-03:00"), [1]),
        (("1 00:00-24:00", "2 00:00-00:00", "3 00:00-24:00"), []),
        (("1 09:00-09:00", "2 08:59-09:30", "1 10:00-11:00"), [1, 2]),
    ],
)
def test_weekly_hours_do_not_overlap(spans: Sequence[str], wrong: list[int]) -> None:
    if not wrong:
        check_opening(weekly(*spans), (), "seller")
        return
    with pytest.raises(ValidationFailed) as refused:
        check_opening(weekly(*spans), (), "seller")
    assert [each.field for each in refused.value.fields] == [f"seller.opening_hours[{place}]" for place in wrong]


def test_exceptions_come_once_a_date_and_do_not_overlap_within_it() -> None:
    check_opening((), [on("2026-12-24", "09:00-14:00", "20:00-02:00"), on("2026-12-25", "00:00-12:00")], "seller")
    with pytest.raises(ValidationFailed) as refused:
        check_opening(
            (), [on("2026-12-24"), on("2026-12-25", "09:00-14:00", "13:00-15:00"), on("2026-12-24")], "seller"
        )
    assert [each.field for each in refused.value.fields] == [
        "seller.opening_exceptions[1].spans[1]",
        "seller.opening_exceptions[2].date",
    ]

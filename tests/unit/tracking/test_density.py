"""How many positions of one courier are taken: a flood is bounded, what a device can have sampled is not."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import uuid4

import pytest
from marketd.tracking.uplink import density
from marketd.tracking.uplink.density import DENSE, LAVISH, Densities, Density
from marketd.tracking.values import MICROS

NOW = 1_790_000_000 * MICROS
DAY = 24 * 3600
RATE_HZ = 5.0


def taken(books: Density, times: Iterable[int], now: int = NOW) -> int:
    """How many positions of these times are taken of one message that comes now."""
    books.begin(now)
    return sum(books.admits(at) for at in times)


@pytest.mark.parametrize("hz", [1, 5])
def test_a_days_backlog_passes_whole_at_whatever_speed_it_comes_and_so_does_the_ride_after_it(hz: int) -> None:
    books = Density(RATE_HZ)
    count = DAY * hz
    assert taken(books, (NOW - DAY * MICROS + n * MICROS // hz for n in range(count))) == count
    for second in range(1, 3600):
        now = NOW + second * MICROS
        assert taken(books, (now - n * MICROS // hz for n in range(hz)), now) == hz


def test_a_flood_of_this_minute_is_bounded_by_the_minute() -> None:
    books = Density(RATE_HZ)
    a_minute = round(RATE_HZ * 60 * DENSE)
    assert taken(books, [NOW] * 16_000) == a_minute
    assert taken(books, [NOW + 1] * 16_000, NOW + MICROS) == 0
    assert taken(books, [NOW + 60 * MICROS] * 16_000, NOW + 60 * MICROS) == a_minute


def test_a_flood_that_spreads_its_times_over_the_day_is_bounded_by_the_day_and_a_second_pass_gets_nothing() -> None:
    books = Density(RATE_HZ)
    step = DAY * MICROS // 1_500_000
    times = range(NOW - DAY * MICROS + step, NOW, step)
    a_day = round(DAY * RATE_HZ * LAVISH)
    assert taken(books, times) == a_day
    assert taken(books, times) == 0
    # It fills again at twice the rate, not by the minute.
    assert taken(books, times, NOW + 60 * MICROS) == 60 * RATE_HZ * LAVISH


def test_what_was_stored_before_leaves_room_for_what_is_new() -> None:
    books = Density(RATE_HZ)
    a_minute = round(RATE_HZ * 60 * DENSE)
    assert taken(books, [NOW] * a_minute) == a_minute
    for _ in range(100):
        books.give_back(NOW)
    assert taken(books, [NOW] * a_minute) == 100


def test_giving_back_more_than_was_taken_makes_no_room() -> None:
    books = Density(RATE_HZ)
    for _ in range(5):
        books.give_back(NOW)
    assert taken(books, [NOW] * 9_999) == round(RATE_HZ * 60 * DENSE)


def test_minutes_are_forgotten_when_no_position_can_fall_into_them_any_more() -> None:
    books = Density(RATE_HZ)
    a_minute = round(RATE_HZ * 60 * DENSE)
    assert taken(books, [NOW] * a_minute) == a_minute
    almost = NOW + (DAY - 1) * MICROS
    assert taken(books, [NOW], almost) == 0
    for later in (NOW + 2 * DAY * MICROS, NOW + 40 * DAY * MICROS):
        assert taken(books, [later] * a_minute, later) == a_minute


def test_a_clock_of_the_server_that_is_set_back_takes_no_room_away() -> None:
    books = Density(RATE_HZ)
    assert taken(books, [NOW] * 10) == 10
    before = NOW - 3600 * MICROS
    assert taken(books, [before] * 10, before) == 10


def test_very_small_and_very_large_rates_make_books_as_well() -> None:
    assert taken(Density(0.001), [NOW] * 10) == 1
    assert taken(Density(1e9), [NOW] * 100_000) == 100_000


def test_a_courier_has_one_set_of_books_and_a_worker_keeps_those_it_heard_lately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(density, "MAX_COURIERS", 2)
    books = Densities(RATE_HZ)
    first, second, third = uuid4(), uuid4(), uuid4()
    kept, forgotten = books.of(first), books.of(second)
    assert books.of(first) is kept
    books.of(third)
    assert books.of(first) is kept
    assert books.of(second) is not forgotten

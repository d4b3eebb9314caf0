"""Horizons: what a snapshot of Postgres has seen, in bytes and back, and tokens of places."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marketd.kernel.db.horizon import MAX_PACKED, Horizon
from marketd.kernel.events.watch import ResetReason
from marketd.order.live.places import OrdersPlaceTokens, Place

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@st.composite
def horizons(draw: st.DrawFn, most: int = 130) -> Horizon:
    end = draw(st.integers(min_value=1_000, max_value=2**60))
    below = draw(st.sets(st.integers(min_value=1, max_value=200), max_size=most))
    return Horizon(end, tuple(sorted(end - each for each in below)))


@settings(max_examples=40)
@given(horizons())
def test_what_is_packed_comes_back_and_what_does_not_fit_was_never_seen(horizon: Horizon) -> None:
    found, end = Horizon.unpack(b"?" + horizon.pack() + b"!", 1)
    assert end == len(horizon.pack()) + 1
    if horizon.fits:
        assert found == horizon
    assert len(found.running) <= MAX_PACKED
    for number in (*range(horizon.end - 202, horizon.end + 3),):
        assert found.sees(number) <= horizon.sees(number)


@settings(max_examples=40)
@given(horizons(), st.data())
def test_a_later_horizon_has_a_higher_rank_and_has_seen_all_that_an_earlier_one_has(
    before: Horizon, data: st.DataObject
) -> None:
    begun = data.draw(st.integers(min_value=0, max_value=5))
    new = range(before.end, before.end + begun)
    over = data.draw(st.sets(st.sampled_from([*before.running, *new] or [0])))
    running = sorted({*before.running, *new} - over)
    after = Horizon(before.end + begun, tuple(running))
    assert after.rank - before.rank == len(over & {*before.running, *new})
    assert after.rank >= before.rank
    for number in range(before.end - 202, after.end + 2):
        assert before.sees(number) <= after.sees(number)


def test_the_text_of_postgres_is_read() -> None:
    assert Horizon.parse("10:20:10,14,15") == Horizon(20, (10, 14, 15))
    assert Horizon.parse("10:10:") == Horizon(10)
    assert (Horizon(20, (10, 14)).begin, Horizon(20).begin) == (10, 20)
    assert [number for number in range(8, 24) if Horizon(20, (10, 14)).sees(number)] == [
        *(8, 9, 11, 12, 13, 15, 16, 17, 18, 19)
    ]


@pytest.mark.parametrize("length", range(9))
def test_bytes_that_end_too_early_are_no_horizon(length: int) -> None:
    with pytest.raises(ValueError, match="too short"):
        Horizon.unpack(Horizon(20, (10,)).pack()[:length])


class _Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


def test_a_token_is_a_place_for_a_day_and_of_one_watch() -> None:
    clock = _Clock()
    tokens = OrdersPlaceTokens(b"secret", clock)
    for place in (
        Place(Horizon(20, (10, 14)), NOW),
        Place(Horizon(20, (10, 14)), NOW, Horizon(33, (14,)), 7),
        Place(Horizon(2**60), NOW - timedelta(hours=2)),
    ):
        token = tokens.token(place, b"mine").decode()
        assert tokens.read(token, b"mine") == place
        assert tokens.read(token, b"yours") is ResetReason.TOKEN_UNKNOWN
        assert OrdersPlaceTokens(b"other", clock).read(token, b"mine") is ResetReason.TOKEN_UNKNOWN
        clock.time = NOW + timedelta(hours=24)
        assert tokens.read(token, b"mine") == place
        clock.time += timedelta(seconds=1)
        assert tokens.read(token, b"mine") is ResetReason.TOKEN_TOO_OLD
        clock.time = NOW
    assert tokens.read("", b"mine") is None


def test_a_place_that_does_not_fit_says_less_and_never_more() -> None:
    clock, many = _Clock(), Horizon(10_000, tuple(range(5_000, 5_200)))
    tokens = OrdersPlaceTokens(b"secret", clock)
    for place in (Place(many, NOW), Place(Horizon(4_000), NOW, many, 9), Place(many, NOW, Horizon(20_000), 9)):
        token = tokens.token(place, b"mine").decode()
        assert len(token) <= 2_048
        found = tokens.read(token, b"mine")
        assert isinstance(found, Place)
        assert (found.until, found.told) == (None, 0)
        assert found.since.rank <= place.since.rank
    whole = Place(Horizon(9_000, tuple(range(8_000, 8_100))), NOW, Horizon(9_100, tuple(range(8_000, 8_100))), 3)
    assert len(tokens.token(whole, b"mine")) <= 2_048
    assert tokens.read(tokens.token(whole, b"mine").decode(), b"mine") == replace(whole)

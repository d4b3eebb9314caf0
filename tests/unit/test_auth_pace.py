"""The pace of what strangers make a worker write down: a burst, then a steady drip, and a refusal beyond."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, repeat

import pytest
from marketd.auth.codes.pace import REMEMBERED, Pace
from marketd.kernel.call.refusals import Overloaded


class Hand:
    """A clock that is moved by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def from_everywhere() -> Iterator[str]:
    """Addresses of which no two are in one wide network."""
    return (f"10.{number >> 8}.{number & 255}.7" for number in count())


def passed(pace: Pace, tries: int, addresses: Iterator[str]) -> int:
    """How many of so many at once pass."""
    passing = 0
    for _ in range(tries):
        try:
            pace.take(next(addresses))
        except Overloaded:
            break
        passing += 1
    return passing


def test_a_burst_passes_and_then_as_many_as_the_seconds_allow() -> None:
    clock = Hand()
    pace, strangers = Pace(2.0, 5, monotonic=clock), from_everywhere()
    assert passed(pace, 10, strangers) == 5
    clock.now += 1.0
    assert passed(pace, 10, strangers) == 2
    clock.now += 0.4
    with pytest.raises(Overloaded):
        pace.take(next(strangers))
    clock.now += 0.1
    assert passed(pace, 10, strangers) == 1
    clock.now += 3600.0
    assert passed(pace, 10, strangers) == 5


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("192.0.2.7", "192.0.2.200", "192.0.3.7"),
        ("2001:db8:1:2::1", "2001:db8:1:ff00::1", "2001:db8:2:2::1"),
        ("::ffff:192.0.2.7", "192.0.2.200", "192.0.3.7"),
    ],
)
def test_a_wide_network_uses_up_a_tenth_and_no_more(first: str, same: str, other: str) -> None:
    clock = Hand()
    pace = Pace(20.0, 500, monotonic=clock)
    assert passed(pace, 500, repeat(first)) == 50
    assert passed(pace, 1, repeat(same)) == 0
    assert passed(pace, 500, repeat(other)) == 50
    clock.now += 1.0
    assert passed(pace, 500, repeat(same)) == 2
    # What was refused has used up nothing of the whole: 500 and 20 for the second, less what came.
    assert passed(pace, 1000, from_everywhere()) == 500 - 50 - 50 + 20 - 2


def test_a_small_pace_leaves_each_network_one() -> None:
    pace = Pace(1e-6, 3, monotonic=Hand())
    assert passed(pace, 5, repeat("192.0.2.7")) == 1
    assert passed(pace, 5, from_everywhere()) == 2


def test_the_networks_that_are_remembered_are_bounded_and_the_busy_ones_stay() -> None:
    clock = Hand()
    pace, strangers = Pace(1e6, 10**9, monotonic=clock), from_everywhere()
    pace.take("192.0.2.7")
    for _ in range(REMEMBERED - 1):
        pace.take(next(strangers))
    pace.take("192.0.2.8")
    for _ in range(REMEMBERED // 2):
        pace.take(next(strangers))
    assert len(pace._shares) == REMEMBERED
    assert "192.0.2.0" in pace._shares

"""The pace of what strangers make a worker write down: a burst, then a steady drip, and a refusal beyond."""

from __future__ import annotations

import pytest
from marketd.auth.codes.pace import Pace
from marketd.kernel.call.refusals import Overloaded


class Hand:
    """A clock that is moved by hand, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def passed(pace: Pace, tries: int) -> int:
    """How many of so many at once pass."""
    count = 0
    for _ in range(tries):
        try:
            pace.take()
        except Overloaded:
            break
        count += 1
    return count


def test_a_burst_passes_and_then_as_many_as_the_seconds_allow() -> None:
    clock = Hand()
    pace = Pace(2.0, 5, monotonic=clock)
    assert passed(pace, 10) == 5
    clock.now += 1.0
    assert passed(pace, 10) == 2
    clock.now += 0.4
    with pytest.raises(Overloaded):
        pace.take()
    clock.now += 0.1
    assert passed(pace, 10) == 1
    clock.now += 3600.0
    assert passed(pace, 10) == 5

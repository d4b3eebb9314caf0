"""Ranges of prices with round bounds, which lie side by side and hold about equally many products."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from marketd.catalog.search.values import Bucket

_MOST_RANGES: Final = 5
_STEPS: Final = (10, 15, 20, 30, 40, 50, 60, 80)
_POWERS: Final = 12


def _round_bounds() -> tuple[int, ...]:
    # One and a half minor units are cut to one, which is there already.
    return tuple(sorted({step * 10**power // 10 for power in range(_POWERS) for step in _STEPS} - {0}))


ROUND_BOUNDS: Final = _round_bounds()
"""Where a range may begin, in minor units, ascending: round ones, as dense among small prices as among large."""


def ranges_of(cells: Mapping[int, int]) -> tuple[Bucket, ...]:
    """The ranges of prices that were counted by the bound that they begin with.

    cells: how many products by the number of the bound in ROUND_BOUNDS at or below their price, counted from 1; 0 for
    prices below the first. The first range begins with 0 and the last has no end, so every product is in one of them.
    """
    total = sum(cells.values())
    if not total:
        return ()
    starts, counts = [0], [0]
    for number in sorted(cells):
        # A new range begins when the last is full, and when what comes would rather fill one of its own.
        if counts[-1] and len(starts) < _MOST_RANGES and counts[-1] + cells[number] / 2 > total / _MOST_RANGES:
            starts.append(ROUND_BOUNDS[number - 1])
            counts.append(0)
        counts[-1] += cells[number]
    ends = [start - 1 for start in starts[1:]]
    return tuple(
        Bucket(count, min_price_minor=start, max_price_minor=end)
        for start, end, count in zip(starts, [*ends, None], counts, strict=True)
    )

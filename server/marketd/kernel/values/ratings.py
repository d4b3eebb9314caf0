"""What ratings of 1 to 5 stars come to: counted by stars, so that nothing is lost to rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STARS: Final = 5
NO_RATINGS: Final = (0,) * STARS


@dataclass(frozen=True, slots=True)
class Rating:
    """How many ratings of 1 to 5 stars there are, in this order."""

    counts: tuple[int, ...] = NO_RATINGS

    @property
    def count(self) -> int:
        """How many there are in all."""
        return sum(self.counts)

    @property
    def average_milli(self) -> int:
        """The mean in thousandths of a star, 1000 to 5000, halves rounded up; 0 when there are none."""
        if not self.count:
            return 0
        total = sum(stars * number for stars, number in enumerate(self.counts, start=1))
        return (2000 * total + self.count) // (2 * self.count)

    @property
    def average(self) -> float | None:
        """The mean, 1 to 5, to three decimals; None when there are none."""
        return self.average_milli / 1000 if self.count else None

"""When a step of a courier really happened: phones send late, and their clocks differ a little from ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from marketd.delivery.errors import TimeBeforeStep, TimeInFuture

CLOCK_LEEWAY: Final = timedelta(seconds=60)
"""How far a phone's clock may be from ours, either way."""


def happened_at(now: datetime, occurred_time: datetime | None, state_time: datetime) -> datetime:
    """What the courier says, kept between `state_time`, when the delivery came into its present state, and now.

    Within the leeway a time outside is moved to the nearer end. Raises TimeInFuture and TimeBeforeStep beyond it: that
    is no difference of clocks, and whatever is counted by such a time (pay, delays) would be wrong.
    """
    if occurred_time is None:
        return now
    if occurred_time > now + CLOCK_LEEWAY:
        raise TimeInFuture
    if occurred_time < state_time - CLOCK_LEEWAY:
        raise TimeBeforeStep(state_time)
    return min(max(occurred_time, state_time), now)

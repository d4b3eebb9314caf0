"""What the cart needs from above: what bringing a package costs and when it would arrive. app.py wires it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.geo import Point
from marketd.kernel.values.money import Money

Unit: TypeAlias = UnitOfWork | ReadUnit


@dataclass(frozen=True, slots=True)
class DeliveryQuote:
    """What one package's way would cost and take; `distance_meters` is None when one of the points is unknown."""

    fee: Money
    earliest_time: datetime
    latest_time: datetime
    distance_meters: float | None = None


class DeliveryQuoter(Protocol):
    """Knows zones, fees and arrival times; delivery implements it. Uses `unit.connection` and `unit.now` only."""

    async def quote(
        self,
        unit: Unit,
        pickup: Point | None,
        dropoff: Point | None,
        prep_duration: timedelta,
        start_time: datetime,
    ) -> DeliveryQuote | None:
        """The quote for one package that is ready `prep_duration` after `start_time`, before which nothing goes.

        None when the place is not served.
        """

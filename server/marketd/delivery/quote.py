"""What bringing a package costs and when it would arrive: cart's port, implemented here.

Zones are not defined yet, so everywhere is served at the settings' fee.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from marketd.cart.ports import DeliveryQuote, Unit
from marketd.delivery.estimate import Pace
from marketd.kernel.slice import Parts
from marketd.kernel.values.geo import Point, distance_meters
from marketd.kernel.values.money import Money


class FlatFeeQuoter:
    """cart.ports.DeliveryQuoter with one fee for every package."""

    def __init__(self, *, fee: Money, pace: Pace) -> None:
        self._fee = fee
        self._pace = pace

    async def quote(
        self,
        unit: Unit,
        pickup: Point | None,
        dropoff: Point | None,
        prep_duration: timedelta,
        start_time: datetime,
    ) -> DeliveryQuote | None:
        """The quote for a package that is ready `prep_duration` after `start_time`; never None while no zones are
        defined. The band is as wide as the way from `start_time` on: waiting for a shop makes nothing less certain.
        """
        eta = self._pace.before_pickup(start_time, start_time + prep_duration, None, pickup, dropoff)
        return DeliveryQuote(
            fee=self._fee,
            earliest_time=eta.earliest_time,
            latest_time=eta.latest_time,
            distance_meters=None if pickup is None or dropoff is None else distance_meters(pickup, dropoff),
        )


def flat_fee_quoter(parts: Parts) -> FlatFeeQuoter:
    """The quoter of a marketplace with these settings."""
    settings = parts.settings
    fee = Money(settings.delivery_fee_minor, settings.currency)
    return FlatFeeQuoter(fee=fee, pace=Pace(settings.courier_speed_mps))

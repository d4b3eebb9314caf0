"""A simulated courier: on shift, with an uplink, and riding from door to door."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from google.protobuf import timestamp_pb2
from marketplace.delivery.v1 import courier_service_pb2, delivery_pb2, delivery_service_pb2
from marketplace_client import CourierUplink, MarketplaceClient, MarketplaceError

from marketd.demo.seed import signed_in
from marketd.demo.town import ride

BICYCLE_MPS = 6.0
_FIRST_WAY_DEGREES = 0.0006


class Rider:
    """A courier and where they are. `at` is latitude and longitude; None while nobody has seen them."""

    def __init__(
        self, client: MarketplaceClient, uplink: CourierUplink, courier_id: str, speed_mps: float, beat_seconds: float
    ) -> None:
        self.client, self.courier_id = client, courier_id
        # The first way to a shop may be short, so that there is soon something to see.
        self.at: tuple[float, float] | None = None
        self._uplink = uplink
        self._speed_mps, self._beat_seconds = speed_mps, beat_seconds
        self._chance = random.Random()  # noqa: S311 - a simulation, not a secret

    @classmethod
    @asynccontextmanager
    async def open(
        cls, target: str, email: str, password: str, *, speed_mps: float = BICYCLE_MPS, beat_seconds: float = 1.0
    ) -> AsyncIterator[Rider]:
        """Sign in and start the shift. beat_seconds: from one position to the next, which is a second's way on."""
        async with signed_in(target, email, password) as client:
            courier_id = await start_shift(client)
            async with CourierUplink(client, device_id="simulated") as uplink:
                yield cls(client, uplink, courier_id, speed_mps, beat_seconds)

    async def ride_to(self, stop: delivery_pb2.Stop) -> None:
        """Ride along two streets until the stop is reached, and stay there for as long as it takes to be believed."""
        end = place_of(stop)
        start = self.at or (end[0] + _FIRST_WAY_DEGREES, end[1])
        for fix in ride(start, end, self._chance, self._speed_mps):
            sample_time = timestamp_pb2.Timestamp()
            sample_time.GetCurrentTime()
            await self._uplink.send(
                fix.latitude,
                fix.longitude,
                sample_time,
                accuracy_meters=fix.accuracy_meters,
                speed_mps=fix.speed_mps,
                heading_degrees=fix.heading_degrees,
                mocked=True,
            )
            self.at = (fix.latitude, fix.longitude)
            await asyncio.sleep(self._beat_seconds)


async def start_shift(client: MarketplaceClient) -> str:
    """Begin a shift; the courier's id.

    It stands in the shift; a shift that runs from before must end to begin a new one, which is refused while a delivery
    is open. Then the delivery names the courier.
    """
    courier_id = ""
    request = delivery_service_pb2.ListDeliveriesRequest(page_size=1)
    recent = (await client.delivery.ListDeliveries(request)).deliveries
    if recent:
        courier_id = recent[0].courier.courier_id
    try:
        courier_id = (await client.courier.StartShift(courier_service_pb2.StartShiftRequest())).shift.courier_id
    except MarketplaceError as error:
        if error.reason != "ILLEGAL_TRANSITION":
            raise
        with suppress(MarketplaceError):
            ended = (await client.courier.EndShift(courier_service_pb2.EndShiftRequest())).shift
            courier_id = ended.courier_id
            await client.courier.StartShift(courier_service_pb2.StartShiftRequest())
    return courier_id


def place_of(stop: delivery_pb2.Stop) -> tuple[float, float]:
    """Latitude and longitude of a door."""
    return stop.address.point.latitude, stop.address.point.longitude

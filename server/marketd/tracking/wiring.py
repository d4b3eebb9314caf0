"""How tracking is put together."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from marketd.delivery.estimate import Pace
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.slice import Parts, Slice
from marketd.kernel.work.repeat import repeat
from marketd.tracking import invariants, partitions
from marketd.tracking.servicer import TrackingServicer
from marketd.tracking.trip.journal import Journal
from marketd.tracking.uplink.couriers import HeardCouriers
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.position_writer import PositionWriter
from marketd.tracking.watch.hub import Hub

SERVICERS: Final = (TrackingServicer,)
INVARIANTS: Final = invariants.INVARIANTS
HOUSE_SECONDS: Final = 3600.0


def build(parts: Parts) -> Slice:
    """Tracking's part of a process."""
    settings, tx = parts.settings, parts.tx
    resume = ResumeTokens(settings.derive("tracking-watches"), "tracking-watch", parts.clock)
    hub = Hub(tx, parts.feed, parts.broadcast, resume, parts.clock)
    writer, journal, couriers = PositionWriter(tx), Journal(tx), HeardCouriers(tx, parts.feed, parts.broadcast)
    intake = Intake(hub, writer, journal, Pace(settings.courier_speed_mps))
    servicer = TrackingServicer(tx, hub, intake, couriers, resume, rate_hz=settings.position_rate_hz)

    async def make_partitions() -> None:
        with suppress(Refusal):  # the hourly round tries again
            await partitions.keep_house(tx, settings.position_retention)

    async def keep_house() -> bool:
        await partitions.keep_house(tx, settings.position_retention)
        return False

    return Slice(
        servicers=[servicer],
        starts=[make_partitions],
        tasks=[hub.run, writer.run, journal.run, couriers.run],
        background=[lambda: repeat("tracking.partitions", keep_house, pause_seconds=HOUSE_SECONDS)],
        drains=[servicer.on_drain],
    )

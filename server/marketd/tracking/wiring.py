"""How tracking is put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from marketd.delivery.estimate import Pace
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.events.watch import BEAT_SECONDS, ResumeTokens
from marketd.kernel.slice import Parts, Slice
from marketd.kernel.work.repeat import repeat
from marketd.tracking import invariants, partitions
from marketd.tracking.servicer import TrackingServicer
from marketd.tracking.trip.journal import Journal
from marketd.tracking.uplink.couriers import HeardCouriers
from marketd.tracking.uplink.intake import Intake
from marketd.tracking.uplink.position_writer import GATHER_SECONDS, PositionWriter
from marketd.tracking.watch.hub import Hub

_log = structlog.get_logger(__name__)

SERVICERS: Final = (TrackingServicer,)
INVARIANTS: Final = invariants.INVARIANTS
HOUSE_SECONDS: Final = 3600.0
# As the contract's rules have them.
LIMITS: Final = {"max_stream_positions": 200, "max_report_positions": 1_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingMachinery:
    """What tracking's servicer and its background work stand on, made once for a process."""

    hub: Hub
    writer: PositionWriter
    journal: Journal
    couriers: HeardCouriers
    resume: ResumeTokens


def make_machinery(
    parts: Parts, *, heartbeat_seconds: float = BEAT_SECONDS, gather_seconds: float = GATHER_SECONDS
) -> TrackingMachinery:
    """The machinery of these settings; nothing of it runs yet.

    heartbeat_seconds: of silence, until watchers get a heartbeat. gather_seconds: see PositionWriter.
    """
    tx, feed, broadcast, clock = parts.tx, parts.feed, parts.broadcast, parts.clock
    resume = ResumeTokens(parts.settings.derive("tracking-watches"), "tracking-watch", clock)
    return TrackingMachinery(
        hub=Hub(tx, feed, broadcast, resume, clock, heartbeat_seconds=heartbeat_seconds),
        writer=PositionWriter(tx, gather_seconds=gather_seconds),
        journal=Journal(tx),
        couriers=HeardCouriers(tx, feed, broadcast, rate_hz=parts.settings.position_rate_hz),
        resume=resume,
    )


def build(parts: Parts) -> Slice:
    """Tracking's part of a process."""
    return build_on(make_machinery(parts), parts)


def build_on(made: TrackingMachinery, parts: Parts) -> Slice:
    """Tracking's part of a process, on machinery that was made of the same parts."""
    settings, tx = parts.settings, parts.tx
    intake = Intake(made.hub, made.writer, made.journal, Pace(settings.courier_speed_mps))
    servicer = TrackingServicer(tx, made.hub, intake, made.couriers, made.resume, rate_hz=settings.position_rate_hz)

    async def make_partitions() -> None:
        try:
            await partitions.keep_house(tx, settings.position_retention)
        except Refusal as refusal:
            # The rounds in the background try again; until then the default partition takes what has no day.
            _log.warning("position_partitions_waiting", reason=refusal.reason.value)

    async def keep_house() -> bool:
        await partitions.keep_house(tx, settings.position_retention)
        return False

    return Slice(
        servicers=[servicer],
        starts=[make_partitions],
        tasks=[made.hub.run, made.writer.run, made.journal.run, made.couriers.run],
        background=[lambda: repeat("tracking.partitions", keep_house, pause_seconds=HOUSE_SECONDS)],
        drains=[servicer.on_drain],
        limits=LIMITS,
    )

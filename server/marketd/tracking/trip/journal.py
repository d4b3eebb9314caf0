"""Writes what trips found out, through delivery, which tells each stop once; that a delivery is late is told here.

Apart from the position writer, so that a delivery whose row is locked never holds back anybody's positions.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from marketd.delivery import service as delivery
from marketd.kernel.call.refusals import Refusal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork
from marketd.tracking import repository
from marketd.tracking.events import DeliveryLate
from marketd.tracking.trip.gate import StopEvent
from marketd.tracking.trip.trip import AtStop, Expected, Late, TripFinding
from marketd.tracking.values import instant

_log = structlog.get_logger(__name__)

# Overflow rule: while the database is away the oldest findings go; stops and estimates are of no use late.
MAX_WAITING: Final = 5_000
# Few, because the rows of so many deliveries stay locked until the commit.
BATCH: Final = 20
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)


class Journal:
    """One for each process; `run` it beside the server."""

    def __init__(self, tx: Transactor) -> None:
        self._tx = tx
        self._waiting: deque[TripFinding] = deque(maxlen=MAX_WAITING)
        self._filled = asyncio.Event()

    def add(self, findings: Sequence[TripFinding]) -> None:
        """Hand findings in."""
        if findings:
            self._waiting.extend(findings)
            self._filled.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._write(batch)

    async def _write(self, batch: Sequence[TripFinding]) -> None:
        for pause in _PAUSES:
            try:
                await self._tx.run("tracking.findings", lambda uow: write_findings(uow, batch))
                return
            except Refusal as refusal:
                _log.warning("findings_waiting", reason=refusal.reason.value, findings=len(batch))
                await asyncio.sleep(pause)
            except Exception:  # noqa: BLE001 - a bug here must not end the task that serves every courier
                _log.exception("findings_failed", findings=len(batch))
                return


async def write_findings(uow: UnitOfWork, batch: Sequence[TripFinding]) -> None:
    """Write the findings; rows are locked in delivery id order, and the order within a delivery is kept."""
    for finding in sorted(batch, key=lambda found: found.leg.delivery_id):
        delivery_id, courier_id = finding.leg.delivery_id, finding.leg.courier_id
        match finding:
            case AtStop(stop=stop, event=StopEvent.ARRIVED):
                await delivery.arrive_at_stop(uow, delivery_id, courier_id, stop, instant(finding.occurred_micros))
            case AtStop(stop=stop):
                await delivery.depart_from_stop(uow, delivery_id, courier_id, stop, instant(finding.occurred_micros))
            case Expected(eta=eta):
                await delivery.save_eta(uow, delivery_id, courier_id, eta)
            case Late():
                await _tell_late(uow, finding)


async def _tell_late(uow: UnitOfWork, finding: Late) -> None:
    found = await delivery.read_delivery(uow, finding.leg.delivery_id)
    if found is None or found.courier_id != finding.leg.courier_id:
        return  # somebody else brings it since, and may still be in time
    if not await repository.note_late(uow.connection, finding.leg.delivery_id, uow.now):
        return
    eta = finding.eta
    uow.emit(
        DeliveryLate(
            delivery_id=finding.leg.delivery_id,
            order_id=finding.leg.order_id,
            courier_id=finding.leg.courier_id,
            due_time=finding.due_time,
            expected_time=eta.expected_time,
            earliest_time=eta.earliest_time,
            latest_time=eta.latest_time,
            estimate_time=eta.estimate_time,
        )
    )

"""What becomes of somebody's work as a courier, and of deliveries to somebody, when the account ends: auth's ports, and
what its events set off later.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.auth.events import AccountDeleted
from marketd.auth.ports import AccessEnd
from marketd.delivery import life, proofs
from marketd.delivery.events import CourierClosed
from marketd.delivery.model import CourierState
from marketd.delivery.repository import couriers, deliveries, positions
from marketd.kernel.call.caller import SYSTEM, Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.events.events import Job, Json, StoredEvent, read_event

FORGET: Final = "delivery.forget"
BATCH: Final = 500
_WHY: Final = {
    AccessEnd.BLOCKED: "The account was blocked.",
    AccessEnd.ROLES_TAKEN: "The account lost the role of a courier.",
}


async def courier_lost_access(uow: UnitOfWork, user_id: UUID, lost: Collection[Role], end: AccessEnd) -> None:
    """auth.ports.AccessEnded: who cannot act as a courier any more is suspended. Letting them work again is an admin's
    own step.
    """
    if Role.COURIER not in lost:
        return
    courier = await couriers.lock_own(uow.connection, user_id)
    if courier is not None and courier.state is CourierState.ACTIVE:
        suspended = await life.suspend(uow, SYSTEM, courier, _WHY[end])
        if end is AccessEnd.ROLES_TAKEN:
            # Who is blocked gets a letter of that.
            life.write_to_courier(uow, await auth.read_profile(uow, user_id), suspended)


async def holds_account(uow: UnitOfWork, user_id: UUID) -> str | None:
    """auth.ports.AccountHolder: a shift that runs, or a delivery that is open; also that of who is suspended.

    The courier's row is locked, so no shift can start before the account is gone.
    """
    courier = await couriers.lock_own(uow.connection, user_id)
    return None if courier is None else await life.held(uow, courier)


async def courier_deleted(uow: UnitOfWork, user_id: UUID) -> None:
    """auth.ports.AccountEnded: the account's courier is closed; nothing personal is left of this and former ones."""
    own = await couriers.lock_all_own(uow.connection, user_id)
    for courier in own:
        state = CourierState.CLOSED if courier.state.is_live else courier.state
        after = replace(
            courier,
            state=state,
            state_reason="",
            first_name="",
            last_name="",
            phone="",
            plate_number="",
            update_time=uow.now,
            version=courier.version + 1,
        )
        await couriers.save(uow.connection, after)
        if state is not courier.state:
            uow.emit(CourierClosed(courier_id=courier.courier_id, user_id=user_id, state=state))
            await log.record(uow, SYSTEM, "courier", courier.courier_id, "The account was deleted.")
    if own:
        courier_ids = [courier.courier_id for courier in own]
        await positions.forget(uow.connection, courier_ids)
        await log.forget_values(uow, "courier", courier_ids)


async def forget(uow: UnitOfWork, stored: StoredEvent) -> None:
    """Somebody has deleted the account: the addresses of deliveries to them and from their shop keep only the city, and
    what proved deliveries to them goes.
    """
    await _forget_batch(uow, read_event(AccountDeleted, stored).user_id)


async def forget_more(uow: UnitOfWork, payload: Mapping[str, Json]) -> None:
    """The next batch of that; the job."""
    await _forget_batch(uow, UUID(str(payload["user_id"])))


async def _forget_batch(uow: UnitOfWork, user_id: UUID) -> None:
    gone = await deliveries.forget_person(uow.connection, user_id, uow.now, BATCH)
    proofs_gone = await proofs.forget_person(uow, user_id, BATCH)
    if BATCH in (gone, proofs_gone):
        uow.enqueue(Job(kind=FORGET, payload={"user_id": str(user_id)}))

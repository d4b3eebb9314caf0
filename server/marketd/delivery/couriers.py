"""The use cases of couriers and their shifts: applying, approving, starting and ending."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.delivery import courier_repository as couriers
from marketd.delivery.courier_repository import NewCourier
from marketd.delivery.errors import CourierOffShift
from marketd.delivery.events import CourierApproved, CourierCreated, ShiftEnded, ShiftStarted
from marketd.delivery.states import CourierState, Vehicle
from marketd.delivery.values import CourierView, ShiftView
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, IllegalTransition, InUse, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class CreateCourier:
    """Asks for a courier of the caller's account; an empty phone means the account's."""

    first_name: str
    last_name: str
    phone: str
    vehicle: Vehicle
    plate_number: str


async def create_courier(uow: UnitOfWork, caller: Caller, command: CreateCourier) -> CourierView:
    """Apply as a courier; the courier is PENDING. Raises AlreadyExists when the account has applied before,
    and NotFound for services.
    """
    # Also for NotFound: a service has no account that could become a courier's.
    profile = await auth.read_profile(uow, caller.known_user_id)
    new = NewCourier(
        courier_id=new_id(),
        user_id=caller.known_user_id,
        first_name=command.first_name,
        last_name=command.last_name,
        phone=command.phone or profile.phone,
        vehicle=command.vehicle,
        plate_number=command.plate_number,
    )
    if not await couriers.insert(uow.connection, new, uow.now):
        raise AlreadyExists("courier", "user_id")
    uow.emit(CourierCreated(courier_id=new.courier_id, user_id=new.user_id, state=CourierState.PENDING))
    await log.record(uow, caller, "courier", new.courier_id)
    return await _present(uow, new.courier_id)


async def approve_courier(uow: UnitOfWork, caller: Caller, courier_id: UUID, reason: str) -> CourierView:
    """Make a PENDING courier ACTIVE and give the account the role COURIER. Raises NotFound, IllegalTransition."""
    courier = await couriers.lock(uow.connection, courier_id)
    if courier is None:
        raise NotFound("courier", courier_id)
    if courier.state is not CourierState.PENDING:
        raise IllegalTransition("courier", courier.state.value, ())
    await couriers.write_approval(uow.connection, courier_id, uow.now)
    await auth.grant_role(uow, courier.user_id, Role.COURIER)
    uow.emit(CourierApproved(courier_id=courier_id, user_id=courier.user_id, state=CourierState.ACTIVE))
    await log.record(uow, caller, "courier", courier_id, reason)
    return await _present(uow, courier_id)


async def start_shift(uow: UnitOfWork, caller: Caller, vehicle: Vehicle | None) -> ShiftView:
    """Start the caller's shift, on the courier's usual vehicle when none is given.

    Raises NotFound without a courier, and IllegalTransition when the courier is not ACTIVE or a shift runs already.
    """
    courier = await _locked_own(uow, caller)
    if courier.state is not CourierState.ACTIVE:
        allowed = [CourierState.ACTIVE.value] if courier.state is CourierState.PENDING else []
        raise IllegalTransition("courier", courier.state.value, allowed)
    if courier.on_shift:
        raise IllegalTransition("shift", "RUNNING", ("ENDED",))
    shift = await couriers.start_shift(
        uow.connection, new_id(), courier.courier_id, vehicle or courier.vehicle, uow.now
    )
    uow.emit(ShiftStarted(courier_id=courier.courier_id, shift_id=shift.shift_id))
    return shift


async def end_shift(uow: UnitOfWork, caller: Caller) -> ShiftView:
    """End the caller's shift. Raises CourierOffShift when none runs, InUse while the courier has a delivery.

    The courier's row is locked, as it is for an assignment, so no delivery can slip in between.
    """
    courier = await _locked_own(uow, caller)
    if courier.shift_id is None:
        raise CourierOffShift(courier.courier_id)
    busy = await couriers.open_delivery_of(uow.connection, courier.courier_id)
    if busy is not None:
        raise InUse("shift", f"delivery {busy}")
    shift = await couriers.end_shift(uow.connection, courier.shift_id, uow.now)
    uow.emit(ShiftEnded(courier_id=courier.courier_id, shift_id=shift.shift_id))
    return shift


async def holds_account(uow: UnitOfWork, user_id: UUID) -> str | None:
    """The shift of the account's courier that runs, for auth's AccountHolder.

    The courier's row is locked, so no shift can start before the account is gone.
    """
    courier = await couriers.lock_of_account(uow.connection, user_id)
    return None if courier is None or courier.shift_id is None else f"shift {courier.shift_id}"


async def _locked_own(uow: UnitOfWork, caller: Caller) -> CourierView:
    courier = await couriers.lock_of_account(uow.connection, caller.known_user_id)
    if courier is None:
        raise NotFound("courier", "me")
    return courier


async def _present(uow: UnitOfWork, courier_id: UUID) -> CourierView:
    courier = await couriers.read(uow.connection, courier_id)
    if courier is None:
        raise RuntimeError("a courier of this transaction is gone")
    return courier

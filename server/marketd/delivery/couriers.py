"""The use cases of couriers about themselves: applying, looking, starting and ending shifts; life.py has the rest."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.delivery.errors import CourierOffShift, ShiftBusy
from marketd.delivery.events import CourierCreated, ShiftEnded, ShiftStarted
from marketd.delivery.model import COURIER_TRANSITIONS, CourierState, Vehicle
from marketd.delivery.repository import couriers, deliveries
from marketd.delivery.values import Courier, CourierFilter, Shift
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, IllegalTransition, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class CreateCourier:
    """Asks for a courier of the caller's account; an empty phone means the account's."""

    first_name: str
    last_name: str
    phone: str
    vehicle: Vehicle
    plate_number: str


async def create_courier(uow: UnitOfWork, caller: Caller, command: CreateCourier) -> Courier:
    """Apply as a courier; the courier is PENDING.

    Raises AlreadyExists when the account has one who is not REJECTED or CLOSED, and NotFound for services, which have
    no account, and for one that is not active any more.
    """
    await auth.hold_active(uow, caller.known_user_id)
    profile = await auth.read_profile(uow, caller.known_user_id)
    courier = Courier(
        courier_id=new_id(),
        user_id=caller.known_user_id,
        first_name=command.first_name,
        last_name=command.last_name,
        phone=command.phone or profile.phone,
        vehicle=command.vehicle,
        plate_number=command.plate_number,
        state=CourierState.PENDING,
        create_time=uow.now,
        update_time=uow.now,
    )
    if not await couriers.insert(uow.connection, courier):
        raise AlreadyExists("courier", "user_id", "You have applied as a courier already; see how that stands.")
    uow.emit(CourierCreated(courier_id=courier.courier_id, user_id=courier.user_id, state=courier.state))
    await log.record(uow, caller, "courier", courier.courier_id, after=courier)
    return courier


async def get_courier(unit: ReadUnit, caller: Caller, courier_id: UUID | None) -> Courier:
    """The courier; without an id the caller's own. Raises NotFound, also for the couriers of others."""
    if courier_id is None:
        found = await couriers.read_own(unit.connection, caller.known_user_id)
    else:
        found = await couriers.read(unit.connection, courier_id)
    if found is None or (found.user_id != caller.user_id and not caller.has(Role.ADMIN)):
        raise NotFound("courier", courier_id or "me")
    return found


async def list_couriers(unit: ReadUnit, wanted: CourierFilter, after: UUID | None, limit: int) -> list[Courier]:
    """Couriers in the order of the filter; the access table lets only admins come here."""
    return await couriers.list_page(unit.connection, wanted, after, limit)


async def start_shift(uow: UnitOfWork, caller: Caller, vehicle: Vehicle | None) -> Shift:
    """Start the caller's shift, on the courier's usual vehicle when none is given; one that runs on it already stays.

    Raises NotFound without a courier, and IllegalTransition when the courier is not ACTIVE or a shift runs on another
    vehicle.
    """
    courier = await _locked_own(uow, caller)
    if courier.state is not CourierState.ACTIVE:
        raise COURIER_TRANSITIONS.refusal(courier.state)
    wanted = vehicle or courier.vehicle
    running = await couriers.last_shift(uow.connection, courier.courier_id) if courier.on_shift else None
    if running is not None:
        if running.vehicle is not wanted:
            raise IllegalTransition("shift", "RUNNING", ("ENDED",))
        return running
    shift = await couriers.start_shift(uow.connection, new_id(), courier.courier_id, wanted, uow.now)
    uow.emit(ShiftStarted(courier_id=courier.courier_id, shift_id=shift.shift_id))
    return shift


async def end_shift(uow: UnitOfWork, caller: Caller, etag: str) -> Shift:
    """End the caller's shift; when none runs, the one that ended last stays as it is.

    Raises CourierOffShift when there never was one, EtagMismatch, and InUse while the courier has a delivery.

    The courier's row is locked, as it is for an assignment, so no delivery can slip in between.
    """
    courier = await _locked_own(uow, caller)
    last = await couriers.last_shift(uow.connection, courier.courier_id)
    if last is None:
        raise CourierOffShift(courier.courier_id)
    if last.end_time is not None:
        return last
    check_etag(etag, last.version)
    busy = await deliveries.one_open_of_courier(uow.connection, courier.courier_id)
    if busy is not None:
        raise ShiftBusy(busy)
    shift = await couriers.end_shift(uow.connection, last.shift_id, uow.now)
    uow.emit(ShiftEnded(courier_id=courier.courier_id, shift_id=shift.shift_id))
    return shift


async def _locked_own(uow: UnitOfWork, caller: Caller) -> Courier:
    courier = await couriers.lock_own(uow.connection, caller.known_user_id)
    if courier is None:
        raise NotFound("courier", "me")
    return courier

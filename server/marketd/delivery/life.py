"""What becomes of a courier: approved or rejected, suspended, reinstated, closed.

The account is locked first, then the courier, then what the courier brings: the order of all locks. Whose a courier is
never changes, so it is read before any lock. A move whose effect stands already, for the same reason, leaves everything
as it is, whatever etag comes: that of a caller who has lost the answer is stale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.auth.service import Profile
from marketd.delivery.errors import CourierBusy, OtherCourier, ReasonNeeded
from marketd.delivery.events import (
    CourierApproved,
    CourierClosed,
    CourierMoved,
    CourierReinstated,
    CourierRejected,
    CourierSuspended,
    ShiftEnded,
)
from marketd.delivery.give_back import give_back
from marketd.delivery.model import COURIER_TRANSITIONS, CourierState
from marketd.delivery.repository import couriers, deliveries
from marketd.delivery.values import Courier
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.mail.jobs import tell
from marketd.mail.render import Wording

_WORDS: Final = {
    CourierState.REJECTED: "rejected",
    CourierState.SUSPENDED: "suspended",
    CourierState.ACTIVE: "reinstated",
    CourierState.CLOSED: "closed",
}


@dataclass(frozen=True, slots=True)
class CourierMove:
    """Asks for another state of a courier; None is the caller's own. An empty etag means whatever happened to it."""

    courier_id: UUID | None
    reason: str
    etag: str


async def approve_courier(uow: UnitOfWork, caller: Caller, command: CourierMove) -> Courier:
    """Make a PENDING courier ACTIVE and give the account the role COURIER.

    Raises NotFound, EtagMismatch, AccountCannotAct, and IllegalTransition when the courier is not PENDING.
    """
    profile, courier = await _lock(uow, caller, command)
    if _stands(courier, command, CourierState.ACTIVE):
        return courier
    check_etag(command.etag, courier.version)
    if courier.state is not CourierState.PENDING:
        raise COURIER_TRANSITIONS.refusal(courier.state)
    return await _activate(uow, caller, profile, courier, command, CourierApproved)


async def reject_courier(uow: UnitOfWork, caller: Caller, command: CourierMove) -> Courier:
    """Turn an application down and tell the applicant, who may apply again.

    Raises NotFound, EtagMismatch, and IllegalTransition when the courier is not PENDING.
    """
    profile, courier = await _lock(uow, caller, command)
    if _stands(courier, command, CourierState.REJECTED):
        return courier
    check_etag(command.etag, courier.version)
    COURIER_TRANSITIONS.check(courier.state, CourierState.REJECTED)
    await auth.revoke_role(uow, profile.user_id, Role.COURIER)
    rejected = await _move(uow, caller, courier, command.reason, CourierState.REJECTED, CourierRejected)
    write_to_courier(uow, profile, rejected)
    return rejected


async def suspend_courier(uow: UnitOfWork, caller: Caller, command: CourierMove) -> Courier:
    """Let a courier take nothing new, and say so in a letter; see `suspend`.

    Raises NotFound, EtagMismatch, and IllegalTransition when the courier is not ACTIVE.
    """
    profile, courier = await _lock(uow, caller, command)
    if _stands(courier, command, CourierState.SUSPENDED):
        return courier
    check_etag(command.etag, courier.version)
    COURIER_TRANSITIONS.check(courier.state, CourierState.SUSPENDED)
    suspended = await suspend(uow, caller, courier, command.reason)
    write_to_courier(uow, profile, suspended)
    return suspended


async def reinstate_courier(uow: UnitOfWork, caller: Caller, command: CourierMove) -> Courier:
    """Let a SUSPENDED or CLOSED courier work again, and say so in a letter; the account has the role COURIER again.

    Raises NotFound, EtagMismatch, AccountCannotAct, OtherCourier, and IllegalTransition for one who is PENDING or
    REJECTED.
    """
    profile, courier = await _lock(uow, caller, command)
    if _stands(courier, command, CourierState.ACTIVE):
        return courier
    check_etag(command.etag, courier.version)
    if courier.state not in (CourierState.SUSPENDED, CourierState.CLOSED):
        raise COURIER_TRANSITIONS.refusal(courier.state)
    own = await couriers.read_own(uow.connection, profile.user_id)
    if own is not None and own.state.is_live and own.courier_id != courier.courier_id:
        raise OtherCourier(own.courier_id)
    reinstated = await _activate(uow, caller, profile, courier, command, CourierReinstated)
    write_to_courier(uow, profile, reinstated)
    return reinstated


async def close_courier(uow: UnitOfWork, caller: Caller, command: CourierMove) -> Courier:
    """Stop working as a courier, or withdraw an application: the account loses the role COURIER and may apply again.

    The courier may, and admins with a reason, which stands in a letter. Raises NotFound, also for the couriers of
    others, ReasonNeeded, EtagMismatch, CourierBusy while a shift runs or a delivery is open, and IllegalTransition.
    """
    profile, courier = await _lock(uow, caller, command)
    is_own = caller.user_id == courier.user_id
    if not is_own and not command.reason.strip():
        raise ReasonNeeded
    if _stands(courier, command, CourierState.CLOSED):
        return courier
    check_etag(command.etag, courier.version)
    COURIER_TRANSITIONS.check(courier.state, CourierState.CLOSED)
    held_by = await held(uow, courier)
    if held_by is not None:
        raise CourierBusy(held_by)
    await auth.revoke_role(uow, profile.user_id, Role.COURIER)
    closed = await _move(uow, caller, courier, command.reason, CourierState.CLOSED, CourierClosed)
    if not is_own:
        write_to_courier(uow, profile, closed)
    return closed


async def suspend(uow: UnitOfWork, caller: Caller, courier: Courier, reason: str) -> Courier:
    """Suspend a locked ACTIVE courier. What is picked up stays with the courier: only the person has it in hands."""
    if courier.shift_id is not None:
        await couriers.end_shift(uow.connection, courier.shift_id, uow.now)
        uow.emit(ShiftEnded(courier_id=courier.courier_id, shift_id=courier.shift_id))
    await give_back(uow, courier.courier_id)
    return await _move(uow, caller, courier, reason, CourierState.SUSPENDED, CourierSuspended)


async def held(uow: UnitOfWork, courier: Courier) -> str | None:
    """What keeps a locked courier from being closed: `shift 0190…` or `delivery 0190…`."""
    if courier.shift_id is not None:
        return f"shift {courier.shift_id}"
    open_delivery = await deliveries.one_open_of_courier(uow.connection, courier.courier_id)
    return None if open_delivery is None else f"delivery {open_delivery}"


def write_to_courier(uow: UnitOfWork, profile: Profile, courier: Courier) -> None:
    """Write that the courier was rejected, suspended, reinstated or closed, and why; after the move."""
    told = {"change": _WORDS[courier.state], "reason": courier.state_reason}
    tell(uow, Wording.COURIER_CHANGED, profile.email, profile.full_name, profile.language, **told)


async def _lock(uow: UnitOfWork, caller: Caller, command: CourierMove) -> tuple[Profile, Courier]:
    """The account and the courier, locked. Raises NotFound, also for the couriers of others unless an admin calls."""
    if command.courier_id is None:
        known = None if caller.user_id is None else await couriers.read_own(uow.connection, caller.user_id)
    else:
        known = await couriers.read(uow.connection, command.courier_id)
    if known is None or (known.user_id != caller.user_id and not caller.has(Role.ADMIN)):
        raise NotFound("courier", command.courier_id or "me")
    profile = await auth.lock_profile(uow, known.user_id)
    courier = await couriers.lock(uow.connection, known.courier_id)
    if courier is None:
        raise RuntimeError("couriers are never deleted")
    return profile, courier


def _stands(courier: Courier, command: CourierMove, wanted: CourierState) -> bool:
    return courier.state is wanted and courier.state_reason == command.reason


async def _activate(
    uow: UnitOfWork,
    caller: Caller,
    profile: Profile,
    courier: Courier,
    command: CourierMove,
    event: type[CourierMoved],
) -> Courier:
    auth.check_can_act(profile)
    await auth.grant_role(uow, profile.user_id, Role.COURIER)
    return await _move(uow, caller, courier, command.reason, CourierState.ACTIVE, event)


async def _move(
    uow: UnitOfWork, caller: Caller, courier: Courier, reason: str, state: CourierState, event: type[CourierMoved]
) -> Courier:
    """The courier in another state, with its event and its audit entry; the time of the first approval stays."""
    approve_time = uow.now if state is CourierState.ACTIVE else None
    after = replace(
        courier,
        state=state,
        state_reason=reason,
        approve_time=courier.approve_time or approve_time,
        update_time=uow.now,
        version=courier.version + 1,
        shift_id=None,
        shift_vehicle=None,
    )
    await couriers.save(uow.connection, after)
    uow.emit(event(courier_id=courier.courier_id, user_id=courier.user_id, state=state))
    await log.record(uow, caller, "courier", courier.courier_id, reason, before=courier, after=after)
    return after

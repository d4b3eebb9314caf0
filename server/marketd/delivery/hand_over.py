"""The courier's use cases at the two doors: picking up at the seller's, and closing with the buyer's code.

A wrong code has to be counted although the refusal rolls its use case back. So a code is judged in a unit of work of
its own, before the one that closes: it compares under the delivery's row lock and commits the count. However many
guesses come at once, they are judged one by one, and after MAX_WRONG_CODES none is looked at until the lock ends.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from marketd.delivery import courier_repository as couriers
from marketd.delivery import repository
from marketd.delivery import transition as moving
from marketd.delivery.errors import ProofCodeMismatch, ProofRequired, TimeInFuture, TooManyWrongCodes
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryClosed, DeliveryPickedUp
from marketd.delivery.states import Step, check_step
from marketd.delivery.values import DeliveryView
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.order import service as order

MAX_WRONG_CODES = 10
# With six digits, ten guesses an hour find a code in five years.
CODE_LOCK = timedelta(hours=1)
# A phone's clock may be a little ahead of ours.
CLOCK_LEEWAY = timedelta(seconds=60)


def happened_at(now: datetime, occurred_time: datetime | None, not_before: datetime | None) -> datetime:
    """When a step really happened: what the courier says, kept between the step before and now.

    A time that is behind the step before is no refusal, because a phone whose clock is behind must not keep its courier
    from working. Raises TimeInFuture beyond the leeway.
    """
    if occurred_time is None:
        return now
    if occurred_time > now + CLOCK_LEEWAY:
        raise TimeInFuture
    return min(max(occurred_time, not_before or occurred_time), now)


async def pick_up(
    uow: UnitOfWork, caller: Caller, delivery_id: UUID, occurred_time: datetime | None, pace: Pace
) -> DeliveryView:
    """The courier has the goods, and the order is OUT_FOR_DELIVERY.

    Raises NotFound unless it is the caller's delivery, IllegalTransition, TimeInFuture.
    """
    before = _own(await repository.lock(uow.connection, delivery_id), caller, delivery_id)
    transition = check_step(Step.PICK_UP, before.state)
    happened = happened_at(uow.now, occurred_time, before.assign_time)
    eta = pace.after_pickup(uow.now, before.pickup.point, before.dropoff.point)
    after = await repository.change(
        uow.connection,
        delivery_id,
        uow.now,
        {**moving.columns_of(transition, happened), **moving.eta_columns(eta)},
    )
    await order.out_for_delivery(uow, before.order_id)
    uow.emit(DeliveryPickedUp(**moving.carried(after, before.state, happened)))
    moving.emit_eta(uow, after)
    moving.tell_courier(uow, before, after)
    return after


class Verdict(StrEnum):
    """What judging a code found. NOT_JUDGED: the delivery is not in this courier's hands, which complete() refuses."""

    RIGHT = "RIGHT"
    NOT_JUDGED = "NOT_JUDGED"


@dataclass(frozen=True, slots=True)
class Refused:
    """A code that was wrong (`attempts_left`), or not looked at for now (`retry_after_seconds`)."""

    attempts_left: int | None = None
    retry_after_seconds: float = 0.0

    def refusal(self) -> ProofCodeMismatch | TooManyWrongCodes:
        """The refusal to raise once the count is committed."""
        if self.attempts_left is not None:
            return ProofCodeMismatch(self.attempts_left)
        return TooManyWrongCodes(self.retry_after_seconds)


async def judge_code(uow: UnitOfWork, caller: Caller, delivery_id: UUID, code: str) -> Verdict | Refused:
    """Compare the code and count a wrong one. The refusal is returned, not raised, so that the count is committed."""
    state = await repository.lock_code(uow.connection, delivery_id, caller.known_user_id)
    if state is None:
        return Verdict.NOT_JUDGED
    if state.locked_until is not None and state.locked_until > uow.now:
        return Refused(retry_after_seconds=(state.locked_until - uow.now).total_seconds())
    if _equal(code, state.code):
        return Verdict.RIGHT
    wrong = state.wrong_codes + 1
    left = MAX_WRONG_CODES - wrong
    if left > 0:
        await repository.write_wrong_codes(uow.connection, delivery_id, wrong, None)
    else:
        await repository.write_wrong_codes(uow.connection, delivery_id, 0, uow.now + CODE_LOCK)
    return Refused(attempts_left=left)


@dataclass(frozen=True, slots=True)
class CompleteDelivery:
    """Closes a delivery. `verdict` is judge_code's for this code; without one there is no code."""

    delivery_id: UUID
    verdict: Verdict | None
    media_ids: tuple[UUID, ...]
    occurred_time: datetime | None


async def complete(uow: UnitOfWork, caller: Caller, command: CompleteDelivery) -> DeliveryView:
    """The buyer has it: the delivery is CLOSED and DELIVERED, and so is the order.

    Raises NotFound unless it is the caller's delivery, IllegalTransition, ProofRequired, TimeInFuture.
    """
    delivery_id = command.delivery_id
    courier = await couriers.lock_of_account(uow.connection, caller.known_user_id)
    if courier is None:
        raise NotFound("delivery", delivery_id)
    before = _own(await repository.lock(uow.connection, delivery_id), caller, delivery_id)
    transition = check_step(Step.COMPLETE, before.state)
    if command.verdict is None:
        raise ProofRequired
    if command.verdict is Verdict.NOT_JUDGED:
        # It was picked up after the code was looked at: nobody compared, so nothing is closed.
        raise ConcurrentUpdate
    happened = happened_at(uow.now, command.occurred_time, before.pick_up_time)
    after = await repository.change(
        uow.connection,
        delivery_id,
        uow.now,
        {**moving.columns_of(transition, happened), "proof_media_ids": list(command.media_ids)},
    )
    await couriers.count_completed(uow.connection, courier.courier_id, delivery_id)
    await order.delivered(uow, before.order_id)
    uow.emit(DeliveryClosed(**moving.carried(after, before.state, happened)))
    moving.tell_courier(uow, before, after)
    return after


def _own(found: DeliveryView | None, caller: Caller, delivery_id: UUID) -> DeliveryView:
    if found is None or found.courier is None or found.courier.user_id != caller.user_id:
        raise NotFound("delivery", delivery_id)
    return found


def _equal(given: str, code: str) -> bool:
    """Compare in constant time; what people type around the digits does not count."""
    return hmac.compare_digest("".join(given.split()).encode(), code.encode())

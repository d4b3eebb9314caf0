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

from marketd.delivery import proofs
from marketd.delivery.errors import ProofCodeMismatch, ProofRequired, TooManyWrongCodes
from marketd.delivery.estimate import Pace
from marketd.delivery.events import DeliveryPickedUp
from marketd.delivery.model import TRANSITIONS, DeliveryOutcome, DeliveryState, check_end
from marketd.delivery.occurred import happened_at
from marketd.delivery.repository import couriers, deliveries
from marketd.delivery.transition import close, transition
from marketd.delivery.values import Delivery
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag
from marketd.order import service as order

MAX_WRONG_CODES = 10
# With six digits, ten guesses an hour find a code in five years.
CODE_LOCK = timedelta(hours=1)


async def pick_up(
    uow: UnitOfWork, caller: Caller, delivery_id: UUID, occurred_time: datetime | None, etag: str, pace: Pace
) -> Delivery:
    """The courier has the goods, and the order is OUT_FOR_DELIVERY; what is in the courier's hands stays as it is.

    Raises NotFound unless it is the caller's delivery, EtagMismatch, IllegalTransition, TimeInFuture, TimeBeforeStep.
    """
    before = _own(await deliveries.lock(uow.connection, delivery_id), caller, delivery_id)
    if before.state.is_picked_up:
        return before
    check_etag(etag, before.version)
    TRANSITIONS.check(before.state, DeliveryState.PICKED_UP)
    happened = happened_at(uow.now, occurred_time, before.state_time)
    await order.out_for_delivery(uow, before.order_id)
    return await transition(
        uow,
        before,
        DeliveryState.PICKED_UP,
        DeliveryPickedUp,
        occurred_time=happened,
        eta=pace.after_pickup(uow.now, before.pickup.point, before.dropoff.point),
    )


class CodeVerdict(StrEnum):
    """What judging a code found. NOT_JUDGED: the delivery is not in this courier's hands, which complete() refuses."""

    RIGHT = "RIGHT"
    NOT_JUDGED = "NOT_JUDGED"


@dataclass(frozen=True, slots=True)
class CodeRefused:
    """A code that was wrong (`attempts_left`), or not looked at for now (`retry_after_seconds`)."""

    attempts_left: int | None = None
    retry_after_seconds: float = 0.0

    def refusal(self) -> ProofCodeMismatch | TooManyWrongCodes:
        """The refusal to raise once the count is committed."""
        if self.attempts_left is not None:
            return ProofCodeMismatch(self.attempts_left)
        return TooManyWrongCodes(self.retry_after_seconds)


async def judge_code(uow: UnitOfWork, caller: Caller, delivery_id: UUID, code: str) -> CodeVerdict | CodeRefused:
    """Compare the code and count a wrong one. The refusal is returned, not raised, so that the count is committed."""
    kept = await deliveries.lock_code(uow.connection, delivery_id, caller.known_user_id)
    if kept is None:
        return CodeVerdict.NOT_JUDGED
    if kept.code_locked_until is not None and kept.code_locked_until > uow.now:
        return CodeRefused(retry_after_seconds=(kept.code_locked_until - uow.now).total_seconds())
    if _equal(code, kept.dropoff_code):
        return CodeVerdict.RIGHT
    wrong = kept.wrong_codes + 1
    left = MAX_WRONG_CODES - wrong
    if left > 0:
        await deliveries.save_wrong_codes(uow.connection, delivery_id, wrong, None)
    else:
        await deliveries.save_wrong_codes(uow.connection, delivery_id, 0, uow.now + CODE_LOCK)
    return CodeRefused(attempts_left=left)


@dataclass(frozen=True, slots=True)
class CompleteDelivery:
    """Closes a delivery. `verdict` is judge_code's for `code`; without one there is no code."""

    delivery_id: UUID
    code: str
    verdict: CodeVerdict | None
    media_ids: tuple[UUID, ...]
    occurred_time: datetime | None
    etag: str


async def complete(uow: UnitOfWork, caller: Caller, command: CompleteDelivery) -> Delivery:
    """The buyer has it: the delivery is CLOSED and DELIVERED, and so is the order. What was closed so stays as it is.

    Raises NotFound unless it is the caller's delivery, EtagMismatch, IllegalTransition, ProofRequired, TimeInFuture,
    TimeBeforeStep, ValidationFailed for pictures that the caller did not take for this.
    """
    delivery_id = command.delivery_id
    courier = await couriers.lock_own(uow.connection, caller.known_user_id)
    if courier is None:
        raise NotFound("delivery", delivery_id)
    before = _own(await deliveries.lock(uow.connection, delivery_id), caller, delivery_id)
    if _was_completed(before, command):
        return before
    check_etag(command.etag, before.version)
    check_end(before.state, DeliveryOutcome.DELIVERED)
    if command.verdict is None:
        raise ProofRequired
    if command.verdict is CodeVerdict.NOT_JUDGED:
        # It was picked up after the code was looked at: nobody compared, so nothing is closed.
        raise ConcurrentUpdate
    happened = happened_at(uow.now, command.occurred_time, before.state_time)
    await couriers.count_completed(uow.connection, courier.courier_id, before.shift_id)
    await order.delivered(uow, before.order_id)
    await proofs.hold(uow, caller, delivery_id, command.media_ids)
    return await close(
        uow, before, DeliveryOutcome.DELIVERED, occurred_time=happened, proof_media_ids=command.media_ids
    )


def _was_completed(delivery: Delivery, command: CompleteDelivery) -> bool:
    """Whether the same proof closed it already. A wrong code is refused like any for a closed delivery, uncounted."""
    return (
        delivery.outcome is DeliveryOutcome.DELIVERED
        and set(delivery.proof_media_ids) == set(command.media_ids)
        and _equal(command.code, delivery.dropoff_code)
    )


def _own(found: Delivery | None, caller: Caller, delivery_id: UUID) -> Delivery:
    if found is None or found.courier is None or found.courier.user_id != caller.user_id:
        raise NotFound("delivery", delivery_id)
    return found


def _equal(given: str, code: str) -> bool:
    """Compare in constant time; what people type around the digits does not count."""
    return hmac.compare_digest("".join(given.split()).encode(), code.encode())

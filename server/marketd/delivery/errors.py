"""The refusals of delivery."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from uuid import UUID

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import (
    AlreadyExists,
    FieldViolation,
    InUse,
    PreconditionViolation,
    Refusal,
    ValidationFailed,
)


class CourierOffShift(Refusal):
    """The courier takes no deliveries now: not ACTIVE, or no shift is running."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.COURIER_OFF_SHIFT

    def __init__(self, courier_id: UUID) -> None:
        super().__init__(
            "The courier is not on shift; a shift must be started first.",
            metadata={"courierId": str(courier_id)},
            preconditions=(PreconditionViolation("SHIFT", str(courier_id), "is not on shift"),),
        )


class ShiftBusy(InUse):
    """A delivery is still in the courier's hands."""

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(
            "shift",
            f"delivery {delivery_id}",
            f"You still have delivery {delivery_id}; close it before you end the shift.",
        )


class ProofRequired(Refusal):
    """The delivery was to be closed without the buyer's code."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PROOF_REQUIRED

    def __init__(self) -> None:
        super().__init__("Ask the buyer for the code and send it.", metadata={"required": "code"})


class ProofCodeMismatch(Refusal):
    """The code is not the buyer's."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PROOF_CODE_MISMATCH

    def __init__(self, attempts_left: int) -> None:
        super().__init__(
            f"This is not the buyer's code; ask for it again. You have {attempts_left} more tries.",
            metadata={"attemptsLeft": str(attempts_left)},
        )


class TooManyWrongCodes(Refusal):
    """So many wrong codes came for this delivery that none is looked at for a while, not even the right one."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.RATE_LIMITED

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__(
            f"Too many wrong codes for this delivery; wait {math.ceil(retry_after_seconds)} seconds before the next.",
            metadata={"rateClass": "CODE"},
            retry_after_seconds=retry_after_seconds,
        )


class TimeInFuture(ValidationFailed):
    """Something is said to have happened later than now."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("occurred_time", "must not be in the future; set the clock or leave it out"))


class TimeBeforeStep(ValidationFailed):
    """Something is said to have happened before the step that it follows."""

    def __init__(self, state_time: datetime) -> None:
        step = state_time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        super().__init__(
            FieldViolation(
                "occurred_time",
                f"must not be before the step before, which was at {step}; set the clock or leave it out",
            )
        )


class CourierBusy(InUse):
    """The courier still works: `shift 0190…` or `delivery 0190…`."""

    def __init__(self, held_by: str) -> None:
        super().__init__(
            "courier", held_by, f"The courier still has {held_by}. End the shift and what is open, then close."
        )


class OtherCourier(AlreadyExists):
    """The account has applied anew since this courier was closed."""

    def __init__(self, courier_id: UUID) -> None:
        super().__init__(
            "courier", "user_id", f"The account has courier {courier_id} by now. Close or reject that one first."
        )


class ReasonNeeded(ValidationFailed):
    """An admin closes somebody else's courier and does not say why."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("reason", "say why; the courier reads it"))

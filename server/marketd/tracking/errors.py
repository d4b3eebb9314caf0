"""The refusals of tracking."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import PreconditionViolation, Refusal


class StreamSuperseded(Refusal):
    """The courier has opened a newer stream, here or on another worker."""

    code = Code.ABORTED
    reason = Reason.STREAM_SUPERSEDED

    def __init__(self) -> None:
        super().__init__("A newer stream of this courier has taken over; do not connect this one again.")


class HelloExpected(Refusal):
    """The first message of an uplink says hello, and no other does."""

    code = Code.INVALID_ARGUMENT
    reason = Reason.MALFORMED_REQUEST

    def __init__(self) -> None:
        super().__init__("The first message of the stream must be hello, and only the first.")


class OffShift(Refusal):
    """Positions are taken from couriers who are on shift, and from nobody else."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.COURIER_OFF_SHIFT

    def __init__(self, courier_id: UUID) -> None:
        super().__init__(
            "You are not on shift; start one before you report where you are.",
            metadata={"courierId": str(courier_id)},
            preconditions=(PreconditionViolation("SHIFT", str(courier_id), "no shift is running"),),
        )


class WatcherTooSlow(Refusal):
    """More events waited for the watcher than are kept for one; none may be dropped, so the stream ends."""

    code = Code.RESOURCE_EXHAUSTED
    reason = Reason.SLOW_CONSUMER

    def __init__(self) -> None:
        super().__init__("The stream was not read for too long; open it again.", retry_after_seconds=1.0)

"""The refusals of seller."""

from __future__ import annotations

from uuid import UUID

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, PreconditionViolation, Refusal, ValidationFailed


class SellerClosed(Refusal):
    """The seller does not sell at present; slices above say so when somebody wants to sell or buy there."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.SELLER_CLOSED

    def __init__(self, seller_id: UUID) -> None:
        super().__init__(
            "This seller does not sell at present; come back later or choose another one.",
            metadata={"sellerId": str(seller_id)},
            preconditions=(PreconditionViolation("SELLER_CLOSED", str(seller_id), "does not sell at present"),),
        )


class HandleTaken(AlreadyExists):
    """Another shop has the handle, closed ones included."""

    def __init__(self, handle: str) -> None:
        super().__init__("seller", "handle", f"Another shop has the handle {handle}; choose another one, or give none.")


class ShopExists(AlreadyExists):
    """The account has a shop that is not closed."""

    def __init__(self, handle: str) -> None:
        super().__init__("seller", "owner_user_id", f"You have a shop already: {handle}.")


class TimeZoneUnknown(ValidationFailed):
    """The time zone is none of the IANA database."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("seller.time_zone", "is not the name of an IANA time zone, such as Europe/Berlin")
        )

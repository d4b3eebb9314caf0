"""The refusals of seller."""

from __future__ import annotations

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


class SellerClosed(Refusal):
    """The seller does not sell at present; slices above say so to whoever looks after its products.

    over: it is closed or was turned down, so that it gets no products either.
    """

    code = Code.FAILED_PRECONDITION
    reason = Reason.SELLER_CLOSED

    def __init__(self, seller_id: UUID, *, over: bool = False) -> None:
        super().__init__(
            "This shop is closed or was turned down and gets no products; a closed one can be reinstated by an admin."
            if over
            else "This shop waits for approval or is suspended, so nothing of it can be published; keep drafts until an"
            " admin lets it sell.",
            metadata={"sellerId": str(seller_id)},
            preconditions=(PreconditionViolation("SELLER_CLOSED", str(seller_id), "does not sell at present"),),
        )


class HandleTaken(AlreadyExists):
    """Another shop has the handle, closed ones included."""

    def __init__(self, handle: str) -> None:
        super().__init__("seller", "handle", f"Another shop has the handle {handle}; choose another one, or give none.")


class ShopExists(AlreadyExists):
    """The account has a shop that is neither closed nor rejected."""

    def __init__(self, handle: str) -> None:
        super().__init__("seller", "owner_user_id", f"You have a shop already: {handle}.")


class OtherShop(AlreadyExists):
    """The owner has opened another shop since this one was closed."""

    def __init__(self, handle: str) -> None:
        super().__init__(
            "seller", "owner_user_id", f"The owner has another shop by now: {handle}. Close or reject that one first."
        )


class SellerHeld(InUse):
    """The shop has something that is not over: `order K7QD-2XMP`."""

    def __init__(self, held_by: str) -> None:
        super().__init__(
            "seller", held_by, f"The shop still has {held_by}. Finish, cancel or reject what is open, then close it."
        )


class ReasonNeeded(ValidationFailed):
    """An admin closes somebody else's shop and does not say why."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("reason", "say why; the owner gets a letter with it"))


class TimeZoneUnknown(ValidationFailed):
    """The time zone is none of the IANA database."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("seller.time_zone", "is not the name of an IANA time zone, such as Europe/Berlin")
        )

"""What keeps somebody from reviewing."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from marketd.kernel.call.refusals import AlreadyExists, FieldViolation, IllegalTransition, ValidationFailed
from marketd.order.model import OrderState


class NotDelivered(IllegalTransition):
    """What was not delivered cannot be reviewed."""

    def __init__(self, order_number: str, state: OrderState, allowed: Sequence[str]) -> None:
        said = f"Order {order_number} is {state.value} and was not delivered; review it once it is."
        super().__init__("order", state.value, allowed, said)


class NothingDelivered(IllegalTransition):
    """All pieces of the line were cancelled, so nobody got any."""

    def __init__(self, state: OrderState, allowed: Sequence[str]) -> None:
        said = "All of this line was cancelled and nothing of it delivered; review another line of the order."
        super().__init__("order", state.value, allowed, said)


class ReviewExists(AlreadyExists):
    """The line, or of a shop and a courier the order, is reviewed already."""

    def __init__(self, review_id: UUID, field: str) -> None:
        super().__init__(
            "review",
            field,
            f"You have reviewed this already, in review {review_id}; change that one, or delete it and write anew.",
            existing_id=review_id,
        )


class OwnWork(ValidationFailed):
    """Nobody reviews what the own shop has sold, or the own delivery."""

    def __init__(self, what: str) -> None:
        super().__init__(FieldViolation("review.order_item_id", f"is {what}, which is for others to review"))


class NoCourier(ValidationFailed):
    """Nobody brought the order."""

    def __init__(self) -> None:
        super().__init__(FieldViolation("review.kind", "must not be of a courier: nobody brought this order"))

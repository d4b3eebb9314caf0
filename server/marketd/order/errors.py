"""The refusals of orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import (
    FieldViolation,
    IllegalTransition,
    PreconditionViolation,
    Refusal,
    ValidationFailed,
)
from marketd.kernel.values.money import Money


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A variant whose price is not the quoted one any more."""

    variant_id: UUID
    quoted: Money
    current: Money


class PriceChanged(Refusal):
    """The order would cost something else than the buyer has seen."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.PRICE_CHANGED

    def __init__(self, expected: Money, current: Money, changed: Sequence[PriceDifference] = ()) -> None:
        super().__init__(
            f"The total is {current}, not {expected}; look at the new prices with QuoteOrder and order that quote.",
            metadata={"expected": str(expected), "actual": str(current)},
            preconditions=[
                PreconditionViolation("PRICE", str(line.variant_id), f"was {line.quoted}, is {line.current}")
                for line in changed
            ],
        )


class ShopClosed(Refusal):
    """A seller in the quote takes no orders any more."""

    code = Code.FAILED_PRECONDITION
    reason = Reason.SELLER_CLOSED

    def __init__(self, seller_id: UUID) -> None:
        super().__init__(
            "A seller in the cart takes no orders now; take its items out of the cart and ask for a new quote.",
            metadata={"sellerId": str(seller_id)},
            preconditions=(PreconditionViolation("SELLER", str(seller_id), "takes no orders now"),),
        )


class TooManyCancellations(ValidationFailed):
    """Parts of the order were cancelled as often as one order takes."""

    def __init__(self) -> None:
        super().__init__(
            FieldViolation("lines", "must be left out: so many parts are cancelled that only the whole rest can be")
        )


class TooManyPieces(ValidationFailed):
    """More of a line is to be cancelled than is left."""

    def __init__(self, index: int, left: int) -> None:
        super().__init__(
            FieldViolation(f"lines[{index}].quantity", f"must be at most {left}: that is what is left of the line")
        )


class NotPaid(IllegalTransition):
    """There is no receipt of what nobody has paid."""

    def __init__(self, state: str, *, is_waiting: bool) -> None:
        wait = "is not paid yet; there is a receipt once it is." if is_waiting else "was never paid; it has no receipt."
        super().__init__("order", state, (), f"The order {wait}")

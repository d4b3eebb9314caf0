"""The refusals of inventory."""

from __future__ import annotations

from collections.abc import Sequence

from marketd.inventory.values import Shortage
from marketd.kernel.call.reasons import Code, Reason
from marketd.kernel.call.refusals import PreconditionViolation, Refusal


class InsufficientStock(Refusal):
    """Fewer pieces are there than asked for. Names every short line; the metadata is the first one's.

    shortages: at least one. message: in place of the words for somebody who buys.
    """

    code = Code.FAILED_PRECONDITION
    reason = Reason.INSUFFICIENT_STOCK

    def __init__(self, shortages: Sequence[Shortage], message: str = "") -> None:
        first = shortages[0]
        super().__init__(
            message
            or f"Only {first.available} of the {first.requested} pieces asked for can be had"
            + (f", and {len(shortages) - 1} more lines are short" if len(shortages) > 1 else "")
            + "; ask for fewer.",
            metadata={
                "variantId": str(first.variant_id),
                "requested": str(first.requested),
                "available": str(first.available),
            },
            preconditions=[
                PreconditionViolation(
                    "INSUFFICIENT_STOCK",
                    str(short.variant_id),
                    f"requested {short.requested}, available {short.available}",
                )
                for short in shortages
            ],
        )
        self.shortages = tuple(shortages)

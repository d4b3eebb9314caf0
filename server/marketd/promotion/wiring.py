"""How promotions are put together."""

from __future__ import annotations

from typing import Final

from marketd.kernel.slice import Parts, Slice
from marketd.promotion import invariants
from marketd.promotion.ports import BuyerHistory, CallersCart
from marketd.promotion.servicer import PromotionServicer

SERVICERS: Final = (PromotionServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, callers_cart: CallersCart, history: BuyerHistory) -> Slice:
    """The part of promotions in a process. `callers_cart` knows carts, `history` orders."""
    return Slice(
        servicers=[
            PromotionServicer(
                tx=parts.tx,
                pager=parts.pager,
                currency=parts.settings.currency,
                callers_cart=callers_cart,
                history=history,
            )
        ]
    )

"""How the cart is put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from marketd.cart.ports import DeliveryQuoter
from marketd.cart.pricing import Pricing
from marketd.cart.quotes.quote import QuoteTerms
from marketd.cart.quotes.sweeps import sweep_quotes
from marketd.cart.quotes.tokens import quote_tokens_of
from marketd.cart.servicer import CartServicer
from marketd.cart.sweeps import sweep_guest_carts
from marketd.cart.watch import CartPlaces
from marketd.cart.watchers import CartWatchers
from marketd.kernel.call.guest_tokens import guest_tokens_of
from marketd.kernel.db.invariants import Invariant
from marketd.kernel.slice import Parts, Slice, Sweep
from marketd.kernel.values.tax import rate_of
from marketd.promotion.ports import BuyerHistory

SERVICERS: Final = (CartServicer,)
INVARIANTS: Final[tuple[Invariant, ...]] = ()


def build(parts: Parts, *, quoter: Callable[[Parts], DeliveryQuoter], history: BuyerHistory) -> Slice:
    """The cart's part of a process. `quoter` gives who says what bringing a package costs; `history` is who knows
    whether somebody has ordered before.
    """
    settings = parts.settings
    watchers = CartWatchers(parts.tx, Pricing(settings.currency, history))
    return Slice(
        servicers=[
            CartServicer(
                tx=parts.tx,
                quoter=quoter(parts),
                quotes=quote_tokens_of(settings),
                guests=guest_tokens_of(settings),
                places=CartPlaces(settings.derive("cart-watches"), parts.clock),
                watchers=watchers,
                clock=parts.clock,
                terms=QuoteTerms(
                    currency=settings.currency,
                    lifetime=settings.quote_lifetime,
                    order_ahead=settings.order_ahead,
                    tax_rate=rate_of(settings.tax_rate),
                    media_url=settings.media_url,
                    history=history,
                ),
            )
        ],
        tasks=[watchers.run],
        sweeps=[
            Sweep("cart.sweep_quotes", sweep_quotes),
            Sweep("cart.sweep_guests", partial(sweep_guest_carts, lifetime=settings.guest_cart_lifetime)),
        ],
    )

"""How order is put together."""

from __future__ import annotations

from typing import Final

from marketd.cart.quotes.tokens import quote_tokens_of
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.slice import Parts, Slice
from marketd.order import invariants
from marketd.order.expire import EXPIRE, expire_group
from marketd.order.servicer import OrderServicer
from marketd.payment.providers.choose import providers_of

SERVICERS: Final = (OrderServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts) -> Slice:
    """Order's part of a process."""
    settings = parts.settings
    return Slice(
        servicers=[
            OrderServicer(
                tx=parts.tx,
                pager=parts.pager,
                resume=ResumeTokens(settings.derive("order-watches"), "order-watch", parts.clock),
                feed=parts.feed,
                quotes=quote_tokens_of(settings),
                providers=providers_of(parts.tx),
                unpaid_lifetime=settings.unpaid_order_lifetime,
                currency=settings.currency,
            )
        ],
        jobs={EXPIRE: expire_group},
    )

"""How order is put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from marketd.cart.quotes.tokens import quote_tokens_of
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.events.watch import ResumeTokens
from marketd.kernel.slice import Parts, Slice
from marketd.order import invariants
from marketd.order.end import PAY_FREE
from marketd.order.expire import EXPIRE, GIVE_UP, expire_group, give_up_order
from marketd.order.follow_accounts import (
    ACCOUNT_DELETED,
    FORGET_BUYER,
    FORGET_SHOP,
    account_deleted,
    forget_buyer,
    forget_shop,
)
from marketd.order.follow_sales import CANCELLED, PAID, REFUNDED, order_cancelled, order_paid, order_refunded
from marketd.order.follow_sellers import (
    END_ABANDONED,
    FIND_ABANDONED,
    SELLER_SUSPENDED,
    end_abandoned,
    find_abandoned,
    seller_suspended,
)
from marketd.order.live.hub import OrderHub
from marketd.order.live.places import OrdersPlaceTokens
from marketd.order.pay import PaidOrders
from marketd.order.place import PlaceTerms
from marketd.order.receipts.render import ReceiptRenderer
from marketd.order.servicer import OrderServicer
from marketd.payment.ports import Providers

SERVICERS: Final = (OrderServicer,)
INVARIANTS: Final = invariants.INVARIANTS


def build(parts: Parts, *, providers: Callable[[Transactor], Providers]) -> Slice:
    """Order's part of a process. `providers` gives those by which an order may be paid."""
    settings = parts.settings
    hub = OrderHub(parts.tx, parts.feed)
    parts.tx.listen(hub.committed)
    return Slice(
        servicers=[
            OrderServicer(
                tx=parts.tx,
                pager=parts.pager,
                resume=ResumeTokens(settings.derive("order-watches"), "order-watch", parts.clock),
                feed=parts.feed,
                hub=hub,
                places=OrdersPlaceTokens(settings.derive("orders-watches"), parts.clock),
                clock=parts.clock,
                quotes=quote_tokens_of(settings),
                providers=providers(parts.tx),
                receipts=ReceiptRenderer(settings.shop_name, settings.mail_templates),
                terms=PlaceTerms(settings.unpaid_order_lifetime, settings.order_accept_lifetime),
                currency=settings.currency,
            )
        ],
        handlers=[
            (ACCOUNT_DELETED, "order.account_deleted", account_deleted),
            (SELLER_SUSPENDED, "order.seller_suspended", seller_suspended),
            (PAID, "order.sales_paid", order_paid),
            (REFUNDED, "order.sales_refunded", order_refunded),
            *((cancelled, "order.sales_cancelled", order_cancelled) for cancelled in CANCELLED),
        ],
        tasks=[hub.run],
        jobs={
            EXPIRE: expire_group,
            GIVE_UP: give_up_order,
            PAY_FREE: PaidOrders.of(settings).pay_free,
            FORGET_BUYER: forget_buyer,
            FORGET_SHOP: forget_shop,
            FIND_ABANDONED: find_abandoned,
            END_ABANDONED: end_abandoned,
        },
    )

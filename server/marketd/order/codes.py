"""The promo codes of orders: what a quote's promotions are on its orders, and when their uses go back.

A use counts once for a group, and goes back when none of its orders holds the code any more (Order.holds_promotions).
Whoever ends an order has locked its group, so two orders that end at once see each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from marketd.kernel.db.uow import UnitOfWork
from marketd.order.discounts import OrderPromotion
from marketd.order.values import Order
from marketd.promotion import service as promotions
from marketd.promotion.values import Promotion


def promotions_of(
    quoted: Sequence[Promotion], seller_id: UUID, item_ids: Mapping[UUID, UUID]
) -> tuple[OrderPromotion, ...]:
    """What a quote's promotions take off one package; those that take nothing off it are left out.

    item_ids: of the new order's lines, by variant_id.
    """
    found: list[OrderPromotion] = []
    for promotion in quoted:
        shares = {
            item_id: share
            for variant_id, item_id in item_ids.items()
            if (share := promotion.line_shares.get(variant_id, 0))
        }
        delivery = promotion.delivery_shares.get(seller_id, 0)
        if shares or delivery:
            found.append(
                OrderPromotion(
                    promotion.promo_code_id, promotion.code, promotion.kind, promotion.funded_by, shares, delivery
                )
            )
    return tuple(found)


async def give_back_codes(uow: UnitOfWork, orders: Sequence[Order], ended: Iterable[Order]) -> None:
    """Give back the uses of the codes of `ended` that no order of the group holds any more.

    orders: all of the locked group as they were; `ended`: those of them that ended, as they are now. Before the stock's
    rows, which come after the codes in the order of all locks.
    """
    now = {order.order_id: order for order in orders} | {order.order_id: order for order in ended}
    carried = {promotion.promo_code_id for order in ended for promotion in order.promotions}
    if not carried:
        return
    held = {
        promotion.promo_code_id for order in now.values() if order.holds_promotions for promotion in order.promotions
    }
    if gone := sorted(carried - held):
        await promotions.give_back(uow, orders[0].order_group_id, gone)

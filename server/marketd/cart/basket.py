"""What promotions see of a cart: promotion's CallersCart."""

from __future__ import annotations

from marketd.cart import repository
from marketd.cart.errors import GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import promo_lines
from marketd.catalog import service as catalog
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.promotion.values import Basket


async def callers_cart(unit: UnitOfWork | ReadUnit, caller: Caller) -> Basket:
    """What is on the caller's cart that can be bought, and the codes on it; nothing of one that never held anything.
    Raises GuestCartGone.
    """
    owner = CartOwner.of(caller)
    cart = await repository.read_cart(unit.connection, owner)
    if cart is None:
        if owner.is_guest:
            raise GuestCartGone
        return Basket((), ())
    offers = await catalog.read_offers(unit.connection, [item.variant_id for item in cart.items])
    lines = promo_lines((offers.get(item.variant_id), item.quantity) for item in cart.items)
    return Basket(tuple(lines), cart.promo_code_ids)

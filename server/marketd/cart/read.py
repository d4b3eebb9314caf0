"""Showing the caller's cart, with the prices and the stock of the moment. A cart is made when it is first looked at."""

from __future__ import annotations

from uuid import UUID

from marketd.cart import repository
from marketd.cart.values import Cart, PricedCart, price_cart
from marketd.catalog import service as catalog
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork


async def find_cart(unit: UnitOfWork | ReadUnit, caller: Caller, currency: str) -> PricedCart | None:
    """The caller's cart; None before it ever held anything."""
    cart = await repository.read_cart(unit.connection, caller.known_user_id)
    return None if cart is None else await _priced(unit, cart, currency)


async def open_cart(uow: UnitOfWork, caller: Caller, currency: str) -> PricedCart:
    """The caller's cart, made when there is none."""
    await repository.open_cart(uow.connection, caller.known_user_id, uow.now)
    return await own_cart(uow, caller.known_user_id, currency)


async def own_cart(uow: UnitOfWork, user_id: UUID, currency: str) -> PricedCart:
    """The account's cart, whose row this transaction has locked or made."""
    cart = await repository.read_cart(uow.connection, user_id)
    if cart is None:
        raise RuntimeError("the cart was deleted while its row was locked")
    return await _priced(uow, cart, currency)


async def _priced(unit: UnitOfWork | ReadUnit, cart: Cart, currency: str) -> PricedCart:
    offers = await catalog.read_offers(unit.connection, [item.variant_id for item in cart.items])
    return price_cart(cart, offers, currency)

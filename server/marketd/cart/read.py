"""Showing the owner's cart, with the prices and the stock of the moment.

An account's cart is made when it is first looked at. A guest's was made with its token, and never is again: once it is
gone, every use of it raises GuestCartGone.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from marketd.cart import repository
from marketd.cart.errors import GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.values import Cart, PricedCart, price_cart
from marketd.catalog import service as catalog
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id


async def find_cart(unit: UnitOfWork | ReadUnit, owner: CartOwner, currency: str) -> PricedCart | None:
    """The owner's cart; None before an account's ever held anything. Raises GuestCartGone."""
    cart = await repository.read_cart(unit.connection, owner)
    if cart is None:
        if owner.is_guest:
            raise GuestCartGone
        return None
    return await price(unit, cart, currency)


async def create_guest_cart(uow: UnitOfWork, currency: str) -> PricedCart:
    """A new guest's cart, which is empty."""
    cart_id = new_id()
    await repository.open_guest_cart(uow.connection, cart_id, uow.now)
    return await own_cart(uow, CartOwner.guest(cart_id), currency)


async def open_cart(uow: UnitOfWork, owner: CartOwner, currency: str) -> PricedCart:
    """The owner's cart; an account's is made when there is none. Raises GuestCartGone."""
    if owner.user_id is not None:
        await repository.open_cart(uow.connection, owner.user_id, uow.now)
    return await own_cart(uow, owner, currency)


async def own_cart(uow: UnitOfWork, owner: CartOwner, currency: str) -> PricedCart:
    """The owner's cart, which this transaction has locked or made. Raises GuestCartGone."""
    cart = await find_cart(uow, owner, currency)
    if cart is None:
        raise RuntimeError("the cart was deleted while its row was locked")
    return cart


async def read_carts(unit: UnitOfWork | ReadUnit, cart_ids: Collection[UUID], currency: str) -> dict[UUID, PricedCart]:
    """Those of these carts that are there, whoever owns them: two statements for all of them."""
    carts = await repository.read_carts(unit.connection, cart_ids)
    variant_ids = {item.variant_id for cart in carts.values() for item in cart.items}
    offers = await catalog.read_offers(unit.connection, list(variant_ids))
    return {cart_id: price_cart(cart, offers, currency) for cart_id, cart in carts.items()}


async def price(unit: UnitOfWork | ReadUnit, cart: Cart, currency: str) -> PricedCart:
    """The cart with what its items cost now and what stands in their way."""
    offers = await catalog.read_offers(unit.connection, [item.variant_id for item in cart.items])
    return price_cart(cart, offers, currency)

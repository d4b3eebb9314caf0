"""Showing the owner's cart, with the prices and the stock of the moment.

An account's cart is made when it is first looked at. A guest's was made with its token, and never is again: once it is
gone, every use of it raises GuestCartGone.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from marketd.auth import service as auth
from marketd.cart import repository
from marketd.cart.errors import GuestCartGone
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing, price, price_lines
from marketd.cart.values import PricedCart
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id


async def find_cart(unit: UnitOfWork | ReadUnit, owner: CartOwner, pricing: Pricing) -> PricedCart | None:
    """The owner's cart; None before an account's ever held anything. Raises GuestCartGone."""
    cart = await _read_cart(unit, owner, pricing)
    if cart is None and owner.is_guest:
        raise GuestCartGone
    return cart


async def find_lines(unit: UnitOfWork | ReadUnit, owner: CartOwner, pricing: Pricing) -> PricedCart | None:
    """`find_cart` without what the promo codes do, for whoever evaluates them with more than the cart."""
    cart = await repository.read_cart(unit.connection, owner)
    if cart is None and owner.is_guest:
        raise GuestCartGone
    return None if cart is None else (await price_lines(unit, [cart], pricing))[0]


async def create_guest_cart(uow: UnitOfWork, pricing: Pricing) -> PricedCart:
    """A new guest's cart, which is empty."""
    cart_id = new_id()
    await repository.open_guest_cart(uow.connection, cart_id, uow.now)
    return await own_cart(uow, CartOwner.guest(cart_id), pricing)


async def hold_account(uow: UnitOfWork, user_id: UUID) -> None:
    """Keep the account from ending before this transaction does, so that whoever deletes it finds the cart that is made
    here. Raises ConcurrentUpdate for one that is not active: whoever calls again is told so at the door, which knows a
    moment later.
    """
    try:
        await auth.hold_active(uow, user_id)
    except NotFound:
        raise ConcurrentUpdate from None


async def make_cart(uow: UnitOfWork, user_id: UUID) -> None:
    """Make the account's cart unless it has one; no cart is locked. Raises ConcurrentUpdate."""
    await hold_account(uow, user_id)
    await repository.open_cart(uow.connection, user_id, uow.now)


async def open_cart(uow: UnitOfWork, owner: CartOwner, pricing: Pricing) -> PricedCart:
    """The owner's cart; an account's is made when there is none. A guest's must be locked. Raises ConcurrentUpdate."""
    if owner.user_id is not None:
        await make_cart(uow, owner.user_id)
    return await own_cart(uow, owner, pricing)


async def own_cart(uow: UnitOfWork, owner: CartOwner, pricing: Pricing) -> PricedCart:
    """The owner's cart, which this transaction has locked or made."""
    cart = await _read_cart(uow, owner, pricing)
    if cart is None:
        raise RuntimeError("the cart was deleted while its row was locked")
    return cart


async def read_carts(
    unit: UnitOfWork | ReadUnit, cart_ids: Collection[UUID], pricing: Pricing
) -> dict[UUID, PricedCart]:
    """Those of these carts that are there, whoever owns them: two statements for all of them, and further ones for each
    with promo codes.
    """
    carts = await repository.read_carts(unit.connection, cart_ids)
    return {priced.cart.cart_id: priced for priced in await price(unit, list(carts.values()), pricing)}


async def _read_cart(unit: UnitOfWork | ReadUnit, owner: CartOwner, pricing: Pricing) -> PricedCart | None:
    cart = await repository.read_cart(unit.connection, owner)
    return None if cart is None else (await price(unit, [cart], pricing))[0]

"""Changing the owner's cart: adding, setting a quantity, removing, clearing.

A change locks the cart's row first, so changes of one cart are one after the other and its etag tells them apart. What
changes nothing leaves the etag as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.cart import repository
from marketd.cart.errors import CartTooLong, GuestCartGone, LineTooLarge
from marketd.cart.model import MAX_LINES
from marketd.cart.owner import CartOwner
from marketd.cart.pricing import Pricing
from marketd.cart.read import hold_account, make_cart, open_cart, own_cart
from marketd.cart.values import LockedCart, PricedCart
from marketd.catalog import service as catalog
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.etags import check_etag


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add `quantity` (1..999) pieces of a variant."""

    variant_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class AddedItem:
    """The cart after the addition, and the item that holds the variant."""

    cart: PricedCart
    item_id: UUID


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """Set an item to `quantity` (1..999) pieces, whatever happened to the cart when `cart_etag` is empty."""

    item_id: UUID
    quantity: int
    cart_etag: str


@dataclass(frozen=True, slots=True)
class RemoveItem:
    """Remove an item; with `allow_missing` one that is not there is no reason to refuse."""

    item_id: UUID
    allow_missing: bool


async def add_item(uow: UnitOfWork, owner: CartOwner, command: AddItem, pricing: Pricing) -> AddedItem:
    """Add pieces of a variant that is for sale; concurrent adds sum up.

    Raises NotFound, LineTooLarge, CartTooLong and GuestCartGone. Stock is not looked at; the item's problems tell of
    it.
    """
    offer = (await catalog.read_offers(uow.connection, [command.variant_id])).get(command.variant_id)
    if offer is None or not offer.is_buyable:
        await _find_guest(uow, owner)
        raise NotFound("variant", command.variant_id)
    item_id = await repository.add_item(
        uow.connection, owner, command.variant_id, command.quantity, offer.price, uow.now
    )
    if item_id is None:
        await _find_guest(uow, owner)
        if owner.user_id is not None:
            await hold_account(uow, owner.user_id)
        raise LineTooLarge
    # Read again under the lock: whatever was added at the same time is in.
    cart = await own_cart(uow, owner, pricing)
    if len(cart.items) > MAX_LINES:
        raise CartTooLong
    return AddedItem(cart, item_id)


async def set_quantity(uow: UnitOfWork, owner: CartOwner, command: SetQuantity, pricing: Pricing) -> PricedCart:
    """Set an item's quantity. Raises NotFound for one that is not in the cart, EtagMismatch and GuestCartGone."""
    locked = await lock(uow, owner)
    if locked is None:
        raise NotFound("cart item", command.item_id)
    cart = await own_cart(uow, owner, pricing)
    line = next((one for one in cart.items if one.item.item_id == command.item_id), None)
    if line is None:
        raise NotFound("cart item", command.item_id)
    check_etag(command.cart_etag, locked.version)
    # The price counts as well: whoever sets the same quantity again has seen the new one.
    if line.item.quantity == command.quantity and line.item.price == line.unit_price:
        return cart
    price = None if line.offer is None else line.offer.price
    await repository.set_quantity(uow.connection, locked.cart_id, command.item_id, command.quantity, price, uow.now)
    return await own_cart(uow, owner, pricing)


async def remove_item(uow: UnitOfWork, owner: CartOwner, command: RemoveItem, pricing: Pricing) -> PricedCart:
    """Remove an item. Raises GuestCartGone, and NotFound for one that is not in the cart, unless it may be missing."""
    locked = await lock(uow, owner)
    gone = locked is not None and await repository.delete_items(
        uow.connection, locked.cart_id, command.item_id, uow.now
    )
    if not gone and not command.allow_missing:
        raise NotFound("cart item", command.item_id)
    if locked is None:
        return await open_cart(uow, owner, pricing)
    return await own_cart(uow, owner, pricing)


async def clear(uow: UnitOfWork, owner: CartOwner, pricing: Pricing) -> PricedCart:
    """Remove all items and promo codes; an empty cart is left as it is. Raises GuestCartGone."""
    locked = await lock(uow, owner)
    if locked is None:
        return await open_cart(uow, owner, pricing)
    await repository.delete_items(uow.connection, locked.cart_id, None, uow.now)
    return await own_cart(uow, owner, pricing)


async def lock(uow: UnitOfWork, owner: CartOwner) -> LockedCart | None:
    """Lock the owner's cart; None before an account's ever held anything. Raises GuestCartGone."""
    locked = await repository.lock(uow.connection, owner)
    if locked is None and owner.is_guest:
        raise GuestCartGone
    return locked


async def lock_open(uow: UnitOfWork, owner: CartOwner) -> LockedCart:
    """Lock the owner's cart, which is made for an account that has none. Raises GuestCartGone."""
    locked = await lock(uow, owner)
    if locked is None and owner.user_id is not None:
        await make_cart(uow, owner.user_id)
        locked = await lock(uow, owner)
    if locked is None:
        raise RuntimeError("a cart was deleted as it was made")
    return locked


async def _find_guest(uow: UnitOfWork, owner: CartOwner) -> None:
    """Raises GuestCartGone, before anything else is said to a guest whose cart is gone."""
    if owner.is_guest:
        await lock(uow, owner)

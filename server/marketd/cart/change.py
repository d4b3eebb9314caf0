"""The cart's use cases: show, add, change, remove, clear, and what PlaceOrder takes out.

Everything runs in the bare dress. A change locks the cart's row first, so changes of one cart are one after the other
and its etag tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from marketd.cart import repository, values
from marketd.cart.errors import CartTooLong, LineTooLarge
from marketd.cart.model import MAX_LINES
from marketd.cart.values import Cart, StoredCart
from marketd.catalog import service as catalog
from marketd.inventory import service as inventory
from marketd.inventory.model import Line
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.etags import check_etag


@dataclass(frozen=True, slots=True)
class AddItem:
    """Add `quantity` (1..999) pieces of a variant."""

    variant_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Added:
    """The cart after the addition, and the line that holds the variant."""

    cart: Cart
    item_id: UUID


@dataclass(frozen=True, slots=True)
class SetQuantity:
    """Set a line to `quantity` (1..999) pieces; `etag` is the cart's, empty for whatever happened to it."""

    item_id: UUID
    quantity: int
    etag: str


async def find_cart(unit: UnitOfWork | ReadUnit, caller: Caller, currency: str) -> Cart | None:
    """The caller's cart with prices and problems of the moment; None before it ever held anything."""
    stored = await repository.read_cart(unit.connection, caller.known_user_id)
    return None if stored is None else await _view(unit, stored, currency)


async def open_cart(uow: UnitOfWork, caller: Caller, currency: str) -> Cart:
    """The caller's cart, made when there is none."""
    await repository.open_cart(uow.connection, caller.known_user_id, uow.now)
    return await _own_cart(uow, caller.known_user_id, currency)


async def add_item(uow: UnitOfWork, caller: Caller, command: AddItem, currency: str) -> Added:
    """Add pieces of a variant that is for sale; concurrent adds sum up.

    Raises NotFound, LineTooLarge and CartTooLong. Stock is not looked at; the line's problems tell of it.
    """
    offer = (await catalog.read_offers(uow.connection, [command.variant_id])).get(command.variant_id)
    if offer is None or not offer.is_buyable:
        raise NotFound("variant", command.variant_id)
    item_id = await repository.add_line(
        uow.connection, caller.known_user_id, command.variant_id, command.quantity, offer.price, uow.now
    )
    if item_id is None:
        raise LineTooLarge
    # Read again under the lock: whatever was added at the same time is in.
    cart = await _own_cart(uow, caller.known_user_id, currency)
    if len(cart.lines) > MAX_LINES:
        raise CartTooLong
    return Added(cart, item_id)


async def set_quantity(uow: UnitOfWork, caller: Caller, command: SetQuantity, currency: str) -> Cart:
    """Set a line's quantity. Raises NotFound for a line that is not in the caller's cart, and EtagMismatch."""
    touched = await repository.touch(uow.connection, caller.known_user_id, uow.now)
    if touched is None:
        raise NotFound("cart item", command.item_id)
    cart_id, version = touched
    stored = await repository.read_cart_by_id(uow.connection, cart_id)
    line = next((one for one in stored.lines if one.item_id == command.item_id), None) if stored is not None else None
    if line is None:
        raise NotFound("cart item", command.item_id)
    check_etag(command.etag, version)
    offer = (await catalog.read_offers(uow.connection, [line.variant_id])).get(line.variant_id)
    await repository.set_line(
        uow.connection, cart_id, line.item_id, command.quantity, None if offer is None else offer.price, uow.now
    )
    return await _own_cart(uow, caller.known_user_id, currency)


async def remove_item(uow: UnitOfWork, caller: Caller, item_id: UUID, currency: str) -> Cart:
    """Remove a line. Raises NotFound for one that is not in the caller's cart."""
    touched = await repository.touch(uow.connection, caller.known_user_id, uow.now)
    if touched is None or not await repository.delete_line(uow.connection, touched[0], item_id):
        raise NotFound("cart item", item_id)
    return await _own_cart(uow, caller.known_user_id, currency)


async def clear(uow: UnitOfWork, caller: Caller, currency: str) -> Cart:
    """Remove all lines; an empty cart is left as it is."""
    touched = await repository.touch(uow.connection, caller.known_user_id, uow.now)
    if touched is None:
        return await open_cart(uow, caller, currency)
    await repository.delete_lines(uow.connection, touched[0])
    return await _own_cart(uow, caller.known_user_id, currency)


async def take_ordered(uow: UnitOfWork, user_id: UUID, lines: Sequence[Line]) -> None:
    """Take what was ordered out of the account's cart; pieces added since the quote stay.

    The cart's row must be locked already: quoting.take_quote does.
    """
    await repository.take_ordered(
        uow.connection, user_id, [line.variant_id for line in lines], [line.quantity for line in lines], uow.now
    )


async def _own_cart(uow: UnitOfWork, user_id: UUID, currency: str) -> Cart:
    stored = await repository.read_cart(uow.connection, user_id)
    if stored is None:
        raise RuntimeError("the cart was deleted while its row was locked")
    return await _view(uow, stored, currency)


async def _view(unit: UnitOfWork | ReadUnit, stored: StoredCart, currency: str) -> Cart:
    if not stored.lines:
        return values.view(stored, {}, {}, currency)
    variants = [line.variant_id for line in stored.lines]
    offers = await catalog.read_offers(unit.connection, variants)
    available = await inventory.available(unit.connection, variants)
    return values.view(stored, offers, available, currency)

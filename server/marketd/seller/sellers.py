"""Applying to sell, and looking at sellers; life.py has what becomes of them."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.auth import service as auth
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import ConcurrentUpdate, NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.kernel.values.texts import name_key
from marketd.media.images.held import change_image
from marketd.media.model import Purpose
from marketd.media.values import Holder, HolderKind
from marketd.seller import repository
from marketd.seller.errors import HandleTaken, ShopExists
from marketd.seller.events import SellerCreated
from marketd.seller.model import SellerState
from marketd.seller.names import known_time_zone, make_handle, with_suffix
from marketd.seller.opening import check_opening
from marketd.seller.repository import SellerKey
from marketd.seller.values import NewSeller, Seller, SellerQuery

_HANDLE_TRIES = 4
_SELLING: Final = (SellerState.ACTIVE,)


async def create_seller(uow: UnitOfWork, caller: Caller, new: NewSeller) -> Seller:
    """Apply to sell; the seller is PENDING.

    Raises TimeZoneUnknown, ValidationFailed for opening hours that cannot be meant and a logo that is not the caller's
    to use, HandleTaken, ShopExists, and NotFound for services and accounts that are not active.
    """
    time_zone = known_time_zone(new.time_zone)
    check_opening(new.opening_hours, new.opening_exceptions, "seller")
    # A service has no account that could become a seller's. Held: an account that is deleted or blocked beside this
    # would leave a shop of nobody, and one whose former shop is reinstated would have two.
    await auth.hold_active(uow, caller.known_user_id)
    seller_id = new_id()
    logo = None
    if new.logo is not None:
        holder = Holder(HolderKind.SELLER, seller_id)
        logo = await change_image(uow, None, new.logo, [caller.known_user_id], Purpose.SHOP, holder)
    made = make_handle(new.shop_name)
    for attempt in range(_HANDLE_TRIES):
        seller = Seller(
            seller_id=seller_id,
            owner_user_id=caller.known_user_id,
            handle=new.handle or (made if attempt == 0 else with_suffix(made)),
            shop_name=new.shop_name,
            shop_name_key=name_key(new.shop_name),
            description=new.description,
            logo=logo,
            state=SellerState.PENDING,
            state_reason="",
            pickup_address=new.pickup_address,
            contact=new.contact,
            prep_duration=new.prep_duration,
            time_zone=time_zone,
            opening_hours=new.opening_hours,
            opening_exceptions=new.opening_exceptions,
            approve_time=None,
            create_time=uow.now,
            update_time=uow.now,
            version=1,
        )
        if await repository.insert(uow.connection, seller):
            uow.emit(
                SellerCreated(seller_id=seller.seller_id, owner_user_id=seller.owner_user_id, handle=seller.handle)
            )
            await log.record(uow, caller, "seller", seller.seller_id, after=seller)
            return seller
        former = await repository.read_by_owner(uow.connection, seller.owner_user_id)
        if former is not None:
            raise ShopExists(former.handle)
        if new.handle:
            raise HandleTaken(new.handle)
    raise ConcurrentUpdate


async def get_seller(unit: UnitOfWork | ReadUnit, caller: Caller, lookup: UUID | str) -> Seller:
    """A seller by id or handle. One that was never approved shows only to those who may see all of it; what has sold
    once shows for good, because orders and products name it.

    Raises NotFound.
    """
    if isinstance(lookup, UUID):
        seller = await repository.read(unit.connection, lookup)
    else:
        seller = await repository.read_by_handle(unit.connection, lookup)
    if seller is None or (seller.approve_time is None and not sees_all(caller, seller)):
        raise NotFound("seller", lookup)
    return seller


def sees_all(caller: Caller, seller: Seller) -> bool:
    """Whether the caller may see where the shop is and whose it is: the owner, admins and services."""
    return caller.user_id == seller.owner_user_id or caller.has(Role.ADMIN, Role.SERVICE)


async def get_my_seller(unit: ReadUnit, caller: Caller) -> Seller:
    """The caller's seller that is not over. Raises NotFound."""
    seller = await repository.read_by_owner(unit.connection, caller.known_user_id)
    if seller is None:
        raise NotFound("seller", "mine")
    return seller


async def list_sellers(
    unit: ReadUnit, caller: Caller, query: SellerQuery, after: SellerKey | None, limit: int
) -> list[Seller]:
    """Up to `limit` sellers after that key: those that sell, and in other states what the caller owns; admins and
    services are shown all.
    """
    own: tuple[SellerState, ...] = ()
    if caller.has(Role.ADMIN, Role.SERVICE):
        states = query.states or tuple(SellerState)
    else:
        asked = query.states or _SELLING
        states = tuple(state for state in asked if state in _SELLING)
        if caller.user_id is not None:
            own = tuple(state for state in asked if state not in _SELLING)
    if not states and not own:
        return []
    return await repository.list_page(unit.connection, query, states, own, caller.user_id, after, limit)


def is_public(caller: Caller, query: SellerQuery) -> bool:
    """Whether the list is the same for everybody but for what is shown of each."""
    return query.states == _SELLING or not (query.states or caller.has(Role.ADMIN, Role.SERVICE))

"""The use cases of seller: applying, approving, looking; and what other slices ask. Everything runs in either dress."""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import asyncpg

from marketd.audit import log
from marketd.auth import service as auth
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, ConcurrentUpdate, IllegalTransition, NotFound
from marketd.kernel.db.database import is_unique_violation
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.ids import new_id
from marketd.seller.errors import TimeZoneUnknown
from marketd.seller.events import SellerApproved, SellerCreated
from marketd.seller.model import Contact, OpeningHours, Seller, SellerState
from marketd.seller.model import SellerView as SellerView
from marketd.seller.repository import SellerRepository

_MAX_HANDLE = 60
_MIN_HANDLE = 3
_HANDLE_TRIES = 4


@dataclass(frozen=True, slots=True)
class CreateSeller:
    """Asks for a new seller. An empty handle is made from the shop's name, an empty time zone is UTC."""

    handle: str
    shop_name: str
    description: str
    pickup: Address
    contact: Contact
    prep_minutes: int
    time_zone: str
    opening_hours: tuple[OpeningHours, ...]


async def create_seller(uow: UnitOfWork, caller: Caller, command: CreateSeller) -> Seller:
    """Apply to sell; the seller is PENDING. Raises TimeZoneUnknown, AlreadyExists (handle, or a second seller),
    and NotFound for services.
    """
    time_zone = _time_zone(command.time_zone)
    # A service has no account that could become a seller's.
    await auth.read_profile(uow, caller.known_user_id)
    repository = SellerRepository(uow.connection)
    made = _handle(command.shop_name)
    for attempt in range(_HANDLE_TRIES):
        seller = Seller(
            seller_id=new_id(),
            owner_user_id=caller.known_user_id,
            handle=command.handle or (made if attempt == 0 else _suffixed(made)),
            shop_name=command.shop_name,
            description=command.description,
            state=SellerState.PENDING,
            state_reason="",
            pickup=command.pickup,
            contact=command.contact,
            prep_minutes=command.prep_minutes,
            time_zone=time_zone,
            opening_hours=command.opening_hours,
            approve_time=None,
            create_time=uow.now,
            update_time=uow.now,
            version=1,
        )
        try:
            inserted = await repository.insert(seller)
        except asyncpg.UniqueViolationError as error:
            if is_unique_violation(error, "uq_sellers_owner_user_id"):
                raise AlreadyExists("seller", "owner_user_id") from error
            raise
        if inserted:
            uow.emit(
                SellerCreated(seller_id=seller.seller_id, owner_user_id=seller.owner_user_id, handle=seller.handle)
            )
            await log.record(uow, caller, "seller", seller.seller_id)
            return seller
        if command.handle:
            raise AlreadyExists("seller", "handle")
    raise ConcurrentUpdate


async def approve_seller(uow: UnitOfWork, caller: Caller, seller_id: UUID, reason: str) -> Seller:
    """Let a pending seller sell; its account gets the role SELLER in the same transaction.

    The access table lets only admins come here. Raises NotFound, and IllegalTransition when it is not pending.
    """
    repository = SellerRepository(uow.connection)
    seller = await repository.lock(seller_id)
    if seller is None:
        raise NotFound("seller", seller_id)
    if seller.state is not SellerState.PENDING:
        raise IllegalTransition("seller", seller.state.value, _MOVES[seller.state])
    await repository.approve(seller_id, reason, uow.now)
    await auth.grant_role(uow, seller.owner_user_id, Role.SELLER)
    await log.record(uow, caller, "seller", seller_id, reason)
    uow.emit(SellerApproved(seller_id=seller_id, owner_user_id=seller.owner_user_id))
    return await _found(repository, seller_id)


async def get_seller(unit: UnitOfWork | ReadUnit, caller: Caller, lookup: UUID | str) -> Seller:
    """A seller by id or handle. One that was never approved shows only to those who may see all of it.

    Raises NotFound.
    """
    repository = SellerRepository(unit.connection)
    seller = await (repository.by_id(lookup) if isinstance(lookup, UUID) else repository.by_handle(lookup))
    if seller is None or (seller.approve_time is None and not sees_all(caller, seller)):
        raise NotFound("seller", lookup)
    return seller


def sees_all(caller: Caller, seller: Seller) -> bool:
    """Whether the caller may see where the shop is and whose it is: the owner, admins and services."""
    return caller.user_id == seller.owner_user_id or caller.has(Role.ADMIN, Role.SERVICE)


async def read_seller(unit: UnitOfWork | ReadUnit, seller_id: UUID) -> SellerView | None:
    """What other slices need of a seller, in any state; None when there is none."""
    return await SellerRepository(unit.connection).view(seller_id)


async def seller_of(unit: UnitOfWork | ReadUnit, owner_user_id: UUID) -> SellerView | None:
    """The account's seller that is not closed; None when it has none."""
    return await SellerRepository(unit.connection).view_of(owner_user_id)


async def holds_account(uow: UnitOfWork, owner_user_id: UUID) -> str | None:
    """The shop of the account that is not closed, for auth's AccountHolder: buyers would wait for it in vain."""
    seller = await seller_of(uow, owner_user_id)
    return None if seller is None else f"seller {seller.seller_id}"


_MOVES: dict[SellerState, list[str]] = {
    SellerState.PENDING: [SellerState.ACTIVE, SellerState.CLOSED],
    SellerState.ACTIVE: [SellerState.SUSPENDED, SellerState.CLOSED],
    SellerState.SUSPENDED: [SellerState.ACTIVE, SellerState.CLOSED],
    SellerState.CLOSED: [],
}


async def _found(repository: SellerRepository, seller_id: UUID) -> Seller:
    seller = await repository.by_id(seller_id)
    if seller is None:
        raise NotFound("seller", seller_id)
    return seller


def _time_zone(name: str) -> str:
    if name in ("", "UTC"):
        return "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        # ValueError: names that are paths; OSError: names of folders of the database, such as Europe.
        raise TimeZoneUnknown from error
    return name


def _handle(shop_name: str) -> str:
    """A handle from the shop's name: `Käse & Mehr` becomes `kase-mehr`; what has no letters becomes `shop`."""
    plain = unicodedata.normalize("NFKD", shop_name).encode("ascii", "ignore").decode().lower()
    handle = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_MAX_HANDLE].rstrip("-")
    return handle if len(handle) >= _MIN_HANDLE else f"{handle}-shop".lstrip("-")


def _suffixed(handle: str) -> str:
    return f"{handle[: _MAX_HANDLE - 7].rstrip('-')}-{secrets.token_hex(3)}"

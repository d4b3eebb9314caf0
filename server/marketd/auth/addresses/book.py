"""Address books: saving, changing and choosing addresses.

Changes lock the owner's account first. So exactly one of an account's addresses is the default, whatever comes at once.
The addresses of others are not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from uuid import UUID

from marketd.auth.accounts.find import lock_own
from marketd.auth.addresses import repository
from marketd.auth.addresses.model import MAX_ADDRESSES
from marketd.auth.addresses.values import SavedAddress
from marketd.auth.errors import AddressBookFull, PrimaryNeeded
from marketd.auth.service import get_address
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address to save; the first one of an account is `primary` in any case."""

    label: str
    postal_address: Address
    primary: bool


@dataclass(frozen=True, slots=True)
class AddressChange:
    """New values for what is not None; `postal_address` makes the new one of the former."""

    address_id: UUID
    etag: str
    label: str | None
    postal_address: Callable[[Address], Address] | None
    primary: bool | None


async def create_address(uow: UnitOfWork, caller: Caller, new: NewAddress) -> SavedAddress:
    """Save an address in the caller's book. Raises AddressBookFull."""
    user_id = await _lock_book(uow, caller)
    kept = await repository.count(uow.connection, user_id)
    if kept >= MAX_ADDRESSES:
        raise AddressBookFull
    primary = new.primary or kept == 0
    if primary:
        await repository.set_default(uow.connection, user_id, None, uow.now)
    saved = SavedAddress(new_id(), new.label, new.postal_address, primary, uow.now, uow.now, 1)
    await repository.insert(uow.connection, user_id, saved)
    return saved


async def list_addresses(
    unit: ReadUnit, caller: Caller, after: UUID | None, limit: int, *, descending: bool
) -> list[SavedAddress]:
    """The caller's addresses, by when they were saved."""
    return await repository.list_page(unit.connection, caller.known_user_id, after, limit, descending=descending)


async def update_address(uow: UnitOfWork, caller: Caller, change: AddressChange) -> SavedAddress:
    """Change an address of the caller; what changes nothing leaves it as it is.

    Raises NotFound, EtagMismatch, and PrimaryNeeded for one that shall no longer be the default.
    """
    user_id = await _lock_book(uow, caller)
    before = await get_address(uow, caller, change.address_id)
    check_etag(change.etag, before.version)
    after = replace(
        before,
        label=before.label if change.label is None else change.label,
        postal_address=(
            before.postal_address if change.postal_address is None else change.postal_address(before.postal_address)
        ),
    )
    if before.primary and change.primary is False:
        raise PrimaryNeeded
    if after != before:
        await repository.save(uow.connection, user_id, after, uow.now)
    if change.primary:
        await repository.set_default(uow.connection, user_id, after.address_id, uow.now)
    return await get_address(uow, caller, change.address_id)


async def delete_address(
    uow: UnitOfWork, caller: Caller, address_id: UUID, etag: str, *, allow_missing: bool = False
) -> None:
    """Delete an address of the caller; the newest of the others takes over as the default.

    Raises EtagMismatch, and NotFound unless `allow_missing`.
    """
    user_id = await _lock_book(uow, caller)
    gone = await repository.read(uow.connection, user_id, address_id)
    if gone is None:
        if allow_missing:
            return
        raise NotFound("address", address_id)
    check_etag(etag, gone.version)
    await repository.delete(uow.connection, user_id, address_id)
    rest = await repository.list_page(uow.connection, user_id, None, 1) if gone.primary else []
    if rest:
        await repository.set_default(uow.connection, user_id, rest[0].address_id, uow.now)


async def set_default_address(uow: UnitOfWork, caller: Caller, address_id: UUID, etag: str) -> SavedAddress:
    """Make an address of the caller the default; one that is it stays as it is. Raises NotFound and EtagMismatch."""
    user_id = await _lock_book(uow, caller)
    chosen = await get_address(uow, caller, address_id)
    if chosen.primary:
        # Before its etag is looked at: a repeat whose answer was lost has the etag from before.
        return chosen
    check_etag(etag, chosen.version)
    await repository.set_default(uow.connection, user_id, address_id, uow.now)
    return await get_address(uow, caller, address_id)


async def _lock_book(uow: UnitOfWork, caller: Caller) -> UUID:
    """Lock the caller's account, which stands for the book; its owner."""
    return (await lock_own(uow, caller, caller.known_user_id)).user_id

"""Address books: saving, changing and choosing addresses.

Changes lock the owner's account first. So exactly one of an account's addresses is the default, whatever comes at once.
The addresses of others are not found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from marketd.auth.accounts.find import lock_own
from marketd.auth.addresses import repository
from marketd.auth.addresses.model import MAX_ADDRESSES
from marketd.auth.addresses.values import SavedAddress
from marketd.auth.errors import AddressBookFull
from marketd.auth.service import get_address
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.address import Address
from marketd.kernel.values.etags import check_etag
from marketd.kernel.values.ids import new_id


@dataclass(frozen=True, slots=True)
class NewAddress:
    """An address to save; the first one of an account becomes the default in any case."""

    label: str
    address: Address
    is_default: bool


@dataclass(frozen=True, slots=True)
class AddressChange:
    """New values for the fields that are not None."""

    address_id: UUID
    etag: str
    label: str | None
    address: Address | None


async def create_address(uow: UnitOfWork, caller: Caller, new: NewAddress) -> SavedAddress:
    """Save an address in the caller's book. Raises AddressBookFull."""
    user_id = await _lock_book(uow, caller)
    kept = await repository.count(uow.connection, user_id)
    if kept >= MAX_ADDRESSES:
        raise AddressBookFull
    is_default = new.is_default or kept == 0
    if is_default:
        await repository.set_default(uow.connection, user_id, None, uow.now)
    saved = SavedAddress(new_id(), new.label, new.address, is_default, uow.now, uow.now, 1)
    await repository.insert(uow.connection, user_id, saved)
    return saved


async def list_addresses(unit: ReadUnit, caller: Caller, after: UUID | None, limit: int) -> list[SavedAddress]:
    """The caller's addresses, the newest first."""
    return await repository.list_page(unit.connection, caller.known_user_id, after, limit)


async def update_address(uow: UnitOfWork, caller: Caller, change: AddressChange) -> SavedAddress:
    """Change an address of the caller. Raises NotFound and EtagMismatch."""
    user_id = await _lock_book(uow, caller)
    before = await get_address(uow, caller, change.address_id)
    check_etag(change.etag, before.version)
    after = replace(
        before,
        label=before.label if change.label is None else change.label,
        address=before.address if change.address is None else change.address,
    )
    await repository.save(uow.connection, user_id, after, uow.now)
    return await get_address(uow, caller, change.address_id)


async def delete_address(uow: UnitOfWork, caller: Caller, address_id: UUID) -> None:
    """Delete an address of the caller; the newest of the others takes over as the default. Raises NotFound."""
    user_id = await _lock_book(uow, caller)
    gone = await get_address(uow, caller, address_id)
    await repository.delete(uow.connection, user_id, address_id)
    rest = await repository.list_page(uow.connection, user_id, None, 1) if gone.is_default else []
    if rest:
        await repository.set_default(uow.connection, user_id, rest[0].address_id, uow.now)


async def set_default_address(uow: UnitOfWork, caller: Caller, address_id: UUID) -> SavedAddress:
    """Make an address of the caller the default. Raises NotFound."""
    user_id = await _lock_book(uow, caller)
    await get_address(uow, caller, address_id)
    await repository.set_default(uow.connection, user_id, address_id, uow.now)
    return await get_address(uow, caller, address_id)


async def _lock_book(uow: UnitOfWork, caller: Caller) -> UUID:
    """Lock the caller's account, which stands for the book; its owner."""
    return (await lock_own(uow, caller, caller.known_user_id)).user_id

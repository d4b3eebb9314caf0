"""Address books: saving, changing and choosing addresses, and what QuoteOrder reads. Everything runs in either dress.

Changes lock the owner's account first, so that of an account's addresses exactly one is the default, whatever comes at
once. The addresses of others are not found.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRepository
from marketd.auth.addresses.model import MAX_ADDRESSES
from marketd.auth.addresses.repository import AddressRepository, SavedAddress
from marketd.auth.errors import AddressBookFull
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import NotFound
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
    book = await _locked_book(uow, caller)
    kept = await book.count()
    if kept >= MAX_ADDRESSES:
        raise AddressBookFull
    is_default = new.is_default or kept == 0
    if is_default:
        await book.set_default(None, uow.now)
    saved = SavedAddress(new_id(), new.label, new.address, is_default, uow.now, uow.now, 1)
    await book.insert(saved)
    return saved


async def get_address(unit: UnitOfWork | ReadUnit, caller: Caller, address_id: UUID) -> SavedAddress:
    """An address of the caller; guests have none. Raises NotFound."""
    if caller.user_id is None:
        raise NotFound("address", address_id)
    return await _found(AddressRepository(unit.connection, caller.user_id), address_id)


async def list_addresses(unit: ReadUnit, caller: Caller, after: UUID | None, limit: int) -> list[SavedAddress]:
    """The caller's addresses, the newest first."""
    return await AddressRepository(unit.connection, caller.known_user_id).list(after, limit)


async def update_address(uow: UnitOfWork, caller: Caller, change: AddressChange) -> SavedAddress:
    """Change an address of the caller. Raises NotFound and EtagMismatch."""
    book = await _locked_book(uow, caller)
    before = await _found(book, change.address_id)
    check_etag(change.etag, before.version)
    await book.update(
        change.address_id,
        before.label if change.label is None else change.label,
        before.address if change.address is None else change.address,
        uow.now,
    )
    return await _found(book, change.address_id)


async def delete_address(uow: UnitOfWork, caller: Caller, address_id: UUID) -> None:
    """Delete an address of the caller; the newest of the others takes over as the default. Raises NotFound."""
    book = await _locked_book(uow, caller)
    gone = await _found(book, address_id)
    await book.delete(address_id)
    rest = await book.list(None, 1) if gone.is_default else []
    if rest:
        await book.set_default(rest[0].address_id, uow.now)


async def set_default_address(uow: UnitOfWork, caller: Caller, address_id: UUID) -> SavedAddress:
    """Make an address of the caller the default. Raises NotFound."""
    book = await _locked_book(uow, caller)
    await _found(book, address_id)
    await book.set_default(address_id, uow.now)
    return await _found(book, address_id)


async def _locked_book(uow: UnitOfWork, caller: Caller) -> AddressRepository:
    account = await AccountRepository(uow.connection).lock(caller.known_user_id)
    if account is None or account.state is AccountState.DELETED:
        raise NotFound("user", caller.known_user_id)
    return AddressRepository(uow.connection, caller.known_user_id)


async def _found(book: AddressRepository, address_id: UUID) -> SavedAddress:
    saved = await book.by_id(address_id)
    if saved is None:
        raise NotFound("address", address_id)
    return saved

"""Making accounts."""

from __future__ import annotations

from dataclasses import dataclass, field

from marketd.auth.accounts import repository
from marketd.auth.accounts.find import find_account
from marketd.auth.accounts.names import NameTaken, is_email_kept, is_phone_free, is_username_kept, names_are_unique
from marketd.auth.accounts.values import Account
from marketd.auth.errors import NoAddress
from marketd.kernel.call.caller import Role
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.mail.compose import is_address


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made. `email` in any case; empty texts mean none; the password is hashed already."""

    email: str
    username: str
    phone: str
    full_name: str
    password_hash: str = field(repr=False)
    language_code: str = ""


async def create_account(uow: UnitOfWork, new: NewAccount, roles: frozenset[Role]) -> Account:
    """Make an account with these roles. Raises NoAddress, and NameTaken for what another account has.

    A phone that others have given and not verified is not theirs.
    """
    if not is_address(new.email):
        raise NoAddress("email")
    user_id, email = new_id(), new.email.lower()
    with names_are_unique():
        await repository.insert(
            uow.connection,
            user_id,
            email,
            new.username,
            new.phone,
            new.full_name,
            new.language_code,
            new.password_hash,
            uow.now,
        )
    if await is_email_kept(uow, user_id, email):
        raise NameTaken("email")
    if await is_username_kept(uow, user_id, new.username):
        raise NameTaken("username")
    if not await is_phone_free(uow, user_id, new.phone):
        raise NameTaken("phone")
    for role in sorted(roles):
        await repository.add_role(uow.connection, user_id, role, uow.now)
    return await find_account(uow.connection, user_id)

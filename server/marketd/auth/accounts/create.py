"""Making accounts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg

from marketd.auth.accounts import repository
from marketd.auth.accounts.find import find_account
from marketd.auth.accounts.values import Account
from marketd.auth.errors import NoAddress
from marketd.kernel.call.caller import Role
from marketd.kernel.call.refusals import AlreadyExists
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.mail.compose import is_address

_UNIQUE = {"uq_accounts_email": "email", "uq_accounts_username": "username", "uq_accounts_phone": "phone"}


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
    """Make an account with these roles. Raises NoAddress, and AlreadyExists naming the field that somebody else has."""
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
    for role in sorted(roles):
        await repository.add_role(uow.connection, user_id, role, uow.now)
    return await find_account(uow.connection, user_id)


@contextmanager
def names_are_unique() -> Iterator[None]:
    """Around a statement that writes names. Raises AlreadyExists naming the field that somebody else has."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        taken = _UNIQUE.get(constraint_of(error) or "")
        if taken is None:
            raise
        raise AlreadyExists("account", taken) from error

"""Names that one account has alone: e-mail addresses, usernames, and phones that it has verified.

An e-mail address is also kept for the account that had it before, as long as it can take the change back, and so is a
username: with a stolen token it can be given up, but not lost. Whoever writes one of them looks after writing: the row
of another's change is committed by then, or the name is still that account's and the unique constraint says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import asyncpg

from marketd.auth.accounts import repository
from marketd.auth.codes.repository import email_changes
from marketd.kernel.call.refusals import AlreadyExists
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.uow import UnitOfWork

_UNIQUE = {"uq_accounts_email": "email", "uq_accounts_username": "username", "uq_accounts_phone": "phone"}


class NameTaken(AlreadyExists):
    """Another account has the name. name: what people call it, and its field, such as `email`."""

    def __init__(self, name: str) -> None:
        super().__init__("user", name, f"Another account has this {name}; take another one, or sign in to that one.")


@contextmanager
def names_are_unique() -> Iterator[None]:
    """Around a statement that writes names. Raises NameTaken."""
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        taken = _UNIQUE.get(constraint_of(error) or "")
        if taken is None:
            raise
        raise NameTaken(taken) from error


async def is_email_free(uow: UnitOfWork, user_id: UUID, email: str) -> bool:
    """Whether the account may take the address: nobody has it, nor is it kept for anybody else. email: lower case."""
    return not await repository.has_email(uow.connection, email) and not await is_email_kept(uow, user_id, email)


async def is_email_kept(uow: UnitOfWork, user_id: UUID, email: str) -> bool:
    """Whether the address is kept for another account, which had it before."""
    holder = await email_changes.holder_of(uow.connection, email, uow.now)
    return holder is not None and holder != user_id


async def is_username_kept(uow: UnitOfWork, user_id: UUID, username: str) -> bool:
    """Whether the username is kept for another account, which had it before; an empty one is not."""
    return username != "" and await repository.is_username_kept(uow.connection, user_id, username.lower(), uow.now)


async def is_phone_free(uow: UnitOfWork, user_id: UUID, phone: str) -> bool:
    """Whether no other account has verified the phone; an empty one is free."""
    owner_id = await repository.owner_of_phone(uow.connection, phone) if phone else None
    return owner_id is None or owner_id == user_id

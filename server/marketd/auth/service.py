"""Accounts and their roles: what other slices and the command line ask of auth. Everything runs in either dress."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from marketd.audit import log
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRepository, AccountRow
from marketd.auth.codes.factor_repository import FactorRepository
from marketd.auth.codes.repository import ResetRepository
from marketd.auth.errors import NoAddress
from marketd.auth.letters import Letters
from marketd.auth.sessions import access_changes, session
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import AlreadyExists, IllegalTransition, NotFound
from marketd.kernel.db.database import constraint_of
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.values.ids import new_id
from marketd.mail.compose import is_address

_UNIQUE = {"uq_accounts_email": "email", "uq_accounts_username": "username", "uq_accounts_phone": "phone"}
# What the audit log calls the acts that come from the command line.
_CREATE_ADMIN = "marketd create-admin"
_DISABLE_TOTP = "marketd disable-totp"


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account to be made. `email` in any case; empty texts mean none; the password is hashed already."""

    email: str
    username: str
    phone: str
    full_name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Who somebody is, for slices that talk to or about them."""

    user_id: UUID
    full_name: str
    phone: str
    email: str

    @property
    def first_name(self) -> str:
        """The first word of the name: what strangers may see."""
        return self.full_name.split(" ", 1)[0]


@dataclass(frozen=True, slots=True)
class AdminCreated:
    """What `create_admin` did: `created` a new account, `promoted` an existing one, or neither."""

    user_id: UUID
    created: bool
    promoted: bool


async def create_account(uow: UnitOfWork, new: NewAccount, roles: frozenset[Role]) -> AccountRow:
    """Make an account with these roles. Raises NoAddress, and AlreadyExists naming the field that somebody else has."""
    if not is_address(new.email):
        raise NoAddress("email")
    repository = AccountRepository(uow.connection)
    user_id = new_id()
    try:
        await repository.insert(
            user_id,
            new.email.lower(),
            new.username,
            new.phone,
            new.full_name,
            new.password_hash,
            uow.now,
        )
    except asyncpg.UniqueViolationError as error:
        raise name_taken(error) from error
    for role in sorted(roles):
        await repository.add_role(user_id, role, uow.now)
    return await _found(repository, user_id)


def name_taken(error: asyncpg.UniqueViolationError) -> Exception:
    """What a broken unique constraint of accounts means: AlreadyExists, naming the field; another's is a bug."""
    field = _UNIQUE.get(constraint_of(error) or "")
    return error if field is None else AlreadyExists("account", field)


async def read_account(unit: UnitOfWork | ReadUnit, caller: Caller, user_id: UUID) -> AccountRow:
    """The caller's own account; admins and services may read any. Raises NotFound, also for the accounts of others."""
    if user_id != caller.user_id and not caller.has(Role.ADMIN, Role.SERVICE):
        raise NotFound("user", user_id)
    return await _found(AccountRepository(unit.connection), user_id)


async def read_profile(unit: UnitOfWork | ReadUnit, user_id: UUID) -> Profile:
    """Name, phone and e-mail address of an account. Raises NotFound."""
    account = await _found(AccountRepository(unit.connection), user_id)
    return Profile(account.user_id, account.full_name, account.phone, account.email)


async def grant_role(uow: UnitOfWork, user_id: UUID, role: Role) -> None:
    """Let the account act as `role`; every worker knows within 2 s, and nobody signs in again. Raises NotFound."""
    repository = AccountRepository(uow.connection)
    if await repository.lock(user_id) is None:
        raise NotFound("user", user_id)
    if await repository.add_role(user_id, role, uow.now):
        await repository.touch(user_id, uow.now)
        await access_changes.record(uow, ChangeKind.ROLE_GRANTED, user_id)


async def revoke_role(uow: UnitOfWork, user_id: UUID, role: Role) -> None:
    """Take the role away; the account's open streams end within 2 s, to be judged anew. Raises NotFound."""
    repository = AccountRepository(uow.connection)
    if await repository.lock(user_id) is None:
        raise NotFound("user", user_id)
    if await repository.remove_role(user_id, role):
        await repository.touch(user_id, uow.now)
        await access_changes.record(uow, ChangeKind.ROLE_REVOKED, user_id)


async def block_account(uow: UnitOfWork, user_id: UUID) -> bool:
    """Block the account: its sessions end, its streams too within 2 s, and it cannot sign in. Twice is once.

    False when it was blocked before. Raises NotFound, and IllegalTransition for a deleted account.
    """
    repository = AccountRepository(uow.connection)
    account = await repository.lock(user_id)
    if account is None:
        raise NotFound("user", user_id)
    if account.state is AccountState.DELETED:
        raise IllegalTransition("account", account.state.value, [])
    if not await repository.set_state(user_id, AccountState.ACTIVE, AccountState.BLOCKED, uow.now):
        return False
    await access_changes.record(uow, ChangeKind.ACCOUNT_BLOCKED, user_id)
    await session.end_sessions(uow, user_id)
    return True


async def unblock_account(uow: UnitOfWork, user_id: UUID) -> None:
    """Let a blocked account sign in again; its former sessions stay ended. Twice is once. Raises NotFound."""
    repository = AccountRepository(uow.connection)
    if await repository.lock(user_id) is None:
        raise NotFound("user", user_id)
    if await repository.set_state(user_id, AccountState.BLOCKED, AccountState.ACTIVE, uow.now):
        await access_changes.record(uow, ChangeKind.ACCOUNT_UNBLOCKED, user_id)


async def create_admin(uow: UnitOfWork, email: str, password_hash: str) -> AdminCreated:
    """Make sure that the account with this e-mail address exists and is an admin; a second time changes nothing.

    An existing account that becomes an admin gets the given password and loses its sessions, its second factor and
    reset tokens: whoever registered the address first must not become an admin by waiting for the operator, nor keep
    the operator out. A blocked one is unblocked: who runs the command runs the marketplace.
    """
    repository = AccountRepository(uow.connection)
    account = await repository.by_login(email)
    if account is None:
        new = NewAccount(email, "", "", "Administrator", password_hash)
        user_id = (await create_account(uow, new, frozenset({Role.ADMIN, Role.BUYER}))).user_id
        await log.record(uow, SYSTEM, "user", user_id, method=_CREATE_ADMIN)
        return AdminCreated(user_id, created=True, promoted=False)
    if Role.ADMIN in account.roles:
        return AdminCreated(account.user_id, created=False, promoted=False)
    await repository.set_password_hash(account.user_id, password_hash, uow.now)
    await session.end_sessions(uow, account.user_id)
    await FactorRepository(uow.connection).delete(account.user_id)
    await ResetRepository(uow.connection).delete(account.user_id)
    await unblock_account(uow, account.user_id)
    await grant_role(uow, account.user_id, Role.ADMIN)
    await log.record(uow, SYSTEM, "user", account.user_id, method=_CREATE_ADMIN)
    return AdminCreated(account.user_id, created=False, promoted=True)


async def disable_totp(uow: UnitOfWork, letters: Letters, login: str) -> bool:
    """Remove the second factor of somebody who lost it, or whose account somebody else locked; False when none is set.

    For the operator, who has found out who asks. Their sessions end: one of them may be whoever set the factor up.
    Raises NotFound for a login that nobody has.
    """
    repository = AccountRepository(uow.connection)
    named = await repository.by_login(login)
    # Locked: a sign-in beside this would open a session that is not ended with the others.
    account = None if named is None else await repository.lock(named.user_id)
    if account is None:
        raise NotFound("user", login)
    factors = FactorRepository(uow.connection)
    factor = await factors.by_account(account.user_id)
    if factor is None:
        return False
    await factors.delete(account.user_id)
    await repository.touch(account.user_id, uow.now)
    await session.end_sessions(uow, account.user_id)
    if factor.is_confirmed:
        letters.totp_changed(uow, account, enabled=False)
    await log.record(uow, SYSTEM, "user", account.user_id, method=_DISABLE_TOTP)
    return True


async def _found(repository: AccountRepository, user_id: UUID) -> AccountRow:
    account = await repository.by_id(user_id)
    if account is None:
        raise NotFound("user", user_id)
    return account

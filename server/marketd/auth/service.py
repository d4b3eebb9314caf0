"""What other slices and the operator ask of auth: who somebody is, where they live, and what they may act as."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from marketd.audit import log
from marketd.audit.call import Act
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.block import unblock_account
from marketd.auth.accounts.create import NewAccount, create_account
from marketd.auth.accounts.find import find_account, lock_account
from marketd.auth.accounts.model import TRANSITIONS, AccountState
from marketd.auth.accounts.values import Account
from marketd.auth.addresses import repository as addresses
from marketd.auth.addresses.values import SavedAddress
from marketd.auth.codes.repository import email_changes, factors, password_resets, verifications
from marketd.auth.errors import AccountCannotAct
from marketd.auth.letters import Letters, language_of
from marketd.auth.sessions import access_changes, session
from marketd.auth.sessions.model import ChangeKind
from marketd.kernel.call.caller import SYSTEM, Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import ReadUnit, UnitOfWork


@dataclass(frozen=True, slots=True)
class Profile:
    """Who somebody is, for slices that talk to or about them."""

    user_id: UUID
    full_name: str
    phone: str
    email: str
    language: str
    """To write to the person in."""
    state: AccountState
    roles: frozenset[Role]

    @property
    def is_active(self) -> bool:
        """Whether the person can sign in."""
        return self.state is AccountState.ACTIVE

    def acts_as(self, role: Role) -> bool:
        """Whether the person can sign in and act as that."""
        return self.is_active and role in self.roles

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


async def read_profile(unit: UnitOfWork | ReadUnit, user_id: UUID) -> Profile:
    """Who an account is. Raises NotFound."""
    return _profile(await find_account(unit.connection, user_id))


async def lock_profile(uow: UnitOfWork, user_id: UUID) -> Profile:
    """The same, its row locked until the transaction ends: before any of what the account owns. Raises NotFound."""
    return _profile(await lock_account(uow, user_id))


def check_can_act(profile: Profile) -> None:
    """Raises AccountCannotAct for a blocked or deleted account: what it would be given, nobody could see to."""
    if not profile.is_active:
        raise AccountCannotAct(profile.state.value, TRANSITIONS.allowed(profile.state))


async def hold_active(uow: UnitOfWork, user_id: UUID) -> None:
    """Keep the account from being blocked or deleted until the transaction ends; others may hold it too.

    Raises NotFound for one that is not active, and for services, which have none.
    """
    if not await accounts.hold_active(uow.connection, user_id):
        raise NotFound("user", user_id)


def hold_active_sql(user_id: str) -> str:
    """SQL that does the same for the account whose id `user_id` names (an argument): no row for one that is not active.

    For statements of slices above that would need a second round trip else.
    """
    return accounts.hold_active_sql(user_id)


def first_name_sql(user_id: str) -> str:
    """SQL that gives what strangers may see of the name of the account whose id `user_id` (a column) names.

    NULL when the account is deleted. For lists of what people wrote.
    """
    return accounts.first_name_sql(user_id)


async def get_address(unit: UnitOfWork | ReadUnit, caller: Caller, address_id: UUID) -> SavedAddress:
    """An address in the caller's book; guests have none. Raises NotFound, also for the addresses of others."""
    saved = None if caller.user_id is None else await addresses.read(unit.connection, caller.user_id, address_id)
    if saved is None:
        raise NotFound("address", address_id)
    return saved


async def grant_role(uow: UnitOfWork, user_id: UUID, role: Role) -> None:
    """Let the account act as `role`; every worker knows within 2 s, and nobody signs in again. Raises NotFound."""
    await lock_account(uow, user_id)
    if await accounts.add_role(uow.connection, user_id, role, uow.now):
        await accounts.touch(uow.connection, user_id, uow.now)
        await access_changes.record(uow, ChangeKind.ROLE_GRANTED, user_id)


async def revoke_role(uow: UnitOfWork, user_id: UUID, role: Role) -> None:
    """Take the role away; the account's open streams end within 2 s, to be judged anew. Raises NotFound."""
    await lock_account(uow, user_id)
    if await accounts.remove_role(uow.connection, user_id, role):
        await accounts.touch(uow.connection, user_id, uow.now)
        await access_changes.record(uow, ChangeKind.ROLE_REVOKED, user_id)


async def create_admin(uow: UnitOfWork, email: str, password_hash: str) -> AdminCreated:
    """Make sure that the account with this e-mail address exists and is an admin; a second time changes nothing.

    An existing account that becomes an admin gets the given password and loses its sessions, its second factor, reset
    tokens, and changes of the e-mail address that wait or could be taken back: whoever registered the address first
    must not become an admin by waiting for the operator, nor keep the operator out; nor whoever had it and left it, for
    whom it is not kept any more. A blocked one is unblocked: who runs the command runs the marketplace.
    """
    account = await accounts.read_by_login(uow.connection, email)
    if account is None:
        await email_changes.delete_of(uow.connection, email.lower())
        new = NewAccount(email, "", "", "Administrator", password_hash)
        made = await create_account(uow, new, frozenset({Role.ADMIN, Role.BUYER}))
        await log.record(uow, SYSTEM, "user", made.user_id, after=made, act=Act.CREATE_ADMIN)
        return AdminCreated(made.user_id, created=True, promoted=False)
    if Role.ADMIN in account.roles:
        return AdminCreated(account.user_id, created=False, promoted=False)
    await accounts.set_password_hash(uow.connection, account.user_id, password_hash, uow.now)
    await session.end_sessions(uow, account.user_id)
    await factors.delete_all(uow.connection, account.user_id)
    await password_resets.delete_all(uow.connection, account.user_id)
    await email_changes.delete_all(uow.connection, account.user_id)
    await verifications.void_changes(uow.connection, account.user_id)
    await unblock_account(uow, account.user_id)
    await grant_role(uow, account.user_id, Role.ADMIN)
    after = await find_account(uow.connection, account.user_id)
    await log.record(uow, SYSTEM, "user", account.user_id, before=account, after=after, act=Act.CREATE_ADMIN)
    return AdminCreated(account.user_id, created=False, promoted=True)


async def disable_totp(uow: UnitOfWork, letters: Letters, login: str) -> bool:
    """Remove the second factor of somebody who lost it, or whose account somebody else locked; False when none is set.

    For the operator, who has found out who asks. Their sessions end: one of them may belong to whoever set the factor
    up. Raises NotFound for a login that nobody has.
    """
    named = await accounts.read_by_login(uow.connection, login)
    if named is None:
        raise NotFound("user", login)
    # Locked: a sign-in beside this would open a session that is not ended with the others.
    account = await lock_account(uow, named.user_id)
    factor = await factors.read(uow.connection, account.user_id)
    if factor is None:
        return False
    await factors.delete_all(uow.connection, account.user_id)
    await accounts.touch(uow.connection, account.user_id, uow.now)
    await session.end_sessions(uow, account.user_id)
    if factor.is_confirmed:
        letters.totp_changed(uow, account, enabled=False)
    after = await find_account(uow.connection, account.user_id)
    await log.record(uow, SYSTEM, "user", account.user_id, before=account, after=after, act=Act.DISABLE_TOTP)
    return True


def _profile(account: Account) -> Profile:
    return Profile(
        user_id=account.user_id,
        full_name=account.full_name,
        phone=account.phone,
        email=account.email,
        language=language_of(account),
        state=account.state,
        roles=account.roles,
    )

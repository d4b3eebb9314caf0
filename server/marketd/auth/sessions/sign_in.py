"""Registering, signing in, refreshing, signing out: passwords are hashed before the transaction, tokens signed after.

A connection is never held while bcrypt runs: twenty logins at once would hold the pool for seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.create import NewAccount, create_account
from marketd.auth.accounts.hash_queue import Asker, Lane
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.passwords import Passwords, check_new_password
from marketd.auth.accounts.values import Account
from marketd.auth.codes import throttle
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.values import CountedName, FactorProof
from marketd.auth.errors import AccountBlocked, InvalidCredentials, RefreshTokenReused, SessionRevoked, TotpRequired
from marketd.auth.letters import Letters
from marketd.auth.ports import CartMerger, MergeReport, MergeStrategy
from marketd.auth.sessions import origins, session
from marketd.auth.sessions.access_tokens import AccessToken, AccessTokens
from marketd.auth.sessions.refresh_tokens import RefreshTokens
from marketd.auth.sessions.repository import sessions
from marketd.auth.sessions.values import SessionGrant, SessionRules
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import Overloaded
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import ReadUnit, UnitOfWork


@dataclass(frozen=True, slots=True)
class RegisterAccount:
    """Asks for a new account and its first session; empty texts mean none."""

    email: str
    username: str
    phone: str
    full_name: str
    device_name: str
    password: str = field(repr=False)
    language_code: str = ""


@dataclass(frozen=True, slots=True)
class LogIn:
    """Asks for a session. `login` is an e-mail address, a username or a phone.

    `guest_cart_id`: a guest's cart that comes along; the caller has shown its token.
    """

    login: str
    device_name: str
    password: str = field(repr=False)
    guest_cart_id: UUID | None = None
    merge_strategy: MergeStrategy = MergeStrategy.SUM
    proof: FactorProof = field(default_factory=FactorProof)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens of one session, ready to be handed out."""

    grant: SessionGrant
    access: AccessToken

    @property
    def refresh_expire_time(self) -> datetime:
        """When the session ends, refreshed or not."""
        return self.grant.expire_time


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An account with a fresh session; `merge` is how the guest's cart came along, None when none did."""

    account: Account
    tokens: TokenPair
    merge: MergeReport | None = None


class SigningIn:
    """The four use cases around a session, with what they are made of."""

    def __init__(
        self,
        tx: Transactor,
        passwords: Passwords,
        access: AccessTokens,
        refresh: RefreshTokens,
        rules: SessionRules,
        attempts: Throttle,
        factor: SecondFactor,
        letters: Letters,
        merge_cart: CartMerger | None = None,
    ) -> None:
        self._tx = tx
        self._passwords = passwords
        self._access = access
        self._refresh = refresh
        self._rules = rules
        self._attempts = attempts
        self._factor = factor
        self._letters = letters
        self._merge_cart = merge_cart

    async def register(self, caller: Caller, command: RegisterAccount) -> SignedIn:
        """Make a buyer's account and open its first session.

        Raises PasswordTooCommon, PasswordLength, AlreadyExists and Overloaded.
        """
        check_new_password(command.password, command.email, command.username, command.phone, command.full_name)
        password_hash = await self._passwords.hash(command.password)
        names = (command.email, command.username, command.phone, command.full_name)
        new = NewAccount(*names, password_hash, command.language_code)

        async def work(uow: UnitOfWork) -> tuple[Account, SessionGrant]:
            account = await create_account(uow, new, frozenset({Role.BUYER}))
            grant = await self._open(uow, caller, account, command.device_name, second_factor=False)
            await log.record(uow, _as(caller, grant), "user", account.user_id, after=account)
            return account, grant

        account, grant = await self._tx.run("auth.register", work)
        return SignedIn(account, self._pair(grant))

    async def login(self, caller: Caller, command: LogIn) -> SignedIn:
        """Open a session for whoever knows the password, and take the guest's cart along.

        Unknown logins and wrong passwords look the same and cost the same: one counted attempt, one hash. Raises
        InvalidCredentials, TooManyFailures (before the hash: what is refused there must cost nothing), Overloaded, and
        only to those who know the password TotpRequired and AccountBlocked.
        """
        account, asker = await self._find(caller, command)
        # The audit log names the account that was tried, never what was typed: people type passwords into the wrong
        # field.
        calls.current().about = f"user/{account.user_id}" if account is not None else ""
        # A flood is refused here, before it costs a write.
        self._passwords.check_room(asker)
        name = self._counted_name(command.login, asker)
        async with self._attempts.attempt(name) as turn:
            right = await self._passwords.verify(command.password, _hash_of(account), turn, asker)
        if account is None or not right:
            raise InvalidCredentials
        try:
            return await self._enter(caller, command, account, asker, name)
        except _HashChanged:
            # Another sign-in at the same moment has brought it to today's cost, or the password is another one now.
            account, asker = await self._find(caller, command)
            stored = _hash_of(account)
            if account is None or not await self._passwords.verify(command.password, stored, asker=asker):
                raise InvalidCredentials from None
            return await self._enter(caller, command, account, asker, name)

    async def _find(self, caller: Caller, command: LogIn) -> tuple[Account | None, Asker]:
        """The account that has this name, and how well it knows from where it is called."""

        async def read(unit: ReadUnit) -> tuple[Account | None, Asker]:
            account = await accounts.read_by_login(unit.connection, command.login)
            asker = await origins.asker_of(unit.connection, account, command.device_name, caller.address)
            return account, asker

        return await self._tx.read(read)

    def _counted_name(self, login: str, asker: Asker) -> CountedName:
        """Under which name a failure counts. Strangers who guess at a name do not shut the door at its owner's home."""
        if asker.lane is Lane.KNOWN and asker.user_id is not None:
            return self._attempts.home(asker.user_id)
        return self._attempts.login(login)

    async def _upgraded(self, password: str, stored: str, asker: Asker) -> str | None:
        """A hash of today's cost in place of another; None when there is no need, or no room: then next time."""
        if not self._passwords.needs_upgrade(stored):
            return None
        try:
            return await self._passwords.hash(password, asker)
        except Overloaded:
            return None

    async def _enter(
        self, caller: Caller, command: LogIn, account: Account, asker: Asker, name: CountedName
    ) -> SignedIn:
        """Open the session of an account whose password was right.

        Raises _HashChanged when the account has another hash than the one that was compared, and what `login` raises.
        """
        user_id, checked = account.user_id, account.password_hash
        names = [name]
        if not command.proof.is_empty:
            names.append(self._attempts.factor(user_id))
            await self._attempts.count(names[-1])
        upgraded = await self._upgraded(command.password, checked, asker)

        async def work(uow: UnitOfWork) -> tuple[Account, SessionGrant, MergeReport | None]:
            locked = await accounts.lock(uow.connection, user_id)
            if locked is None or locked.password_hash != checked:
                raise _HashChanged
            if locked.state is not AccountState.ACTIVE:
                raise AccountBlocked
            second = await self._factor.judge(uow, user_id, command.proof)
            await throttle.forget(uow, *names)
            if upgraded is not None:
                await accounts.upgrade_hash(uow.connection, user_id, checked, upgraded)
            merge = None
            if command.guest_cart_id is not None and self._merge_cart is not None:
                merge = await self._merge_cart(uow, user_id, command.guest_cart_id, command.merge_strategy)
            device_name, address = command.device_name, caller.address
            if not await sessions.is_known_origin(uow.connection, user_id, device_name, address):
                self._letters.new_sign_in(uow, locked, device_name, address)
            grant = await self._open(uow, caller, locked, command.device_name, second_factor=second != "")
            proven = f"password, {second}" if second else "password"
            await log.record(uow, _as(caller, grant), "user", user_id, proven)
            return locked, grant, merge

        try:
            signed_in, grant, merge = await self._tx.run("auth.login", work)
        except TotpRequired:
            if command.proof.is_empty:
                # That is how clients learn that they must ask for a code. The failures before it stay counted, or a
                # known password would buy endless guesses at the code.
                await self._attempts.give_back(name)
            raise
        return SignedIn(signed_in, self._pair(grant), merge)

    async def refresh(self, token: str) -> TokenPair:
        """Spend a refresh token for the next pair of its session.

        Raises TokenInvalid, TokenExpired, RefreshTokenReused, SessionRevoked and AccountBlocked.
        """
        presented = self._refresh.read(token)
        outcome = await self._tx.run(
            "auth.refresh", lambda uow: session.rotate(uow, self._refresh, self._rules, presented)
        )
        if isinstance(outcome, RefreshTokenReused):
            raise outcome
        return self._pair(outcome)

    async def logout(self, caller: Caller) -> None:
        """End the caller's session. Raises SessionRevoked when there is none to end."""
        session_id = caller.session_id
        if session_id is None:
            raise SessionRevoked
        await self._tx.run("auth.logout", lambda uow: session.end_session(uow, session_id))

    async def _open(
        self, uow: UnitOfWork, caller: Caller, account: Account, device_name: str, *, second_factor: bool
    ) -> SessionGrant:
        return await session.open_session(
            uow,
            self._refresh,
            self._rules,
            user_id=account.user_id,
            roles=account.roles,
            device_name=device_name,
            address=caller.address,
            second_factor=second_factor,
        )

    def _pair(self, grant: SessionGrant) -> TokenPair:
        access = self._access.issue(grant.user_id, grant.session_id, grant.roles, grant.granted_time, grant.expire_time)
        return TokenPair(grant, access)


class _HashChanged(Exception):
    """The account's hash is another one than that which was compared."""


def _hash_of(account: Account | None) -> str | None:
    return None if account is None or account.state is AccountState.DELETED else account.password_hash


def _as(caller: Caller, grant: SessionGrant) -> Caller:
    """Whom the audit log should name: the account that has just proved to be the caller."""
    return Caller(grant.user_id, grant.session_id, grant.roles, caller.address)

"""Passwords anew: changing one's own, and the way back by e-mail for who has forgotten it.

What hashes is no work of a transaction: `prepare_…` judges and hashes, and gives the work that is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

from marketd.audit import log
from marketd.audit.call import Act
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.find import find_account
from marketd.auth.accounts.hash_queue import Asker, Lane
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.passwords import Passwords, check_new_password
from marketd.auth.accounts.values import Account
from marketd.auth.codes import throttle
from marketd.auth.codes.credentials import CodeHasher, hash_token, new_token
from marketd.auth.codes.pace import Pace
from marketd.auth.codes.repository import password_resets, verifications
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.values import CountedName
from marketd.auth.errors import AccountBlocked, InvalidCredentials, LetterTokenInvalid, PasswordUnchanged
from marketd.auth.letters import Letters, language_of
from marketd.auth.sessions import session
from marketd.kernel.call import call as calls
from marketd.kernel.call.caller import SYSTEM, Caller
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import ReadUnit, UnitOfWork
from marketd.kernel.events.events import Job, Json
from marketd.kernel.work.jobs import Payload

RESET_JOB: Final = "auth.password_reset"
LIFETIME: Final = timedelta(minutes=30)
# Somebody's mailbox is not to be filled by a stranger.
PAUSE: Final = timedelta(minutes=1)
# Each is good until its own end: a stranger who asks again and again must not make those of the owner worthless.
MAX_OUT: Final = 5
# What one worker writes down for strangers: some thousands of rows a minute, which are gone after LIFETIME.
ASKED_PER_SECOND: Final = 20.0
ASKED_AT_ONCE: Final = 500
_ATTEMPTS = 5
_NOBODY: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Asks for another password."""

    current: str = field(repr=False)
    new: str = field(repr=False)


class Recovering:
    """The use cases around passwords that change."""

    def __init__(
        self, tx: Transactor, passwords: Passwords, hasher: CodeHasher, attempts: Throttle, letters: Letters
    ) -> None:
        self._tx = tx
        self._passwords = passwords
        self._hasher = hasher
        self._attempts = attempts
        self._letters = letters
        self._pace = Pace(ASKED_PER_SECOND, ASKED_AT_ONCE)

    async def request(self, email: str, address: str) -> None:
        """Have a reset token sent to the e-mail address, if an account has it; `address` is the peer's.

        The same work whether one has: a job is written, and the looking up is the job's. Never refused for the e-mail
        address; raises Overloaded when this worker is asked too often, by the peer's wide network or by all together.
        """
        self._pace.take(address)

        async def work(uow: UnitOfWork) -> None:
            lowered = email.lower()
            # While the first waits, a second would do nothing else. The key says nothing about the address.
            key = f"{RESET_JOB}:{self._address_hash(lowered).hex()}"
            payload: dict[str, Json] = {"email": lowered, "language": calls.current().language}
            uow.enqueue(Job(kind=RESET_JOB, payload=payload, dedup_key=key, max_attempts=_ATTEMPTS))

        await self._tx.run("auth.request_password_reset", work)

    async def send(self, uow: UnitOfWork, payload: Payload) -> None:
        """The job: when an active account has the address, make its token and write the letter.

        When none has, a token and a letter that nobody gets: the same statements and rows, or whoever asks often enough
        would learn from the load of the server, if not from the answer, who has an account. MAX_OUT and the pace of
        asking bound what that leaves in the tables.
        """
        email = str(payload["email"])
        address_hash = self._address_hash(email)
        found = await accounts.read_by_login(uow.connection, email)
        # Locked and looked at again: the token must not go to an address that the account is just leaving.
        account = await accounts.lock(uow.connection, _NOBODY if found is None else found.user_id)
        if not await password_resets.may_send(uow.connection, address_hash, uow.now, PAUSE, MAX_OUT):
            return
        is_somebody = account is not None and account.state is AccountState.ACTIVE and account.email == email
        user_id = account.user_id if account is not None and is_somebody else None
        token, end = new_token(), uow.now + LIFETIME
        await password_resets.insert(uow.connection, user_id, address_hash, hash_token(token), uow.now, end)
        language = (account.language_code if account is not None and is_somebody else "") or str(
            payload.get("language", "")
        )
        self._letters.password_reset(uow, email, token, LIFETIME, language=language, to_nobody=user_id is None)
        comment = "" if user_id else "no active account has the address"
        await log.record(uow, SYSTEM, "user", user_id or "", comment, act=Act.SEND_RESET_LETTER)

    async def send_token(self, uow: UnitOfWork, account: Account) -> None:
        """A reset token and its letter for a locked, active account whose e-mail address was just restored.

        It does not count who asked before and how often.
        """
        token, end = new_token(), uow.now + LIFETIME
        address_hash = self._address_hash(account.email)
        await password_resets.insert(uow.connection, account.user_id, address_hash, hash_token(token), uow.now, end)
        self._letters.password_reset(uow, account.email, token, LIFETIME, language=language_of(account), undone=True)

    async def prepare_reset(self, caller: Caller, token: str, password: str) -> Work[None]:
        """The work that sets the password and ends every session.

        Both raise LetterTokenInvalid, and this the new password's refusals.
        """
        token_hash = hash_token(token)
        account = await self._tx.read(lambda unit: _holder(unit, token_hash))
        if account is None:
            raise LetterTokenInvalid
        calls.current().about = f"user/{account.user_id}"
        check_new_password(
            password, account.email, account.username, account.phone, account.full_name, field="new_password"
        )
        # Who holds the token reads the account's mailbox.
        password_hash = await self._passwords.hash(password, Asker(Lane.KNOWN, account.user_id))

        async def work(uow: UnitOfWork) -> None:
            # The account first: that is the order in which everybody locks.
            locked = await self._set(uow, caller, account.user_id, password_hash)
            owner_id = await password_resets.user_of(uow.connection, token_hash, uow.now)
            if locked is None or owner_id != account.user_id:
                # Used by somebody else while we hashed.
                raise LetterTokenInvalid
            # All that are out: the others went to whoever reads the same mailbox.
            await password_resets.delete_all(uow.connection, account.user_id)
            await verifications.void_changes(uow.connection, account.user_id)
            await session.end_sessions(uow, locked.user_id)
            await throttle.forget(uow, *self._names(locked))
            owner = Caller(locked.user_id, None, locked.roles, caller.address)
            await log.record(uow, owner, "user", locked.user_id)

        return work

    async def prepare_change(self, caller: Caller, command: ChangePassword) -> Work[None]:
        """The work that sets the password and ends the other sessions.

        Raises InvalidCredentials, TooManyFailures, AccountBlocked, NotFound for services, and what the new password is
        refused for.
        """
        account = await self._tx.read(lambda unit: find_account(unit.connection, caller.known_user_id))
        check_new_password(
            command.new, account.email, account.username, account.phone, account.full_name, field="new_password"
        )
        if command.new == command.current:
            # Before the guess is judged and counted: a right one must not count as failed.
            raise PasswordUnchanged
        name = self._attempts.account(account.user_id)
        asker = Asker(Lane.KNOWN, account.user_id)
        async with self._attempts.attempt(name) as turn:
            right = await self._passwords.verify(command.current, account.password_hash, turn, asker)
        if not right:
            raise InvalidCredentials
        password_hash = await self._passwords.hash(command.new, asker)
        checked = account.password_hash

        async def work(uow: UnitOfWork) -> None:
            locked = await accounts.lock(uow.connection, caller.known_user_id)
            if locked is None or locked.password_hash != checked:
                # Changed while we hashed: what was right is no longer.
                raise InvalidCredentials
            if await self._set(uow, caller, caller.known_user_id, password_hash) is None:
                raise AccountBlocked
            await password_resets.delete_all(uow.connection, caller.known_user_id)
            # What waits was asked for with the former password, perhaps by the one it is changed for.
            await verifications.void_changes(uow.connection, caller.known_user_id)
            await session.end_sessions(uow, caller.known_user_id, but=caller.session_id)
            await throttle.forget(uow, name)
            await log.record(uow, caller, "user", caller.known_user_id)

        return work

    def _address_hash(self, address: str) -> bytes:
        return self._hasher.name("reset", address)

    async def _set(self, uow: UnitOfWork, caller: Caller, user_id: UUID, password_hash: str) -> Account | None:
        account = await accounts.lock(uow.connection, user_id)
        if account is None or account.state is not AccountState.ACTIVE:
            return None
        await accounts.set_password_hash(uow.connection, user_id, password_hash, uow.now)
        self._letters.password_changed(uow, account, caller.address)
        return account

    def _names(self, account: Account) -> list[CountedName]:
        """Every name under which failures of this account are counted."""
        logins = [account.email, account.username, account.phone]
        by_account = [self._attempts.account(account.user_id), self._attempts.home(account.user_id)]
        return [*by_account, *map(self._attempts.login, filter(None, logins))]


async def _holder(unit: ReadUnit, token_hash: bytes) -> Account | None:
    user_id = await password_resets.user_of(unit.connection, token_hash, unit.now)
    return None if user_id is None else await accounts.read(unit.connection, user_id)

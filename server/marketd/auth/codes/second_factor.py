"""The second factor: enrolling, confirming and removing an authenticator (RFC 6238), and judging its codes at sign-in.

The secret is sealed for its account; a time step is good once; recovery codes are stored as keyed hashes and good once.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import pyotp

from marketd.audit import log
from marketd.auth.accounts.model import AccountState
from marketd.auth.accounts.repository import AccountRepository, AccountRow
from marketd.auth.codes import throttle
from marketd.auth.codes.credentials import CodeHasher, new_recovery_codes
from marketd.auth.codes.factor_repository import FactorRepository, FactorRow
from marketd.auth.codes.throttle import Name, Throttle
from marketd.auth.errors import CodeWrong, TotpRequired
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition, NotFound
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork

STEP_SECONDS = 30
# One step to either side, for clocks that differ (RFC 6238, 5.2).
_WINDOW = 1


@dataclass(frozen=True, slots=True)
class Proof:
    """What somebody presents as second factor; empty texts mean nothing."""

    totp_code: str = field(default="", repr=False)
    recovery_code: str = field(default="", repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was presented."""
        return not self.totp_code and not self.recovery_code


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What an authenticator needs to know."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactor:
    """The use cases around authenticators. `issuer` is what they show beside the code."""

    def __init__(
        self, tx: Transactor, seal: Seal, hasher: CodeHasher, attempts: Throttle, letters: Letters, *, issuer: str
    ) -> None:
        self._tx = tx
        self._seal = seal
        self._hasher = hasher
        self._attempts = attempts
        self._letters = letters
        self._issuer = issuer

    async def enroll(self, caller: Caller) -> Enrollment:
        """Make a secret that waits to be confirmed. Raises IllegalTransition when one is in use, and NotFound."""
        return await self._tx.run("auth.enroll_totp", lambda uow: self._enroll(uow, caller))

    async def confirm(self, caller: Caller, code: str) -> list[str]:
        """Put the waiting authenticator into use; its recovery codes. Raises CodeWrong, IllegalTransition, NotFound."""
        return await self._tx.run("auth.confirm_totp", lambda uow: self._confirm(uow, caller, code))

    async def disable(self, caller: Caller, proof: Proof) -> None:
        """Remove the authenticator. Raises TotpRequired, IllegalTransition, NotFound and TooManyFailures."""
        name = self._attempts.factor(caller.known_user_id)
        # A stolen session must not find the code by trying a million.
        await self._attempts.take(name)
        await self._tx.run("auth.disable_totp", lambda uow: self._disable(uow, caller, proof, name))

    async def judge(self, uow: UnitOfWork, user_id: UUID, proof: Proof) -> str:
        """At sign-in, in its transaction with the account locked: spend the proof. Raises TotpRequired.

        Returns what the audit log says beside the password: "TOTP", "recovery code", or nothing. An account without an
        authenticator needs none, whatever was presented.
        """
        repository = FactorRepository(uow.connection)
        factor = await repository.by_account(user_id)
        if factor is None or not factor.is_confirmed:
            return ""
        if not await self._spend(repository, user_id, factor, proof, uow.now):
            raise TotpRequired
        return "TOTP" if proof.totp_code else "recovery code"

    async def _enroll(self, uow: UnitOfWork, caller: Caller) -> Enrollment:
        account = await _locked(uow, caller)
        repository = FactorRepository(uow.connection)
        factor = await repository.by_account(account.user_id)
        if factor is not None and factor.is_confirmed:
            raise IllegalTransition("second factor", "ENABLED", ["DISABLED"])
        secret = pyotp.random_base32()
        await repository.put(account.user_id, self._seal.close(secret.encode(), _context(account.user_id)), uow.now)
        await log.record(uow, caller, "user", account.user_id)
        uri = pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=self._issuer)
        return Enrollment(secret, uri)

    async def _confirm(self, uow: UnitOfWork, caller: Caller, code: str) -> list[str]:
        account = await _locked(uow, caller)
        user_id = account.user_id
        repository = FactorRepository(uow.connection)
        factor = await repository.by_account(user_id)
        if factor is None or factor.is_confirmed:
            raise IllegalTransition("second factor", "DISABLED" if factor is None else "ENABLED", ["ENROLLED"])
        if not await self._spend(repository, user_id, factor, Proof(totp_code=code), uow.now):
            raise CodeWrong("totp_code")
        await repository.confirm(user_id, uow.now)
        codes = new_recovery_codes()
        await repository.add_recovery_codes(user_id, [self._hasher.recovery(user_id, each) for each in codes])
        await AccountRepository(uow.connection).touch(user_id, uow.now)
        self._letters.totp_changed(uow, account, enabled=True)
        await log.record(uow, caller, "user", user_id)
        return codes

    async def _disable(self, uow: UnitOfWork, caller: Caller, proof: Proof, name: Name) -> None:
        account = await _locked(uow, caller)
        user_id = account.user_id
        repository = FactorRepository(uow.connection)
        factor = await repository.by_account(user_id)
        if factor is None or not factor.is_confirmed:
            raise IllegalTransition("second factor", "DISABLED", ["ENROLLED"])
        if not await self._spend(repository, user_id, factor, proof, uow.now):
            raise TotpRequired
        await repository.delete(user_id)
        await AccountRepository(uow.connection).touch(user_id, uow.now)
        await throttle.forget(uow, name)
        self._letters.totp_changed(uow, account, enabled=False)
        await log.record(uow, caller, "user", user_id)

    async def _spend(
        self, repository: FactorRepository, user_id: UUID, factor: FactorRow, proof: Proof, now: datetime
    ) -> bool:
        if proof.totp_code:
            secret = self._seal.open(factor.sealed_secret, _context(user_id)).decode()
            step = _matching_step(secret, proof.totp_code, now)
            return step is not None and await repository.spend_step(user_id, step)
        if proof.recovery_code and factor.is_confirmed:
            code_hash = self._hasher.recovery(user_id, proof.recovery_code)
            return await repository.spend_recovery_code(user_id, code_hash)
        return False


async def _locked(uow: UnitOfWork, caller: Caller) -> AccountRow:
    account = await AccountRepository(uow.connection).lock(caller.known_user_id)
    if account is None or account.state is not AccountState.ACTIVE:
        # A service has no authenticator.
        raise NotFound("user", caller.known_user_id)
    return account


def _matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step that the code belongs to; each is compared, so that time tells nothing."""
    current = int(now.timestamp()) // STEP_SECONDS
    otp = pyotp.TOTP(secret, interval=STEP_SECONDS)
    found = None
    for step in range(current - _WINDOW, current + _WINDOW + 1):
        if hmac.compare_digest(otp.generate_otp(step), code):
            found = step
    return found


def _context(user_id: UUID) -> str:
    return f"totp:{user_id}"

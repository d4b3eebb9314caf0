"""The second factor: enrolling, confirming and removing an authenticator (RFC 6238), and judging its codes at sign-in.

The secret is sealed for its account; a time step is good once; recovery codes are stored as keyed hashes and good once.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pyotp

from marketd.audit import log
from marketd.auth.accounts import repository as accounts
from marketd.auth.accounts.find import lock_active
from marketd.auth.accounts.values import Account
from marketd.auth.codes import throttle
from marketd.auth.codes.credentials import CodeHasher, new_recovery_codes
from marketd.auth.codes.repository import factors
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.values import Authenticator, CountedName, Enrollment, FactorProof
from marketd.auth.errors import CodeWrong, TotpRequired
from marketd.auth.letters import Letters
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import IllegalTransition
from marketd.kernel.call.seal import Seal
from marketd.kernel.db.database import Connection
from marketd.kernel.db.transactor import Transactor, Work
from marketd.kernel.db.uow import UnitOfWork

STEP_SECONDS = 30
# One step to either side, for clocks that differ (RFC 6238, 5.2).
_WINDOW = 1


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

    async def enroll(self, uow: UnitOfWork, caller: Caller, account: Account) -> Enrollment:
        """Make a secret that waits to be confirmed, for a locked account that has none in use."""
        secret = pyotp.random_base32()
        sealed = self._seal.close(secret.encode(), _context(account.user_id))
        await factors.put(uow.connection, account.user_id, sealed, uow.now)
        await log.record(uow, caller, "user", account.user_id)
        uri = pyotp.TOTP(secret).provisioning_uri(name=account.email, issuer_name=self._issuer)
        return Enrollment(secret, uri)

    async def confirm(self, caller: Caller, code: str) -> list[str]:
        """Put the waiting authenticator into use; its recovery codes. Raises CodeWrong, IllegalTransition, NotFound."""
        return await self._tx.run("auth.confirm_totp", lambda uow: self._confirm(uow, caller, code))

    async def prepare_disable(self, caller: Caller, proof: FactorProof) -> Work[None]:
        """Count the attempt; the work that removes the authenticator.

        Raises TooManyFailures, and the work TotpRequired, IllegalTransition and NotFound.
        """
        name = self._attempts.factor(caller.known_user_id)
        # A stolen session must not find the code by trying a million.
        await self._attempts.count(name)
        return lambda uow: self._disable(uow, caller, proof, name)

    async def judge(self, uow: UnitOfWork, user_id: UUID, proof: FactorProof) -> str:
        """At sign-in or as a proof, in its transaction with the account locked: spend it. Raises TotpRequired.

        Returns what the audit log says beside the password: "TOTP", "recovery code", or nothing. An account without an
        authenticator needs none, whatever was presented.
        """
        factor = await factors.read(uow.connection, user_id)
        if factor is None or not factor.is_confirmed:
            return ""
        if not await self._spend(uow.connection, user_id, factor, proof, uow.now):
            raise TotpRequired
        return "TOTP" if proof.totp_code else "recovery code"

    async def _confirm(self, uow: UnitOfWork, caller: Caller, code: str) -> list[str]:
        account = await lock_active(uow, caller.known_user_id)
        user_id = account.user_id
        factor = await factors.read(uow.connection, user_id)
        if factor is None or factor.is_confirmed:
            raise IllegalTransition("second factor", "DISABLED" if factor is None else "ENABLED", ["ENROLLED"])
        if not await self._spend(uow.connection, user_id, factor, FactorProof(totp_code=code), uow.now):
            raise CodeWrong("totp_code")
        await factors.confirm(uow.connection, user_id, uow.now)
        codes = new_recovery_codes()
        hashes = [self._hasher.recovery(user_id, each) for each in codes]
        await factors.add_recovery_codes(uow.connection, user_id, hashes)
        await accounts.touch(uow.connection, user_id, uow.now)
        self._letters.totp_changed(uow, account, enabled=True)
        after = replace(account, totp_enabled=True)
        await log.record(uow, caller, "user", user_id, before=account, after=after)
        return codes

    async def _disable(self, uow: UnitOfWork, caller: Caller, proof: FactorProof, name: CountedName) -> None:
        account = await lock_active(uow, caller.known_user_id)
        user_id = account.user_id
        factor = await factors.read(uow.connection, user_id)
        if factor is None or not factor.is_confirmed:
            raise IllegalTransition("second factor", "DISABLED", ["ENROLLED"])
        if not await self._spend(uow.connection, user_id, factor, proof, uow.now):
            raise TotpRequired
        await factors.delete_all(uow.connection, user_id)
        await accounts.touch(uow.connection, user_id, uow.now)
        await throttle.forget(uow, name)
        self._letters.totp_changed(uow, account, enabled=False)
        after = replace(account, totp_enabled=False)
        await log.record(uow, caller, "user", user_id, before=account, after=after)

    async def _spend(
        self, connection: Connection, user_id: UUID, factor: Authenticator, proof: FactorProof, now: datetime
    ) -> bool:
        if proof.totp_code:
            secret = self._seal.open(factor.sealed_secret, _context(user_id)).decode()
            step = _matching_step(secret, proof.totp_code, now)
            return step is not None and await factors.spend_step(connection, user_id, step)
        if proof.recovery_code and factor.is_confirmed:
            code_hash = self._hasher.recovery(user_id, proof.recovery_code)
            return await factors.spend_recovery_code(connection, user_id, code_hash)
        return False


def refuse_another(account: Account) -> None:
    """Refuse to set up a second factor beside one that is in use. Raises IllegalTransition."""
    if account.totp_enabled:
        raise IllegalTransition("second factor", "ENABLED", ["DISABLED"])


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

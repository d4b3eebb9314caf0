"""Proving once more that it is the owner who asks, not whoever got hold of a token: by the password or a second factor.

What hashes is no work of a transaction: `judge` counts and hashes before it, and `settle` is what is left for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from marketd.auth.accounts.hash_queue import Asker, Lane
from marketd.auth.accounts.passwords import Passwords
from marketd.auth.accounts.values import Account
from marketd.auth.codes import throttle
from marketd.auth.codes.second_factor import SecondFactor
from marketd.auth.codes.throttle import Throttle
from marketd.auth.codes.values import CountedName, FactorProof, Proof
from marketd.auth.errors import InvalidCredentials, NoSecondFactor, ProofMissing, TotpRequired
from marketd.kernel.db.uow import UnitOfWork


@dataclass(frozen=True, slots=True)
class Judged:
    """A proof that was counted, and a password that was right: the one behind `checked_hash`."""

    name: CountedName
    factor: FactorProof
    checked_hash: str = field(default="", repr=False)


class Proving:
    """Judges proofs as ChangePassword and DisableTotp judge theirs: throttled by account, in the lane of the known."""

    def __init__(self, passwords: Passwords, attempts: Throttle, factor: SecondFactor) -> None:
        self._passwords = passwords
        self._attempts = attempts
        self._factor = factor

    async def judge(self, account: Account, proof: Proof) -> Judged:
        """Count the attempt, and hold the password against that of the caller's account as it was read.

        What else may be refused is better refused before, or a right proof counts as failed. Raises ProofMissing,
        InvalidCredentials, TooManyFailures, Overloaded and NoSecondFactor.
        """
        user_id = account.user_id
        if not proof.factor.is_empty:
            if not account.totp_enabled:
                raise NoSecondFactor("totp_code" if proof.factor.totp_code else "recovery_code")
            name = self._attempts.factor(user_id)
            await self._attempts.count(name)
            return Judged(name, proof.factor)
        if not proof.password:
            raise ProofMissing
        return await self.judge_password(account, proof.password)

    async def judge_password(self, account: Account, password: str) -> Judged:
        """The same for a password alone. Raises InvalidCredentials, TooManyFailures and Overloaded."""
        name = self._attempts.account(account.user_id)
        asker = Asker(Lane.KNOWN, account.user_id)
        async with self._attempts.attempt(name) as turn:
            right = await self._passwords.verify(password, account.password_hash, turn, asker)
        if not right:
            raise InvalidCredentials
        return Judged(name, FactorProof(), account.password_hash)

    async def settle(self, uow: UnitOfWork, account: Account, judged: Judged) -> None:
        """In the transaction of what is asked for, with the account locked: the code is spent, the count forgotten.

        Raises TotpRequired, and InvalidCredentials for a password that was changed since it was judged.
        """
        if judged.factor.is_empty:
            await settle_password(uow, account, judged)
            return
        if not await self._factor.judge(uow, account.user_id, judged.factor):
            # The factor went since the proof was counted: then no code is one.
            raise TotpRequired
        await throttle.forget(uow, judged.name)


async def settle_password(uow: UnitOfWork, account: Account, judged: Judged) -> None:
    """The same for what judge_password gave. Raises InvalidCredentials."""
    if account.password_hash != judged.checked_hash:
        raise InvalidCredentials
    await throttle.forget(uow, judged.name)

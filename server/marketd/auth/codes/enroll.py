"""Enrolling an authenticator: only for whoever knows the password, or a stolen session would lock its owner out."""

from __future__ import annotations

from marketd.auth.accounts.find import find_account, lock_active
from marketd.auth.codes.proof import Proving, settle_password
from marketd.auth.codes.second_factor import SecondFactor, refuse_another
from marketd.auth.codes.values import Enrollment
from marketd.kernel.call.caller import Caller
from marketd.kernel.db.transactor import Transactor
from marketd.kernel.db.uow import UnitOfWork


class Enrolling:
    """The use case."""

    def __init__(self, tx: Transactor, proving: Proving, factor: SecondFactor) -> None:
        self._tx = tx
        self._proving = proving
        self._factor = factor

    async def enroll(self, caller: Caller, password: str) -> Enrollment:
        """Make a secret that waits to be confirmed, in place of one that waited before.

        Raises IllegalTransition when one is in use, InvalidCredentials, TooManyFailures, Overloaded, and NotFound.
        """
        known = await self._tx.read(lambda unit: find_account(unit.connection, caller.known_user_id))
        refuse_another(known)
        judged = await self._proving.judge_password(known, password)

        async def work(uow: UnitOfWork) -> Enrollment:
            account = await lock_active(uow, caller.known_user_id)
            refuse_another(account)
            await settle_password(uow, account, judged)
            return await self._factor.enroll(uow, caller, account)

        return await self._tx.run("auth.enroll_totp", work)

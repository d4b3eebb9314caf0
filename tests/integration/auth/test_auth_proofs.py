"""What asks for a proof of the owner besides: enrolling an authenticator, and deleting the account."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pyotp
import pytest
from marketd.auth.codes import throttle
from marketd.auth.errors import AccountHeld, InvalidCredentials, NoSecondFactor, TooManyFailures, TotpRequired
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller
from marketd.kernel.call.refusals import EtagMismatch, IllegalTransition, NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import user_service_pb2 as pb

from tests.canaries import MARK, WATCH
from tests.worlds.auth import PASSWORD

if TYPE_CHECKING:
    from tests.worlds.auth import House

WRONG = f"wrong horse battery {MARK}"
CONTEXT = cast("Any", None)


async def _delete(house: House, caller: Caller, *holders: Any, **fields: Any) -> None:
    calls.enter(Call(caller=caller))
    await house.users(*holders).DeleteUser(pb.DeleteUserRequest(**{"user_id": "me", **fields}), CONTEXT)


async def test_an_authenticator_is_set_up_by_who_knows_the_password(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    for _ in range(throttle.FREE):
        with pytest.raises(InvalidCredentials):
            await house.enroll(caller, WRONG)
    with pytest.raises(TooManyFailures):
        await house.enroll(caller)
    house.clock.advance(timedelta(minutes=1))
    first, second = await house.enroll(caller), await house.enroll(caller)
    assert first.secret != second.secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(second.secret).at(house.clock.now())))
    hashes = house.passwords.hashes
    with pytest.raises(IllegalTransition):
        await house.enroll(caller)
    assert house.passwords.hashes == hashes


async def test_an_account_is_deleted_by_its_password_and_not_by_a_wrong_one(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    with pytest.raises(InvalidCredentials):
        await _delete(house, caller, password=WRONG)
    with pytest.raises(NoSecondFactor):
        await _delete(house, caller, totp_code="123456")
    assert (await house.login("jo")).account.user_id == caller.user_id
    await _delete(house, caller, password=PASSWORD)
    with pytest.raises(InvalidCredentials):
        await house.login("jo")


async def test_an_account_is_deleted_by_a_code_that_is_fresh(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    secret = (await house.enroll(caller)).secret
    used = WATCH.code(pyotp.TOTP(secret).at(house.clock.now()))
    codes = await house.factor.confirm(caller, used)
    with pytest.raises(TotpRequired):
        await _delete(house, caller, totp_code=used)
    with pytest.raises(TotpRequired):
        await _delete(house, caller, recovery_code="WRONG-CODES")
    await _delete(house, caller, recovery_code=codes[0])
    with pytest.raises(InvalidCredentials):
        await house.login("jo")


async def test_what_is_in_the_way_is_said_before_the_proof_is_judged(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    hashes = house.passwords.hashes

    async def shop(uow: UnitOfWork, user_id: UUID) -> str | None:
        return "seller 7"

    with pytest.raises(AccountHeld):
        await _delete(house, caller, shop, password=WRONG)
    with pytest.raises(EtagMismatch):
        await _delete(house, caller, password=WRONG, etag="v99")
    with pytest.raises(NotFound):
        await _delete(house, caller, password=WRONG, user_id=str(new_id()))
    await _delete(house, caller, password=WRONG, user_id=str(new_id()), allow_missing=True)
    assert house.passwords.hashes == hashes


async def test_what_comes_into_the_way_while_the_password_is_hashed_still_counts(house: House) -> None:
    caller = await house.caller(await house.register("jo"))
    asked = 0

    async def order(uow: UnitOfWork, user_id: UUID) -> str | None:
        nonlocal asked
        asked += 1
        return "order K7QD-2XMP" if asked > 1 else None

    with pytest.raises(AccountHeld):
        await _delete(house, caller, order, password=PASSWORD)
    assert (await house.login("jo")).account.user_id == caller.user_id

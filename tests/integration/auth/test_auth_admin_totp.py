"""MARKETD_ADMIN_TOTP: the role ADMIN counts in sessions that were opened with a second factor, and in no others."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import jwt
import pyotp
import pytest
from marketd.auth import service
from marketd.auth.sessions.sign_in import TokenPair
from marketd.kernel.call.caller import Role
from marketd.kernel.db.uow import UnitOfWork

from tests.canaries import WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

BOTH, PLAIN = {Role.ADMIN, Role.BUYER}, {Role.BUYER}


async def _roles(house: House, pair: TokenPair) -> tuple[set[Role], set[str]]:
    """As the server knows them, and as the token tells other services."""
    caller = await house.principals.authenticate(pair.access.text)
    claimed = jwt.decode(pair.access.text, options={"verify_signature": False})["roles"]
    return set(caller.roles), set(claimed)


@pytest.mark.parametrize("asked_for", [True, False])
async def test_an_admin_acts_as_one_only_after_a_second_factor(builder: Builder, asked_for: bool) -> None:
    house = await builder.build(admin_totp=asked_for)
    first = await house.register("boss")

    async def promote(uow: UnitOfWork) -> None:
        await service.grant_role(uow, first.account.user_id, Role.ADMIN)

    await house.tx.run("test.admin", promote)
    without = PLAIN if asked_for else BOTH
    plain = await house.login("boss")
    for pair in (plain.tokens, await house.signing_in.refresh(plain.tokens.grant.refresh.text)):
        assert await _roles(house, pair) == (without, {role.value for role in without})
    caller = await house.caller(plain)
    assert caller.withheld == ({Role.ADMIN} if asked_for else set())
    assert plain.account.roles == BOTH  # the account is an admin's all the same
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    await house.principals.poll()
    assert (await _roles(house, plain.tokens))[0] == without  # the session stays what it was
    house.clock.advance(timedelta(seconds=60))
    proven = await house.login("boss", code=WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    for pair in (proven.tokens, await house.signing_in.refresh(proven.tokens.grant.refresh.text)):
        assert await _roles(house, pair) == (BOTH, {"ADMIN", "BUYER"})
    assert (await house.caller(proven)).withheld == set()

"""Accounts through the servicers and for other slices: who sees whom, roles, the first admin, sign-in as messages."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pyotp
import pytest
from marketd.auth import service, sweeps
from marketd.auth.accounts import block
from marketd.auth.errors import InvalidCredentials, LetterTokenInvalid, SessionRevoked
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import NotFound
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import auth_service_pb2, user_pb2, user_service_pb2
from marketplace.policy.v1 import policy_pb2

from tests.canaries import MARK, WATCH

if TYPE_CHECKING:
    from tests.worlds.auth import House

OPERATORS = f"the operator's own {MARK}"
PASSWORD = f"correct horse battery {MARK}"
# The servicers take nothing from the rpc's context: what they need of the call is in kernel.call.
CONTEXT = cast("Any", None)


def _enter(user_id: UUID | None, *roles: Role, session_id: UUID | None = None) -> None:
    calls.enter(Call(caller=Caller(user_id, session_id, frozenset(roles), "192.0.2.7"), user_agent="grpc-test/1"))


async def _get(house: House, user_id: object) -> user_pb2.User:
    request = user_service_pb2.GetUserRequest(user_id=str(user_id))
    return (await house.users().GetUser(request, CONTEXT)).user


async def test_the_whole_sign_in_as_messages(house: House) -> None:
    servicer = house.servicer
    _enter(None)
    registered = await servicer.Register(
        auth_service_pb2.RegisterRequest(email="Jo@shop.example", password=PASSWORD, full_name="Jo Doe"), CONTEXT
    )
    assert registered.user.email == "jo@shop.example"
    assert list(registered.user.roles) == [policy_pb2.ROLE_BUYER]
    assert registered.user.state == user_pb2.USER_STATE_ACTIVE
    signed_in = await servicer.Login(auth_service_pb2.LoginRequest(login="jo@shop.example", password=PASSWORD), CONTEXT)
    assert not signed_in.HasField("cart_merge")
    refreshed = await servicer.RefreshTokens(
        auth_service_pb2.RefreshTokensRequest(refresh_token=signed_in.tokens.refresh_token), CONTEXT
    )
    assert refreshed.tokens.session_id == signed_in.tokens.session_id
    assert refreshed.tokens.refresh_expire_time == signed_in.tokens.refresh_expire_time
    caller = await house.principals.authenticate(refreshed.tokens.access_token)
    calls.enter(Call(caller=caller))
    await servicer.Logout(auth_service_pb2.LogoutRequest(), CONTEXT)
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(refreshed.tokens.access_token)
    devices = await house.tx.read(lambda unit: unit.connection.fetch("SELECT device_name, address FROM sessions"))
    assert {tuple(row.values()) for row in devices} == {("grpc-test/1", "192.0.2.7")}


async def test_an_account_shows_to_its_owner_admins_and_services_only(house: House) -> None:
    mine = (await house.register()).account.user_id
    other = (await house.register()).account.user_id
    _enter(mine, Role.BUYER)
    assert (await _get(house, "me")).user_id == (await _get(house, mine)).user_id == str(mine)
    refusals = []
    for foreign in (other, new_id()):
        with pytest.raises(NotFound) as refused:
            await _get(house, foreign)
        refusals.append(refused.value.message.replace(str(foreign), "X"))
    assert refusals[0] == refusals[1]
    for role in (Role.ADMIN, Role.SERVICE):
        _enter(new_id(), role)
        assert (await _get(house, other)).user_id == str(other)


async def test_roles_come_and_go_and_change_the_etag(house: House) -> None:
    user_id = (await house.register()).account.user_id
    _enter(user_id, Role.BUYER)
    before = await _get(house, "me")

    async def twice(uow: UnitOfWork) -> None:
        await service.grant_role(uow, user_id, Role.SELLER)
        await service.grant_role(uow, user_id, Role.SELLER)

    await house.tx.run("test.grant", twice)
    after = await _get(house, "me")
    assert list(after.roles) == [policy_pb2.ROLE_BUYER, policy_pb2.ROLE_SELLER]
    assert after.etag != before.etag
    await house.tx.run("test.revoke", lambda uow: service.revoke_role(uow, user_id, Role.SELLER))
    assert list((await _get(house, "me")).roles) == [policy_pb2.ROLE_BUYER]
    kinds = await house.tx.read(lambda unit: unit.connection.fetch("SELECT kind FROM access_changes ORDER BY position"))
    assert [row["kind"] for row in kinds] == ["ROLE_GRANTED", "ROLE_REVOKED"]
    with pytest.raises(NotFound):
        await house.tx.run("test.nobody", lambda uow: service.grant_role(uow, new_id(), Role.SELLER))


async def test_a_profile_tells_other_slices_who_somebody_is(house: House) -> None:
    user_id = (await house.register("jo")).account.user_id
    profile = await house.tx.read(lambda unit: service.read_profile(unit, user_id))
    assert (profile.full_name, profile.first_name, profile.email) == ("Jo Doe", "Jo", "jo@shop.example")


async def test_the_first_admin_is_made_once(house: House) -> None:
    password_hash = await house.passwords.hash(PASSWORD)

    async def make(uow: UnitOfWork) -> service.AdminCreated:
        return await service.create_admin(uow, "Admin@shop.example", password_hash)

    first = await house.tx.run("test.admin", make)
    again = await house.tx.run("test.admin", make)
    assert (first.created, again.created, again.promoted) == (True, False, False)
    assert first.user_id == again.user_id
    assert Role.ADMIN in (await house.login("admin@shop.example")).account.roles


async def test_whoever_registered_the_admins_address_first_does_not_become_the_admin(house: House) -> None:
    squatter = await house.register("admin")
    password_hash = await house.passwords.hash("the operator's own")
    promoted = await house.tx.run(
        "test.admin", lambda uow: service.create_admin(uow, "admin@shop.example", password_hash)
    )
    assert (promoted.user_id, promoted.promoted) == (squatter.account.user_id, True)
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(squatter.tokens.access.text)
    with pytest.raises(SessionRevoked):
        await house.signing_in.refresh(squatter.tokens.grant.refresh.text)
    with pytest.raises(InvalidCredentials):
        await house.login("admin")
    assert Role.ADMIN in (await house.login("admin", "the operator's own")).account.roles


async def test_who_registered_the_operators_address_first_cannot_keep_the_operator_out(house: House) -> None:
    squatter = await house.register("admin")
    caller = await house.caller(squatter)
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))
    await house.recovering.request("admin@shop.example", caller.address)
    await house.deliver()
    await house.tx.run("test.block", lambda uow: block.block_account(uow, caller.known_user_id))
    password_hash = await house.passwords.hash(OPERATORS)
    await house.tx.run("test.admin", lambda uow: service.create_admin(uow, "admin@shop.example", password_hash))
    signed_in = await house.login("admin@shop.example", OPERATORS)
    assert Role.ADMIN in signed_in.account.roles
    assert not signed_in.account.totp_enabled
    with pytest.raises(LetterTokenInvalid):
        await house.reset(caller, house.mailbox.last("password_reset")["token"], f"mine again {OPERATORS}")


async def test_an_operator_removes_a_factor_that_its_owner_lost(house: House) -> None:
    signed_in = await house.register("jo")
    caller = await house.caller(signed_in)
    secret = (await house.enroll(caller)).secret
    await house.factor.confirm(caller, WATCH.code(pyotp.TOTP(secret).at(house.clock.now())))

    async def remove(login: str) -> bool:
        return await house.tx.run("test.remove", lambda uow: service.disable_totp(uow, house.letters, login))

    assert await remove("JO@shop.example")
    with pytest.raises(SessionRevoked):  # whoever set it up may be in one of them
        await house.principals.authenticate(signed_in.tokens.access.text)
    assert not (await house.login("jo")).account.totp_enabled
    await house.deliver()
    assert house.mailbox.templates()[-2:] == ["totp_enabled", "totp_disabled"]
    entries = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT actor_kind, resource_id FROM audit_entries WHERE method = 'marketd disable-totp'"
        )
    )
    assert [tuple(row) for row in entries] == [("SYSTEM", str(caller.user_id))]
    assert not await remove("jo")
    with pytest.raises(NotFound):
        await remove("nobody")


async def test_housekeeping_deletes_what_has_served_its_time_and_nothing_else(house: House) -> None:
    old = await house.register("keeper")
    assert await house.tx.run("test.sweep", sweeps.sweep) == 0
    house.clock.advance(timedelta(days=61))
    fresh = await house.login("keeper")
    assert await house.tx.run("test.sweep", sweeps.sweep) == 1
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(
            house.access.issue(
                old.account.user_id,
                old.tokens.grant.session_id,
                {Role.BUYER},
                house.clock.now(),
                house.clock.now() + timedelta(days=1),
            ).text
        )
    assert (await house.signing_in.refresh(fresh.tokens.grant.refresh.text)).grant.roles == {Role.BUYER}

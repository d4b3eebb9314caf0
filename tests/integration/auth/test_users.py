"""Accounts as owners and admins handle them, on real Postgres: changes, deletion, roles, blocks, lists, and races."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import pytest
from marketd.auth import service
from marketd.auth.accounts import block, find, roles
from marketd.auth.accounts import repository as accounts
from marketd.auth.codes.model import VerificationChannel
from marketd.auth.errors import AccountBlocked, InvalidCredentials, LastAdmin, SessionRevoked
from marketd.auth.sessions.sign_in import SignedIn
from marketd.kernel.call import call as calls
from marketd.kernel.call.call import Call, OnceKey
from marketd.kernel.call.caller import Caller, Role
from marketd.kernel.call.refusals import (
    AlreadyExists,
    EtagMismatch,
    IllegalTransition,
    InUse,
    NotFound,
)
from marketd.kernel.db.uow import UnitOfWork
from marketd.kernel.values.ids import new_id
from marketplace.auth.v1 import user_pb2
from marketplace.auth.v1 import user_service_pb2 as pb
from marketplace.policy.v1 import policy_pb2

from tests.worlds.auth import PASSWORD

if TYPE_CHECKING:
    from tests.worlds.auth import Builder, House

# The servicer takes nothing from the rpc's context: what it needs of the call is in kernel.call.
CONTEXT = cast("Any", None)


def _enter(user_id: UUID | None, *roles: Role) -> Caller:
    caller = Caller(user_id, None, frozenset(roles), "192.0.2.7")
    calls.enter(Call(caller=caller))
    return caller


async def _admin(house: House) -> SignedIn:
    done = await house.register()
    await house.tx.run("test.admin", lambda uow: service.grant_role(uow, done.account.user_id, Role.ADMIN))
    return done


async def _update(house: House, who: UUID, /, *paths: str, etag: str = "", **fields: str) -> user_pb2.User:
    _enter(who, Role.BUYER)
    user = user_pb2.User(**cast("Any", {"user_id": str(who), "etag": etag, **fields}))
    request = pb.UpdateUserRequest(user=user)
    request.update_mask.paths.extend(paths)
    return (await house.users().UpdateUser(request, CONTEXT)).user


async def test_an_owner_changes_the_named_fields_and_no_others(house: House) -> None:
    me = (await house.register("jo")).account
    after = await _update(house, me.user_id, "full_name", "phone", full_name="Jo Roe", phone="+4930123456", email="x")
    assert (after.full_name, after.phone, after.email, after.username) == (
        "Jo Roe",
        "+4930123456",
        "jo@shop.example",
        "jo",
    )
    emptied = await _update(house, me.user_id, "username", "phone")
    assert (emptied.username, emptied.phone, emptied.full_name) == ("", "", "Jo Roe")
    whole = await _update(house, me.user_id, email="jo2@shop.example", full_name="Jo")
    assert (whole.email, whole.full_name) == ("jo@shop.example", "Jo")
    with pytest.raises(EtagMismatch) as stale:
        await _update(house, me.user_id, "full_name", etag=after.etag, full_name="Late")
    assert stale.value.metadata["etag"] == whole.etag
    assert (await _update(house, me.user_id, "full_name", etag=whole.etag, full_name="In time")).etag != whole.etag


async def test_what_changes_nothing_keeps_the_etag_and_what_is_there_and_empty_is_cleared(house: House) -> None:
    me = (await house.register("jo", "+4930123456")).account.user_id
    _enter(me, Role.BUYER)
    read = (await house.users().GetUser(pb.GetUserRequest(user_id="me"), CONTEXT)).user
    assert not read.HasField("language_code")
    for paths in ([], ["*"], ["full_name", "phone"]):
        request = pb.UpdateUserRequest(user=read)
        request.update_mask.paths.extend(paths)
        assert (await house.users().UpdateUser(request, CONTEXT)).user == read
    spoken = await _update(house, me, language_code="de-AT")
    assert (spoken.language_code, spoken.full_name) == ("de-AT", "Jo Doe")
    cleared = await _update(house, me, username="", phone="", full_name="", language_code="")
    assert not {"username", "phone", "full_name", "language_code"} & {field.name for field, _ in cleared.ListFields()}
    assert cleared.email == "jo@shop.example"
    read.ClearField("etag")
    read.ClearField("phone")
    everything = pb.UpdateUserRequest(user=read)
    everything.update_mask.paths.append("*")
    whole = (await house.users().UpdateUser(everything, CONTEXT)).user
    assert (whole.username, whole.full_name, whole.HasField("phone")) == ("jo", "Jo Doe", False)


async def test_a_new_address_voids_what_was_sent_to_the_former_one(house: House) -> None:
    me = (await house.register("jo")).account.user_id
    await _execute(house, "UPDATE accounts SET email_verified = true, phone_verified = true")
    await _execute(
        house,
        "INSERT INTO password_resets (user_id, address_hash, token_hash, create_time, expire_time)"
        " VALUES ($1, '\\x01', '\\x01', now(), now() + interval '1 hour')",
        me,
    )
    await _execute(
        house,
        "INSERT INTO verifications (user_id, channel, purpose, target, code_hash, expire_time, send_count, window_time)"
        " VALUES ($1, 'EMAIL', 'CURRENT', 'jo@shop.example', '\\x01', now() + interval '1 hour', 1, now())",
        me,
    )
    caller = Caller(me, None, frozenset({Role.BUYER}))
    await house.change_email(caller, "new@shop.example")
    same = await _update(house, me, "full_name", full_name="J")
    assert (same.email, same.email_verified, same.phone_verified) == ("jo@shop.example", True, True)
    assert await _count(house, "verifications WHERE expire_time > now()") == 2
    assert await _count(house, "password_resets") == 1
    moved = await house.verify(caller, VerificationChannel.EMAIL, await house.code_sent())
    assert (moved.email, moved.email_verified, moved.phone_verified) == ("new@shop.example", True, True)
    assert await _count(house, "password_resets") == 0
    # The code is void; its row goes on counting what was sent.
    assert await _count(house, "verifications WHERE expire_time > now()") == 0
    assert await _count(house, "verifications WHERE send_count = 1") == 2


@pytest.mark.parametrize(("field", "value"), [("username", "TAKEN"), ("phone", "+4930999999")])
async def test_a_taken_name_is_refused_by_its_field(house: House, field: str, value: str) -> None:
    await house.verified_phone(await house.caller(await house.register("taken")), "+4930999999")
    me = (await house.register("jo")).account.user_id
    with pytest.raises(AlreadyExists) as refused:
        await _update(house, me, field, **{field: value})
    assert refused.value.metadata["field"] == field


async def test_nobody_changes_or_deletes_the_account_of_another(house: House) -> None:
    other = (await house.register()).account.user_id
    me = (await house.register()).account.user_id
    messages = []
    for foreign in (other, new_id()):
        with pytest.raises(NotFound) as changed:
            await _update(house, me, "full_name", user_id=str(foreign), full_name="Mine now")
        _enter(me, Role.BUYER, Role.ADMIN)
        with pytest.raises(NotFound) as deleted:
            await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id=str(foreign)), CONTEXT)
        messages.append([each.value.message.replace(str(foreign), "X") for each in (changed, deleted)])
    assert messages[0] == messages[1]


async def test_a_deleted_account_is_nobodys_and_its_names_are_free(house: House) -> None:
    done = await house.register("jo")
    me = done.account.user_id
    await _execute(
        house,
        'INSERT INTO addresses (address_id, user_id, label, postal_address, "primary", create_time, update_time)'
        " VALUES ($1, $1, 'Home', '{}', true, now(), now())",
        me,
    )
    other = new_id()
    for caller_key in (me, other):
        await _execute(
            house,
            "INSERT INTO idempotency_keys"
            " (caller_key, method, request_id, fingerprint, answer, create_time, expire_time)"
            " VALUES ($1::text, 'UpdateUser', $2, '', 'Jo', now(), now() + interval '1 day')",
            str(caller_key),
            new_id(),
        )
    caller = _enter(me, Role.BUYER)
    await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me"), CONTEXT)
    # What is kept to answer repeats holds the person's data too; that of others stays.
    assert await _count(house, "idempotency_keys") == 1
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(done.tokens.access.text)
    with pytest.raises(SessionRevoked):
        await house.signing_in.refresh(done.tokens.grant.refresh.text)
    with pytest.raises(InvalidCredentials):
        await house.login("jo")
    personal = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT a::text FROM accounts a UNION ALL SELECT s::text FROM sessions s"
            " UNION ALL SELECT d::text FROM addresses d UNION ALL SELECT r::text FROM account_roles r"
        )
    )
    assert not [row for row in personal if "jo@" in row[0] or "Jo" in row[0] or "192.0.2.7" in row[0]]
    assert await _count(house, "addresses") == await _count(house, "account_roles") == 0
    events = await house.tx.read(lambda unit: unit.connection.fetch("SELECT event_type FROM outbox_events"))
    assert "account.deleted" in {row["event_type"] for row in events}
    # Whoever looks it up later learns that it was deleted, and nothing else.
    _enter(new_id(), Role.SERVICE)
    left = (await house.users().GetUser(pb.GetUserRequest(user_id=str(me)), CONTEXT)).user
    assert (left.state, left.email, left.full_name) == (user_pb2.USER_STATE_DELETED, "", "")
    assert (await house.register("jo")).account.user_id != me
    calls.enter(Call(caller=caller))
    with pytest.raises(NotFound):
        await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me"), CONTEXT)


async def test_what_still_needs_its_owner_keeps_an_account_from_being_deleted(house: House) -> None:
    done = await house.register("jo")

    async def shop(uow: UnitOfWork, user_id: UUID) -> str | None:
        assert user_id == done.account.user_id
        return "seller 7"

    async def nothing(uow: UnitOfWork, user_id: UUID) -> str | None:
        return None

    _enter(done.account.user_id, Role.BUYER)
    with pytest.raises(InUse) as refused:
        await house.users(nothing, shop).DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me"), CONTEXT)
    assert refused.value.metadata["usedBy"] == "seller 7"
    with pytest.raises(EtagMismatch):
        await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me", etag="v99"), CONTEXT)
    assert (await house.login("jo")).account.user_id == done.account.user_id


async def test_a_service_gets_many_accounts_in_the_order_it_asked(house: House) -> None:
    ids = [str((await house.register()).account.user_id) for _ in range(3)]
    _enter(None, Role.SERVICE)
    asked = [ids[2], str(new_id()), ids[0], ids[2], ids[1]]
    found = (await house.users().BatchGetUsers(pb.BatchGetUsersRequest(user_ids=asked), CONTEXT)).users
    assert [user.user_id for user in found] == [ids[2], ids[0], ids[1]]


async def _set_roles(
    house: House, admin: UUID, user_id: UUID, *roles: Role, once: OnceKey | None = None
) -> pb.SetUserRolesResponse:
    calls.enter(Call(caller=Caller(admin, None, frozenset({Role.ADMIN}), "192.0.2.9"), once=once))
    request = pb.SetUserRolesRequest(
        request_id=str(new_id()),
        user_id=str(user_id),
        roles=[policy_pb2.Role.Value(f"ROLE_{role.value}") for role in roles],
        reason="asked for it",
    )
    return await house.users().SetUserRoles(request, CONTEXT)


async def test_roles_are_set_as_a_whole_and_hold_for_the_next_call_on_every_worker(
    house: House, builder: Builder
) -> None:
    other = await builder.build(broadcast=house.broadcast)
    ended: list[tuple[UUID | None, str]] = []
    other.principals.on_ended(lambda account, session, refusal: ended.append((account, refusal.reason.value)))
    admin, done = await _admin(house), await house.register("jo")
    me, token = done.account.user_id, done.tokens.access.text
    for worker in (house, other):
        await worker.principals.poll()
        await worker.principals.authenticate(token)
    ended.clear()
    answer = await _set_roles(house, admin.account.user_id, me, Role.BUYER, Role.COURIER)
    assert list(answer.user.roles) == [policy_pb2.ROLE_BUYER, policy_pb2.ROLE_COURIER]
    await other.principals.poll()
    assert other.principals.cached(token) is None
    assert (await other.principals.authenticate(token)).roles == {Role.BUYER, Role.COURIER}
    assert ended == []  # who only gained something may stay
    await _set_roles(house, admin.account.user_id, me, Role.BUYER)
    await other.principals.poll()
    assert ended == [(me, "ROLE_REQUIRED")]
    assert (await other.principals.authenticate(token)).roles == {Role.BUYER}
    comments = await house.tx.read(
        lambda unit: unit.connection.fetch(
            "SELECT comment FROM audit_entries WHERE resource_id = $1 AND comment <> '' ORDER BY create_time, 1",
            str(me),
        )
    )
    assert [row["comment"] for row in comments] == [
        "BUYER -> BUYER, COURIER: asked for it",
        "BUYER, COURIER -> BUYER: asked for it",
    ]


async def test_a_repeat_of_setting_roles_changes_nothing(house: House) -> None:
    admin, me = await _admin(house), (await house.register()).account.user_id
    once = OnceKey("admin", "SetUserRoles", str(new_id()), b"same")
    first = await _set_roles(house, admin.account.user_id, me, Role.SELLER, once=once)
    await _set_roles(house, admin.account.user_id, me, Role.BUYER)
    again = await _set_roles(house, admin.account.user_id, me, Role.SELLER, once=once)
    assert first == again  # the stored bytes
    assert (await house.tx.read(lambda unit: find.read_users(unit, [me])))[0].roles == {Role.BUYER}


async def test_the_last_admin_cannot_be_removed_in_any_way(house: House) -> None:
    admin = (await _admin(house)).account.user_id
    caller = _enter(admin, Role.ADMIN)
    with pytest.raises(LastAdmin):
        await _set_roles(house, admin, admin, Role.BUYER)
    with pytest.raises(LastAdmin):
        await _block(house, caller, admin, "oops")
    with pytest.raises(LastAdmin):
        await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me"), CONTEXT)
    blocked = (await _admin(house)).account.user_id
    await _block(house, caller, blocked, "on leave")
    # A blocked admin runs nothing.
    with pytest.raises(LastAdmin):
        await _set_roles(house, admin, admin, Role.BUYER)
    await house.tx.run("test.unblock", lambda uow: block.unblock_user(uow, caller, block.Barring(blocked, "back")))
    await _set_roles(house, admin, admin, Role.BUYER)


async def _remove_each_other(house: House, *, locked: bool) -> list[Any]:
    """Two admins take each other's role at once, in step until both have looked; the control runs without the lock."""
    pair = [(await _admin(house)).account.user_id for _ in range(2)]
    looked = asyncio.Barrier(2)

    async def remove(mine: UUID, other: UUID) -> None:
        async def work(uow: UnitOfWork) -> None:
            if locked:
                caller = Caller(mine, None, frozenset({Role.ADMIN}))
                change = roles.RolesChange(other, frozenset({Role.BUYER}), "", "")
                await roles.set_roles(uow, caller, change)
                return
            if not await accounts.has_other_admin(uow.connection, other):
                raise LastAdmin
            await looked.wait()
            await accounts.remove_role(uow.connection, other, Role.ADMIN)

        await house.tx.run("test.remove", work)

    return list(await asyncio.gather(remove(pair[0], pair[1]), remove(pair[1], pair[0]), return_exceptions=True))


async def test_two_admins_cannot_remove_each_other_at_once(house: House) -> None:
    for _ in range(5):
        await _execute(house, "DELETE FROM account_roles WHERE role = 'ADMIN'")
        outcomes = await _remove_each_other(house, locked=True)
        assert sum(isinstance(outcome, LastAdmin) for outcome in outcomes) == 1, outcomes
        assert await _count(house, "account_roles WHERE role = 'ADMIN'") == 1


async def test_without_the_lock_two_admins_would_remove_each_other(house: House) -> None:
    assert await _remove_each_other(house, locked=False) == [None, None]
    assert await _count(house, "account_roles WHERE role = 'ADMIN'") == 0


async def test_a_blocked_account_is_out_everywhere_until_it_is_unblocked(house: House) -> None:
    admin, done = (await _admin(house)).account.user_id, await house.register("jo")
    me = done.account.user_id
    ended: list[tuple[UUID | None, str]] = []
    house.principals.on_ended(lambda account, session, refusal: ended.append((account, refusal.reason.value)))
    _enter(admin, Role.ADMIN)
    block = pb.BlockUserRequest(user_id=str(me), reason="stolen card")
    blocked = (await house.users().BlockUser(block, CONTEXT)).user
    assert blocked.state == user_pb2.USER_STATE_BLOCKED
    assert (await house.users().BlockUser(block, CONTEXT)).user == blocked
    await house.principals.poll()
    assert (me, "ACCOUNT_BLOCKED") in ended
    with pytest.raises(AccountBlocked):
        await house.principals.authenticate(done.tokens.access.text)
    with pytest.raises(AccountBlocked):
        await house.login("jo")
    _enter(admin, Role.ADMIN)
    unblock = pb.UnblockUserRequest(user_id=str(me), reason="cleared")
    assert (await house.users().UnblockUser(unblock, CONTEXT)).user.state == user_pb2.USER_STATE_ACTIVE
    with pytest.raises(SessionRevoked):
        await house.principals.authenticate(done.tokens.access.text)
    assert (await house.login("jo")).account.user_id == me


async def test_moves_of_an_account_are_judged_by_their_etags_but_not_when_they_stand(house: House) -> None:
    admin, me = (await _admin(house)).account.user_id, str((await house.register()).account.user_id)
    _enter(admin, Role.ADMIN)
    etag = (await house.users().GetUser(pb.GetUserRequest(user_id=me), CONTEXT)).user.etag
    block = pb.BlockUserRequest(user_id=me, reason="x", etag="v77")
    with pytest.raises(EtagMismatch):
        await house.users().BlockUser(block, CONTEXT)
    block.etag = etag
    blocked = (await house.users().BlockUser(block, CONTEXT)).user
    # As it comes again when the answer was lost: with the etag from before.
    assert (await house.users().BlockUser(block, CONTEXT)).user == blocked
    unblock = pb.UnblockUserRequest(user_id=me, etag=etag)
    with pytest.raises(EtagMismatch):
        await house.users().UnblockUser(unblock, CONTEXT)
    unblock.etag = blocked.etag
    active = (await house.users().UnblockUser(unblock, CONTEXT)).user
    assert (await house.users().UnblockUser(unblock, CONTEXT)).user == active
    same = pb.SetUserRolesRequest(user_id=me, roles=[policy_pb2.ROLE_BUYER], etag=etag)
    assert (await house.users().SetUserRoles(same, CONTEXT)).user == active
    same.roles.append(policy_pb2.ROLE_COURIER)
    with pytest.raises(EtagMismatch):
        await house.users().SetUserRoles(same, CONTEXT)


async def test_what_is_gone_may_be_missing_when_a_delete_says_so(house: House) -> None:
    me, other = (await house.register()).account.user_id, (await house.register()).account.user_id
    _enter(me, Role.BUYER)
    await house.users().DeleteUser(
        pb.DeleteUserRequest(password=PASSWORD, user_id=str(other), allow_missing=True), CONTEXT
    )
    assert await _count(house, "accounts WHERE state = 'DELETED'") == 0
    await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id="me"), CONTEXT)
    await house.users().DeleteUser(
        pb.DeleteUserRequest(password=PASSWORD, user_id=str(me), allow_missing=True), CONTEXT
    )


async def test_what_is_deleted_or_was_never_there_cannot_be_administered(house: House) -> None:
    admin, gone = (await _admin(house)).account.user_id, (await house.register()).account.user_id
    _enter(gone, Role.BUYER)
    await house.users().DeleteUser(pb.DeleteUserRequest(password=PASSWORD, user_id=str(gone)), CONTEXT)
    for user_id, refusal in ((gone, IllegalTransition), (new_id(), NotFound)):
        with pytest.raises(refusal):
            await _set_roles(house, admin, user_id, Role.BUYER)
        with pytest.raises(refusal):
            await house.users().BlockUser(pb.BlockUserRequest(user_id=str(user_id), reason="x"), CONTEXT)
        with pytest.raises(refusal):
            await house.users().UnblockUser(pb.UnblockUserRequest(user_id=str(user_id)), CONTEXT)


async def _block(house: House, caller: Caller, user_id: UUID, reason: str) -> None:
    wanted = block.Barring(user_id, reason)
    await house.tx.run("test.block", lambda uow: block.block_user(uow, caller, wanted, house.letters))


async def _execute(house: House, statement: str, *arguments: object) -> None:
    await house.tx.run("test.execute", lambda uow: uow.connection.execute(statement, *arguments))


async def _count(house: House, what: str) -> int:
    return int(await house.tx.read(lambda unit: unit.connection.fetchval(f"SELECT count(*) FROM {what}")))
